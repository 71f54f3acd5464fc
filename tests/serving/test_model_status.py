"""What a client learns of a model's versions, and waiting for one."""

import asyncio
import threading

import grpc
import pytest

from keras_elmo.serving import ElmoClient, ServingError
from keras_elmo.serving import connection as connection_module
from keras_elmo.serving.aio_client import AsyncElmoClient
from tests.serving.toy_service import ToyService, serving


def status(address, **settings):
    with ElmoClient(address, "toy", **settings) as client:
        return client.status()


def status_async(address, **settings):
    async def run():
        async with AsyncElmoClient(address, "toy", **settings) as client:
            return await client.status()

    return asyncio.run(run())


def wait(address, timeout=30.0, **settings):
    with ElmoClient(address, "toy", **settings) as client:
        return client.wait_until_ready(timeout)


def wait_async(address, timeout=30.0, **settings):
    async def run():
        async with AsyncElmoClient(address, "toy", **settings) as client:
            return await client.wait_until_ready(timeout)

    return asyncio.run(run())


@pytest.fixture
def service():
    return ToyService()


@pytest.fixture
def address(service):
    with serving(service) as address:
        yield address


@pytest.mark.parametrize("ask", [status, status_async])
def test_versions_have_states_and_errors(service, address, ask):
    service.statuses = [(1, "END", ""), (3, "LOADING", ""), (2, "END", "no such op")]
    assert ask(address) == [
        {"version": 3, "state": "LOADING", "error": ""},
        {"version": 2, "state": "END", "error": "no such op"},
        {"version": 1, "state": "END", "error": ""},
    ]


@pytest.mark.parametrize("ask", [status, status_async])
def test_a_refusal_is_an_error(service, address, ask):
    service.failures.append(grpc.StatusCode.NOT_FOUND)
    with pytest.raises(ServingError, match="model toy: NOT_FOUND: told to be"):
        ask(address)


@pytest.mark.parametrize("ask", [wait, wait_async])
@pytest.mark.parametrize("version, expected", [(None, 4), (2, 2)])
def test_the_newest_version_that_answers_is_ready(
    service, address, ask, version, expected
):
    service.statuses = [(v, "AVAILABLE", "") for v in (2, 4, 3)] + [(5, "LOADING", "")]
    assert ask(address, version=version) == expected


@pytest.mark.parametrize("ask", [wait, wait_async])
def test_loading_is_waited_for(service, address, ask):
    """Through a server that starts, a model that is not there, one that loads."""
    codes = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND]
    service.failures.extend(codes)
    service.statuses = [(1, "LOADING", "")]
    loading = threading.Event()
    answer = service.GetModelStatus

    def then_available(request, context):
        response = answer(request, context)
        loading.set()
        service.statuses = [(1, "AVAILABLE", "")]
        return response

    service.GetModelStatus = then_available
    with serving(service) as address:
        assert ask(address) == 1
    assert loading.is_set() and not service.failures


@pytest.mark.parametrize("ask", [wait, wait_async])
def test_waiting_ends(service, address, ask):
    service.statuses = [(1, "END", "no such op"), (2, "AVAILABLE", "")]
    message = (
        "model toy: expected a version AVAILABLE within 1.5 s, found: version 2 "
        "AVAILABLE, version 1 END: no such op"
    )
    with pytest.raises(ServingError, match=message):
        ask(address, timeout=1.5, version=1)


@pytest.mark.parametrize("ask", [wait, wait_async])
def test_a_server_that_never_comes_is_told_by_its_code(ask):
    with pytest.raises(ServingError, match="within 0.2 s, found: UNAVAILABLE") as error:
        ask("127.0.0.1:1", timeout=0.2)
    assert error.value.code == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("ask", [wait, wait_async])
def test_a_server_that_can_not_say_is_not_waited_for(service, address, ask):
    service.failures.append(grpc.StatusCode.UNIMPLEMENTED)
    with pytest.raises(ServingError, match="model toy: UNIMPLEMENTED: told to be"):
        ask(address)


def test_waits_grow_to_a_second(monkeypatch):
    model = None  # Not needed before time is up.
    readiness = connection_module.Readiness(model, 1000)
    waits = [readiness.next_wait() for _ in range(7)]
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_timeout_is_a_positive_number():
    with pytest.raises(ValueError, match="timeout: expected a number > 0, received 0"):
        wait("127.0.0.1:1", timeout=0)
