"""The command `keras-elmo embed`."""

import io
import json
import sys

import h5py
import numpy as np
import pytest

import keras_elmo
from keras_elmo import embedding
from tests.helpers import GOLDEN, assert_close

TINY = GOLDEN / "tiny"
MODEL = f"{TINY / 'options.json'},{TINY / 'lm_weights.hdf5'}"
TEXT = "the cat sat\n\nZürich , the 日本語 of   it\r\nthe cat sat\n"


@pytest.fixture(scope="module")
def elmo():
    return keras_elmo.load_ai2(TINY / "options.json", TINY / "lm_weights.hdf5")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT.encode())
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.hdf5"


def read(path):
    with h5py.File(path) as file:
        arrays = {name: data[...] for name, data in file.items()}
        index = json.loads(arrays.pop("sentence_to_index")[0])
        return arrays, index


def test_each_line_has_its_own_vectors(command, text, out, elmo):
    status, stdout, stderr = command("embed", text, "-o", out, "--model", MODEL)
    assert (status, stderr) == (0, "")
    assert stdout.startswith(
        f"{out}: 4 sentences, 12 tokens (layers: all, vectors of 28)\n"
    )
    assert stdout.count("\n") == 2
    arrays, index = read(out)
    assert set(arrays) == {"0", "1", "2", "3"}
    for number, line in enumerate(TEXT.split("\n")[:-1]):
        words = line.split()
        assert arrays[str(number)].shape == (3, len(words), 28)
        if words:
            expected = elmo.all_layers(np.array([words]))[0]
            assert_close(arrays[str(number)], expected)
    assert index == {
        "the cat sat": "3",
        "": "1",
        "Zürich , the 日本語 of it": "2",
    }


def test_json_is_one_object(command, text, out):
    argv = ["--model", MODEL, "--layers", "mix", "--batch-tokens", "20", "--json"]
    status, stdout, stderr = command("embed", text, "-o", out, *argv)
    assert (status, stderr) == (0, "")
    facts = json.loads(stdout)
    assert (facts["model"], facts["out"]) == (MODEL, str(out))
    assert (facts["sentences"], facts["tokens"], facts["width"]) == (4, 12, 28)
    assert facts["layers"] == "mix"
    assert facts["tokens_per_second"] == facts["tokens"] / facts["seconds"]
    assert facts["peak_memory_mib"] > 1
    assert read(out)[0]["2"].shape == (6, 28)


def test_a_token_cache_changes_no_vector(command, text, out, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("<S>\ncat\n\nZürich\nzebra\n", "utf-8")
    found = []
    for more in ([], ["--token-cache", words]):
        assert command("embed", text, "-o", out, "--model", MODEL, *more)[0] == 0
        found.append(read(out)[0])
    for name in "0123":
        assert_close(found[1][name], found[0][name], 0, 2e-6)
    words.write_text("\n\n", "utf-8")
    status, _, err = command("embed", text, "-o", out, "--token-cache", words)
    assert status == 1 and "words.txt: ElmoLayer.cache_tokens: expected words" in err


def test_standard_input(command, out, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"hello world\n\nso"), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", stdin)
    assert command("embed", "-", "-o", out, "--model", MODEL)[0] == 0
    arrays, index = read(out)
    assert [arrays[name].shape[1] for name in "012"] == [2, 0, 1]
    assert index == {"hello world": "0", "": "1", "so": "2"}


def test_raw_text_is_tokenised(command, tmp_path, out, elmo):
    path = tmp_path / "raw.txt"
    path.write_text("Don't, it's näive.\n\n \nNow!", "utf-8")
    status, *_ = command("embed", path, "-o", out, "--model", MODEL, "--raw")
    assert status == 0
    arrays, index = read(out)
    words = ["Don", "'", "t", ",", "it", "'", "s", "näive", "."]
    assert index == {" ".join(words): "0", "": "2", "Now !": "3"}
    assert_close(arrays["0"], elmo.all_layers(np.array([words]))[0])
    assert [arrays[name].shape for name in "12"] == [(3, 0, 28)] * 2


def test_a_keras_files_layer_is_used(command, text, out, tmp_path, elmo):
    import keras

    inputs = keras.Input((None,), dtype="string")
    keras.Model(inputs, elmo(inputs)).save(tmp_path / "model.keras")
    argv = ["embed", text, "-o", out, "--model", tmp_path / "model.keras"]
    assert command(*argv)[0] == 0
    assert_close(
        read(out)[0]["0"], elmo.all_layers(np.array([["the", "cat", "sat"]]))[0]
    )


def test_a_wrong_byte_names_file_and_line(command, text, out, tmp_path):
    text.write_bytes(b"good\nbad \xff\n")
    for argv in (["--model", MODEL], ["--model", MODEL, "--raw"]):
        status, stdout, stderr = command("embed", text, "-o", out, *argv)
        assert (status, stdout) == (1, "")
        assert stderr.startswith(f"keras-elmo: {text}: line 2: expected UTF-8, found: ")
        assert stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == [text]


@pytest.mark.parametrize(
    "file, out, model, message",
    [
        ("absent.txt", "out.hdf5", MODEL, "absent.txt: No such file or directory"),
        (".", "out.hdf5", MODEL, ".: Is a directory"),
        ("text.txt", "absent/out.hdf5", MODEL, "absent/out.hdf5: No such file"),
        ("text.txt", "text.txt/out.hdf5", MODEL, "text.txt/out.hdf5: Not a directory"),
        ("text.txt", ".", MODEL, ".: Is a directory"),
        ("text.txt", "out.hdf5", "absent", "absent: expected a preset's name"),
        ("text.txt", "out.hdf5", "text.txt", "text.txt: expected a preset's name"),
    ],
)
def test_expected_errors_are_one_line(
    file, out, model, message, command, text, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    status, stdout, stderr = command("embed", file, "-o", out, "--model", model)
    assert (status, stdout) == (1, "")
    assert stderr.startswith(f"keras-elmo: {message}")
    assert stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [text]


@pytest.mark.parametrize(
    "error, status", [(KeyboardInterrupt(), 130), (OSError(28, "No space left"), 1)]
)
def test_stopped_in_the_middle_it_leaves_no_file(
    error, status, command, text, out, tmp_path, monkeypatch
):
    def stopped(sentences):
        raise error

    monkeypatch.setattr(embedding, "pad_sentences", stopped)
    assert command("embed", text, "-o", out, "--model", MODEL)[0] == status
    assert list(tmp_path.iterdir()) == [text]


def test_a_terminal_gets_a_bar(command, text, out, terminal):
    shown = terminal()
    status, stdout, _ = command("embed", text, "-o", out, "--model", MODEL)
    assert status == 0
    assert "4 sentences, 12 tokens" in shown()
    assert stdout.count("\n") == 2
