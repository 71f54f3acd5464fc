"""Many words are encoded in parts: the same vectors and gradients as all at once."""

import numpy as np
import pytest
import tensorflow as tf

from keras_elmo.word_layers import WordLayers
from tests.helpers import assert_close, load_golden

_rng = np.random.default_rng(0)
WORDS = ["".join(_rng.choice(list("etaoinsh"), i % 60)) + str(i) for i in range(200)]


def both_ways(elmo):
    """The layers of a model, in parts where words are many, and never in parts."""
    parted, whole = (
        WordLayers(elmo.reader, elmo.token_encoder, elmo.bilm) for _ in range(2)
    )
    whole.in_parts = False
    return parted, whole


def vectors_and_gradients(layers, elmo, words, in_graph):
    def compute(words):
        with tf.GradientTape() as tape:
            vectors = layers.encode(elmo.reader.read(words))
            total = tf.reduce_sum(tf.square(vectors)) / 100
        weights = [v.value for v in elmo.token_encoder.trainable_variables]
        return vectors, tape.gradient(total, weights)

    if in_graph:
        signature = [tf.TensorSpec([None, None], tf.string)]
        compute = tf.function(compute, input_signature=signature)
    return compute(tf.constant([words], tf.string))


@pytest.mark.parametrize(
    ("count", "in_graph"),
    [(0, False), (125, False), (126, False), (200, False), (0, True), (200, True)],
)
def test_parts_do_not_show(count, in_graph):
    elmo = load_golden("tiny", fine_tune=True, trainable=True)
    parted, whole = both_ways(elmo)
    found, expected = (
        vectors_and_gradients(layers, elmo, WORDS[:count], in_graph)
        for layers in (parted, whole)
    )
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_many_words_are_parted(monkeypatch):
    elmo = load_golden("tiny")
    widths = []
    convolve = elmo.token_encoder.char_cnn.call
    monkeypatch.setattr(
        elmo.token_encoder.char_cnn,
        "call",
        lambda ids: widths.append(ids.shape[1:]) or convolve(ids),
    )
    elmo.word_layers.encode(elmo.reader.read(tf.constant([WORDS])))
    elmo.word_layers.encode(elmo.reader.read(tf.constant([WORDS[:100]])))
    assert [words for words, _ in widths] == [101, 67, 34, 102]
    assert sorted(chars for _, chars in widths[:3]) == [c for _, c in widths[:3]]
    assert widths[0][1] < widths[2][1]
