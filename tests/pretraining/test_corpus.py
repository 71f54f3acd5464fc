"""Reading text, and windows over it, against bilm's own batches and a plain reading."""

import gzip
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.errors import FormatError
from keras_elmo.layers.char_cnn import CharCNN
from keras_elmo.pretraining.corpus import (
    distinct_characters,
    find_shards,
    read_sentences,
    shuffled,
    windows,
)
from keras_elmo.text.characters import batch_to_ids
from keras_elmo.text.vocabulary import SPECIALS, Vocabulary
from tests.helpers import randomize
from tests.pretraining import small_models

LETTERS = "abcdé"  # "é" is in no vocabulary here
WORDS = st.text(alphabet=LETTERS, min_size=1, max_size=6)
TEXTS = st.lists(st.lists(WORDS, max_size=6), max_size=8)


# Text files.


def test_shards_are_found_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("b.txt", "a.txt", "c.gz"):
        (tmp_path / name).touch()
    assert find_shards(f"{tmp_path}/*.txt") == [
        f"{tmp_path}/a.txt",
        f"{tmp_path}/b.txt",
    ]
    assert find_shards("~/c.*") == [f"{tmp_path}/c.gz"]
    with pytest.raises(FileNotFoundError, match="none.*: expected at least one file"):
        find_shards(f"{tmp_path}/none*")


def test_shards_are_read_one_after_another_compressed_or_not(tmp_path):
    (tmp_path / "a.txt").write_text("na\u00efve  words \n\n \t\nlast", encoding="utf-8")
    with gzip.open(tmp_path / "b.gz", "wb") as file:
        file.write(b"from gzip\n\nmore\n")
    sentences = read_sentences(find_shards(f"{tmp_path}/*"))
    assert list(sentences) == [["naïve", "words"], ["last"], ["from", "gzip"], ["more"]]


def test_only_a_newline_ends_a_line(tmp_path):
    text = "a\u2028b\x85c\x0bd\x1ce\nf\r\ng\rh\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    sentences = list(read_sentences([tmp_path / "a.txt"]))
    assert sentences == [["a", "b", "c", "d", "e"], ["f"], ["g", "h"]]


def test_bad_utf8_names_file_and_line(tmp_path):
    plain, packed = tmp_path / "bad.txt", tmp_path / "bad.gz"
    content = b"fine\n\nna\xefve\nfine\n"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    for path in (plain, packed):
        sentences = read_sentences([str(path)])
        assert next(sentences) == ["fine"]
        with pytest.raises(FormatError, match=rf"{path.name}: line 3: expected UTF-8"):
            next(sentences)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: b"text", lambda data: data[:5]]
)
def test_damaged_gzip_names_the_file(tmp_path, damage):
    path = tmp_path / "bad.gz"
    path.write_bytes(damage(gzip.compress(b"some words\n" * 100)))
    with pytest.raises(FormatError, match="bad.gz: after line .*: expected gzip data"):
        list(read_sentences([str(path)]))


def test_absent_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        list(read_sentences([tmp_path / "none.txt"]))


@pytest.mark.parametrize("buffer", [1, 7, 100])
def test_shuffling_keeps_all_sentences(monkeypatch, buffer):
    monkeypatch.setattr("keras_elmo.pretraining.corpus._SHUFFLE_BUFFER", buffer)
    orders = [list(shuffled(range(50), np.random.default_rng(s))) for s in (1, 1, 2)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] == orders[1]
    if buffer > 1:
        assert orders[0] != orders[2] and orders[0] != sorted(orders[0])


def test_shuffling_reads_no_further_than_its_buffer(monkeypatch):
    monkeypatch.setattr("keras_elmo.pretraining.corpus._SHUFFLE_BUFFER", 7)
    source = iter(range(50))
    next(shuffled(source, np.random.default_rng(0)))
    assert next(source) == 8


# Windows.


def words_of(window, inputs):
    """The words a window reads: its characters, spelled back."""

    def word(row):
        middle = row[1 : list(row).index(260)] - 1
        if middle.tolist() in ([256], [257]):
            return ["<S>", "</S>"][middle[0] - 256]
        return bytes(middle.tolist()).decode()

    return [[word(window.characters[i]) for i in row] for row in inputs]


def rows_of(stream, batch):
    """Each row's positions, all windows joined, those of weight 0 left out."""
    rows = [[] for _ in range(batch)]
    for window in stream:
        assert window.weights.shape[0] == batch
        columns = (
            words_of(window, window.forward_inputs),
            words_of(window, window.backward_inputs),
            window.forward_targets.tolist(),
            window.backward_targets.tolist(),
            window.starts.tolist(),
            window.weights.tolist(),
        )
        for row, positions in enumerate(zip(*columns, strict=True)):
            rows[row] += zip(*positions, strict=True)
    for row in rows:
        weights = [position[-1] for position in row]
        assert weights == sorted(weights, reverse=True)
        assert not any(starts for *_, starts, weight in row if not weight)
    return [[position[:-1] for position in row if position[-1]] for row in rows]


@given(
    sentences=TEXTS,
    batch=st.integers(1, 4),
    unroll=st.integers(1, 5),
    known=st.sets(WORDS, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_every_sentence_is_read_once_in_both_directions(
    sentences, batch, unroll, known
):
    vocabulary = Vocabulary([*SPECIALS, *sorted(known)])
    stream = windows(
        sentences, vocabulary, batch, unroll, widest_filter=3, max_chars=20
    )
    found = []
    for row in rows_of(stream, batch):
        starts = [i for i, position in enumerate(row) if position[-1]]
        for start, end in itertools.pairwise([*starts, len(row)]):
            forward, backward, forward_targets, backward_targets, _ = zip(
                *row[start:end], strict=True
            )
            words = list(forward[1:])
            ids = [vocabulary.id(word) for word in words]
            assert forward[0] == "<S>"
            assert list(forward_targets) == [*ids, vocabulary.end]
            assert list(backward) == ["</S>", *reversed(words)]
            assert list(backward_targets) == [*reversed(ids), vocabulary.begin]
            found.append(words)
    assert sorted(found) == sorted(sentences)


@given(sentences=TEXTS, batch=st.integers(1, 4), unroll=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_targets_are_all_words_and_one_end_a_sentence(sentences, batch, unroll):
    vocabulary = Vocabulary([*SPECIALS, *LETTERS[:4]])
    targets = []
    for window in windows(sentences, vocabulary, batch, unroll, 1):
        targets += window.forward_targets[window.weights == 1].tolist()
    expected = [vocabulary.id(word) for words in sentences for word in words]
    expected += [vocabulary.end] * len(sentences)
    assert sorted(targets) == sorted(expected)


def test_windows_equal_bilms_batches():
    golden = np.load(small_models.LM / "batches.npz")
    lines = (small_models.LM / "train.txt").read_text(encoding="utf-8").splitlines()
    # bilm takes the blank line for a sentence of no words; `read_sentences` skips it.
    sentences = [line.split() for line in lines]
    assert [] in sentences
    stream = windows(sentences, small_models.vocabulary(), 3, 4, 3, max_chars=12)
    for step, window in enumerate(itertools.islice(stream, 6)):
        for name, suffix in (("forward", ""), ("backward", "_reverse")):
            targets = getattr(window, f"{name}_targets")
            np.testing.assert_array_equal(
                targets, golden[f"next_token_id{suffix}"][step]
            )
            short = window.characters[getattr(window, f"{name}_inputs")]
            characters = np.full((3, 4, 12), 261)
            characters[..., : short.shape[-1]] = short
            expected = golden[f"tokens_characters{suffix}"][step] + 1
            np.testing.assert_array_equal(characters, expected)
        expected = golden["token_ids"][step] == small_models.vocabulary().begin
        np.testing.assert_array_equal(window.starts, expected)
        assert (window.weights == 1).all()


def test_window_has_each_word_once():
    sentences = [["a", "b", "a"], ["b", "a"]]
    (window,) = windows(sentences, Vocabulary(SPECIALS), 2, 4, 2)
    assert sorted(words_of(window, [range(len(window.characters))])[0]) == [
        "</S>",
        "<S>",
        "a",
        "b",
    ]


@pytest.mark.parametrize("sentences", [[], iter([])])
def test_no_sentences_give_no_windows(sentences):
    assert list(windows(sentences, Vocabulary(SPECIALS), 2, 3, 1)) == []


def test_endless_text_is_read_as_it_is_needed():
    source = itertools.count()
    stream = windows((["a"] for _ in source), Vocabulary(SPECIALS), 2, 4, 1)
    next(stream)
    assert next(source) <= 5  # two sentences of two positions a row


# Characters of a window's distinct words.


@given(
    words=st.lists(
        st.one_of(WORDS, st.sampled_from(["", "<S>", "</S>", "a-word-that-is-cut"])),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    max_chars=st.integers(5, 14),
    activation=st.sampled_from(["relu", "tanh"]),
)
@settings(max_examples=40, deadline=None)
def test_shortened_words_have_bit_equal_vectors(words, widths, max_chars, activation):
    layer = CharCNN([(width, 3) for width in widths], 4, activation)
    layer.build((None, None, max_chars))
    randomize(layer)
    whole = batch_to_ids([words], max_chars)
    short = distinct_characters(words, max(widths), max_chars)[None]
    np.testing.assert_array_equal(short, whole[:, :, : short.shape[-1]])
    np.testing.assert_array_equal(layer(short), layer(whole))


def test_words_are_as_short_as_they_may_be():
    # begin, two letters, end, then one window of the widest filter that sees padding
    assert distinct_characters(["ab", "c"], 3, 50).shape == (2, 7)
    assert distinct_characters(["é"], 3, 50).shape == (1, 7)
    assert distinct_characters(["ab"], 3, 5).shape == (1, 5)
    assert distinct_characters([""], 1, 50).shape == (1, 4)
