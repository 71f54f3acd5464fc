"""Windows over text, against bilm's own batches and a plain reading of the text."""

import gzip
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.layers.char_cnn import CharCNN
from keras_elmo.pretraining import corpus
from keras_elmo.pretraining.corpus import SentenceStream
from keras_elmo.pretraining.windows import (
    BACKWARD,
    FORWARD,
    TrainingWindows,
    WordReader,
    text_windows,
)
from keras_elmo.text.characters import batch_to_ids
from keras_elmo.text.vocabulary import SPECIALS, Vocabulary
from tests.helpers import randomize
from tests.pretraining import small_models

LETTERS = "abcdé"  # "é" is in no vocabulary here
WORDS = st.text(alphabet=LETTERS, min_size=1, max_size=6)
TEXTS = st.lists(st.lists(WORDS, max_size=6), max_size=8)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK", 5)


def reader_of(*words):
    return WordReader(Vocabulary([*SPECIALS, *words]), widest_filter=3, max_chars=20)


def spelled(window):
    """The distinct words that a window reads: its characters, spelled back."""

    def word(row):
        middle = row[1 : list(row).index(260)] - 1
        if middle.tolist() in ([256], [257]):
            return ["<S>", "</S>"][middle[0] - 256]
        return bytes(middle.tolist()).decode()

    return [word(row) for row in window.words]


def rows_of(windows, batch):
    """`[direction][row]`: its positions, all windows joined, but those of weight 0.

    A position is the word that is read, the number that is predicted, and whether a
    sentence starts.
    """
    rows = [[[] for _ in range(batch)] for _ in range(2)]
    for window in windows:
        assert window.inputs.shape[:2] == (2, batch)
        words = spelled(window)
        assert len(set(words)) == len(words)
        for direction, row in itertools.product(range(2), range(batch)):
            at = (direction, row)
            weights = window.weights[at].tolist()
            assert weights == sorted(weights, reverse=True)
            count = int(sum(weights))
            assert not window.starts[at][count:].any()
            read = [words[i] for i in window.inputs[at]]
            position = zip(read, window.targets[at], window.starts[at], strict=True)
            rows[direction][row] += [
                (word, int(target), bool(start)) for word, target, start in position
            ][:count]
    return rows


def sentences_in(row, direction, vocabulary):
    """The sentences of a row's positions; what is predicted is checked."""
    marks = [("<S>", vocabulary.end), ("</S>", vocabulary.begin)]
    first, last = marks[direction]
    starts = [i for i, (_, _, start) in enumerate(row) if start]
    assert not row or starts[0] == 0
    for start, end in itertools.pairwise([*starts, len(row)]):
        read, predicted, _ = zip(*row[start:end], strict=True)
        assert read[0] == first
        words = list(read[1:])
        assert list(predicted) == [*map(vocabulary.id, words), last]
        yield words if direction == FORWARD else words[::-1]


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
    reader = reader_of(*sorted(known))
    rows = rows_of(text_windows(sentences, reader, batch, unroll), batch)
    found = [
        [list(sentences_in(row, direction, reader.vocabulary)) for row in part]
        for direction, part in enumerate(rows)
    ]
    assert found[FORWARD] == found[BACKWARD]
    assert sorted(itertools.chain(*found[FORWARD])) == sorted(sentences)


def test_windows_equal_bilms_batches():
    golden = np.load(small_models.LM / "batches.npz")
    lines = (small_models.LM / "train.txt").read_text(encoding="utf-8").splitlines()
    # bilm takes the blank line for a sentence of no words; `read_sentences` skips it.
    sentences = [line.split() for line in lines]
    assert [] in sentences
    stream = text_windows(sentences, small_models.reader(), 3, 4)
    for step, window in enumerate(itertools.islice(stream, 6)):
        for direction, suffix in enumerate(("", "_reverse")):
            np.testing.assert_array_equal(
                window.targets[direction], golden[f"next_token_id{suffix}"][step]
            )
            short = window.words[window.inputs[direction]]
            characters = np.full((3, 4, 12), 261)
            characters[..., : short.shape[-1]] = short
            expected = golden[f"tokens_characters{suffix}"][step] + 1
            np.testing.assert_array_equal(characters, expected)
        begin = small_models.vocabulary().begin
        np.testing.assert_array_equal(
            window.starts[FORWARD], golden["token_ids"][step] == begin
        )
        np.testing.assert_array_equal(window.starts[FORWARD], window.starts[BACKWARD])
        assert (window.weights == 1).all()


@given(sentences=TEXTS, batch=st.integers(1, 3), unroll=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_unfinished_windows_are_dropped_on_request(sentences, batch, unroll):
    reader = reader_of("a")
    whole = text_windows(sentences, reader, batch, unroll)
    full = [w for w in whole if w.weights.all()]
    dropped = list(text_windows(sentences, reader, batch, unroll, True))
    assert len(dropped) == len(full)
    for found, expected in zip(dropped, full, strict=True):
        np.testing.assert_array_equal(found.targets, expected.targets)


@pytest.mark.parametrize("sentences", [[], iter([])])
def test_no_sentences_give_no_windows(sentences):
    assert list(text_windows(sentences, reader_of(), 2, 3)) == []


def test_endless_text_is_read_as_it_is_needed():
    source = itertools.count()
    next(text_windows((["a"] for _ in source), reader_of(), 2, 4))
    assert next(source) <= 5  # two sentences of two positions a row


def test_sentence_longer_than_a_window_goes_on_in_the_next_ones():
    words = [f"w{i}" for i in range(10)]
    windows = list(text_windows([words], reader_of(*words), 1, 4))
    assert [w.starts.any() for w in windows] == [True, False, False]
    ((row,), (back,)) = rows_of(windows, 1)
    assert [word for word, *_ in row] == ["<S>", *words]
    assert [word for word, *_ in back] == ["</S>", *words[::-1]]


# Training.


def write_shards(folder, count=3):
    """`count` shards, every other one compressed, and their 9 sentences each."""
    shards, sentences = [], []
    for i in range(count):
        name = "abc"[i]
        lines = [f"{name} " * (j % 4 + 1) + str(j) for j in range(9)]
        text = "\n\n".join(lines).encode() + b"\n"
        path = folder / (f"{name}.txt" if i % 2 else f"{name}.gz")
        path.write_bytes(text if i % 2 else gzip.compress(text))
        shards.append(str(path))
        sentences += [line.split() for line in lines]
    return shards, sentences


def arrays_of(windows):
    return [list(window.arrays().items()) for window in windows]


def assert_same_windows(found, expected):
    for one, other in zip(arrays_of(found), arrays_of(expected), strict=True):
        for (name, array), (other_name, other_array) in zip(one, other, strict=True):
            assert name == other_name
            np.testing.assert_array_equal(array, other_array, name)


@given(
    batch=st.sampled_from([2, 4]),
    unroll=st.integers(1, 12),
    parts=st.sampled_from([1, 2]),
    seed=st.integers(0, 5),
    independent=st.booleans(),
    step=st.integers(0, 30),
)
@settings(max_examples=30, deadline=None)
def test_training_goes_on_from_the_position_after_any_step(
    tmp_path_factory, batch, unroll, parts, seed, independent, step
):
    shards, _ = write_shards(tmp_path_factory.mktemp("shards"))
    arguments = (shards, reader_of("a"), batch, unroll, parts, seed, independent)
    stream, position = TrainingWindows(*arguments), None
    for _ in range(step):
        _, position = next(stream)
    position = json.loads(json.dumps(position))  # as a checkpoint has it
    resumed = TrainingWindows(*arguments, position=position)
    for _ in range(8):
        (windows, position), (others, other_position) = next(stream), next(resumed)
        assert_same_windows(others, windows)
        assert other_position == position


@pytest.mark.parametrize("independent", [False, True])
def test_each_pass_reads_every_sentence_once_in_each_direction(tmp_path, independent):
    shards, sentences = write_shards(tmp_path)
    reader = reader_of("a", "b", "3")
    stream = TrainingWindows(shards, reader, 2, 3, seed=4, independent=independent)
    positions = sum(len(words) + 1 for words in sentences)
    windows = (window for (window,), _ in stream)
    rows = rows_of(itertools.islice(windows, 2 * positions // 6), 2)
    read = []
    for direction, part in enumerate(rows):
        whole = [row[: -next_start(row)] for row in part]
        read.append(
            [list(sentences_in(r, direction, reader.vocabulary)) for r in whole]
        )
    for direction in read:
        # Two passes but for what is under way at the end: none more often than twice.
        counts = [sum(direction, []).count(words) for words in sentences]
        assert set(counts) <= {1, 2} and counts.count(1) <= 2
    assert (read[FORWARD] == read[BACKWARD]) is not independent


def next_start(row):
    """Positions from the last sentence start on, which may be a sentence cut off."""
    return 1 + [start for _, _, start in reversed(row)].index(True)


def test_streams_of_both_directions_are_those_of_the_corpus(tmp_path):
    shards, _ = write_shards(tmp_path)
    reader = reader_of("a")
    stream = TrainingWindows(shards, reader, 1, 40, seed=4, independent=True)
    rows = rows_of([next(stream)[0][0]], 1)
    for direction, part in enumerate(rows):
        row = part[0][: -next_start(part[0])]
        found = list(sentences_in(row, direction, reader.vocabulary))
        text = SentenceStream(shards, 4, stream=direction)
        assert found == list(itertools.islice(text, len(found))) and len(found) > 5


def test_parts_are_the_rows_of_the_whole(tmp_path):
    shards, _ = write_shards(tmp_path)
    reader = reader_of("a")
    whole, parted = (
        TrainingWindows(shards, reader, 6, 4, parts, seed=2) for parts in (1, 3)
    )
    for ((window,), position), (parts, other_position) in itertools.islice(
        zip(whole, parted, strict=True), 10
    ):
        assert position == other_position and len(parts) == 3
        for i, part in enumerate(parts):
            rows = slice(2 * i, 2 * i + 2)
            np.testing.assert_array_equal(part.targets, window.targets[:, rows])
            words, others = spelled(window), spelled(part)
            expected = [words[i] for i in window.inputs[:, rows].ravel()]
            assert [others[i] for i in part.inputs.ravel()] == expected


def test_training_windows_are_always_full(tmp_path):
    shards, _ = write_shards(tmp_path, 1)
    stream = TrainingWindows(shards, reader_of(), 3, 7)
    for (window,), _ in itertools.islice(stream, 20):
        assert (window.weights == 1).all()


# How words are read.


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
    reader = WordReader(Vocabulary(SPECIALS), max(widths), max_chars)
    short = reader.read(words)[None]
    np.testing.assert_array_equal(short, whole[:, :, : short.shape[-1]])
    np.testing.assert_array_equal(layer(short), layer(whole))


@pytest.mark.parametrize(
    ("words", "widest_filter", "max_chars", "length"),
    [
        # begin, two letters, end, then one window of the widest filter on padding
        (["ab", "c"], 3, 50, 7),
        (["é"], 3, 50, 7),
        (["ab"], 3, 5, 5),
        ([""], 1, 50, 4),
    ],
)
def test_words_are_as_short_as_they_may_be(words, widest_filter, max_chars, length):
    reader = WordReader(Vocabulary(SPECIALS), widest_filter, max_chars)
    assert reader.read(words).shape == (len(words), length)


def test_word_input_reads_numbers_that_leave_0_to_padding():
    reader = WordReader(Vocabulary([*SPECIALS, "a"]), widest_filter=0, max_chars=50)
    (window,) = text_windows([["a", "x", "a"]], reader, 1, 4)
    assert window.words.tolist() == [1, 4, 3, 2]  # <S> a <UNK> </S>
    assert window.words[window.inputs].tolist() == [[[1, 4, 3, 4]], [[2, 4, 3, 4]]]
    assert window.targets.tolist() == [[[3, 2, 3, 1]], [[3, 2, 3, 0]]]
