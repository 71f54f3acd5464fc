"""Several requests under way at the same time, their answers in order."""

import asyncio
import itertools
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import grpc


class Calls:
    """gRPC calls of one task, which are given up together."""

    def __init__(self):
        self._lock = threading.Lock()
        self._running = set()
        self._given_up = threading.Event()

    def run(self, method, request, timeout: float):
        """The answer to a request.

        Args:
            method: A method of a gRPC stub.
            request: Its message.
            timeout: Seconds.

        Raises:
            grpc.RpcError: if there is none.
        """
        call = method.future(request, timeout=timeout)
        with self._lock:
            self._running.add(call)
            if self._given_up.is_set():
                call.cancel()
        try:
            error = call.exception()
        except grpc.FutureCancelledError:
            error = call  # The call itself is an RpcError, of code CANCELLED.
        finally:
            call.cancel()  # Where waiting was interrupted; else it changes nothing.
            with self._lock:
                self._running.discard(call)
        if error is not None:
            raise error
        return call.result()

    def sleep(self, seconds: float) -> bool:
        """Wait; True if all was given up meanwhile."""
        return self._given_up.wait(seconds)

    def give_up(self):
        """Cancel what is under way or still to come."""
        with self._lock:
            self._given_up.set()
            running = list(self._running)
        for call in running:
            call.cancel()


def in_order(ask, batches, concurrency: int):
    """Ask for each batch, a few at the same time.

    At most twice as many batches are held, so that a slow answer keeps no thread idle.

    Args:
        ask: Function of a batch and of `Calls`, or of None where nothing goes on
            beside it.
        batches: Iterator.
        concurrency: int >= 1. Threads.

    Yields:
        What `ask` returned, in the order of the batches.

    >>> list(in_order(lambda batch, calls: 2 * batch, iter([1, 2, 3]), 2))
    [2, 4, 6]
    """
    first = list(itertools.islice(batches, 2))
    if len(first) < 2 or concurrency == 1:
        # No thread for what goes one after the other.
        for batch in itertools.chain(first, batches):
            yield ask(batch, None)
        return
    calls = Calls()
    waiting = deque()
    pool = ThreadPoolExecutor(concurrency, "keras_elmo_client")
    try:
        for batch in itertools.chain(first, batches):
            waiting.append(pool.submit(ask, batch, calls))
            while waiting and (len(waiting) == 2 * concurrency or waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()  # First, lest a thread that becomes free begins it.
        calls.give_up()
        pool.shutdown()


async def in_order_async(ask, batches, concurrency: int):
    """As `in_order`, in tasks of the running loop.

    Args:
        ask: Coroutine function of a batch.
        batches: Asynchronous iterator.
        concurrency: int >= 1.

    Yields:
        What `ask` returned, in the order of the batches.
    """
    free = asyncio.Semaphore(concurrency)

    async def ask_when_free(batch):
        async with free:
            return await ask(batch)

    waiting = deque()
    try:
        async for batch in batches:
            waiting.append(asyncio.create_task(ask_when_free(batch)))
            while waiting and (len(waiting) == 2 * concurrency or waiting[0].done()):
                yield await waiting[0]
                waiting.popleft()
        while waiting:
            yield await waiting[0]
            waiting.popleft()
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
