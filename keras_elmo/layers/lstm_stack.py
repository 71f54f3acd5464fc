"""One direction of a biLM: projected LSTMs on top of one another."""

import keras

from keras_elmo.layers.projected_lstm import ProjectedLSTM


@keras.saving.register_keras_serializable(package="keras_elmo")
class LSTMStack(keras.layers.Layer):
    """`ProjectedLSTM` layers, each reading the one below, all outputs returned.

    With `skip_connections` a layer's output is the sum of what it computes and what
    it read, for all layers but the lowest; its recurrent state stays without the
    sum. A language model of one direction is this stack and a softmax over its
    highest output.

    Masking: as `ProjectedLSTM`; outputs are zero at masked steps.

    Args:
        units: int. Size of each cell.
        projection_dim: int or None. Size of each output; None for no projection.
        num_layers: int >= 1.
        cell_clip: float or None. See `ProjectedLSTM`.
        proj_clip: float or None. See `ProjectedLSTM`.
        skip_connections: bool.
        unroll: bool. See `ProjectedLSTM`.
        dropout: float from 0 to below 1. Share of the numbers that each layer reads
            which are dropped in training. What is dropped is missing in the skip
            connection too, as in bilm-tf; nothing is dropped in the recurrence.
        seed: int or None. Decides what is dropped.
        recurrent_dtype: str or None. See `ProjectedLSTM`.

    Call arguments:
        inputs: Float tensor of shape `(batch, time, input_dim)`, read left to right.
        mask, reset: See `ProjectedLSTM`.
        initial_state: A list of `[h, c]`, one a layer; zeros where None.
        training: bool. Whether dropout acts; see `ProjectedLSTM` too.

    Returns:
        Pair of the list of outputs, lowest layer first, each of shape
        `(batch, time, output_dim)`, and the list of final states `[h, c]`.

    Raises:
        ValueError: `num_layers` below 1, `dropout` out of its range, or what
            `ProjectedLSTM` refuses.

    Example:

    >>> stack = keras_elmo.layers.LSTMStack(16, projection_dim=4, num_layers=3)
    >>> outputs, states = stack(np.zeros((2, 5, 4), "float32"))
    >>> len(outputs), outputs[0].shape
    (3, TensorShape([2, 5, 4]))

    Source: `_build_lstms` in bilm-tf `bilm/model.py`.
    """

    def __init__(
        self,
        units: int,
        projection_dim: int | None = None,
        num_layers: int = 2,
        cell_clip: float | None = None,
        proj_clip: float | None = None,
        skip_connections: bool = True,
        unroll: bool = False,
        dropout: float = 0.0,
        seed: int | None = None,
        recurrent_dtype: str | None = None,
        **kwargs,
    ):
        if num_layers < 1:
            raise ValueError(
                f"LSTMStack: expected num_layers >= 1, received {num_layers}."
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                f"LSTMStack: expected dropout from 0 to below 1, received {dropout}."
            )
        super().__init__(**kwargs)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.autocast = False  # see ProjectedLSTM
        self.units = units
        self.projection_dim = projection_dim
        self.num_layers = num_layers
        self.cell_clip = cell_clip
        self.proj_clip = proj_clip
        self.skip_connections = skip_connections
        self.unroll = unroll
        self.dropout = dropout
        self.seed = seed
        self.recurrent_dtype = recurrent_dtype
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout else None
        self.lstms = [
            ProjectedLSTM(
                units,
                projection_dim,
                cell_clip,
                proj_clip,
                return_state=True,
                unroll=unroll,
                recurrent_dtype=recurrent_dtype,
                **shared,
                name=f"lstm_{i}",
            )
            for i in range(num_layers)
        ]
        self.supports_masking = True

    @property
    def output_dim(self) -> int:
        """Size of an output vector."""
        return self.lstms[0].output_dim

    def build(self, input_shape):
        shape = tuple(input_shape)
        for lstm in self.lstms:
            if not lstm.built:
                lstm.build(shape)
            shape = (*shape[:2], self.output_dim)

    def call(self, inputs, mask=None, initial_state=None, reset=None, training=False):
        x, outputs, states = inputs, [], []
        for i, lstm in enumerate(self.lstms):
            state = None if initial_state is None else initial_state[i]
            x = self.drop(x, training)
            y, state = lstm(
                x, mask=mask, initial_state=state, reset=reset, training=training
            )
            if self.skip_connections and i > 0:
                y = y + x
                # What was read is zero at masked steps, for it is an output itself.
            x = y
            outputs.append(y)
            states.append(state)
        return outputs, states

    def drop(self, x, training):
        """`x` with dropout, in training; a model drops its highest output so too.

        >>> keras_elmo.layers.LSTMStack(16, dropout=0.5).drop(np.ones(2), False)
        array([1., 1.])
        """
        if not (self.dropout and training):
            return x
        return keras.random.dropout(x, self.dropout, seed=self.seed_generator)

    def get_initial_state(self, batch_size):
        """The zero state of each layer, a list of `[h, c]`.

        >>> stack = keras_elmo.layers.LSTMStack(16, projection_dim=4, num_layers=3)
        >>> len(stack.get_initial_state(2))
        3
        """
        return [lstm.get_initial_state(batch_size) for lstm in self.lstms]

    def compute_mask(self, inputs, mask=None):
        nothing = [[None, None] for _ in self.lstms]
        return [mask] * self.num_layers, nothing

    def compute_output_spec(self, *args, **kwargs):
        # Found by tracing: shapes alone do not tell the cell states' dtype.
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def compute_output_shape(self, input_shape):
        batch, time = input_shape[:2]
        outputs = [(batch, time, self.output_dim)] * self.num_layers
        state = [(batch, self.output_dim), (batch, self.units)]
        return outputs, [state] * self.num_layers

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "projection_dim": self.projection_dim,
            "num_layers": self.num_layers,
            "cell_clip": self.cell_clip,
            "proj_clip": self.proj_clip,
            "skip_connections": self.skip_connections,
            "unroll": self.unroll,
            "dropout": self.dropout,
            "seed": self.seed,
            "recurrent_dtype": self.recurrent_dtype,
        }
