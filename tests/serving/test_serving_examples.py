"""The examples in the docstrings of `keras_elmo.serving`."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from keras_elmo import serving
from keras_elmo.serving import AsyncElmoClient, ElmoClient, ModelServer
from keras_elmo.serving.calls import DirectRunner
from keras_elmo.serving.loaded_model import LoadedModel
from keras_elmo.serving.sentences import Splitter
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
        loaded = LoadedModel(Path("models/elmo_tiny_en/1"))
        signature = loaded.signatures["default"]
        feeds = {signature.inputs["strings"].name: np.array([b"a b"], object)}
        fetches = [signature.outputs["elmo"].name]
        yield {
            "server": server,
            "client": client,
            "signature": loaded.signatures["default"],
            "signatures": loaded.signatures,
            "inputs": {"strings": encode(["a b"])},
            "feeds": feeds,
            "fetches": fetches,
            "model": loaded,
            "loaded": loaded,
            "compute": loaded.run,
            "versions": server.versions,
            "runner": DirectRunner(limit=1),
            "np": np,
            "tf": tf,
            "Path": Path,
            "ClassificationRequest": ClassificationRequest,
            "RegressionRequest": RegressionRequest,
            "encode": encode,
            "AsyncElmoClient": AsyncElmoClient,
            "Splitter": Splitter,
            "ElmoClient": ElmoClient,
            "LoadedModel": LoadedModel,
            "ModelSpec": ModelSpec,
            "PredictRequest": PredictRequest,
        }


MODULES = [module.name for module in pkgutil.iter_modules(serving.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_run(module, names):
    module = importlib.import_module(f"keras_elmo.serving.{module}")
    assert doctest.testmod(module, extraglobs=names).failed == 0
