"""The examples in the docstrings of what the clients are made of."""

import doctest
import importlib

import pytest

from keras_elmo.serving.aio_client import AsyncElmoClient
from keras_elmo.serving.sentences import Splitter


@pytest.mark.parametrize(
    "module",
    ["aio_client", "connection", "embedding", "in_flight", "requests", "sentences"],
)
def test_the_examples_run(module, server):
    def connect(address, model_name):
        return AsyncElmoClient(address, "toy")  # whatever the example calls it

    names = {"server": server, "AsyncElmoClient": connect, "Splitter": Splitter}
    module = importlib.import_module(f"keras_elmo.serving.{module}")
    result = doctest.testmod(module, extraglobs=names)
    assert result.failed == 0 and result.attempted > 0
