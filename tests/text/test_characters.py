"""Character ids against bilm's `Batcher` and against a plain loop."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_elmo.text.characters import batch_to_ids, pad_sentences, word_to_ids
from tests.helpers import GOLDEN

EDGE = GOLDEN / "char_ids_edge"


@pytest.fixture(scope="module")
def expected():
    # The arrays `*_no_specials` are left out: they record a fault of bilm.
    return np.load(EDGE / "expected.npz")


@pytest.fixture(scope="module")
def bounded():
    """bilm's sentences with the boundary words that its batcher adds."""
    sentences = json.loads((EDGE / "sentences.json").read_text())
    return [["<S>", *sentence, "</S>"] for sentence in sentences]


@pytest.mark.parametrize("max_chars", [10, 50])
def test_ids_equal_bilms(expected, bounded, max_chars):
    golden = expected[f"chars_with_specials_{max_chars}"]
    ids = batch_to_ids(bounded, max_chars)
    np.testing.assert_array_equal(ids, golden)
    assert ids.dtype == np.int32


def test_ids_of_no_words_between_boundaries_equal_bilms(expected):
    ids = batch_to_ids([["<S>", "</S>"]], 10)
    np.testing.assert_array_equal(ids, expected["only_empty_10"])


@pytest.mark.parametrize("max_chars", [10, 50])
def test_ids_are_one_above_those_of_bilms_training(expected, max_chars):
    words = (EDGE / "vocab_with_specials.txt").read_text(encoding="utf-8").split()
    words.remove("!!!MAXTERMID")
    ids = [word_to_ids(word, max_chars) - 1 for word in words]
    golden = expected[f"train_table_with_specials_{max_chars}"]
    np.testing.assert_array_equal(ids, golden)


def spelled_by_a_loop(word, max_chars):
    if word in ("<S>", "</S>"):
        middle = [{"<S>": 256, "</S>": 257}[word]]
    else:
        middle = []
        for character in word:
            if not 0xD800 <= ord(character) <= 0xDFFF:
                middle += character.encode("utf-8")
    row = [258, *middle[: max_chars - 2], 259]
    while len(row) < max_chars:
        row.append(260)
    return [number + 1 for number in row]


@given(
    word=st.text(alphabet=st.characters(exclude_categories=()), max_size=12),
    max_chars=st.integers(3, 20),
)
@example(word="<S>", max_chars=3)
@example(word="</S>", max_chars=50)
@example(word="<UNK>", max_chars=50)
@example(word="", max_chars=3)
@example(word="a\ud83db", max_chars=6)
@example(word="\ud83d\ude42", max_chars=6)  # two surrogates, not one emoji
@settings(deadline=None)
def test_word_equals_a_plain_loop(word, max_chars):
    assert word_to_ids(word, max_chars).tolist() == spelled_by_a_loop(word, max_chars)


def test_lone_surrogates_vanish():
    np.testing.assert_array_equal(word_to_ids("a\ud83db"), word_to_ids("ab"))


def test_cut_may_fall_inside_a_character():
    e_acute = "é".encode()
    assert word_to_ids("aé", 4).tolist() == [259, ord("a") + 1, e_acute[0] + 1, 260]


def test_word_of_more_than_48_bytes_equals_its_beginning():
    np.testing.assert_array_equal(word_to_ids("x" * 80), word_to_ids("x" * 48))
    assert (word_to_ids("x" * 47) != word_to_ids("x" * 48)).any()


def test_empty_word_is_not_padding():
    ids = batch_to_ids([["", "a"], [""]], 5)
    assert ids[:, :, 0].tolist() == [[259, 259], [259, 0]]


def test_batch_without_words_has_no_columns():
    assert batch_to_ids([], 7).shape == (0, 0, 7)
    assert batch_to_ids([[], []]).shape == (2, 0, 50)


def test_any_sequences_of_words_are_taken():
    lists = batch_to_ids([["a", "b"], ["c"]])
    np.testing.assert_array_equal(batch_to_ids((("a", "b"), ("c",))), lists)
    np.testing.assert_array_equal(batch_to_ids([np.array(["a", "b"]), ["c"]]), lists)


def test_refuses_rows_too_short_for_a_word():
    with pytest.raises(
        ValueError, match="word_to_ids: expected max_chars >= 3, rec.* 2"
    ):
        word_to_ids("a", 2)
    with pytest.raises(ValueError, match="expected max_chars_?.* >= 3, received 2"):
        batch_to_ids([["a"]], 2)


@pytest.mark.parametrize("function", [batch_to_ids, pad_sentences])
@pytest.mark.parametrize("sentence", ["two words", b"bytes"])
def test_refuses_a_sentence_that_is_a_string(function, sentence):
    message = (
        f"{function.__name__}: expected sentence 1 to be a list of words, received"
    )
    with pytest.raises(ValueError, match=message):
        function([["fine"], sentence])


@given(st.lists(st.lists(st.text(max_size=5), max_size=5), max_size=4))
@settings(max_examples=50, deadline=None)
def test_padded_sentences_come_back_by_their_lengths(sentences):
    words, lengths = pad_sentences(sentences)
    assert words.dtype == object and lengths.dtype == np.int32
    assert words.shape == (len(sentences), max(map(len, sentences), default=0))
    for row, length, sentence in zip(words, lengths, sentences, strict=True):
        assert row[:length].tolist() == sentence
        assert set(row[length:]) <= {""}
