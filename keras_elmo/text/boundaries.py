"""Where rows of ids end, and the sentence boundaries around them, on any backend."""

from keras import ops

from keras_elmo.text.characters import (
    BEGIN_SENTENCE,
    BEGIN_WORD,
    END_SENTENCE,
    END_WORD,
    WORD_PADDING,
)


def id_lengths(ids):
    """The lengths of rows of ids where they are not given.

    Args:
        ids: Int tensor `(batch, time)`, or `(batch, time, chars)`.

    Returns:
        int32 tensor `(batch,)`: where each row's last id that is not 0 stands, + 1.

    >>> id_lengths(np.array([[4, 0, 5, 0], [0, 0, 0, 0]])).numpy()
    array([3, 0], dtype=int32)
    """
    real = ops.not_equal(ids, 0)
    if len(ids.shape) == 3:
        real = ops.any(real, axis=-1)
    place = ops.arange(1, ops.shape(ids)[1] + 1, dtype="int32")[None]
    return ops.max(ops.where(real, place, 0), axis=1, initial=0)


def character_boundaries(chars):
    """The rows of `<S>` and `</S>` in character ids, `chars` long, 3 or more.

    >>> [row.numpy().tolist() for row in character_boundaries(4)]
    [[259, 257, 260, 261], [259, 258, 260, 261]]
    """
    place = ops.arange(chars, dtype="int32")

    def row(mark):
        first = ops.where(place == 0, BEGIN_WORD, mark)
        return ops.where(
            place < 2, first, ops.where(place == 2, END_WORD, WORD_PADDING)
        )

    return row(BEGIN_SENTENCE), row(END_SENTENCE)


def add_boundaries(ids, lengths, begin, end):
    """Put `begin` in front of each row, `end` right behind its last word.

    Args:
        ids: Int tensor `(batch, time)`.
        lengths: int32 tensor `(batch,)`, from 0 to `time`.
        begin, end: Their ids.

    Returns:
        Int tensor like `ids`, two steps longer, 0 behind `end`.

    >>> add_boundaries(np.array([[5, 6], [7, 0]]), np.array([2, 1]), 1, 2).numpy()
    array([[1, 5, 6, 2],
           [1, 7, 2, 0]])
    """
    padded = ops.pad(ids, [[0, 0], [1, 1]])
    step = ops.arange(ops.shape(padded)[1], dtype="int32")[None]
    last = lengths[:, None] + 1
    words = ops.where(step < last, padded, 0)
    return ops.where(step == 0, begin, ops.where(step == last, end, words))
