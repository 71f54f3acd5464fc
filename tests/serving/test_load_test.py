"""The load generator: its arithmetic, its stops, what it counts, its command line."""

import doctest
import json
import runpy
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_elmo.serving import ServingError, load_report, load_test
from keras_elmo.serving.load_report import LoadReport
from keras_elmo.serving.load_test import run_load
from keras_elmo.serving.tensors import decode, encode

SCRIPT = Path(__file__).parents[2] / "export" / "load_test.py"
SENTENCES = ["a b c", "d", "e f"]


def report_of(latencies=(), errors=None, seconds=2.0):
    count = len(latencies)
    return LoadReport(
        setup={"model": "toy"},
        seconds=seconds,
        answered=count,
        sentences=2 * count,
        tokens=6 * count,
        reply_bytes=100 * count,
        started_s=np.arange(count, dtype=float),
        latency_ms=np.array(latencies, float),
        errors=errors or {},
    )


@given(
    st.lists(st.floats(0.001, 1e6), min_size=1, max_size=120),
    st.sampled_from([1, 50, 95, 99, 100]),
)
def test_a_percentile_is_the_smallest_that_so_many_do_not_exceed(values, percent):
    enough = [
        v for v in values if 100 * sum(x <= v for x in values) >= percent * len(values)
    ]
    assert report_of(values).percentile(percent) == min(enough)


@given(st.lists(st.floats(0.001, 1e3)), st.floats(0.1, 1e4), st.integers(0, 5))
def test_throughput_counts_answers_alone(values, seconds, failed):
    errors = {"UNAVAILABLE": failed} if failed else {}
    report = report_of(values, errors, seconds)
    facts = report.as_json()
    assert report.requests == len(values) + failed
    assert report.per_second() == pytest.approx(len(values) / seconds)
    for name, each in (("requests", 1), ("sentences", 2), ("tokens", 6)):
        expected = each * len(values) / seconds
        assert facts[f"{name}_per_s"] == pytest.approx(expected, abs=0.005)
    assert json.loads(json.dumps(facts)) == facts


def test_nothing_answered_is_a_report_too():
    report = report_of(errors={"UNAVAILABLE": 2, "INTERNAL": 1}, seconds=0.0)
    assert report.as_json()["latency_ms"] == dict.fromkeys(["p50", "p95", "p99", "max"])
    assert "p50 -" in report.text()
    assert "INTERNAL 1, UNAVAILABLE 2" in report.text()


class Recorder(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers late, remembers requests, and how many it had at a time."""

    def __init__(self, seconds=0.0, fail=()):
        self.seconds = seconds
        self.fail = fail
        self.requests = []
        self.lock = threading.Lock()
        self.now = self.most = 0

    def Predict(self, request, context):
        with self.lock:
            number = len(self.requests)
            self.requests.append(request)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        if number in self.fail:
            context.abort(self.fail[number], "as asked")
        return predict_pb2.PredictResponse(outputs={"elmo": encode([1.0])})


@pytest.fixture
def recorder():
    servers = []

    def start(workers=8, **arguments):
        service = Recorder(**arguments)
        server = grpc.server(ThreadPoolExecutor(workers))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            service, server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return service, f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(0).wait()


def test_sentences_are_taken_in_order_and_again(recorder):
    service, address = recorder()
    run_load(
        address,
        "toy",
        SENTENCES,
        signature_name="tokens",
        outputs=["elmo", "lengths"],
        batch=2,
        requests=3,
        warmup=0,
        version=7,
    )
    rows = [decode(r.inputs["tokens"]).tolist() for r in service.requests]
    first = [[b"a", b"b", b"c"], [b"d", b"", b""]]
    assert rows == [first, [[b"e", b"f"]], first]
    lengths = [decode(r.inputs["sequence_len"]).tolist() for r in service.requests]
    assert lengths == [[3, 1], [2], [3, 1]]
    for request in service.requests:
        assert list(request.output_filter) == ["elmo", "lengths"]
        assert request.model_spec.name == "toy"
        assert request.model_spec.signature_name == "tokens"
        assert request.model_spec.version.value == 7


def test_no_words_are_still_a_tensor_with_an_element(recorder):
    service, address = recorder()
    run_load(address, "toy", [""], signature_name="tokens", requests=1, warmup=0)
    assert decode(service.requests[0].inputs["tokens"]).tolist() == [[b""]]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_closed_loop_keeps_so_many_in_flight(recorder, concurrency):
    service, address = recorder(seconds=0.05)
    report = run_load(address, "toy", SENTENCES, concurrency=concurrency, requests=12)
    assert service.most == concurrency
    assert (report.answered, report.sentences, report.tokens) == (12, 12, 24)
    assert len(service.requests) == 13  # and one to warm up
    assert report.percentile(1) >= 50
    assert report.seconds >= 12 / concurrency * 0.05
    assert (np.diff(report.started_s) >= 0).all()


def test_warm_up_is_not_counted(recorder):
    service, address = recorder(fail={0: grpc.StatusCode.UNAVAILABLE})
    report = run_load(address, "toy", SENTENCES, requests=2, warmup=5)
    assert (report.requests, len(service.requests), report.errors) == (2, 7, {})


def test_errors_are_counted_by_code_and_none_is_sent_twice(recorder):
    codes = grpc.StatusCode
    fail = {0: codes.UNAVAILABLE, 2: codes.INVALID_ARGUMENT, 3: codes.UNAVAILABLE}
    service, address = recorder(fail=fail)
    report = run_load(address, "toy", SENTENCES, requests=6, warmup=0)
    assert report.errors == {"UNAVAILABLE": 2, "INVALID_ARGUMENT": 1}
    assert (report.requests, report.answered, len(service.requests)) == (6, 3, 6)
    assert len(report.latency_ms) == 3


def test_a_deadline_is_an_error_like_others(recorder):
    _, address = recorder(seconds=0.5)
    report = run_load(address, "toy", SENTENCES, requests=2, warmup=0, timeout=0.1)
    assert report.errors == {"DEADLINE_EXCEEDED": 2}


@pytest.mark.parametrize("load", [{"concurrency": 3}, {"rate": 40}])
def test_it_stops_by_itself_after_a_time(recorder, load):
    service, address = recorder(seconds=0.05)
    report = run_load(address, "toy", SENTENCES, duration=0.4, warmup=0, **load)
    assert 0.4 <= report.seconds < 10
    assert report.answered == len(service.requests) >= 3
    assert report.started_s.max() < 0.4


def test_the_first_of_two_ends_is_the_end(recorder):
    _, address = recorder()
    report = run_load(address, "toy", SENTENCES, duration=60, requests=3)
    assert report.answered == 3
    report = run_load(address, "toy", SENTENCES, duration=0.2, requests=10**9, rate=50)
    assert report.requests == 10


def test_a_stalled_server_is_charged_for_all_who_would_have_waited(recorder):
    """With one worker of 50 ms and 50 requests/s due, request k waits 30 ms * k."""
    _, address = recorder(workers=1, seconds=0.05)
    report = run_load(address, "toy", SENTENCES, rate=50, requests=10, warmup=0)
    np.testing.assert_allclose(report.started_s, np.arange(10) / 50)
    least = 50 + 30 * np.arange(10)
    assert (report.latency_ms >= least - 1).all()
    assert report.setup["rate"] == 50 and "concurrency" not in report.setup


def test_the_server_answers_a_load(server, client):
    for signature in ("default", "serving_default", "tokens"):
        report = run_load(
            server.address,
            "toy",
            SENTENCES,
            signature_name=signature,
            batch=2,
            concurrency=4,
            requests=30,
        )
        assert (report.answered, report.errors) == (30, {})
        assert (report.sentences, report.tokens) == (45, 90)
        # 15 requests of 2 sentences of 3 words, 15 of one of 2, 32 float32 a word.
        values = 4 * 32 * (15 * 2 * 3 + 15 * 2)
        assert values < report.reply_bytes < values + 30 * 200


def test_a_refused_load_is_counted(server):
    load = {"concurrency": 4, "requests": 8}
    wrong = run_load(server.address, "toy", SENTENCES, outputs=["no"], **load)
    assert wrong.errors == {"INVALID_ARGUMENT": 8}
    away = run_load(server.address, "other", SENTENCES, **load)
    assert away.errors == {"NOT_FOUND": 8}


def test_no_server_is_an_error_of_its_own():
    with pytest.raises(ServingError, match=r"127.0.0.1:1: no connection within 0.3 s"):
        run_load("127.0.0.1:1", "toy", SENTENCES, requests=1, timeout=0.3)


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"sentences": [], "requests": 1}, "expected a list of sentences"),
        ({"sentences": "a b", "requests": 1}, "expected a list of sentences"),
        ({}, "expected a duration or a number of requests"),
        ({"requests": 1, "rate": 1.0, "concurrency": 1}, "received both"),
        ({"requests": 0}, "expected requests >= 1, received 0"),
        ({"requests": 1, "batch": 0}, "expected batch >= 1, received 0"),
        ({"requests": 1, "concurrency": 0}, "expected concurrency >= 1"),
        ({"requests": 1, "rate": 0}, "expected rate > 0, received 0"),
        ({"duration": float("inf")}, "expected duration > 0, received inf"),
        ({"requests": 1, "timeout": 0}, "expected timeout > 0"),
        ({"requests": 1, "signature_name": "char_ids"}, "received char_ids"),
        ({"requests": 1, "tls_cert": "x.pem"}, "tls_cert: expected tls_ca"),
    ],
)
def test_arguments_of_no_use_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        run_load("127.0.0.1:1", "toy", **{"sentences": SENTENCES, **arguments})


def test_a_missing_tls_file_is_named(tmp_path):
    address = "127.0.0.1:1"
    with pytest.raises(FileNotFoundError, match="none.pem"):
        run_load(address, "toy", SENTENCES, requests=1, tls_ca=tmp_path / "none.pem")


@pytest.mark.parametrize("end, start", [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_picture_is_drawn(tmp_path, end, start):
    for name, report in {"full": report_of([3, 1, 2]), "empty": report_of()}.items():
        path = tmp_path / f"{name}{end}"
        report.plot(path)
        assert path.read_bytes().startswith(start)
    assert len(list(tmp_path.iterdir())) == 2


def test_without_matplotlib_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "keras_elmo\[plot\]"'):
        report_of([1]).plot(tmp_path / "load.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", [load_test, load_report])
def test_the_examples_run(module, server):
    result = doctest.testmod(module, extraglobs={"server": server})
    assert result.failed == 0 and result.attempted > 0


@pytest.fixture
def command(monkeypatch, capsys):
    """Run the script in this process: its exit code, its output, its errors."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, args)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return end.value.code, *capsys.readouterr()

    return run


def test_the_command_prints_the_report(command, server, tmp_path):
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("a b\nc\n", "utf-8")
    plot = tmp_path / "load.png"
    flags = ["--sentences", sentences, "--requests", 6, "--concurrency", 2]
    flags += ["--output", "all", "--json", "--plot", plot]
    code, output, errors = command(server.address, "toy", *flags)
    assert (code, errors) == (0, "")
    facts = json.loads(output)
    assert (facts["answered"], facts["tokens"], facts["errors"]) == (6, 9, {})
    assert facts["outputs"] == "all" and plot.stat().st_size > 1000
    flags = ["--rate", 50, "--duration", 0.1, "--signature", "tokens"]
    code, output, errors = command(server.address, "toy", *flags)
    assert (code, errors) == (0, "") and "errors      none" in output


@pytest.mark.parametrize(
    "args, code, text",
    [
        (["other", "--requests", 2], 1, "NOT_FOUND 2"),
        (["toy", "--batch", 0], 2, "expected batch >= 1"),
        (["toy", "--rate", 1, "--concurrency", 1], 2, "not allowed with"),
        (["toy", "--sentences", "none.txt"], 1, "none.txt"),
        (["toy", "--requests", 1, "--plot", "none/load.png"], 1, "none/load.png"),
        (["toy", "--requests", 1, "--plot", "load.none"], 2, "none"),
    ],
)
def test_the_command_says_what_is_wrong(
    command, server, tmp_path, monkeypatch, args, code, text
):
    monkeypatch.chdir(tmp_path)
    found, output, errors = command(server.address, *args)
    assert found == code and text in output + errors
    assert list(tmp_path.iterdir()) == []
