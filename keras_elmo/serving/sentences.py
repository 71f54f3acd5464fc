"""Sentences as both clients take them: checked, and split into requests."""

import re
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence

import numpy as np

# About what a tokenizer finds. It only decides how many sentences go together.
_WORD = re.compile(r"\w+|[^\w\s]")
_WORD_IN_BYTES = re.compile(_WORD.pattern.encode())


def is_raw(sentence) -> bool:
    """Whether a sentence is a string, and not a list of words.

    >>> is_raw("a cat"), is_raw(["a", "cat"])
    (True, False)
    """
    return isinstance(sentence, str | bytes)


def words_of(sentence) -> list:
    """The words of a sentence; a string's as the signature `default` splits them.

    Args:
        sentence: str, bytes, or sequence of words.

    Returns:
        list of str or bytes.

    >>> words_of("a cat"), words_of(["a", "cat"])
    ([b'a', b'cat'], ['a', 'cat'])
    """
    if not is_raw(sentence):
        return list(sentence)
    return to_bytes(sentence).split()  # Of bytes: at white space of ASCII alone.


def to_bytes(text: str | bytes) -> bytes:
    """Text in UTF-8.

    Args:
        text: A sentence or a word.

    Raises:
        ValueError: if it has half of a surrogate pair, which no UTF-8 can hold.

    >>> to_bytes("é")
    b'\\xc3\\xa9'
    """
    try:
        return text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise ValueError(
            f"sentences: expected text that UTF-8 can hold, received {text!r}."
        ) from error


class Splitter:
    """Sentences in, lists of sentences for one request out, in the same order.

    Args:
        batch_size: Most sentences in a list.
        max_words: Most words in a list, each sentence counted as long as the longest;
            a longer sentence goes alone.

    Raises:
        ValueError: if a number is no int >= 1.

    >>> splitter = Splitter(batch_size=2, max_words=100)
    >>> [splitter.add(sentence) for sentence in ("a", "b", "c")], splitter.rest()
    ([[], [['a', 'b']], []], [['c']])
    """

    def __init__(self, batch_size: int, max_words: int):
        for name, value in (("batch_size", batch_size), ("max_words", max_words)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected an int >= 1, received {value!r}.")
        self._batch_size = batch_size
        self._max_words = max_words
        self._waiting = []
        self._longest = 0
        self._count = 0
        self._raw = None

    def add(self, sentence) -> list[list]:
        """Take a sentence; returns the lists that are complete by it.

        Raises:
            ValueError: if it is no sentence, or not of the kind of those before it.
        """
        self._check(sentence)
        self._count += 1
        size = _size(sentence)
        done = []
        longest = max(self._longest, size)
        if self._waiting and longest * (len(self._waiting) + 1) > self._max_words:
            done += self.rest()
        self._waiting.append(sentence)
        self._longest = max(self._longest, size)
        if len(self._waiting) == self._batch_size:
            done += self.rest()
        return done

    def rest(self) -> list[list]:
        """The list that is not complete, or nothing."""
        rest, self._waiting, self._longest = self._waiting, [], 0
        return [rest] if rest else []

    def _check(self, sentence):
        where = f"sentences[{self._count}]"
        if not is_raw(sentence):
            _check_words(sentence, where)
        if self._raw is None:
            self._raw = is_raw(sentence)
        elif self._raw != is_raw(sentence):
            raise ValueError(
                f"{where}: expected sentences that are all str or all lists of words, "
                "received both."
            )


def split(sentences, splitter: Splitter):
    """Lists of sentences, one for each request.

    Args:
        sentences: Iterable of sentences.
        splitter: `Splitter`.

    Yields:
        list of sentences.

    >>> list(split(["a", "b", "c"], Splitter(2, 100)))
    [['a', 'b'], ['c']]
    """
    for sentence in sentences:
        yield from splitter.add(sentence)
    yield from splitter.rest()


async def split_async(sentences, splitter: Splitter):
    """As `split`, of an iterable or an asynchronous one.

    Args:
        sentences: Iterable or asynchronous iterable of sentences.
        splitter: `Splitter`.

    Yields:
        list of sentences.
    """
    if isinstance(sentences, AsyncIterable):
        async for sentence in sentences:
            for batch in splitter.add(sentence):
                yield batch
    else:
        for sentence in sentences:
            for batch in splitter.add(sentence):
                yield batch
    for batch in splitter.rest():
        yield batch


def check_sentences(sentences, *, also_async: bool = False):
    """Refuse at once what is no collection of sentences.

    Args:
        sentences: Iterable of sentences.
        also_async: bool. Take an asynchronous iterable, too.

    Raises:
        ValueError: for one string, a mapping, or what can not be iterated over.

    >>> check_sentences(["a cat", "hi"])
    """
    if is_raw(sentences):
        raise ValueError("sentences: expected a list of them, received one string.")
    if also_async and isinstance(sentences, AsyncIterable):
        return
    if isinstance(sentences, Mapping) or not isinstance(sentences, Iterable):
        raise ValueError(
            "sentences: expected a list of str or of lists of words, received "
            f"{type(sentences).__name__}."
        )


def _check_words(words, where):
    of_words = isinstance(words, Sequence) or (
        isinstance(words, np.ndarray) and words.ndim == 1
    )
    if not of_words:
        raise ValueError(
            f"{where}: expected str or a list of words, received "
            f"{type(words).__name__}."
        )
    for word in words:
        if not is_raw(word):
            raise ValueError(f"{where}: expected words of type str, received {word!r}.")


def _size(sentence):
    if not is_raw(sentence):
        return max(1, len(sentence))
    pattern = _WORD if isinstance(sentence, str) else _WORD_IN_BYTES
    return max(1, len(pattern.findall(sentence)))
