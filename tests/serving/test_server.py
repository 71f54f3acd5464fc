"""Loading a model, opening and closing the port."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from keras_elmo.errors import FormatError
from keras_elmo.saved_model.version_folders import version_folders
from keras_elmo.serving import (
    BatchingParameters,
    ElmoClient,
    ModelServer,
    ServingError,
)
from keras_elmo.serving.loaded_model import LoadedModel
from tests.serving.conftest import eventually

LOOPBACK = {  # As /proc/net writes 127.0.0.1, the same as IPv6, and ::1.
    "0100007F",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000000001000000",
}


def listening():
    """`(address, port)` of each TCP socket that this process listens on."""
    links = (os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir())
    own = {link.rpartition("socket:")[2].strip("[]") for link in links}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in own:
                address, _, port = fields[1].rpartition(":")
                yield address, int(port, 16)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
def test_nothing_listens_off_loopback(server):
    found = list(listening())
    assert int(server.address.rpartition(":")[2]) in {port for _, port in found}
    assert {address for address, _ in found} <= LOOPBACK


def test_the_name_is_the_folders_and_the_port_is_real(server):
    host, _, port = server.address.rpartition(":")
    assert (host, server.model_name, server.version) == ("127.0.0.1", "toy", 1)
    assert int(port) > 0


def test_the_highest_version_is_served(base_folder, tmp_path):
    base = tmp_path / "elmo.v1"
    for name in ("2", "00000010", "9", "3.tmp", ".4", "x11", "9" * 30):
        shutil.copytree(base_folder / "1", base / name)
    (base / "12").write_text("a file")
    assert sorted(version_folders(base)) == [2, 9, 10]
    with ModelServer(base, port=0) as server:
        assert (server.model_name, server.version) == ("elmo.v1", 10)
        with ElmoClient(server.address, "elmo.v1", version=10) as client:
            assert client.embed(["a b"])[0].shape == (2, 32)


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ModelServer(tmp_path / "nowhere").start()


def test_a_folder_that_is_moved_while_it_is_read_is_not_empty(tmp_path, monkeypatch):
    (tmp_path / "toy" / "1").mkdir(parents=True)

    def moved(path):
        (tmp_path / "toy").rename(tmp_path / "away")
        return False

    monkeypatch.setattr(Path, "is_dir", moved)
    with pytest.raises(FileNotFoundError):
        version_folders(tmp_path / "toy")


def test_a_folder_without_versions_is_named(tmp_path):
    (tmp_path / "variables").mkdir()
    with pytest.raises(FormatError, match=f"{tmp_path}: expected .* found: variables"):
        ModelServer(tmp_path).start()


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "1: expected saved_model.pb, found: nothing"),
        ({"saved_model.pb": b"\xff\xff"}, "saved_model.pb: expected a SavedModel"),
        ({"saved_model.pb": b""}, 'expected a graph with the tag "serve"'),
    ],
)
def test_a_version_that_is_no_saved_model_is_named(tmp_path, files, message):
    (tmp_path / "1").mkdir()
    for name, content in files.items():
        (tmp_path / "1" / name).write_bytes(content)
    with pytest.raises(FormatError, match=message):
        ModelServer(tmp_path).start()


def test_a_version_that_does_not_load_is_named(base_folder, tmp_path):
    shutil.copytree(base_folder / "1", tmp_path / "1")
    (tmp_path / "1" / "variables" / "variables.index").write_bytes(b"cut")
    with pytest.raises(FormatError, match="1: expected a SavedModel that TensorFlow"):
        ModelServer(tmp_path).start()


def test_a_taken_port_is_an_os_error(server, base_folder):
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(OSError, match=f"127.0.0.1:{port}: can not listen"):
        ModelServer(base_folder, port=port).start()


def test_a_started_server_is_not_started_again(base_folder):
    with ModelServer(base_folder, port=0) as server:
        with pytest.raises(RuntimeError, match=f"answers at {server.address} already"):
            server.start()
        with ElmoClient(server.address, "toy") as client:
            assert len(client.embed(["a"])) == 1


@pytest.mark.parametrize(
    "name, value",
    [
        ("max_workers", 0),
        ("poll_seconds", 0),
        ("load_retries", -1),
        ("load_retry_seconds", -1),
        ("max_message_bytes", 0),
        ("grace", -1),
    ],
)
def test_a_number_out_of_range_is_named(base_folder, name, value):
    with pytest.raises(ValueError, match=f"{name} >= .*received {value}"):
        ModelServer(base_folder, **{name: value})


def test_a_full_queue_is_told_to_clients(base_folder, monkeypatch):
    leave = threading.Event()
    run = LoadedModel.run

    def wait_and_run(*args):
        assert leave.wait(60)
        return run(*args)

    monkeypatch.setattr(LoadedModel, "run", wait_and_run)
    batching = BatchingParameters(1, max_enqueued_batches=2, num_batch_threads=1)
    with (
        ModelServer(base_folder, port=0, batching=batching) as server,
        ElmoClient(server.address, "toy", retries=0) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        futures = [pool.submit(client.predict, {"strings": ["a"]}) for _ in range(8)]
        eventually(lambda: sum(future.done() for future in futures) == 5)
        leave.set()
        errors = [error for f in futures if (error := f.exception(60)) is not None]
    # One is computed, two wait.
    assert len(errors) == 5
    assert {error.code for error in errors} == {grpc.StatusCode.UNAVAILABLE}
    assert "max_enqueued_batches is 2" in errors[0].details


def test_a_stopped_server_is_away_and_can_start_again(base_folder):
    server = ModelServer(base_folder, port=0)
    for _ in range(2):
        server.start()
        with ElmoClient(server.address, "toy") as client:
            assert client.embed(["a"])
            server.stop()
            server.wait()  # Returns at once.
            with pytest.raises(ServingError, match="UNAVAILABLE"):
                client.embed(["a"])
