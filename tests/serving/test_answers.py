"""Merged, padded and parted: the shipped model answers as it does alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_elmo
from keras_elmo.serving import BatchingParameters, ElmoClient, ModelServer
from keras_elmo.serving.batching import Batcher
from keras_elmo.serving.loaded_model import LoadedModel

WORDS = ["the", "cat", "sat", ".", "naïve", "x" * 60, "東京"]
PARAMETERS = BatchingParameters(
    max_batch_size=16,
    batch_timeout_micros=3000,
    max_enqueued_batches=1000,
    num_batch_threads=2,
    allowed_batch_sizes=(4, 16),
    pad_variable_length_inputs=True,
)
OUTPUTS = ["elmo", "word_emb", "default", "lengths"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "elmo_tiny_en"
    elmo = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
    keras_elmo.export_saved_model(elmo, base, batch_sizes=[])
    return base


@pytest.fixture(scope="module")
def model(base):
    model = LoadedModel(base / "1")
    yield model
    model.close()


@pytest.fixture(scope="module")
def batcher():
    batcher = Batcher(PARAMETERS)
    yield batcher
    batcher.close()


class Counting:
    """A model that remembers the rows of each run."""

    def __init__(self, model):
        self.model = model
        self.rows = []

    def run(self, feeds, fetches, timeout):
        self.rows.append(len(next(iter(feeds.values()))))
        return self.model.run(feeds, fetches, timeout)


def inputs_of(name, sentences):
    """What a client sends for sentences, by signature."""
    if name == "default":
        return {"strings": np.array([" ".join(s).encode() for s in sentences], object)}
    time = max(map(len, sentences))
    tokens = [[w.encode() for w in s] + [b""] * (time - len(s)) for s in sentences]
    lengths = np.array([len(s) for s in sentences], np.int32)
    return {"tokens": np.array(tokens, object), "sequence_len": lengths}


def tensors(model, name, sentences):
    signature = model.signatures[name]
    feeds = {
        signature.inputs[key].name: array
        for key, array in inputs_of(name, sentences).items()
    }
    return feeds, {key: signature.outputs[key].name for key in OUTPUTS}


def assert_same(alone, together, names, sentences):
    np.testing.assert_array_equal(together[names["lengths"]], alone[names["lengths"]])
    np.testing.assert_allclose(
        together[names["default"]], alone[names["default"]], rtol=1e-4, atol=1e-5
    )
    for key in ("elmo", "word_emb"):
        for row, sentence in enumerate(sentences):
            vectors = together[names[key]][row]
            np.testing.assert_allclose(
                vectors[: len(sentence)],
                alone[names[key]][row, : len(sentence)],
                rtol=1e-4,
                atol=1e-5,
            )
            assert not vectors[len(sentence) :].any()


sentence = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12)
requests = st.lists(
    st.tuples(
        st.sampled_from(["default", "tokens"]),
        st.lists(sentence, min_size=1, max_size=5),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests)
def test_each_request_gets_the_answer_that_it_gets_alone(model, batcher, requests):
    asked = [(*tensors(model, *request), request[1]) for request in requests]
    with ThreadPoolExecutor(len(asked)) as pool:
        futures = [
            pool.submit(batcher.run, model, feeds, names.values())
            for feeds, names, _ in asked
        ]
        for future, (feeds, names, sentences) in zip(futures, asked, strict=True):
            alone = model.run(feeds, names.values())
            assert_same(alone, future.result(60), names, sentences)


def test_requests_were_really_merged_and_filled_up(model):
    batcher = Batcher(
        BatchingParameters(
            max_batch_size=16,
            batch_timeout_micros=60 * 10**6,
            num_batch_threads=1,
            pad_variable_length_inputs=True,
        )
    )
    counting = Counting(model)
    sentences = [[WORDS[:length]] for length in (1, 2, 3, 4) * 4]
    asked = [tensors(model, "tokens", one) for one in sentences]
    with ThreadPoolExecutor(16) as pool:
        futures = [
            pool.submit(batcher.run, counting, feeds, names.values())
            for feeds, names in asked
        ]
        for future, (feeds, names), one in zip(futures, asked, sentences, strict=True):
            result = future.result(60)
            assert result[names["elmo"]].shape[1] == 4  # the merged length
            assert_same(model.run(feeds, names.values()), result, names, one)
    assert counting.rows == [16]
    batcher.close()


@pytest.mark.slow
def test_many_clients_of_a_batching_server_get_their_own_answers(base):
    with (
        ModelServer(base, port=0, batching=PARAMETERS) as server,
        ElmoClient(server.address, server.model_name) as client,
        ThreadPoolExecutor(32) as pool,
    ):
        sentences = [WORDS[i % 7 :] * (1 + i % 3) for i in range(21)]
        expected = [client.embed([words])[0] for words in sentences]
        asked = [i % 21 for i in range(210)]
        found = pool.map(lambda i: client.embed([sentences[i]])[0], asked)
        for i, vectors in zip(asked, found, strict=True):
            np.testing.assert_allclose(vectors, expected[i], rtol=1e-4, atol=1e-5)
