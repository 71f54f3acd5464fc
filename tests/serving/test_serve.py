"""The command `keras-elmo serve`."""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import grpc
import keras
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest

from keras_elmo.cli import serve
from keras_elmo.errors import FormatError
from keras_elmo.resolver import load_elmo
from keras_elmo.serving import ElmoClient, ModelServer
from tests.helpers import GOLDEN
from tests.serving.test_bad_requests import GOOD

RUN = """
import argparse
from keras_elmo.cli import serve
from keras_elmo.errors import FormatError
parser = argparse.ArgumentParser()
serve.add_parser(parser.add_subparsers())
args = parser.parse_args()
args.run(args)
"""


def test_it_serves_until_sigint_and_ends_well(base_folder):
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
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in errors


def test_requests_under_way_outlive_sigterm(base_folder, tmp_path):
    """One that waits for company in a batch is answered, not dropped."""
    (tmp_path / "batching.pbtxt").write_text(
        "max_batch_size { value: 8 } batch_timeout_micros { value: 500000 }"
    )
    command = [sys.executable, "-c", RUN, "serve", str(base_folder), "--port=0"]
    command += [f"--batching-parameters-file={tmp_path}/batching.pbtxt", "--grace=60"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            address = process.stdout.readline().split()[-1]
            with grpc.insecure_channel(address) as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                watch = health_pb2_grpc.HealthStub(channel).Watch(
                    health_pb2.HealthCheckRequest(), timeout=60
                )
                assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
                running = stub.Predict.future(GOOD, timeout=60)
                # Behind it on the same connection: once this one is answered, the
                # first has arrived.
                with pytest.raises(grpc.RpcError):
                    stub.GetModelMetadata(GetModelMetadataRequest(), timeout=60)
                process.send_signal(signal.SIGTERM)
                state = next(watch).status
                assert state == health_pb2.HealthCheckResponse.NOT_SERVING
                watch.cancel()
                assert set(running.result(60).outputs) >= {"elmo", "lengths"}
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
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


def arguments(*words):
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    return parser.parse_args(["serve", *words])


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
    "make, name",
    [
        pytest.param(pair, "lm_weights", marks=pytest.mark.slow),
        (preset, "preset.v2"),
        pytest.param(tagger, "tagger", marks=pytest.mark.slow),
    ],
)
def test_another_model_is_exported_first_and_removed_at_the_end(
    make, name, stopped, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    serve.run(arguments(make(tmp_path), "--port=0"))
    (server,) = stopped
    line = f"serving {name} version 1 at {server.address}\n"
    assert capsys.readouterr().out == line
    assert server.model_name == name
    assert list((tmp_path / "temporary").iterdir()) == []


def test_the_options_reach_the_server(base_folder, stopped, tmp_path):
    (tmp_path / "batching.pbtxt").write_text("max_batch_size { value: 8 }")
    serve.run(
        arguments(
            str(base_folder),
            "--port=0",
            f"--batching-parameters-file={tmp_path}/batching.pbtxt",
            "--poll-seconds=0.5",
            "--max-message-bytes=1000000",
            "--grace=2",
        )
    )
    (server,) = stopped
    assert server.batching.max_batch_size == 8
    assert server.versions.poll_seconds == 0.5
    assert (server.max_message_bytes, server.grace) == (1000000, 2)


@pytest.mark.parametrize("option", ["--batching-parameters-file", "--ssl-config-file"])
def test_a_file_that_is_wrong_is_told_before_anything_is_loaded(option, tmp_path):
    (tmp_path / "wrong.pbtxt").write_text("nonsense { }")
    with pytest.raises(FormatError, match="wrong.pbtxt: expected a"):
        serve.run(arguments("no_such_model", f"{option}={tmp_path}/wrong.pbtxt"))
    with pytest.raises(FileNotFoundError):
        serve.run(arguments("no_such_model", f"{option}={tmp_path}/absent.pbtxt"))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda base: base, "named by integers, or a model's files, found nothing"),
        (
            lambda base: base / "1",
            "found one version; its base folder is {base}.",
        ),
    ],
    ids=["nothing", "version"],
)
def test_a_folder_that_is_no_base_is_told(tmp_path, make, message):
    folder = make(tmp_path)
    if folder != tmp_path:
        folder.mkdir()
        (folder / "saved_model.pb").touch()
    with pytest.raises(FormatError, match=message.format(base=tmp_path)):
        serve.run(arguments(str(folder)))


def test_the_help_says_what_it_is_for_and_what_not(capsys):
    with pytest.raises(SystemExit):
        arguments("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "For development, tests and small loads" in text
    for word in ("REST", "metrics", "labels", "reloading"):
        assert word in text
