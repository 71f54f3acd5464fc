"""The kit's files for docker, compose, Kubernetes and KServe."""

import http.server
import re
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from tensorflow_serving.config import model_server_config_pb2

from tests.serving.kit_protos import CLASSES, FLAGS, KIT, TAG, parse

KUBERNETES = "1.32"
SCRIPT = KIT / "start_serving.sh"


def yaml_files(name):
    return list(yaml.safe_load_all((KIT / name).read_text("utf-8")))


def compose_service():
    return yaml_files("compose.yaml")[0]["services"]["elmo"]


def container_file():
    """Instructions of the container file, with lines joined."""
    text = (KIT / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return [tuple(line.split(None, 1)) for line in lines]


def commands():
    """What each file of the kit has the server called with."""
    instructions = dict(container_file())
    service = compose_service()
    found = {
        "Dockerfile": (
            yaml.safe_load(instructions["ENTRYPOINT"]),
            yaml.safe_load(instructions["CMD"]),
        ),
        "compose.yaml": (service["entrypoint"], service["command"]),
    }
    for name, (deployment, _) in (
        ("kubernetes.yaml", yaml_files("kubernetes.yaml")),
        ("kserve.yaml", yaml_files("kserve.yaml")),
    ):
        spec = deployment["spec"]
        (container,) = spec.get("template", {}).get("spec", spec)["containers"]
        found[name] = (container["command"], container["args"])
    return found


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "kubernetes.yaml"])
def test_the_server_is_called_the_same_everywhere(name):
    program, flags = commands()[name]
    assert program == ["tensorflow_model_server"]
    assert flags == commands()["compose.yaml"][1]


def test_flags_exist_and_name_files_that_are_there():
    for name, (program, flags) in commands().items():
        assert program == ["tensorflow_model_server"], name
        pairs = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
        assert set(pairs) <= FLAGS, name
        for flag, value in pairs.items():
            if flag.endswith("_file"):
                assert value.startswith("/config/")
                assert (KIT / value.removeprefix("/config/")).is_file(), value
        assert pairs["enable_batching"] == "true"


def test_one_tag_is_the_image_everywhere():
    image = f"tensorflow/serving:{TAG}-gpu"
    assert container_file()[:2] == [
        ("ARG", f"TAG={TAG}"),
        ("FROM", "tensorflow/serving:${TAG}-gpu"),
    ]
    assert compose_service()["image"] == f"tensorflow/serving:${{TAG:-{TAG}}}-gpu"
    for name in ("kubernetes.yaml", "kserve.yaml"):
        assert re.findall(r"image: (\S+)", (KIT / name).read_text("utf-8")) == [image]
    assert f"TAG=${{TAG:-{TAG}}}" in SCRIPT.read_text("utf-8")


def test_the_container_file_copies_files_that_are_there():
    copied = [words.split() for name, words in container_file() if name == "COPY"]
    assert [folder for *_, folder in copied] == ["/models", "/config/"]
    names = [name for name in copied[1][:-1]]
    assert names and all((KIT.parent / name).is_file() for name in names)


def test_the_compose_file_keeps_to_its_schema():
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", KIT / "compose.yaml"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_compose_publishes_on_loopback_and_reserves_a_gpu():
    service = compose_service()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert service["init"] is True
    for mount in service["volumes"][1:5]:
        source, target, mode = mount.split(":")
        assert (KIT / source).is_file() and mode == "ro"
        assert target == f"/config/{Path(source).name}"


class Status(http.server.BaseHTTPRequestHandler):
    """What a stock server's REST says of a model."""

    def do_GET(self):
        found = self.path == "/v1/models/elmo_tiny_en"
        body = b'{"model_version_status": [{"version": "1", "state": "%s"}]}'
        body = body % self.server.state.encode() if found else b"{}"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.mark.parametrize("state", ["AVAILABLE", "LOADING", None])
def test_the_health_check_of_compose_tells_the_truth(state):
    kind, *command = compose_service()["healthcheck"]["test"]
    assert kind == "CMD"
    with socketserver.TCPServer(("127.0.0.1", 0), Status) as server:
        server.state = state
        port = server.server_address[1]
        assert command[-1].count("8501") == 1
        command[-1] = command[-1].replace("8501", str(port))
        if state is None:
            server.server_close()
        else:
            threading.Thread(target=server.serve_forever, args=[0.01]).start()
        try:
            done = subprocess.run(command, capture_output=True, timeout=20)
        finally:
            if state is not None:
                server.shutdown()
    assert (done.returncode == 0) == (state == "AVAILABLE"), done.stderr


def test_the_kubernetes_file_keeps_to_its_schema():
    kinds = []
    for document in yaml_files("kubernetes.yaml"):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        kinds.append(document["kind"])
    assert kinds == ["Deployment", "Service"]


def test_kubernetes_waits_for_models_and_drains():
    deployment, service = yaml_files("kubernetes.yaml")
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    names = {port["name"] for port in container["ports"]}
    config = parse(KIT / "models.pbtxt", model_server_config_pb2.ModelServerConfig)
    (model,) = config.model_config_list.config
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["path"] == f"/v1/models/{model.name}"
        assert container[probe]["httpGet"]["port"] in names
    assert f"/v1/models/{model.name} " in compose_service()["healthcheck"]["test"][-1]
    drain = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert 0 < drain < pod["spec"]["terminationGracePeriodSeconds"]
    labels = pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_pod_of_the_kserve_runtime_keeps_to_kubernetes_schema():
    """KServe's own schemas are in no package: its two kinds are looked at by hand."""
    runtime, service = yaml_files("kserve.yaml")
    spec = runtime["spec"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "annotations": spec["annotations"]},
        "spec": {"containers": spec["containers"], "volumes": spec["volumes"]},
    }
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    assert set(spec) == {
        *("annotations", "supportedModelFormats", "protocolVersions"),
        *("containers", "volumes"),
    }
    (container,) = spec["containers"]
    assert container["name"] == "kserve-container"
    for flag in ("port=9000", "rest_api_port=8080", "model_base_path=/mnt/models"):
        assert f"--{flag}" in container["args"]
    assert runtime["kind"] == "ServingRuntime"
    assert runtime["apiVersion"] == "serving.kserve.io/v1alpha1"
    assert service["kind"] == "InferenceService"
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    model = service["spec"]["predictor"]["model"]
    assert model["modelFormat"] in spec["supportedModelFormats"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["ports"][0]["containerPort"] == 9000
    assert model["resources"]["limits"]["nvidia.com/gpu"] == 1
    container = {"name": "model", "resources": model["resources"]}
    pod["spec"] = {"containers": [{**container, "ports": model["ports"]}]}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_metrics_have_a_path():
    prometheus = parse(
        KIT / "monitoring.pbtxt", CLASSES["MonitoringConfig"]
    ).prometheus_config
    assert prometheus.enable
    path = prometheus.path
    pods = yaml_files("kubernetes.yaml")[0]["spec"]["template"]["metadata"]
    assert pods["annotations"]["prometheus.io/path"] == path
    runtime = yaml_files("kserve.yaml")[0]["spec"]
    assert runtime["annotations"]["prometheus.kserve.io/path"] == path
