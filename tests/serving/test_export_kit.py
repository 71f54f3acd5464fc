"""The files under export/, as far as they can be checked without a stock server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

KIT = Path(__file__).parents[2] / "export"
SCRIPT = KIT / "start_serving.sh"


def parse_batching(text):
    """Read BatchingParameters: numbers in `{ value: n }`, others bare."""
    text = re.sub(r"#.*", "", text)
    pattern = r"(\w+)\s*(?:\{\s*value\s*:\s*(\d+)\s*\}|:\s*(\w+))\s*"
    assert re.fullmatch(rf"\s*(?:{pattern})+", text)
    wrapped, bare = {}, {}
    for name, number, value in re.findall(pattern, text):
        if number:
            assert name not in wrapped
            wrapped[name] = int(number)
        else:
            bare.setdefault(name, []).append(value)
    return wrapped, bare


def test_the_batching_parameters_are_what_the_server_takes():
    wrapped, bare = parse_batching((KIT / "batching.pbtxt").read_text())
    assert set(wrapped) == {
        "max_batch_size",
        "batch_timeout_micros",
        "max_enqueued_batches",
        "num_batch_threads",
    }
    assert set(bare) == {"allowed_batch_sizes", "pad_variable_length_inputs"}
    assert bare["pad_variable_length_inputs"] == ["true"]
    sizes = [int(size) for size in bare["allowed_batch_sizes"]]
    assert sizes == sorted(set(sizes)) and sizes[0] > 0
    assert sizes[-1] == wrapped["max_batch_size"] == 128


def test_the_models_file_is_a_model_server_config():
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((KIT / "models.pbtxt").read_text(), config)
    for model in config.model_config_list.config:
        assert model.base_path == f"/models/{model.name}"
        assert model.model_platform == "tensorflow"
        assert model.model_version_policy.latest.num_versions == 1


@pytest.fixture
def start(tmp_path):
    """Run the script, with programs on its PATH that print what they are given."""
    for name in ("docker", "tensorflow_model_server"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text('#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@"\n')
        program.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def run(*args, **variables):
        return subprocess.run(
            ["sh", str(SCRIPT), *map(str, args)],
            env={"PATH": path, **variables},
            capture_output=True,
            text=True,
        )

    return run


def test_the_script_is_a_shell_script():
    assert subprocess.run(["sh", "-n", str(SCRIPT)]).returncode == 0


def test_docker_is_published_on_loopback(start, base_folder):
    batching = KIT / "batching.pbtxt"
    done = start("-b", batching, base_folder, PORT="1234", IMAGE="image:tag")
    mount = "type=bind,source={},target={},readonly"
    assert done.stdout.splitlines() == [
        *("docker", "run", "--rm", "--init", "--publish", "127.0.0.1:1234:8500"),
        *("--mount", mount.format(base_folder, "/models/toy")),
        *("--mount", mount.format(batching, "/batching.pbtxt")),
        *("--entrypoint", "tensorflow_model_server", "image:tag", "--port=8500"),
        *("--model_name=toy", "--model_base_path=/models/toy"),
        *("--enable_batching=true", "--batching_parameters_file=/batching.pbtxt"),
    ]


def test_a_models_file_replaces_name_and_path(start, base_folder):
    done = start("-m", KIT / "models.pbtxt", base_folder.parent)
    lines = done.stdout.splitlines()
    assert "tensorflow/serving:2.20.0" in lines
    folder = f"type=bind,source={base_folder.parent},target=/models,readonly"
    assert folder in lines
    assert lines[-1] == "--model_config_file=/models.pbtxt"


def test_an_installed_server_gets_paths_of_this_computer(start, base_folder):
    done = start("-l", base_folder)
    assert done.stdout.splitlines() == [
        "tensorflow_model_server",
        "--port=8500",
        "--model_name=toy",
        f"--model_base_path={base_folder}",
    ]


@pytest.mark.parametrize(
    "args, code, text",
    [
        ([], 2, "usage: start_serving.sh"),
        (["-x", "."], 2, "usage: start_serving.sh"),
        (["nowhere"], 1, "nowhere: expected a folder"),
        (["-b", "nowhere", str(KIT)], 1, "nowhere: expected a file"),
        ([str(KIT)], 1, "expected a version"),
    ],
)
def test_wrong_arguments_are_named(start, args, code, text):
    done = start(*args)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_the_smallest_client_prints_vectors(server, client):
    done = subprocess.run(
        [sys.executable, KIT / "smallest_client.py", server.address, "toy", "a b", "c"],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = []
    for sentence, array in zip(["a b", "c"], client.embed(["a b", "c"]), strict=True):
        expected.append(f"{sentence}  {array.shape}")
        expected += [
            "  " + " ".join(f"{x:.4f}" for x in row[:3]) + " ..." for row in array
        ]
    assert done.stdout.splitlines() == expected
