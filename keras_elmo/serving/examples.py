"""Classify and Regress: `tf.Example`s in, classes or values out.

The tensors of such a signature have names that are fixed: `inputs`, and `classes` and
`scores`, or `outputs`. As in the stock server, it is these that decide whether a
signature will do, not its method name.
"""

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from keras_elmo.serving.checks import RequestError
from keras_elmo.serving.predict import DEFAULT
from keras_elmo.serving.tensors import encode


def classify(request, signatures: dict, compute):
    """Answer a `ClassificationRequest`.

    Args:
        request: The request; its model has been found already.
        signatures: `SignatureDef`s of the model by name.
        compute: As of `predict.predict`.

    Returns:
        `ClassificationResponse`, with no model named in it.

    Raises:
        RequestError: if signature or request do not do, or from `compute`.

    >>> classify(ClassificationRequest(), signatures, compute)
    Traceback (most recent call last):
    keras_elmo.serving.checks.RequestError: Expected one or two output Tensors, found 6
    """
    signature = _signature(request, signatures)
    if len(signature.outputs) not in (1, 2):
        raise _invalid(
            f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    _need(signature.inputs, "inputs", "No classification inputs found in", signature)
    names = [name for name in ("classes", "scores") if name in signature.outputs]
    if not names:
        raise RequestError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Expected classification signature outputs to contain at least one of "
            f'"classes" or "scores". Signature was: {signature}',
        )
    count, outputs = _compute(request, signature, names, compute)
    dtypes = {"classes": types_pb2.DT_STRING, "scores": types_pb2.DT_FLOAT}
    for name, array in outputs.items():
        _check_class_output(name, array, dtypes[name], count)
    shapes = {array.shape for array in outputs.values()}
    if len(shapes) > 1:
        raise _invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{outputs['classes'].shape[1]} vs. {outputs['scores'].shape[1]}"
        )
    response = classification_pb2.ClassificationResponse()
    fields = {"classes": "label", "scores": "score"}
    for row in range(count):
        classes = response.result.classifications.add().classes
        for column in range(shapes.copy().pop()[1]):
            values = {fields[n]: array[row, column] for n, array in outputs.items()}
            classes.add(**values)
    return response


def regress(request, signatures: dict, compute):
    """Answer a `RegressionRequest`.

    Args:
        request: The request; its model has been found already.
        signatures: `SignatureDef`s of the model by name.
        compute: As of `predict.predict`.

    Returns:
        `RegressionResponse`, with no model named in it.

    Raises:
        RequestError: if signature or request do not do, or from `compute`.

    >>> regress(RegressionRequest(), signatures, compute)
    Traceback (most recent call last):
    keras_elmo.serving.checks.RequestError: Expected one output Tensor.
    """
    signature = _signature(request, signatures)
    if len(signature.outputs) != 1:
        raise _invalid("Expected one output Tensor.")
    _need(signature.inputs, "inputs", "No regression inputs found in", signature)
    _need(signature.outputs, "outputs", "No regression outputs found in", signature)
    count, outputs = _compute(request, signature, ["outputs"], compute)
    array = outputs["outputs"]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise _invalid(
            "Expected output Tensor shape to be either [batch_size] or "
            f"[batch_size, 1] but got {_shape(array)}"
        )
    if len(array) != count:
        raise _invalid(
            "Input batch size did not match output batch size: "
            f"{count} vs. {len(array)}"
        )
    if array.dtype != np.float32:
        raise _invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_dtype(array)}")
    response = regression_pb2.RegressionResponse()
    for value in array.ravel():
        response.result.regressions.add(value=value)
    return response


def _signature(request, signatures):
    key = request.model_spec.signature_name or DEFAULT
    if key not in signatures:
        raise _invalid(f"No signature was found with the name: {key}")
    if len(signatures[key].inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    return signatures[key]


def _need(tensors, name, what, signature):
    if name not in tensors:
        raise RequestError(
            grpc.StatusCode.FAILED_PRECONDITION, f"{what} SignatureDef: {signature}"
        )


def _compute(request, signature, names, compute):
    """The number of examples, and the outputs by name."""
    examples = _serialized(request.input)
    results = compute(
        {signature.inputs["inputs"].name: np.array(examples, object)},
        [signature.outputs[name].name for name in names],
    )
    outputs = {name: results[signature.outputs[name].name] for name in names}
    return len(examples), outputs


def _serialized(request_input):
    """Each example as bytes; a common context is merged by putting it before."""
    kind = request_input.WhichOneof("kind")
    context = b""
    if kind == "example_list_with_context":
        context = request_input.example_list_with_context.context.SerializeToString()
    examples = getattr(request_input, kind).examples if kind else []
    if not examples:
        raise _invalid("Input is empty.")
    return [context + example.SerializeToString() for example in examples]


def _check_class_output(name, array, dtype, count):
    if array.ndim != 2:
        raise _invalid(
            f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}"
        )
    if encode(array[:0]).dtype != dtype:
        raise _invalid(
            f"Expected {name} Tensor of {types_pb2.DataType.Name(dtype)}. Got: "
            f"{_dtype(array)}"
        )
    if len(array) != count:
        raise _invalid(
            f"Expected {name} output batch size of {count}. Got: {len(array)}"
        )


def _dtype(array):
    return types_pb2.DataType.Name(encode(array[:0]).dtype)


def _shape(array):
    return "[" + ",".join(map(str, array.shape)) + "]"


def _invalid(text):
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, text)
