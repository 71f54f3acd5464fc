"""From the words that were read to every layer of the biLM."""

import keras
from keras import ops

from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.text.boundaries import add_boundaries
from keras_elmo.text.word_reader import WordReader

_MANY = 128  # words from which on parts of them take less time (2 cores, AVX-512)


class WordLayers:
    """Every layer of a biLM at words, from zero or from any state.

    Args:
        reader: What has read the words; its token cache is used.
        token_encoder: Of what it reads.
        bilm: The biLM.

    Attributes:
        in_parts: Whether many words are parted by their length.

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
        self.in_parts = (
            type(token_encoder) is CharacterEncoder  # and calls `char_cnn`, `project`
            and keras.backend.backend() == "tensorflow"
        )

    def from_zero(self, reading):
        """Every layer of the biLM at the words, each sentence from the zero state.

        Args:
            reading: What `reader.read` returns.

        Returns:
            Pair of `(batch, L + 1, time, 2 * P)`, zero at padding, and of bool
            `(batch, time)`, True at words.
        """
        vectors = self.encode(reading)
        tokens = ops.take(vectors, reading.places, axis=0)
        return self.of_tokens(tokens, reading.lengths, self.start(vectors[:2]))

    def of_tokens(self, tokens, lengths, start):
        """As `from_zero`, of words that are encoded already.

        Args:
            tokens: `(batch, time, P)`, anything at padding.
            lengths: Int32 `(batch,)`.
            start: What `start` returns.
        """
        mask = _steps(tokens) < lengths[:, None]
        rows = ops.shape(tokens)[0]
        start = keras.tree.map_structure(
            lambda state: ops.broadcast_to(state, (rows, state.shape[1])), start
        )
        return self._bilm(tokens, mask=mask, initial_state=start), mask

    def start(self, boundaries):
        """The states from which the words of sentences are read.

        What a direction reads first is the same word in each sentence, and what comes
        behind its last word nobody asks for, so that no sentence needs a step of its
        own at its boundaries.

        Args:
            boundaries: Token vectors of `<S>` and `</S>`, `(2, P)`.

        Returns:
            States of one row in the form of `BiLM`'s: the forward one behind `<S>`,
            the backward one behind `</S>`.
        """
        _, states = self._bilm(boundaries[:, None], return_state=True)
        return [
            keras.tree.map_structure(lambda s, row=row: s[row : row + 1], state)
            for row, state in enumerate(states)
        ]

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
        spelled = self._encode_words(reading.ids)
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

    def _encode_words(self, ids):
        """Many words are encoded in parts, and the short ones in fewer windows."""
        encoder = self._token_encoder

        def whole():
            return encoder(ids[None])[0]

        if not self.in_parts:
            return whole()
        from keras_elmo.text.string_ids import parts_by_length

        def in_parts():
            return encoder.of_parts(parts_by_length(ids, encoder.char_cnn.widest))

        return ops.cond(ops.shape(ids)[0] >= _MANY, in_parts, whole)


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
