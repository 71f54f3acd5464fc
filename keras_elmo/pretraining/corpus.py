"""Text for a language model: shards of tokenised sentences, and windows over them."""

import dataclasses
import glob
import gzip
import os
from collections.abc import Iterable, Iterator

import numpy as np

from keras_elmo.errors import FormatError
from keras_elmo.text.characters import (
    BEGIN_SENTENCE_WORD,
    DEFAULT_MAX_CHARS,
    END_SENTENCE_WORD,
    batch_to_ids,
)
from keras_elmo.text.vocabulary import Vocabulary

_SHUFFLE_BUFFER = 65536  # sentences


def find_shards(pattern: str) -> list[str]:
    """The files that a pattern names, sorted.

    Raises:
        FileNotFoundError: There are none.

    >>> find_shards("no/such/*.txt")
    Traceback (most recent call last):
    FileNotFoundError: no/such/*.txt: expected at least one file, found none.
    """
    paths = sorted(glob.glob(os.path.expanduser(pattern)))
    if not paths:
        raise FileNotFoundError(f"{pattern}: expected at least one file, found none.")
    return paths


def read_sentences(paths: Iterable[str]) -> Iterator[list[str]]:
    """The sentences of text files, one a line, words split at white space.

    Args:
        paths: UTF-8 files, those that end in `.gz` compressed. Blank lines are
            passed over. Only "\\n" ends a line.

    Raises:
        FormatError: Not UTF-8 or not gzip; file and line are named.
        OSError: A file cannot be opened.
    """
    for path in paths:
        opened = gzip.open(path) if str(path).endswith(".gz") else open(path, "rb")
        with opened as file:
            number = 0
            try:
                for line in file:
                    number += 1
                    words = line.decode("utf-8").split()
                    if words:
                        yield words
            except UnicodeDecodeError as error:
                raise FormatError(
                    f"{path}: line {number}: expected UTF-8, found: {error}."
                ) from error
            except (gzip.BadGzipFile, EOFError) as error:
                raise FormatError(
                    f"{path}: after line {number}: expected gzip data, found: {error}."
                ) from error


def shuffled(sentences: Iterable, rng: np.random.Generator) -> Iterator:
    """The same sentences in another order, by a buffer of bounded size."""
    buffer = []
    for sentence in sentences:
        if len(buffer) < _SHUFFLE_BUFFER:
            buffer.append(sentence)
            continue
        i = rng.integers(len(buffer))
        buffer[i], sentence = sentence, buffer[i]
        yield sentence
    rng.shuffle(buffer)
    yield from buffer


@dataclasses.dataclass
class Window:
    """What a language model reads in one step: `batch` rows of `unroll` positions.

    Attributes:
        characters: int32 `(distinct, chars)`: the character ids of the window's
            distinct words, as short as they may be without changing any vector.
        forward_inputs, backward_inputs: int32 `(batch, unroll)`: rows of `characters`.
        forward_targets, backward_targets: int32 `(batch, unroll)`: numbers of the
            vocabulary.
        starts: bool `(batch, unroll)`: where a sentence starts.
        weights: float32 `(batch, unroll)`: 1 where there is text, 0 past its end.
    """

    characters: np.ndarray
    forward_inputs: np.ndarray
    backward_inputs: np.ndarray
    forward_targets: np.ndarray
    backward_targets: np.ndarray
    starts: np.ndarray
    weights: np.ndarray


class _Row:
    """One row's stream: whole sentences end to end, consumed in pieces."""

    def __init__(self):
        self.forward, self.backward = [], []
        self.forward_targets, self.backward_targets = [], []
        self.starts = []

    def add(self, words, vocabulary):
        ids = [vocabulary.id(word) for word in words]
        self.forward += [BEGIN_SENTENCE_WORD, *words]
        self.forward_targets += [*ids, vocabulary.end]
        self.backward += [END_SENTENCE_WORD, *reversed(words)]
        self.backward_targets += [*reversed(ids), vocabulary.begin]
        self.starts += [True] + [False] * len(words)

    def take(self, count):
        taken = []
        for name in (
            "forward",
            "backward",
            "forward_targets",
            "backward_targets",
            "starts",
        ):
            items = getattr(self, name)
            taken.append(items[:count])
            setattr(self, name, items[count:])
        return taken

    def __len__(self):
        return len(self.starts)


def windows(
    sentences: Iterable[list[str]],
    vocabulary: Vocabulary,
    batch: int,
    unroll: int,
    widest_filter: int,
    max_chars: int = DEFAULT_MAX_CHARS,
) -> Iterator[Window]:
    """Lay sentences end to end in rows and cut the rows into windows.

    A row takes the next sentence when its own runs out, as in bilm-tf
    `bilm/data.py`. A sentence of n words is n + 1 positions in either direction:
    `<S> w1 .. wn` predicts `w1 .. wn </S>`, and `</S> wn .. w1` predicts
    `wn .. w1 <S>`. Both directions read the same sentence at the same time. The
    last windows are filled up with positions of weight 0, so no text is dropped.

    Args:
        sentences: Lists of words.
        vocabulary: Gives the targets; what is read are characters.
        batch: Rows.
        unroll: Positions of a window.
        widest_filter: Width in characters of the encoder's widest filter.
        max_chars: Characters a word.
    """
    source = iter(sentences)
    rows = [_Row() for _ in range(batch)]
    exhausted = False
    while True:
        for row in rows:
            while len(row) < unroll and not exhausted:
                words = next(source, None)
                if words is None:
                    exhausted = True
                else:
                    row.add(words, vocabulary)
        pieces = [row.take(unroll) for row in rows]
        if not any(starts for *_, starts in pieces):
            return
        yield _window(pieces, unroll, widest_filter, max_chars)


def _window(pieces, unroll, widest_filter, max_chars):
    distinct = {}

    def filled(index, value, dtype, convert=None):
        array = np.full((len(pieces), unroll), value, dtype)
        for row, piece in enumerate(pieces):
            items = piece[index]
            array[row, : len(items)] = [convert(x) for x in items] if convert else items
        return array

    def number(word):
        return distinct.setdefault(word, len(distinct))

    number(BEGIN_SENTENCE_WORD)
    forward, backward = (filled(i, 0, np.int32, number) for i in (0, 1))
    forward_targets, backward_targets = (filled(i, 0, np.int32) for i in (2, 3))
    weights = np.zeros((len(pieces), unroll), np.float32)
    for row, piece in enumerate(pieces):
        weights[row, : len(piece[4])] = 1.0
    return Window(
        characters=distinct_characters(distinct, widest_filter, max_chars),
        forward_inputs=forward,
        backward_inputs=backward,
        forward_targets=forward_targets,
        backward_targets=backward_targets,
        starts=filled(4, False, bool),
        weights=weights,
    )


def distinct_characters(words, widest_filter, max_chars):
    """Character ids `(words, chars)`, cut where only padding of no effect follows.

    All windows that see nothing but padding give the same value, so one of them, for
    the widest filter, is kept, and the maximum over a word stays what it was.
    """
    longest = max(len(word.encode("utf-8", "ignore")) for word in words) + 2
    ids = batch_to_ids([list(words)], max_chars)[0]
    return ids[:, : min(max_chars, max(longest, 3) + widest_filter)]
