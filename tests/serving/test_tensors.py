import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework import tensor_pb2

from keras_elmo.serving.tensors import decode, dtype_name, encode

DTYPES = (
    "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool "
    "complex64 complex128"
).split()
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, SHAPES))
QUICKLY = settings(max_examples=60, deadline=None)
STRINGS = hnp.arrays(object, SHAPES, elements=st.binary(max_size=3), fill=st.nothing())


def parse(text):
    return text_format.Parse(text, tensor_pb2.TensorProto())


def by_tensorflow(proto):
    """The array that TensorFlow's C++ code reads from a proto."""
    wire = proto.SerializeToString()
    return tf.io.parse_tensor(wire, tf.as_dtype(proto.dtype)).numpy()


@QUICKLY
@given(NUMBERS | STRINGS)
def test_decodes_what_tensorflow_encodes(array):
    np.testing.assert_array_equal(decode(tf.make_tensor_proto(array)), array)


@QUICKLY
@given(NUMBERS | STRINGS, st.booleans())
def test_tensorflow_decodes_what_we_encode(array, as_list):
    proto = encode(array, as_list=as_list)
    np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    np.testing.assert_array_equal(by_tensorflow(proto), array)
    assert not (as_list and proto.tensor_content)


@QUICKLY
@given(NUMBERS | STRINGS, st.booleans())
def test_round_trip_keeps_type_and_shape(array, as_list):
    back = decode(encode(array, as_list=as_list))
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array)


def test_bfloat16_survives():
    array = np.array([1.5, -2], ml_dtypes.bfloat16)
    for as_list in (False, True):
        back = decode(encode(array, as_list=as_list))
        assert back.dtype == array.dtype and (back == array).all()


@pytest.mark.parametrize(
    "values",
    [
        "dtype: DT_FLOAT float_val: [1, 2]",
        "dtype: DT_FLOAT float_val: 7",
        "dtype: DT_FLOAT",
        "dtype: DT_INT8 int_val: [1, -2]",
        "dtype: DT_UINT8 int_val: [1, 300]",
        "dtype: DT_BOOL bool_val: true",
        "dtype: DT_HALF half_val: [15360, 16384]",
        "dtype: DT_COMPLEX64 scomplex_val: [1, 2, 3, 4]",
        'dtype: DT_STRING string_val: ["a", "b"]',
        "dtype: DT_STRING",
    ],
)
def test_a_short_list_repeats_its_last_value(values):
    proto = parse(values + " tensor_shape { dim { size: 2 } dim { size: 3 } }")
    np.testing.assert_array_equal(decode(proto), by_tensorflow(proto))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "dtype 0 can not be read"),
        ("dtype: DT_VARIANT", "dtype 21 can not be read"),
        ("dtype: DT_FLOAT tensor_shape { unknown_rank: true }", "known shape"),
        ("dtype: DT_FLOAT tensor_shape { dim { size: -1 } }", "known shape"),
        ("dtype: DT_FLOAT float_val: [1, 2]", "expected 1 values in float_val"),
        ("dtype: DT_STRING string_val: ['a', 'b']", "expected 1 values in string_val"),
        ("dtype: DT_FLOAT tensor_shape { dim {} } float_val: 1", "expected 0 values"),
        ("dtype: DT_FLOAT tensor_content: '12345'", "expected 4 bytes .* found 5"),
        ("dtype: DT_STRING tensor_content: '12345678'", "tensor_content for string"),
        ("dtype: DT_INT8 tensor_shape { dim { size: 9000000000 } }", "2 GiB"),
    ],
)
def test_a_proto_that_contradicts_itself_is_rejected(text, message):
    with pytest.raises(ValueError, match=message):
        decode(parse(text))


def test_python_values_are_sent_as_tensorflow_would():
    for values in [[1, 2], [[1.5]], ["a", "bc\0"], [b"x"], "word", 3, [True], []]:
        ours, theirs = encode(values), tf.make_tensor_proto(values)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(tf.make_ndarray(ours), tf.make_ndarray(theirs))


@pytest.mark.parametrize("values", [["é"], np.array(["é"]), np.array(["é"], object)])
def test_text_is_sent_as_utf8(values):
    assert encode(values).string_val == ["é".encode()]


@pytest.mark.parametrize(
    "values, message",
    [
        (
            [["a"], ["b", "c"]],
            r"expected str or bytes, received \['a'\]",
        ),
        ([[1], [2, 3]], "inhomogeneous"),
        (["a", 1], "expected str or bytes, received 1"),
        (np.array([None]), "expected str or bytes, received None"),
        ([2**40], "too large"),
        (np.zeros(1, "datetime64[s]"), "received datetime64"),
    ],
)
def test_values_that_are_no_tensor_are_rejected(values, message):
    with pytest.raises(ValueError, match=message):
        encode(values)


def test_dtypes_have_names():
    assert [dtype_name(n) for n in (1, 3, 7, 21)] == [
        "float32",
        "int32",
        "string",
        "unknown (21)",
    ]
