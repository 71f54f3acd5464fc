"""Copies of models that compute in another dtype."""

import keras
import numpy as np
import tensorflow as tf

import keras_elmo
from keras_elmo.in_dtype import in_dtype
from tests.helpers import assert_close, load_golden

WORDS = np.array([["the", "cat", "sat"], ["It", "works", ""]])


def test_a_layers_copy_has_its_weights_and_about_its_vectors():
    elmo = load_golden("tiny")
    elmo.mixes[0].set_layer_weights([1, 2, 3])
    copy = in_dtype(elmo)
    assert (copy.name, copy.compute_dtype) == (elmo.name, "bfloat16")
    for one, other in zip(elmo.variables, copy.variables, strict=True):
        assert one.dtype == other.dtype == "float32"
        assert_close(one, other, 0, 0)
    assert_close(tf.cast(copy(WORDS), "float32"), elmo(WORDS), 0, atol=0.03)
    assert_close(in_dtype(copy, "float32")(WORDS), elmo(WORDS), 0, 0)


def test_of_a_keras_model_the_elmo_layer_alone_changes():
    words = keras.Input((None,), dtype="string")
    tags = keras.layers.Dense(2, name="tags")(load_golden("tiny")(words))
    model = keras.Model(words, tags)
    copy = in_dtype(model)
    dtypes = {layer.name: layer.compute_dtype for layer in copy.layers}
    assert dtypes["tags"] == "float32" and "bfloat16" in dtypes.values()
    words = tf.constant(WORDS)
    assert copy(words).dtype == "float32"
    assert_close(copy(words), model(words), 0, atol=0.05)


def test_a_model_within_a_model_changes_too():
    words = keras.Input((None,), dtype="string")
    inner = keras.Model(words, load_golden("tiny")(words))
    outer = keras.Sequential([keras.Input((None,), dtype="string"), inner])
    copy = in_dtype(outer)
    (inner,) = copy.layers
    dtypes = [layer.compute_dtype for layer in inner.layers]
    assert "bfloat16" in dtypes
    found = tf.cast(copy(tf.constant(WORDS)), "float32")
    assert_close(found, outer(tf.constant(WORDS)), 0, atol=0.05)


def test_a_vocabularys_layer_is_copied_too():
    elmo = load_golden("token_input")
    assert_close(tf.cast(in_dtype(elmo)(WORDS), "float32"), elmo(WORDS), 0, 0.03)


def test_an_export_in_bfloat16_answers_in_float32(tmp_path):
    elmo = load_golden("tiny")
    folder = keras_elmo.export_saved_model(in_dtype(elmo), tmp_path / "tiny")
    default = tf.saved_model.load(folder).signatures["default"]
    found = default(tf.constant(["the cat sat"]))
    assert {value.dtype for name, value in found.items() if name != "lengths"} == {
        tf.float32
    }
    assert_close(found["elmo"], elmo(WORDS[:1]), 0, atol=0.03)


def test_recurrent_weights_alone_may_be_bfloat16(tmp_path):
    elmo = load_golden("tiny")
    copy = in_dtype(elmo, None, "bfloat16")
    for one, other in zip(elmo.variables, copy.variables, strict=True):
        recurrent = one.path.endswith(("recurrent_kernel", "projection_kernel"))
        assert other.dtype == ("bfloat16" if recurrent else "float32")
    assert copy.compute_dtype == "float32"
    for rows in (WORDS, WORDS[:1]):
        assert copy(rows).dtype == "float32"
        assert_close(copy(rows), elmo(rows), 0, atol=0.03)
    assert_close(in_dtype(copy, None, "float32")(WORDS), copy(WORDS), 0, atol=1e-5)


def test_bfloat16_recurrent_weights_are_saved_as_such_by_keras_alone(tmp_path):
    copy = in_dtype(load_golden("tiny"), None, "bfloat16")
    words = keras.Input((None,), dtype="string", name="words")
    keras.Model(words, copy(words)).save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert {variable.dtype for variable in again.variables} == {"float32", "bfloat16"}
    assert_close(again(tf.constant(WORDS)), copy(WORDS), 0, 0)
    copy.save_to_preset(tmp_path / "preset")
    again = keras_elmo.ElmoLayer.from_preset(tmp_path / "preset")
    assert {variable.dtype for variable in again.variables} == {"float32"}
    assert_close(again(WORDS), copy(WORDS), 0, atol=1e-5)


def test_a_tagger_with_bfloat16_recurrent_weights_is_exported(tmp_path):
    words = keras.Input((None,), dtype="string", name="words")
    tags = keras.layers.Dense(2, name="tags")(load_golden("tiny")(words))
    model = in_dtype(keras.Model(words, tags), None, "bfloat16")
    folder = keras_elmo.export_saved_model(model, tmp_path / "tagger")
    default = tf.saved_model.load(folder).signatures["serving_default"]
    for row in (["It works"], ["the cat sat"]):
        found = default(tf.constant(row))["tags"]
        assert_close(found, model(tf.constant([row[0].split()])), 0, atol=1e-5)
