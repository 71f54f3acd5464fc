"""Words to ids inside a TensorFlow graph."""

import itertools
from collections.abc import Sequence

import tensorflow as tf

from keras_elmo.text.characters import (
    BEGIN_SENTENCE,
    BEGIN_SENTENCE_WORD,
    BEGIN_WORD,
    END_SENTENCE,
    END_SENTENCE_WORD,
    END_WORD,
    WORD_PADDING,
)


def string_lengths(words):
    """The lengths of rows of words where they are not given.

    Args:
        words: String tensor `(batch, time)`.

    Returns:
        int32 tensor `(batch,)`: where each row's last non-empty string ends.

    >>> string_lengths(tf.constant([["a", "", "b", ""], ["", "", "", ""]])).numpy()
    array([3, 0], dtype=int32)
    """
    place = tf.range(1, tf.shape(words)[1] + 1)[None]
    # The maximum with 0 is for rows of no columns, whose maximum is the smallest int.
    last = tf.reduce_max(tf.where(tf.not_equal(words, ""), place, 0), axis=1)
    return tf.maximum(last, 0)


def character_ids(words, max_chars: int, spare: int | None = None):
    """Spell words as `characters.word_to_ids` does.

    Args:
        words: String tensor of any shape, UTF-8.
        max_chars: Characters a word.
        spare: Columns of padding to keep after the longest word; a convolution of that
            width sees all that it would see with `max_chars` columns. None: all.

    Returns:
        int32 tensor of the shape of `words` and one more axis.

    >>> character_ids(tf.constant(["cat"]), 6).numpy()
    array([[259, 100,  98, 117, 260, 261]], dtype=int32)
    """
    flat = tf.reshape(words, [-1])
    length = tf.minimum(tf.strings.length(flat), max_chars - 2)[:, None]  # bytes
    raw = tf.io.decode_raw(flat, tf.uint8, fixed_length=max_chars - 2)
    raw = tf.pad(tf.cast(raw, tf.int32) + 1, ((0, 0), (0, 1)))
    place = tf.range(max_chars - 1)[None]
    body = tf.where(
        place < length, raw, tf.where(place == length, END_WORD, WORD_PADDING)
    )
    for word, mark in (
        (BEGIN_SENTENCE_WORD, BEGIN_SENTENCE),
        (END_SENTENCE_WORD, END_SENTENCE),
    ):
        row = [mark, END_WORD] + [WORD_PADDING] * (max_chars - 3)
        body = tf.where(tf.equal(flat, word)[:, None], tf.constant([row]), body)
    start = tf.fill([tf.shape(flat)[0], 1], BEGIN_WORD)
    ids = tf.concat([start, body], axis=1)
    if spare is not None:
        longest = tf.reduce_max(tf.concat([length[:, 0], [1]], axis=0)) + 2
        ids = ids[:, : tf.minimum(max_chars, longest + spare)]
    return tf.reshape(ids, tf.concat([tf.shape(words), [tf.shape(ids)[1]]], axis=0))


def distinct_words(words):
    """Each word once, and where it stands.

    Args:
        words: String tensor `(batch, time)`.

    Returns:
        The words in the order of their lengths, behind `<S>` and `</S>`; and int32
        `(batch, time)`, the place of each among them.

    >>> found, places = distinct_words(tf.constant([["so", "a"], ["a", "b"]]))
    >>> found.numpy().tolist(), places.numpy().tolist()
    ([b'<S>', b'</S>', b'a', b'b', b'so'], [[4, 2], [2, 3]])
    """
    boundaries = tf.constant([BEGIN_SENTENCE_WORD, END_SENTENCE_WORD])
    found, places = tf.unique(tf.concat([boundaries, tf.reshape(words, [-1])], axis=0))
    found, places = _shortest_first(found, tf.strings.length(found), places)
    return found, tf.reshape(places[2:], tf.shape(words))


def _shortest_first(found, lengths, places):
    """The same words in the order of their lengths, but for the first two."""
    order = tf.argsort(tf.concat([[-2, -1], lengths[2:]], axis=0), stable=True)
    return tf.gather(found, order), tf.gather(tf.math.invert_permutation(order), places)


def where_true(words, mask):
    """The words where a mask is true.

    >>> where_true(tf.constant(["a", "b"]), tf.constant([False, True])).numpy()
    array([b'b'], dtype=object)
    """
    return tf.boolean_mask(words, mask)


def distinct_rows(ids, spare: int | None = None):
    """Each spelled word once, and where it stands.

    Args:
        ids: Int32 tensor `(words, chars)`, the first two of them different.
        spare: As of `character_ids`.

    Returns:
        Int32 `(distinct words, chars)`, the first two as they come and the others, if
        `spare` is given, in the order of their lengths; and `(words,)`, the place of
        each among them.

    >>> ids = tf.constant([[259, 98, 260, 261, 261, 261], [0] * 6] * 2)
    >>> [t.numpy().tolist() for t in distinct_rows(ids, spare=1)]
    [[[259, 98, 260, 261], [0, 0, 0, 0]], [0, 1, 0, 1]]
    """
    found, places = tf.raw_ops.UniqueV2(x=ids, axis=tf.constant([0]))
    if spare is None:
        return found, places
    lengths = _spelled_lengths(found)
    found = found[:, : tf.reduce_max(lengths) + spare]
    return _shortest_first(found, lengths, places)


def parts_by_length(ids, spare: int):
    """The same words in three arrays, each as wide as its own longest word needs.

    Args:
        ids: Int32 tensor `(words, chars)`, about in the order of their lengths.
        spare: As of `character_ids`.

    Returns:
        Int32 tensors of half of the words, of a third, and of the others.

    >>> ids = tf.constant([[259, 98, 260, 261, 261], [259, 98, 98, 98, 260]])
    >>> [part.shape for part in parts_by_length(ids, spare=1)]
    [TensorShape([1, 4]), TensorShape([0, 1]), TensorShape([1, 5])]
    """
    lengths, count = _spelled_lengths(ids), tf.shape(ids)[0]
    bounds = [0, count // 2, count * 5 // 6, count]
    return [
        ids[a:b, : tf.maximum(tf.reduce_max(lengths[a:b]), 0) + spare]
        for a, b in itertools.pairwise(bounds)
    ]


def _spelled_lengths(ids):
    """Columns of each word; behind them, and of a row of zeros, all are alike."""
    word = tf.reduce_any(tf.not_equal(ids, 0), axis=1, keepdims=True)
    place = tf.range(1, tf.shape(ids)[1] + 1)
    last = tf.where(word & tf.not_equal(ids, WORD_PADDING), place, 0)
    return tf.reduce_max(last, axis=1)


def vocabulary_table(words: Sequence[str], unknown: int) -> tf.lookup.StaticHashTable:
    """A table from words to their numbers + 1, with that of `<UNK>` for the others.

    Args:
        words: The vocabulary in order.
        unknown: The number of `<UNK>`.

    >>> table = vocabulary_table(["<S>", "</S>", "<UNK>", "a"], unknown=2)
    >>> table.lookup(tf.constant([["a", "b"]])).numpy()
    array([[4, 3]], dtype=int32)
    """
    return _table(words, 1, unknown + 1)


def places_table(words: Sequence[str]) -> tf.lookup.StaticHashTable:
    """A table from words to their numbers, with -1 for the others.

    >>> places_table(["a", "b"]).lookup(tf.constant(["b", "c"])).numpy()
    array([ 1, -1], dtype=int32)
    """
    return _table(words, 0, -1)


def _table(words, first, default):
    with tf.init_scope():
        numbers = tf.range(first, first + len(words))
        keys = tf.constant(list(words), tf.string)
        pairs = tf.lookup.KeyValueTensorInitializer(keys, numbers)
        return tf.lookup.StaticHashTable(pairs, default)
