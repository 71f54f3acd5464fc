"""Every bad request gets the stock server's code and a clear text; the server lives on.

One table, asked of a server with batching and of one without.
"""

import re
import socket

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

STRINGS = """inputs { key: "strings" value {
    dtype: DT_STRING tensor_shape { dim { size: 2 } } string_val: ["a b", "c"] } }"""
TOKENS = """inputs { key: "tokens" value { dtype: DT_STRING string_val: "a"
    tensor_shape { dim { size: 2 } dim { size: 3 } } } }"""
EMPTY_TOKENS = """inputs { key: "tokens" value { dtype: DT_STRING
    tensor_shape { dim { size: 2 } dim { size: 0 } } } }"""
LENGTHS = """inputs { key: "sequence_len" value { dtype: DT_INT32 int_val: [3, 1]
    tensor_shape { dim { size: 2 } } } }"""
TOY = 'model_spec { name: "toy" } '
TOY_TOKENS = 'model_spec { name: "toy" signature_name: "tokens" } '
TOY_CLASSIFY = 'model_spec { name: "toy" signature_name: "classify" } '
EXAMPLES = """input { example_list { examples { features { feature {
    key: "tokens" value { bytes_list { value: "a" } } } } } } }"""
FLOAT_EXAMPLES = EXAMPLES.replace(
    'bytes_list { value: "a" }', "float_list { value: 1 }"
)
GOOD = text_format.Parse(TOY + STRINGS, predict_pb2.PredictRequest())
REQUESTS = {
    "Predict": predict_pb2.PredictRequest,
    "Classify": classification_pb2.ClassificationRequest,
    "Regress": regression_pb2.RegressionRequest,
    "MultiInference": inference_pb2.MultiInferenceRequest,
    "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
    "HandleReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
}


def strings(text):
    return TOY + 'inputs { key: "strings" value { ' + text + " } }"


def asking(method, text):
    """A request in protobuf text, as the bytes that go over the wire."""
    return text_format.Parse(text, REQUESTS[method]()).SerializeToString()


def oversize():
    request = predict_pb2.PredictRequest()
    request.CopyFrom(GOOD)
    request.inputs["strings"].CopyFrom(tf.make_tensor_proto(["w" * 2**20]))
    return request.SerializeToString()


BAD_PREDICTS = [
    ("", "INVALID_ARGUMENT", "Missing ModelSpec"),
    ("model_spec {}", "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    (
        'model_spec { name: "x" }',
        "NOT_FOUND",
        "Servable not found for request: Latest(x)",
    ),
    (
        'model_spec { name: "toy" version { value: 7 } }',
        "NOT_FOUND",
        "Servable not found for request: Specific(toy, 7)",
    ),
    (
        'model_spec { name: "x" version_label: "canary" }',
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: canary",
    ),
    (
        'model_spec { name: "toy" signature_name: "x" }',
        "FAILED_PRECONDITION",
        'Serving signature key "x" not found.',
    ),
    (
        'model_spec { name: "toy" signature_name: "__saved_model_init_op" }',
        "FAILED_PRECONDITION",
        'Serving signature key "__saved_model_init_op" not found.',
    ),
    (
        TOY_TOKENS + TOKENS,
        "INVALID_ARGUMENT",
        "input size does not match signature: 1!=2 len({tokens}) != "
        "len({sequence_len,tokens}). Sent extra: {}. "
        "Missing but required: {sequence_len}.",
    ),
    (
        TOY_TOKENS + TOKENS + STRINGS,
        "INVALID_ARGUMENT",
        "Signature input alias: sequence_len(feed name: tokens_sequence_len:0) not "
        "found in request and no default value provided. Inputs expected to be in "
        "the request {sequence_len,tokens}, or default input alias set: ",
    ),
    (
        strings("dtype: DT_STRING tensor_content: 'ab'"),
        "INVALID_ARGUMENT",
        "tensor parsing error: strings",
    ),
    (strings(""), "INVALID_ARGUMENT", "tensor parsing error: strings"),
    (
        TOY + STRINGS + 'output_filter: ["elmo", "x"]',
        "INVALID_ARGUMENT",
        "output tensor alias not found in signature: x Outputs expected to be in the "
        "set {default,elmo,lengths,lstm_outputs1,lstm_outputs2,word_emb}.",
    ),
    (
        TOY + STRINGS + 'output_filter: ["elmo", "elmo"]',
        "INVALID_ARGUMENT",
        "duplicate output tensor alias: elmo",
    ),
    (
        strings("dtype: DT_FLOAT float_val: 1 tensor_shape { dim { size: 1 } }"),
        "INVALID_ARGUMENT",
        "input strings: Expects arg[0] to be string but float is provided",
    ),
    (
        strings("dtype: DT_STRING string_val: 'a b'"),
        "INVALID_ARGUMENT",
        "input strings: Shape [] is not compatible with expected shape [?].",
    ),
    (
        strings("dtype: DT_STRING tensor_shape { dim { size: 0 } }"),
        "INVALID_ARGUMENT",
        "input strings: Got empty tensor, expected at least one element, "
        "received shape [0].",
    ),
    (
        TOY_TOKENS + LENGTHS + TOKENS.replace("size: 3", "size: 0"),
        "INVALID_ARGUMENT",
        "tensor parsing error: tokens",
    ),
    (
        TOY_TOKENS + LENGTHS + EMPTY_TOKENS,
        "INVALID_ARGUMENT",
        "input tokens: Got empty tensor, expected at least one element, "
        "received shape [2,0].",
    ),
    (
        TOY_TOKENS + LENGTHS + TOKENS.replace("size: 2", "size: 4"),
        "INVALID_ARGUMENT",
        "input tensors must have equal 0th-dimension size, received sequence_len 2, "
        "tokens 4.",
    ),
]
FEW_OUTPUTS = "Expected one or two output Tensors, found 6"
OTHERS = [
    # What is called, text, code, details.
    ("Classify", "", "INVALID_ARGUMENT", "Missing ModelSpec"),
    ("Classify", TOY + EXAMPLES, "INVALID_ARGUMENT", FEW_OUTPUTS),
    ("Regress", TOY + EXAMPLES, "INVALID_ARGUMENT", "Expected one output Tensor."),
    *[
        (method, text, code, details)
        for method in ("Classify", "Regress")
        for text, code, details in [
            (
                'model_spec { name: "x" }',
                "NOT_FOUND",
                "Servable not found for request: Latest(x)",
            ),
            (
                'model_spec { name: "toy" version { value: 7 } }' + EXAMPLES,
                "NOT_FOUND",
                "Servable not found for request: Specific(toy, 7)",
            ),
            (TOY_TOKENS + EXAMPLES, "INVALID_ARGUMENT", "Expected one input Tensor."),
            (
                'model_spec { name: "toy" signature_name: "x" }',
                "INVALID_ARGUMENT",
                "No signature was found with the name: x",
            ),
        ]
    ],
    (
        "Regress",
        'model_spec { name: "toy" signature_name: "scores" }' + EXAMPLES,
        "FAILED_PRECONDITION",
        "No regression outputs found in SignatureDef: inputs {...",
    ),
    (
        "Classify",
        'model_spec { name: "toy" signature_name: "regress" }' + EXAMPLES,
        "FAILED_PRECONDITION",
        "Expected classification signature outputs to contain at least one of "
        '"classes" or "scores". Signature was: inputs {...',
    ),
    ("Classify", TOY_CLASSIFY, "INVALID_ARGUMENT", "Input is empty."),
    (
        "Classify",
        TOY_CLASSIFY + "input { example_list {} }",
        "INVALID_ARGUMENT",
        "Input is empty.",
    ),
    (
        "Classify",
        TOY_CLASSIFY + FLOAT_EXAMPLES,
        "INVALID_ARGUMENT",
        "Name: <unknown>, Key: tokens, Index: 0.  Data types don't match. ...",
    ),
    ("MultiInference", "", "UNIMPLEMENTED", "This development server does not ..."),
    ("GetModelMetadata", "", "INVALID_ARGUMENT", "Missing ModelSpec"),
    (
        "GetModelMetadata",
        TOY,
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    (
        "GetModelMetadata",
        TOY + 'metadata_field: "x"',
        "INVALID_ARGUMENT",
        "Metadata field x is not supported",
    ),
    (
        "GetModelMetadata",
        'model_spec { name: "x" } metadata_field: "signature_def"',
        "NOT_FOUND",
        "Servable not found for request: Latest(x)",
    ),
    (
        "GetModelMetadata",
        'model_spec { name: "toy" version { value: 7 } } '
        'metadata_field: "signature_def"',
        "NOT_FOUND",
        "Servable not found for request: Specific(toy, 7)",
    ),
    ("GetModelStatus", "", "INVALID_ARGUMENT", "Missing ModelSpec"),
    (
        "GetModelStatus",
        'model_spec { name: "x" }',
        "NOT_FOUND",
        "Could not find any versions of model x",
    ),
    (
        "GetModelStatus",
        'model_spec { name: "toy" version { value: 7 } }',
        "NOT_FOUND",
        "Could not find version 7 of model toy",
    ),
    (
        "HandleReloadConfigRequest",
        "",
        "UNIMPLEMENTED",
        "This development server serves one model and follows its folder; ...",
    ),
]
UNREADABLE = "Exception deserializing request!"
TABLE = [
    *[("Predict", asking("Predict", t), code, text) for t, code, text in BAD_PREDICTS],
    *[(method, asking(method, t), code, text) for method, t, code, text in OTHERS],
    # A name that is no UTF-8; bytes that are no message; a message that is cut.
    ("Predict", b"\x0a\x03\x0a\x01\xff", "INTERNAL", UNREADABLE),
    ("Predict", b"\xff\xff\xff", "INTERNAL", UNREADABLE),
    ("Predict", GOOD.SerializeToString()[:-1], "INTERNAL", UNREADABLE),
    (
        "Predict",
        oversize(),
        "RESOURCE_EXHAUSTED",
        "...Received message larger than max (1048612 vs. 1048576)",
    ),
]


@pytest.fixture(scope="module")
def call(limited_server):
    """Function of a method's name and the request's bytes."""
    with grpc.insecure_channel(limited_server.address) as channel:

        def call(method, content):
            model_service = method in ("GetModelStatus", "HandleReloadConfigRequest")
            service = "ModelService" if model_service else "PredictionService"
            path = f"/tensorflow.serving.{service}/{method}"
            return channel.unary_unary(path)(content, timeout=30)

        yield call


def assert_answers(call):
    response = predict_pb2.PredictResponse.FromString(
        call("Predict", GOOD.SerializeToString())
    )
    assert tf.make_ndarray(response.outputs["lengths"]).tolist() == [2, 1]


@pytest.mark.parametrize(
    "method, content, code, details", TABLE, ids=map(str, range(len(TABLE)))
)
def test_a_bad_request_is_refused_and_the_server_lives_on(
    call, method, content, code, details
):
    with pytest.raises(grpc.RpcError) as caught:
        call(method, content)
    assert caught.value.code().name == code
    pattern = re.escape(details).replace(re.escape("..."), ".*")
    assert re.fullmatch(pattern, caught.value.details(), re.DOTALL)
    assert_answers(call)


@pytest.mark.parametrize(
    "content",
    [
        b"",  # a client that connects and says nothing
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",  # and one that stops in the middle
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",  # the beginning of TLS
        bytes(range(256)) * 100,
    ],
)
def test_other_bytes_on_the_port_harm_nobody(limited_server, call, content):
    host, _, port = limited_server.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(content)
        assert_answers(call)


def test_strings_are_bytes_and_need_not_be_utf_8(call):
    request = predict_pb2.PredictRequest()
    request.CopyFrom(GOOD)
    request.inputs["strings"].string_val[0] = b"\xff \xfe\x00"
    response = predict_pb2.PredictResponse.FromString(
        call("Predict", request.SerializeToString())
    )
    assert tf.make_ndarray(response.outputs["lengths"]).tolist() == [2, 1]
