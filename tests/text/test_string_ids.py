"""Words to ids in the graph: the same as in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.text.characters import word_to_ids
from keras_elmo.text.string_ids import character_ids, string_lengths, vocabulary_table

WORDS = [
    "",
    "a",
    "naïve",
    "🙂",
    "x" * 90,
    "é" * 24,
    "é" * 25,
    "<S>",
    "</S>",
    "a\0b",
    "261",
]


@pytest.mark.parametrize("max_chars", [3, 4, 10, 50])
def test_words_are_spelled_as_in_numpy(max_chars):
    expected = [word_to_ids(word, max_chars) for word in WORDS]
    np.testing.assert_array_equal(
        character_ids(tf.constant(WORDS), max_chars), expected
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=60)), st.integers(3, 60))
def test_any_words_are_spelled_as_in_numpy(words, max_chars):
    expected = [word_to_ids(word, max_chars) for word in words]
    actual = character_ids(tf.constant(words, tf.string), max_chars)
    np.testing.assert_array_equal(actual, np.reshape(expected, (-1, max_chars)))


@pytest.mark.parametrize("words", [["a"], ["a", "abc"], ["x" * 90, "a"], [""]])
def test_a_cut_row_keeps_the_longest_word_and_the_spare_columns(words):
    full = character_ids(tf.constant(words), 50).numpy()
    cut = character_ids(tf.constant(words), 50, spare=7).numpy()
    longest = max(3, min(max(map(len, words)), 48) + 2)
    assert cut.shape[1] == min(50, longest + 7)
    np.testing.assert_array_equal(cut, full[:, : cut.shape[1]])
    assert (full[:, longest:] == 261).all()


def test_any_shape_of_words_and_none_are_taken():
    assert character_ids(tf.constant([["a", "b"]]), 5).shape == (1, 2, 5)
    assert character_ids(tf.zeros((0, 3), tf.string), 5, spare=2).shape == (0, 3, 5)
    assert character_ids(tf.zeros((2, 0), tf.string), 5).shape == (2, 0, 5)


def test_a_row_ends_at_its_last_word():
    words = tf.constant([["a", "b"], ["", "b"], ["a", ""], ["", ""]])
    np.testing.assert_array_equal(string_lengths(words), [2, 2, 1, 0])
    np.testing.assert_array_equal(string_lengths(tf.zeros((2, 0), tf.string)), [0, 0])
    assert string_lengths(tf.zeros((0, 2), tf.string)).shape == (0,)


def test_words_are_looked_up_and_unknown_ones_have_a_number():
    table = vocabulary_table(["<S>", "</S>", "<UNK>", "der", "Zürich"], unknown=2)
    words = tf.constant(["Zürich", "<S>", "zürich", ""])
    np.testing.assert_array_equal(table.lookup(words), [5, 1, 3, 3])
