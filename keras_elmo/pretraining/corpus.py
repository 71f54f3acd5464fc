"""Text for a language model: shards of tokenised sentences, read as a stream."""

import dataclasses
import glob
import gzip
import itertools
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from keras_elmo.errors import FormatError
from keras_elmo.text.vocabulary import Vocabulary

# Sentences that are shuffled among one another: some ten megabytes of text.
BLOCK = 65536
_BLOCK_CHARACTERS = 1 << 25  # where lines are long, a block has fewer of them
_COUNTED = 1 << 20  # words whose numbers are gathered before they are counted


def find_shards(pattern: str) -> list[str]:
    """The file of that name, or the files that a pattern names, sorted.

    Raises:
        FileNotFoundError: There are none.

    >>> find_shards("no/such/*.txt")
    Traceback (most recent call last):
    FileNotFoundError: no/such/*.txt: expected at least one file, found none.
    """
    if os.path.exists(pattern):
        return [pattern]
    paths = sorted(glob.glob(os.path.expanduser(pattern)))
    if not paths:
        raise FileNotFoundError(f"{pattern}: expected at least one file, found none.")
    return paths


def read_sentences(
    paths: Iterable[str | os.PathLike],
    errors: str = "strict",
    keep_blank_lines: bool = False,
) -> Iterator[list[str]]:
    """The sentences of text files, one a line, words split at white space.

    Args:
        paths: UTF-8 files, those that end in `.gz` compressed. Only "\\n" ends a line.
        errors: `"strict"`, or `"replace"` to read U+FFFD for what is not UTF-8.
        keep_blank_lines: Whether a blank line is a sentence of no words, as in
            bilm-tf; by default it is passed over.

    Raises:
        FormatError: Not UTF-8 or not gzip; file and line are named.
        OSError: A file cannot be opened.
    """
    for path in paths:
        for _, line in _read_lines(path, errors):
            words = line.split()
            if words or keep_blank_lines:
                yield words


def _read_lines(path, errors, offset=0):
    """Pairs of where a line begins, in bytes of the text, and the line."""
    with _open(path) as file:
        try:
            file.seek(offset)
            for line in file:
                # A byte order mark is no part of the first word.
                yield offset, line.decode("utf-8" if offset else "utf-8-sig", errors)
                offset += len(line)
        except UnicodeDecodeError as error:
            where = _line_number(path, offset)
            raise FormatError(
                f"{path}: line {where}: expected UTF-8, found: {error} "
                "(--errors replace reads on)."
            ) from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FormatError(
                f"{path}: after byte {offset} of its text: expected gzip data, found: "
                f"{error}."
            ) from error


def _open(path):
    return gzip.open(path) if str(path).endswith(".gz") else open(path, "rb")


def _line_number(path, offset):
    with _open(path) as file:
        number, left = 1, offset
        while left and (part := file.read(min(left, 1 << 20))):
            number += part.count(b"\n")
            left -= len(part)
    return number


@dataclasses.dataclass
class CorpusCounts:
    """How much text there is.

    Attributes:
        sentences: Lines that are not blank.
        words: Their words.
        unknown: Those of them that are not in the vocabulary.
        empty: Files without a sentence.
        occurrences: int64, for each word of the vocabulary: how often it is there;
            the two boundaries once a sentence.
    """

    sentences: int
    words: int
    unknown: int
    empty: list[str]
    occurrences: np.ndarray

    @property
    def tokens(self) -> int:
        """Words and sentence ends: what a language model predicts in one pass."""
        return self.sentences + self.words

    def facts(self) -> dict[str, Any]:
        """All of it but the occurrences, as JSON can hold it."""
        facts = {**vars(self), "tokens": self.tokens}
        del facts["occurrences"]
        return facts


def count_corpus(
    paths: Iterable[str],
    vocabulary: Vocabulary,
    errors: str = "strict",
    stopped: Callable[[], bool] = lambda: False,
) -> CorpusCounts | None:
    """Count what is in text files, in memory of the vocabulary's size.

    Args:
        paths: See `read_sentences`.
        vocabulary: The words that are told apart.
        errors: See `read_sentences`.
        stopped: Asked now and then; where it says so, None is returned.

    Raises:
        FormatError, OSError: See `read_sentences`.

    >>> with open("text.txt", "w") as file:
    ...     _ = file.write("a b\\n")
    >>> count_corpus(["text.txt"], Vocabulary(["<S>", "</S>", "<UNK>", "a"])).tokens
    3
    """
    occurrences = np.zeros(len(vocabulary), np.int64)
    sentences, empty, ids = 0, [], []
    for path in paths:
        before = sentences
        for words in read_sentences([path], errors):
            sentences += 1
            ids += map(vocabulary.id, words)
            if len(ids) >= _COUNTED:
                occurrences += np.bincount(ids, minlength=len(vocabulary))
                ids = []
                if stopped():
                    return None
        if sentences == before:
            empty.append(path)
    occurrences += np.bincount(ids, minlength=len(vocabulary))
    words, unknown = int(occurrences.sum()), int(occurrences[vocabulary.unknown])
    occurrences[[vocabulary.begin, vocabulary.end]] = sentences
    return CorpusCounts(sentences, words, unknown, empty, occurrences)


class SentenceStream:
    """Sentences of shards without end, each pass in another order.

    The order of the shards is drawn anew for each pass; within it blocks of `BLOCK`
    sentences, or fewer long ones, are shuffled, so memory does not depend on the size
    of a shard. All draws follow from seed, stream and the number of pass and block
    alone, so a stream goes on exactly where another one of the same arguments stopped.

    Args:
        shards: Paths.
        seed: int >= 0.
        stream: Tells several streams of one seed apart.
        position: Where to go on, as `position` was; None for the start.
        errors: See `read_sentences`.

    Raises:
        FormatError: There is no sentence in any shard, or what `read_sentences`
            refuses.
        OSError: A shard cannot be opened, such as one that vanished.

    >>> with open("text.txt", "w") as file:
    ...     _ = file.write("a b\\nc\\n")
    >>> stream = SentenceStream(["text.txt"], seed=1)
    >>> first, position = next(stream), stream.position
    >>> next(stream) == next(SentenceStream(["text.txt"], 1, position=position))
    True
    """

    def __init__(
        self,
        shards: list[str],
        seed: int,
        stream: int = 0,
        position: dict[str, int] | None = None,
        errors: str = "strict",
    ):
        self._shards = list(shards)
        self._seed = [seed, stream]
        self._errors = errors
        start = {"epoch": 0, "block": 0, "shard": 0, "offset": 0, "next": 0}
        self._position = dict(position or start)
        self._sentences = self._from(**self._position)

    @property
    def position(self) -> dict[str, int]:
        """Where the stream is: pass, block, where that begins, sentences taken."""
        return dict(self._position)

    def __iter__(self):
        return self

    def __next__(self) -> list[str]:
        return next(self._sentences)

    def _from(self, epoch, block, shard, offset, next):
        taken = next
        while True:
            order = self._rng(epoch, 0).permutation(len(self._shards))
            lines = self._lines(order, shard, offset)
            empty = not (shard or offset)
            for number in itertools.count(block):
                part = list(_block(lines))
                if not part:
                    break
                empty = False
                shard, offset, _ = part[0]
                shuffle = self._rng(epoch, number + 1).permutation(len(part))
                for i in range(taken, len(part)):
                    self._position = {
                        "epoch": epoch,
                        "block": number,
                        "shard": shard,
                        "offset": offset,
                        "next": i + 1,
                    }
                    yield part[shuffle[i]][-1].split()
                taken = 0
                del part  # before the next one is read
            if empty:
                raise FormatError(
                    f"{', '.join(self._shards)}: expected sentences, found none."
                )
            epoch, block, shard, offset, taken = epoch + 1, 0, 0, 0, 0

    def _lines(self, order, shard, offset):
        """For each line that is not blank: its shard's place, where it begins, it."""
        for place in range(shard, len(order)):
            path = self._shards[order[place]]
            for begin, line in _read_lines(path, self._errors, offset):
                if line and not line.isspace():
                    yield place, begin, line
            offset = 0

    def _rng(self, *key):
        return np.random.default_rng([*self._seed, *key])


def _block(lines):
    characters = 0
    for line in itertools.islice(lines, BLOCK):
        yield line
        characters += len(line[-1])
        if characters >= _BLOCK_CHARACTERS:
            return
