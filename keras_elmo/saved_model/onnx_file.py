"""Models as ONNX files, from ids on: ONNX runtimes know no words."""

import contextlib
import functools
import os

import keras
import numpy as np
import tensorflow as tf

from keras_elmo.atomic import written_beside
from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.errors import FormatError
from keras_elmo.layers.char_cnn import NUM_CHARACTERS
from keras_elmo.saved_model import onnx_graph
from keras_elmo.saved_model.signatures import elmo_signatures

OPSETS = range(15, 19)  # 14 brought shapes of zero rows; 18 is tf2onnx's last
TOLERANCE = 1e-5
# Batch and time of the inputs that a file is checked with, and each row's length.
_CHECKS = [((3, 11), (11, 0, 4)), ((1, 1), (1,)), ((2, 0), (0, 0)), ((0, 3), ())]


def export_onnx(
    elmo: ElmoLayer,
    path: str | os.PathLike,
    opset: int = 17,
    *,
    layers: str = "all",
    pooling: str = "mean",
) -> str:
    """Write a layer as an ONNX file, which onnxruntime is seen to answer alike from.

    Inputs are `char_ids` int32 `(batch, time, chars)`, as of `batch_to_ids`, and
    `sequence_len` int32 `(batch,)`, which alone decides what is padding; batch and time
    are free. A layer that looks words up has `word_ids` `(batch, time)`: place in the
    vocabulary + 1. Outputs are those of the exported signatures: `word_emb`,
    `lstm_outputs1` and on, `elmo`, `default`, `lengths`. No state.

    Args:
        elmo: A built float32 layer.
        path: The file. It appears whole, after the check, or stays as it was.
        opset: int, 15 to 18. Of ONNX's operators.
        layers, pooling: As of `export_saved_model`.

    Returns:
        The path.

    Raises:
        FormatError: onnxruntime does not run the file, or an output of it is off by
            more than 1e-5, of itself where it is above 1.
        ImportError: The packages of the extra `onnx` are missing.
        ValueError: Another model, or an opset that is not among those.

    >>> small = keras_elmo.ElmoLayer(
    ...     keras_elmo.CharacterEncoder([(1, 8)], projection_dim=4),
    ...     keras_elmo.BiLM(units=8, projection_dim=4, num_layers=1),
    ... )
    >>> small.build(None)
    >>> export_onnx(small, "small.onnx")
    'small.onnx'
    """
    _check_arguments(elmo, opset)
    make = functools.partial(_ids_signature, elmo, layers, pooling)
    with _without_cache(elmo):
        return _write(elmo, make, os.fspath(path), opset)


def _write(elmo, make, path, opset):
    onnxruntime, tf2onnx = _packages()
    function, weights = _with_weights_as_inputs(elmo, make())
    with _plain_forms(elmo):
        model, _ = tf2onnx.convert.from_function(
            function, function.input_signature, opset=opset
        )
    onnx_graph.fix_weights(model.graph, weights)
    onnx_graph.name_axes(model.graph)
    onnx_graph.let_rows_be_none(model.graph)
    onnx_graph.take_invariants_out_of_loops(model.graph)
    with written_beside(path) as beside:
        with open(beside, "wb") as file:
            file.write(model.SerializeToString())
        _check_file(onnxruntime, beside, path, elmo, make())
    return path


def _check_arguments(elmo, opset):
    if not isinstance(elmo, ElmoLayer):
        raise ValueError(
            "export_onnx: expected an ElmoLayer, for ONNX files start from ids, "
            f"received {type(elmo).__name__}."
        )
    if not elmo.built:
        raise ValueError("export_onnx: expected a built layer, with weights.")
    if elmo.compute_dtype != "float32":
        raise ValueError(
            f"export_onnx: expected a float32 layer, received {elmo.compute_dtype}."
        )
    if elmo.bilm.recurrent_dtype not in (None, "float32"):
        raise ValueError(
            "export_onnx: expected recurrent weights in float32, received "
            f'{elmo.bilm.recurrent_dtype}; in_dtype(elmo, None, "float32") makes a '
            "copy."
        )
    if opset not in OPSETS:
        raise ValueError(
            f"export_onnx: expected opset from {OPSETS[0]} to {OPSETS[-1]}, "
            f"received {opset}."
        )


def _packages():
    try:
        import onnx  # noqa: F401  (of the graph, see onnx_graph.py)
        import onnxruntime
        import tf2onnx.convert
    except ImportError as error:
        raise ImportError(
            'export_onnx: expected the packages of pip install "keras_elmo[onnx]", '
            f"found no {error.name}.",
            name=error.name,
        ) from error
    return onnxruntime, tf2onnx


@contextlib.contextmanager
def _without_cache(elmo):
    """Ids are never looked up, and the cache would be written all the same."""
    cache, elmo.reader.cache = elmo.reader.cache, None
    try:
        yield
    finally:
        elmo.reader.cache = cache


def _ids_signature(elmo, layers, pooling):
    """The signature of ids, made anew, so that nothing of it is traced yet."""
    name = "char_ids" if elmo.reads_characters else "word_ids"
    # ONNX has no operation that finds rows which are there twice, in order.
    signatures = elmo_signatures(elmo, layers=layers, pooling=pooling, distinct=False)
    return signatures[name]


def _with_weights_as_inputs(elmo, function):
    """A function of ids, lengths and all weights; the weights by input name.

    The converter copies constants over and over: 18 GB for a model of 0.4.
    """
    variables = elmo.variables
    names = [f"weight_{i}" for i in range(len(variables))]
    specs = [
        tf.TensorSpec(variable.shape, variable.dtype, name=name)
        for name, variable in zip(names, variables, strict=True)
    ]

    @tf.function(input_signature=[*function.input_signature, *specs], autograph=False)
    def embed(ids, sequence_len, *weights):
        pairs = list(zip(variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=pairs):
            return function.python_function(ids, sequence_len)

    values = (keras.ops.convert_to_numpy(variable) for variable in variables)
    return embed, dict(zip(names, values, strict=True))


@contextlib.contextmanager
def _plain_forms(elmo):
    """Functions traced in this block have loops and shapes that tf2onnx converts."""
    lstms = [*elmo.bilm.forward_stack.lstms, *elmo.bilm.backward_stack.lstms]
    for lstm in lstms:
        lstm._recur_fastest = lstm._recur
    in_parts, elmo.word_layers.in_parts = elmo.word_layers.in_parts, False
    try:
        yield
    finally:
        for lstm in lstms:
            del lstm._recur_fastest
        elmo.word_layers.in_parts = in_parts


def _check_file(onnxruntime, beside, path, elmo, function):
    spec, lengths_spec = function.input_signature
    highest = NUM_CHARACTERS if elmo.reads_characters else len(elmo.vocabulary)
    rng = np.random.default_rng(0)
    try:
        session = onnxruntime.InferenceSession(
            beside, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        for shape, lengths in _CHECKS:
            ids = rng.integers(1, highest + 1, (*shape, *spec.shape[2:]), np.int32)
            lengths = np.array(lengths, np.int32)
            answers = session.run(names, {spec.name: ids, lengths_spec.name: lengths})
            expected = function(tf.constant(ids), tf.constant(lengths))
            _compare(path, dict(zip(names, answers, strict=True)), expected)
    except FormatError:
        raise
    except Exception as error:  # onnxruntime's have no common class of their own
        raise FormatError(f"{path}: expected onnxruntime to run it: {error}") from error


def _compare(path, answers, expected):
    if sorted(answers) != sorted(expected):
        raise FormatError(
            f"{path}: expected outputs {sorted(expected)}, found {sorted(answers)}."
        )
    for name, value in expected.items():
        value = value.numpy()
        if answers[name].shape != value.shape:
            raise FormatError(
                f"{path}: {name}: expected shape {value.shape}, "
                f"found {answers[name].shape}."
            )
        off = np.abs(answers[name] - value) / np.maximum(1.0, np.abs(value))
        if not off.max(initial=0.0) <= TOLERANCE:  # true of NaN too
            raise FormatError(
                f"{path}: {name}: expected onnxruntime's answer to be the layer's to "
                f"{TOLERANCE}, found it {off.max()} off."
            )
