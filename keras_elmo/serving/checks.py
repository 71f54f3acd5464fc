"""What a model server checks before it computes, in TensorFlow Serving's order.

Codes and texts are those of TensorFlow Serving 2.20 where it has one. Dtype,
shape and batch size it leaves to the model or to its batcher; here they are checked
against the signature. So what reaches the model is nothing that a stock server would
refuse, or that would fail the requests beside it in a batch.
"""

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2

from keras_elmo.serving.tensors import decode


class RequestError(Exception):
    """A request that is answered with a gRPC status instead of a result.

    Args:
        code: `grpc.StatusCode`.
        text: str. What the client reads.

    >>> RequestError(grpc.StatusCode.NOT_FOUND, "no such model").code.name
    'NOT_FOUND'
    """

    def __init__(self, code, text: str):
        super().__init__(text)
        self.code = code
        self.text = text


def check_has_model_spec(request):
    """Refuse a request that names no model at all.

    Args:
        request: Any request with a `model_spec`.

    Raises:
        RequestError: INVALID_ARGUMENT.

    >>> check_has_model_spec(PredictRequest(model_spec=ModelSpec(name="m")))
    """
    if not request.HasField("model_spec"):
        raise _invalid("Missing ModelSpec")


def check_model(spec, name: str):
    """Refuse a request for another model than the one served.

    Args:
        spec: `ModelSpec` of the request.
        name: The served model's name.

    Raises:
        RequestError: INVALID_ARGUMENT or NOT_FOUND.

    >>> check_model(ModelSpec(name="elmo"), "elmo")
    """
    if not spec.name:
        raise _invalid("ModelSpec has no name specified.")
    if spec.WhichOneof("version_choice") == "version_label":
        raise _invalid(f"Unrecognized servable version label: {spec.version_label}")
    if spec.name != name:
        raise not_served(spec)


def asked_version(spec) -> int | None:
    """The version that a request asks for; None is the newest.

    Args:
        spec: `ModelSpec` of the request.

    >>> asked_version(ModelSpec(name="elmo")) is None
    True
    """
    return spec.version.value if spec.HasField("version") else None


def not_served(spec) -> RequestError:
    """The answer where there is no such model, or no such version of it.

    Args:
        spec: `ModelSpec` of the request.

    >>> not_served(ModelSpec(name="elmo")).text
    'Servable not found for request: Latest(elmo)'
    """
    version = asked_version(spec)
    wanted = (
        f"Latest({spec.name})"
        if version is None
        else f"Specific({spec.name}, {version})"
    )
    return RequestError(
        grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}"
    )


def check_metadata_fields(fields):
    """Refuse a metadata request for anything but `signature_def`.

    Args:
        fields: Sequence of str.

    Raises:
        RequestError: INVALID_ARGUMENT.

    >>> check_metadata_fields(["signature_def"])
    """
    if not fields:
        raise _invalid(
            "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in fields:
        if field != "signature_def":
            raise _invalid(f"Metadata field {field} is not supported")


def read_inputs(inputs, signature) -> dict[str, np.ndarray]:
    """Check the names of the inputs and decode each.

    Args:
        inputs: Map of name to `TensorProto`, from the request.
        signature: `SignatureDef`.

    Returns:
        Arrays by input name, sorted by name.

    Raises:
        RequestError: INVALID_ARGUMENT, if a name or a tensor is wrong.

    >>> read_inputs({"strings": encode(["a b"])}, signature)["strings"].shape
    (1,)
    """
    sent, required = set(inputs), set(signature.inputs)
    if len(sent) != len(required):
        raise _invalid(
            f"input size does not match signature: {len(sent)}!={len(required)} "
            f"len({_braces(sent)}) != len({_braces(required)}). "
            f"Sent extra: {_braces(sent - required)}. "
            f"Missing but required: {_braces(required - sent)}."
        )
    arrays = {}
    for name in sorted(required):
        if name not in sent:
            raise _invalid(
                f"Signature input alias: {name}(feed name: "
                f"{signature.inputs[name].name}) not found in request and no default "
                f"value provided. Inputs expected to be in the request "
                f"{_braces(required)}, or default input alias set: "
            )
        try:
            arrays[name] = decode(inputs[name])
        except ValueError as error:
            raise _invalid(f"tensor parsing error: {name}") from error
    return arrays


def pick_outputs(output_filter, signature) -> list[str]:
    """Name the outputs that a request asks for.

    Args:
        output_filter: Sequence of str; empty asks for all.
        signature: `SignatureDef`.

    Returns:
        list of str.

    Raises:
        RequestError: INVALID_ARGUMENT, if a name is unknown or comes twice.

    >>> pick_outputs(["elmo"], signature)
    ['elmo']
    """
    picked = []
    for name in output_filter:
        if name not in signature.outputs:
            raise _invalid(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {_braces(signature.outputs)}."
            )
        if name in picked:
            raise _invalid(f"duplicate output tensor alias: {name}")
        picked.append(name)
    return picked or sorted(signature.outputs)


def check_arrays(arrays: dict[str, np.ndarray], inputs, signature):
    """Check dtype, shape and the common batch size of decoded inputs.

    Args:
        arrays: What `read_inputs` returned.
        inputs: Map of name to `TensorProto`, from the request.
        signature: `SignatureDef`.

    Raises:
        RequestError: INVALID_ARGUMENT, naming the input, expected and received.

    >>> check_arrays(read_inputs(inputs, signature), inputs, signature)
    """
    for position, (name, array) in enumerate(arrays.items()):
        info = signature.inputs[name]
        if inputs[name].dtype != info.dtype:
            raise _invalid(
                f"input {name}: Expects arg[{position}] to be {_dtype(info.dtype)} "
                f"but {_dtype(inputs[name].dtype)} is provided"
            )
        expected = [dim.size for dim in info.tensor_shape.dim]
        if not info.tensor_shape.unknown_rank and not _fits(array.shape, expected):
            raise _invalid(
                f"input {name}: Shape {_shape(array.shape)} is not compatible with "
                f"expected shape {_shape(expected)}."
            )
        if array.size == 0:
            raise _invalid(
                f"input {name}: Got empty tensor, expected at least one element, "
                f"received shape {_shape(array.shape)}."
            )
    sizes = {name: array.shape[0] for name, array in arrays.items() if array.ndim}
    if len(set(sizes.values())) > 1:
        received = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise _invalid(
            f"input tensors must have equal 0th-dimension size, received {received}."
        )


def _invalid(text):
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, text)


def _braces(names):
    return "{" + ",".join(sorted(names)) + "}"


def _dtype(number):
    return types_pb2.DataType.Name(number).removeprefix("DT_").lower()


def _shape(sizes):
    return "[" + ",".join("?" if size < 0 else str(size) for size in sizes) + "]"


def _fits(shape, expected):
    return len(shape) == len(expected) and all(
        want in (-1, size) for size, want in zip(shape, expected, strict=True)
    )
