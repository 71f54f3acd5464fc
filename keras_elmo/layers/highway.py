"""Highway network over the last axis, with the gate of AI2's biLM."""

import keras
from keras import ops

from keras_elmo.layers.initial_values import drawn


@keras.saving.register_keras_serializable(package="keras_elmo")
class Highway(keras.layers.Layer):
    """Gated blocks, the identity at first: `y = g * relu(W x + b) + (1 - g) * x`.

    The gate is `g = sigmoid(W_gate x + b_gate)`; where it is 0 a block returns
    its input. The gate's bias starts at -2, so a new layer passes 88 % of its
    input through. Blocks keep the width, hence their number is the only size.

    Masking: each position is treated alone, and a mask passes unchanged.

    Args:
        num_layers: int >= 1. Number of blocks, one after another. Default 1, as
            in AI2's `small` and `medium` models; `original` has 2.

    Call arguments:
        inputs: Float tensor of shape `(..., width)`.

    Returns:
        Float tensor of the shape of `inputs`.

    Raises:
        ValueError: `num_layers` below 1, or an input of unknown width.

    Example:

    >>> layer = keras_elmo.Highway(num_layers=2)
    >>> layer(np.zeros((8, 10, 64), "float32")).shape
    TensorShape([8, 10, 64])

    Source: Srivastava et al. 2015 (arXiv:1505.00387). Gate and initial values are
    those of `high` in bilm-tf `bilm/model.py`, which calls the gate "carry".
    """

    def __init__(self, num_layers: int = 1, **kwargs):
        if num_layers < 1:
            raise ValueError(
                f"Highway: expected num_layers >= 1, received {num_layers}."
            )
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.supports_masking = True

    def build(self, input_shape):
        width = input_shape[-1]
        if width is None:
            raise ValueError(f"Highway: expected (..., width), received {input_shape}.")
        self.blocks = [
            (
                self._add_kernel(f"gate_kernel_{i}", width),
                self._add_bias(f"gate_bias_{i}", width, -2.0),
                self._add_kernel(f"kernel_{i}", width),
                self._add_bias(f"bias_{i}", width, 0.0),
            )
            for i in range(self.num_layers)
        ]

    def _add_kernel(self, name, width):
        # An initializer of its own for each kernel: one instance repeats its numbers.
        normal = keras.initializers.RandomNormal(stddev=width**-0.5)
        return self.add_weight((width, width), initializer=drawn(normal), name=name)

    def _add_bias(self, name, width, value):
        constant = keras.initializers.Constant(value)
        return self.add_weight((width,), initializer=constant, name=name)

    def call(self, inputs):
        x = inputs
        for gate_kernel, gate_bias, kernel, bias in self.blocks:
            gate = ops.sigmoid(ops.matmul(x, gate_kernel) + gate_bias)
            x = gate * ops.relu(ops.matmul(x, kernel) + bias) + (1.0 - gate) * x
        return x

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "num_layers": self.num_layers}
