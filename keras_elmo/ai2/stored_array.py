"""Arrays that stay in their file until someone asks for the numbers."""

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from keras_elmo.errors import FormatError

# What zipfile and NumPy raise of damage, by which bytes it hits: an offset that is no
# place in the file is an OSError, a field of a member that says too much RuntimeError.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in a file; `np.asarray` reads it, anew each time.

    Attributes:
        shape: Its shape.
        dtype: Its NumPy dtype.
        read: Returns its numbers.

    Raises:
        FormatError: On reading, where the file is damaged there.

    >>> stored = StoredArray((2,), np.dtype("float32"), lambda: np.ones(2, "float32"))
    >>> np.asarray(stored)
    array([1., 1.], dtype=float32)
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError(
                "StoredArray: expected copy=None or True (the numbers are in a file), "
                "received False."
            )
        return np.asarray(self.read(), dtype)


def npz_arrays(path: str | os.PathLike) -> dict[str, StoredArray]:
    """The arrays of an `.npz` file of NumPy's, by name.

    The file is kept open for as long as one of them is held, so they are of one file
    even where another takes its place meanwhile.

    Args:
        path: What `np.savez` wrote, without pickled objects.

    Raises:
        FormatError: Not such a file, cut off or damaged.
        OSError: The file cannot be opened.

    >>> np.savez("losses.npz", forward=np.zeros((2, 20)))
    >>> npz_arrays("losses.npz")["forward"].shape
    (2, 20)
    """
    with open(path, "rb"):  # the ordinary error where it is absent or forbidden
        pass
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise FormatError(
            f"{path}: expected a whole .npz file, found: {error}."
        ) from error
    return {
        name.removesuffix(".npy"): _stored(archive, path, name)
        for name in archive.namelist()
    }


def _stored(archive, path, name):
    def read(part):
        try:
            with archive.open(name) as member:
                return part(member)
        except _DAMAGE as error:
            reason = " ".join(str(error).split())
            entry = name.removesuffix(".npy")
            raise FormatError(f"{path}: {entry}: cannot be read: {reason}") from error

    shape, dtype = read(_header)
    return StoredArray(shape, dtype, lambda: read(np.lib.format.read_array))


def _header(member):
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    return shape, dtype
