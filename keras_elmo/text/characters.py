"""AI2's character ids, in NumPy: the bytes of a word between two marks.

| id | meaning |
| --- | --- |
| 0 | no word here: all characters of the position are 0 |
| 1 to 256 | the bytes 0 to 255 of the word's UTF-8 form |
| 257, 258 | begin and end of a sentence |
| 259, 260 | begin and end of a word |
| 261 | padding inside a word |

These are the ids of bilm-tf `bilm/data.py` as they are used for inference, which is
one more than the row of `char_embed` in AI2's files.
"""

from collections.abc import Sequence

import numpy as np

BEGIN_SENTENCE, END_SENTENCE = 257, 258
BEGIN_WORD, END_WORD, WORD_PADDING = 259, 260, 261
# Spelled inside text, these two words take the ids of the boundaries, as in bilm.
BEGIN_SENTENCE_WORD, END_SENTENCE_WORD = SENTENCE_WORDS = "<S>", "</S>"
DEFAULT_MAX_CHARS = 50
_MARKS = {BEGIN_SENTENCE_WORD: BEGIN_SENTENCE, END_SENTENCE_WORD: END_SENTENCE}


def word_to_ids(word: str, max_chars: int = DEFAULT_MAX_CHARS) -> np.ndarray:
    """Spell one word as a row of AI2 character ids, none of which is 0.

    Args:
        word: One token. Lone surrogates vanish. `<S>` and `</S>` give the boundaries.
        max_chars: Length of the row, 3 or more. A word of more than `max_chars - 2`
            bytes is cut.

    Returns:
        int32 array of shape `(max_chars,)`, each value from 1 to 261.

    Raises:
        ValueError: `max_chars` below 3.

    >>> word_to_ids("cat", max_chars=6)
    array([259, 100,  98, 117, 260, 261], dtype=int32)
    """
    if max_chars < 3:
        raise ValueError(f"word_to_ids: expected max_chars >= 3, received {max_chars}.")
    row = np.full((max_chars,), WORD_PADDING, np.int32)
    if word in _MARKS:
        row[:3] = BEGIN_WORD, _MARKS[word], END_WORD
        return row
    spelled = word.encode("utf-8", "ignore")[: max_chars - 2]
    row[0] = BEGIN_WORD
    row[1 : len(spelled) + 1] = np.frombuffer(spelled, np.uint8)
    row[1 : len(spelled) + 1] += 1
    row[len(spelled) + 1] = END_WORD
    return row


def batch_to_ids(
    sentences: Sequence[Sequence[str]], max_chars_per_token: int = DEFAULT_MAX_CHARS
) -> np.ndarray:
    """Spell a batch of tokenised sentences, without boundaries, padded with 0.

    Args:
        sentences: Lists of words. `""` is the empty word, a real one.
        max_chars_per_token: Length of a word's row, see `word_to_ids`.

    Returns:
        int32 array of shape `(batch, longest, max_chars_per_token)`.

    Raises:
        ValueError: A sentence that is a string, which would be read letter by letter,
            or a word that is none.

    >>> batch_to_ids([["a", "b"], ["c"]], max_chars_per_token=5)[1]
    array([[259, 100, 260, 261, 261],
           [  0,   0,   0,   0,   0]], dtype=int32)
    """
    rows = _as_rows("batch_to_ids", sentences)
    longest = max(map(len, rows), default=0)
    ids = np.zeros((len(rows), longest, max_chars_per_token), np.int32)
    for i, row in enumerate(rows):
        for j, word in enumerate(row):
            ids[i, j] = word_to_ids(word, max_chars_per_token)
    return ids


def pad_sentences(sentences: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Turn lists of words into the two arrays that `ElmoLayer` takes.

    Args:
        sentences: Lists of words, of any lengths.

    Returns:
        `words`, an object array of str of shape `(batch, longest)`, padded with "",
        and `lengths`, int32 of shape `(batch,)`.

    Raises:
        ValueError: A sentence that is a string, or a word that is none.

    >>> words, lengths = pad_sentences([["small", "steps"], ["Stop"]])
    >>> words
    array([['small', 'steps'],
           ['Stop', '']], dtype=object)
    >>> lengths
    array([2, 1], dtype=int32)
    """
    rows = _as_rows("pad_sentences", sentences)
    lengths = np.array([len(row) for row in rows], np.int32)
    words = np.full((len(rows), max(map(len, rows), default=0)), "", object)
    for i, row in enumerate(rows):
        words[i, : len(row)] = row
    return words, lengths


def as_words(caller: str, number: int, sentence: Sequence[str]) -> list[str]:
    """A sentence as a list, if it is one of words.

    Args:
        caller: Who was given it, for the error.
        number: Which of the sentences it is.

    Raises:
        ValueError: It is a string, or a word is none.

    >>> as_words("embed_sentences", 0, "Stop")
    Traceback (most recent call last):
    ValueError: embed_sentences: expected sentence 0 to be a list of words, received \
the string 'Stop'.
    """
    if isinstance(sentence, (str, bytes)):
        raise ValueError(
            f"{caller}: expected sentence {number} to be a list of words, "
            f"received the string {sentence!r}."
        )
    words = list(sentence)
    for word in words:
        if not isinstance(word, str):
            raise ValueError(
                f"{caller}: expected the words of sentence {number} to be str, "
                f"received {word!r}."
            )
    return words


def _as_rows(caller, sentences):
    return [as_words(caller, i, sentence) for i, sentence in enumerate(sentences)]
