"""What an update of a language model is, whichever backend computes it."""

import abc
import contextlib

import keras
import numpy as np

from keras_elmo.pretraining.language_model import LanguageModel


def one_device(devices: int, backend: str):
    """Where a model is built, on a backend that trains on one device alone.

    Args:
        devices: How many are asked for.
        backend: Its name, as people write it.

    Returns:
        A context manager.

    Raises:
        ValueError: `devices` is not 1.

    >>> with one_device(1, "JAX"):
    ...     weight = keras.Variable([1.0])
    """
    if devices != 1:
        raise ValueError(
            f"devices: expected 1 on {backend} (several devices need TensorFlow), "
            f"received {devices}."
        )
    return contextlib.nullcontext()


class UpdateStep(abc.ABC):
    """One update of a language model.

    Args:
        model: A built model.
        optimizer: Its optimizer, which is built here.
        clip_norm: Bound of the gradients' norm over all weights.
        carry_over_sentences: See `LanguageModel`.

    Call arguments:
        windows: List of the arrays of a window, one for each part of the rows; their
            gradients are averaged.
        states: List of states, one for each part.
        seeds: List of pairs of ints, one for each part: what dropout follows from.

    Returns:
        The mean loss over both directions, the gradients' norm before it was bounded,
        and the new states.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: keras.optimizers.Optimizer,
        clip_norm: float,
        carry_over_sentences: bool = False,
    ):
        self.model = model
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.carry_over_sentences = carry_over_sentences
        optimizer.build(model.trainable_variables)

    def __call__(self, windows, states, seeds):
        losses, gradients, states = self.gradients(windows, states, seeds)
        return float(np.mean(losses)), self.update(gradients), states

    @abc.abstractmethod
    def gradients(self, windows, states, seeds):
        """What the call does before the update; the arguments are the call's.

        Returns:
            Losses `(parts, 2)`, forward and backward, as a NumPy array; the averaged
            gradients, a list in the order of the model's trainable variables for each
            device; and new states.
        """

    @abc.abstractmethod
    def update(self, gradients):
        """Change the weights, and return the gradients' norm before it was bounded."""

    @abc.abstractmethod
    def clipped(self, gradients):
        """Gradients of one device with their norm bounded, and the norm before."""
