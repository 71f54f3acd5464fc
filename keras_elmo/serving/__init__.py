"""Serve an exported model by gRPC, and ask one for vectors."""

from keras_elmo.serving.client import ElmoClient, ServingError
from keras_elmo.serving.server import ModelServer

__all__ = ["ElmoClient", "ModelServer", "ServingError"]
