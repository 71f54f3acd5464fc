"""Classify and Regress: examples in, results out."""

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from keras_elmo.serving.checks import RequestError
from keras_elmo.serving.examples import classify, regress


@pytest.fixture(scope="module")
def stub(limited_server):
    with grpc.insecure_channel(limited_server.address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


SENTENCES = [["a", "b"], [], ["c"]]


def example(words):
    example = Example()
    value = [word.encode() for word in words]
    example.features.feature["tokens"].bytes_list.value.extend(value)
    return example


def ask(request_type, signature_name, sentences=SENTENCES):
    request = request_type()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = signature_name
    request.input.example_list.examples.extend(map(example, sentences))
    return request


def test_classes_and_scores(stub):
    response = stub.Classify(ask(ClassificationRequest, "classify"), timeout=30)
    found = [
        [(c.label, c.score) for c in one.classes]
        for one in response.result.classifications
    ]
    assert found == [[("short", -n), ("long", n)] for n in (2, 0, 1)]
    spec = response.model_spec
    assert (spec.name, spec.version.value) == ("toy", 1)
    assert spec.signature_name == "classify"


def test_scores_alone_have_no_labels(stub):
    response = stub.Classify(ask(ClassificationRequest, "scores"), timeout=30)
    classes = response.result.classifications[0].classes
    assert [(c.label, c.score) for c in classes] == [("", -2), ("", 2)]


def test_values(stub):
    response = stub.Regress(ask(RegressionRequest, "regress"), timeout=30)
    assert [r.value for r in response.result.regressions] == [2, 0, 1]
    assert response.model_spec.signature_name == "regress"


def test_a_context_is_part_of_each_example(stub):
    request = ask(RegressionRequest, "regress", [])
    shared = request.input.example_list_with_context
    shared.context.CopyFrom(example(["x", "y", "z"]))
    shared.examples.extend([Example(), example(["a"])])
    response = stub.Regress(request, timeout=30)
    assert [r.value for r in response.result.regressions] == [3, 1]


def signature(*outputs):
    text = 'inputs { key: "inputs" value { name: "i:0" } }'
    for name in outputs:
        text += f' outputs {{ key: "{name}" value {{ name: "{name}:0" }} }}'
    return {"serving_default": text_format.Parse(text, SignatureDef())}


@pytest.mark.parametrize(
    "outputs, text",
    [
        (
            {"scores": np.zeros(3, np.float32)},
            "Expected Tensor shape: [batch_size num_classes] but got [3]",
        ),
        (
            {"scores": np.zeros((3, 2), np.int32)},
            "Expected scores Tensor of DT_FLOAT. Got: DT_INT32",
        ),
        (
            {"classes": np.zeros((3, 2), np.float32)},
            "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
        ),
        (
            {"scores": np.zeros((2, 2), np.float32)},
            "Expected scores output batch size of 3. Got: 2",
        ),
        (
            {
                "classes": np.full((3, 1), b"x", object),
                "scores": np.zeros((3, 2), np.float32),
            },
            "Tensors class and score should match in dim_size(1). Got 1 vs. 2",
        ),
    ],
)
def test_a_model_whose_classes_do_not_fit_is_told(outputs, text):
    def compute(feeds, fetches):
        return {name: outputs[name.removesuffix(":0")] for name in fetches}

    request = ask(ClassificationRequest, "")
    with pytest.raises(RequestError) as caught:
        classify(request, signature(*outputs), compute)
    assert caught.value.text == text


@pytest.mark.parametrize(
    "array, text",
    [
        (
            np.zeros((3, 2), np.float32),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            "but got [3,2]",
        ),
        (
            np.zeros(2, np.float32),
            "Input batch size did not match output batch size: 3 vs. 2",
        ),
        (np.zeros(3), "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    ],
)
def test_a_model_whose_values_do_not_fit_is_told(array, text):
    with pytest.raises(RequestError) as caught:
        regress(
            ask(RegressionRequest, ""),
            signature("outputs"),
            lambda feeds, fetches: {"outputs:0": array},
        )
    assert caught.value.text == text


def test_a_column_of_values_is_as_good():
    array = np.ones((3, 1), np.float32)
    response = regress(
        ask(RegressionRequest, ""),
        signature("outputs"),
        lambda feeds, fetches: {"outputs:0": array},
    )
    assert [r.value for r in response.result.regressions] == [1, 1, 1]
