"""NumPy strings in `fit`: what Keras says of them, and what to do instead."""

import functools

import keras
import numpy as np
from keras.src.trainers.data_adapters import array_slicing


def explain_string_arrays():
    """Let Keras' refusal of string arrays name `tf.data`.

    `fit`, `evaluate` and `predict` refuse them with "Invalid dtype: str32", before any
    layer, callback or model method is asked that could say more. So the one function
    of Keras' that does so is wrapped. What it accepts, and what it raises otherwise,
    stays the same; asked again, this does nothing.
    """
    convert = array_slicing.convert_to_sliceable
    if getattr(convert, "explains_strings", False):
        return

    @functools.wraps(convert)
    def convert_to_sliceable(arrays, *args, **kwargs):
        try:
            return convert(arrays, *args, **kwargs)
        except ValueError as error:
            if not any(map(_holds_strings, keras.tree.flatten(arrays))):
                raise
            raise ValueError(
                f"{error}. Keras takes no NumPy arrays of strings in fit, evaluate and "
                "predict; expected tf.data: "
                "tf.data.Dataset.from_tensor_slices((words, targets)).batch(32), or a "
                "tensor: tf.constant(words)."
            ) from error

    convert_to_sliceable.explains_strings = True
    array_slicing.convert_to_sliceable = convert_to_sliceable


def _holds_strings(array):
    return isinstance(array, np.ndarray) and array.dtype.kind in "OSU"
