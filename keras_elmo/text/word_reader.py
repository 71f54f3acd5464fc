"""From what a user gives, words or ids, to the distinct words in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_elmo.text.boundaries import character_boundaries, id_lengths
from keras_elmo.text.vocabulary import Vocabulary


class Reading(NamedTuple):
    """Rows of words, each distinct word once where that saves its encoding.

    Attributes:
        ids: Int32 `(words, chars)`, with a vocabulary `(words,)`: what is encoded.
            Distinct words that are spelled come in the order of their lengths, from
            word 2 on.
        places: Int32 `(batch, time)`: which of the words each one is. Words 0 and 1
            are `<S>` and `</S>`. Behind a row's end any word may stand.
        lengths: Int32 `(batch,)`: words of each row.
        cached: Where there is a token cache, int32 `(words,)`: the row in it of each
            word, -1 for those that are not in it; `ids` are of these alone.
    """

    ids: Any
    places: Any
    lengths: Any
    cached: Any = None


class WordReader:
    """Spells words, or looks them up; finds distinct ones, and where rows end.

    Args:
        vocabulary: List of words to look up; None: spell words.
        max_chars: Characters a word, of words that are spelled.
        spare: See `string_ids.character_ids`.
    """

    def __init__(
        self,
        vocabulary: Sequence[str] | None,
        max_chars: int,
        spare: int | None = None,
    ):
        self.max_chars = max_chars
        self.spare = spare
        self.vocabulary = None
        if vocabulary is not None:
            self.vocabulary = Vocabulary(vocabulary, "ElmoLayer: vocabulary")
        self._table = None
        self.cache = None  # a TokenCache

    def read(self, inputs, lengths=None, distinct=True):
        """The words in a batch, and where they stand.

        Args:
            inputs: Strings `(batch, time)`, ids `(batch, time, chars)`, or with a
                vocabulary ids `(batch, time)`.
            lengths: Int tensor `(batch,)`; cut to 0 to `time`. None: a row of strings
                ends at its last non-empty one, a row of ids at its last that is not 0.
            distinct: Whether each spelled word stands in the reading once. Strings
                always do; ids do not on other backends than TensorFlow.

        Returns:
            A `Reading`.

        Raises:
            ValueError: Another rank or dtype, lengths of another shape.

        >>> reading = WordReader(None, 5).read(tf.constant([["a", "b", "a", ""]]))
        >>> reading.ids.numpy()[:, 1], reading.places.numpy(), reading.lengths.numpy()
        (array([257, 258, 260,  98,  99], dtype=int32), \
array([[3, 4, 3, 2]], dtype=int32), array([3], dtype=int32))
        """
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        ids_rank = 3 if self.vocabulary is None else 2
        if len(inputs.shape) != (2 if dtype == "string" else ids_rank):
            raise ValueError(
                f"ElmoLayer: expected words (batch, time) or ids of rank {ids_rank}, "
                f"received {dtype} of shape {tuple(inputs.shape)}."
            )
        if dtype == "string":
            from keras_elmo.text.string_ids import string_lengths

            found = string_lengths(inputs)
        elif "int" in dtype:
            inputs = ops.cast(inputs, "int32")
            found = id_lengths(inputs)
        else:
            raise ValueError(f"ElmoLayer: expected strings or ids, received {dtype}.")
        if lengths is None:
            lengths = found
        else:
            _check_lengths(lengths, inputs)
            lengths = ops.clip(ops.cast(lengths, "int32"), 0, ops.shape(inputs)[1])
        if dtype == "string" and self.vocabulary is None:
            return self._spell(inputs, lengths)
        if dtype == "string":
            inputs = self.table().lookup(inputs)
        ids, places = self._rows(inputs, distinct)
        cached = None
        if self.cache is not None:
            cached = ops.full((ops.shape(ids)[0],), -1, "int32")
        return Reading(ids, places, lengths, cached)

    def _spell(self, words, lengths):
        from keras_elmo.text import string_ids

        found, places = string_ids.distinct_words(words)
        cached = None
        if self.cache is not None:
            cached = self.cache.find(found)
            found = string_ids.where_true(found, cached < 0)
        ids = string_ids.character_ids(found, self.max_chars, self.spare)
        return Reading(ids, places, lengths, cached)

    def _rows(self, ids, distinct):
        shape = ops.shape(ids)
        boundaries = ops.cast(ops.stack(self._boundaries(ids)), "int32")
        rows = ops.concatenate([boundaries, ops.reshape(ids, (-1, *shape[2:]))], axis=0)
        if distinct and len(shape) == 3 and keras.backend.backend() == "tensorflow":
            from keras_elmo.text import string_ids

            rows, places = string_ids.distinct_rows(rows, self.spare)
        else:
            places = ops.arange(ops.shape(rows)[0], dtype="int32")
        return rows, ops.reshape(places[2:], shape[:2])

    def table(self):
        """TensorFlow's look-up table of the vocabulary, made when first asked for."""
        if self._table is None:
            from keras_elmo.text.string_ids import vocabulary_table

            vocabulary = self.vocabulary
            self._table = vocabulary_table(vocabulary.words, vocabulary.unknown)
        return self._table

    def _boundaries(self, ids):
        if self.vocabulary is None:
            return character_boundaries(ops.shape(ids)[2])
        return self.vocabulary.begin + 1, self.vocabulary.end + 1


def check_form(inputs):
    """Refuse what cannot become a tensor, naming what can.

    Args:
        inputs: What a user gave as words or ids.

    Raises:
        ValueError: A list, a ragged tensor, or an array of strings where the backend
            is not TensorFlow.

    >>> check_form([["a", "b"]])
    Traceback (most recent call last):
    ValueError: ElmoLayer: expected an array or a tensor, received a list; \
keras_elmo.pad_sentences makes arrays of lists of words.
    """
    if isinstance(inputs, (list, tuple, str)):
        raise ValueError(
            "ElmoLayer: expected an array or a tensor, received a "
            f"{type(inputs).__name__}; keras_elmo.pad_sentences makes arrays of lists "
            "of words."
        )
    if hasattr(inputs, "row_lengths"):
        raise ValueError(
            "ElmoLayer: expected an array or a dense tensor, received a ragged one; "
            "pass ragged.to_tensor() and lengths=ragged.row_lengths()."
        )
    strings = isinstance(inputs, np.ndarray) and inputs.dtype.kind in "OSU"
    if strings and keras.backend.backend() != "tensorflow":
        raise ValueError(
            "ElmoLayer: strings need Keras' TensorFlow backend, this is "
            f"{keras.backend.backend()}; expected ids, as of keras_elmo.batch_to_ids."
        )


def _check_lengths(lengths, inputs):
    rows = inputs.shape[0]
    dtype = keras.backend.standardize_dtype(lengths.dtype)
    if "int" not in dtype:
        raise ValueError(f"ElmoLayer: expected lengths to be ints, received {dtype}.")
    if len(lengths.shape) != 1 or (
        None not in (lengths.shape[0], rows) and lengths.shape[0] != rows
    ):
        raise ValueError(
            f"ElmoLayer: expected lengths of shape ({rows},), one a row of inputs, "
            f"received {tuple(lengths.shape)}."
        )
