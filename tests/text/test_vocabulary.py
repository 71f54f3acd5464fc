"""Vocabularies: numbers against bilm's, files, errors that name the line."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.errors import FormatError
from keras_elmo.text.vocabulary import (
    SPECIALS,
    Vocabulary,
    count_words,
    most_frequent,
    read_vocabulary,
    write_vocabulary,
)
from tests.helpers import GOLDEN

EDGE = GOLDEN / "char_ids_edge"


def test_token_ids_equal_bilms():
    vocabulary = read_vocabulary(EDGE / "vocab_with_specials.txt")
    sentences = json.loads((EDGE / "sentences.json").read_text())
    bounded = [["<S>", *sentence, "</S>"] for sentence in sentences]
    ids = vocabulary.token_ids(bounded)
    golden = np.load(EDGE / "expected.npz")["tokens_with_specials"]
    np.testing.assert_array_equal(ids, golden)
    assert ids.dtype == np.int32


def test_maxtermid_line_is_passed_over():
    vocabulary = read_vocabulary(EDGE / "vocab_with_specials.txt")
    assert vocabulary.words == ["<S>", "</S>", "<UNK>", "known", "第一", "a"]
    assert vocabulary.id("!!!MAXTERMID") == vocabulary.unknown


def test_lines_are_those_of_the_file():
    words = ["!!!MAXTERMID", "<S>", "</S>", "!!!MAXTERMID", "<UNK>", "a"]
    vocabulary = Vocabulary(words)
    for number, word in enumerate(vocabulary.words):
        assert words[vocabulary.line(number) - 1] == word


def test_specials_may_stand_anywhere():
    vocabulary = Vocabulary(["the", "<UNK>", "</S>", "of", "<S>"])
    assert (vocabulary.begin, vocabulary.end, vocabulary.unknown) == (4, 2, 1)
    assert vocabulary.id("zyzzyva") == 1
    assert len(vocabulary) == 5


def test_batch_without_words_has_no_columns():
    assert Vocabulary(SPECIALS).token_ids([[], []]).shape == (2, 0)
    assert Vocabulary(SPECIALS).token_ids([]).shape == (0, 0)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"<S>\n</S>\n\n<UNK>\n", "line 3: expected a word, found none"),
        (b"<S>\n</S>\n<UNK>\n\n", "line 4: expected a word, found none"),
        (b"<S>\n</S>\n<UNK>\na\n<S>\n", r"line 5: .* '<S>' again \(first in line 1\)"),
        (
            b"<S>\n!!!MAXTERMID\n</S>\n<UNK>\na\na\n",
            r"line 6: .* 'a' again \(first in line 5\)",
        ),
        (b"<S>\n</S>\n<UNK>\na\xff\n", "line 4: expected UTF-8"),
        (b"<S>\n</S>\n", "expected a line <UNK>, found none"),
        (b"", "expected a line <S>, found none"),
    ],
)
def test_error_names_file_and_line(tmp_path, lines, message):
    path = tmp_path / "vocab.txt"
    path.write_bytes(lines)
    with pytest.raises(FormatError, match=f"vocab.txt: {message}"):
        read_vocabulary(path)


def test_absent_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.txt"):
        read_vocabulary(tmp_path / "none.txt")


def test_lines_are_stripped_and_windows_line_ends_do_no_harm(tmp_path):
    (tmp_path / "vocab.txt").write_bytes(b"<S>\r\n </S> \r\n<UNK>\t\r\nna\xc3\xafve")
    words = read_vocabulary(tmp_path / "vocab.txt").words
    assert words == ["<S>", "</S>", "<UNK>", "naïve"]


def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path):
    (tmp_path / "vocab.txt").write_text("<S>\n</S>\n<UNK>\n", "utf-8-sig")
    assert read_vocabulary(tmp_path / "vocab.txt").words == list(SPECIALS)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40))
@settings(max_examples=50, deadline=None)
def test_words_of_any_text_come_back_from_a_file(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    words = list(most_frequent(count_words([text.split()])))
    write_vocabulary(path, words)
    assert read_vocabulary(path).words == words
    assert [file.name for file in path.parent.iterdir()] == ["vocab.txt"]


def test_writing_replaces_an_existing_file(tmp_path):
    path = tmp_path / "vocab.txt"
    for words in ([*SPECIALS, "old"], [*SPECIALS, "new"]):
        write_vocabulary(path, words)
    assert path.read_bytes() == b"<S>\n</S>\n<UNK>\nnew\n"


def test_failed_writing_leaves_the_existing_file(tmp_path):
    path = tmp_path / "vocab.txt"
    write_vocabulary(path, SPECIALS)
    with pytest.raises(UnicodeEncodeError):
        write_vocabulary(path, [*SPECIALS, "\ud83d"])
    assert read_vocabulary(path).words == list(SPECIALS)


def test_words_stand_by_falling_frequency_then_by_code_point():
    counts = count_words([["b", "a", "c", "B"], ["c", "ä"], ["a", "<S>", "<UNK>"]])
    counts["!!!MAXTERMID"] = 9  # would be passed over when it is read
    expected = [*SPECIALS, "a", "c", "B", "b", "ä"]
    assert list(most_frequent(counts)) == expected
    assert list(most_frequent(Counter(dict(reversed(counts.items()))))) == expected


def test_rare_words_and_words_past_the_size_are_left_out():
    counts = Counter({"a": 5, "b": 3, "c": 3, "d": 1})
    assert list(most_frequent(counts, min_count=3)) == [*SPECIALS, "a", "b", "c"]
    assert list(most_frequent(counts, size=5)) == [*SPECIALS, "a", "b"]
    assert list(most_frequent(counts, size=2)) == list(SPECIALS)
