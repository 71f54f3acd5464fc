"""Language models out of files and into them."""

import json
import shutil

import keras
import numpy as np
import pytest

from keras_elmo.errors import FormatError
from keras_elmo.pretraining.checkpoint import write_checkpoint
from keras_elmo.pretraining.model_files import (
    language_model_entries,
    load_bilm_checkpoint,
    load_language_model,
    new_language_model,
    save_language_model,
    weights_digest,
)
from keras_elmo.text.vocabulary import SPECIALS, Vocabulary, write_vocabulary
from tests.helpers import assert_close, randomize
from tests.pretraining import small_models

FULL = small_models.LM / "full.npz"


@pytest.fixture
def bilms_folder(tmp_path):
    """AI2's own files, and a softmax and a vocabulary beside them."""
    folder = tmp_path / "bilms"
    shutil.copytree(small_models.LM / "dumped", folder)
    shutil.copy(small_models.LM / "vocab.txt", folder)
    small_models.write_bilms_softmax(folder / "softmax.hdf5")
    return folder


def test_bilms_files_are_read(bilms_folder):
    model = load_language_model(bilms_folder)
    expected = small_models.bilms_model()
    assert_close(model.get_weights(), expected.get_weights(), rtol=0, atol=0)
    assert model.vocabulary.words == small_models.vocabulary().words
    assert (model.max_chars, model.accumulators) == (12, None)


def test_bilms_training_checkpoint_is_read_with_its_accumulators():
    folder = small_models.LM / "checkpoint_char"
    vocabulary = small_models.LM / "vocab.txt"
    model = load_bilm_checkpoint(folder, vocabulary)
    expected = small_models.bilms_model()
    assert_close(model.get_weights(), expected.get_weights(), rtol=0, atol=0)
    assert weights_digest(model) == weights_digest(expected)
    assert weights_digest(load_language_model(folder, vocabulary)) == weights_digest(
        expected
    )
    golden = np.load(FULL)
    for name in ("softmax/W", "char_embed", "CNN/W_cnn_1"):
        slot = golden[f"accumulator_step6/lm/{name}"]
        np.testing.assert_array_equal(np.asarray(model.accumulators[name]), slot)


@pytest.mark.parametrize("kind", ["characters", "words", "shared"])
def test_saved_model_comes_back(tmp_path, kind):
    options = small_models.options("full" if kind == "characters" else "token_sampled")
    options["lstm"] |= {"n_layers": 1, "cell_clip": 1.5, "proj_clip": None}
    vocabulary = Vocabulary([*SPECIALS, "a", "ü"])
    model = new_language_model(
        options, vocabulary, share_embedding_softmax=kind == "shared"
    )
    randomize(model, seed=3)
    if kind != "characters":
        table = model.encoder.embeddings
        # Its row 0 is never read, and no file has it.
        table.assign(np.array(table) * (np.arange(6) > 0)[:, None])
    folder = tmp_path / "new" / "run"
    save_language_model(model, folder)
    loaded = load_language_model(folder)
    assert_close(loaded.get_weights(), model.get_weights(), rtol=0, atol=0)
    assert loaded.bilm.get_config()["cell_clip"] == 1.5
    assert loaded.vocabulary.words == vocabulary.words
    assert loaded.share_embedding_softmax == (kind == "shared")
    assert loaded.reads_characters == (kind == "characters")


def test_half_precision_model_is_saved_in_full(tmp_path):
    model = small_models.random_model(dtype="mixed_bfloat16")
    save_language_model(model, tmp_path)
    loaded = load_language_model(tmp_path, unroll=False)
    assert_close(loaded.get_weights(), model.get_weights(), rtol=0, atol=0)
    assert loaded.encoder.dtype_policy.name == "float32" and not loaded.bilm.unroll


def test_a_model_may_be_stored_in_half_the_size(tmp_path):
    model = small_models.random_model()
    for dtype in ("float32", "float16"):
        save_language_model(model, tmp_path / dtype, dtype)
    loaded = load_language_model(tmp_path / "float16")
    for found, exact in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, exact.astype("float16"))


@pytest.mark.parametrize("whole_folder", [True, False])
def test_checkpoint_of_a_run_that_is_not_finished_is_read(tmp_path, whole_folder):
    model = small_models.random_model()
    arrays = {
        f"weights/{entry.name}": entry.value()
        for entry in language_model_entries(model)
    }
    meta = {"step": 3, "options": small_models.options()}
    write_checkpoint(tmp_path / "last.npz", arrays.items(), meta)
    shutil.copy(small_models.LM / "vocab.txt", tmp_path)
    (tmp_path / "run.json").write_text("{}")
    source = tmp_path if whole_folder else tmp_path / "last.npz"
    assert weights_digest(load_language_model(source)) == weights_digest(model)


def test_another_vocabulary_file_may_be_named(bilms_folder, tmp_path):
    words = [*SPECIALS, *(f"w{i}" for i in range(22))]
    write_vocabulary(tmp_path / "other.txt", words)
    (bilms_folder / "vocab.txt").unlink()
    model = load_language_model(bilms_folder, tmp_path / "other.txt")
    assert model.vocabulary.words == words


@pytest.mark.parametrize("name", ["softmax.hdf5", "vocab.txt"])
def test_missing_file_is_named(bilms_folder, name):
    (bilms_folder / name).unlink()
    with pytest.raises(FormatError, match=rf"bilms: expected .* found no {name}\."):
        load_language_model(bilms_folder)


def test_vocabulary_of_another_size_is_refused(bilms_folder):
    write_vocabulary(bilms_folder / "vocab.txt", SPECIALS)
    message = r"softmax\.hdf5: .*softmax/W: expected shape \(3, 6\) .*found \(25, 6\)"
    with pytest.raises(FormatError, match=message):
        load_language_model(bilms_folder)


def test_options_of_word_input_do_not_fit_characters(bilms_folder):
    options = json.loads((bilms_folder / "options.json").read_text())
    del options["char_cnn"]
    (bilms_folder / "options.json").write_text(json.dumps(options))
    with pytest.raises(FormatError, match="embedding: expected shape .* found nothing"):
        load_language_model(bilms_folder)


def test_installed_preset_without_its_softmax_says_where_it_is(tmp_path, monkeypatch):
    shutil.copytree(small_models.LM / "dumped", tmp_path / "elmo_tiny_en")
    monkeypatch.setattr("keras_elmo.presets.catalog._HERE", str(tmp_path))
    message = r"elmo_tiny_en: .* in the repository and not in the installed package"
    with pytest.raises(FormatError, match=message):
        load_language_model("elmo_tiny_en")


@pytest.mark.parametrize("source", ["a.keras", "options.json,weights.hdf5"])
def test_forms_without_a_softmax_are_named(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.keras").write_text("")
    with pytest.raises(FormatError, match="found another form of model, which has no"):
        load_language_model(source)


def test_new_models_differ_by_the_seed_alone():
    def weights(seed):
        keras.utils.set_random_seed(seed)
        return weights_digest(
            new_language_model(small_models.options(), small_models.vocabulary())
        )

    assert weights(1) == weights(1) != weights(2)
