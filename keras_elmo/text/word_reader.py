"""From what a user gives, words or ids, to ids with sentence boundaries."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_elmo.text.boundaries import add_boundaries, character_boundaries, id_lengths
from keras_elmo.text.vocabulary import Vocabulary


class WordReader:
    """Spells words, or looks them up; finds where rows end; adds boundaries.

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

    def read(self, inputs, lengths=None):
        """Ids with boundaries, and the number of words in each row.

        Args:
            inputs: Strings `(batch, time)`, ids `(batch, time, chars)`, or with a
                vocabulary ids `(batch, time)`.
            lengths: Int tensor `(batch,)`; cut to 0 to `time`. None: a row of strings
                ends at its last non-empty one, a row of ids at its last that is not 0.

        Returns:
            Int32 ids, two steps longer than `inputs`, and int32 lengths `(batch,)`.

        Raises:
            ValueError: Another rank or dtype, lengths of another shape.

        >>> ids, lengths = WordReader(None, 5).read(tf.constant([["a", ""]]))
        >>> ids.numpy()[0, :, 1], lengths.numpy()
        (array([257,  98, 258,   0], dtype=int32), array([1], dtype=int32))
        """
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        ids_rank = 3 if self.vocabulary is None else 2
        if len(inputs.shape) != (2 if dtype == "string" else ids_rank):
            raise ValueError(
                f"ElmoLayer: expected words (batch, time) or ids of rank {ids_rank}, "
                f"received {dtype} of shape {tuple(inputs.shape)}."
            )
        if dtype == "string":
            ids, found = self._read_strings(inputs)
        elif "int" in dtype:
            ids = ops.cast(inputs, "int32")
            found = id_lengths(ids)
        else:
            raise ValueError(f"ElmoLayer: expected strings or ids, received {dtype}.")
        if lengths is None:
            lengths = found
        else:
            _check_lengths(lengths, inputs)
            lengths = ops.clip(ops.cast(lengths, "int32"), 0, ops.shape(ids)[1])
        return add_boundaries(ids, lengths, *self._boundaries(ids)), lengths

    def _read_strings(self, words):
        from keras_elmo.text import string_ids

        if self.vocabulary is None:
            ids = string_ids.character_ids(words, self.max_chars, self.spare)
        else:
            ids = self.table().lookup(words)
        return ids, string_ids.string_lengths(words)

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
