"""Serve an exported model by gRPC, and ask one for vectors."""

from keras_elmo.serving.aio_client import AsyncElmoClient
from keras_elmo.serving.batching_parameters import (
    BatchingParameters,
    read_batching_parameters,
)
from keras_elmo.serving.client import ElmoClient, ServingError
from keras_elmo.serving.server import ModelServer
from keras_elmo.serving.ssl_config import read_ssl_config

__all__ = [
    "AsyncElmoClient",
    "BatchingParameters",
    "ElmoClient",
    "ModelServer",
    "ServingError",
    "read_batching_parameters",
    "read_ssl_config",
]
