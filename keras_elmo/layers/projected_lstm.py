"""LSTM with a projection inside the recurrence, and with AI2's two clips."""

import functools

import keras
import numpy as np
from keras import ops

from keras_elmo.layers.initial_values import drawn

RECURRENT_DTYPES = (None, "float32", "bfloat16")


@keras.saving.register_keras_serializable(package="keras_elmo")
class ProjectedLSTM(keras.layers.Layer):
    """LSTM whose output, and recurrent state, is a projection of its cell.

    With `clip(v, b)` cutting `v` to `[-b, b]`:

        i, j, f, o = split(x W + h U + b)
        c' = clip(sigmoid(f + 1) * c + sigmoid(i) * tanh(j), cell_clip)
        h' = clip((sigmoid(o) * tanh(c')) Q, proj_clip)

    Without a projection `h' = sigmoid(o) * tanh(c')`, and `proj_clip` does nothing.
    The forget gate's 1 is added while running; it is not in the bias.

    Masking: at a masked step the state stays as it was and the output is zero. The
    mask may have any form; a row that is masked throughout gives its initial state.

    Args:
        units: int. Size of the cell state.
        projection_dim: int or None. Size of the output and of the recurrent state;
            None for no projection.
        cell_clip: float or None. Bound of the cell state. AI2: 3.
        proj_clip: float or None. Bound of the projected state. AI2: 3.
        backward: bool. Read each row from its last step to its first. Outputs stay
            where their inputs are. With a mask this equals reversing each row
            within its own length.
        return_state: bool. Return the final state too.
        unroll: bool. Write the loop out instead of scanning. Faster in training on
            windows of fixed length; needs a static time axis.
        recurrent_dtype: `"float32"`, `"bfloat16"` or None, that of the other weights.
            Dtype in which the weights of the recurrence are kept. A single row waits
            for them to be read, so that on TensorFlow, not unrolled, it takes less time
            with `"bfloat16"`: it is multiplied in that dtype, whose precision is 8
            bits. More rows are multiplied in the layer's own dtype by the same rounded
            weights, which are converted in each call. Such a layer does not train.

    Call arguments:
        inputs: Float tensor of shape `(batch, time, input_dim)`.
        mask: Bool tensor `(batch, time)`, True at real steps, or None.
        initial_state: `[h, c]` of shapes `(batch, output_dim)` and `(batch, units)`;
            zeros where None. In a backward layer it enters at each row's last
            real step.
        reset: Bool tensor `(batch, time)` or None. Where True, the state is set to
            zero before the step, for rows in which several sequences follow one
            another. The step is the one taken first, so in a backward layer a
            sequence is marked at its end.
        training: bool. Whether a gradient is going to be taken. In TensorFlow it can
            be without too, and takes longer.

    Returns:
        Outputs `(batch, time, output_dim)`; with `return_state` the pair of outputs
        and `[h, c]`. The cell state `c` is never in half precision.

    Raises:
        ValueError: Sizes or clips that are not positive, another `recurrent_dtype`,
            inputs not of rank 3, `unroll` with an unknown number of steps, training
            with `recurrent_dtype="bfloat16"`.

    Example:

    >>> layer = keras_elmo.ProjectedLSTM(32, projection_dim=8, return_state=True)
    >>> outputs, (h, c) = layer(np.zeros((4, 10, 6), "float32"))
    >>> outputs.shape, h.shape, c.shape
    (TensorShape([4, 10, 8]), TensorShape([4, 8]), TensorShape([4, 32]))

    Source: Sak et al. 2014 (arXiv:1402.1128); `LSTMCell` of TensorFlow 1 as it is
    used in bilm-tf `bilm/model.py`, `_build_lstms`. Gates in its order i, j, f, o.
    """

    def __init__(
        self,
        units: int,
        projection_dim: int | None = None,
        cell_clip: float | None = None,
        proj_clip: float | None = None,
        backward: bool = False,
        return_state: bool = False,
        unroll: bool = False,
        recurrent_dtype: str | None = None,
        **kwargs,
    ):
        for name, value in [
            ("units", units),
            ("projection_dim", projection_dim),
            ("cell_clip", cell_clip),
            ("proj_clip", proj_clip),
        ]:
            if value is not None and value <= 0:
                raise ValueError(
                    f"ProjectedLSTM: expected {name} > 0, received {value}."
                )
        if recurrent_dtype not in RECURRENT_DTYPES:
            raise ValueError(
                f"ProjectedLSTM: expected recurrent_dtype in {RECURRENT_DTYPES}, "
                f"received {recurrent_dtype!r}."
            )
        super().__init__(**kwargs)
        # Keras would round a given cell state to half precision on entry.
        self.autocast = False
        self.units = units
        self.projection_dim = projection_dim
        self.cell_clip = cell_clip
        self.proj_clip = proj_clip
        self.backward = backward
        self.return_state = return_state
        self.unroll = unroll
        self.recurrent_dtype = recurrent_dtype
        self.supports_masking = True
        if keras.backend.backend() == "tensorflow":
            # There XLA cannot differentiate a loop whose length it does not know.
            self.supports_jit = unroll

    @property
    def output_dim(self) -> int:
        """Size of an output and of the recurrent state."""
        return self.projection_dim or self.units

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                f"ProjectedLSTM: expected (batch, time, input_dim), "
                f"received shape {input_shape}."
            )
        gates = 4 * self.units
        self.kernel = self.add_weight(
            (input_shape[-1], gates), initializer=drawn("glorot_uniform"), name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            (self.output_dim, gates),
            initializer=drawn("glorot_uniform"),
            dtype=self.recurrent_dtype,
            name="recurrent_kernel",
        )
        self.bias = self.add_weight((gates,), initializer="zeros", name="bias")
        self.projection_kernel = None
        if self.projection_dim is not None:
            self.projection_kernel = self.add_weight(
                (self.units, self.projection_dim),
                initializer=drawn("glorot_uniform"),
                dtype=self.recurrent_dtype,
                name="projection_kernel",
            )

    def call(self, inputs, mask=None, initial_state=None, reset=None, training=False):
        if self.backward:
            inputs, mask, reset = (_flip_time(t) for t in (inputs, mask, reset))
        inputs = ops.cast(inputs, self.compute_dtype)
        from_zero = initial_state is None
        if from_zero:
            initial_state = self.get_initial_state(ops.shape(inputs)[0])
        h, c = initial_state
        h = ops.cast(h, self.compute_dtype)
        c = ops.cast(c, self._state_dtype)
        # What trains is most of what a gradient is asked of.
        trains = training and self.trainable
        if trains and self.recurrent_dtype == "bfloat16":
            raise ValueError(
                "ProjectedLSTM: expected a layer that does not train, for updates "
                "would be lost in its recurrent_dtype, bfloat16; received "
                "training=True and trainable=True."
            )
        if inputs.shape[1] == 0:
            outputs = ops.zeros((ops.shape(inputs)[0], 0, self.output_dim), h.dtype)
        elif trains:
            outputs, h, c = self._recur(inputs, mask, reset, h, c)
        elif from_zero and inputs.shape[1] == 1:
            outputs, h, c = self._first_step(inputs, mask, h, c)
        else:
            outputs, h, c = self._recur_fastest(inputs, mask, reset, h, c)
        if mask is not None:
            outputs = outputs * ops.cast(mask, outputs.dtype)[:, :, None]
        if self.backward:
            outputs = _flip_time(outputs)
        return (outputs, [h, c]) if self.return_state else outputs

    def _first_step(self, inputs, mask, h, c):
        """`_recur` of one step from zero, of which the recurrent product is zero."""
        gates, mask = self._input_gates(inputs)[0], _time_major(mask)
        mask = None if mask is None else mask[0]
        project = None
        if self.projection_kernel is not None:
            kernel = ops.cast(self.projection_kernel, self.compute_dtype)
            project = functools.partial(_times, kernel)
        h, c = self._step(gates, h, c, mask, None, None, project)
        return h[:, None], h, c

    def _recur_fastest(self, *arguments):
        """`_recur`, in the form that takes least time without a gradient."""
        if keras.backend.backend() != "tensorflow" or self.unroll:
            return self._recur(*arguments)
        from keras_elmo.layers import tensorflow_recurrence as forms

        recur = self._recur
        # bfloat16 gains nothing by columns, and float64 is not taken for its speed.
        if self.compute_dtype == "float32" and forms.columns_are_known_to_pay():
            recur = functools.partial(
                forms.by_size, self._recur, self._recur_columns, forms.FOR_COLUMNS
            )
        if self.recurrent_dtype in (None, self.variable_dtype):
            return recur(*arguments)
        single = functools.partial(self._recur, dtype=self.recurrent_dtype)
        return forms.by_size(single, recur, forms.FOR_ROWS, *arguments)

    def _recur_columns(self, inputs, mask, reset, h, c):
        """`_recur`, with states `(units, batch)`."""
        from keras_elmo.layers.tensorflow_recurrence import scan_columns

        kernel, bias = self._input_weights()
        step = functools.partial(self._step, units_axis=0)
        flags = [_time_major(t) for t in (mask, reset)]
        return scan_columns(step, inputs, kernel, bias, self._kernels(), h, c, flags)

    def _recur(self, inputs, mask, reset, h, c, dtype=None):
        """Run all steps, one or more, with the recurrent products in this dtype.

        Returns:
            Outputs `(batch, time, output_dim)`, `h`, `c`.
        """
        if self.unroll or inputs.shape[1] == 1:
            return self._recur_unrolled(inputs, mask, reset, h, c, dtype)
        if keras.backend.backend() == "tensorflow":
            from keras_elmo.layers.tensorflow_recurrence import scan
        else:
            scan = _scan
        products = [functools.partial(_times, k) for k in self._kernels(dtype)]
        flags = [_time_major(t) for t in (mask, reset)]
        gates = self._input_gates(inputs)
        outputs, h, c = scan(self._step, products, gates, h, c, flags)
        return ops.transpose(outputs, (1, 0, 2)), h, c

    def _recur_unrolled(self, inputs, mask, reset, h, c, dtype):
        if inputs.shape[1] is None:
            raise ValueError(
                "ProjectedLSTM: expected a static number of steps with unroll=True, "
                f"received shape {inputs.shape}."
            )
        mask, reset = (_time_major(t) for t in (mask, reset))

        def run(products, gates, h, c):
            outputs = []
            # Unstacked at once: the gradient of single slices is a full array for each.
            for t, gates_t in enumerate(ops.unstack(gates)):
                mask_t, reset_t = (None if f is None else f[t] for f in (mask, reset))
                h, c = self._step(gates_t, h, c, mask_t, reset_t, *products)
                outputs.append(h)
            return [ops.stack(outputs, axis=1), h, c]

        gates, kernels = self._input_gates(inputs), self._kernels(dtype)
        if keras.backend.backend() == "tensorflow" and inputs.shape[1] > 1:
            from keras_elmo.layers.tensorflow_recurrence import with_one_gradient

            return with_one_gradient(run, kernels, gates, h, c)
        return run([functools.partial(_times, k) for k in kernels], gates, h, c)

    def _kernels(self, dtype=None):
        """What a step multiplies by: one matrix, or with a projection two."""
        kernels = [self.recurrent_kernel]
        if self.projection_kernel is not None:
            kernels.append(self.projection_kernel)
        return [ops.cast(k, dtype or self.compute_dtype) for k in kernels]

    def _input_gates(self, inputs):
        """The part of the gates that needs no state: `(time, batch, 4 * units)`."""
        kernel, bias = self._input_weights()
        return ops.matmul(ops.transpose(inputs, (1, 0, 2)), kernel) + bias

    def _input_weights(self):
        """Kernel, and the bias with what is added to the forget gate."""
        kernel, bias = self._cast_weights(self.kernel, self.bias)
        forget = np.repeat([0.0, 0.0, 1.0, 0.0], self.units)
        return kernel, bias + ops.convert_to_tensor(forget, bias.dtype)

    def _cast_weights(self, *weights):
        # Before the loop: a weight that is read inside it is cast again at each step.
        return [ops.cast(w, self.compute_dtype) for w in weights]

    def _step(self, gates, h, c, mask, reset, recur, project=None, units_axis=-1):
        """One step; flags are `(batch,)`, the rest `(batch, n)`, or by columns turned.

        Without `recur` the recurrent product is zero.
        """
        if reset is not None:
            keep = ops.expand_dims(ops.logical_not(reset), units_axis)
            h = h * ops.cast(keep, h.dtype)
            c = c * ops.cast(keep, c.dtype)
        z = ops.cast(gates, c.dtype)
        if recur is not None:
            z = z + ops.cast(recur(h), c.dtype)
        i, j, f, o = ops.split(z, 4, axis=units_axis)
        new_c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(j)
        new_c = _clip(new_c, self.cell_clip)
        new_h = ops.cast(ops.sigmoid(o) * ops.tanh(new_c), h.dtype)
        if project is not None:
            new_h = _clip(project(new_h), self.proj_clip)
        if mask is not None:
            mask = ops.expand_dims(mask, units_axis)
            new_h, new_c = ops.where(mask, new_h, h), ops.where(mask, new_c, c)
        return new_h, new_c

    @property
    def _state_dtype(self):
        return "float64" if self.compute_dtype == "float64" else "float32"

    def get_initial_state(self, batch_size):
        """The zero state `[h, c]` for `batch_size` rows.

        >>> layer = keras_elmo.ProjectedLSTM(32, projection_dim=8)
        >>> [s.shape[-1] for s in layer.get_initial_state(4)]
        [8, 32]
        """
        return [
            ops.zeros((batch_size, self.output_dim), self.compute_dtype),
            ops.zeros((batch_size, self.units), self._state_dtype),
        ]

    def compute_mask(self, inputs, mask=None):
        return (mask, [None, None]) if self.return_state else mask

    def compute_output_spec(self, *args, **kwargs):
        # Found by tracing: shapes alone do not tell the cell state's dtype.
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def compute_output_shape(self, input_shape):
        batch, time = input_shape[:2]
        outputs = (batch, time, self.output_dim)
        if not self.return_state:
            return outputs
        return outputs, [(batch, self.output_dim), (batch, self.units)]

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "projection_dim": self.projection_dim,
            "cell_clip": self.cell_clip,
            "proj_clip": self.proj_clip,
            "backward": self.backward,
            "return_state": self.return_state,
            "unroll": self.unroll,
            "recurrent_dtype": self.recurrent_dtype,
        }


def _times(kernel, x):
    return ops.cast(ops.matmul(ops.cast(x, kernel.dtype), kernel), x.dtype)


def _clip(x, bound):
    return x if bound is None else ops.clip(x, -bound, bound)


def _flip_time(x):
    return None if x is None else ops.flip(x, axis=1)


def _time_major(flags):
    return None if flags is None else ops.transpose(ops.cast(flags, "bool"), (1, 0))


def _scan(step, products, gates, h, c, flags):
    """As `scan` of `tensorflow_recurrence`."""

    # An entry of None is not for every backend's scan.
    given = [f for f in flags if f is not None]

    def body(carry, inputs):
        gates_t, *given_t = inputs
        given_t = iter(given_t)
        flags_t = [None if f is None else next(given_t) for f in flags]
        h, c = step(gates_t, *carry, *flags_t, *products)
        return (h, c), h

    (h, c), outputs = ops.scan(body, (h, c), [gates, *given])
    return outputs, h, c
