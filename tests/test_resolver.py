"""Every form in which a model may be named, and what is none."""

import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.resolver import load_elmo, load_model, model_name
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
        ("models/my_elmo/", "my_elmo"),
        ("a/options.json,b/weights.hdf5", "weights"),
        ("144.zip", "144"),
    ],
)
def test_a_model_is_called_by_its_source(source, name):
    assert model_name(source) == name
