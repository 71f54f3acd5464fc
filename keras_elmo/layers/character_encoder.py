"""AI2's token encoder: characters, highway, projection."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_elmo.layers.char_cnn import CharCNN
from keras_elmo.layers.highway import Highway
from keras_elmo.layers.initial_values import drawn


@keras.saving.register_keras_serializable(package="keras_elmo")
class CharacterEncoder(keras.layers.Layer):
    """Character ids to context-free token vectors: `CharCNN`, `Highway`, projection.

    A token's vector depends on its own characters alone, so words that were never
    seen, and misspelt ones, have a vector too.

    Masking: as `CharCNN`, masked where all ids of a position are 0.

    Args:
        filters: Sequence of `(width, count)`, see `CharCNN`. The default is that of
            all of AI2's published models: 2048 filters, widths 1 to 7.
        projection_dim: int. Size of a token's vector. No projection where it equals
            the number of filters, as in AI2's code.
        num_highway: int >= 0. Highway blocks. Default 1 (`small`, `medium`).
        embedding_dim: int. Size of a character's vector.
        activation: `"relu"` or `"tanh"`, of the `CharCNN`; the highway always has
            relu.

    Call arguments:
        inputs: Int tensor of shape `(batch, time, chars)`, ids 0 to 261.

    Returns:
        Float tensor of shape `(batch, time, projection_dim)`.

    Raises:
        ValueError: A `projection_dim` above the number of filters, a negative
            `num_highway`, or what `CharCNN` refuses.

    Example:

    >>> layer = keras_elmo.CharacterEncoder([(1, 8), (2, 16)], projection_dim=6)
    >>> layer(keras_elmo.batch_to_ids([["a", "word"]])).shape
    TensorShape([1, 2, 6])

    Source: `_build_word_char_embeddings` in bilm-tf `bilm/model.py`; sizes from
    AI2's options files.
    """

    def __init__(
        self,
        filters: Sequence[tuple[int, int]] = (
            (1, 32),
            (2, 32),
            (3, 64),
            (4, 128),
            (5, 256),
            (6, 512),
            (7, 1024),
        ),
        projection_dim: int = 128,
        num_highway: int = 1,
        embedding_dim: int = 16,
        activation: str = "relu",
        **kwargs,
    ):
        if num_highway < 0:
            raise ValueError(
                f"CharacterEncoder: expected num_highway >= 0, received {num_highway}."
            )
        super().__init__(**kwargs)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.char_cnn = CharCNN(
            filters, embedding_dim, activation, **shared, name="char_cnn"
        )
        self.filters = self.char_cnn.filters
        self.projection_dim = projection_dim
        self.num_highway = num_highway
        self.embedding_dim = embedding_dim
        self.activation = activation
        total = self.char_cnn.total_filters
        if projection_dim > total:
            raise ValueError(
                "CharacterEncoder: expected projection_dim of at most the number of "
                f"filters, {total}, received {projection_dim}."
            )
        self.highway = None
        if num_highway:
            self.highway = Highway(num_highway, **shared, name="highway")
        self.projection = None
        if projection_dim != total:
            self.projection = keras.layers.Dense(
                projection_dim,
                kernel_initializer=drawn(
                    keras.initializers.RandomNormal(stddev=total**-0.5)
                ),
                **shared,
                name="projection",
            )
        self.supports_masking = True

    def build(self, input_shape):
        shape = tuple(input_shape)
        for layer in (self.char_cnn, self.highway, self.projection):
            if layer is not None:
                if not layer.built:
                    layer.build(shape)
                shape = layer.compute_output_shape(shape)

    def call(self, inputs):
        return self.project(self.char_cnn(inputs))

    def project(self, x):
        """What follows the `CharCNN`.

        >>> layer = keras_elmo.CharacterEncoder([(1, 8), (2, 16)], projection_dim=6)
        >>> layer.build((None, None, None))
        >>> layer.project(np.zeros((1, 2, 24), "float32")).shape
        TensorShape([1, 2, 6])
        """
        if self.highway is not None:
            x = self.highway(x)
        return x if self.projection is None else self.projection(x)

    def of_parts(self, parts):
        """Vectors of words that lie in several arrays, each of another width.

        Args:
            parts: Int tensors `(words, chars)`.

        Returns:
            `(all words, projection_dim)`.

        >>> layer = keras_elmo.CharacterEncoder([(1, 8), (2, 16)], projection_dim=6)
        >>> layer.build((None, None, None))
        >>> short, long = [[259, 98, 260]], [[259, 98, 99, 98, 260]]
        >>> layer.of_parts([np.array(short), np.array(long)]).shape
        TensorShape([2, 6])
        """
        found = [self.char_cnn(part[None]) for part in parts]
        return self.project(ops.concatenate(found, axis=1))[0]

    def compute_mask(self, inputs, mask=None):
        return self.char_cnn.compute_mask(inputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.projection_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "projection_dim": self.projection_dim,
            "num_highway": self.num_highway,
            "embedding_dim": self.embedding_dim,
            "activation": self.activation,
        }
