"""ONNX files: onnxruntime answers as the layer does, or there is no file."""

import copy
import os
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.in_dtype import in_dtype
from keras_elmo.saved_model import onnx_file
from keras_elmo.saved_model.onnx_file import export_onnx
from tests.helpers import load_golden
from tests.saved_model.feeds import WORDS

EXTRA = "needs the packages of the extra onnx"
onnx = pytest.importorskip("onnx", reason=EXTRA)
onnxruntime = pytest.importorskip("onnxruntime", reason=EXTRA)
convert = pytest.importorskip("tf2onnx.convert", reason=EXTRA)

SMALL = "tiny_nocnnproj_nohighway"


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def ids_of(elmo, words, lengths):
    """Ids of words, with others past the lengths, where they must not matter."""
    if elmo.reads_characters:
        ids = keras_elmo.batch_to_ids(words, elmo.max_chars_per_token)
    else:
        places = {word: i + 1 for i, word in enumerate(elmo.vocabulary)}
        ids = np.full((len(words), max(lengths)), places["<UNK>"], "int32")
        for row, line in zip(ids, words, strict=True):
            row[: len(line)] = [places.get(word, row[0]) for word in line]
    for row, length in zip(ids, lengths, strict=True):
        row[length:] = ids[0, 0]
    return ids


def assert_answers_as_the_layer(path, elmo, words):
    lengths = np.array([len(row) for row in words], "int32")
    ids = ids_of(elmo, words, lengths)
    name = "char_ids" if elmo.reads_characters else "word_ids"
    runtime = session(path)
    names = [output.name for output in runtime.get_outputs()]
    values = runtime.run(names, {name: ids, "sequence_len": lengths})
    found = dict(zip(names, values, strict=True))
    layers = elmo.all_layers(tf.constant(ids), tf.constant(lengths)).numpy()
    mixes = keras.tree.flatten(elmo(tf.constant(ids), lengths=tf.constant(lengths)))
    expected = {"word_emb": layers[:, 0, :, : layers.shape[-1] // 2]}
    for i in range(1, layers.shape[1]):
        expected[f"lstm_outputs{i}"] = layers[:, i]
    for i, mix in enumerate(mixes):
        expected["elmo" if i == 0 else f"elmo_{i + 1}"] = mix.numpy()
    count = np.maximum(lengths, 1)[:, None]
    expected["default"] = expected["elmo"].sum(axis=1) / count
    assert sorted(found) == sorted([*expected, "lengths"])
    np.testing.assert_array_equal(found["lengths"], lengths)
    for output, value in expected.items():
        np.testing.assert_allclose(
            found[output], value, rtol=1e-5, atol=1e-5, err_msg=output
        )


@pytest.mark.parametrize(
    ("case", "layer_arguments", "opset"),
    [
        (SMALL, {}, 17),
        pytest.param("tiny", {"stateful": True}, 15, marks=pytest.mark.slow),
        pytest.param("tiny_nolstmproj", {}, 18, marks=pytest.mark.slow),
        pytest.param("tiny_3layer", {"use_top_only": True}, 17, marks=pytest.mark.slow),
        pytest.param("token_input", {}, 17, marks=pytest.mark.slow),
        pytest.param(
            SMALL,
            {"num_representations": 2, "do_layer_norm": True, "dropout": 0.5},
            17,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_onnxruntime_answers_as_the_layer(tmp_path, case, layer_arguments, opset):
    path = str(tmp_path / "elmo.onnx")
    elmo = load_golden(case, **layer_arguments)
    assert export_onnx(elmo, path, opset=opset) == path
    assert os.listdir(tmp_path) == ["elmo.onnx"]
    (used,) = (o.version for o in onnx.load(path).opset_import if not o.domain)
    assert used == opset
    elmo = load_golden(case, **layer_arguments | {"stateful": False})
    assert_answers_as_the_layer(path, elmo, WORDS)
    assert_answers_as_the_layer(path, elmo, [["one"], ["two", "words", "."] * 11])


@pytest.mark.slow
def test_the_shipped_model_becomes_a_file(tmp_path):
    elmo = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
    path = export_onnx(elmo, tmp_path / "elmo.onnx")
    assert_answers_as_the_layer(path, elmo, WORDS)


@pytest.fixture(scope="module")
def elmo():
    return load_golden(SMALL)


@pytest.fixture(scope="module")
def converted(elmo, tmp_path_factory):
    """What tf2onnx made of the layer, and the file that came of it."""
    made = []
    real = convert.from_function

    def keep(*args, **kwargs):
        model, other = real(*args, **kwargs)
        made.append(copy.deepcopy(model))
        return model, other

    path = tmp_path_factory.mktemp("onnx") / "elmo.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "from_function", keep)
        export_onnx(elmo, path)
    return made[0], path


def test_names_and_free_axes_are_those_of_the_signatures(converted):
    runtime = session(converted[1])
    inputs = {end.name: (end.type, end.shape) for end in runtime.get_inputs()}
    assert inputs == {
        "char_ids": ("tensor(int32)", ["batch", "time", 20]),
        "sequence_len": ("tensor(int32)", ["batch"]),
    }
    outputs = {end.name: (end.type, end.shape) for end in runtime.get_outputs()}
    assert outputs == {
        "word_emb": ("tensor(float)", ["batch", "time", 16]),
        "lstm_outputs1": ("tensor(float)", ["batch", "time", 32]),
        "elmo": ("tensor(float)", ["batch", "time", 32]),
        "default": ("tensor(float)", ["batch", 32]),
        "lengths": ("tensor(int32)", ["batch"]),
    }


def test_loops_do_not_hand_on_weights(elmo, converted):
    graph = onnx.load(converted[1]).graph
    loops = [node for node in graph.node if node.op_type == "Loop"]
    assert len(loops) == 2 * elmo.bilm.num_layers
    for loop in loops:
        (body,) = (x.g for x in loop.attribute if x.name == "body")
        read = {name for node in body.node for name in node.input}
        weights = {name for name in read if name.startswith("weight_")}
        assert len(weights) == 2  # recurrent and projection
        assert not weights & set(loop.input)
        # Number of steps, condition; own counter, h, c.
        assert len(loop.input) == 5


@pytest.mark.slow
def test_a_token_cache_is_left_out(tmp_path):
    elmo = load_golden(SMALL)
    elmo.cache_tokens([f"word{i}" for i in range(1234)])
    path = export_onnx(elmo, tmp_path / "elmo.onnx", layers="top")
    assert elmo.reader.cache is not None
    shapes = [tuple(array.dims) for array in onnx.load(path).graph.initializer]
    assert shapes and all(1234 not in shape for shape in shapes)


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_no_rows_and_no_words_are_answered(converted, shape):
    feed = {
        "char_ids": np.zeros((*shape, 20), "int32"),
        "sequence_len": np.zeros(shape[:1], "int32"),
    }
    (vectors,) = session(converted[1]).run(["elmo"], feed)
    assert vectors.shape == (*shape, 32)


def test_the_layer_is_left_as_it_was(elmo, converted):
    # Its loops are others while it is converted.
    for stack in (elmo.bilm.forward_stack, elmo.bilm.backward_stack):
        for lstm in stack.lstms:
            assert "_recur_fastest" not in vars(lstm)


def with_another_weight(model, weights):
    largest = max(weights, key=lambda name: weights[name].size)
    weights[largest] = weights[largest] + np.float32(0.01)


def with_nan(model, weights):
    largest = max(weights, key=lambda name: weights[name].size)
    weights[largest] = np.full_like(weights[largest], np.nan)


def with_an_unknown_operator(model, weights):
    model.graph.node[0].op_type = "Nonesuch"


def without_an_output(model, weights):
    del model.graph.output[0]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (with_another_weight, "expected onnxruntime's answer to be the layer's to 1e-"),
        (with_nan, "expected onnxruntime's answer .* found it nan off"),
        (with_an_unknown_operator, "expected onnxruntime to run it: .*Nonesuch"),
        (without_an_output, "expected outputs .'default', .* found .'elmo'"),
    ],
)
def test_a_file_that_answers_otherwise_is_not_written(
    elmo, converted, tmp_path, monkeypatch, damage, message
):
    model = copy.deepcopy(converted[0])
    signature = onnx_file._ids_signature(elmo, "all", "mean")
    function, weights = onnx_file._with_weights_as_inputs(elmo, signature)
    damage(model, weights)
    monkeypatch.setattr(
        onnx_file, "_with_weights_as_inputs", lambda *_: (function, weights)
    )
    monkeypatch.setattr(convert, "from_function", lambda *_, **__: (model, None))
    path = tmp_path / "elmo.onnx"
    path.write_text("what was there before")
    with pytest.raises(keras_elmo.FormatError, match=f"elmo.onnx: .*{message}"):
        export_onnx(elmo, path)
    assert path.read_text() == "what was there before"
    assert os.listdir(tmp_path) == ["elmo.onnx"]


def test_answers_of_another_shape_are_told():
    with pytest.raises(keras_elmo.FormatError, match=r"elmo: expected shape \(2,\)"):
        onnx_file._compare("x", {"elmo": np.zeros(3)}, {"elmo": tf.zeros(2)})


def test_other_models_are_refused(elmo, tmp_path):
    ids = keras.Input((None, 20), dtype="int32")
    model = keras.Model(ids, elmo(ids))
    with pytest.raises(ValueError, match="expected an ElmoLayer, .* Functional"):
        export_onnx(model, tmp_path / "m.onnx")
    unbuilt = keras_elmo.ElmoLayer.from_config(elmo.get_config())
    with pytest.raises(ValueError, match="expected a built layer"):
        export_onnx(unbuilt, tmp_path / "m.onnx")
    half = load_golden(SMALL, dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match="expected a float32 layer, received bfloat16"):
        export_onnx(half, tmp_path / "m.onnx")
    recurrent = in_dtype(elmo, None, "bfloat16")
    with pytest.raises(ValueError, match="expected recurrent weights in float32, rec"):
        export_onnx(recurrent, tmp_path / "m.onnx")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("opset", [14, 19, "17", None])
def test_an_opset_that_can_not_be_made_is_refused(elmo, tmp_path, opset):
    with pytest.raises(ValueError, match="expected opset from 15 to 18, received"):
        export_onnx(elmo, tmp_path / "m.onnx", opset=opset)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "tf2onnx"])
def test_a_missing_package_is_named_with_its_cure(elmo, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"keras_elmo\[onnx\].*found no {package}\."):
        export_onnx(elmo, tmp_path / "m.onnx")
