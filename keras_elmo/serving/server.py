"""A small model server for development, with the protocol of TensorFlow Serving."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from keras_elmo.serving.batching import Batcher
from keras_elmo.serving.batching_parameters import BatchingParameters
from keras_elmo.serving.calls import DirectRunner
from keras_elmo.serving.loaded_model import LoadedModel
from keras_elmo.serving.replay import replay
from keras_elmo.serving.services import ModelService, PredictionService
from keras_elmo.serving.versions import Versions

_HEALTH_NAMES = ("", "ModelService", "PredictionService")  # the stock server's
# Handlers mostly wait, for a batch or for their turn, so there may be many of them. As
# many as there are, so many requests can meet in batches, or find a queue full.
_LEAST_WORKERS, _MOST_WORKERS = 128, 1024


class ModelServer:
    """Serve the newest version of one exported model by gRPC.

    It answers `Predict`, `Classify`, `Regress` and `GetModelMetadata` of
    `tensorflow.serving.PredictionService`, `GetModelStatus` of its `ModelService` and
    gRPC's health checks as TensorFlow Serving does, status codes and texts included.
    It follows the folder: a newer version takes over once it has loaded. It is meant
    for development, tests and small loads; REST, metrics, labels and the reload of
    configurations are TensorFlow Serving's.

    Args:
        base_folder: The model's base folder. Its name is the model's name; a
            child whose whole name is an integer is a version.
        host: Address to listen on. The default can not be reached from outside.
        port: TCP port; 0 takes a free one.
        max_workers: Number of requests that are held at the same time; further ones,
            health checks too, wait outside. Only a few of them are computed at the same
            time. None: 128, and with batching as many as fill a queue, up to 1024.
        batching: How to merge requests into batches; None computes each by itself.
        poll_seconds: Time between two looks for new versions.
        load_retries: How often a new version that does not load is tried again.
        load_retry_seconds: Time between these.
        ssl_config: What `read_ssl_config` returned; None serves in plain text.
        max_message_bytes: Size of the largest request and response; None: no limit
            but that of protobuf, 2 GiB.
        grace: Seconds that `with` leaves running requests at its end.

    Raises:
        ValueError: if a number is out of range.

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
        max_workers: int | None = None,
        batching: BatchingParameters | None = None,
        poll_seconds: float = 1.0,
        load_retries: int = 5,
        load_retry_seconds: float = 60.0,
        ssl_config: grpc.ServerCredentials | None = None,
        max_message_bytes: int | None = None,
        grace: float = 5.0,
    ):
        if not 0 <= port < 65536:
            raise ValueError(
                f"ModelServer: expected a port from 0 to 65535, received {port}."
            )
        for name, value, least in (
            ("max_workers", max_workers, 1),
            ("poll_seconds", poll_seconds, 1e-3),
            ("load_retries", load_retries, 0),
            ("load_retry_seconds", load_retry_seconds, 0),
            ("max_message_bytes", max_message_bytes, 1),
            ("grace", grace, 0),
        ):
            if value is not None and value < least:
                raise ValueError(
                    f"ModelServer: expected {name} >= {least}, received {value}."
                )
        # Not resolved: a link gives the model its own name.
        self.model_name = Path(os.path.abspath(base_folder)).name
        self.host = host
        self.port = port
        self.max_workers = max_workers or _workers_for(batching)
        self.batching = batching
        self.ssl_config = ssl_config
        self.max_message_bytes = max_message_bytes
        self.grace = grace
        self.versions = Versions(
            base_folder,
            _load,
            poll_seconds=poll_seconds,
            load_retries=load_retries,
            load_retry_seconds=load_retry_seconds,
        )
        self._server = self._health = self._runner = None

    @property
    def address(self) -> str:
        """`"HOST:PORT"`; once started, with the port that is really in use."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def version(self) -> int | None:
        """The newest version that is available; None before `start`."""
        return self.versions.newest

    def start(self) -> "ModelServer":
        """Load the newest version, open the port and answer, in threads of its own.

        Returns:
            The server itself.

        Raises:
            FormatError: if there is no version, or it does not load.
            OSError: if the folder is missing or the port can not be opened.
            RuntimeError: if it has been started.
        """
        if self._server is not None:
            raise RuntimeError(f"ModelServer: it answers at {self.address} already.")
        self.versions.start()
        try:
            self._open()
        except BaseException:
            self.versions.stop()
            raise
        return self

    def stop(self, grace: float | None = None):
        """Refuse new requests, let running ones finish, and close the port.

        Args:
            grace: Seconds after which running requests are cancelled; None: those of
                the constructor.
        """
        if self._server is None:
            return
        self._health.enter_graceful_shutdown()
        self._server.stop(self.grace if grace is None else grace).wait()
        self._server = None
        self._runner.close()
        self.versions.stop()

    def wait(self):
        """Block until the server is stopped."""
        if self._server is not None:
            self._server.wait_for_termination()

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.stop()

    def _open(self):
        limit = -1 if self.max_message_bytes is None else self.max_message_bytes
        server = grpc.server(
            ThreadPoolExecutor(self.max_workers, "keras_elmo"),
            options=[
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", limit),
                ("grpc.so_reuseport", 0),  # Or a second server would share it unseen.
            ],
        )
        try:
            if self.ssl_config is None:
                self.port = server.add_insecure_port(self.address)
            else:
                self.port = server.add_secure_port(self.address, self.ssl_config)
        except RuntimeError as error:
            keys = ", or server_key and server_cert are no pair" * bool(self.ssl_config)
            raise OSError(
                f"{self.address}: can not listen there; the port is in use, or the "
                f"address is not one of this computer{keys}."
            ) from error
        if self.batching is None:
            self._runner = DirectRunner(limit=os.cpu_count() or 1)
        else:
            self._runner = Batcher(self.batching)
        self._health = health.HealthServicer()
        self._add_services(server)
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        server.start()
        self._server = server

    def _add_services(self, server):
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            PredictionService(self.model_name, self.versions, self._runner), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ModelService(self.model_name, self.versions), server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)


def _workers_for(batching):
    if batching is None:
        return _LEAST_WORKERS
    batches = batching.max_enqueued_batches + batching.num_batch_threads
    full = batching.max_batch_size * batches + 1
    return min(max(full, _LEAST_WORKERS), _MOST_WORKERS)


def _load(folder):
    model = LoadedModel(folder)
    try:
        replay(model)
    except BaseException:
        model.close()
        raise
    return model
