"""Help, usage, and what the parser may cost."""

import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from keras_elmo import cli

ROOT = pathlib.Path(__file__).parents[2]


def run_module(*argv):
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "keras_elmo", *argv],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "300"},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("command", [None, *cli.COMMANDS])
def test_help_has_an_example_that_parses_and_imports_little(command):
    done = run_module(*([command] if command else []), "--help")
    assert done.returncode == 0
    (example,) = re.findall(r"^example: keras-elmo (.+)$", done.stdout, re.MULTILINE)
    parsed = cli.build_parser().parse_args(shlex.split(example))
    assert command in (None, parsed.command)
    lines = done.stderr.splitlines()
    assert all(line.startswith("import time:") for line in lines)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in lines}
    assert "keras_elmo" in imported
    assert not imported & {"keras", "tensorflow", "numpy", "h5py", "rich", "grpc"}


def test_every_argument_has_a_help():
    for name, parser in subparsers().items():
        for action in parser._actions:
            assert action.help, f"{name}: {action.dest}"


def test_results_that_are_facts_can_be_had_as_json():
    without = {"demo", "serve"}
    for name, parser in subparsers().items():
        has = "--json" in parser._option_string_actions
        assert has == (name not in without), name


def subparsers():
    parser = cli.build_parser()
    (action,) = parser._subparsers._group_actions
    return action.choices


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["no-such-command"],
        ["inspect"],
        ["inspect", "model", "--no-such-option"],
        ["embed", "text.txt"],
        ["embed", "text.txt", "-o", "out.hdf5", "--batch-tokens", "0"],
        ["embed", "text.txt", "-o", "out.hdf5", "--batch", "32"],  # no abbreviation
        ["embed", "text.txt", "-o", "out.hdf5", "--layers", "second"],
        ["export", "model", "base", "--version", "latest"],
        ["vocab", "text.txt", "-o", "vocab.txt", "--size", "-1"],
        ["evaluate", "run", "text.txt", "--batch", "x"],
    ],
)
def test_wrong_usage_is_exit_status_2(argv, command):
    status, out, err = command(*argv)
    assert (status, out) == (2, "")
    assert err.startswith("usage: keras-elmo")


def test_an_error_of_an_argument_says_what_was_expected(command):
    _, _, err = command("embed", "text.txt", "-o", "out.hdf5", "--batch-tokens", "0")
    assert err.endswith("argument --batch-tokens: expected an int >= 1, received '0'\n")
    _, _, err = command("pretrain", "--learning-rate", "nan")
    assert err.endswith(
        "argument --learning-rate: expected a number > 0, received 'nan'\n"
    )
    _, _, err = command("pretrain", "--seed", "-1")
    assert err.endswith("argument --seed: expected an int >= 0, received '-1'\n")
