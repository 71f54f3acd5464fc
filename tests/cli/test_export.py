"""The command `keras-elmo export`."""

import json
import sys

import keras
import pytest
import tensorflow as tf

from keras_elmo.saved_model.session import read_meta_graph
from keras_elmo.saved_model.warmup import read_warmup
from tests.helpers import GOLDEN, load_golden

TINY = GOLDEN / "tiny"
MODEL = f"{TINY / 'options.json'},{TINY / 'lm_weights.hdf5'}"


def test_it_prints_the_new_versions_folder(command, tmp_path):
    base = tmp_path / "models" / "tiny"
    quick = ["--batch-sizes", 0]
    first = command("export", MODEL, base, "--version", 3, *quick)
    assert first == (0, f"{base / '3'}\n", "")
    assert (base / "3" / "saved_model.pb").is_file()
    status, out, err = command("export", MODEL, base, "--json", *quick)
    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "model": MODEL,
        "folder": str(base / "4"),
        "version": 4,
    }
    status, out, err = command("export", MODEL, base, "--version", "4")
    message = f"keras-elmo: {base / '4'}: expected a new version, found one.\n"
    assert (status, out, err) == (1, "", message)


def test_a_base_that_is_a_file_is_one_line(command, tmp_path):
    base = tmp_path / "base"
    base.touch()
    status, out, err = command("export", MODEL, base)
    assert (status, out, err) == (1, "", f"keras-elmo: {base}: File exists\n")


def test_recurrent_weights_are_stored_in_the_dtype_that_is_asked_for(command, tmp_path):
    argv = ["--recurrent-dtype", "bfloat16", "--batch-sizes", 0]
    status, _, err = command("export", MODEL, tmp_path / "tiny", *argv)
    assert (status, err) == (0, "")
    variables = tmp_path / "tiny" / "1" / "variables" / "variables"
    dtypes = tf.train.load_checkpoint(str(variables)).get_variable_to_dtype_map()
    assert list(dtypes.values()).count(tf.bfloat16) == 2 * 2 * 2


@pytest.mark.slow
def test_options_reach_the_export(command, tmp_path):
    base = tmp_path / "tiny"
    (tmp_path / "words.txt").write_text("the\n")
    argv = ["--text", "--layers", "top", "--pooling", "max", "--batch-sizes", 1, 3]
    argv += ["--token-cache", tmp_path / "words.txt"]
    status, _, err = command("export", MODEL, base, *argv)
    assert (status, err) == (0, "")
    signatures = read_meta_graph(base / "1").signature_def
    assert set(signatures["text"].outputs) == {
        *("elmo", "default", "lengths", "words", "starts", "ends")
    }
    assert len(list(read_warmup(base / "1"))) == 2 * 6 + 2
    assert f"exported from: {MODEL}" in (base / "1" / "README.md").read_text()


@pytest.fixture
def tagger_file(tmp_path):
    words = keras.Input((None,), dtype="string", name="words")
    tags = keras.layers.Dense(2, name="tags")(load_golden("tiny")(words))
    keras.Model(words, tags).save(tmp_path / "tagger.keras")
    return tmp_path / "tagger.keras"


def test_labels_are_read_from_a_file(command, tmp_path, tagger_file):
    labels, base = tmp_path / "labels.txt", tmp_path / "tagger"
    labels.write_text("NOUN\nVERB\n")
    argv = ["export", tagger_file, base, "--labels", labels, "--batch-sizes", 0]
    assert command(*argv) == (0, f"{base / '1'}\n", "")
    assert set(read_meta_graph(base / "1").signature_def["tokens"].outputs) == {
        *("tags", "labels", "lengths")
    }


@pytest.mark.parametrize(
    "content, text",
    [
        (b"NOUN\n\nVERB\n", "labels.txt, line 2: expected a label, found none."),
        (b"\xff\n", "labels.txt: expected UTF-8, found: "),
        (b"A\nB\nC\n", "expected one output with 3 classes"),
        (None, "labels.txt: No such file or directory"),
    ],
)
def test_wrong_labels_are_one_line(command, tmp_path, tagger_file, content, text):
    labels = tmp_path / "labels.txt"
    if content is not None:
        labels.write_bytes(content)
    status, out, err = command(
        "export", tagger_file, tmp_path / "m", "--labels", labels
    )
    assert (status, out) == (1, "")
    assert err.count("\n") == 1 and text in err


def test_a_warning_is_told_at_the_end(command, tmp_path):
    words = keras.Input((None,), dtype="string", name="words")
    most = keras.ops.max(load_golden("tiny")(words), axis=1)
    keras.Model(words, {"most": most}).save(tmp_path / "m.keras")
    status, out, err = command("export", tmp_path / "m.keras", tmp_path / "m")
    assert (status, out) == (0, f"{tmp_path / 'm' / '1'}\n")
    assert err.startswith("keras-elmo: warning: ") and "these outputs: most." in err
    assert err.count("\n") == 1


def test_a_layer_is_written_as_onnx(command, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    model = GOLDEN / "tiny_nocnnproj_nohighway"
    pair = f"{model / 'options.json'},{model / 'lm_weights.hdf5'}"
    path = tmp_path / "tiny.onnx"
    argv = ["export", pair, path, "--format", "onnx", "--layers", "top", "--json"]
    status, out, err = command(*argv)
    assert (status, err) == (0, "")
    assert json.loads(out) == {"model": pair, "file": str(path)}
    names = {output.name for output in onnx.load(path).graph.output}
    assert names == {"elmo", "default", "lengths"}


@pytest.mark.parametrize(
    "option",
    [
        ["--text"],
        ["--version", 1],
        ["--labels", "x"],
        ["--batch-sizes", 0, 1],
        ["--token-cache", "x"],
        ["--dtype", "bfloat16"],
        ["--recurrent-dtype", "bfloat16"],
    ],
)
def test_an_option_of_the_other_format_is_one_line(command, tmp_path, option):
    argv = ["export", MODEL, tmp_path / "m.onnx", "--format", "onnx", *option]
    status, out, err = command(*argv)
    message = f"{MODEL}: {option[0]} is for a SavedModel, not for --format onnx."
    assert (status, out, err) == (1, "", f"keras-elmo: {message}\n")
    assert not (tmp_path / "m.onnx").exists()


def test_a_missing_extra_is_one_line(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    argv = ["export", MODEL, tmp_path / "m.onnx", "--format", "onnx"]
    status, out, err = command(*argv)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1 and 'pip install "keras_elmo[onnx]"' in err
