"""The scripts under export/, as far as they can be checked without a stock server."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.kit_protos import FLAGS, KIT, TAG

SCRIPT = KIT / "start_serving.sh"


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


@pytest.mark.parametrize("name", ["start_serving.sh", "make_ssl_config.sh"])
def test_the_scripts_are_shell_scripts(name):
    assert subprocess.run(["sh", "-n", str(KIT / name)]).returncode == 0
    shellcheck = shutil.which("shellcheck", path=Path(sys.executable).parent)
    done = subprocess.run([shellcheck, KIT / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


LAST = [
    "--num_load_threads=1",
    "--enable_grpc_healthcheck_service=true",
    "--enable_profiler=false",
]


def mount(source, target):
    return "--mount", f"type=bind,source={source},target={target},readonly"


def test_docker_is_published_on_loopback(start, base_folder):
    batching = KIT / "batching.pbtxt"
    done = start("-b", batching, base_folder, PORT="1234", IMAGE="image:tag")
    assert done.stdout.splitlines() == [
        *("docker", "run", "--rm", "--init", "--publish", "127.0.0.1:1234:8500"),
        *mount(base_folder, "/models/toy"),
        *mount(batching, "/batching.pbtxt"),
        *("--entrypoint", "tensorflow_model_server", "image:tag", "--port=8500"),
        *("--model_name=toy", "--model_base_path=/models/toy"),
        *("--enable_batching=true", "--batching_parameters_file=/batching.pbtxt"),
        *LAST,
    ]


def test_a_gpu_with_rest_and_tls(start, base_folder, tmp_path):
    ssl = tmp_path / "my ssl.pbtxt"
    ssl.write_text("")
    done = start("-g", "-p", "1235", "-s", ssl, base_folder, TAG="9.9")
    assert done.stdout.splitlines() == [
        *("docker", "run", "--rm", "--init", "--publish", "127.0.0.1:8500:8500"),
        *("--publish", "127.0.0.1:1235:8501", "--gpus", "all"),
        *mount(base_folder, "/models/toy"),
        *mount(ssl, "/ssl.pbtxt"),
        *mount(KIT / "session.pbtxt", "/session.pbtxt"),
        *mount(KIT / "monitoring.pbtxt", "/monitoring.pbtxt"),
        *("--entrypoint", "tensorflow_model_server", "tensorflow/serving:9.9-gpu"),
        *("--port=8500", "--rest_api_port=8501"),
        *("--model_name=toy", "--model_base_path=/models/toy"),
        "--ssl_config_file=/ssl.pbtxt",
        "--tensorflow_session_config_file=/session.pbtxt",
        "--monitoring_config_file=/monitoring.pbtxt",
        *LAST,
    ]


def test_a_models_file_replaces_name_and_path(start, base_folder):
    done = start("-m", KIT / "models.pbtxt", base_folder.parent)
    lines = done.stdout.splitlines()
    assert f"tensorflow/serving:{TAG}" in lines
    folder = f"type=bind,source={base_folder.parent},target=/models,readonly"
    assert folder in lines
    assert lines[-4:] == ["--model_config_file=/models.pbtxt", *LAST]


def test_an_installed_server_gets_paths_of_this_computer(start, base_folder):
    done = start("-l", base_folder)
    assert done.stdout.splitlines() == [
        "tensorflow_model_server",
        "--port=8500",
        "--model_name=toy",
        f"--model_base_path={base_folder}",
        *LAST,
    ]
    done = start("-lgp", "1235", base_folder)
    lines = done.stdout.splitlines()
    assert lines[1:3] == ["--port=8500", "--rest_api_port=1235"]
    assert f"--tensorflow_session_config_file={KIT / 'session.pbtxt'}" in lines
    assert f"--monitoring_config_file={KIT / 'monitoring.pbtxt'}" in lines


def test_the_version_is_asked_of_the_server_itself(start):
    assert start("-v", "-l").stdout.split() == ["tensorflow_model_server", "--version"]
    assert start("-g", "-v").stdout.split() == [
        *("docker", "run", "--rm", "--entrypoint", "tensorflow_model_server"),
        *(f"tensorflow/serving:{TAG}-gpu", "--version"),
    ]


def test_the_script_gives_flags_that_exist(start, base_folder):
    batching = KIT / "batching.pbtxt"
    done = start("-lg", "-p", "1", "-b", batching, "-s", batching, base_folder)
    flags = {line.split("=")[0][2:] for line in done.stdout.splitlines()[1:]}
    assert flags <= FLAGS and len(flags) == 12


@pytest.mark.parametrize(
    "args, code, text",
    [
        ([], 2, "usage: start_serving.sh"),
        (["-v", "."], 2, "usage: start_serving.sh"),
        (["-s", "nowhere", str(KIT)], 1, "nowhere: expected a file"),
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


def test_the_readme_lists_every_file_of_the_kit():
    text = (KIT / "README.md").read_text("utf-8")
    table = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`([\w.]+\.\w+|Dockerfile)`", table))
    files = {path.name for path in KIT.iterdir() if path.is_file()}
    assert named == files - {"README.md"}


def test_the_readme_claims_no_more_than_was_run():
    text = " ".join((KIT / "README.md").read_text("utf-8").split())
    assert "load and run in TensorFlow's C runtime 2.20 and 2.21" in text
    assert "Nothing in this folder has been run against a stock server" in text


def test_the_commands_of_the_readme_can_be_parsed(start, base_folder, monkeypatch):
    """Options of the scripts change; the walk-through has to follow."""
    text = (KIT / "README.md").read_text("utf-8")
    commands = re.findall(r"^(?:sh|python) export/(\w+\.\w+) (.*)$", text, re.M)
    assert {name for name, _ in commands} == {
        *("start_serving.sh", "make_ssl_config.sh", "smoke_test.py"),
        *("load_test.py", "smallest_client.py"),
    }
    (words,) = (shlex.split(line) for name, line in commands if name == "load_test.py")
    monkeypatch.syspath_prepend(KIT)
    monkeypatch.delitem(sys.modules, "load_test", raising=False)
    args = importlib.import_module("load_test").build_parser().parse_args(words)
    assert (args.concurrency, args.duration) == (64, 30.0)
    for name, line in commands:
        if name == "start_serving.sh":
            options = shlex.split(line)[:-1]
            monkeypatch.chdir(KIT.parent)
            options = [
                str(KIT / "ssl.pbtxt") if x == "my_ssl.pbtxt" else x for x in options
            ]
            done = start(*options, base_folder)
            assert done.returncode == 0, done.stderr
