"""A small model server for development: TensorFlow Serving's Predict over gRPC."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keras_elmo.errors import FormatError
from keras_elmo.serving.checks import (
    RequestError,
    check_arrays,
    check_has_model_spec,
    check_metadata_fields,
    check_model,
    pick_outputs,
    read_inputs,
)
from keras_elmo.serving.model_folder import load, read_signatures, version_folders
from keras_elmo.serving.tensors import encode

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MAX_TEXT = 1024
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # Or a second server would share the port unseen.
]


class ModelServer:
    """Serve the highest version of one exported model by gRPC.

    It answers `Predict` and `GetModelMetadata` of `tensorflow.serving.
    PredictionService` as TensorFlow Serving does, status codes and texts
    included. It has no batching, no REST, and does not follow new versions.

    Args:
        base_folder: The model's base folder. Its name is the model's name; a
            child whose whole name is an integer is a version.
        host: Address to listen on. The default can not be reached from outside.
        port: TCP port; 0 takes a free one.
        max_workers: Number of requests computed at the same time.

    Raises:
        OSError: if the folder is missing or, at `start`, if the port is taken.
        FormatError: if it holds no version, or one that does not load.
        ValueError: if the port is none.

    Example:

    >>> with ModelServer("models/elmo_tiny_en", port=0) as server:
    ...     client = ElmoClient(server.address, server.model_name)
    ...     vectors = client.embed(["The cat sat ."])
    """

    def __init__(
        self,
        base_folder: str | os.PathLike,
        *,
        host: str = "127.0.0.1",
        port: int = 8500,
        max_workers: int = 4,
    ):
        if not 0 <= port < 65536:
            raise ValueError(
                f"ModelServer: expected a port from 0 to 65535, received {port}."
            )
        versions = version_folders(base_folder)
        if not versions:
            found = ", ".join(sorted(os.listdir(base_folder))) or "nothing"
            raise FormatError(
                f"{os.fspath(base_folder)}: expected a version folder, named by an "
                f"integer, found: {found}."
            )
        self.version = max(versions)
        # Not resolved: a link gives the model its own name.
        self.model_name = Path(os.path.abspath(base_folder)).name
        self.host = host
        self.port = port
        self.max_workers = max_workers
        self.signatures = read_signatures(versions[self.version])
        self._model = load(versions[self.version])
        self._server = None

    @property
    def address(self) -> str:
        """`"HOST:PORT"`; once started, with the port that is really in use."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def start(self) -> "ModelServer":
        """Open the port and answer requests, in threads of their own.

        Returns:
            The server itself.

        Raises:
            OSError: if the port can not be opened.
        """
        server = grpc.server(
            ThreadPoolExecutor(self.max_workers, "keras_elmo"), options=_OPTIONS
        )
        service = _Service(self.model_name, self.version, self.signatures, self._model)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            service, server
        )
        try:
            self.port = server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise OSError(
                f"{self.address}: can not listen there; the port is in use, or the "
                f"address is not one of this computer."
            ) from error
        server.start()
        self._server = server
        return self

    def stop(self, grace: float = 5.0):
        """Refuse new requests, let running ones finish, and close the port.

        Args:
            grace: Seconds after which running requests are cancelled.
        """
        if self._server is not None:
            self._server.stop(grace).wait()
            self._server = None

    def wait(self):
        """Block until the server is stopped."""
        if self._server is not None:
            self._server.wait_for_termination()

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()


class _Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The calls of PredictionService, on one loaded model."""

    def __init__(self, name, version, signatures, model):
        self.name = name
        self.version = version
        self.signatures = signatures
        self.model = model

    def Predict(self, request, context):
        return _answer(self._predict, request, context)

    def GetModelMetadata(self, request, context):
        return _answer(self._metadata, request, context)

    def Classify(self, request, context):
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "This server answers Predict and GetModelMetadata only.",
        )

    Regress = MultiInference = Classify

    def _predict(self, request):
        check_has_model_spec(request)
        check_model(request.model_spec, self.name, self.version)
        key = request.model_spec.signature_name or "serving_default"
        if key not in self.signatures or key.startswith("__"):
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{key}" not found.',
            )
        signature = self.signatures[key]
        arrays = read_inputs(request.inputs, signature)
        names = pick_outputs(request.output_filter, signature)
        check_arrays(arrays, request.inputs, signature)
        outputs = self.model.signatures[key](
            **{name: tf.constant(array) for name, array in arrays.items()}
        )
        return predict_pb2.PredictResponse(
            model_spec=self._model_spec(signature_name=key),
            outputs={n: encode(outputs[n].numpy(), as_list=True) for n in names},
        )

    def _metadata(self, request):
        check_has_model_spec(request)
        check_metadata_fields(request.metadata_field)
        check_model(request.model_spec, self.name, self.version)
        response = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=self._model_spec()
        )
        response.metadata["signature_def"].Pack(
            get_model_metadata_pb2.SignatureDefMap(signature_def=self.signatures)
        )
        return response

    def _model_spec(self, **fields):
        spec = model_pb2.ModelSpec(name=self.name, **fields)
        spec.version.value = self.version
        return spec


def _answer(compute, request, context):
    """Turn whatever happens to one request into its answer or its status."""
    try:
        if not context.is_active():
            raise RequestError(grpc.StatusCode.DEADLINE_EXCEEDED, "Too late.")
        return compute(request)
    except RequestError as error:
        code, text = error.code, error.text
    except tf.errors.OpError as error:
        code, text = _CODES[error.error_code], error.message
    except Exception as error:
        code, text = grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "...TRUNCATED"
    context.abort(code, text)
