"""Files that appear whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def written_beside(path: str | os.PathLike) -> Iterator[str]:
    """Write to another path in the same folder, renamed to `path` at the end.

    Where the block raises, `path` stays as it was and nothing else is left.

    >>> with written_beside("notes.txt") as beside, open(beside, "w") as file:
    ...     _ = file.write("whole")
    >>> os.listdir()
    ['notes.txt']
    """
    beside = f"{os.fspath(path)}.{os.getpid()}.part"
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        # Whoever asked for `path` does not know of the other, and a full disk names
        # no file at all.
        if error.errno is None or error.filename not in (None, beside):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(beside)


def write_json(path: str | os.PathLike, content: Any):
    """Write a JSON file with sorted keys."""
    with written_beside(path) as beside, open(beside, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, sort_keys=True)
        file.write("\n")
