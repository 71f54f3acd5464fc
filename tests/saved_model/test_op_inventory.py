"""An export asks for nothing that a stock server of today has not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.text import tokenize
from tests.helpers import load_golden
from tests.saved_model.feeds import read_meta_graph
from tests.saved_model.op_inventory import (
    OPS_FILE,
    library_ops,
    ops_of_2_20,
    ops_text,
    problems,
)

ROWS = [tf.TensorSpec([None], tf.float32, name="x")]


def test_an_export_of_a_layer_has_no_problem(elmo, elmo_folder):
    meta_graph = read_meta_graph(elmo_folder)
    assert problems(meta_graph, variables=len(elmo.variables)) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", ["token_input", "tiny_3layer", "tiny_nolstmproj"])
def test_an_export_of_any_layer_has_no_problem(case, tmp_path):
    elmo = load_golden(case, num_representations=2, do_layer_norm=True)
    meta_graph = read_meta_graph(keras_elmo.export_saved_model(elmo, tmp_path / "m"))
    assert problems(meta_graph, variables=len(elmo.variables)) == []


@pytest.mark.slow
def test_an_export_of_a_tagger_has_no_problem(elmo, tmp_path):
    words = keras.Input((None,), dtype="string", name="words")
    states = keras.layers.Bidirectional(
        keras.layers.LSTM(4, return_sequences=True, use_cudnn=False)
    )(keras.layers.Dropout(0.5)(elmo(words)))
    model = keras.Model(words, keras.layers.Dense(3, name="tags")(states))
    meta_graph = read_meta_graph(keras_elmo.export_saved_model(model, tmp_path / "m"))
    assert problems(meta_graph, variables=len(model.variables)) == []


@pytest.mark.slow
def test_raw_text_needs_the_two_ops_of_tensorflow_text_and_no_more(elmo, tmp_path):
    export = keras_elmo.export_saved_model(elmo, tmp_path / "m", text=True)
    meta_graph = read_meta_graph(export)
    assert problems(meta_graph, text=True, variables=len(elmo.variables)) == []
    assert problems(meta_graph) == [
        "RegexSplitWithOffsets: no CPU kernel in 2.20",
        "UnicodeScriptTokenizeWithOffsets: no CPU kernel in 2.20",
    ]


def saved(function, folder, specs=ROWS, **options):
    """The MetaGraphDef of a SavedModel whose one signature is a function."""
    module = tf.Module()
    module.weight = tf.Variable([2.0], name="weight")
    module.serve = tf.function(
        lambda *ends: {"y": function(module.weight, *ends)},
        input_signature=specs,
        autograph=False,
    )
    tf.saved_model.save(
        module,
        str(folder),
        signatures=module.serve,
        options=tf.saved_model.SaveOptions(**options),
    )
    return read_meta_graph(folder)


def test_a_plain_model_has_no_problem(tmp_path):
    assert problems(saved(lambda w, x: w * x, tmp_path), variables=1) == []


def on_a_device(w, x):
    with tf.device("/device:CPU:0"):
        return w * x


def compiled(w, x):
    return tf.function(lambda v: v + 1.0, jit_compile=True, autograph=False)(w * x)


def in_python(w, x):
    return tf.ensure_shape(tf.numpy_function(np.sin, [w * x], tf.float32), [None])


def in_a_loop_in_python(w, x):
    (y,) = tf.while_loop(lambda y: tf.less(y[0], 1.0), lambda y: in_python(w, y), [x])
    return y


def on_a_gpu(w, x):
    state = tf.zeros((1, 1, 1))
    parameters = tf.zeros((16,)) * w
    outputs, *_ = tf.raw_ops.CudnnRNNV3(
        input=tf.reshape(x, [-1, 1, 1]),
        input_h=state,
        input_c=state,
        params=parameters,
        sequence_lengths=tf.shape(x)[:1],
        is_training=False,
    )
    return tf.reshape(outputs, [-1])


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (on_a_device, "serving_default: Mul is bound to /device:CPU:0"),
        (compiled, "must be compiled by XLA"),
        (in_python, "PyFunc: needs Python"),
        (in_a_loop_in_python, "PyFunc: needs Python"),
        (on_a_gpu, "CudnnRNNV3: needs a GPU"),
        (lambda w, x: tf.reduce_sum(w * x), "outputs y: expected the batch as first"),
        (lambda w, x: w + 1.0, "outputs y: expected the batch as first axis"),
    ],
)
def test_what_a_server_can_not_run_is_found(function, problem, tmp_path):
    found = problems(saved(function, tmp_path))
    assert any(problem in line for line in found), found


def test_a_compiled_function_is_found_on_itself_and_on_its_call(tmp_path):
    found = problems(saved(compiled, tmp_path))
    assert {line.split()[0] for line in found} == {"function", "node"}


def test_a_scalar_input_is_found(tmp_path):
    specs = [*ROWS, tf.TensorSpec([], tf.float32, name="factor")]
    meta_graph = saved(lambda w, x, factor: w * x * factor, tmp_path, specs)
    assert problems(meta_graph) == [
        "serving_default: inputs factor: expected the batch as first axis"
    ]


def test_devices_of_variables_are_found(tmp_path):
    policy = tf.saved_model.experimental.VariablePolicy.SAVE_VARIABLE_DEVICES
    meta_graph = saved(
        lambda w, x: w * x, tmp_path, experimental_variable_policy=policy
    )
    (problem,) = problems(meta_graph)
    assert problem.startswith("serving_default: VarHandleOp is bound to /job:localhost")


def test_ops_of_tensorflow_text_are_found(tmp_path):
    specs = [tf.TensorSpec([None], tf.string, name="x")]
    meta_graph = saved(lambda w, x: tokenize(x).words, tmp_path, specs)
    assert len(problems(meta_graph)) == 2
    assert problems(meta_graph, text=True) == []


def test_what_no_server_of_2_20_runs_is_found(tmp_path):
    meta_graph = saved(lambda w, x: w * x, tmp_path)
    (function,) = (
        function
        for function in meta_graph.graph_def.library.function
        if any(node.op == "Mul" for node in function.node_def)
    )
    (node,) = (node for node in function.node_def if node.op == "Mul")
    node.attr["_output_shapes"].i = 1  # TensorFlow's own marks are of no matter
    assert problems(meta_graph) == []
    node.attr["Tshape"].i = 1
    assert problems(meta_graph) == ["Mul: attribute Tshape is unknown to 2.20"]
    for name, problem in (
        ("DecodeJxl", "no CPU kernel in 2.20"),
        ("TPUReplicate", "needs a TPU"),
        ("XlaLaunch", "needs XLA, which a stock server has off"),
    ):
        node.op = name
        assert problems(meta_graph) == [f"{name}: {problem}"]


def test_variables_that_are_stored_twice_are_found(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    archive = keras.export.ExportArchive()
    archive.track(model)
    specs = [tf.TensorSpec([None, 3], tf.float32, name="x")]
    archive.add_endpoint("serve", model.call, input_signature=specs)
    archive.write_out(str(tmp_path), verbose=False)
    (problem,) = problems(read_meta_graph(tmp_path), variables=2)
    assert "expected one for each of 2 variables" in problem


@pytest.mark.slow
def test_the_stored_ops_are_those_of_2_20(runtime_2_20):
    assert ops_text(library_ops(runtime_2_20.libraries)) == OPS_FILE.read_text("utf-8")


def test_the_stored_ops_are_known_to_this_tensorflow():
    names = set(tf.raw_ops.__dict__)
    assert len(set(ops_of_2_20()) & names) > 1000
