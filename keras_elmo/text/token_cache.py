"""Vectors of listed words, so that these need not be spelled."""

from collections.abc import Sequence

import keras
import numpy as np


class TokenCache:
    """Words with their vectors.

    Not a layer, and its variable is no weight: it follows from the encoder's.

    Args:
        words: Distinct words.
        vectors: Float array `(len(words), P)`.
    """

    def __init__(self, words: Sequence[str], vectors: np.ndarray):
        from keras_elmo.text.string_ids import places_table

        self.table = places_table(words)
        # Not cast whole in half precision, but row by row where rows are taken.
        self.vectors = keras.Variable(
            vectors, trainable=False, autocast=False, name="token_cache"
        )

    def find(self, words):
        """Int32 rows of `vectors`, -1 where there is none.

        >>> cache = TokenCache(["a", "b"], np.zeros((2, 4)))
        >>> cache.find(tf.constant(["b", "c"])).numpy()
        array([ 1, -1], dtype=int32)
        """
        return self.table.lookup(words)
