"""Language models out of folders and into them."""

import json
import shutil

import numpy as np
import pytest

from keras_elmo.errors import FormatError
from keras_elmo.pretraining.run_files import (
    load_language_model,
    new_language_model,
    save_language_model,
)
from keras_elmo.text.vocabulary import SPECIALS, Vocabulary, write_vocabulary
from tests.helpers import assert_close, randomize
from tests.pretraining import small_models


@pytest.fixture
def bilms_folder(tmp_path):
    """AI2's own files, and a softmax and a vocabulary beside them."""
    folder = tmp_path / "bilms"
    shutil.copytree(small_models.LM / "dumped", folder)
    shutil.copy(small_models.LM / "vocab.txt", folder)
    small_models.write_bilms_softmax(folder / "softmax.hdf5")
    return folder


def test_bilms_files_are_read(bilms_folder):
    model, vocabulary, max_chars = load_language_model(str(bilms_folder))
    expected = small_models.bilms_model()
    assert_close(model.get_weights(), expected.get_weights(), rtol=0, atol=0)
    assert vocabulary.words == small_models.vocabulary().words
    assert max_chars == 12


@pytest.mark.parametrize("seed", [0, 1])
def test_saved_model_comes_back(tmp_path, seed):
    options = small_models.options()
    options["lstm"] |= {"n_layers": 1 + seed, "cell_clip": 1.5, "proj_clip": None}
    vocabulary = Vocabulary([*SPECIALS, "a", "ü"])
    model = randomize(new_language_model(options, 5, unroll=True), seed=seed)
    save_language_model(model, vocabulary, 12, str(tmp_path / "new" / "run"))
    loaded, words, max_chars = load_language_model(str(tmp_path / "new" / "run"))
    assert_close(loaded.get_weights(), model.get_weights(), rtol=0, atol=0)
    assert loaded.bilm.get_config()["cell_clip"] == 1.5
    assert (words.words, max_chars) == (vocabulary.words, 12)


def test_half_precision_model_is_saved_in_full(tmp_path):
    model = small_models.random_model(dtype="mixed_bfloat16")
    save_language_model(model, small_models.vocabulary(), 12, str(tmp_path))
    loaded, _, _ = load_language_model(str(tmp_path), unroll=False)
    assert_close(loaded.get_weights(), model.get_weights(), rtol=0, atol=0)
    assert loaded.encoder.dtype_policy.name == "float32" and not loaded.bilm.unroll


def test_another_vocabulary_file_may_be_named(bilms_folder, tmp_path):
    words = [*SPECIALS, *(f"w{i}" for i in range(22))]
    write_vocabulary(tmp_path / "other.txt", words)
    (bilms_folder / "vocab.txt").unlink()
    _, vocabulary, _ = load_language_model(
        str(bilms_folder), str(tmp_path / "other.txt")
    )
    assert vocabulary.words == words


@pytest.mark.parametrize(
    "name", ["options.json", "lm_weights.hdf5", "softmax.hdf5", "vocab.txt"]
)
def test_missing_file_is_named(bilms_folder, name):
    (bilms_folder / name).unlink()
    with pytest.raises(FormatError, match=f"bilms: expected {name} .* no such file"):
        load_language_model(str(bilms_folder))


def test_vocabulary_of_another_size_is_refused(bilms_folder):
    write_vocabulary(bilms_folder / "vocab.txt", SPECIALS)
    message = r"softmax\.hdf5: softmax/W: expected shape \(3, 6\) .*found \(25, 6\)"
    with pytest.raises(FormatError, match=message):
        load_language_model(str(bilms_folder))


def test_word_input_is_refused(bilms_folder):
    options = json.loads((bilms_folder / "options.json").read_text())
    del options["char_cnn"]
    (bilms_folder / "options.json").write_text(json.dumps(options))
    with pytest.raises(
        FormatError, match=r"options\.json: char_cnn: expected an object"
    ):
        load_language_model(str(bilms_folder))


def test_new_models_differ_by_the_seed_alone():
    import keras

    def weights(seed):
        keras.utils.set_random_seed(seed)
        model = new_language_model(small_models.options(), 25, unroll=True)
        return np.concatenate([w.reshape(-1) for w in model.get_weights()])

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).any()
