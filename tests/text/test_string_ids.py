"""Words to ids in the graph: the same as in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.text.characters import word_to_ids
from keras_elmo.text.string_ids import (
    character_ids,
    distinct_rows,
    distinct_words,
    parts_by_length,
    string_lengths,
    vocabulary_table,
)

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


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=20))
def test_distinct_words_stand_at_their_places_the_shortest_first(words):
    found, places = distinct_words(tf.constant([words]))
    found, places = found.numpy(), places.numpy()
    spelled = [word.encode() for word in words]
    assert found[places[0]].tolist() == spelled
    assert found[:2].tolist() == [b"<S>", b"</S>"]
    lengths = [len(word) for word in found[2:]]
    assert lengths == sorted(lengths)
    assert sorted(found) == sorted({b"<S>", b"</S>", *spelled})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=20))
def test_distinct_rows_stand_at_their_places_the_shortest_first(words):
    ids = character_ids(tf.constant(["<S>", "</S>", *words]), 50).numpy()
    found, places = (tensor.numpy() for tensor in distinct_rows(ids, spare=7))
    width = found.shape[1]
    np.testing.assert_array_equal(found[places], ids[:, :width])
    assert (ids[:, width:] == 261).all()
    lengths = np.count_nonzero(found[2:] != 261, axis=1).tolist()
    assert lengths == sorted(lengths)
    assert len({row.tobytes() for row in found}) == len(found)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([None, *WORDS]), max_size=20), st.integers(1, 7))
def test_parts_keep_each_word_and_the_spare_columns(words, spare):
    ids = character_ids(tf.constant([w or "" for w in words], tf.string), 50).numpy()
    ids[[word is None for word in words]] = 0  # padding, of which all windows are one
    parts = [part.numpy() for part in parts_by_length(tf.constant(ids), spare)]
    first = 0
    for part in parts:
        rows = ids[first : first + len(part)]
        np.testing.assert_array_equal(part, rows[:, : part.shape[1]])
        spelled = (rows != 261) & (rows[:, :1] != 0)
        longest = np.count_nonzero(spelled, axis=1).max(initial=0)
        assert part.shape[1] == min(longest + spare, 50)
        first += len(part)
    assert first == len(ids)
