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
