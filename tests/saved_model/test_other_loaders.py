"""Exports in TensorFlow's other loaders: a Session, `saved_model_cli`, Keras."""

import pathlib
import subprocess
import sysconfig

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.saved_model import feeds as example

# The first parameters of the functions behind signatures.
FIRST = ("strings", "tokens", "char_ids", "word_ids", "text")


@pytest.fixture(scope="module")
def export(elmo_folder):
    return elmo_folder


@pytest.fixture(scope="module")
def feeds(export):
    return example.all_feeds(export)


@pytest.fixture(scope="module")
def expected(export, feeds):
    return example.run_in_python(export, feeds)


def test_a_session_runs_every_signature(export, feeds, expected):
    results = {}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], export)
        for name, inputs in feeds.items():
            signature = meta_graph.signature_def[name]
            results[name] = session.run(
                {key: info.name for key, info in signature.outputs.items()},
                {signature.inputs[key].name: value for key, value in inputs.items()},
            )
    example.assert_same(results, expected)


def test_keras_reloads_every_signature(export, feeds, expected):
    for name, inputs in feeds.items():
        layer = keras.layers.TFSMLayer(export, call_endpoint=name)
        tensors = {key: tf.constant(value) for key, value in inputs.items()}
        # The layer hands on its first argument by place, the others by name.
        first = next(key for key in FIRST if key in tensors)
        outputs = layer(tensors.pop(first), **tensors)
        found = {key: value.numpy() for key, value in outputs.items()}
        example.assert_same({name: found}, {name: expected[name]})


def test_a_reloaded_signature_works_in_a_functional_model(export, feeds, expected):
    layer = keras.layers.TFSMLayer(export, call_endpoint="tokens")
    words = keras.Input((None,), dtype="string", name="words")
    lengths = keras.Input((), dtype="int32", name="lengths")
    outputs = layer(words, sequence_len=lengths)
    model = keras.Model([words, lengths], outputs["elmo"])
    inputs = [tf.constant(feeds["tokens"][key]) for key in ("tokens", "sequence_len")]
    np.testing.assert_array_equal(model(inputs), expected["tokens"]["elmo"])


def saved_model_cli(*arguments):
    """What TensorFlow's own command prints."""
    command = pathlib.Path(sysconfig.get_path("scripts")) / "saved_model_cli"
    done = subprocess.run([command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_saved_model_cli_shows_every_signature(export):
    shown = saved_model_cli("show", "--dir", export, "--all")
    for name, signature in example.client_signatures(export).items():
        assert f"signature_def['{name}']" in shown
        for key in signature.inputs:
            assert f"inputs['{key}'] tensor_info" in shown
        for key in signature.outputs:
            assert f"outputs['{key}'] tensor_info" in shown
        assert f"Method name is: {signature.method_name}" in shown


@pytest.mark.slow
def test_saved_model_cli_runs_every_signature(export, feeds, expected, tmp_path):
    # Files for what is no string; strings as the expressions that the command takes.
    for name, inputs in feeds.items():
        given, expressions = [], []
        for key, value in inputs.items():
            if value.dtype == object:
                expressions.append(f"{key}={value.tolist()!r}")
            else:
                np.save(tmp_path / f"{key}.npy", value)
                given.append(f"{key}={tmp_path / key}.npy")
        options = ["--dir", export, "--tag_set", "serve", "--signature_def", name]
        if given:
            options += ["--inputs", ";".join(given)]
        if expressions:
            options += ["--input_exprs", ";".join(expressions)]
        folder = tmp_path / name
        saved_model_cli("run", *options, "--outdir", str(folder))
        results = {path.stem: np.load(path) for path in folder.iterdir()}
        for key, value in expected[name].items():
            np.testing.assert_array_equal(results[key], value)
