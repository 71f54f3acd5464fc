"""Raw text to words: punctuation apart, offsets kept, usable wherever tensors are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.text import tokenize

TEXTS = ["Don't wait, Zürich!", "", "  3.14 dollars\u00a0($1,000)... -- (so)."]


def test_punctuation_stands_apart():
    tokens = tokenize(TEXTS)
    words = [
        " ".join(word.decode() for word in row[:length])
        for row, length in zip(
            tokens.words.numpy(), tokens.lengths.numpy(), strict=True
        )
    ]
    assert words == [
        "Don ' t wait , Zürich !",
        "",
        "3.14 dollars ( $ 1,000 ) ... -- ( so ) .",
    ]


def test_words_of_one_script_do_not_grow_together():
    (words,) = tokenize(["1999 2000 ... -- ( Москва和平"]).words.numpy()
    assert [word.decode() for word in words] == [
        "1999",
        "2000",
        "...",
        "--",
        "(",
        "Москва",
        "和平",
    ]


def test_no_texts_and_blank_texts_have_no_words():
    assert tokenize(tf.zeros((0,), tf.string)).words.shape == (0, 0)
    np.testing.assert_array_equal(tokenize(["", " \t"]).lengths, [0, 0])


def test_offsets_are_the_words_bytes():
    tokens = tokenize(TEXTS)
    for text, words, length, starts, ends in zip(
        TEXTS, *(t.numpy() for t in tokens), strict=True
    ):
        for i in range(length):
            assert text.encode()[starts[i] : ends[i]] == words[i]
        assert not starts[length:].any() and not ends[length:].any()


def test_it_runs_in_tf_data_and_before_the_layer():
    elmo = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
    data = tf.data.Dataset.from_tensor_slices(TEXTS).batch(3).map(tokenize)
    (tokens,) = list(data)
    vectors = elmo(tokens.words, lengths=tokens.lengths)
    expected = elmo(*keras_elmo.pad_sentences([["Don", "'", "t", "wait", ","]]))
    assert vectors.shape[:2] == tokens.words.shape
    assert not np.allclose(vectors[0, :5], expected[0], atol=1e-4)  # more follows there
    np.testing.assert_array_equal(vectors[1], np.zeros_like(vectors[1]))


def test_a_model_reads_raw_text_and_survives_a_file(tmp_path):
    texts = keras.Input((), dtype="string")
    tokens = tokenize(texts)
    elmo = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
    vectors = elmo(tokens.words, lengths=tokens.lengths)
    model = keras.Model(texts, keras.layers.GlobalAveragePooling1D()(vectors))
    model.save(tmp_path / "model.keras")
    given = tf.constant([TEXTS[0], TEXTS[2]])
    eager = tokenize(given)
    expected = elmo(eager.words, lengths=eager.lengths)
    expected = expected.numpy().sum(axis=1) / eager.lengths.numpy()[:, None]
    for tried in (model, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(tried.predict(given, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("texts", ["one string", [["two", "axes"]]])
def test_texts_have_one_axis(texts):
    with pytest.raises(
        ValueError, match=r"tokenize: expected texts of shape \(batch,\)"
    ):
        tokenize(texts)
