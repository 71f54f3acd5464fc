"""AI2's files: what they hold comes back bit for bit, and bad ones are refused."""

import itertools
import json
import shutil

import h5py
import numpy as np
import pytest

import keras_elmo
from tests.helpers import GOLDEN

CASES = ["tiny", "tiny_nolstmproj", "tiny_nocnnproj_nohighway", "tiny_3layer"]
SENTENCES = [["The", "naïve", "cat", "", "sat"], ["x" * 80], ["<S>", "ends", "</S>"]]


def arrays(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[...]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    return found


def pair(folder):
    return folder / "options.json", folder / "lm_weights.hdf5"


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny model, to be spoilt."""
    for path in pair(GOLDEN / "tiny"):
        shutil.copy(path, tmp_path)
    return tmp_path


def change_options(folder, change):
    path = folder / "options.json"
    options = json.loads(path.read_text())
    change(options)
    path.write_text(json.dumps(options))


@pytest.mark.parametrize("case", CASES)
def test_saved_files_hold_the_loaded_arrays_bit_for_bit(case, tmp_path):
    elmo = keras_elmo.load_ai2(*pair(GOLDEN / case))
    keras_elmo.save_ai2(elmo, tmp_path)
    before, after = (arrays(d / "lm_weights.hdf5") for d in (GOLDEN / case, tmp_path))
    assert before.keys() == after.keys()
    for name in before:
        assert before[name].dtype == after[name].dtype == np.float32
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    stored, written = (
        json.loads((d / "options.json").read_text()) for d in (GOLDEN / case, tmp_path)
    )
    assert written["char_cnn"] == stored["char_cnn"]
    assert written["lstm"] == stored["lstm"]


def test_saved_word_vectors_come_back(tmp_path):
    folder = GOLDEN / "token_input"
    elmo = keras_elmo.load_ai2(
        *pair(folder),
        embedding_file=folder / "vocab_embedding.hdf5",
        vocabulary_file=folder / "vocab.txt",
    )
    keras_elmo.save_ai2(elmo, tmp_path)
    again = keras_elmo.load_ai2(*pair(tmp_path), vocabulary_file=tmp_path / "vocab.txt")
    words = keras_elmo.pad_sentences([["the", "unheard-of", "."]])
    np.testing.assert_array_equal(again.all_layers(*words), elmo.all_layers(*words))


def encoder_kinds():
    for highway, projected, activation in itertools.product(
        (0, 2), (True, False), ("relu", "tanh")
    ):
        width = 6 if projected else 10
        yield {
            "filters": [(1, 4), (3, 6)],
            "projection_dim": width,
            "num_highway": highway,
            "embedding_dim": 3,
            "activation": activation,
        }


def bilm_kinds():
    return itertools.product(
        (1, 2, 3), ((3.0, 3.0), (None, None), (0.5, None)), (True, False)
    )


# Each kind of encoder with one kind of biLM and back, so that all of both occur.
@pytest.mark.parametrize(
    "arguments, bilm_kind",
    list(zip(itertools.cycle(encoder_kinds()), bilm_kinds(), strict=False)),
)
def test_every_option_survives(arguments, bilm_kind, tmp_path):
    encoder = keras_elmo.CharacterEncoder(**arguments)
    num_layers, clips, skip = bilm_kind
    width = arguments["projection_dim"]
    for projection in (width, None):
        units = 12 if projection else width
        bilm = keras_elmo.BiLM(units, projection, num_layers, *clips, skip)
        elmo = keras_elmo.ElmoLayer(encoder, bilm)
        words = keras_elmo.pad_sentences(SENTENCES)
        expected = elmo.all_layers(*words)
        keras_elmo.save_ai2(elmo, tmp_path)
        again = keras_elmo.load_ai2(*pair(tmp_path))
        assert (
            again.bilm.get_config().items()
            >= {
                "units": units,
                "projection_dim": projection,
                "num_layers": num_layers,
                "cell_clip": clips[0],
                "proj_clip": clips[1],
                "skip_connections": skip,
            }.items()
        )
        np.testing.assert_array_equal(again.all_layers(*words), expected)


@pytest.mark.parametrize("n_characters", [261, 262, None])
def test_261_and_262_characters_are_the_same_model(folder, n_characters):
    def change(options):
        options["char_cnn"]["n_characters"] = n_characters
        if n_characters is None:
            del options["char_cnn"]["n_characters"]

    change_options(folder, change)
    words = keras_elmo.pad_sentences(SENTENCES)
    expected = keras_elmo.load_ai2(*pair(GOLDEN / "tiny")).all_layers(*words)
    actual = keras_elmo.load_ai2(*pair(folder)).all_layers(*words)
    np.testing.assert_array_equal(actual, expected)


def test_one_layer_is_read_in_the_spelling_of_bilms_own_dump(tmp_path):
    names = json.loads((GOLDEN / "lm" / "dump_weights_names.json").read_text())
    spelled = [n for n in names["char_1_layer"]["hdf5"] if n.startswith("RNN")]
    assert "RNN_0/RNN/LSTMCell/W_0" in spelled
    case = GOLDEN / "tiny_nocnnproj_nohighway"
    shutil.copy(case / "options.json", tmp_path)
    with h5py.File(tmp_path / "lm_weights.hdf5", "w") as file:
        for name, array in arrays(case / "lm_weights.hdf5").items():
            file[name.replace("MultiRNNCell/Cell0/", "")] = array
    words = keras_elmo.pad_sentences(SENTENCES)
    np.testing.assert_array_equal(
        keras_elmo.load_ai2(*pair(tmp_path)).all_layers(*words),
        keras_elmo.load_ai2(*pair(case)).all_layers(*words),
    )


def edit(change):
    """A way to spoil the weights: `change` is given the open file."""

    def spoil(folder):
        with h5py.File(folder / "lm_weights.hdf5", "a") as file:
            change(file)

    return spoil


def cut(folder):
    path = folder / "lm_weights.hdf5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace(name, array):
    def change(file):
        del file[name]
        file[name] = array

    return edit(change)


def set_option(section, key, value):
    return lambda folder: change_options(
        folder, lambda options: options[section].update({key: value})
    )


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


CELL = "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell"


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            edit(lambda f: f.pop("CNN/W_cnn_3")),
            "lm_weights.hdf5: CNN/W_cnn_3: expected shape (1, 5, 5, 10) "
            "(char_cnn.filters[3]), found nothing.",
        ),
        (
            edit(lambda f: f.create_dataset("CNN/W_cnn_9", data=np.zeros(3))),
            "lm_weights.hdf5: CNN/W_cnn_9: expected no such entry "
            "(not in these options), found shape (3,).",
        ),
        (
            edit(lambda f: f.create_dataset("softmax/W", data=np.zeros(3))),
            "softmax/W: expected no such entry (unknown), found shape (3,).",
        ),
        (
            replace(f"{CELL}/W_P_0", np.zeros((36, 7), "f4")),
            f"{CELL}/W_P_0: expected shape (36, 14) (lstm.dim, lstm.projection_dim), "
            "found (36, 7).",
        ),
        (
            replace("char_embed", np.zeros((262, 5), "f4")),
            "char_embed: expected shape (261, 5) (char_cnn.embedding), found (262, 5).",
        ),
        (
            replace("CNN/b_cnn_0", np.zeros(4, "i4")),
            "CNN/b_cnn_0: expected floats, found int32.",
        ),
        (
            replace("CNN/b_cnn_0", np.array([0, np.nan, 0, 0], "f4")),
            "CNN/b_cnn_0: expected finite numbers, found nan.",
        ),
        (cut, "lm_weights.hdf5: expected a whole HDF5 file, found:"),
        (
            write("lm_weights.hdf5", "no HDF5"),
            "lm_weights.hdf5: expected a whole HDF5 file, found:",
        ),
        (write("options.json", "{"), "options.json: expected JSON, found:"),
        (
            write("options.json", "[1]"),
            "options.json: the file: expected a JSON object, found [1].",
        ),
        (
            set_option("char_cnn", "activation", "gelu"),
            'char_cnn.activation: expected "relu" or "tanh", found \'gelu\'.',
        ),
        (
            set_option("char_cnn", "n_characters", 263),
            "char_cnn.n_characters: expected 261 or 262, found 263.",
        ),
        (
            set_option("char_cnn", "filters", [[1, 4], [2]]),
            "char_cnn.filters[1]: expected [width, count], found [2].",
        ),
        (
            set_option("char_cnn", "filters", [[1, 4]]),
            "char_cnn.filters: expected 14 or more filters in all "
            "(lstm.projection_dim), found 4.",
        ),
        (
            set_option("lstm", "n_layers", "two"),
            "lstm.n_layers: expected an int >= 1, found 'two'.",
        ),
        (
            set_option("lstm", "projection_dim", 40),
            "lstm.projection_dim: expected at most lstm.dim, 36, found 40.",
        ),
        (
            set_option("lstm", "cell_clip", -1),
            "lstm.cell_clip: expected a number above 0, found -1.",
        ),
        (
            set_option("lstm", "use_skip_connections", "yes"),
            "lstm.use_skip_connections: expected true or false, found 'yes'.",
        ),
        (
            lambda folder: change_options(folder, lambda o: o.pop("lstm")),
            "options.json: lstm: expected a JSON object, found nothing.",
        ),
        (
            lambda folder: change_options(
                folder, lambda o: o.update(bidirectional=False)
            ),
            "bidirectional: expected true (a biLM has both directions), found False.",
        ),
    ],
)
def test_a_bad_file_is_refused_by_file_entry_expected_and_found(folder, spoil, message):
    spoil(folder)
    with pytest.raises(keras_elmo.FormatError) as caught:
        keras_elmo.load_ai2(*pair(folder))
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_problems_of_a_weights_file_are_told_at_once(folder):
    edit(lambda f: [f.pop("CNN/W_cnn_0"), f.pop("CNN_proj/b_proj")])(folder)
    with pytest.raises(keras_elmo.FormatError) as caught:
        keras_elmo.load_ai2(*pair(folder))
    assert "CNN/W_cnn_0" in str(caught.value)
    assert "CNN_proj/b_proj" in str(caught.value)


def test_an_absent_file_is_an_ordinary_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="options.json"):
        keras_elmo.load_ai2(*pair(tmp_path))


def test_word_input_needs_a_vocabulary():
    folder = GOLDEN / "token_input"
    with pytest.raises(ValueError, match="vocabulary_file: expected"):
        keras_elmo.load_ai2(
            *pair(folder), embedding_file=folder / "vocab_embedding.hdf5"
        )


def test_a_failed_save_leaves_the_old_file(folder, monkeypatch):
    elmo = keras_elmo.load_ai2(*pair(folder))
    before = (folder / "lm_weights.hdf5").read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(OSError, match="disk full"):
        keras_elmo.save_ai2(elmo, folder)
    assert (folder / "lm_weights.hdf5").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == [
        "lm_weights.hdf5",
        "options.json",
    ]
