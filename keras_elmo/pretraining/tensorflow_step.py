"""Training and evaluation steps on TensorFlow."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.pretraining.tensorflow_optimizers import Adagrad as Adagrad
from keras_elmo.pretraining.tensorflow_optimizers import Adam as Adam
from keras_elmo.pretraining.update_step import UpdateStep
from keras_elmo.text.characters import WORD_PADDING

# Where words in the order of their lengths are parted: most are short, and the longest
# are few. Each part has only as many characters as it needs.
_PARTS = (0.5, 0.85)
_FREE = ("words", "rows")  # arrays of a window that are as long as they have to be


def make_deterministic():
    """Have TensorFlow compute the same bits each time, for the rest of the process."""
    tf.config.experimental.enable_op_determinism()


def take_rows(variable: keras.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Rows of a variable, without reading all of it.

    That would be a copy, for the optimizer updates single rows of it.

    >>> variable = keras.Variable(np.arange(6.0).reshape(3, 2))
    >>> take_rows(variable, [2, 0]).numpy().tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """
    return tf.gather(variable.value, rows)


def strategy_scope(devices: int):
    """Where a model and its optimizer are built that several devices train.

    Args:
        devices: How many, each of which gets a copy of the weights. GPUs where there
            are any, else what TensorFlow has made of the CPU.

    Returns:
        A context manager.

    Raises:
        ValueError: There are fewer devices.
    """
    if devices == 1:
        return contextlib.nullcontext()
    found = tf.config.list_logical_devices("GPU")
    found = found or tf.config.list_logical_devices("CPU")
    if not 0 < devices <= len(found):
        names = ", ".join(device.name for device in found)
        raise ValueError(
            f"devices: expected from 1 to {len(found)} ({names}), received {devices}."
        )
    strategy = tf.distribute.MirroredStrategy(
        [device.name for device in found[:devices]],
        # TensorFlow's own choice wants as many rows of a sparse gradient in each step.
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    return strategy.scope()


def compiled_forward(model: LanguageModel, carry_over_sentences: bool):
    """The losses of a window, compiled.

    Returns:
        A function of the arrays of a window and of states, which gives the losses as
        a NumPy array, and new states; see `LanguageModel`.
    """
    functions = {}

    def losses_and_states(windows, states):
        return model(windows[0], states, carry_over_sentences=carry_over_sentences)

    def forward(window, states):
        key = window["inputs"].shape
        windows = [_tensors(window, model)]
        if key not in functions:
            functions[key] = _compiled(losses_and_states, windows, states)
        losses, states = functions[key](windows, states)
        return losses.numpy(), states

    return forward


class TrainingStep(UpdateStep):
    """See `UpdateStep`.

    To be made where the model was: in a `strategy_scope` of several devices these
    compute so many parts at a time.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._strategy = tf.distribute.get_strategy()
        self._compiled_gradients = self._compiled_update = None

    def gradients(self, windows, states, seeds):
        devices = self._strategy.num_replicas_in_sync
        losses, sums, new_states = [], [[]] * devices, []
        for first in range(0, len(windows), devices):
            parts = slice(first, first + devices)
            self._seed_dropout(seeds[parts])
            found = self._gradients_of(windows[parts], states[parts])
            losses += [loss for loss, _, _ in found]
            sums = [_sum(sums[i], gradient) for i, (_, gradient, _) in enumerate(found)]
            new_states += [state for _, _, state in found]
        rounds = len(windows) // devices
        return np.array(losses), [_divided(s, rounds) for s in sums], new_states

    def update(self, gradients):
        if self._compiled_update is None:
            specs = [[_gradient_spec(g) for g in device] for device in gradients]
            update = tf.function(self._update, autograph=False)
            self._compiled_update = update.get_concrete_function(specs)
        return float(self._compiled_update(gradients))

    def clipped(self, gradients):
        gradients = [_without_repeats(gradient) for gradient in gradients]
        return tf.clip_by_global_norm(gradients, self.clip_norm)

    def _seed_dropout(self, seeds):
        if self.model.bilm.dropout:
            self._strategy.run(lambda: self.model.seed_dropout(*_own(seeds)))

    def _gradients_of(self, windows, states):
        """Losses, gradients and states of a part for each device."""
        windows = [_tensors(window, self.model) for window in windows]
        if self._compiled_gradients is None:
            self._compiled_gradients = _compiled(self._on_devices, windows, states)
        return self._compiled_gradients(windows, states)

    def _on_devices(self, windows, states):
        def on_device():
            return self._loss_and_gradients(_own(windows), _own(states))

        return self._strategy.experimental_local_results(self._strategy.run(on_device))

    def _loss_and_gradients(self, window, states):
        variables = [v.value for v in self.model.trainable_variables]
        unroll = window["inputs"].shape[-1]
        with tf.GradientTape() as tape:
            losses, states = self.model(
                window,
                states,
                carry_over_sentences=self.carry_over_sentences,
                training=True,
            )
            losses = tf.reduce_mean(losses, axis=(1, 2))
            # bilm's gradients are of the sum over a window, which the bound of their
            # norm, and Adagrad, depend on.
            objective = tf.reduce_mean(losses) * unroll
        return losses, tape.gradient(objective, variables), states

    def _update(self, gradients):
        def on_device():
            context = tf.distribute.get_replica_context()
            mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, _own(gradients))
            clipped, norm = self.clipped(mean)
            # Keras sums what the devices hand in, and sums no repeated rows.
            clipped = _own([clipped, *[[_nothing_like(g) for g in clipped]] * others])
            self.optimizer.apply(clipped, self.model.trainable_variables)
            return norm

        others = self._strategy.num_replicas_in_sync - 1
        norms = self._strategy.run(on_device)
        return self._strategy.experimental_local_results(norms)[0]


def _own(values):
    """That of a list with one for each device which is this device's."""
    context = tf.distribute.get_replica_context()
    return values[tf.get_static_value(context.replica_id_in_sync_group)]


def _tensors(window, model):
    if model.reads_characters:
        window = by_length(window, model.encoder.char_cnn.widest)
    return keras.tree.map_structure(tf.constant, window)


def by_length(window: dict, widest_filter: int) -> dict:
    """A window whose words lie in three arrays, by their length, with other places.

    >>> ids = np.array([[259, 98, 98, 98, 260, 261], [259, 98, 260, 261, 261, 261]])
    >>> window = by_length({"words": ids, "inputs": np.array([[0, 1, 0]])}, 1)
    >>> [words.shape for words in window["words"]], window["inputs"].tolist()
    ([(1, 4), (0, 4), (1, 6)], [[1, 0, 1]])
    """
    words = window["words"]
    lengths = np.count_nonzero(words != WORD_PADDING, axis=1)
    order = np.argsort(lengths, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order))
    groups, longest = [], lengths[order[:1]].max(initial=0)
    for numbers in np.split(order, [int(len(order) * part) for part in _PARTS]):
        longest = lengths[numbers].max(initial=longest)
        # What a filter sees behind a word and one window of padding is all the same.
        groups.append(words[numbers, : longest + widest_filter])
    return window | {"words": groups, "inputs": place[window["inputs"]]}


def _compiled(function, windows, states):
    """One graph for all windows of these rows, whatever words are in them.

    Args:
        function: Of windows and states.
        windows: List of dicts of tensors, an example of what it will be called with.
        states: Likewise, in any nest.
    """
    window_specs = [
        {
            name: keras.tree.map_structure(_free if name in _FREE else _fixed, tensors)
            for name, tensors in window.items()
        }
        for window in windows
    ]
    compiled = tf.function(function, autograph=False)
    return compiled.get_concrete_function(
        window_specs, keras.tree.map_structure(_fixed, states)
    )


def _fixed(tensor):
    return tf.TensorSpec(tensor.shape, tensor.dtype)


def _free(tensor):
    return tf.TensorSpec([None] * len(tensor.shape), tensor.dtype)


def _gradient_spec(gradient):
    if not isinstance(gradient, tf.IndexedSlices):
        return tf.TensorSpec(gradient.shape, gradient.dtype)
    return tf.IndexedSlicesSpec(
        gradient.shape,
        gradient.dtype,
        gradient.indices.dtype,
        gradient.dense_shape.dtype,
    )


def _nothing_like(gradient):
    if isinstance(gradient, tf.IndexedSlices):
        no_rows = gradient.values[:0], gradient.indices[:0]
        return tf.IndexedSlices(*no_rows, gradient.dense_shape)
    return tf.zeros_like(gradient)


def _sum(sums, gradients):
    """Sums with a further part of the rows; of sparse gradients the rows repeat."""
    if not sums:
        return gradients
    return [
        tf.IndexedSlices(
            tf.concat([a.values, b.values], axis=0),
            tf.concat([a.indices, b.indices], axis=0),
            a.dense_shape,
        )
        if isinstance(a, tf.IndexedSlices)
        else a + b
        for a, b in zip(sums, gradients, strict=True)
    ]


def _divided(gradients, count):
    if count == 1:
        return gradients
    return [
        tf.IndexedSlices(g.values / count, g.indices, g.dense_shape)
        if isinstance(g, tf.IndexedSlices)
        else g / count
        for g in gradients
    ]


def _without_repeats(gradient):
    # Keras' optimizers, and the norm, take each row of a sparse gradient for all that
    # there is of that row.
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
