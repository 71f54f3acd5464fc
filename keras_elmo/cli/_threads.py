"""How many threads TensorFlow computes with."""

import contextlib
import os

_NAMES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@contextlib.contextmanager
def threads_kept():
    """What is set in this block is for this process: a later one is not to inherit it.

    >>> with threads_kept():
    ...     compute_directions_at_once()
    """
    before = {name: os.environ.get(name) for name in _NAMES}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def compute_directions_at_once():
    """On two cores have TensorFlow give each operation one of them.

    By default it divides each operation among all cores. A biLM has two directions,
    which can be computed at the same time, and for operations of this size that is
    faster; for other numbers of cores nothing is known. To be called before TensorFlow
    does anything; what the user has set stays.

    >>> with threads_kept():
    ...     compute_directions_at_once()
    """
    if _cores() == 2:
        for name, count in zip(_NAMES, "12", strict=True):
            os.environ.setdefault(name, count)


def _cores():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
