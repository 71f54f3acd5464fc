"""Items that are made ahead in a thread."""

import itertools
import threading
import time

import pytest

from keras_elmo.pretraining.prefetch import prefetched


def workers():
    return [t for t in threading.enumerate() if t.name == "prefetched"]


@pytest.mark.parametrize("ahead", [1, 2, 100])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_items_come_in_order(ahead, count):
    assert list(prefetched(range(count), ahead)) == list(range(count))
    assert workers() == []


def test_items_are_made_ahead_but_no_further_than_asked():
    made = []
    items = prefetched((made.append(i) or i for i in itertools.count()), ahead=2)
    assert next(items) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    # One is in use, two are ready, one waits for a place.
    assert made == [0, 1, 2, 3]
    items.close()


def test_an_error_is_raised_behind_the_items_that_were_made():
    def items():
        yield from range(3)
        raise OSError("gone")

    stream = prefetched(items(), 5)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="gone"):
        next(stream)
    assert workers() == []


def test_no_thread_is_left_when_the_rest_is_not_wanted():
    items = prefetched(itertools.count())
    assert next(items) == 0 and len(workers()) == 1
    items.close()
    assert workers() == []


def test_nothing_is_made_before_the_first_is_asked_for():
    made = []
    items = prefetched(made.append(i) for i in range(3))
    time.sleep(0.05)
    assert made == [] and workers() == []
    assert len(list(items)) == len(made) == 3
