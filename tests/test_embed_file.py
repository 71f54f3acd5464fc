"""Files of vectors: AI2's numbers, AllenNLP's layout, and what must not matter."""

import errno
import io
import json
import os

import h5py
import keras
import numpy as np
import pytest

import keras_elmo
from keras_elmo.embed_file import embed_file, read_lines
from keras_elmo.errors import FormatError
from tests.helpers import GOLDEN, assert_close, largest_file, load_golden

TINY = GOLDEN / "tiny"
EXPECTED = np.load(TINY / "expected.npz")
BATCHES = json.loads((GOLDEN / "inference_sentences.json").read_text())["batches"]
SENTENCES = [words for batch in BATCHES for words in batch]


@pytest.fixture(scope="module")
def elmo():
    elmo = load_golden("tiny")
    elmo.mixes[0].raw_weights.assign(EXPECTED["s"])
    elmo.mixes[0].gamma.assign(EXPECTED["gamma"])
    return elmo


def expected(name):
    """AI2's arrays of the sentences one by one, without padding."""
    for k, batch in enumerate(BATCHES):
        for words, array in zip(batch, EXPECTED[f"stateless_{k}_{name}"], strict=True):
            yield array[..., : len(words), :]


def read(path):
    with h5py.File(path) as file:
        names = sorted(set(file) - {"sentence_to_index"}, key=int)
        assert names == [str(i) for i in range(len(names))]
        assert all(file[name].dtype == "float32" for name in names)
        return [file[name][...] for name in names]


@pytest.mark.parametrize("batch_tokens", [1, 40, 2048])
def test_all_layers_are_ai2s(batch_tokens, elmo, tmp_path):
    embed_file(elmo, SENTENCES, tmp_path / "out.hdf5", batch_tokens=batch_tokens)
    assert_close(
        read(tmp_path / "out.hdf5"), list(expected("lm_embeddings")), 0, atol=2e-5
    )


def test_one_layer_is_ai2s(elmo, tmp_path):
    path = tmp_path / "out.hdf5"
    layers = list(expected("lm_embeddings"))
    for name, want in [
        ("top", [array[-1] for array in layers]),
        ("average", [array.mean(axis=0) for array in layers]),
        ("mix", list(expected("elmo_plain"))),
    ]:
        facts = embed_file(elmo, SENTENCES, path, name)
        assert facts["layers"] == name
        assert_close(read(path), want, 0, atol=2e-5)


def test_the_first_line_is_that_of_bilms_own_file(elmo, tmp_path):
    # bilm goes on from the state of the line before; the first has none.
    with open(TINY / "dump_sentences.txt", "rb") as file:
        embed_file(elmo, read_lines(file), tmp_path / "out.hdf5")
    with h5py.File(TINY / "dump_embeddings.hdf5") as bilm:
        ours = read(tmp_path / "out.hdf5")
        assert [x.shape for x in ours] == [bilm[n].shape for n in sorted(bilm)]
        assert_close(ours[0], bilm["0"][...], 0, atol=2e-5)


def test_the_layout_is_allennlps(elmo, tmp_path):
    sentences = [["a", "b"], [], ["c"], ["a", "b"]]
    facts = embed_file(elmo, iter(sentences), tmp_path / "out.hdf5")
    assert (facts["sentences"], facts["tokens"], facts["width"]) == (4, 5, 28)
    with h5py.File(tmp_path / "out.hdf5") as file:
        assert set(file) == {"0", "1", "2", "3", "sentence_to_index"}
        assert file["1"].shape == (3, 0, 28)
        index = file["sentence_to_index"]
        assert index.shape == (1,)
        assert h5py.check_string_dtype(index.dtype).length is None
        assert json.loads(index[0]) == {"a b": "3", "": "1", "c": "2"}
    arrays = read(tmp_path / "out.hdf5")
    assert_close(arrays[0], arrays[3])


@pytest.mark.parametrize("layers, shape", [("all", (3, 0, 28)), ("mix", (0, 28))])
def test_a_text_without_words(layers, shape, elmo, tmp_path):
    facts = embed_file(elmo, [[], []], tmp_path / "out.hdf5", layers)
    assert (facts["sentences"], facts["tokens"]) == (2, 0)
    assert [array.shape for array in read(tmp_path / "out.hdf5")] == [shape] * 2
    assert embed_file(elmo, [], tmp_path / "out.hdf5", layers)["sentences"] == 0
    assert read(tmp_path / "out.hdf5") == []


def test_neither_state_nor_dropout_nor_boundaries_nor_dtype_take_part(elmo, tmp_path):
    other = load_golden(
        "tiny", stateful=True, dropout=0.9, keep_sentence_boundaries=True
    )
    other(np.array([["some", "state"]]))
    states = keras.tree.flatten(other._state.variables)
    before = [state.numpy() for state in states]
    assert all(np.any(state[0]) for state in before)
    embed_file(other, SENTENCES, tmp_path / "out.hdf5")
    assert_close([state.numpy() for state in states], before, 0, 0)
    assert_close(
        read(tmp_path / "out.hdf5"), list(expected("lm_embeddings")), 0, atol=2e-5
    )
    embed_file(
        load_golden("tiny", dtype="mixed_bfloat16"), [["a"]], tmp_path / "out.hdf5"
    )
    assert read(tmp_path / "out.hdf5")[0].shape == (3, 1, 28)


def test_a_layer_with_a_vocabulary(tmp_path):
    elmo = keras_elmo.load_ai2(
        GOLDEN / "token_input" / "options.json",
        GOLDEN / "token_input" / "lm_weights.hdf5",
        embedding_file=GOLDEN / "token_input" / "vocab_embedding.hdf5",
        vocabulary_file=GOLDEN / "token_input" / "vocab.txt",
    )
    embed_file(elmo, SENTENCES[:1], tmp_path / "out.hdf5")
    want = elmo.all_layers(np.array(SENTENCES[:1]))[0]
    assert_close(read(tmp_path / "out.hdf5")[0], want)


@pytest.mark.slow
def test_many_files_are_no_reason_for_a_warning(elmo, tmp_path, caplog):
    for i in range(8):
        embed_file(elmo, [["a"] * i] * (i + 1), tmp_path / "out.hdf5")
    assert not caplog.records


def test_sentences_are_read_as_they_are_needed(elmo, tmp_path):
    taken, ahead, told = 0, [], []

    def sentences():
        nonlocal taken
        for i in range(200):
            taken += 1
            yield ["word"] * (i % 3)

    def progress(done, tokens):
        ahead.append(taken - done)
        told.append((done, tokens))

    path = tmp_path / "out.hdf5"
    embed_file(elmo, sentences(), path, batch_tokens=1, progress=progress)
    assert taken == 200 and 0 <= min(ahead) <= max(ahead) < 64
    assert told == sorted(told) and told[-1] == (200, 199)


@pytest.mark.slow
def test_a_line_of_ten_thousand_words(elmo, tmp_path):
    line = b"one " * 10_000 + b"\nshort\n"
    facts = embed_file(elmo, read_lines(io.BytesIO(line)), tmp_path / "out.hdf5")
    assert facts["tokens"] == 10_001
    long, short = read(tmp_path / "out.hdf5")
    assert long.shape == (3, 10_000, 28)
    assert np.isfinite(long).all()
    assert_close(short, elmo.all_layers(np.array([["short"]]))[0])


def test_a_stopped_run_leaves_the_old_file_and_nothing_else(elmo, tmp_path):
    path = tmp_path / "out.hdf5"
    path.write_bytes(b"old")

    def sentences():
        yield from [["a"]] * 100
        raise FormatError("text: line 101: expected UTF-8.")

    with pytest.raises(FormatError, match="line 101"):
        embed_file(elmo, sentences(), path, batch_tokens=1)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name, error",
    [
        ("absent/out.hdf5", FileNotFoundError),
        ("file/out.hdf5", NotADirectoryError),
        (".", IsADirectoryError),
        ("x" * 300, OSError),
    ],
)
def test_a_file_that_cannot_be_written_is_named_at_once(name, error, elmo, tmp_path):
    (tmp_path / "file").touch()

    def sentences():
        pytest.fail("a sentence was read")
        yield

    with pytest.raises(error) as caught:
        embed_file(elmo, sentences(), tmp_path / name)
    assert caught.value.filename == os.fspath(tmp_path / name)


def test_a_full_disk_ends_it_soon_and_leaves_the_old_file(elmo, tmp_path):
    path, done = tmp_path / "out.hdf5", []
    path.write_bytes(b"old")
    sentences = [["so", "it", "goes"]] * 3000
    with largest_file(50_000), pytest.raises(OSError) as caught:
        embed_file(elmo, sentences, path, "all", 256, lambda *p: done.append(p))
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert len(done) < 3
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_folder_without_permission_is_refused(elmo, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        embed_file(elmo, [["a"]], tmp_path / "out.hdf5")


def test_wrong_arguments(elmo, tmp_path):
    with pytest.raises(ValueError, match="layers: expected one of .* 'both'"):
        embed_file(elmo, [], tmp_path / "out.hdf5", layers="both")
    with pytest.raises(ValueError, match="remembered_words: expected .* received -1"):
        keras_elmo.embed_sentences(elmo, [["a"]], remembered_words=-1)
    with pytest.raises(ValueError, match="batch_tokens: expected .* received 0"):
        embed_file(elmo, [], tmp_path / "out.hdf5", batch_tokens=0)
    assert list(tmp_path.iterdir()) == []


def test_lines_are_split_at_white_space_and_end_with_newlines_alone():
    text = " a  b\tc\r\n\n\u2028d\x85e\n\nlast".encode()
    want = [["a", "b", "c"], [], ["d", "e"], [], ["last"]]
    assert list(read_lines(io.BytesIO(text))) == want
    assert list(read_lines(io.BytesIO(b""))) == []


def test_raw_lines_keep_their_places():
    lines = ["Well, yes."] * 300 + [""] + ["Now!"]
    found = list(read_lines(io.BytesIO("\n".join(lines).encode()), raw=True))
    assert found == [["Well", ",", "yes", "."]] * 300 + [[], ["Now", "!"]]


def test_a_wrong_byte_names_file_and_line(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"a\n\nb \xc3\n")
    with open(path, "rb") as file:
        lines = read_lines(file)
        assert [next(lines), next(lines)] == [["a"], []]
        with pytest.raises(FormatError, match="text.txt: line 3: expected UTF-8"):
            next(lines)
