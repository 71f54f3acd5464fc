"""Every form in which a model may be named, and what is none."""

import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.ai2.checkpoint import BilmCheckpoint
from keras_elmo.ai2.run_checkpoint import RunCheckpoint
from keras_elmo.resolver import load_elmo, load_model, model_name, read_checkpoint
from tests.ai2.checkpoint_files import (
    LM,
    bilms_variables,
    copy_of_bilms,
    word_model,
    write_bilm_folder,
    write_dump,
    write_run_checkpoint,
)
from tests.helpers import GOLDEN

TINY = GOLDEN / "tiny"
WORDS = np.array([["The", "cat", "sat"]])


@pytest.fixture(scope="module")
def expected():
    elmo = keras_elmo.load_ai2(TINY / "options.json", TINY / "lm_weights.hdf5")
    return elmo, elmo.all_layers(WORDS)


def nlpl_folder(tmp_path):
    """As the NLPL repository packs a model: other names, other files beside."""
    folder = tmp_path / "144"
    folder.mkdir()
    shutil.copy(TINY / "options.json", folder)
    shutil.copy(TINY / "lm_weights.hdf5", folder / "model.hdf5")
    shutil.copy(TINY / "vocab.txt", folder)
    (folder / "meta.json").write_text("{}")
    (folder / "README").write_text("a model")
    return folder


def nlpl_archive(tmp_path, inside=""):
    folder = nlpl_folder(tmp_path)
    path = tmp_path / "144.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"{inside}{file.name}")
    return path


def preset_folder(tmp_path, elmo):
    elmo.save_to_preset(tmp_path / "preset")
    return tmp_path / "preset"


def keras_file(tmp_path, elmo):
    words = keras.Input((None,), dtype="string")
    keras.Model(words, elmo(words)).save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


@pytest.mark.parametrize(
    "make",
    [
        lambda tmp, elmo: f"{TINY}/options.json,{TINY}/lm_weights.hdf5",
        lambda tmp, elmo: nlpl_folder(tmp),
        lambda tmp, elmo: nlpl_archive(tmp),
        lambda tmp, elmo: nlpl_archive(tmp, "144/"),
        preset_folder,
        keras_file,
    ],
    ids=["pair", "folder", "archive", "archive with folder", "preset", "keras"],
)
def test_all_forms_lead_to_the_same_vectors(make, tmp_path, expected):
    elmo, layers = expected
    found = load_elmo(make(tmp_path, elmo))
    np.testing.assert_array_equal(found.all_layers(WORDS), layers)


def unfinished_run(tmp_path, options, variables):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    write_run_checkpoint(folder / "last.npz", options, variables)
    return folder


CHECKPOINTS = {
    "bilm's folder": lambda tmp, *model: write_bilm_folder(tmp / "bilm", *model),
    "run": unfinished_run,
    "npz": lambda tmp, *model: write_run_checkpoint(tmp / "best.npz", *model),
}


@pytest.mark.parametrize("make", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_checkpoint_is_the_model_that_bilm_dumps_of_it(make, tmp_path):
    model = bilms_variables()
    dumped = load_elmo(write_dump(tmp_path / "dump", *model))
    found = load_elmo(make(tmp_path, *model))
    words = np.array([["the", "naïve", "cat"]])
    np.testing.assert_array_equal(found.all_layers(words), dumped.all_layers(words))
    assert found.max_chars_per_token == 12


@pytest.mark.parametrize("shared", [False, True], ids=["own softmax", "shared"])
@pytest.mark.parametrize("make", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_checkpoint_of_word_input_needs_its_words(make, shared, tmp_path):
    model = word_model(shared)
    source = make(tmp_path, *model)
    vocabulary = (source if source.is_dir() else tmp_path) / "vocab.txt"
    with pytest.raises(keras_elmo.FormatError, match="vocab.txt: expected the words"):
        load_elmo(source)
    shutil.copy(LM / "vocab.txt", vocabulary)
    dump = write_dump(tmp_path / "dump", *model)
    shutil.copy(LM / "vocab.txt", dump)
    words = np.array([["the", "cat", "zyzzyva"]])
    np.testing.assert_array_equal(
        load_elmo(source).all_layers(words), load_elmo(dump).all_layers(words)
    )
    vocabulary.write_text("<S>\n</S>\n<UNK>\n")
    message = r"embedding: expected shape \(3, 6\) \(words in the vocabulary.*\(25, 6\)"
    with pytest.raises(keras_elmo.FormatError, match=message):
        load_elmo(source)


def test_of_a_finished_run_it_is_the_weights_and_not_the_last_checkpoint(tmp_path):
    options, variables = bilms_variables()
    folder = unfinished_run(tmp_path, options, variables)
    assert isinstance(read_checkpoint(folder), RunCheckpoint)
    for path in write_dump(tmp_path / "dump", options, variables).iterdir():
        shutil.copy(path, folder)
    (folder / "softmax.hdf5").write_bytes(b"not looked at")
    (folder / "last.npz").write_bytes(b"not looked at")
    assert read_checkpoint(folder) is None
    assert load_elmo(folder).bilm.num_layers == 2


def test_of_bilms_folder_with_one_dump_in_it_it_is_the_dump(tmp_path, expected):
    folder = copy_of_bilms(tmp_path)
    assert isinstance(read_checkpoint(folder), BilmCheckpoint)
    for name in ("options.json", "lm_weights.hdf5"):
        shutil.copy(TINY / name, folder)
    assert read_checkpoint(folder) is None
    elmo, layers = expected
    np.testing.assert_array_equal(load_elmo(folder).all_layers(WORDS), layers)
    # Of two it is neither.
    shutil.copy(folder / "lm_weights.hdf5", folder / "older.hdf5")
    assert isinstance(read_checkpoint(folder), BilmCheckpoint)


def test_other_forms_are_no_checkpoints(tmp_path):
    assert read_checkpoint("elmo_tiny_en") is None
    assert read_checkpoint("no_such_model.npz") is None
    assert read_checkpoint(nlpl_archive(tmp_path)) is None


def test_a_presets_name_is_known():
    elmo = load_model("elmo_tiny_en")
    assert elmo(WORDS).shape == (1, 3, 256)


def test_a_keras_file_gives_its_model(tmp_path, expected):
    model = load_model(keras_file(tmp_path, expected[0]))
    assert isinstance(model, keras.Model)
    assert model(tf.constant(WORDS)).shape == (1, 3, 28)


def test_a_path_in_an_archive_leads_nowhere_else(tmp_path, expected):
    path = nlpl_archive(tmp_path, "../../")
    load_elmo(path)
    assert not (tmp_path.parent / "options.json").exists()


def write(name, content=b"text"):
    def make(tmp_path):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


def bad_archive(tmp_path):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(TINY / "options.json", "options.json")
        archive.writestr("model.hdf5", b"no HDF5")
    return path


def run_without_checkpoint(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    return tmp_path


def checkpoint_without_embedding(tmp_path):
    options, variables = bilms_variables()
    del variables["lm/char_embed"]
    return write_run_checkpoint(tmp_path / "last.npz", options, variables)


def plain_keras_file(tmp_path):
    words = keras.Input((3,))
    keras.Model(words, keras.layers.Dense(2)(words)).save(tmp_path / "plain.keras")
    return tmp_path / "plain.keras"


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda tmp: "no_such_preset", FileNotFoundError, "expected a preset's name"),
        (lambda tmp: tmp, keras_elmo.FormatError, "expected options.json and one"),
        (write("model.txt"), keras_elmo.FormatError, "found another file"),
        (write("model.keras"), keras_elmo.FormatError, "expected a whole ZIP archive"),
        (bad_archive, keras_elmo.FormatError, "bad.zip/model.hdf5: expected a whole"),
        (plain_keras_file, keras_elmo.FormatError, "with an ElmoLayer, found none"),
        (lambda tmp: "a.json,b.hdf5", FileNotFoundError, "a.json"),
        (
            run_without_checkpoint,
            keras_elmo.FormatError,
            "expected last.npz .the run is not finished., found no checkpoint yet",
        ),
        (
            write("last.npz"),
            keras_elmo.FormatError,
            r"last.npz: expected a whole \.npz file",
        ),
        (
            write("checkpoint"),
            keras_elmo.FormatError,
            "checkpoint: expected a preset's name",
        ),
        (
            checkpoint_without_embedding,
            keras_elmo.FormatError,
            r"last.npz: char_embed: expected shape \(261, 4\).*, found nothing",
        ),
    ],
)
def test_what_is_no_model_is_refused(make, error, message, tmp_path):
    with pytest.raises(error, match=message):
        load_model(make(tmp_path))


@pytest.mark.parametrize(
    "source, name",
    [
        ("elmo_tiny_en", "elmo_tiny_en"),
        ("models/tagger.keras", "tagger"),
        ("runs/small/best.npz", "best"),
        ("models/my_elmo/", "my_elmo"),
        ("a/options.json,b/weights.hdf5", "weights"),
        ("144.zip", "144"),
    ],
)
def test_a_model_is_called_by_its_source(source, name):
    assert model_name(source) == name
