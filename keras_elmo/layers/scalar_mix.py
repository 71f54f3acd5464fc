"""The learned, weighted sum of a biLM's layers."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

_SMALLEST = 1e-50  # for a weight of zero: finite as a logarithm, 0 as a softmax
_EPSILON = 1e-12  # bilm-tf `bilm/elmo.py`


@keras.saving.register_keras_serializable(package="keras_elmo")
class ScalarMix(keras.layers.Layer):
    """`gamma * sum_l softmax(w)_l * layer_l`, ELMo's own learned part.

    A new layer gives the plain mean. `w` and `gamma` are always in float32.

    Masking: `mask` decides which tokens the layer normalisation counts; the output
    carries it. Without `do_layer_norm` each token is treated alone.

    Args:
        do_layer_norm: bool. Normalise each layer first, by one mean and one variance
            over all real tokens of the batch and all features, so the results then
            depend on the batch. Every published downstream model leaves it False.
        use_top_only: bool. `gamma` times the highest layer; there is no `w`.
        l2_coef: float. Adds `l2_coef * sum(w ** 2)` to the loss, which pulls towards
            equal weights. The paper tried 0.001 and 1.
        layer_weights: Sequence of L + 1 floats >= 0 or None. Start values of
            `softmax(w)`; they are divided by their sum. None: all equal.

    Call arguments:
        inputs: Float tensor of shape `(batch, layers, time, dim)`, as from `BiLM`.
        mask: Bool tensor `(batch, time)`, True at tokens, or None.

    Returns:
        Float tensor of shape `(batch, time, dim)`.

    Raises:
        ValueError: Inputs not of rank 4, or `layer_weights` that are negative, all
            zero, or not as many as there are layers.

    Example:

    >>> mix = keras_elmo.ScalarMix(layer_weights=[0.2, 0.5, 0.3])
    >>> mix(np.ones((1, 3, 4, 8), "float32")).shape
    TensorShape([1, 4, 8])
    >>> [round(float(w), 3) for w in mix.layer_weights]
    [0.2, 0.5, 0.3]

    Source: Peters et al. 2018, equation 1; `weight_layers` in bilm-tf
    `bilm/elmo.py`, statistics of the layer normalisation included.
    """

    def __init__(
        self,
        do_layer_norm: bool = False,
        use_top_only: bool = False,
        l2_coef: float = 0.0,
        layer_weights: Sequence[float] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if l2_coef < 0:
            raise ValueError(f"ScalarMix: expected l2_coef >= 0, received {l2_coef}.")
        if use_top_only and layer_weights is not None:
            raise ValueError(
                "ScalarMix: expected no layer_weights with use_top_only, "
                f"received {layer_weights}."
            )
        self.do_layer_norm = do_layer_norm
        self.use_top_only = use_top_only
        self.l2_coef = l2_coef
        self._initial = None if layer_weights is None else list(layer_weights)
        self.raw_weights = None
        self.supports_masking = True

    def build(self, input_shape):
        self._check_rank(input_shape)
        # Exact in half precision too, hence autocast=False.
        self.gamma = self.add_weight(
            (), initializer="ones", autocast=False, dtype="float32", name="gamma"
        )
        if self.use_top_only:
            return
        regularizer = keras.regularizers.L2(self.l2_coef) if self.l2_coef else None
        self.raw_weights = self.add_weight(
            (input_shape[1],),
            initializer="zeros",
            regularizer=regularizer,
            autocast=False,
            dtype="float32",
            name="raw_weights",
        )
        if self._initial is not None:
            self.set_layer_weights(self._initial)

    def _check_rank(self, shape):
        if len(shape) != 4 or shape[1] is None:
            raise ValueError(
                "ScalarMix: expected (batch, layers, time, dim), "
                f"received shape {tuple(shape)}."
            )

    @property
    def layer_weights(self) -> np.ndarray:
        """`softmax(w)` as it is now: one weight >= 0 a layer, their sum 1."""
        if self.use_top_only:
            raise ValueError("ScalarMix: there are no layer weights (use_top_only).")
        if not self.built:
            raise ValueError("ScalarMix: there are no layer weights before `build`.")
        return ops.convert_to_numpy(ops.softmax(self.raw_weights))

    def set_layer_weights(self, layer_weights: Sequence[float]):
        """Set `softmax(w)`.

        Args:
            layer_weights: One float >= 0 a layer, divided by their sum.

        Raises:
            ValueError: Negative, all zero, or not one a layer.

        >>> mix = keras_elmo.ScalarMix()
        >>> mix.build((None, 3, None, 8))
        >>> mix.set_layer_weights([0, 1, 0])
        >>> mix.layer_weights
        array([0., 1., 0.], dtype=float32)
        """
        expected = "no layers at all" if self.use_top_only else self.raw_weights.shape
        weights = np.asarray(layer_weights, "float64")
        if self.use_top_only or weights.shape != tuple(self.raw_weights.shape):
            raise ValueError(
                f"ScalarMix: expected layer_weights for {expected}, "
                f"received {layer_weights}."
            )
        if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
            raise ValueError(
                "ScalarMix: expected layer_weights >= 0, not all zero, "
                f"received {layer_weights}."
            )
        share = weights / weights.sum()
        self.raw_weights.assign(np.log(np.maximum(share, _SMALLEST)))

    def call(self, inputs, mask=None):
        self._check_rank(inputs.shape)
        x = ops.cast(inputs, "float32")
        if self.use_top_only:
            return ops.cast(self.gamma * x[:, -1], self.compute_dtype)
        if self.do_layer_norm:
            x = self._normalize(x, mask)
        share = ops.softmax(ops.convert_to_tensor(self.raw_weights))
        mixed = ops.sum(x * ops.reshape(share, (1, -1, 1, 1)), axis=1)
        return ops.cast(self.gamma * mixed, self.compute_dtype)

    def _normalize(self, x, mask):
        """One mean and one variance a layer, over real tokens and all features."""
        batch, _, time, dim = ops.shape(x)
        if mask is None:
            mask = ops.ones((batch, time), "bool")
        real = ops.cast(mask, x.dtype)[:, None, :, None]
        count = ops.maximum(ops.sum(real) * ops.cast(dim, x.dtype), 1.0)
        mean = ops.sum(x * real, axis=(0, 2, 3), keepdims=True) / count
        centred = x - mean
        variance = ops.sum((centred * real) ** 2, axis=(0, 2, 3), keepdims=True) / count
        return centred / ops.sqrt(variance + _EPSILON)

    def compute_mask(self, inputs, mask=None):
        return mask

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *input_shape[2:])

    def get_config(self):
        return {
            **super().get_config(),
            "do_layer_norm": self.do_layer_norm,
            "use_top_only": self.use_top_only,
            "l2_coef": self.l2_coef,
            "layer_weights": self._initial,
        }
