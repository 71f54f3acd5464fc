"""How long a request may take, and running one request by itself."""

import dataclasses
import threading
import time
from collections.abc import Callable

import grpc

from keras_elmo.serving.checks import RequestError


@dataclasses.dataclass(frozen=True)
class Call:
    """A request's deadline, and whether anyone still waits for the answer.

    Args:
        deadline: Second of `time.monotonic`, or None for no deadline.
        is_active: Says whether the client still waits.

    >>> Call().remaining() is None
    True
    """

    deadline: float | None = None
    is_active: Callable[[], bool] = lambda: True

    def remaining(self) -> float | None:
        """Seconds left, 0 or more; None means without end."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - time.monotonic())

    def is_over(self) -> bool:
        """Whether an answer would come too late."""
        return self.remaining() == 0 or not self.is_active()


NO_LIMIT = Call()


class DirectRunner:
    """Run each request by itself, not more than a few at the same time.

    Args:
        limit: Number of requests that are computed at the same time. TensorFlow
            uses all cores for one already; more of them only take memory.

    >>> DirectRunner(limit=2).run(model, feeds, fetches)[fetches[0]].shape
    (1, 2, 32)
    """

    def __init__(self, limit: int):
        self._slots = threading.BoundedSemaphore(limit)

    def run(self, model, feeds: dict, fetches, call: Call = NO_LIMIT) -> dict:
        """Compute one request.

        Args:
            model: `LoadedModel`.
            feeds: Arrays by tensor name.
            fetches: Names of the tensors to compute.
            call: What limits the time.

        Returns:
            Arrays by tensor name.

        Raises:
            RequestError: what the model answers, or DEADLINE_EXCEEDED.
        """
        if not self._slots.acquire(timeout=_at_most(call.remaining())):
            raise _too_late()
        try:
            if call.is_over():
                raise _too_late()
            return model.run(feeds, fetches, call.remaining())
        finally:
            self._slots.release()

    def close(self):
        """Nothing is left to be done: each request is computed in its own thread."""


def _at_most(timeout):
    return -1 if timeout is None else min(timeout, threading.TIMEOUT_MAX)


def _too_late():
    return RequestError(
        grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification"
    )
