"""The examples in the docstrings of `keras_elmo.serving`."""

import doctest
import importlib

import pytest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from keras_elmo.serving import ElmoClient, ModelServer
from keras_elmo.serving.tensors import encode


@pytest.fixture
def names(base_folder, tmp_path, monkeypatch):
    """What the examples name without making it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "elmo_tiny_en").symlink_to(base_folder)
    with (
        ModelServer("models/elmo_tiny_en", port=0) as server,
        ElmoClient(server.address, "elmo_tiny_en") as client,
    ):
        yield {
            "server": server,
            "client": client,
            "signature": server.signatures["default"],
            "inputs": {"strings": encode(["a b"])},
            "encode": encode,
            "ElmoClient": ElmoClient,
            "ModelSpec": ModelSpec,
            "PredictRequest": PredictRequest,
        }


@pytest.mark.parametrize(
    "module", ["checks", "client", "model_folder", "server", "tensors"]
)
def test_the_examples_run(module, names):
    module = importlib.import_module(f"keras_elmo.serving.{module}")
    result = doctest.testmod(module, extraglobs=names)
    assert result.failed == 0 and result.attempted > 0
