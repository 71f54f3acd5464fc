"""The arrays of several requests as one, padded as TensorFlow Serving pads."""

import grpc
import numpy as np

from keras_elmo.serving.checks import RequestError

_MAX_RANK = 6  # of what the stock server pads


def merged(name, arrays, rows, pad):
    """One tensor of the same tensor of several requests.

    Args:
        name: The tensor's name, for messages.
        arrays: List of arrays, one a request, with one row or more each.
        rows: Number of rows to fill up to, by repeating the last request's first.
        pad: Pad to the largest shape with each request's own first element.

    Returns:
        Array of `rows` rows.

    Raises:
        RequestError: if the shapes differ and can not be padded.

    >>> merged("x", [np.array([[1, 2]]), np.array([[3]])], 3, pad=True).tolist()
    [[1, 2], [3, 3], [3, 3]]
    """
    if len({array.shape[1:] for array in arrays}) > 1:
        if not pad:
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different "
                "shapes and padding is turned off. Set pad_variable_length_inputs to "
                "true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim.",
            )
        arrays = _padded(arrays)
    missing = rows - sum(map(len, arrays))
    if missing:
        arrays = [*arrays, np.repeat(arrays[-1][:1], missing, axis=0)]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _padded(arrays):
    """Fill each array up to the largest shape, with its own first element."""
    if len({array.ndim for array in arrays}) > 1 or arrays[0].ndim > _MAX_RANK:
        raise RequestError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "Only tensors with rank from 1 to 6 can be padded.",
        )
    shape = np.max([array.shape[1:] for array in arrays], axis=0)
    result = []
    for array in arrays:
        padded = np.full((len(array), *shape), array.flat[0], array.dtype)
        padded[tuple(map(slice, array.shape))] = array
        result.append(padded)
    return result
