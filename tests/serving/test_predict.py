"""The server's answers to requests."""

import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_elmo.saved_model.session import read_meta_graph
from keras_elmo.serving import ModelServer

STRINGS = """inputs { key: "strings" value {
    dtype: DT_STRING tensor_shape { dim { size: 2 } } string_val: ["a b", "c"] } }"""
TOKENS = """inputs { key: "tokens" value { dtype: DT_STRING string_val: "a"
    tensor_shape { dim { size: 2 } dim { size: 3 } } } }"""
LENGTHS = """inputs { key: "sequence_len" value { dtype: DT_INT32 int_val: [3, 1]
    tensor_shape { dim { size: 2 } } } }"""
TOY = 'model_spec { name: "toy" } '
TOY_TOKENS = 'model_spec { name: "toy" signature_name: "tokens" } '


def parse(text):
    return text_format.Parse(text, predict_pb2.PredictRequest())


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
        patch.setattr("keras_elmo.serving.predict.encode", fail)
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


def test_metadata_holds_the_signatures_of_the_file(stub, base_folder):
    signatures = dict(read_meta_graph(base_folder / "1").signature_def)
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "toy"
    request.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(request, timeout=30)
    assert (response.model_spec.name, response.model_spec.version.value) == ("toy", 1)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(found)
    assert dict(found.signature_def) == signatures
    assert "__saved_model_init_op" in found.signature_def


def test_a_request_past_its_deadline_is_not_computed(base_folder, monkeypatch):
    entered, leave, computed = threading.Event(), threading.Event(), []

    def slow(inputs, signature):
        computed.append(inputs)
        entered.set()
        leave.wait(30)
        raise ValueError("no result wanted")

    monkeypatch.setattr("keras_elmo.serving.predict.read_inputs", slow)
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
