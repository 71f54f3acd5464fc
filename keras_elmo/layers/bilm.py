"""The bidirectional language model over token vectors."""

import keras
from keras import ops

from keras_elmo.layers.lstm_stack import LSTMStack


@keras.saving.register_keras_serializable(package="keras_elmo")
class BiLM(keras.layers.Layer):
    """Two independent LSTM stacks, one reading rightwards and one leftwards.

    Returns every layer, which is what ELMo mixes: layer 0 is the token vector
    twice, layer l the forward and the backward output of the l-th LSTMs side by
    side. The backward stack reads each row from its last real token to its first.

    Masking: outputs are zero at masked tokens in every layer. They carry no mask, for
    their time is on axis 2, where Keras' layers do not look for it; hand it on, as in
    `mix(layers, mask=mask)`.

    Args:
        units: int. Size of each cell. Default 4096, as in AI2's `original`.
        projection_dim: int or None. Size P of each direction's output, which is
            also that of the token vectors. None: no projection, P is `units`.
        num_layers: int >= 1. LSTMs a direction. AI2's models have 2.
        cell_clip: float or None. Bound of the cells. AI2: 3.
        proj_clip: float or None. Bound of the projected outputs. AI2: 3.
        skip_connections: bool. Add what a layer reads to its output, from the second
            layer on. All of AI2's published models do.
        return_state: bool. Return the final states too.
        unroll: bool. See `ProjectedLSTM`.
        dropout: float. See `LSTMStack`. AI2 trained with 0.1.
        seed: int or None. Decides what is dropped.
        recurrent_dtype: str or None. See `ProjectedLSTM`.

    Call arguments:
        inputs: Float tensor of shape `(batch, time, P)`: vectors of any token
            encoder, a `CharacterEncoder` or a `keras.layers.Embedding`.
        mask: Bool tensor `(batch, time)`, True at tokens, or None.
        initial_state: `[forward, backward]`, each a list of `[h, c]`, one a layer,
            of shapes `(batch, P)` and `(batch, units)`. Zeros where None. The
            backward state enters at each row's last token.
        return_state: bool or None. Overrides the argument of the constructor.
        training: bool. Whether dropout acts; see `ProjectedLSTM` too.

    Returns:
        Float tensor `(batch, num_layers + 1, time, 2 * P)`; with `return_state` the
        pair of it and the final states, in the form of `initial_state`.

    Raises:
        ValueError: Token vectors of another size than P, or what `LSTMStack` refuses.

    Example:

    >>> bilm = keras_elmo.BiLM(units=32, projection_dim=8)
    >>> bilm(np.zeros((2, 7, 8), "float32")).shape
    TensorShape([2, 3, 7, 16])

    Source: Peters et al. 2018, section 3.1; `BidirectionalLanguageModelGraph` in
    bilm-tf `bilm/model.py`. Default sizes: AI2's options file of `original`.
    """

    def __init__(
        self,
        units: int = 4096,
        projection_dim: int | None = 512,
        num_layers: int = 2,
        cell_clip: float | None = 3.0,
        proj_clip: float | None = 3.0,
        skip_connections: bool = True,
        return_state: bool = False,
        unroll: bool = False,
        dropout: float = 0.0,
        seed: int | None = None,
        recurrent_dtype: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.autocast = False  # see ProjectedLSTM
        self.units = units
        self.projection_dim = projection_dim
        self.num_layers = num_layers
        self.cell_clip = cell_clip
        self.proj_clip = proj_clip
        self.skip_connections = skip_connections
        self.return_state = return_state
        self.unroll = unroll
        self.dropout = dropout
        self.seed = seed
        self.recurrent_dtype = recurrent_dtype
        self.forward_stack, self.backward_stack = (
            LSTMStack(
                units,
                projection_dim,
                num_layers,
                cell_clip,
                proj_clip,
                skip_connections,
                unroll,
                dropout,
                None if seed is None else seed + number,
                recurrent_dtype,
                **shared,
                name=name,
            )
            for number, name in enumerate(("forward_stack", "backward_stack"))
        )
        self.supports_masking = True

    @property
    def direction_dim(self) -> int:
        """Size P of a token vector and of one direction's output."""
        return self.forward_stack.output_dim

    def build(self, input_shape):
        self._check_shape(input_shape)
        for stack in (self.forward_stack, self.backward_stack):
            if not stack.built:
                stack.build(input_shape)

    def _check_shape(self, shape):
        if len(shape) != 3 or shape[-1] != self.direction_dim:
            raise ValueError(
                f"BiLM: expected token vectors (batch, time, {self.direction_dim}), "
                f"received shape {tuple(shape)}."
            )

    def call(
        self,
        inputs,
        mask=None,
        initial_state=None,
        return_state=None,
        training=False,
    ):
        self._check_shape(inputs.shape)
        forward_state, backward_state = initial_state or (None, None)
        inputs = ops.cast(inputs, self.compute_dtype)
        if mask is not None:
            inputs = inputs * ops.cast(mask, inputs.dtype)[:, :, None]
        forward, forward_state = self.forward_stack(
            inputs, mask=mask, initial_state=forward_state, training=training
        )
        # Flipped along with its mask, a padded row begins with padding, through
        # which the state passes: the same as reversing within the row's length.
        backward, backward_state = self.backward_stack(
            ops.flip(inputs, axis=1),
            mask=None if mask is None else ops.flip(mask, axis=1),
            initial_state=backward_state,
            training=training,
        )
        layers = [ops.concatenate([inputs, inputs], axis=-1)]
        for left, right in zip(forward, backward, strict=True):
            layers.append(ops.concatenate([left, ops.flip(right, axis=1)], axis=-1))
        outputs = ops.stack(layers, axis=1)  # (batch, num_layers + 1, time, 2 * P)
        if self.return_state if return_state is None else return_state:
            return outputs, [forward_state, backward_state]
        return outputs

    def get_initial_state(self, batch_size):
        """The zero states `[forward, backward]` of `batch_size` rows.

        >>> bilm = keras_elmo.BiLM(units=32, projection_dim=8)
        >>> len(bilm.get_initial_state(2)), len(bilm.get_initial_state(2)[0])
        (2, 2)
        """
        stacks = (self.forward_stack, self.backward_stack)
        return [stack.get_initial_state(batch_size) for stack in stacks]

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_spec(self, *args, **kwargs):
        # Found by tracing: shapes alone tell neither the cell states' dtype nor
        # whether this call returns states.
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def compute_output_shape(self, input_shape):
        batch, time = input_shape[:2]
        outputs = (batch, self.num_layers + 1, time, 2 * self.direction_dim)
        if not self.return_state:
            return outputs
        state = [(batch, self.direction_dim), (batch, self.units)]
        return outputs, [[state] * self.num_layers] * 2

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "projection_dim": self.projection_dim,
            "num_layers": self.num_layers,
            "cell_clip": self.cell_clip,
            "proj_clip": self.proj_clip,
            "skip_connections": self.skip_connections,
            "return_state": self.return_state,
            "unroll": self.unroll,
            "dropout": self.dropout,
            "seed": self.seed,
            "recurrent_dtype": self.recurrent_dtype,
        }
