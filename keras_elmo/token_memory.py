"""Token vectors of words that were met before."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from keras_elmo.text.characters import (
    BEGIN_SENTENCE_WORD,
    END_SENTENCE_WORD,
    pad_sentences,
)

_BOUNDARIES = {BEGIN_SENTENCE_WORD: 0, END_SENTENCE_WORD: 1}


class TokenMemory:
    """Looks up token vectors, and has words encoded that it does not know.

    Args:
        encode: From an object array `(1, words)` to an array `(words + 2, P)`, with
            the vectors of `<S>` and `</S>` first.
        size: Words to keep from one call to the next. When more would have to be kept,
            all are forgotten.

    >>> def encode(words):
    ...     print(words[0])
    ...     return np.array([[0], [1], *([len(word)] for word in words[0])])
    >>> memory = TokenMemory(encode, size=3)
    >>> memory.look_up([["so", "so"], ["far"]])[:, :, 0]
    ['so' 'far']
    array([[2, 2],
           [3, 0]])
    >>> memory.look_up([["so", "many"]])[:, :, 0]
    ['many']
    array([[2, 4]])
    """

    def __init__(self, encode: Callable[[np.ndarray], np.ndarray], size: int):
        self._encode = encode
        self._size = size
        self._places = dict(_BOUNDARIES)
        self._vectors = None

    def boundaries(self) -> np.ndarray:
        """The vectors of `<S>` and `</S>`, `(2, P)`."""
        if self._vectors is None:
            self._add([])
        return self._vectors[: len(_BOUNDARIES)]

    def look_up(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        """The vectors of words.

        Args:
            rows: Lists of words.

        Returns:
            `(rows, longest, P)`, with any vectors at padding.
        """
        words = dict.fromkeys(itertools.chain.from_iterable(rows))
        new = [word for word in words if word not in self._places]
        if len(self._places) - len(_BOUNDARIES) + len(new) > self._size:
            self._places = dict(_BOUNDARIES)
            new = [word for word in words if word not in _BOUNDARIES]
        if new or self._vectors is None:
            self._add(new)
        places = np.zeros((len(rows), max(map(len, rows))), np.int32)
        for found, row in zip(places, rows, strict=True):
            found[: len(row)] = [self._places[word] for word in row]
        return self._vectors[places]

    def _add(self, words):
        found = np.asarray(self._encode(pad_sentences([words])[0]))
        if self._vectors is None:
            self._vectors = found[: len(_BOUNDARIES)].copy()
        first = len(self._places)
        self._reserve(first + len(words))
        self._vectors[first : first + len(words)] = found[len(_BOUNDARIES) :]
        self._places.update(zip(words, itertools.count(first)))

    def _reserve(self, count):
        have = len(self._vectors)
        if count <= have:
            return
        # Twice as much each time, or all would be copied for each batch.
        room = max(count, min(2 * have, self._size + len(_BOUNDARIES)))
        vectors = np.empty((room, self._vectors.shape[1]), self._vectors.dtype)
        vectors[:have] = self._vectors
        self._vectors = vectors
