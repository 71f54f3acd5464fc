"""bilm-tf's training checkpoints: variables of TensorFlow 1 by AI2's HDF5 names."""

import contextlib
import dataclasses
import math
import os
import re
from typing import Any

import numpy as np

from keras_elmo.ai2.files import OPTIONS
from keras_elmo.ai2.options import read_options
from keras_elmo.ai2.stored_array import StoredArray
from keras_elmo.errors import FormatError

_STATE = "checkpoint"
_NAMED = re.compile(r'^\s*model_checkpoint_path:\s*"(.*)"', re.MULTILINE)
_INDEX = re.compile(r"model\.ckpt-(\d+)\.index")
_SLOT = "/Adagrad"
_STEP = "global_step"
# What `train` in bilm-tf's `bilm/training.py` stores beside the model.
_OTHERS = (_STEP, "train_perplexity")
# `dump_weights` there renames the first as they are, and the cells' part by part.
_PLAIN = re.compile(
    r"lm/(char_embed|embedding|CNN(_high_\d+|_proj)?/[Wb]_\w+|softmax/[Wb])"
)
# A model of one layer has no `multi_rnn_cell`.
_CELL = re.compile(
    r"lm/RNN_([01])/rnn/(?:multi_rnn_cell/cell_(\d+)/)?lstm_cell/"
    r"(kernel|bias|projection/kernel)"
)
_CELL_PARTS = {"kernel": "W_0", "bias": "B", "projection/kernel": "W_P_0"}


@dataclasses.dataclass(frozen=True)
class BilmCheckpoint:
    """What `read_bilm_checkpoint` found.

    Attributes:
        path: Of the files, without their endings: `FOLDER/model.ckpt-N`.
        options: Those of the training, checked.
        step: Steps of training before it.
        arrays: Weights by the name of their `ai2.weights.Entry`, with `softmax/W`
            (not where the words' vectors are the softmax) and `softmax/b`. They are
            read when asked for.
        accumulators: Those of Adagrad by the same names; none in a checkpoint from
            which they were left out.
    """

    path: str
    options: dict[str, Any]
    step: int
    arrays: dict[str, StoredArray]
    accumulators: dict[str, StoredArray]


def has_bilm_checkpoint(directory: str | os.PathLike) -> bool:
    """Whether a folder looks like one in which bilm-tf trained.

    >>> has_bilm_checkpoint("my_elmo")
    False
    """
    return os.path.isfile(os.path.join(directory, _STATE)) or any(
        map(_INDEX.fullmatch, os.listdir(directory))
    )


def read_bilm_checkpoint(directory: str | os.PathLike) -> BilmCheckpoint:
    """Read the checkpoint of a folder in which bilm-tf trained; needs TensorFlow.

    Args:
        directory: With `model.ckpt-N.index`, `model.ckpt-N.data-...` and
            `options.json`. Of several checkpoints the file `checkpoint` says which,
            by its name alone: a path in it may be of another machine. Without that
            file it is the one of the highest N.

    Raises:
        FormatError: What is missing, cut off or odd, by file and variable.
        OSError: A folder or file that cannot be opened.

    >>> read_bilm_checkpoint("my_elmo")
    Traceback (most recent call last):
    keras_elmo.errors.FormatError: my_elmo: expected a training checkpoint of \
bilm-tf's, model.ckpt-N.index, found none.

    Source: `train` and `dump_weights` in bilm-tf `bilm/training.py`.
    """
    directory = os.fspath(directory)
    path = _newest(directory)
    options_file = os.path.join(directory, OPTIONS)
    if not os.path.exists(options_file):
        raise FormatError(
            f"{options_file}: expected the options of the training, found no such file."
        )
    options = read_options(options_file)
    variables = _variables(path)
    arrays, accumulators = {}, {}
    unknown = []
    for name, array in variables.items():
        entry = _entry_name(name.removesuffix(_SLOT))
        group = accumulators if name.endswith(_SLOT) else arrays
        if entry is not None and entry not in group:
            group[entry] = array
        elif name not in _OTHERS:
            unknown.append(name)
    _check_names(path, variables, unknown)
    return BilmCheckpoint(
        path, options, _step(path, variables[_STEP]), arrays, accumulators
    )


def _newest(directory):
    """The path of a folder's checkpoint, without the endings of its files."""
    names = os.listdir(directory)
    state = os.path.join(directory, _STATE)
    if os.path.isfile(state):
        with open(state, encoding="utf-8", errors="replace") as file:
            named = _NAMED.search(file.read())
        if named is None:
            raise FormatError(
                f"{state}: model_checkpoint_path: expected a name in quotes, found "
                "nothing."
            )
        name, why = re.split(r"[/\\]", named[1])[-1], f" ({_STATE} names it)"
    else:
        steps = [int(m[1]) for m in map(_INDEX.fullmatch, names) if m]
        if not steps:
            raise FormatError(
                f"{directory}: expected a training checkpoint of bilm-tf's, "
                "model.ckpt-N.index, found none."
            )
        name, why = f"model.ckpt-{max(steps)}", ""
    path = os.path.join(directory, name)
    for ending in (".index", ".data-"):
        if not any(n.startswith(name + ending) for n in names):
            raise FormatError(f"{path}{ending}: expected a file{why}, found none.")
    return path


def _variables(path):
    """All variables of a checkpoint by name, sorted."""
    import tensorflow as tf

    with open(path + ".index", "rb"):  # the ordinary error where it is forbidden
        pass
    with _format_errors(path + ".index"):
        reader = tf.train.load_checkpoint(path)
        shapes = reader.get_variable_to_shape_map()
        dtypes = reader.get_variable_to_dtype_map()

    def stored(name):
        def read():
            with _format_errors(f"{path}: {name}"):
                return np.asarray(reader.get_tensor(name))

        dtype = np.dtype(dtypes[name].as_numpy_dtype)
        return StoredArray(tuple(shapes[name]), dtype, read)

    return {name: stored(name) for name in sorted(shapes)}


@contextlib.contextmanager
def _format_errors(what):
    """TensorFlow's errors of a damaged file as `FormatError`, which names `what`."""
    import tensorflow as tf

    try:
        yield
    # Its reader passes on some errors of its C++ parts as they come from there.
    except (tf.errors.OpError, IndexError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise FormatError(
            f"{what}: expected a whole checkpoint, found: {reason}."
        ) from error


def _entry_name(variable):
    if match := _PLAIN.fullmatch(variable):
        return match[1]
    if match := _CELL.fullmatch(variable):
        direction, layer, part = match.groups()
        root = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer or 0}/LSTMCell"
        return f"{root}/{_CELL_PARTS[part]}"
    return None


def _check_names(path, variables, unknown):
    forward_only = [name for name in unknown if name.startswith("lm/rnn/")]
    if forward_only:
        raise FormatError(
            f"{path}: {forward_only[0]}: expected lm/RNN_0 and lm/RNN_1 (a biLM has "
            "both directions), found a model of one direction."
        )
    if unknown:
        found = ", ".join(unknown[:4])
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise FormatError(
            f"{path}: expected the variables of a biLM of bilm-tf's, found {found}"
            f"{more}."
        )
    if _STEP not in variables:
        raise FormatError(
            f"{path}: {_STEP}: expected a number of steps, found nothing."
        )


def _step(path, stored):
    found = f"{stored.dtype} of shape {stored.shape}"
    if stored.shape == () and stored.dtype.kind in "iuf":
        found = np.asarray(stored).item()
        if 0 <= found < math.inf:
            return int(found)
    raise FormatError(f"{path}: {_STEP}: expected a number of steps, found {found}.")
