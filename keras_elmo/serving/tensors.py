"""NumPy arrays to and from TensorProto, the tensor of TensorFlow's messages."""

import math

import ml_dtypes
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

# A message holds less than 2 GiB, so no tensor in it is meant to be larger.
_MAX_BYTES = 2**31 - 1

# TensorProto's dtype: NumPy's type, the field of the values, the field's own type.
_TYPES = {
    types_pb2.DT_FLOAT: (np.float32, "float_val", np.float32),
    types_pb2.DT_DOUBLE: (np.float64, "double_val", np.float64),
    types_pb2.DT_HALF: (np.float16, "half_val", np.uint16),
    types_pb2.DT_BFLOAT16: (ml_dtypes.bfloat16, "half_val", np.uint16),
    types_pb2.DT_INT8: (np.int8, "int_val", np.int8),
    types_pb2.DT_INT16: (np.int16, "int_val", np.int16),
    types_pb2.DT_INT32: (np.int32, "int_val", np.int32),
    types_pb2.DT_INT64: (np.int64, "int64_val", np.int64),
    types_pb2.DT_UINT8: (np.uint8, "int_val", np.uint8),
    types_pb2.DT_UINT16: (np.uint16, "int_val", np.uint16),
    types_pb2.DT_UINT32: (np.uint32, "uint32_val", np.uint32),
    types_pb2.DT_UINT64: (np.uint64, "uint64_val", np.uint64),
    types_pb2.DT_BOOL: (np.bool_, "bool_val", np.bool_),
    types_pb2.DT_COMPLEX64: (np.complex64, "scomplex_val", np.float32),
    types_pb2.DT_COMPLEX128: (np.complex128, "dcomplex_val", np.float64),
    types_pb2.DT_STRING: (np.object_, "string_val", np.object_),
}
_NUMBERS = {np.dtype(entry[0]): number for number, entry in _TYPES.items()}


def dtype_name(number: int) -> str:
    """Name a TensorProto's dtype: NumPy's word, or "string".

    Args:
        number: A value of TensorFlow's enum `DataType`.

    Returns:
        str. A number that this module can not read gives `"unknown (NUMBER)"`.

    >>> dtype_name(1)
    'float32'
    """
    if number == types_pb2.DT_STRING:
        return "string"
    if number not in _TYPES:
        return f"unknown ({number})"
    return np.dtype(_TYPES[number][0]).name


def encode(values, *, as_list: bool = False) -> tensor_pb2.TensorProto:
    """Write an array as a TensorProto.

    Args:
        values: Array, or nested lists, of any shape. Strings are `str` (sent as
            UTF-8) or `bytes`. Python numbers become int32 and float32, as with
            `tf.constant`; arrays keep their type.
        as_list: Write one entry a number (`float_val` and so on), the form in
            which a stock server replies, and not `tensor_content`. Strings have
            only this form.

    Returns:
        A `TensorProto` of the same shape.

    Raises:
        ValueError: if the lists are ragged, or the type has no counterpart.

    >>> encode(["a", "b"]).string_val
    [b'a', b'b']
    """
    array = _as_array(values)
    if array.dtype not in _NUMBERS:
        raise ValueError(
            f"encode: expected numbers, bool or strings, received {array.dtype}."
        )
    number = _NUMBERS[array.dtype]
    _, field, stored_as = _TYPES[number]
    if number == types_pb2.DT_STRING:
        proto = tensor_pb2.TensorProto(string_val=[_to_bytes(x) for x in array.flat])
    else:
        proto = tensor_pb2.TensorProto(tensor_content=array.tobytes())
        if as_list and number == types_pb2.DT_FLOAT and array.size:
            # A list of floats has the wire form of a byte string, but for the tag:
            # 4 << 3 | 2 for tensor_content, 5 << 3 | 2 for float_val. Filling the
            # list from Python takes 40 times as long.
            wire = proto.SerializeToString()
            proto = tensor_pb2.TensorProto.FromString(b"\x2a" + wire[1:])
        elif as_list:
            proto.ClearField("tensor_content")
            flat = np.frombuffer(array.tobytes(), stored_as)
            getattr(proto, field).extend(flat.tolist())
    proto.dtype = number
    proto.tensor_shape.SetInParent()  # No dimension, yet present: a scalar.
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def encode_strings(values, shape) -> tensor_pb2.TensorProto:
    """Write strings as a TensorProto, without an array in between.

    Args:
        values: list of `bytes`, row after row.
        shape: Sizes; their product is the number of values.

    Returns:
        A `TensorProto`.

    >>> decode(encode_strings([b"a", b"b"], (1, 2))).shape
    (1, 2)
    """
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
    proto.tensor_shape.SetInParent()
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def decode(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """Read a TensorProto as an array, whichever way its values are written.

    Values lie in `tensor_content` or in the list of their type. A list shorter
    than the shape means that its last value repeats; an empty one means zeros.

    Args:
        proto: `TensorProto`.

    Returns:
        A writable array of the proto's shape and type; strings give an object
        array of `bytes`.

    Raises:
        ValueError: if type, shape and values do not belong together.

    >>> decode(encode([[1.0, 2.0]]))
    array([[1., 2.]], dtype=float32)
    """
    if proto.dtype not in _TYPES:
        raise ValueError(f"TensorProto: dtype {proto.dtype} can not be read.")
    dtype, field, stored_as = _TYPES[proto.dtype]
    dtype = np.dtype(dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"TensorProto: expected a known shape, found {shape}.")
    count = math.prod(shape)
    if count * dtype.itemsize > _MAX_BYTES:
        raise ValueError(f"TensorProto: shape {shape} takes more than 2 GiB.")
    if proto.tensor_content:
        expected, found = count * dtype.itemsize, len(proto.tensor_content)
        if proto.dtype == types_pb2.DT_STRING or found != expected:
            raise ValueError(
                f"TensorProto: expected {expected} bytes in tensor_content for "
                f"{dtype_name(proto.dtype)} {shape}, found {found}."
            )
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape).copy()
    values = np.array(getattr(proto, field), stored_as).view(dtype)
    if len(values) > count:
        raise ValueError(
            f"TensorProto: expected {count} values in {field} for shape {shape}, "
            f"found {len(values)}."
        )
    if len(values) < count:
        empty = b"" if proto.dtype == types_pb2.DT_STRING else 0
        last = values[-1] if len(values) else empty
        filled = np.full(count, last, dtype)
        filled[: len(values)] = values
        values = filled
    return values.reshape(shape)


def _as_array(values):
    if isinstance(values, np.ndarray | np.generic):
        array = np.asarray(values)
        return array.astype(object) if array.dtype.kind in "US" else array
    if _starts_with_text(values):
        # NumPy's own strings lose a final "\0", and take the room of the longest.
        return np.array(values, object)
    array = np.asarray(values)
    if array.dtype == np.int64:
        small = array.astype(np.int32)
        if not np.array_equal(small, array):
            raise ValueError("encode: Python integers are sent as int32; too large.")
        return small
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _starts_with_text(values):
    while isinstance(values, list | tuple | np.ndarray) and len(values):
        values = values[0]
    return isinstance(values, str | bytes)


def _to_bytes(value):
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise ValueError(f"encode: expected str or bytes, received {value!r}.")
