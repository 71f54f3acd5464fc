"""The part of training that each backend of Keras does in its own way."""

import importlib

import keras


def steps():
    """The module with `TrainingStep` and `compiled_forward` of Keras' backend.

    Raises:
        NotImplementedError: A backend other than TensorFlow, JAX and PyTorch.

    >>> steps().__name__
    'keras_elmo.pretraining.tensorflow_step'
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax", "torch"):
        raise NotImplementedError(
            "pretraining: expected the backend tensorflow, jax or torch "
            f"(KERAS_BACKEND), found {backend}."
        )
    return importlib.import_module(f"keras_elmo.pretraining.{backend}_step")
