"""A checkpoint of a training run of ours: its options, and weights by AI2's names."""

import dataclasses
import json
import os
from typing import Any

import numpy as np

from keras_elmo.ai2.options import check_options
from keras_elmo.ai2.stored_array import StoredArray, npz_arrays
from keras_elmo.errors import FormatError

# What a run has in its folder: the first from its start.
RUN, LAST, BEST = "run.json", "last.npz", "best.npz"
# What a checkpoint has in it.
META, WEIGHTS_ROOT = "meta", "weights/"


@dataclasses.dataclass(frozen=True)
class RunCheckpoint:
    """What `read_run_checkpoint` found.

    Attributes:
        path: Of the `.npz` file.
        options: AI2's, checked.
        step: Steps of training before it.
        arrays: Weights by the name of their `ai2.weights.Entry`, with `softmax/W`
            (not where the words' vectors are the softmax) and `softmax/b`. They are
            read when asked for.
        meta: All that the entry `meta` says.
    """

    path: str
    options: dict[str, Any]
    step: int
    arrays: dict[str, StoredArray]
    meta: dict[str, Any]


def read_run_checkpoint(path: str | os.PathLike) -> RunCheckpoint:
    """Read what a checkpoint of a training run says of its model.

    Args:
        path: An `.npz` file with `weights/NAME` for each entry of a model and
            `meta`, a JSON text with at least `options` and `step`.

    Raises:
        FormatError: The file, the entry, what was expected and what was found.
        OSError: The file cannot be opened.

    >>> read_run_checkpoint("my_elmo/lm_weights.hdf5")
    Traceback (most recent call last):
    keras_elmo.errors.FormatError: my_elmo/lm_weights.hdf5: expected a whole .npz \
file, found: File is not a zip file.
    """
    path = os.fspath(path)
    stored, meta = read_stored(path)
    step = meta.get("step")
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise FormatError(f"{path}: meta: step: expected an int >= 0, found {step!r}.")
    return RunCheckpoint(
        path=path,
        options=check_options(meta.get("options"), f"{path}: meta: options"),
        step=step,
        arrays={
            name.removeprefix(WEIGHTS_ROOT): array
            for name, array in stored.items()
            if name.startswith(WEIGHTS_ROOT)
        },
        meta=meta,
    )


def read_stored(
    path: str | os.PathLike,
) -> tuple[dict[str, StoredArray], dict[str, Any]]:
    """All arrays of a checkpoint by their whole names, and what `meta` says.

    Raises:
        FormatError: Not a checkpoint, or a damaged one; so does an array on reading.
        OSError: The file cannot be opened.

    >>> np.savez("last.npz", meta=np.array('{"step": 3}'))
    >>> read_stored("last.npz")[1]
    {'step': 3}
    """
    stored = npz_arrays(path)
    meta = _meta(stored, path)
    del stored[META]
    return stored, meta


def _meta(stored, path):
    if META not in stored or stored[META].dtype.kind != "U":
        found = stored[META].dtype if META in stored else "nothing"
        raise FormatError(f"{path}: meta: expected a text, found {found}.")
    text = str(np.asarray(stored[META]))
    try:
        meta = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{path}: meta: expected JSON, found: {error}.") from error
    if not isinstance(meta, dict):
        raise FormatError(f"{path}: meta: expected a JSON object, found {text[:40]!r}.")
    return meta
