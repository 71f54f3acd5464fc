"""Requests to a model server and what their answers say, for both clients."""

from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    predict_pb2,
    regression_pb2,
)

from keras_elmo.serving.connection import ServingError
from keras_elmo.serving.sentences import to_bytes, words_of
from keras_elmo.serving.tensors import dtype_name, encode


class Model:
    """A model on a server, as requests and errors name it.

    Args:
        address: str, `"HOST:PORT"`.
        name: The model's name.
        version: int, or None for the newest.

    >>> str(Model("127.0.0.1:8500", "elmo").error("no such output"))
    '127.0.0.1:8500, model elmo: no such output'
    """

    def __init__(self, address: str, name: str, version: int | None = None):
        self.address = address
        self.name = name
        self.version = version

    def predict_request(self, inputs: dict, signature_name: str, outputs):
        """A `PredictRequest`.

        Args:
            inputs: Arrays or nested lists by input name.
            signature_name: Empty means `serving_default`.
            outputs: Names of the outputs to return; empty means all.
        """
        request = predict_pb2.PredictRequest(
            inputs={name: encode(values) for name, values in inputs.items()},
            output_filter=outputs,
        )
        return self.address_to(request, signature_name)

    def metadata_request(self):
        """A `GetModelMetadataRequest` for the signatures."""
        return self.address_to(
            get_model_metadata_pb2.GetModelMetadataRequest(
                metadata_field=["signature_def"]
            )
        )

    def status_request(self):
        """A `GetModelStatusRequest`."""
        return self.address_to(get_model_status_pb2.GetModelStatusRequest())

    def classify_request(self, sentences, signature_name: str):
        """A `ClassificationRequest` on the words of sentences."""
        request = classification_pb2.ClassificationRequest(input=_examples(sentences))
        return self.address_to(request, signature_name)

    def regress_request(self, sentences, signature_name: str):
        """A `RegressionRequest` on the words of sentences."""
        request = regression_pb2.RegressionRequest(input=_examples(sentences))
        return self.address_to(request, signature_name)

    def address_to(self, request, signature_name: str = ""):
        """Name the model in a request, and return it."""
        request.model_spec.name = self.name
        request.model_spec.signature_name = signature_name
        if self.version is not None:
            request.model_spec.version.value = self.version
        return request

    def error(self, text: str, code=None, details: str = "") -> ServingError:
        """A `ServingError` of one line that names address and model."""
        line = " ".join(text.split())
        return ServingError(f"{self.address}, model {self.name}: {line}", code, details)

    def refusal(self, rpc_error) -> ServingError:
        """The `ServingError` for what gRPC raised."""
        code, details = rpc_error.code(), rpc_error.details() or ""
        return self.error(f"{code.name}: {details}", code, details)

    def read_classes(self, sentences, response) -> list:
        """For each sentence its `(label, score)` pairs, from `ClassificationResponse`.

        Raises:
            ServingError: if the answer is for another number of sentences.
        """
        found = response.result.classifications
        self.check_count(sentences, len(found), "classifications")
        return [[(c.label, c.score) for c in entry.classes] for entry in found]

    def read_values(self, sentences, response) -> list:
        """For each sentence its number, from a `RegressionResponse`.

        Raises:
            ServingError: if the answer is for another number of sentences.
        """
        found = response.result.regressions
        self.check_count(sentences, len(found), "regressions")
        return [entry.value for entry in found]

    def check_count(self, sentences, count: int, what: str):
        """Refuse an answer that does not have one entry for each sentence.

        Raises:
            ServingError: naming what came, expected and received.
        """
        if count != len(sentences):
            raise self.error(
                f"the reply's {what}: expected {len(sentences)} rows, found {count}"
            )

    def ready_version(self, statuses: list[dict]) -> int | None:
        """The newest version that answers, of those that are asked for.

        Args:
            statuses: What `read_statuses` returned.

        >>> Model("", "").ready_version([{"version": 2, "state": "AVAILABLE"}])
        2
        """
        ready = [s["version"] for s in statuses if s["state"] == "AVAILABLE"]
        return max((v for v in ready if self.version in (None, v)), default=None)


def read_metadata(response) -> dict:
    """The signatures in a `GetModelMetadataResponse`.

    Args:
        response: The message.

    Returns:
        dict: `{signature: {"inputs": {name: {"dtype", "shape"}}, "outputs": ...}}`.
    """
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


def read_statuses(response) -> list[dict]:
    """The versions in a `GetModelStatusResponse`, the newest first.

    Args:
        response: The message.

    Returns:
        list of `{"version": int, "state": str, "error": str}`.
    """
    state_name = get_model_status_pb2.ModelVersionStatus.State.Name
    return [
        {
            "version": entry.version,
            "state": state_name(entry.state),
            "error": entry.status.error_message,
        }
        for entry in sorted(
            response.model_version_status, key=lambda e: e.version, reverse=True
        )
    ]


def _examples(sentences):
    """An `Input` with a `tf.Example` a sentence, its words in the feature `tokens`."""
    examples = []
    for sentence in sentences:
        words = feature_pb2.BytesList(value=map(to_bytes, words_of(sentence)))
        features = {"tokens": feature_pb2.Feature(bytes_list=words)}
        examples.append(
            example_pb2.Example(features=feature_pb2.Features(feature=features))
        )
    return input_pb2.Input(example_list=input_pb2.ExampleList(examples=examples))


def _describe(tensors):
    return {
        name: {"dtype": dtype_name(info.dtype), "shape": _sizes(info.tensor_shape)}
        for name, info in sorted(tensors.items())
    }


def _sizes(shape):
    if shape.unknown_rank:
        return None
    return [None if dim.size < 0 else dim.size for dim in shape.dim]
