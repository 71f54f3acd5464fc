"""What is said of every form of model, and what of AI2's format is remarked on."""

import json
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_elmo
from keras_elmo.errors import FormatError
from keras_elmo.inspection import inspect_model
from tests.ai2.checkpoint_files import (
    BILM_FOLDER,
    LM,
    bilms_variables,
    word_model,
    write_bilm_folder,
    write_run_checkpoint,
)
from tests.helpers import GOLDEN

TINY = GOLDEN / "tiny"
NO_SOFTMAX = "softmax.hdf5: absent; without a softmax there is no perplexity"
NO_PRESET = "preset.json: absent; the mix is the plain mean of the layers"


def pair(folder):
    return f"{folder / 'options.json'},{folder / 'lm_weights.hdf5'}"


def copy(case, folder):
    folder.mkdir()
    for name in ("options.json", "lm_weights.hdf5"):
        shutil.copy(GOLDEN / case / name, folder)
    return folder


def count(path):
    """Numbers in a weights file."""
    sizes = []
    with h5py.File(path) as file:
        file.visititems(
            lambda _, item: sizes.append(item.size) if hasattr(item, "size") else None
        )
    return sum(sizes)


def test_a_pair_of_files():
    facts = inspect_model(pair(TINY))
    json.dumps(facts)
    assert (facts["source"], facts["form"]) == (pair(TINY), "pair of files")
    assert facts["files"] == [
        {"name": str(TINY / name), "bytes": (TINY / name).stat().st_size}
        for name in ("options.json", "lm_weights.hdf5")
    ]
    assert facts["stored_dtypes"] == ["float32"]
    assert facts["notes"] == [NO_SOFTMAX, NO_PRESET]
    assert facts["layers"] == []
    (elmo,) = facts["elmo_layers"]
    assert (elmo["name"], elmo["width"]) == ("lm_weights", 28)
    third = pytest.approx([1 / 3] * 3)
    assert elmo["mixes"] == [{"layer_weights": third, "gamma": 1.0}]
    options = elmo["options"]
    assert options["input"] == "characters"
    assert options["filters"] == [[1, 4], [2, 8], [3, 6], [5, 10], [7, 12]]
    sizes = [options[key] for key in ("units", "projection_dim", "num_layers")]
    assert sizes == [36, 14, 2]
    assert (options["cell_clip"], options["proj_clip"]) == (3, 3)


def test_each_part_has_its_parameters():
    facts = inspect_model(pair(TINY))
    parts = {part["name"]: part for part in facts["elmo_layers"][0]["parts"]}
    widths = [(1, 4), (2, 8), (3, 6), (5, 10), (7, 12)]
    expected = {
        "characters": 261 * 5,
        "convolutions": sum((width * 5 + 1) * n for width, n in widths),
        "highway": 2 * 2 * (40 + 1) * 40,
        "projection": (40 + 1) * 14,
        "forward LSTMs": 2 * ((14 + 14 + 1) * 4 * 36 + 36 * 14),
        "backward LSTMs": 2 * ((14 + 14 + 1) * 4 * 36 + 36 * 14),
        "mixes": 3 + 1,
    }
    assert {name: part["parameters"] for name, part in parts.items()} == expected
    assert all(part["bytes"] == 4 * part["parameters"] for part in parts.values())
    training = [name for name in parts if parts[name]["trainable_parameters"]]
    assert training == ["mixes"]
    assert facts["parameters"] == sum(expected.values())
    assert facts["parameters"] == count(TINY / "lm_weights.hdf5") + 4
    assert facts["trainable_parameters"] == 4
    assert facts["bytes"] == 4 * facts["parameters"]


def test_options_that_are_missing_or_odd(tmp_path):
    folder = copy("tiny", tmp_path / "model")
    options = json.loads((folder / "options.json").read_text())
    for key in ("cell_clip", "proj_clip", "use_skip_connections"):
        del options["lstm"][key]
    options["char_cnn"]["n_characters"] = 261
    options |= {"dropout": 0.1, "bidirectional": True}
    (folder / "options.json").write_text(json.dumps(options))
    (folder / "meta.json").write_text("{}")
    facts = inspect_model(folder)
    assert facts["form"] == "folder"
    notes = facts["notes"]
    starts = [
        "char_cnn.n_characters: 261",
        "lstm.cell_clip: absent",
        "lstm.proj_clip: absent",
        "lstm.use_skip_connections: absent",
        "options of training, not used here: bidirectional, dropout",
        "softmax.hdf5: absent",
        "preset.json: absent",
        "other files: meta.json",
    ]
    assert [note[: len(start)] for note, start in zip(notes, starts, strict=True)] == (
        starts
    )


def test_weights_that_are_missing_or_odd(tmp_path):
    folder = copy("tiny_nocnnproj_nohighway", tmp_path / "model")
    with h5py.File(folder / "lm_weights.hdf5", "r+") as file:
        for direction in ("RNN_0", "RNN_1"):
            # One layer, as bilm writes it itself.
            group = file[f"{direction}/RNN"]
            group.move("MultiRNNCell/Cell0/LSTMCell", "LSTMCell")
            del group["MultiRNNCell"]
    notes = " ".join(inspect_model(folder)["notes"])
    for text in (
        "char_cnn.n_highway: no highway layers",
        "CNN_proj: absent",
        "RNN_0/RNN/LSTMCell: how bilm-tf writes a model of one layer",
    ):
        assert text in notes
    facts = inspect_model(pair(GOLDEN / "tiny_nolstmproj"))
    assert "W_P_0: absent; the LSTMs have no projection" in facts["notes"]
    names = [part["name"] for part in facts["elmo_layers"][0]["parts"]]
    assert "highway" in names


def test_a_presets_folder(tmp_path):
    elmo = keras_elmo.load_ai2(
        TINY / "options.json",
        TINY / "lm_weights.hdf5",
        num_representations=2,
        dropout=0.5,
    )
    elmo.mixes[1].set_layer_weights([0.5, 0.25, 0.25])
    elmo.save_to_preset(tmp_path / "preset", dtype="float16")
    shutil.copy(TINY / "dump_embeddings.hdf5", tmp_path / "preset" / "vectors.hdf5")
    facts = inspect_model(tmp_path / "preset")
    assert facts["form"] == "preset's folder"
    assert facts["stored_dtypes"] == ["float16"]
    assert facts["notes"] == [
        "weights are stored as float16; bilm-tf writes float32",
        NO_SOFTMAX,
    ]
    (described,) = facts["elmo_layers"]
    assert described["options"]["dropout"] == 0.5
    assert described["mixes"][1]["layer_weights"] == pytest.approx([0.5, 0.25, 0.25])
    assert described["parts"][-1]["parameters"] == 2 * (3 + 1)
    assert facts["bytes"] == 4 * facts["parameters"]


def test_words_instead_of_characters(tmp_path):
    words = ["<S>", "</S>", "<UNK>", "a", "b"]
    elmo = keras_elmo.ElmoLayer(
        keras.layers.Embedding(6, 4), keras_elmo.BiLM(8, 4), vocabulary=words
    )
    elmo.build(None)
    elmo.save_to_preset(tmp_path / "words")
    facts = inspect_model(tmp_path / "words")
    (described,) = facts["elmo_layers"]
    assert described["options"]["input"] == "words"
    assert described["options"]["vocabulary_size"] == 5
    assert described["parts"][0]["name"] == "words"
    assert described["parts"][0]["parameters"] == 6 * 4
    assert facts["notes"][0] == "char_cnn: absent; words are looked up, not spelled"


@pytest.mark.parametrize("inner", ["", "144/"])
def test_an_archive(inner, tmp_path):
    path = tmp_path / "144.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(TINY / "options.json", f"{inner}options.json")
        archive.write(TINY / "lm_weights.hdf5", f"{inner}model.hdf5")
        archive.writestr(f"{inner}README", "words")
    facts = inspect_model(path)
    assert facts["form"] == "ZIP archive"
    names = [file["name"] for file in facts["files"]]
    assert names == ["README", "model.hdf5", "options.json"]
    assert facts["notes"] == [NO_SOFTMAX, NO_PRESET, "other files: README"]
    assert facts["parameters"] == inspect_model(pair(TINY))["parameters"]


def test_a_training_run(tmp_path):
    folder = copy("tiny", tmp_path / "run")
    with h5py.File(folder / "softmax.hdf5", "w") as file:
        file["softmax/W"] = np.zeros((5, 14), "float32")
    facts = inspect_model(folder)
    assert facts["form"] == "training run's folder"
    assert facts["notes"] == [NO_PRESET]
    assert inspect_model(pair(folder))["notes"] == [NO_PRESET]


def test_a_finished_runs_checkpoints_are_nothing_to_remark_on(tmp_path):
    folder = copy("tiny", tmp_path / "run")
    shutil.copy(folder / "lm_weights.hdf5", folder / "softmax.hdf5")
    for name in ("run.json", "lock", "log.jsonl", "last.npz", "best.npz", "vocab.txt"):
        (folder / name).write_text("")
    assert inspect_model(folder)["notes"] == [NO_PRESET]


def test_a_training_with_bilm():
    facts = inspect_model(BILM_FOLDER)
    json.dumps(facts)
    assert facts["form"] == "folder of a training with bilm-tf"
    assert [file["name"] for file in facts["files"]] == sorted(
        path.name for path in BILM_FOLDER.iterdir()
    )
    assert facts["stored_dtypes"] == ["float32"]
    first, options, last = facts["notes"]
    assert (first, last) == ("model.ckpt-6: step 6", NO_PRESET)
    assert options.startswith("options of training, not used here: all_clip_norm_val")
    assert facts["parameters"] == count(LM / "dumped" / "lm_weights.hdf5") + 4
    assert facts["elmo_layers"][0]["name"] == "checkpoint_char"


def test_a_training_with_bilm_by_words(tmp_path):
    folder = write_bilm_folder(tmp_path / "words", *word_model(shared=True))
    shutil.copy(LM / "vocab.txt", folder)
    notes = inspect_model(folder)["notes"]
    assert notes[0] == "model.ckpt-7: step 7"
    assert notes[1].startswith("char_cnn: absent")
    assert "softmax/W: absent; the words' vectors are the softmax too" in notes
    assert "Adagrad: absent; training goes on from new accumulators" in notes


def test_a_run_that_is_not_finished_and_its_checkpoint(tmp_path):
    options, variables = bilms_variables()
    path = write_run_checkpoint(tmp_path / "last.npz", options, variables)
    facts = inspect_model(path)
    assert facts["form"] == "training run's checkpoint"
    assert facts["files"] == [{"name": str(path), "bytes": path.stat().st_size}]
    assert facts["notes"][0] == "last.npz: step 7"
    assert facts["notes"][-1] == NO_PRESET
    (tmp_path / "run.json").write_text("{}")
    whole = inspect_model(tmp_path)
    assert whole["form"] == "training run's folder, not finished"
    assert [file["name"] for file in whole["files"]] == ["last.npz", "run.json"]
    assert whole["notes"] == facts["notes"]
    assert whole["parameters"] == facts["parameters"]
    for name in ("lm/softmax/W", "lm/softmax/b"):
        del variables[name]
    write_run_checkpoint(path, options, variables)
    notes = inspect_model(path)["notes"]
    assert "softmax: absent; without a softmax there is no perplexity" in notes


def test_a_keras_file(tmp_path):
    elmo = keras_elmo.load_ai2(
        TINY / "options.json", TINY / "lm_weights.hdf5", fine_tune=True, name="elmo"
    )
    inputs = keras.Input((None,), dtype="string")
    outputs = keras.layers.Dense(3, name="tags")(elmo(inputs))
    path = tmp_path / "model.keras"
    keras.Model(inputs, outputs).save(path)
    facts = inspect_model(path)
    json.dumps(facts)
    assert facts["form"] == "Keras model"
    assert [file["name"] for file in facts["files"]] == [
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]
    assert facts["stored_dtypes"] == ["float32"]
    assert facts["notes"] == [f"saved with Keras {keras.__version__}"]
    (described,) = facts["elmo_layers"]
    own = sum(part["parameters"] for part in described["parts"])
    assert [(row["name"], row["class"]) for row in facts["layers"][1:]] == [
        ("elmo", "ElmoLayer"),
        ("tags", "Dense"),
    ]
    assert facts["layers"][1]["parameters"] == own
    assert facts["layers"][1]["trainable_parameters"] == own
    assert facts["parameters"] == own + (28 + 1) * 3


def test_what_is_wrong_is_said_as_by_loading(tmp_path):
    folder = copy("tiny", tmp_path / "model")
    with h5py.File(folder / "lm_weights.hdf5", "r+") as file:
        del file["CNN_proj/W_proj"]
    with pytest.raises(
        FormatError, match=r"CNN_proj/W_proj: expected shape \(40, 14\)"
    ):
        inspect_model(folder)
    with pytest.raises(FileNotFoundError, match="found nothing of that name"):
        inspect_model(tmp_path / "absent")


def test_half_precision_takes_half_the_memory(tmp_path):
    half = {"dtype": "bfloat16"}
    elmo = keras_elmo.ElmoLayer(
        keras_elmo.CharacterEncoder([(1, 4)], 2, **half),
        keras_elmo.BiLM(4, 2, **half),
        **half,
    )
    inputs = keras.Input((None,), dtype="string")
    keras.Model(inputs, elmo(inputs)).save(tmp_path / "half.keras")
    facts = inspect_model(tmp_path / "half.keras")
    for part in facts["elmo_layers"][0]["parts"]:
        size = 4 if part["name"] == "mixes" else 2
        assert part["bytes"] == size * part["parameters"]
