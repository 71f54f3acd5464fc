"""From the words that were read to every layer of the biLM."""

import keras
from keras import ops

from keras_elmo.layers.bilm import BiLM
from keras_elmo.text.boundaries import add_boundaries
from keras_elmo.text.word_reader import WordReader


class WordLayers:
    """Every layer of a biLM at words, from zero or from any state.

    Args:
        reader: What has read the words; its token cache is used.
        token_encoder: Of what it reads.
        bilm: The biLM.

    >>> layers = WordLayers(elmo.reader, elmo.token_encoder, elmo.bilm)
    >>> reading = elmo.reader.read(tf.constant([["so", "it", "goes"]]))
    >>> layers.from_zero(reading)[0].shape
    TensorShape([1, 3, 3, 256])
    """

    def __init__(
        self, reader: WordReader, token_encoder: keras.layers.Layer, bilm: BiLM
    ):
        self._reader = reader
        self._token_encoder = token_encoder
        self._bilm = bilm

    def from_zero(self, reading):
        """Every layer of the biLM at the words, each sentence from the zero state.

        Args:
            reading: What `reader.read` returns.

        Returns:
            Pair of `(batch, L + 1, time, 2 * P)`, zero at padding, and of bool
            `(batch, time)`, True at words.
        """
        tokens, start = self.tokens_and_start(reading)
        mask = _steps(tokens) < reading.lengths[:, None]
        rows = ops.shape(tokens)[0]
        start = keras.tree.map_structure(
            lambda state: ops.broadcast_to(state, (rows, state.shape[1])), start
        )
        return self._bilm(tokens, mask=mask, initial_state=start), mask

    def tokens_and_start(self, reading):
        """Token vectors of the words, and the states from which sentences start.

        What a direction reads first is the same word in each sentence, and what comes
        behind its last word nobody asks for, so that no sentence needs a step of its
        own at its boundaries.

        Args:
            reading: What `reader.read` returns.

        Returns:
            `(batch, time, P)`, and states of one row in the form of `BiLM`'s: the
            forward one behind `<S>`, the backward one behind `</S>`.
        """
        vectors = self.encode(reading)
        _, states = self._bilm(vectors[:2][:, None], return_state=True)
        start = [
            keras.tree.map_structure(lambda s, row=row: s[row : row + 1], state)
            for row, state in enumerate(states)
        ]
        return ops.take(vectors, reading.places, axis=0), start

    def from_state(self, reading, initial_state=None):
        """Every layer of the biLM, at the boundaries too, from any state.

        Args:
            reading: What `reader.read` returns.
            initial_state: As of `BiLM`; zeros where None.

        Returns:
            `(batch, L + 1, time + 2, 2 * P)`; which of its steps are real, and which
            are words, bool `(batch, time + 2)`; and the final state in the form of
            `initial_state`.
        """
        places = add_boundaries(reading.places, reading.lengths, 0, 1)
        tokens = ops.take(self.encode(reading), places, axis=0)
        step, lengths = _steps(tokens), reading.lengths[:, None]
        mask = step < lengths + 2
        words = ops.logical_and(step > 0, step < lengths + 1)
        layers, state = self._bilm(
            tokens, mask=mask, initial_state=initial_state, return_state=True
        )
        return layers, mask, words, state

    def encode(self, reading):
        """The vector of each distinct word.

        Args:
            reading: What `reader.read` returns.

        Returns:
            `(words, P)`.
        """
        spelled = self._token_encoder(reading.ids[None])[0]
        if reading.cached is None:
            return spelled
        known = reading.cached >= 0
        order = ops.cumsum(ops.cast(ops.logical_not(known), "int32")) - 1
        rows = ops.maximum(reading.cached, 0)
        cached = ops.take(self._reader.cache.vectors, rows, axis=0)
        return ops.where(
            known[:, None],
            ops.cast(cached, spelled.dtype),
            ops.take(spelled, ops.maximum(order, 0), axis=0),
        )


def _steps(tokens):
    return ops.arange(ops.shape(tokens)[1], dtype="int32")[None]


def without_boundaries(layers, words):
    """Layers of the words alone, zero at padding; and which of them are words.

    Args:
        layers, words: As of `WordLayers.from_state`.
    """
    words = words[:, 1:-1]
    real = ops.cast(words, layers.dtype)[:, None, :, None]
    return layers[:, :, 1:-1] * real, words
