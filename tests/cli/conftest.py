"""Running commands within the test's own process."""

import io
import sys

import pytest

from keras_elmo import cli
from keras_elmo.pretraining.model_files import save_language_model
from tests.pretraining import small_models


@pytest.fixture
def command(capsys):
    """A function of arguments that gives exit status, stdout and stderr."""

    def run(*argv):
        capsys.readouterr()
        try:
            status = cli.main([str(argument) for argument in argv])
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def language_model(tmp_path_factory):
    """The folder of a language model, bilm's own after six steps of training."""
    folder = tmp_path_factory.mktemp("models") / "run"
    save_language_model(small_models.bilms_model(), folder)
    return folder


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A function that puts a terminal in stderr's place and returns what it gets.

    To be called in the test itself: before, pytest would put its own there again.
    """

    def put():
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "200")
        stream = _Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream.getvalue

    return put
