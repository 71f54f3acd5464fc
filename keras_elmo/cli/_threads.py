"""How many threads TensorFlow computes with."""

import os


def compute_directions_at_once():
    """On two cores have TensorFlow give each operation one of them.

    By default it divides each operation among all cores. A biLM has two directions,
    which can be computed at the same time, and for operations of this size that is
    faster; for other numbers of cores nothing is known. To be called before TensorFlow
    does anything; what the user has set stays.

    >>> compute_directions_at_once()
    """
    if _cores() == 2:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")


def _cores():
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()
