"""Health, TLS, states, the swap of versions and the end of a server that is at work."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from keras_elmo.errors import FormatError
from keras_elmo.serving import ElmoClient, ModelServer, ServingError, read_ssl_config
from keras_elmo.serving.loaded_model import LoadedModel
from tests.helpers import DATA
from tests.serving.conftest import BATCHING, eventually
from tests.serving.test_bad_requests import GOOD

PEM = {path.name: path.read_text() for path in (DATA / "tls").iterdir()}


def check_health(channel, name=""):
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=name)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(
        stub.Check(request, timeout=30).status
    )


@pytest.mark.parametrize("name", ["", "ModelService", "PredictionService"])
def test_health_has_the_stock_servers_names(channel, name):
    assert check_health(channel, name) == "SERVING"


def test_health_of_another_name_is_not_found(channel):
    with pytest.raises(grpc.RpcError) as caught:
        check_health(channel, "tensorflow.serving.PredictionService")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def status(channel, **fields):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "toy"
    if fields:
        request.model_spec.version.value = fields["version"]
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    found = stub.GetModelStatus(request, timeout=30).model_version_status
    names = get_model_status_pb2.ModelVersionStatus.State.Name
    return [(one.version, names(one.state)) for one in found]


def test_the_status_of_a_model(channel):
    assert status(channel) == status(channel, version=1) == [(1, "AVAILABLE")]


@pytest.mark.parametrize("batching", [None, BATCHING], ids=["single", "batching"])
def test_a_new_version_takes_over_under_load(base_folder, tmp_path, batching):
    base = tmp_path / "toy"
    shutil.copytree(base_folder / "1", base / "1")
    stop = threading.Event()
    answers = []

    def ask(stub):
        while not stop.is_set():
            response = stub.Predict(GOOD, timeout=30)
            answers.append(response.model_spec.version.value)

    with (
        ModelServer(base, port=0, poll_seconds=0.01, batching=batching) as server,
        grpc.insecure_channel(server.address) as channel,
        ThreadPoolExecutor(4) as pool,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        asking = [pool.submit(ask, stub) for _ in range(4)]
        try:
            eventually(lambda: answers)
            shutil.copytree(base_folder / "1", tmp_path / "new")
            (tmp_path / "new").rename(base / "2")
            eventually(lambda: status(channel) == [(2, "AVAILABLE"), (1, "END")])
            assert server.version == 2
            count = len(answers)
            eventually(lambda: len(answers) > count + 8)
        finally:
            stop.set()
        for one in asking:
            one.result(60)
    assert set(answers) == {1, 2}
    assert set(answers[-4:]) == {2}


@pytest.fixture
def held(monkeypatch):
    """Lets models compute only once `leave` is set; `entered` says that one would."""
    entered, leave = threading.Event(), threading.Event()
    entered.timeouts = []
    run = LoadedModel.run

    def hold(*args):
        entered.timeouts.append(args[-1])
        entered.set()
        assert leave.wait(60)
        return run(*args)

    monkeypatch.setattr(LoadedModel, "run", hold)
    yield entered, leave
    leave.set()


def test_stopping_lets_requests_finish_and_takes_no_more(base_folder, held):
    entered, leave = held
    server = ModelServer(base_folder, port=0).start()
    with (
        grpc.insecure_channel(server.address) as channel,
        ThreadPoolExecutor(2) as pool,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=60
        )
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        running = stub.Predict.future(GOOD, timeout=60)
        assert entered.wait(60)
        stopped = pool.submit(server.stop, 60)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING

        def refused():
            with grpc.insecure_channel(server.address) as other:
                ask = prediction_service_pb2_grpc.PredictionServiceStub(other).Predict
                code = ask.future(GOOD, timeout=1).code()
            return code == grpc.StatusCode.UNAVAILABLE

        eventually(refused)
        assert not running.done()
        watch.cancel()
        leave.set()
        assert set(running.result(60).outputs) >= {"elmo", "lengths"}
        stopped.result(60)


def test_a_deadline_holds_while_waiting_for_a_turn(base_folder, held, monkeypatch):
    entered, leave = held
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with (
        ModelServer(base_folder, port=0) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        first = stub.Predict.future(GOOD, timeout=60)
        assert entered.wait(60)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(GOOD, timeout=0.1)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert status(channel) == [(1, "AVAILABLE")]  # It still answers.
        leave.set()
        assert first.result(60).outputs
        stub.Predict(GOOD)
    first, second = entered.timeouts  # The client's time is the model's too.
    assert 0 < first <= 60 and second is None


def ssl_config(tmp_path, **fields):
    lines = []
    for name, value in fields.items():
        text = value if isinstance(value, bool) else repr(value)
        lines.append(f"{name}: {str(text).replace('True', 'true')}")
    (tmp_path / "ssl.pbtxt").write_text("\n".join(lines))
    return read_ssl_config(tmp_path / "ssl.pbtxt")


def ask_by_tls(server, **files):
    credentials = grpc.ssl_channel_credentials(
        **{name: PEM[file].encode() for name, file in files.items()}
    )
    with grpc.secure_channel(server.address, credentials) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(GOOD, timeout=30)


OWN = {"server_key": PEM["server.key"], "server_cert": PEM["server.pem"]}


def test_tls(base_folder, tmp_path):
    config = ssl_config(tmp_path, **OWN)
    with ModelServer(base_folder, port=0, ssl_config=config) as server:
        assert ask_by_tls(server, root_certificates="ca.pem").outputs
        with (
            ElmoClient(server.address, "toy") as client,
            pytest.raises(ServingError, match="UNAVAILABLE"),
        ):
            client.embed(["a"])
        assert ask_by_tls(server, root_certificates="ca.pem").outputs


def test_mutual_tls(base_folder, tmp_path):
    config = ssl_config(tmp_path, **OWN, custom_ca=PEM["ca.pem"], client_verify=True)
    with ModelServer(base_folder, port=0, ssl_config=config) as server:
        with pytest.raises(grpc.RpcError) as caught:
            ask_by_tls(server, root_certificates="ca.pem")
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        own = {"private_key": "client.key", "certificate_chain": "client.pem"}
        assert ask_by_tls(server, root_certificates="ca.pem", **own).outputs


@pytest.mark.parametrize(
    "fields, message",
    [
        ({}, "server_key: expected PEM text"),
        ({**OWN, "server_cert": "/etc/server.pem"}, "server_cert: expected PEM text"),
        ({**OWN, "client_verify": True}, "custom_ca: expected PEM text"),
        ({**OWN, "key": "x"}, "expected a SSLConfig as protobuf text.*no field named"),
    ],
)
def test_a_bad_ssl_config_is_named(tmp_path, fields, message):
    with pytest.raises(FormatError, match=f"ssl.pbtxt: {message}"):
        ssl_config(tmp_path, **fields)


def test_a_key_that_is_not_the_certificates_is_an_os_error(base_folder, tmp_path):
    fields = {**OWN, "server_key": PEM["client.key"]}
    config = ssl_config(tmp_path, **fields)
    server = ModelServer(base_folder, port=0, ssl_config=config)
    with pytest.raises(OSError, match="server_key and server_cert are no pair"):
        server.start()
