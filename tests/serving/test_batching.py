"""The batcher with a model that is none, so that each step is seen."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from keras_elmo.serving import BatchingParameters
from keras_elmo.serving.batching import Batcher
from keras_elmo.serving.calls import NO_LIMIT, Call
from keras_elmo.serving.checks import RequestError
from tests.serving.conftest import eventually

HOUR = 3600 * 10**6


class Echo:
    """A model whose outputs are its input `x`; remembers what it was asked."""

    def __init__(self, answer=lambda feeds: feeds["x"]):
        self.answer = answer
        self.asked = []
        self.timeouts = []
        self.entered = threading.Semaphore(0)
        self.leave = threading.Event()
        self.leave.set()

    def run(self, feeds, fetches, timeout):
        self.asked.append(feeds)
        self.timeouts.append(timeout)
        self.entered.release()
        assert self.leave.wait(60)
        return {name: self.answer(feeds) for name in fetches}


@pytest.fixture
def start():
    """Function that makes a batcher; all are closed at the end."""
    batchers = []

    def start(**parameters):
        parameters = {"num_batch_threads": 1, **parameters}
        batchers.append(Batcher(BatchingParameters(**parameters)))
        return batchers[-1]

    yield start
    for batcher in batchers:
        batcher.close()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(32) as pool:
        yield pool


def row(*numbers):
    return {"x": np.array([numbers])}


def waiting(batcher):
    """The number of tasks in the queues."""
    with batcher._work:
        queues = batcher._queues.values()
        return sum(len(batch.tasks) for queue in queues for batch in queue)


def send(pool, batcher, model, *requests, fetches=("y",), call=NO_LIMIT):
    """Enqueue requests in this order, one behind the other."""
    futures = []
    for feeds in requests:
        before = waiting(batcher)
        futures.append(pool.submit(batcher.run, model, feeds, fetches, call))
        eventually(lambda n=before: waiting(batcher) > n)
    return futures


def occupy(pool, batcher, model):
    """Let the batcher's only thread compute until `model.leave` is set."""
    model.leave.clear()
    future = pool.submit(batcher.run, model, row(0), ["y"])
    assert model.entered.acquire(timeout=60)
    return future


def test_a_full_batch_is_computed_at_once_and_parted(start, pool):
    batcher = start(max_batch_size=4, batch_timeout_micros=HOUR)
    model = Echo()
    two = {"x": np.array([[3], [4]])}
    first = send(pool, batcher, model, row(1), row(2))
    last = pool.submit(batcher.run, model, two, ["y"])
    results = [future.result(60)["y"].tolist() for future in (*first, last)]
    assert results == [[[1]], [[2]], [[3], [4]]]
    assert [feeds["x"].tolist() for feeds in model.asked] == [[[1], [2], [3], [4]]]


def test_a_batch_that_is_not_full_waits_no_longer_than_it_may(start):
    batcher = start(max_batch_size=4, batch_timeout_micros=1000)
    assert batcher.run(Echo(), row(1), ["y"])["y"].tolist() == [[1]]


def test_a_request_that_does_not_fit_closes_the_batch(start, pool):
    batcher = start(max_batch_size=3, batch_timeout_micros=HOUR)
    model = Echo()
    (first,) = send(pool, batcher, model, {"x": np.zeros((2, 1))})
    pool.submit(batcher.run, model, {"x": np.ones((3, 1))}, ["y"])
    assert len(first.result(60)["y"]) == 2
    eventually(lambda: [len(feeds["x"]) for feeds in model.asked] == [2, 3])


def test_while_all_threads_compute_a_batch_goes_on_filling(start, pool):
    batcher = start(max_batch_size=8, batch_timeout_micros=0)
    model = Echo()
    first = occupy(pool, batcher, model)
    futures = send(pool, batcher, model, row(1), row(2), row(3))
    model.leave.set()
    assert [future.result(60)["y"].tolist() for future in futures] == [
        [[1]],
        [[2]],
        [[3]],
    ]
    assert first.result(60)["y"].tolist() == [[0]]
    assert [len(feeds["x"]) for feeds in model.asked] == [1, 3]


def test_other_inputs_outputs_and_models_have_queues_of_their_own(start, pool):
    batcher = start(max_batch_size=8, batch_timeout_micros=0)
    model, other = Echo(), Echo()
    first = occupy(pool, batcher, model)
    futures = [
        *send(pool, batcher, model, row(1), row(2)),
        *send(pool, batcher, model, row(3), fetches=("y", "z")),
        *send(pool, batcher, model, {**row(4), "more": np.zeros(1)}),
        *send(pool, batcher, other, row(5)),
    ]
    model.leave.set()
    for future in (first, *futures):
        future.result(60)
    asked = [feeds["x"].tolist() for feeds in model.asked]
    assert asked == [[[0]], [[1], [2]], [[3]], [[4]]]
    assert [feeds["x"].tolist() for feeds in other.asked] == [[[5]]]


def test_each_queue_is_served_in_time_though_another_thread_is_busy(start, pool):
    batcher = start(max_batch_size=8, batch_timeout_micros=20_000, num_batch_threads=2)
    slow, fast = Echo(), Echo()
    slow.leave.clear()
    held = pool.submit(batcher.run, slow, row(1), ["y"])
    quick = pool.submit(batcher.run, fast, row(2), ["y"])
    assert quick.result(60)["y"].tolist() == [[2]]
    slow.leave.set()
    assert held.result(60)["y"].tolist() == [[1]]


def test_padding_is_each_requests_first_element(start, pool):
    batcher = start(
        max_batch_size=8, batch_timeout_micros=0, pad_variable_length_inputs=True
    )
    model = Echo()
    first = occupy(pool, batcher, model)
    words = np.array([[b"hi", b"you"]], object)
    numbers = [
        {"x": np.array([[[1, 2]]]), "w": words},
        {"x": np.array([[[3], [4]]]), "w": words[:, :1]},
    ]
    futures = send(pool, batcher, model, *numbers)
    model.leave.set()
    first.result(60)
    outputs = [future.result(60)["y"].tolist() for future in futures]
    assert outputs == [[[[1, 2], [1, 1]]], [[[3, 3], [4, 3]]]]
    merged = model.asked[1]["w"].tolist()
    assert merged == [[b"hi", b"you"], [b"hi", b"hi"]]


def test_without_padding_mixed_shapes_fail_together(start, pool):
    batcher = start(max_batch_size=8, batch_timeout_micros=0)
    model = Echo()
    first = occupy(pool, batcher, model)
    futures = send(pool, batcher, model, row(1), row(1, 2))
    model.leave.set()
    first.result(60)
    for future in futures:
        with pytest.raises(RequestError) as caught:
            future.result(60)
        assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.text == (
            "Tensors with name 'x' from different tasks have different shapes and "
            "padding is turned off. Set pad_variable_length_inputs to true, or ensure "
            "that all tensors with the same name have equal dimensions starting with "
            "the first dim."
        )
    assert batcher.run(model, row(1, 2), ["y"])["y"].tolist() == [[1, 2]]


def test_seven_dimensions_are_too_many_to_pad(start, pool):
    batcher = start(
        max_batch_size=2, batch_timeout_micros=HOUR, pad_variable_length_inputs=True
    )
    model = Echo()
    arrays = [np.zeros((1, 1, 1, 1, 1, 1, size)) for size in (1, 2)]
    futures = [pool.submit(batcher.run, model, {"x": a}, ["y"]) for a in arrays]
    for future in futures:
        with pytest.raises(RequestError, match="rank from 1 to 6") as caught:
            future.result(60)
        assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_rows_are_filled_up_with_the_last_requests_first(start, pool):
    batcher = start(
        max_batch_size=8, batch_timeout_micros=0, allowed_batch_sizes=(1, 4, 8)
    )
    model = Echo()
    first = occupy(pool, batcher, model)
    futures = send(pool, batcher, model, row(1), {"x": np.array([[2], [3], [4], [5]])})
    model.leave.set()
    first.result(60)
    assert [len(future.result(60)["y"]) for future in futures] == [1, 4]
    assert model.asked[1]["x"].ravel().tolist() == [1, 2, 3, 4, 5, 2, 2, 2]


@pytest.mark.parametrize(
    "feeds, text",
    [
        (
            {"x": np.zeros((5, 1))},
            "Task size 5 is larger than maximum input batch size 4",
        ),
        (
            {"x": np.zeros(())},
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            {"x": np.zeros(2), "z": np.zeros(1)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
    ],
)
def test_a_request_of_a_wrong_size_is_invalid(start, feeds, text):
    batcher = start(max_batch_size=4)
    with pytest.raises(RequestError) as caught:
        batcher.run(Echo(), feeds, ["y"])
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.text == text


def test_a_full_queue_is_unavailable_and_recovers(start, pool):
    batcher = start(max_batch_size=1, max_enqueued_batches=2, batch_timeout_micros=0)
    model = Echo()
    first = occupy(pool, batcher, model)
    futures = send(pool, batcher, model, row(1), row(2))
    with pytest.raises(RequestError) as caught:
        batcher.run(model, row(3), ["y"])
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE
    assert caught.value.text == (
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 2 batches enqueued and max_enqueued_batches is 2"
    )
    model.leave.set()
    for future in (first, *futures):
        future.result(60)
    assert batcher.run(model, row(3), ["y"])["y"].tolist() == [[3]]


def test_requests_that_nobody_waits_for_are_left_out(start, pool):
    batcher = start(max_batch_size=8, batch_timeout_micros=0)
    model = Echo()
    first = occupy(pool, batcher, model)
    (expired,) = send(pool, batcher, model, row(1), call=Call(deadline=0.0))
    (left,) = send(pool, batcher, model, row(2), call=Call(is_active=lambda: False))
    (good,) = send(pool, batcher, model, row(3))
    model.leave.set()
    first.result(60)
    assert good.result(60)["y"].tolist() == [[3]]
    for future in (expired, left):
        with pytest.raises(RequestError) as caught:
            future.result(60)
        assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.text == (
            "Run() timeout exceeded while waiting in batching queue"
        )
    assert [feeds["x"].tolist() for feeds in model.asked] == [[[0]], [[3]]]


def test_the_longest_of_the_deadlines_is_the_models(start, pool, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    batcher = start(max_batch_size=2, batch_timeout_micros=HOUR)
    model = Echo()
    calls = [(Call(105.0), Call(107.0)), (Call(105.0), Call())]
    for pair in calls:
        (first,) = send(pool, batcher, model, row(1), call=pair[0])
        batcher.run(model, row(2), ["y"], pair[1])
        first.result(60)
    assert model.timeouts == [7.0, None]


@pytest.mark.parametrize(
    "answer, text",
    [
        (lambda feeds: np.float32(1), "Batched output tensor has 0 dimensions"),
        (
            lambda feeds: feeds["x"][:1],
            "Batched output tensor's 0th dimension does not equal the sum of the 0th "
            "dimension sizes of the input tensors",
        ),
    ],
)
def test_outputs_without_a_row_each_are_refused(start, answer, text):
    batcher = start(max_batch_size=4)
    with pytest.raises(RequestError) as caught:
        batcher.run(Echo(answer), {"x": np.zeros((2, 1))}, ["y"])
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.text == text


def test_a_failure_is_everyones_and_the_thread_survives(start, pool):
    def fail(feeds):
        raise ZeroDivisionError("no")

    batcher = start(max_batch_size=2, batch_timeout_micros=HOUR)
    model = Echo(fail)
    futures = [pool.submit(batcher.run, model, row(i), ["y"]) for i in range(2)]
    for future in futures:
        with pytest.raises(ZeroDivisionError):
            future.result(60)
    assert len(batcher.run(Echo(), {"x": np.zeros((2, 1))}, ["y"])["y"]) == 2


def test_what_the_model_refuses_fails_alone(start, pool):
    def refuse_sevens(feeds):
        if (feeds["x"] == 7).any():
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, "no sevens")
        return feeds["x"]

    batcher = start(max_batch_size=3, batch_timeout_micros=HOUR)
    model = Echo(refuse_sevens)
    futures = send(pool, batcher, model, row(1), row(7))
    futures.append(pool.submit(batcher.run, model, row(3), ["y"]))
    with pytest.raises(RequestError, match="no sevens"):
        futures[1].result(60)
    assert [futures[i].result(60)["y"].flat[0] for i in (0, 2)] == [1, 3]
    assert [len(feeds["x"]) for feeds in model.asked] == [3, 1, 1, 1]


def test_another_failure_is_not_tried_again(start, pool):
    def busy(feeds):
        raise RequestError(grpc.StatusCode.UNAVAILABLE, "busy")

    batcher = start(max_batch_size=2, batch_timeout_micros=HOUR)
    model = Echo(busy)
    futures = send(pool, batcher, model, row(1))
    futures.append(pool.submit(batcher.run, model, row(2), ["y"]))
    for future in futures:
        with pytest.raises(RequestError, match="busy"):
            future.result(60)
    assert len(model.asked) == 1


def test_closing_computes_what_waits_and_takes_nothing_more(start, pool):
    batcher = start(max_batch_size=4, batch_timeout_micros=HOUR)
    (future,) = send(pool, batcher, Echo(), row(1))
    batcher.close()
    assert future.result(60)["y"].tolist() == [[1]]
    with pytest.raises(RequestError) as caught:
        batcher.run(Echo(), row(1), ["y"])
    assert caught.value.code == grpc.StatusCode.UNAVAILABLE


def test_an_idle_batcher_keeps_no_model(start):
    batcher = start(max_batch_size=1)
    model = Echo()
    batcher.run(model, row(1), ["y"])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert eventually(lambda: gone() is None)
