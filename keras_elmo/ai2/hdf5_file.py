"""HDF5 files whose errors are ordinary ones."""

import contextlib
import io
import os
from collections.abc import Iterator

import h5py

from keras_elmo.atomic import written_beside
from keras_elmo.errors import FormatError


@contextlib.contextmanager
def new_hdf5(path: str | os.PathLike) -> Iterator["NewFile"]:
    """An HDF5 file to be filled; it appears whole or not at all.

    Raises:
        OSError: It cannot be written; on a full disk not before the block's end, or
            `NewFile.raise_errors`.

    >>> with new_hdf5("out.hdf5") as file:
    ...     file["a"] = np.ones(3)
    """
    with written_beside(path) as beside, open(beside, "w+b") as raw:
        held = _HeldErrors(raw)
        with NewFile(held) as file:
            yield file
        held.let_go()


class NewFile(h5py.File):
    """A file that is being written.

    Args:
        held: What holds its errors.
    """

    def __init__(self, held: "_HeldErrors"):
        super().__init__(held, "w")
        self._held = held

    def raise_errors(self):
        """Raise what went wrong so far: what is written goes nowhere after it."""
        self._held.let_go()


class _HeldErrors(io.RawIOBase):
    """A file whose errors wait: one that HDF5 sees while it writes ends the process."""

    def __init__(self, file):
        self._file, self._error = file, None

    def let_go(self):
        if self._error is not None:
            raise self._error

    def _try(self, method, *arguments, otherwise=0):
        if self._error is None:
            try:
                return method(*arguments)
            except OSError as error:
                self._error = error
        return otherwise

    def seek(self, offset, whence=os.SEEK_SET):
        return self._try(self._file.seek, offset, whence)

    def tell(self):
        return self._try(self._file.tell)

    def readinto(self, buffer):
        return self._try(self._file.readinto, buffer, otherwise=len(buffer))

    def write(self, data):
        return self._try(self._file.write, data, otherwise=len(data))

    def truncate(self, size):
        return self._try(self._file.truncate, size)

    def flush(self):
        self._try(self._file.flush)


def open_hdf5(path: str | os.PathLike) -> h5py.File:
    """Open for reading; what is not HDF5, or not all of it, is a `FormatError`."""
    with open(path, "rb"):  # the ordinary error where it is absent or forbidden
        pass
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise FormatError(
            f"{path}: expected a whole HDF5 file, found: {error}."
        ) from error


def data_sets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All data sets of an open file by their path."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    return found
