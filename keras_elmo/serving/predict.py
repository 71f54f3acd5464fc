"""Predict: from a request to tensors, and from tensors to the response."""

import grpc
from tensorflow_serving.apis import predict_pb2

from keras_elmo.serving.checks import (
    RequestError,
    check_arrays,
    pick_outputs,
    read_inputs,
)
from keras_elmo.serving.tensors import encode

DEFAULT = "serving_default"


def predict(request, signatures: dict, compute) -> predict_pb2.PredictResponse:
    """Answer a `PredictRequest`.

    Args:
        request: The request; its model has been found already.
        signatures: `SignatureDef`s of the model by name.
        compute: Function of arrays by tensor name and of a list of tensor names, that
            returns arrays by tensor name.

    Returns:
        `PredictResponse`, with no model named in it.

    Raises:
        RequestError: if the request does not fit the model, or from `compute`.

    >>> request = PredictRequest(inputs=inputs, output_filter=["lengths"])
    >>> predict(request, signatures, compute).outputs["lengths"].int_val
    [2]
    """
    key = request.model_spec.signature_name or DEFAULT
    if key not in signatures or key.startswith("__"):
        raise RequestError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'Serving signature key "{key}" not found.',
        )
    signature = signatures[key]
    arrays = read_inputs(request.inputs, signature)
    names = pick_outputs(request.output_filter, signature)
    check_arrays(arrays, request.inputs, signature)
    results = compute(
        {signature.inputs[name].name: array for name, array in arrays.items()},
        [signature.outputs[name].name for name in names],
    )
    return predict_pb2.PredictResponse(
        outputs={
            name: encode(results[signature.outputs[name].name], as_list=True)
            for name in names
        }
    )
