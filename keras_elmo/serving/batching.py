"""Merging the requests of many clients into batches, as TensorFlow Serving does.

Requests for the same inputs and outputs of the same version wait in a queue of their
own. A batch is taken by a thread once it is full or old enough; while all threads are
busy it goes on filling. Queues, limits and texts follow the stock server's batching
session, but for a batch that the model refuses: the stock server refuses all requests
in it, here each is computed again by itself, so that those beside a bad one live.
"""

import dataclasses
import math
import threading
import time
from collections import deque
from concurrent.futures import Future

import grpc

from keras_elmo.serving.batching_parameters import BatchingParameters
from keras_elmo.serving.calls import NO_LIMIT, Call
from keras_elmo.serving.checks import RequestError
from keras_elmo.serving.merging import merged


class _Refused(Exception):
    """What the model says of a batch's content; its cause is a `RequestError`."""


@dataclasses.dataclass(eq=False)
class _Task:
    feeds: dict
    size: int
    call: Call
    result: Future


class _Batch:
    """Tasks that are computed together, in the order in which they came."""

    def __init__(self):
        self.tasks = []
        self.size = 0
        self.opened = time.monotonic()

    def add(self, task):
        self.tasks.append(task)
        self.size += task.size


class Batcher:
    """Merge requests, compute them in threads of its own, part the results.

    Args:
        parameters: `BatchingParameters`.

    >>> batcher = Batcher(BatchingParameters(max_batch_size=4))
    >>> batcher.run(model, feeds, fetches)[fetches[0]].shape
    (1, 2, 32)
    >>> batcher.close()
    """

    def __init__(self, parameters: BatchingParameters):
        self.parameters = parameters
        self._work = threading.Condition()
        self._queues = {}  # (model, inputs, outputs): deque of batches, the last open
        self._closed = False
        self._threads = [
            threading.Thread(target=self._compute, name=f"batch_{i}", daemon=True)
            for i in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, model, feeds: dict, fetches, call: Call = NO_LIMIT) -> dict:
        """Compute one request in the company of others; blocks until it is done.

        Args:
            model: `LoadedModel`, or whatever has such a `run`.
            feeds: Arrays by tensor name, with the same number of rows each.
            fetches: Names of the tensors to compute.
            call: What limits the time.

        Returns:
            Arrays by tensor name, of the request's own rows. Other dimensions are
            those of the batch.

        Raises:
            RequestError: if it is too large, the queue is full, it waited too long,
                or its batch failed.
        """
        task = _Task(feeds, _rows(feeds), call, Future())
        self._enqueue((model, frozenset(feeds), tuple(sorted(set(fetches)))), task)
        return task.result.result()

    def close(self):
        """Compute what waits, then end the threads. Nothing may be sent any more."""
        with self._work:
            self._closed = True
            self._work.notify_all()
        for thread in self._threads:
            thread.join()

    def _enqueue(self, key, task):
        most = self.parameters.max_batch_size
        if task.size > most:
            raise _invalid(
                f"Task size {task.size} is larger than maximum input batch size {most}"
            )
        with self._work:
            if self._closed:
                raise RequestError(
                    grpc.StatusCode.UNAVAILABLE, "The server is shutting down."
                )
            queue = self._queues.setdefault(key, deque([_Batch()]))
            if queue[-1].size + task.size > most:
                if len(queue) >= self.parameters.max_enqueued_batches:
                    raise RequestError(
                        grpc.StatusCode.UNAVAILABLE,
                        "The batch scheduling queue to which this task was submitted "
                        f"is full; currently {len(queue)} batches enqueued and "
                        "max_enqueued_batches is "
                        f"{self.parameters.max_enqueued_batches}",
                    )
                queue.append(_Batch())
                self._work.notify()  # for the batch before it, which is closed now
            queue[-1].add(task)
            # Of the tasks between these two, a waiting thread need not know.
            if len(queue[-1].tasks) == 1 or queue[-1].size == most:
                self._work.notify()

    def _compute(self):
        while self._compute_next():
            pass

    def _compute_next(self):
        # A function of its own, so that a waiting thread holds no model.
        with self._work:
            while (found := self._take()) is None:
                if self._closed:
                    return False
                self._work.wait(self._until_next())
        (model, _, fetches), batch = found
        try:
            tasks = _in_time(batch.tasks)
            if tasks:
                self._run(model, tasks, fetches)
        except _Refused as error:
            for task in tasks:
                if len(tasks) == 1:
                    task.result.set_exception(error.__cause__)
                else:
                    self._compute_alone(model, task, fetches)
        except Exception as error:  # Whatever it is, each of the callers gets it.
            for task in batch.tasks:
                if not task.result.done():
                    task.result.set_exception(error)
        return True

    def _compute_alone(self, model, task, fetches):
        try:
            if _in_time([task]):
                self._run(model, [task], fetches)
        except Exception as error:
            task.result.set_exception(error.__cause__ or error)

    def _take(self):
        """The batch that has waited longest of those that need wait no longer."""
        now = time.monotonic()
        ready = [key for key, queue in self._queues.items() if self._due(queue) <= now]
        if not ready:
            return None
        key = min(ready, key=lambda key: self._queues[key][0].opened)
        batch = self._queues[key].popleft()
        if not self._queues[key]:
            del self._queues[key]
        if self._queues:
            self._work.notify()  # Another thread has to know when the next is due.
        return key, batch

    def _due(self, queue):
        full = queue[0].size >= self.parameters.max_batch_size
        if len(queue) > 1 or full or self._closed:
            return -math.inf
        return queue[0].opened + self.parameters.batch_timeout_micros / 1e6

    def _until_next(self):
        due = [self._due(queue) for queue in self._queues.values()]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _run(self, model, tasks, fetches):
        size = sum(task.size for task in tasks)
        rows = self.parameters.rounded(size)
        pad = self.parameters.pad_variable_length_inputs
        feeds = {
            name: merged(name, [task.feeds[name] for task in tasks], rows, pad)
            for name in sorted(tasks[0].feeds)
        }
        try:
            outputs = model.run(feeds, fetches, _longest(tasks))
        except RequestError as error:
            if error.code != grpc.StatusCode.INVALID_ARGUMENT:
                raise
            raise _Refused from error
        for array in outputs.values():
            if array.ndim == 0:
                raise _failed("Batched output tensor has 0 dimensions")
            if len(array) != rows:
                raise _failed(
                    "Batched output tensor's 0th dimension does not equal the sum of "
                    "the 0th dimension sizes of the input tensors"
                )
        start = 0
        for task in tasks:
            rows_of_task = slice(start, start + task.size)
            start += task.size
            task.result.set_result(
                {name: array[rows_of_task] for name, array in outputs.items()}
            )


def _rows(feeds):
    """The common number of rows of a request's inputs."""
    sizes = set()
    for array in feeds.values():
        if array.ndim == 0:
            raise _invalid(
                "Batching Run() input tensors must have at least one dimension"
            )
        sizes.add(len(array))
    if len(sizes) != 1:
        raise _invalid(
            "Batching Run() input tensors must have equal 0th-dimension size"
        )
    return sizes.pop()


def _in_time(tasks):
    """The tasks that someone still waits for; the others hear that they are late."""
    waiting = []
    for task in tasks:
        if task.call.is_over():
            task.result.set_exception(
                RequestError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "Run() timeout exceeded while waiting in batching queue",
                )
            )
        else:
            waiting.append(task)
    return waiting


def _longest(tasks):
    """The time that the most patient of the tasks still has."""
    times = [task.call.remaining() for task in tasks]
    return None if None in times else max(times)


def _invalid(text):
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, text)


def _failed(text):
    return RequestError(grpc.StatusCode.FAILED_PRECONDITION, text)
