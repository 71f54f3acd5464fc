"""Training and evaluation steps on JAX.

JAX compiles anew for each shape. How many distinct words, characters and rows of the
softmax a window has is therefore rounded up here, to numbers that follow from the
window alone, so that a resumed run computes the same.
"""

import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np

from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.pretraining.update_step import UpdateStep, one_device
from keras_elmo.text.characters import WORD_PADDING

Adagrad = keras.optimizers.Adagrad
Adam = keras.optimizers.Adam
take_rows = functools.partial(keras.ops.take, axis=0)
strategy_scope = functools.partial(one_device, backend="JAX")

_CHARS = 16  # numbers of characters are rounded up to multiples of it


def compiled_forward(model: LanguageModel, carry_over_sentences: bool):
    """The losses of a window, compiled.

    Returns:
        A function of the arrays of a window and of states, which gives the losses as
        a NumPy array, and new states; see `LanguageModel`.
    """

    @jax.jit
    def losses_and_states(trainable, non_trainable, window, states):
        results, _ = model.stateless_call(
            trainable,
            non_trainable,
            window,
            states,
            carry_over_sentences=carry_over_sentences,
        )
        return results

    def forward(window, states):
        window = rounded_up(window, model.max_chars)
        losses, states = losses_and_states(*_weights(model), window, states)
        return np.asarray(losses), states

    return forward


class TrainingStep(UpdateStep):
    """See `UpdateStep`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._compiled_gradients = jax.jit(
            jax.value_and_grad(self._objective, has_aux=True)
        )
        self._compiled_sum = jax.jit(
            lambda a, b: jax.tree.map(jnp.add, a, b), donate_argnums=0
        )
        # What the variables held is not needed any more, so its memory may be reused.
        self._compiled_update = jax.jit(self._update, donate_argnums=(0, 1))

    def gradients(self, windows, states, seeds):
        losses, total, new_states = [], None, []
        for window, state, seed in zip(windows, states, seeds, strict=True):
            self.model.seed_dropout(*seed)
            window = rounded_up(window, self.model.max_chars)
            (_, (loss, state)), gradient = self._compiled_gradients(
                *_weights(self.model), window, state
            )
            losses.append(loss)
            total = gradient if total is None else self._compiled_sum(total, gradient)
            new_states.append(state)
        mean = [gradient / len(windows) for gradient in total]
        return np.array(losses), [mean], new_states

    def update(self, gradients):
        variables = self.model.trainable_variables, self.optimizer.variables
        values = [[v.value for v in group] for group in variables]
        values, norm = self._compiled_update(*values, gradients[0])
        for group, new in zip(variables, values, strict=True):
            for variable, value in zip(group, new, strict=True):
                variable.assign(value)
        return float(norm)

    def clipped(self, gradients):
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        scale = self.clip_norm / jnp.maximum(norm, self.clip_norm)
        return [gradient * scale for gradient in gradients], norm

    def _objective(self, trainable, non_trainable, window, states):
        (losses, states), _ = self.model.stateless_call(
            trainable,
            non_trainable,
            window,
            states,
            carry_over_sentences=self.carry_over_sentences,
            training=True,
        )
        unroll = losses.shape[-1]
        losses = jnp.mean(losses, axis=(1, 2))
        # bilm's gradients are of the sum over a window, which the bound of their norm,
        # and Adagrad, depend on.
        return jnp.mean(losses) * unroll, (losses, states)

    def _update(self, trainable, optimizer_variables, gradients):
        clipped, norm = self.clipped(gradients)
        values = self.optimizer.stateless_apply(optimizer_variables, clipped, trainable)
        return values, norm


def rounded_up(window: dict[str, np.ndarray], max_chars: int) -> dict[str, np.ndarray]:
    """The arrays of a window, some of them padded with what nothing refers to.

    >>> rounded_up({"words": np.ones((5, 9), np.int32)}, 50)["words"].shape
    (6, 16)
    """
    words = _padded(window["words"], 0, _bucket(len(window["words"])), 0)
    if words.ndim == 2:
        # What follows a word's padding is more of it, which changes no maximum.
        chars = -(-words.shape[1] // _CHARS) * _CHARS
        chars = max(words.shape[1], min(chars, max_chars))
        words = _padded(words, 1, chars, WORD_PADDING)
    window = window | {"words": words}
    if "rows" in window:
        # Rows are cheap to gather, so there may be as many as there can be.
        most = window["true"].size + window["negatives"].size
        window["rows"] = _padded(window["rows"], 0, most, 0)
    return window


def _bucket(count):
    """The least of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is no less than `count`."""
    power = 1 << (count - 1).bit_length()
    return power // 4 * 3 if count <= power // 4 * 3 else power


def _padded(array, axis, size, value):
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, size - array.shape[axis])
    return np.pad(array, widths, constant_values=value)


def _weights(model):
    """What `stateless_call` takes first."""
    return (
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
    )
