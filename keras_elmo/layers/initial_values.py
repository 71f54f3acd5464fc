"""Weights that are drawn, or not, because they are about to be read from a file."""

import contextlib
import contextvars
from typing import Any

_DRAWN = contextvars.ContextVar("drawn", default=True)


def drawn(initializer: Any):
    """The initializer of a weight that starts from random numbers.

    Within `not_drawn` it is `"zeros"`, which costs neither the time of drawing nor the
    memory that drawing takes beside the result.

    >>> drawn("glorot_uniform")
    'glorot_uniform'
    >>> with not_drawn():
    ...     drawn("glorot_uniform")
    'zeros'
    """
    return initializer if _DRAWN.get() else "zeros"


@contextlib.contextmanager
def not_drawn():
    """Layers that are made and built in this block get their weights otherwise."""
    token = _DRAWN.set(False)
    try:
        yield
    finally:
        _DRAWN.reset(token)
