"""A client of TensorFlow Serving for ELMo models; it needs grpcio and the protos."""

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_elmo.serving.tensors import decode, dtype_name, encode

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # gRPC's own limit is 4 MiB.
    ("grpc.max_send_message_length", -1),
]


class ServingError(OSError):
    """A model server did not answer, or answered with an error.

    Args:
        message: str. Address, model and what went wrong, in one line.
        code: `grpc.StatusCode`.
        details: str. The server's own text.

    >>> ServingError("127.0.0.1:8500: down", grpc.StatusCode.UNAVAILABLE).code.name
    'UNAVAILABLE'
    """

    def __init__(self, message: str, code=None, details: str = ""):
        super().__init__(message)
        self.code = code
        self.details = details


class ElmoClient:
    """Ask a model server for ELMo vectors.

    It works with `ModelServer` and with TensorFlow Serving.

    Args:
        address: str, `"HOST:PORT"` of the server's gRPC port.
        model_name: Name under which the server has the model.
        version: int, or None for the version that the server thinks newest.
        timeout: Seconds to wait for each reply.

    Example:

    >>> with ElmoClient(server.address, "elmo_tiny_en") as client:
    ...     vectors = client.embed(["The cat sat .", "Hello"])
    """

    def __init__(
        self,
        address: str,
        model_name: str,
        *,
        version: int | None = None,
        timeout: float = 60.0,
    ):
        self.address = address
        self.model_name = model_name
        self.version = version
        self.timeout = timeout
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(self, inputs: dict, signature_name: str = "", outputs=()) -> dict:
        """Call a signature of the model.

        Args:
            inputs: Arrays or nested lists by input name. Python's integers are
                sent as int32, its floats as float32.
            signature_name: Empty means `serving_default`.
            outputs: Names of the outputs to return; empty means all.

        Returns:
            dict of NumPy arrays by output name.

        Raises:
            ServingError: if the server is away or refuses the request.
            ValueError: if an input is no array.

        >>> client.predict({"strings": ["a b", "c"]}, "default", ["lengths"])
        {'lengths': array([2, 1], dtype=int32)}
        """
        request = predict_pb2.PredictRequest(
            inputs={name: encode(values) for name, values in inputs.items()},
            output_filter=outputs,
        )
        request.model_spec.signature_name = signature_name
        response = self._call(self._stub.Predict, request)
        return {name: decode(proto) for name, proto in response.outputs.items()}

    def embed(self, sentences, output: str = "elmo", batch_size: int = 64) -> list:
        """Compute the vectors of sentences.

        Args:
            sentences: List of str, split into words by the model's signature
                `default`; or list of lists of words, for its signature `tokens`.
            output: Which output to return.
            batch_size: Most sentences in one request.

        Returns:
            List of arrays, one for each sentence: `(words, width)` for an output
            with one vector a word, `(width,)` for one with one a sentence.

        Raises:
            ServingError: if the server is away or refuses a request.
            ValueError: if `sentences` is neither of the two kinds of list.

        >>> [array.shape for array in client.embed([["a", "b"], ["c"]])]
        [(2, 32), (1, 32)]
        """
        signature_name = _signature_for(sentences)
        results = []
        for start in range(0, len(sentences), batch_size):
            batch = sentences[start : start + batch_size]
            inputs = {"strings": batch} if signature_name == "default" else _pad(batch)
            # An output may be asked for only once, "lengths" too.
            reply = self.predict(inputs, signature_name, sorted({output, "lengths"}))
            for row, length in zip(reply[output], reply["lengths"], strict=True):
                results.append(row[:length] if row.ndim > 1 else row)
        return results

    def metadata(self) -> dict:
        """List the model's signatures.

        Returns:
            dict: `{signature: {"inputs": {name: {"dtype", "shape"}}, "outputs":
            ...}}`. A shape is a list with None for a free size, or None if even
            the rank is free.

        Raises:
            ServingError: if the server is away or does not have the model.

        >>> client.metadata()["default"]["inputs"]
        {'strings': {'dtype': 'string', 'shape': [None]}}
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            metadata_field=["signature_def"]
        )
        response = self._call(self._stub.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(found)
        return {
            name: {
                "inputs": _describe(signature.inputs),
                "outputs": _describe(signature.outputs),
            }
            for name, signature in sorted(found.signature_def.items())
            if not name.startswith("__")
        }

    def close(self):
        """Close the connection."""
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _call(self, method, request):
        request.model_spec.name = self.model_name
        if self.version is not None:
            request.model_spec.version.value = self.version
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            line = " ".join(details.split())
            message = f"{self.address}, model {self.model_name}: {code.name}: {line}"
            raise ServingError(message, code, details) from error


def _signature_for(sentences):
    if isinstance(sentences, str | bytes):
        raise ValueError("embed: expected a list of sentences, received one string.")
    kinds = {isinstance(sentence, str | bytes) for sentence in sentences}
    if len(kinds) > 1:
        raise ValueError(
            "embed: expected sentences that are all str or all lists of words, "
            "received both."
        )
    return "tokens" if kinds == {False} else "default"


def _pad(batch):
    """Words with "" after the shorter sentences, and each sentence's length."""
    lengths = [len(words) for words in batch]
    time = max(1, *lengths)  # No server takes a tensor without elements.
    tokens = [[*words, *[""] * (time - len(words))] for words in batch]  # (B, T)
    return {"tokens": tokens, "sequence_len": lengths}


def _describe(tensors):
    return {
        name: {"dtype": dtype_name(info.dtype), "shape": _sizes(info.tensor_shape)}
        for name, info in sorted(tensors.items())
    }


def _sizes(shape):
    if shape.unknown_rank:
        return None
    return [None if dim.size < 0 else dim.size for dim in shape.dim]
