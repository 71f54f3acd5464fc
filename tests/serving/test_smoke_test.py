"""The kit against the embedded server: its smoke test, its TLS, its batching."""

import subprocess
import sys

import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.serving import ElmoClient, ModelServer, ServingError
from keras_elmo.serving.batching_parameters import read_batching_parameters
from keras_elmo.serving.load_test import run_load
from keras_elmo.serving.ssl_config import read_ssl_config
from tests.helpers import DATA
from tests.serving.kit_protos import KIT


@pytest.fixture(scope="module")
def preset_server(tmp_path_factory):
    base = tmp_path_factory.mktemp("served") / "elmo_tiny_en"
    model = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
    keras_elmo.export_saved_model(model, base)
    batching = read_batching_parameters(KIT / "batching.pbtxt")
    with ModelServer(base, port=0, batching=batching) as server:
        yield server


def smoke_test(server, name, *flags):
    return subprocess.run(
        [sys.executable, KIT / "smoke_test.py", server.address, name, *flags],
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_smoke_test_holds_for_an_export(preset_server):
    done = smoke_test(preset_server, "elmo_tiny_en")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "all checks held"
    assert all(line.startswith("ok ") for line in lines[:-1])
    for signature in preset_server_signatures(preset_server):
        assert any(line.startswith(f"ok    signature {signature}:") for line in lines)
        assert any(line.startswith(f"ok    padding {signature}:") for line in lines)


def preset_server_signatures(server):
    with ElmoClient(server.address, "elmo_tiny_en") as client:
        return list(client.metadata())


@pytest.mark.slow
def test_the_smoke_test_finds_what_is_wrong(tmp_path):
    """A model that takes every row for as long as the longest beside it."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "strings")])
    def wrong(strings):
        words = tf.strings.split(strings).to_tensor("pad")
        lengths = tf.fill([tf.size(strings)], tf.shape(words)[1])
        vectors = tf.cast(tf.strings.length(words), tf.float32)[:, :, None]
        mean = tf.reduce_mean(vectors, 1)
        return {"elmo": vectors, "default": mean, "lengths": lengths}

    base = tmp_path / "wrong"
    signatures = {"serving_default": wrong}
    tf.saved_model.save(tf.Module(), str(base / "1"), signatures=signatures)
    with ModelServer(base, port=0) as server:
        done = smoke_test(server, "wrong")
        away = smoke_test(server, "other")
    assert done.returncode == away.returncode == 1
    assert "WRONG signature serving_default: lengths" in done.stdout
    assert "WRONG padding serving_default: differs by" in done.stdout
    assert "ok    refusals" in done.stdout
    assert "WRONG status: NOT_FOUND" in away.stdout
    assert "Traceback" not in done.stderr + away.stderr


@pytest.fixture
def tls_server(base_folder, tmp_path):
    """It wants certificates of its clients, by settings that the kit's script wrote."""
    names = ("server.key", "server.pem", "ca.pem")
    subprocess.run(
        [
            *("sh", KIT / "make_ssl_config.sh", tmp_path / "ssl.pbtxt"),
            *(DATA / "tls" / name for name in names),
        ],
        check=True,
    )
    ssl_config = read_ssl_config(tmp_path / "ssl.pbtxt")
    with ModelServer(base_folder, port=0, ssl_config=ssl_config) as server:
        yield server


def test_a_load_by_mutual_tls(tls_server):
    own = {"tls_cert": DATA / "tls/client.pem", "tls_key": DATA / "tls/client.key"}
    load = {"requests": 5, "tls_ca": DATA / "tls/ca.pem", "timeout": 10}
    report = run_load(tls_server.address, "toy", ["a b"], **load, **own)
    assert (report.answered, report.errors) == (5, {})
    load["timeout"] = 0.5
    with pytest.raises(ServingError, match="no connection within"):
        run_load(tls_server.address, "toy", ["a b"], **load)


@pytest.mark.slow
def test_the_smoke_test_by_mutual_tls(tls_server):
    pems = {"--ca": "ca.pem", "--cert": "client.pem", "--key": "client.key"}
    flags = [x for flag, name in pems.items() for x in (flag, DATA / "tls" / name)]
    done = smoke_test(tls_server, "toy", *flags)
    assert "ok    status: available: 1" in done.stdout, done.stdout + done.stderr
    assert "ok    padding tokens" in done.stdout
