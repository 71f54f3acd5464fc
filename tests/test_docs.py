"""Every example in a docstring is run, every command is in the README."""

import argparse
import doctest
import importlib
import io
import os
import pathlib
import pkgutil
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.cli import build_parser
from keras_elmo.pretraining.configs import CONFIGS
from keras_elmo.pretraining.memory import number_of_weights

ROOT = pathlib.Path(__file__).parents[1]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(keras_elmo.__path__, "keras_elmo.")
    # The one runs the command, the other needs an extra that the tests do without.
    if module.name not in ("keras_elmo.__main__", "keras_elmo.pretraining.torch_step")
]
FLAGS = (
    doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
)


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in MODULES:
        for test in finder.find(importlib.import_module(name), name):
            if test.examples and name.split(".")[1] not in ("serving", "saved_model"):
                yield pytest.param(test, id=test.name.removeprefix("keras_elmo."))


@pytest.fixture(scope="module")
def preset():
    return keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")


@pytest.mark.parametrize("test", list(examples()))
def test_an_example_gives_what_it_says(test, preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    preset.save_to_preset("my_elmo")
    os.remove("my_elmo/preset.json")
    if "save_to_preset" in test.name or "save_ai2" in test.name:
        for name in os.listdir("my_elmo"):
            os.remove(f"my_elmo/{name}")
    if "written_beside" in test.name:
        for name in os.listdir("my_elmo"):
            os.remove(f"my_elmo/{name}")
        os.rmdir("my_elmo")
        os.rmdir("models")
    test.globs.update(
        argparse=argparse, elmo=preset, keras=keras, keras_elmo=keras_elmo
    )
    test.globs.update(io=io, np=np, os=os, tf=tf)
    output = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=output.append)
    assert not runner.failures, "".join(output)


def test_every_public_layer_has_an_example():
    for name in keras_elmo.__all__:
        if not name.startswith("_") and name != "FormatError":
            assert ">>>" in getattr(keras_elmo, name).__doc__, name


def commands():
    parser = build_parser()
    (action,) = (
        a for a in parser._actions if isinstance(a, argparse._SubParsersAction)
    )
    return action.choices


def test_every_command_has_help_an_example_and_a_place_in_the_readme():
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, parser in commands().items():
        assert parser.epilog.startswith(f"example: keras-elmo {name}"), name
        assert f"keras-elmo {name}" in readme or f"`{name}" in readme, name


def test_examples_of_commands_can_be_parsed():
    import shlex

    for name, parser in commands().items():
        words = shlex.split(parser.epilog.removeprefix("example: keras-elmo "))
        assert build_parser().parse_args(words).command == name


def test_the_readme_names_files_that_are_there():
    readme = (ROOT / "README.md").read_text("utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / link).exists(), link


def test_the_readme_tells_the_sizes_of_the_configurations():
    rows = re.findall(
        r"^\| `(\w+)`.*\| (\d+), (\d+) \| ([\d,]+), up to (\d) wide \| (\d) "
        r"\| ([\d.]+) million \| (\d+) \|$",
        (ROOT / "README.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert {name for name, *_ in rows} == set(CONFIGS)
    for name, *told, millions, softmax in rows:
        lstm, char_cnn = CONFIGS[name]["lstm"], CONFIGS[name]["char_cnn"]
        filters = char_cnn["filters"]
        count, widest = sum(count for _, count in filters), filters[-1][0]
        sizes = lstm["dim"], lstm["projection_dim"], count, widest
        assert [int(number.replace(",", "")) for number in told] == [
            *sizes,
            char_cnn["n_highway"],
        ]
        weights = [number_of_weights(CONFIGS[name], words) for words in (0, 1)]
        assert millions == f"{weights[0] / 1e6:.1f}"
        assert int(softmax) == weights[1] - weights[0]
