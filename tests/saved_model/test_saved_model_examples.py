"""The examples in the docstrings of `keras_elmo.saved_model`."""

import doctest
import importlib
import pkgutil
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo import saved_model
from keras_elmo.saved_model.session import read_meta_graph

MODULES = [module.name for module in pkgutil.iter_modules(saved_model.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name, elmo, elmo_folder, tagger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(elmo_folder, "models/tiny/1")
    names = {
        "elmo": elmo,
        "keras": keras,
        "keras_elmo": keras_elmo,
        "np": np,
        "signatures": read_meta_graph("models/tiny/1").signature_def,
        "tagger": tagger,
        "tf": tf,
    }
    module = importlib.import_module(f"keras_elmo.saved_model.{name}")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(module, extraglobs=names, optionflags=flags).failed == 0
