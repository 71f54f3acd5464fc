"""The configuration files under export/, read as the server reads them."""

import subprocess

import pytest
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.config import model_server_config_pb2

from tests.serving.kit_protos import CLASSES, KIT, parse


def test_the_batching_parameters_are_what_the_server_takes():
    batching = parse(KIT / "batching.pbtxt", CLASSES["BatchingParameters"])
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)) and sizes[0] > 0
    assert sizes[-1] == batching.max_batch_size.value == 128
    assert batching.pad_variable_length_inputs
    assert batching.num_batch_threads.value >= 1
    assert batching.max_enqueued_batches.value >= 1
    assert batching.batch_timeout_micros.value > 0


def test_the_models_file_is_a_model_server_config():
    config = parse(KIT / "models.pbtxt", model_server_config_pb2.ModelServerConfig)
    for model in config.model_config_list.config:
        assert model.base_path == f"/models/{model.name}"
        assert model.model_platform == "tensorflow"
        assert model.model_version_policy.latest.num_versions == 1


def test_the_session_takes_memory_as_it_needs_it():
    session = parse(KIT / "session.pbtxt", config_pb2.ConfigProto)
    assert session.gpu_options.allow_growth


def pem(kind, *lines):
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])


@pytest.fixture
def pem_files(tmp_path):
    files = {
        "key": pem("EC PRIVATE KEY", "MHcC+/AQ=="),
        "cert": pem("CERTIFICATE", "MII1", "abc=") + pem("CERTIFICATE", "MII2"),
        "ca": pem("CERTIFICATE", "MII3").replace("\n", "\r\n"),
    }
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode())
    return files


def make_ssl_config(folder, *names):
    return subprocess.run(
        ["sh", KIT / "make_ssl_config.sh", *names],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_ssl_settings_hold_the_text_of_the_pem_files(tmp_path, pem_files):
    done = make_ssl_config(tmp_path, "one.pbtxt", "key", "cert")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    config = parse(tmp_path / "one.pbtxt", CLASSES["SSLConfig"])
    assert config.server_key == pem_files["key"]
    assert config.server_cert == pem_files["cert"]
    assert (config.custom_ca, config.client_verify) == ("", False)
    assert make_ssl_config(tmp_path, "two.pbtxt", "key", "cert", "ca").returncode == 0
    config = parse(tmp_path / "two.pbtxt", CLASSES["SSLConfig"])
    assert config.custom_ca == pem_files["ca"].replace("\r", "")
    assert config.client_verify
    assert (tmp_path / "two.pbtxt").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "names, code, text",
    [
        (["out", "key"], 2, "usage: make_ssl_config.sh"),
        (["out", "key", "none"], 1, "none: expected a file"),
        (["out", "cert", "cert"], 1, "cert: expected a PEM PRIVATE KEY"),
        (["out", "key", "key"], 1, "key: expected a PEM CERTIFICATE"),
    ],
)
def test_wrong_pem_files_are_named(tmp_path, pem_files, names, code, text):
    done = make_ssl_config(tmp_path, *names)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca", "cert", "key"]


def test_the_ssl_template_has_the_fields_that_the_script_writes():
    config = parse(KIT / "ssl.pbtxt", CLASSES["SSLConfig"])
    assert all("REPLACE" in text for text in (config.server_key, config.server_cert))
    assert "REPLACE" in config.custom_ca and config.client_verify
