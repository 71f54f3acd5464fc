"""The command `keras-elmo serve`."""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import keras
import pytest

from keras_elmo.cli import serve
from keras_elmo.resolver import load_elmo
from keras_elmo.serving import ElmoClient, ModelServer
from tests.helpers import GOLDEN

RUN = """
import argparse
from keras_elmo.cli import serve
parser = argparse.ArgumentParser()
serve.add_parser(parser.add_subparsers())
args = parser.parse_args()
args.run(args)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_ends_well(base_folder, number):
    command = [sys.executable, "-c", RUN, "serve", str(base_folder), "--port=0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"serving toy version 1 at (127.0.0.1:\d+)\n", line)
            assert found, line
            with ElmoClient(found[1], "toy") as client:
                assert client.embed(["a b"])[0].shape == (2, 32)
            process.send_signal(number)
            rest, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in errors


@pytest.fixture
def stopped(monkeypatch):
    """Let `serve` stop as if by a signal, once it would wait; yields the server."""
    servers = []

    def wait(server):
        servers.append(server)
        raise KeyboardInterrupt

    monkeypatch.setattr(ModelServer, "wait", wait)
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    yield servers
    for number, handler in before.items():
        signal.signal(number, handler)


def pair(folder):
    """AI2's pair of a tiny model, named by its weights."""
    for name in ("options.json", "lm_weights.hdf5"):
        shutil.copy(GOLDEN / "tiny" / name, folder)
    return f"{folder}/options.json,{folder}/lm_weights.hdf5"


def preset(folder):
    load_elmo(pair(folder)).save_to_preset(folder / "preset.v2")
    return str(folder / "preset.v2")


def tagger(folder):
    """A model around the layer: no ELMo signatures, and none are asked for."""
    words = keras.Input((None,), dtype="string", name="words")
    elmo = load_elmo(pair(folder))
    keras.Model(words, keras.layers.Dense(3)(elmo(words))).save(folder / "tagger.keras")
    return str(folder / "tagger.keras")


@pytest.mark.parametrize(
    "make, name", [(pair, "lm_weights"), (preset, "preset.v2"), (tagger, "tagger")]
)
def test_another_model_is_exported_first_and_removed_at_the_end(
    make, name, stopped, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    serve.run(argparse.Namespace(base=make(tmp_path), host="127.0.0.1", port=0))
    (server,) = stopped
    line = f"serving {name} version 1 at {server.address}\n"
    assert capsys.readouterr().out == line
    assert server.model_name == name
    assert list((tmp_path / "temporary").iterdir()) == []
