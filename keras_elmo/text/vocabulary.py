"""A language model's vocabulary: a text file with one word a line."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from keras_elmo.atomic import written_beside
from keras_elmo.errors import FormatError

BEGIN, END, UNKNOWN = "<S>", "</S>", "<UNK>"
SPECIALS = (BEGIN, END, UNKNOWN)
# A line of AI2's published vocabulary that its code passes over.
_SKIPPED = "!!!MAXTERMID"


class Vocabulary:
    """Words and their numbers; a word that is not in it has the number of `<UNK>`.

    Args:
        words: All words in order, the three specials among them. The line
            `!!!MAXTERMID` of AI2's published vocabulary is passed over.
        source: What errors call it, such as the file's path.

    Raises:
        FormatError: A special that is missing, a blank word, a word that is there
            twice; the line is named.

    Example:

    >>> vocabulary = Vocabulary(["<S>", "</S>", "<UNK>", "the"])
    >>> len(vocabulary), vocabulary.id("the"), vocabulary.id("zyzzyva")
    (4, 3, 2)
    """

    def __init__(self, words: Iterable[str], source: str = "vocabulary"):
        self.source = source
        self.words, self._ids = [], {}
        self._skipped = []  # at which number a line was passed over
        lines = {}
        for line, word in enumerate(words, 1):
            if word == _SKIPPED:
                self._skipped.append(len(self.words))
                continue
            if not word:
                raise FormatError(
                    f"{source}: line {line}: expected a word, found none."
                )
            if word in lines:
                raise FormatError(
                    f"{source}: line {line}: expected each word once, found "
                    f"{word!r} again (first in line {lines[word]})."
                )
            lines[word] = line
            self._ids[word] = len(self.words)
            self.words.append(word)
        for special in SPECIALS:
            if special not in self._ids:
                raise FormatError(f"{source}: expected a line {special}, found none.")
        self.begin, self.end, self.unknown = (self._ids[word] for word in SPECIALS)

    def __len__(self):
        return len(self.words)

    def id(self, word: str) -> int:
        """The number of a word, that of `<UNK>` where it has none."""
        return self._ids.get(word, self.unknown)

    def line(self, number: int) -> int:
        """The line of the file in which the word of a number stands.

        >>> Vocabulary(["<S>", "</S>", "!!!MAXTERMID", "<UNK>"]).line(2)
        4
        """
        return number + 1 + sum(at <= number for at in self._skipped)

    def token_ids(self, sentences: Iterable[list[str]]) -> np.ndarray:
        """Sentences as a word-input model reads them: number + 1, 0 for padding.

        Args:
            sentences: Lists of words.

        Returns:
            int32 array `(batch, longest)`.

        >>> Vocabulary(["<S>", "</S>", "<UNK>", "a"]).token_ids([["a", "b"], ["a"]])
        array([[4, 3],
               [4, 0]], dtype=int32)
        """
        rows = [[self.id(word) + 1 for word in sentence] for sentence in sentences]
        ids = np.zeros((len(rows), max(map(len, rows), default=0)), np.int32)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        return ids


def read_vocabulary(path: str | os.PathLike) -> Vocabulary:
    """Read a vocabulary file, UTF-8, one word a line.

    Raises:
        FormatError: Not UTF-8, or what `Vocabulary` refuses, with its line.
        OSError: The file cannot be opened.
    """
    return Vocabulary(read_words(path), str(path))


def read_words(path: str | os.PathLike) -> list[str]:
    """The lines of a UTF-8 file, without the white space around them.

    Raises:
        FormatError: Not UTF-8; the line is named.
        OSError: The file cannot be opened.
    """
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    words = []
    for i, line in enumerate(lines):
        try:
            words.append(line.decode("utf-8" if i else "utf-8-sig").strip())
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{path}: line {i + 1}: expected UTF-8, {error}."
            ) from error
    return words


def write_vocabulary(path: str | os.PathLike, words: Iterable[str]):
    """Write a vocabulary file; it appears whole or not at all."""
    with (
        written_beside(path) as beside,
        open(beside, "w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(word + "\n" for word in words)


def count_words(sentences: Iterable[list[str]]) -> Counter:
    """How often each word occurs."""
    counts = Counter()
    for sentence in sentences:
        counts.update(sentence)
    return counts


def most_frequent(
    counts: Counter, min_count: int = 1, size: int | None = None
) -> Iterator[str]:
    """The words of a vocabulary: specials, then by falling frequency.

    Words that occur equally often stand in the order of their code points, so that
    the result depends on the counts alone.

    Args:
        counts: How often each word occurs.
        min_count: Words that occur less often are left out.
        size: At most so many words, specials included.

    >>> list(most_frequent(Counter({"b": 2, "a": 2, "c": 1}), min_count=2))
    ['<S>', '</S>', '<UNK>', 'a', 'b']
    """
    words = [word for word in counts if counts[word] >= min_count]
    words = [word for word in words if word not in (*SPECIALS, _SKIPPED)]
    words.sort(key=lambda word: (-counts[word], word))
    yield from SPECIALS
    yield from words if size is None else words[: max(size - len(SPECIALS), 0)]
