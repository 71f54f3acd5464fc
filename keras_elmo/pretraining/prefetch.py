"""Work ahead in a thread."""

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
_WAIT = 0.1  # seconds between two looks at whether anyone still wants items


def prefetched(items: Iterable[Item], ahead: int = 2) -> Iterator[Item]:
    """The same items, the next few of them made while one is in use.

    What making an item raises is raised where the item is asked for. The thread ends
    before the iterator does.

    Args:
        items: Made in another thread.
        ahead: How many are made before they are asked for.

    >>> list(prefetched(range(3)))
    [0, 1, 2]
    """
    done, ready = threading.Event(), queue.Queue(ahead)

    def put(kind, value):
        while not done.is_set():
            try:
                return ready.put((kind, value), timeout=_WAIT)
            except queue.Full:
                continue

    def work():
        try:
            for item in items:
                put("item", item)
                if done.is_set():
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=work, daemon=True, name="prefetched")
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        done.set()
        thread.join()
