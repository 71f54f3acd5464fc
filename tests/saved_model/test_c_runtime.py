"""Exports run in TensorFlow's C library, in a process without Python's TensorFlow.

No more than that is shown: they load and run in the C runtimes 2.20 and 2.21, on a CPU.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from tests.helpers import load_golden
from tests.saved_model import feeds as example
from tests.saved_model.c_runtime import pack, unpack
from tests.saved_model.conftest import TEXT_KERNELS, Runtime

HERE = pathlib.Path(__file__).parent
WHEEL = pathlib.Path(tf.__file__).parent
INVALID_ARGUMENT = 3
NOT_FOUND = 5
UNKNOWN = "Op type not registered '{}'"


@pytest.fixture(scope="module")
def installed():
    package = importlib.util.find_spec("tensorflow_text").origin
    folder = pathlib.Path(package).parent / "python" / "ops"
    return Runtime(tf.__version__, WHEEL, [folder / name for name in TEXT_KERNELS])


def run_in_c(export, feeds, folder, runtime, kernels=()):
    """Outputs by signature and name; where the library refuses, the error."""
    flat = {f"{s}/{name}": x for s, fed in feeds.items() for name, x in fed.items()}
    np.savez(folder / "feeds.npz", **pack(flat))
    job = {
        "libraries": str(runtime.libraries),
        "protos": str(WHEEL),
        "kernels": [str(path) for path in kernels],
        "export": str(export),
        "feeds": str(folder / "feeds.npz"),
        "results": str(folder / "results.npz"),
    }
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    done = subprocess.run(
        [sys.executable, HERE / "c_runtime.py", folder / "job.json"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["python"] == []
    assert report["version"] == runtime.version
    if "error" in report:
        return report["error"]
    outputs = {name: {} for name in report["signatures"]}
    with np.load(folder / "results.npz") as stored:
        flat = unpack({name: stored[name] for name in stored.files})
    for name, value in flat.items():
        signature, output = name.split("/", 1)
        outputs[signature][output] = value
    return outputs


def load(name):
    preset = name == "elmo_tiny_en"
    return keras_elmo.ElmoLayer.from_preset(name) if preset else load_golden(name)


class Exported:
    """A model, its export, feeds for it, and what Python's TensorFlow answers."""

    def __init__(self, model, folder):
        self.model = model
        self.folder = folder
        self.feeds = example.all_feeds(self.folder)
        self.expected = example.run_in_python(self.folder, self.feeds)


@pytest.fixture(
    scope="module",
    params=[
        "tiny",
        pytest.param("token_input", marks=pytest.mark.slow),
        pytest.param("elmo_tiny_en", marks=pytest.mark.slow),
    ],
)
def exported(request, elmo, elmo_folder, tmp_path_factory):
    if request.param == "tiny":
        return Exported(elmo, elmo_folder)
    model = load(request.param)
    base = tmp_path_factory.mktemp("models") / "m"
    return Exported(model, keras_elmo.export_saved_model(model, base))


@pytest.fixture(scope="module")
def exported_with_text(elmo, tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "m"
    return Exported(elmo, keras_elmo.export_saved_model(elmo, base, text=True))


def assert_runs(exported, folder, runtime, kernels=()):
    outputs = run_in_c(exported.folder, exported.feeds, folder, runtime, kernels)
    example.assert_same(outputs, exported.expected)
    return outputs


def assert_answers_as_the_layer(outputs, exported):
    """To the last bit, but for the mean, which NumPy adds up in another order."""
    fed = exported.feeds["tokens"]
    words, lengths = tf.constant(fed["tokens"]), tf.constant(fed["sequence_len"])
    layers = exported.model.all_layers(words, lengths).numpy()
    mixed = exported.model(words, lengths=lengths).numpy()
    found = outputs["tokens"]
    np.testing.assert_array_equal(found["elmo"], mixed)
    width = layers.shape[-1] // 2
    np.testing.assert_array_equal(found["word_emb"], layers[:, 0, :, :width])
    for i in range(1, layers.shape[1]):
        np.testing.assert_array_equal(found[f"lstm_outputs{i}"], layers[:, i])
    count = np.maximum(fed["sequence_len"], 1)[:, None]
    np.testing.assert_allclose(found["default"], mixed.sum(axis=1) / count, atol=1e-6)


def test_every_signature_answers_as_keras_does(exported, installed, tmp_path):
    outputs = assert_runs(exported, tmp_path, installed)
    assert {"default", "tokens", "serving_default"} <= set(outputs)
    assert_answers_as_the_layer(outputs, exported)


@pytest.mark.slow
def test_every_signature_runs_in_2_20(exported, runtime_2_20, tmp_path):
    outputs = assert_runs(exported, tmp_path, runtime_2_20)
    assert_answers_as_the_layer(outputs, exported)


def assert_needs_the_text_kernels(exported, folder, runtime):
    for kernels, missing in (
        ((), "UnicodeScriptTokenizeWithOffsets"),
        (runtime.text_kernels[:1], "RegexSplitWithOffsets"),
    ):
        error = run_in_c(exported.folder, exported.feeds, folder, runtime, kernels)
        assert error["code"] == NOT_FOUND
        assert UNKNOWN.format(missing) in error["message"]
    outputs = assert_runs(exported, folder, runtime, runtime.text_kernels)
    assert {"words", "starts", "ends", "elmo"} <= set(outputs["text"])
    assert outputs["text"]["words"][0, :2].tolist() == [b"The", b"cat"]


@pytest.mark.slow
def test_raw_text_runs_with_the_text_kernels_alone(
    exported_with_text, installed, tmp_path
):
    assert_needs_the_text_kernels(exported_with_text, tmp_path, installed)


@pytest.mark.slow
def test_raw_text_runs_with_the_text_kernels_of_2_20(
    exported_with_text, runtime_2_20, tmp_path
):
    assert_needs_the_text_kernels(exported_with_text, tmp_path, runtime_2_20)


def downstream_model(kind):
    words = keras.Input((None,), dtype="string", name="words")
    vectors = load("tiny")(words)
    if kind == "tagger":
        scores = keras.layers.Dense(3, activation="softmax", name="tags")(vectors)
    else:
        pooled = keras.layers.GlobalAveragePooling1D()(vectors)
        size = 3 if kind == "classifier" else 1
        scores = keras.layers.Dense(size, name="scores")(pooled)
    return keras.Model(words, scores)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tagger", "classifier", "regressor"])
def test_models_around_a_layer_run_in_both(kind, installed, runtime_2_20, tmp_path):
    labels = None if kind == "regressor" else ["A", "B", "C"]
    model = downstream_model(kind)
    folder = keras_elmo.export_saved_model(model, tmp_path / "m", labels=labels)
    exported = Exported(model, folder)
    for runtime in (installed, runtime_2_20):
        outputs = assert_runs(exported, tmp_path, runtime)
    fed = exported.feeds["tokens"]
    real = np.arange(fed["tokens"].shape[1]) < fed["sequence_len"][:, None]
    words = tf.constant(np.where(real, fed["tokens"], b""))
    expected = exported.model(words).numpy()
    if kind == "tagger":
        expected = expected * real[:, :, None]
    name = exported.model.layers[-1].name
    np.testing.assert_array_equal(outputs["tokens"][name], expected)


@pytest.mark.parametrize(
    "wrong, text",
    [
        (
            {"tokens": np.array([b"a", b"b"], object)},
            "[2] is not compatible with expected shape [?,?]",
        ),
        (
            {"sequence_len": np.ones((2, 1), "int32")},
            "[2,1] is not compatible with expected shape [?]",
        ),
        (
            {"sequence_len": np.ones(3, "int32")},
            "tokens and sequence_len: expected the same number of rows.",
        ),
    ],
    ids=["words", "lengths", "rows"],
)
def test_the_graph_checks_ranks_and_rows(elmo_folder, installed, tmp_path, wrong, text):
    fed = {"tokens": np.array([[b"a"], [b"b"]], object)}
    fed["sequence_len"] = np.array([1, 1], "int32")
    feeds = example.all_feeds(elmo_folder) | {"tokens": fed | wrong}
    error = run_in_c(elmo_folder, feeds, tmp_path, installed)
    assert error["code"] == INVALID_ARGUMENT
    assert text in error["message"]


def test_a_missing_export_is_told_with_its_path(installed, tmp_path):
    error = run_in_c(tmp_path / "none", {}, tmp_path, installed)
    assert error["code"] == NOT_FOUND
    assert str(tmp_path / "none") in error["message"]


def test_strings_survive_their_packing():
    strings = np.array([[b"", b"a\0"], [b"\xc3\xbc", b"\0"]], object)
    ints = np.arange(3)
    packed = pack({"s": strings, "none": strings[:0], "i": ints})
    assert all(array.dtype != object for array in packed.values())
    back = unpack(packed)
    assert sorted(back) == ["i", "none", "s"]
    np.testing.assert_array_equal(back["s"], strings)
    assert back["none"].shape == (0, 2)
    np.testing.assert_array_equal(back["i"], ints)
