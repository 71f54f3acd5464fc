"""Sentences laid end to end in rows, and the rows cut into windows."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_elmo.pretraining.corpus import SentenceStream
from keras_elmo.text.characters import (
    BEGIN_SENTENCE_WORD,
    END_SENTENCE_WORD,
    batch_to_ids,
)
from keras_elmo.text.vocabulary import Vocabulary

FORWARD, BACKWARD = 0, 1


@dataclasses.dataclass
class Window:
    """What a language model reads in one step: `batch` rows of `unroll` positions.

    Axis 0 of all arrays but `words` is the direction: forward, backward. The backward
    one is text turned round, so that both are read from left to right.

    Attributes:
        words: The window's distinct words: int32 character ids `(distinct, chars)`,
            as short as they may be without changing any vector, or, for word input,
            `(distinct,)`, numbers of the vocabulary + 1.
        inputs: int32 `(2, batch, unroll)`: rows of `words`.
        targets: int32 `(2, batch, unroll)`: numbers of the vocabulary.
        starts: bool `(2, batch, unroll)`: where a sentence starts.
        weights: float32 `(2, batch, unroll)`: 1 where there is text, 0 past its end.
    """

    words: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray
    starts: np.ndarray
    weights: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, as `LanguageModel` reads them."""
        return dict(vars(self))


@dataclasses.dataclass
class WordReader:
    """How a language model reads and numbers words.

    Attributes:
        vocabulary: Gives the targets.
        widest_filter: Width in characters of the encoder's widest filter; 0 for word
            input.
        max_chars: Characters a word.
    """

    vocabulary: Vocabulary
    widest_filter: int
    max_chars: int

    def read(self, words: Sequence[str]) -> np.ndarray:
        """The array `Window.words` of distinct words."""
        if not self.widest_filter:
            return self.vocabulary.token_ids([list(words)])[0]
        # All windows of a filter that see nothing but padding give the same value, so
        # one of them, for the widest filter, is kept, and no maximum changes.
        longest = max(len(word.encode("utf-8", "ignore")) for word in words) + 2
        ids = batch_to_ids([list(words)], self.max_chars)[0]
        return ids[:, : min(self.max_chars, max(longest, 3) + self.widest_filter)]


class _Rows:
    """Rows of whole sentences end to end, which are consumed piece by piece."""

    def __init__(self, batch, position=None):
        self._rows = position or [[[], 1]] * batch  # a sentence, positions consumed

    @property
    def position(self):
        return list(self._rows)

    def take(self, texts, count):
        """For each row its pieces `(words, start, stop)`, `count` positions in all.

        `texts` has an iterator of sentences for each row; it may be one for all.
        """
        taken = []
        for r, (words, start) in enumerate(self._rows):
            pieces, left = [], count
            while left:
                if start > len(words):
                    words, start = next(texts[r], None), 0
                    if words is None:
                        words, start = [], 1
                        break
                stop = min(start + left, len(words) + 1)
                pieces.append((words, start, stop))
                left -= stop - start
                start = stop
            self._rows[r] = [words, start]
            taken.append(pieces)
        return taken


def _window(pieces, unroll, reader):
    """The window of `pieces[direction][row]`."""
    vocabulary = reader.vocabulary
    shape = (2, len(pieces[FORWARD]), unroll)
    inputs, targets = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    starts, weights = np.zeros(shape, bool), np.zeros(shape, np.float32)
    distinct = {BEGIN_SENTENCE_WORD: 0}
    ends = [
        (BEGIN_SENTENCE_WORD, vocabulary.end),
        (END_SENTENCE_WORD, vocabulary.begin),
    ]
    for direction, (mark, end) in enumerate(ends):
        for row, row_pieces in enumerate(pieces[direction]):
            read, wanted, at = [], [], 0
            for words, start, stop in row_pieces:
                if start == 0:
                    starts[direction, row, at] = True
                    read.append(mark)
                read += _part(words, max(start - 1, 0), stop - 1, direction)
                wanted += map(vocabulary.id, _part(words, start, stop, direction))
                if stop > len(words):
                    wanted.append(end)
                at += stop - start
            inputs[direction, row, :at] = [
                distinct.setdefault(word, len(distinct)) for word in read
            ]
            targets[direction, row, :at] = wanted
            weights[direction, row, :at] = 1.0
    return Window(reader.read(list(distinct)), inputs, targets, starts, weights)


def _part(words, start, stop, direction):
    """`words[start:stop]` in the order in which a direction reads them."""
    if direction == FORWARD:
        return words[start:stop]
    stop = min(stop, len(words))
    return words[len(words) - stop : len(words) - start][::-1]


def text_windows(
    sentences: Iterable[list[str]],
    reader: WordReader,
    batch: int,
    unroll: int,
    drop_unfinished: bool = False,
) -> Iterator[Window]:
    """Windows over text that ends; both directions read the same sentences.

    A row takes the next sentence when its own runs out, as in bilm-tf
    `bilm/data.py`. A sentence of n words is n + 1 positions in either direction:
    `<S> w1 .. wn` predicts `w1 .. wn </S>`, and `</S> wn .. w1` predicts
    `wn .. w1 <S>`.

    Args:
        sentences: Lists of words.
        reader: How words are read.
        batch: Rows.
        unroll: Positions of a window.
        drop_unfinished: Stop where a row finds no sentence, as bilm does. By default
            the last windows are filled up with positions of weight 0, so that no text
            is dropped.
    """
    return _windows([iter(sentences)] * batch, reader, unroll, drop_unfinished)


def row_windows(
    texts: Iterable[Iterable[list[str]]], reader: WordReader, unroll: int
) -> Iterator[Window]:
    """Windows over texts that each have a row of their own; else as `text_windows`.

    Args:
        texts: For each row its sentences.
        reader: How words are read.
        unroll: Positions of a window.
    """
    return _windows([iter(text) for text in texts], reader, unroll)


def _windows(texts, reader, unroll, drop_unfinished=False):
    rows = _Rows(len(texts))
    while True:
        pieces = rows.take(texts, unroll)
        lengths = [sum(stop - start for _, start, stop in row) for row in pieces]
        if not any(lengths) or (drop_unfinished and min(lengths) < unroll):
            return
        yield _window([pieces, pieces], unroll, reader)


class TrainingWindows:
    """Windows over shards, without end, from any position.

    Args:
        shards: Paths.
        reader: How words are read.
        batch: Rows.
        unroll: Positions of a window.
        parts: Windows that the rows are divided among.
        seed: Decides the order of sentences.
        independent: Whether the backward direction has sentences of its own, as in
            bilm-tf; else both directions read the same ones.
        position: Where to go on, as given with a window; None for the start.
        errors: See `corpus.read_sentences`.

    Iterating gives pairs: a list of `parts` windows of `batch / parts` rows each, and
    the position after them, which JSON can hold.
    """

    def __init__(
        self,
        shards: list[str],
        reader: WordReader,
        batch: int,
        unroll: int,
        parts: int = 1,
        seed: int = 0,
        independent: bool = False,
        position: list[dict[str, Any]] | None = None,
        errors: str = "strict",
    ):
        self._reader, self._unroll = reader, unroll
        self._part_rows = batch // parts
        self._batch = batch
        position = position or [{"text": None, "rows": None}] * (1 + independent)
        self._streams = [
            (
                SentenceStream(shards, seed, number, at["text"], errors),
                _Rows(batch, at["rows"]),
            )
            for number, at in enumerate(position)
        ]

    def __iter__(self):
        return self

    def __next__(self) -> tuple[list[Window], list[dict[str, Any]]]:
        taken = [
            rows.take([text] * self._batch, self._unroll)
            for text, rows in self._streams
        ]
        both = [taken[0], taken[-1]]
        windows = []
        for first in range(0, self._batch, self._part_rows):
            rows = slice(first, first + self._part_rows)
            pieces = [direction[rows] for direction in both]
            windows.append(_window(pieces, self._unroll, self._reader))
        position = [
            {"text": text.position, "rows": rows.position}
            for text, rows in self._streams
        ]
        return windows, position
