"""Requests that a server merges get the answers that they get alone.

`merge` is what TensorFlow Serving's batching does: it pads each tensor to the longest
with the tensor's own first element, fills up rows to an allowed size with the last
request's first row, and splits what comes back by rows alone.
"""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

import keras_elmo

WORD = st.one_of(
    st.text(min_size=1, max_size=12).filter(lambda word: word.split() == [word]),
    st.sampled_from(["a", "Züge", "日本", "x" * 60]),
)
SENTENCE = st.lists(WORD, max_size=6)
REQUESTS = st.lists(st.lists(SENTENCE, min_size=1, max_size=3), min_size=1, max_size=4)
# Their rows are sentences, not words.
ONE_A_ROW = {
    *("default", "lengths", "state_h", "state_c"),
    *("topic", "topic_labels", "rating", "scores", "classes", "outputs"),
}
# Of sentences without words, these are 0 / 0 in the tagger.
MEANS = {"topic", "rating", "scores", "outputs"}


def merge(requests, rows):
    merged = {}
    for name in requests[0]:
        arrays = [request[name] for request in requests]
        longest = np.max([array.shape[1:] for array in arrays], axis=0).astype(int)
        arrays = [pad(array, longest) for array in arrays]
        fill = rows - sum(len(array) for array in arrays)
        merged[name] = np.concatenate([*arrays, *[arrays[-1][:1]] * fill])
    return merged


def pad(array, sizes):
    padded = np.full((len(array), *sizes), array.flat[0], array.dtype)
    padded[tuple(slice(n) for n in array.shape)] = array
    return padded


def ask(signature, feeds):
    outputs = signature(**{name: tf.constant(a) for name, a in feeds.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def strings(sentences):
    return {"strings": np.array([" ".join(words) for words in sentences], object)}


def tokens(sentences):
    words, lengths = keras_elmo.pad_sentences([*sentences, ["one"]])
    return {"tokens": words[:-1], "sequence_len": lengths[:-1]}


def char_ids(sentences):
    ids = keras_elmo.batch_to_ids([*sentences, ["one"]])[:-1]
    return {"char_ids": ids, "sequence_len": tokens(sentences)["sequence_len"]}


def stateful(sentences):
    random = np.random.default_rng(len(sentences))
    return tokens(sentences) | {
        name: random.normal(size=(len(sentences), 2, 2, size)).astype("float32")
        for name, size in (("state_h", 14), ("state_c", 36))
    }


def examples(sentences):
    rows = []
    for words in sentences:
        row = tf.train.Example()
        encoded = [word.encode() for word in words]
        row.features.feature["tokens"].bytes_list.value.extend(encoded)
        rows.append(row.SerializeToString())
    return {"inputs": np.array(rows, object)}


def assert_as_alone(signature, requests, make):
    feeds = [make(sentences) for sentences in requests]
    rows = sum(map(len, requests))
    together = ask(signature, merge(feeds, 1 << (rows - 1).bit_length()))
    start = 0
    for sentences, feed in zip(requests, feeds, strict=True):
        stop, longest = start + len(sentences), max(map(len, sentences))
        for name, expected in ask(signature, feed).items():
            found = together[name][start:stop]
            if name not in ONE_A_ROW:
                assert not found[:, longest:].any()
                found, expected = found[:, :longest], expected[:, :longest]
            if name not in MEANS:  # a mean of no words is Keras' own affair
                assert expected.dtype == object or np.isfinite(expected).all()
            if expected.dtype == object:
                np.testing.assert_array_equal(found, expected)
            else:
                np.testing.assert_allclose(found, expected, atol=1e-5)
        start = stop


@pytest.mark.parametrize(
    "name, make",
    [
        ("default", strings),
        ("tokens", tokens),
        ("char_ids", char_ids),
        ("stateful", stateful),
    ],
)
@settings(max_examples=15, deadline=None)
@given(requests=REQUESTS)
@example(requests=[[[]], [["a"] * 300, ["x" * 60]], [["b"], []]])
def test_an_elmo_answers_merged_requests_as_single_ones(exported, name, make, requests):
    assert_as_alone(exported.signatures[name], requests, make)


@pytest.mark.parametrize(
    "name, make",
    [
        ("default", strings),
        ("tokens", tokens),
        ("classify", examples),
        ("regress", examples),
    ],
)
@settings(max_examples=15, deadline=None)
@given(requests=REQUESTS)
def test_a_tagger_answers_merged_requests_as_single_ones(
    exported_tagger, name, make, requests
):
    assert_as_alone(exported_tagger.signatures[name], requests, make)


def test_a_sentence_of_10000_words_is_answered(exported, elmo):
    words = ["cat", "sat"] * 5000
    outputs = ask(exported.signatures["default"], strings([words, ["cat"]]))
    assert outputs["lengths"].tolist() == [10000, 1]
    # Either direction has read the same up to here as in a shorter text. The random
    # model adds up what it reads, and with it rounding.
    short = elmo.all_layers(np.array([words[:200]])).numpy()[:, -1]
    long = outputs["lstm_outputs2"]
    np.testing.assert_allclose(long[0, :200, :14], short[0, :, :14], atol=1e-4)
    np.testing.assert_allclose(long[0, -200:, 14:], short[0, :, 14:], atol=1e-4)
    assert not long[1, 1:].any()
