"""What our exporter writes, served by our server and asked by our clients."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import keras_elmo
from keras_elmo.serving import (
    AsyncElmoClient,
    BatchingParameters,
    ElmoClient,
    ModelServer,
    ServingError,
)
from tests.helpers import load_golden
from tests.serving.conftest import eventually

pytestmark = pytest.mark.slow

SENTENCES = [["The", "cat", "sat"], [], ["Züge", "x" * 60], ["one"]]
BATCHING = BatchingParameters(
    max_batch_size=8, batch_timeout_micros=1000, pad_variable_length_inputs=True
)


@pytest.fixture(scope="module")
def elmo():
    return load_golden("tiny")


@pytest.fixture(scope="module")
def elmo_server(elmo, tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "tiny"
    keras_elmo.export_saved_model(elmo, base, text=True, batch_sizes=[])
    with ModelServer(base, port=0, batching=BATCHING) as server:
        yield server


@pytest.fixture
def client(elmo_server):
    with ElmoClient(elmo_server.address, "tiny") as client:
        yield client


def test_vectors_are_the_layers(client, elmo):
    words, lengths = keras_elmo.pad_sentences(SENTENCES)
    expected = elmo(words, lengths=tf.constant(lengths)).numpy()
    as_strings = [" ".join(sentence) for sentence in SENTENCES]
    for sentences in (SENTENCES, as_strings):
        found = client.embed(sentences, batch_size=2)
        for row, length, vectors in zip(expected, lengths, found, strict=True):
            np.testing.assert_allclose(vectors, row[:length], atol=2e-6)


def test_a_document_is_read_as_by_a_stateful_layer(client, elmo_server):
    async def ask():
        async with AsyncElmoClient(elmo_server.address, "tiny") as other:
            return await other.embed_document(SENTENCES)

    keeps_it = load_golden("tiny", stateful=True)
    found = client.embed_document(SENTENCES)
    again = asyncio.run(ask())
    for sentence, vectors, same in zip(SENTENCES, found, again, strict=True):
        words, lengths = keras_elmo.pad_sentences([sentence])
        expected = keeps_it(words, lengths=tf.constant(lengths)).numpy()[0]
        np.testing.assert_allclose(vectors, expected, atol=2e-6)
        np.testing.assert_allclose(same, expected, atol=2e-6)


def test_raw_text_comes_back_in_words(client, elmo):
    text = "Züge, (2)!"
    (found,) = client.embed(
        [text], ["elmo", "words", "starts", "ends"], signature="text"
    )
    assert found["words"].tolist() == ["Züge", ",", "(", "2", ")", "!"]
    raw = text.encode()
    spans = zip(found["starts"], found["ends"], strict=True)
    assert [raw[a:b].decode() for a, b in spans] == found["words"].tolist()
    expected = elmo(np.array([found["words"]], object)).numpy()[0]
    np.testing.assert_allclose(found["elmo"], expected, atol=2e-6)


@pytest.fixture(scope="module")
def tagger(elmo):
    words = keras.Input((None,), dtype="string", name="words")
    vectors = elmo(words)
    tags = keras.layers.Dense(3, "softmax", name="tags")(vectors)
    mean = keras.layers.GlobalAveragePooling1D()(vectors)
    topic = keras.layers.Dense(2, "softmax", name="topic")(mean)
    rating = keras.layers.Dense(1, name="rating")(mean)
    return keras.Model(words, {"tags": tags, "topic": topic, "rating": rating})


@pytest.fixture(scope="module")
def tagger_client(tagger, tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "tagger"
    labels = {"tags": ["N", "V", "A"], "topic": ["news", "sport"]}
    keras_elmo.export_saved_model(tagger, base, labels=labels, batch_sizes=[])
    with (
        ModelServer(base, port=0, batching=BATCHING) as server,
        ElmoClient(server.address, "tagger") as client,
    ):
        yield client


@pytest.fixture
def answers(tagger):
    """Of each sentence by itself, as the model gives them."""
    return [
        {name: x.numpy()[0] for name, x in tagger(tf.constant([sentence])).items()}
        for sentence in (["The", "cat", "sat"], ["Züge"])
    ]


def test_a_tagger_answers_in_labels_and_scores(tagger_client, answers):
    found = tagger_client.embed(
        ["The cat sat", "Züge"], ["tags", "tags_labels", "topic_labels"]
    )
    for row, expected in zip(found, answers, strict=True):
        np.testing.assert_allclose(row["tags"], expected["tags"], atol=2e-6)
        labels = np.array(["N", "V", "A"])[expected["tags"].argmax(-1)]
        assert row["tags_labels"].tolist() == labels.tolist()
        assert row["topic_labels"] == ["news", "sport"][expected["topic"].argmax()]


def test_a_tagger_classifies_and_regresses(tagger_client, answers):
    sentences = [["The", "cat", "sat"], ["Züge"]]
    for pairs, expected in zip(tagger_client.classify(sentences), answers, strict=True):
        assert [label for label, _ in pairs] == ["news", "sport"]
        scores = [score for _, score in pairs]
        np.testing.assert_allclose(scores, expected["topic"], atol=2e-6)
    values = [expected["rating"][0] for expected in answers]
    np.testing.assert_allclose(tagger_client.regress(sentences), values, atol=2e-6)


def test_a_bad_example_fails_alone(tagger_client):
    address = tagger_client.address
    bad = predict_pb2.PredictRequest()
    bad.model_spec.name, bad.model_spec.signature_name = "tagger", "classify"
    bad.inputs["inputs"].CopyFrom(tf.make_tensor_proto([b"no example"]))
    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(4) as pool:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        wrong = [stub.Predict.future(bad) for _ in range(8)]
        right = [pool.submit(tagger_client.classify, ["The cat"]) for _ in range(8)]
        assert all(len(future.result(60)) == 1 for future in right)
        codes = {future.exception(60).code() for future in wrong}
    assert codes == {grpc.StatusCode.INVALID_ARGUMENT}


def test_an_elmo_is_no_classifier(client):
    with pytest.raises(ServingError, match="INVALID_ARGUMENT: No signature was found"):
        client.classify(["a"])
    with pytest.raises(ServingError, match="INVALID_ARGUMENT: Expected one input"):
        client.regress(["a"], signature="tokens")


@pytest.mark.slow
def test_a_new_version_takes_over(elmo, tmp_path):
    base = tmp_path / "tiny"
    keras_elmo.export_saved_model(elmo, base)
    with (
        ModelServer(base, port=0, poll_seconds=0.05) as server,
        ElmoClient(server.address, "tiny") as client,
    ):
        assert client.wait_until_ready() == 1
        keras_elmo.export_saved_model(elmo, base, layers="top")
        eventually(lambda: client.wait_until_ready() == 2)
        top = elmo.all_layers(np.array([["cat"]])).numpy()[0, -1]
        np.testing.assert_allclose(client.embed([["cat"]])[0], top, atol=2e-6)
        assert [s["version"] for s in client.status()] == [2, 1]
