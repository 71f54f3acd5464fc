"""Words to vectors by convolutions over their characters."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_elmo.layers.initial_values import drawn

# Bytes 0..255, begin and end of sentence, begin and end of word, padding in a word.
# Ids are shifted by one, so that 0 can mark a position that holds no word.
NUM_CHARACTERS = 261

ACTIVATIONS = ("relu", "tanh")


@keras.saving.register_keras_serializable(package="keras_elmo")
class CharCNN(keras.layers.Layer):
    """Character ids to word vectors: for each filter the maximum over the word.

    `y_i = activation(max over positions of conv_i(embed(ids)) + b_i)`, the
    convolutions of all widths side by side. Padding inside a word is a character
    with a learned vector and takes part, as in AI2's models. Id 0 has the zero
    vector.

    Masking: the output is masked where all ids of a position are 0. The values
    there are those of a word of zeros, not zero.

    Args:
        filters: Sequence of `(width, count)`: `count` filters that look at
            `width` characters each. Any length, any order; the output has them
            in this order.
        embedding_dim: int. Size of a character's vector. Default 16, as in all
            of AI2's published models.
        activation: `"relu"` (default; all published models) or `"tanh"`.

    Call arguments:
        inputs: Int tensor of shape `(batch, time, chars)`, ids 0 to 261. Any number
            of characters, at least the widest filter.

    Returns:
        Float tensor of shape `(batch, time, total)`, `total` the sum of the counts.

    Raises:
        ValueError: An empty or malformed `filters`, another activation, fewer
            characters than the widest filter.

    Example:

    >>> layer = keras_elmo.CharCNN(filters=[(1, 4), (3, 8)])
    >>> ids = keras_elmo.batch_to_ids([["small", "is", "beautiful"]])
    >>> layer(ids).shape
    TensorShape([1, 3, 12])

    Source: Peters et al. 2018, section 3.4; Kim et al. 2016 (arXiv:1508.06615);
    `_build_word_char_embeddings` in bilm-tf `bilm/model.py`.
    """

    def __init__(
        self,
        filters: Sequence[tuple[int, int]],
        embedding_dim: int = 16,
        activation: str = "relu",
        **kwargs,
    ):
        pairs = [tuple(pair) for pair in filters]
        if not pairs or any(len(p) != 2 or min(p) < 1 for p in pairs):
            raise ValueError(
                "CharCNN: expected filters to be pairs (width, count) of positive "
                f"ints, received {filters}."
            )
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"CharCNN: expected activation in {ACTIVATIONS}, "
                f"received {activation!r}."
            )
        super().__init__(**kwargs)
        self.filters = pairs
        self.embedding_dim = embedding_dim
        self.activation = activation
        self.supports_masking = True

    @property
    def widest(self) -> int:
        """Width of the widest filter, in characters."""
        return max(width for width, _ in self.filters)

    @property
    def total_filters(self) -> int:
        """Size of an output vector."""
        return sum(count for _, count in self.filters)

    def build(self, input_shape):
        self._check_shape(input_shape)
        self.embedding = self.add_weight(
            (NUM_CHARACTERS, self.embedding_dim),
            initializer=drawn(keras.initializers.RandomUniform(-1.0, 1.0)),
            name="embedding",
        )
        self.kernels, self.biases = [], []
        for i, (width, count) in enumerate(self.filters):
            shape = (width, self.embedding_dim, count)
            self.kernels.append(
                self.add_weight(
                    shape,
                    initializer=drawn(self._kernel_initializer(width)),
                    name=f"kernel_{i}",
                )
            )
            self.biases.append(
                self.add_weight((count,), initializer="zeros", name=f"bias_{i}")
            )

    def _kernel_initializer(self, width):
        if self.activation == "relu":
            return keras.initializers.RandomUniform(-0.05, 0.05)
        return keras.initializers.RandomNormal(
            stddev=(width * self.embedding_dim) ** -0.5
        )

    def _check_shape(self, shape):
        if len(shape) != 3:
            raise ValueError(
                f"CharCNN: expected ids (batch, time, chars), received shape {shape}."
            )
        if shape[-1] is not None and shape[-1] < self.widest:
            raise ValueError(
                f"CharCNN: expected at least {self.widest} characters a word (the "
                f"widest filter), received shape {shape}."
            )

    def call(self, inputs):
        self._check_shape(inputs.shape)
        batch, time, chars = ops.shape(inputs)
        # The row of id 0. By way of this padding the gradient of the embedding is
        # dense too; in TensorFlow's sparse form its rows repeat, and Keras' optimizers
        # update repeated rows wrongly.
        table = ops.pad(self.embedding, [[1, 0], [0, 0]])
        # One word more than there are: TensorFlow's convolution of no words at all has
        # a wrong shape.
        ids = ops.pad(ops.reshape(inputs, (batch * time, chars)), [[0, 1], [0, 0]])
        x = ops.take(table, ids, axis=0)  # (batch * time + 1, chars, embedding_dim)
        activation = ops.relu if self.activation == "relu" else ops.tanh
        parts = []
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            y = ops.conv(x, kernel, strides=1, padding="valid")
            # Bias and activation are monotone, so they may follow the maximum.
            parts.append(activation(ops.max(y, axis=1) + bias))
        y = ops.concatenate(parts, axis=-1)[:-1]
        return ops.reshape(y, (batch, time, self.total_filters))

    def compute_mask(self, inputs, mask=None):
        return ops.any(ops.not_equal(inputs, 0), axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.total_filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "embedding_dim": self.embedding_dim,
            "activation": self.activation,
        }
