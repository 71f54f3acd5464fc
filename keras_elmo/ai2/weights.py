"""AI2's `lm_weights.hdf5`: one table of entries, read and written by the same lines."""

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_elmo.ai2.hdf5_file import data_sets, new_hdf5, open_hdf5
from keras_elmo.errors import FormatError
from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder

# All names that AI2's code gives; which of them a model has, its options decide.
_KNOWN = re.compile(
    r"char_embed|embedding|CNN(_high_\d+|_proj)?/[Wb]_\w+"
    r"|RNN_[01]/RNN/(MultiRNNCell/Cell\d+/)?LSTMCell/(W_0|B|W_P_0)"
)


_AT_A_TIME = 2**20  # numbers


def assign_rows(variable: keras.Variable, row: int, array: np.ndarray):
    """Set some rows of a variable, on TensorFlow without a copy of all of it.

    Args:
        variable: A built one.
        row: The first row.
        array: Rows, as many as there are to be set.

    >>> variable = keras.Variable(np.zeros((3, 2)))
    >>> assign_rows(variable, 1, np.ones((1, 2)))
    >>> variable.numpy().tolist()
    [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """
    if len(array) == variable.shape[0]:
        variable.assign(array)
        return
    array = keras.ops.cast(array, variable.dtype)
    if keras.backend.backend() == "tensorflow":
        # Where several devices train, each has a copy.
        for copy in getattr(variable.value, "values", [variable.value]):
            copy[row : row + len(array)].assign(array)
            # From now on each reading would copy all of it otherwise.
            copy.read_value_no_copy()
    else:
        start = [row] + [0] * (len(array.shape) - 1)
        variable.assign(keras.ops.slice_update(variable.value, start, array))


@dataclasses.dataclass
class Entry:
    """One array of the file, and the variables that hold the same numbers.

    Attributes:
        name: The data set's path in the file, as written.
        shape: Its shape.
        variables: Laid on top of one another along axis 0 they give the data set,
            but for its shape.
        why: What the shape follows from.
        alias: Another path that is read where `name` is absent.
        skipped_rows: Leading rows of the variable that the file leaves out.
    """

    name: str
    shape: tuple[int, ...]
    variables: list[keras.Variable]
    why: str
    alias: str | None = None
    skipped_rows: int = 0

    def assign(self, source: Any):
        """Give the variables the numbers of `source`; see `parts`."""
        for variable, row, array in self.parts(source):
            assign_rows(variable, row, array)

    def parts(self, source: Any) -> Iterator[tuple[keras.Variable, int, np.ndarray]]:
        """The numbers in few rows at a time: the variable, its first row, and they.

        Args:
            source: A NumPy array, a data set of HDF5, a `StoredArray`.
        """
        in_rows = not self.skipped_rows and len(self.shape) == 2
        if not in_rows or not hasattr(source, "__getitem__"):
            source = np.asarray(source)
        if not in_rows:
            (variable,) = self.variables
            zeros = np.zeros((self.skipped_rows, *self.shape[1:]), source.dtype)
            yield variable, 0, np.concatenate([zeros, source]).reshape(variable.shape)
            return
        rows = max(1, _AT_A_TIME // max(self.shape[1], 1))
        if keras.backend.backend() != "tensorflow":
            rows = self.shape[0]  # where to set some rows is to make all of them anew
        before = 0
        for variable in self.variables:
            for row in range(0, variable.shape[0], max(rows, 1)):
                end = min(row + rows, variable.shape[0])
                yield variable, row, np.asarray(source[before + row : before + end])
            before += variable.shape[0]

    def value(self) -> np.ndarray:
        """The data set's numbers, float32."""
        arrays = [variable.numpy() for variable in self.variables]
        array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
        array = array[self.skipped_rows :].reshape(self.shape)
        return array.astype("float32", copy=False)


def encoder_entries(encoder: CharacterEncoder) -> Iterator[Entry]:
    """The entries of a built character encoder."""
    cnn = encoder.char_cnn
    yield Entry(
        "char_embed", tuple(cnn.embedding.shape), [cnn.embedding], "char_cnn.embedding"
    )
    for i, (kernel, bias) in enumerate(zip(cnn.kernels, cnn.biases, strict=True)):
        why = f"char_cnn.filters[{i}]"
        yield Entry(f"CNN/W_cnn_{i}", (1, *kernel.shape), [kernel], why)
        yield Entry(f"CNN/b_cnn_{i}", tuple(bias.shape), [bias], why)
    blocks = encoder.highway.blocks if encoder.highway is not None else []
    for i, block in enumerate(blocks):
        names = ("W_carry", "b_carry", "W_transform", "b_transform")
        for name, variable in zip(names, block, strict=True):
            path = f"CNN_high_{i}/{name}"
            yield Entry(path, tuple(variable.shape), [variable], "char_cnn.filters")
    if encoder.projection is not None:
        kernel, bias = encoder.projection.kernel, encoder.projection.bias
        why = "char_cnn.filters, lstm.projection_dim"
        yield Entry("CNN_proj/W_proj", tuple(kernel.shape), [kernel], why)
        yield Entry("CNN_proj/b_proj", tuple(bias.shape), [bias], why)


def embedding_entries(embedding: keras.layers.Embedding) -> Iterator[Entry]:
    """The entry of a built word embedding, whose row 0 is the padding's zeros."""
    variable = embedding.embeddings
    shape = (variable.shape[0] - 1, variable.shape[1])
    why = "words in the vocabulary, lstm.projection_dim"
    yield Entry("embedding", shape, [variable], why, skipped_rows=1)


def bilm_entries(bilm: BiLM) -> Iterator[Entry]:
    """The entries of a built biLM."""
    for number, stack in enumerate((bilm.forward_stack, bilm.backward_stack)):
        for layer, lstm in enumerate(stack.lstms):
            root = f"RNN_{number}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
            # bilm's reader asks for the cell's number always, its writer leaves it
            # out where there is one layer.
            alias = f"RNN_{number}/RNN/LSTMCell" if len(stack.lstms) == 1 else None
            inputs, gates = lstm.kernel.shape
            table = [
                (
                    "W_0",
                    (inputs + lstm.output_dim, gates),
                    [lstm.kernel, lstm.recurrent_kernel],
                ),
                ("B", (gates,), [lstm.bias]),
            ]
            if lstm.projection_kernel is not None:
                kernel = lstm.projection_kernel
                table.append(("W_P_0", tuple(kernel.shape), [kernel]))
            for name, shape, variables in table:
                yield Entry(
                    f"{root}/{name}",
                    shape,
                    variables,
                    "lstm.dim, lstm.projection_dim",
                    alias=f"{alias}/{name}" if alias else None,
                )


def assign_entries(
    called: str | os.PathLike,
    arrays: Mapping[str, Any],
    entries: Iterable[Entry],
    ignored: Iterable[str] = (),
):
    """Fill built layers from arrays of any source, one matrix at a time.

    Args:
        called: What errors call the source, such as its path.
        arrays: By the names of the entries: NumPy arrays, data sets of HDF5,
            `StoredArray`s, or whatever else has `shape` and `dtype` and is read by
            `np.asarray`.
        entries: What there should be; nothing more is assigned once something does
            not fit.
        ignored: Names, or beginnings of names, that may be there and are not used.

    Raises:
        FormatError: Arrays that are missing, unexpected, of another shape, or not
            finite floats: all of them in one message.
    """
    named = {_name_in(arrays, entry): entry for entry in entries}
    misfits = dict(_misfits(arrays, named))
    problems = [*misfits.values(), *_unexpected(arrays, named, tuple(ignored))]
    for name, entry in named.items():
        if name in misfits:
            continue
        try:
            for variable, row, array in entry.parts(arrays[name]):
                if not np.isfinite(array).all():
                    bad = array[~np.isfinite(array)].flat[0]
                    problems.append(f"{name}: expected finite numbers, found {bad}.")
                    break
                if not problems:
                    assign_rows(variable, row, array)
        except OSError as error:
            problems.append(f"{name}: cannot be read: {error}.")
    if problems:
        raise FormatError(f"{called}: " + " ".join(problems))


def read_weights(
    path: str | os.PathLike, entries: Iterable[Entry], ignored: Iterable[str] = ()
):
    """Fill built layers from a file of AI2's, as `assign_entries` does.

    Args:
        path: An HDF5 file.
        entries, ignored: See there.

    Raises:
        FormatError: Not HDF5, cut off, or what is wrong with its data sets.
        OSError: The file cannot be opened.
    """
    with open_hdf5(path) as file:
        assign_entries(path, data_sets(file), entries, ignored)


def write_weights(path: str | os.PathLike, entries: Iterable[Entry], dtype="float32"):
    """Write a file that AI2's code reads; it appears whole or not at all.

    Args:
        path: Where; an existing file is replaced.
        entries: What.
        dtype: `"float32"`, exact, or `"float16"`, half the size.

    Raises:
        ValueError: Another dtype, or a weight that is too large for it.
    """
    if dtype not in ("float32", "float16"):
        raise ValueError(f'dtype: expected "float32" or "float16", received {dtype!r}.')
    with new_hdf5(path) as file:
        for entry in entries:
            value = entry.value()
            largest = max(value.max(initial=0), -value.min(initial=0))
            if largest > np.finfo(dtype).max:
                raise ValueError(f"{entry.name}: a weight is too large for {dtype}.")
            value = value.astype(dtype, copy=False)
            file.create_dataset(entry.name, data=value, track_times=False)
            del value  # a large model's table twice is too much


def _name_in(arrays, entry):
    if entry.name not in arrays and entry.alias in arrays:
        return entry.alias
    return entry.name


def _misfits(arrays, named):
    """Of each entry that cannot be read from `arrays` its name and why."""
    for name, entry in named.items():
        expected = f"{name}: expected shape {entry.shape} ({entry.why})"
        if name not in arrays:
            yield name, f"{expected}, found nothing."
        elif tuple(arrays[name].shape) != entry.shape:
            yield name, f"{expected}, found {tuple(arrays[name].shape)}."
        elif arrays[name].dtype.kind != "f":
            yield name, f"{name}: expected floats, found {arrays[name].dtype}."


def _unexpected(arrays, named, ignored):
    for name in sorted(set(arrays) - set(named)):
        if not name.startswith(ignored or ("\0",)):
            hint = "not in these options" if _KNOWN.fullmatch(name) else "unknown"
            shape = tuple(arrays[name].shape)
            yield f"{name}: expected no such entry ({hint}), found shape {shape}."
