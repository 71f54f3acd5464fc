"""Which failures both clients repeat, when, and for how long."""

import asyncio
import socket
import threading
import time

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.serving import ElmoClient, ServingError
from keras_elmo.serving import connection as connection_module
from keras_elmo.serving.aio_client import AsyncElmoClient
from keras_elmo.serving.connection import Attempts
from tests.serving.toy_service import ToyService, serving

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def service():
    return ToyService()


@pytest.fixture
def address(service):
    with serving(service) as address:
        yield address


def embed(address, sentences, batch_size=64, **settings):
    with ElmoClient(address, "toy", **settings) as client:
        return client.embed(sentences, batch_size=batch_size)


def embed_async(address, sentences, batch_size=64, **settings):
    async def run():
        async with AsyncElmoClient(address, "toy", **settings) as client:
            return await client.embed(sentences, batch_size=batch_size)

    return asyncio.run(run())


both = pytest.mark.parametrize("ask", [embed, embed_async])


class Clock:
    """Time that passes only when told to."""

    def __init__(self):
        self.now = 50.0

    def monotonic(self):
        return self.now


@settings(max_examples=100, deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 12), st.lists(st.floats(0, 3)))
def test_waits_double_and_never_pass_the_deadline(timeout, retries, durations):
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection_module, "time", clock)
        attempts = Attempts(timeout, retries)
        waits = []
        for duration in [*durations, *[0.0] * 13]:
            clock.now += duration
            wait = attempts.wait_after(UNAVAILABLE)
            if wait is None:
                break
            waits.append(wait)
            clock.now += wait
            assert clock.now < 50.0 + timeout and attempts.remaining() > 0
    assert len(waits) <= retries
    for number, wait in enumerate(waits):
        full = min(0.1 * 2**number, 5.0)
        assert full / 2 <= wait <= full


def test_waits_differ_from_client_to_client():
    assert len({Attempts(60, 1).wait_after(UNAVAILABLE) for _ in range(20)}) > 1


@both
@pytest.mark.parametrize("failures", [1, 3])
def test_unavailable_is_asked_again(service, address, ask, failures):
    expected = ask(address, ["a b"])[0]
    service.requests.clear()
    service.failures.extend([UNAVAILABLE] * failures)
    assert (ask(address, ["a b"], retries=failures)[0] == expected).all()
    assert len(service.requests) == failures + 1
    assert all(request == service.requests[0] for request in service.requests)


@both
def test_retries_end(service, address, ask):
    service.failures.extend([UNAVAILABLE] * 9)
    with pytest.raises(ServingError) as caught:
        ask(address, ["a b"], retries=2)
    assert caught.value.code == UNAVAILABLE
    assert caught.value.details == "told to be\nUNAVAILABLE"
    where = f"{address}, model toy: UNAVAILABLE: told to be UNAVAILABLE"
    assert str(caught.value) == where
    assert len(service.requests) == 3


@both
@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.NOT_FOUND,
    ],
)
def test_nothing_else_is(service, address, ask, code):
    service.failures.append(code)
    with pytest.raises(ServingError) as caught:
        ask(address, ["a b"])
    assert caught.value.code == code
    assert len(service.requests) == 1


@both
def test_the_timeout_holds_for_all_attempts_together(service, address, ask):
    ask(address, ["a b"])  # The connection stands.
    service.failures.extend([UNAVAILABLE] * 1000)
    start = time.monotonic()
    with pytest.raises(ServingError) as caught:
        ask(address, ["a b"], timeout=1.0, retries=1000)
    assert time.monotonic() - start < 10  # 1000 retries would take more than an hour
    assert caught.value.code in (UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert 2 <= len(service.requests) < 20


@both
def test_a_slow_answer_is_waited_for_no_longer_than_the_timeout(service, address, ask):
    released = threading.Event()
    service.before = lambda request: released.wait(20)
    try:
        with pytest.raises(ServingError) as caught:
            ask(address, ["a b"], timeout=1.0)
    finally:
        released.set()
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(service.requests) == 1


@both
def test_one_failure_gives_up_the_requests_beside_it(service, address, ask):
    released = threading.Event()
    arrived = threading.Semaphore(0)

    def before(request):
        if b"bad" in request.inputs["strings"].string_val:
            for _ in range(3):
                assert arrived.acquire(timeout=20)
            service.failures.append(grpc.StatusCode.INTERNAL)
        else:
            arrived.release()
            released.wait(20)

    service.before = before
    start = time.monotonic()
    try:
        with pytest.raises(ServingError, match="INTERNAL"):
            ask(address, ["bad", *"abcdefgh"], batch_size=1, concurrency=4)
    finally:
        released.set()
    assert time.monotonic() - start < 15  # and not the time-out of the other requests
    # A thread may have begun the next one before the failure was seen.
    assert len(service.requests) in (4, 5)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@both
def test_a_server_that_comes_late_is_found(service, ask, monkeypatch):
    """It opens its port after the first attempt failed."""
    port = free_port()
    opened = []
    give_wait = Attempts.wait_after

    def wait_after(self, code):
        if not opened:
            context = serving(service, port=port)
            context.__enter__()
            opened.append(context)
        return give_wait(self, code)

    monkeypatch.setattr(Attempts, "wait_after", wait_after)
    try:
        assert ask(f"127.0.0.1:{port}", ["a b"], retries=9)[0].shape == (2, 3)
    finally:
        for context in opened:
            context.__exit__(None, None, None)
    assert opened


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"timeout": 0}, "timeout: expected a number > 0, received 0"),
        ({"timeout": float("nan")}, "timeout: expected a number > 0, received nan"),
        ({"retries": -1}, "retries: expected an int >= 0, received -1"),
        ({"concurrency": 0}, "concurrency: expected an int >= 1, received 0"),
        ({"concurrency": 2.0}, "concurrency: expected an int >= 1, received 2.0"),
    ],
)
def test_settings_that_make_no_sense_are_rejected(settings, message):
    for kind in (ElmoClient, AsyncElmoClient):
        with pytest.raises(ValueError, match=message):
            kind("127.0.0.1:1", "toy", **settings)
