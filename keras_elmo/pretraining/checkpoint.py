"""Checkpoints of a training run: one file each, whole or not there.

`ai2.run_checkpoint` reads them.
"""

import json
import os
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_elmo.ai2.run_checkpoint import META
from keras_elmo.atomic import written_beside

_ENDING = ".npy"


def write_checkpoint(
    path: str | os.PathLike,
    arrays: Iterable[tuple[str, np.ndarray]],
    meta: dict[str, Any],
):
    """Write arrays and what JSON can hold, as an `.npz` file.

    The same content gives the same bytes.

    Args:
        path: An existing file is replaced.
        arrays: Names and arrays, which may be made one by one.
        meta: What JSON can hold.

    Raises:
        OSError: The file cannot be written; the one that was there stays.

    >>> write_checkpoint("last.npz", [("weights/a", np.ones(2))], {"step": 3})
    >>> keras_elmo.ai2.run_checkpoint.read_stored("last.npz")[1]["step"]
    3
    """
    with written_beside(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        for name, array in arrays:
            _add(archive, name, array)
            del array  # before the next one is made
        _add(archive, META, np.array(json.dumps(meta)))


def _add(archive, name, array):
    # An entry of its own making has no date, which would be another each time.
    entry = zipfile.ZipInfo(name + _ENDING)
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
