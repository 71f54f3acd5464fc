"""The server's answers to requests that are good, bad and worse."""

import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_elmo.serving import ModelServer

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


def parse(text):
    return text_format.Parse(text, predict_pb2.PredictRequest())


def strings(text):
    return TOY + 'inputs { key: "strings" value { ' + text + " } }"


# What is wrong, code, text.
BAD_REQUESTS = [
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


@pytest.mark.parametrize("text, code, details", BAD_REQUESTS)
def test_a_bad_request_is_refused_and_the_server_lives_on(stub, text, code, details):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(parse(text), timeout=30)
    assert caught.value.code().name == code
    assert caught.value.details() == details
    assert len(stub.Predict(parse(TOY + STRINGS), timeout=30).outputs) == 6


@pytest.mark.parametrize(
    "text, code, details",
    [
        (
            TOY_TOKENS + LENGTHS.replace("[3, 1]", "[4, 1]") + TOKENS,
            "INVALID_ARGUMENT",
            "sequence_len is larger than time",
        ),
        (
            TOY.replace("}", 'signature_name: "read_file" }') + STRINGS,
            "NOT_FOUND",
            "a b; No such file",
        ),
    ],
)
def test_an_error_of_the_model_keeps_its_code(stub, text, code, details):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(parse(text), timeout=30)
    assert caught.value.code().name == code
    assert details in caught.value.details()


def test_an_unexpected_error_is_internal_cut_and_survived(stub, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("x" * 2000)

    with monkeypatch.context() as patch:
        patch.setattr("keras_elmo.serving.server.encode", fail)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(parse(TOY + STRINGS), timeout=30)
    assert caught.value.code() == grpc.StatusCode.INTERNAL
    details = caught.value.details()
    assert details.startswith("RuntimeError: xxx") and details.endswith("...TRUNCATED")
    assert len(details) == 1024 + len("...TRUNCATED")
    assert stub.Predict(parse(TOY + STRINGS), timeout=30).outputs


def test_an_empty_signature_name_means_serving_default(stub):
    response = stub.Predict(parse(TOY + STRINGS), timeout=30)
    assert response.model_spec.name == "toy"
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    assert tf.make_ndarray(response.outputs["lengths"]).tolist() == [2, 1]


def test_both_signatures_give_the_numbers_of_the_model(stub, base_folder):
    signatures = tf.saved_model.load(str(base_folder / "1")).signatures
    expected = signatures["default"](strings=tf.constant(["a b", "c"]))
    tokens = TOKENS.replace("size: 3", "size: 2")
    tokens = tokens.replace('string_val: "a"', 'string_val: ["a", "b", "c", ""]')
    for text in (
        TOY + STRINGS,
        TOY_TOKENS + tokens + LENGTHS.replace("[3, 1]", "[2, 1]"),
    ):
        outputs = stub.Predict(parse(text), timeout=30).outputs
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(tf.make_ndarray(outputs[name]), value)


def test_replies_are_lists_as_those_of_a_stock_server(stub):
    outputs = stub.Predict(parse(TOY + STRINGS), timeout=30).outputs
    assert not any(proto.tensor_content for proto in outputs.values())
    assert len(outputs["elmo"].float_val) == 2 * 2 * 32
    assert outputs["lengths"].int_val == [2, 1]


def test_an_output_filter_limits_the_reply(stub):
    text = TOY + STRINGS + 'output_filter: ["lengths", "elmo"]'
    assert set(stub.Predict(parse(text), timeout=30).outputs) == {"lengths", "elmo"}


def test_a_reply_may_exceed_the_usual_4_mib(stub):
    request = parse(TOY)
    request.inputs["strings"].CopyFrom(tf.make_tensor_proto(["w " * 40000]))
    elmo = stub.Predict(request, timeout=30).outputs["elmo"]
    assert elmo.ByteSize() > 4 * 40000 * 32


def test_metadata_holds_the_signatures_of_the_file(stub, server):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "toy"
    request.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(request, timeout=30)
    assert (response.model_spec.name, response.model_spec.version.value) == ("toy", 1)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert dict(found.signature_def) == server.signatures
    assert "__saved_model_init_op" in found.signature_def


@pytest.mark.parametrize(
    "text, code, details",
    [
        ("", "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            TOY,
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            TOY + 'metadata_field: "x"',
            "INVALID_ARGUMENT",
            "Metadata field x is not supported",
        ),
        (
            'model_spec { name: "x" } metadata_field: "signature_def"',
            "NOT_FOUND",
            "Servable not found for request: Latest(x)",
        ),
    ],
)
def test_a_bad_metadata_request_is_refused(stub, text, code, details):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetModelMetadata(text_format.Parse(text, request), timeout=30)
    assert (caught.value.code().name, caught.value.details()) == (code, details)


def test_other_calls_are_unimplemented(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.Classify(classification_pb2.ClassificationRequest(), timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_request_past_its_deadline_is_not_computed(base_folder, monkeypatch):
    entered, leave, computed = threading.Event(), threading.Event(), []

    def slow(inputs, signature):
        computed.append(inputs)
        entered.set()
        leave.wait(30)
        raise ValueError("no result wanted")

    monkeypatch.setattr("keras_elmo.serving.server.read_inputs", slow)
    request = parse(TOY + STRINGS)
    with (
        ModelServer(base_folder, port=0, max_workers=1) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        first = stub.Predict.future(request, timeout=30)
        assert entered.wait(30)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request, timeout=0.2)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        leave.set()
        assert first.code() == grpc.StatusCode.INTERNAL
        with pytest.raises(grpc.RpcError):  # Answered after the expired one.
            stub.Predict(request, timeout=30)
    assert len(computed) == 2
