"""An exported model: what it answers, what it holds, and where it appears."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from tests.helpers import load_golden

SENTENCES = ["The  cat sat\ton the mat .", "", "Züge"]
WORDS = np.array(
    [["The", "cat", "sat", "on", "the", "mat", "."], [""] * 7, ["Züge"] + [""] * 6]
)


def assert_answers(outputs, elmo):
    layers = elmo.all_layers(WORDS).numpy()
    mixed = elmo(WORDS).numpy()
    lengths = np.array([7, 0, 1])
    np.testing.assert_array_equal(outputs["lengths"], lengths)
    np.testing.assert_allclose(outputs["word_emb"], layers[:, 0, :, :14], atol=1e-6)
    for i in range(1, layers.shape[1]):
        np.testing.assert_allclose(outputs[f"lstm_outputs{i}"], layers[:, i], atol=1e-6)
    np.testing.assert_allclose(outputs["elmo"], mixed, atol=1e-6)
    mean = mixed.sum(axis=1) / np.maximum(lengths, 1)[:, None]
    np.testing.assert_allclose(outputs["default"], mean, atol=1e-6)
    for name, value in outputs.items():
        assert value.dtype == (tf.int32 if name == "lengths" else tf.float32)


@pytest.mark.parametrize("signature", ["default", "serving_default"])
def test_strings_are_split_and_embedded(exported, elmo, signature):
    outputs = exported.signatures[signature](strings=tf.constant(SENTENCES))
    assert_answers(outputs, elmo)


def test_tokens_end_where_sequence_len_says(exported, elmo):
    # What a server pads with is the first element; it must not matter.
    padded = np.array(
        [list(WORDS[0]), ["x"] * 7, ["Züge"] * 7],
    )
    outputs = exported.signatures["tokens"](
        tokens=tf.constant(padded), sequence_len=tf.constant([7, 0, 1])
    )
    assert_answers(outputs, elmo)


def test_signatures_have_the_names_of_tf_hubs_elmo(exported):
    signatures = exported.signatures
    assert set(signatures) == {
        *("default", "tokens", "serving_default"),
        *("char_ids", "stateful"),  # which it has not
    }
    names = {"word_emb", "lstm_outputs1", "lstm_outputs2", "elmo", "default", "lengths"}
    for name, signature in signatures.items():
        states = {"state_h", "state_c"} if name == "stateful" else set()
        assert set(signature.structured_outputs) == names | states
    assert list(signatures["default"].structured_input_signature[1]) == ["strings"]
    assert set(signatures["tokens"].structured_input_signature[1]) == {
        "tokens",
        "sequence_len",
    }


@pytest.mark.parametrize("words", [0, 1, 3])
def test_no_sentences_and_no_words_are_answered(exported, words):
    outputs = exported.signatures["tokens"](
        tokens=tf.zeros((0, words), tf.string), sequence_len=tf.zeros((0,), tf.int32)
    )
    assert outputs["elmo"].shape == (0, words, 28)
    outputs = exported.signatures["default"](strings=tf.zeros((0,), tf.string))
    assert outputs["default"].shape == (0, 28)


def test_a_different_number_of_lengths_is_told(exported):
    with pytest.raises(tf.errors.InvalidArgumentError, match="same number of rows"):
        exported.signatures["tokens"](
            tokens=tf.constant([["a"]]), sequence_len=tf.constant([1, 1])
        )


@pytest.mark.parametrize(
    "layer_arguments",
    [
        {"num_representations": 2},
        {"use_top_only": True},
        {"do_layer_norm": True},
        {"dtype": "mixed_bfloat16"},
        {"keep_sentence_boundaries": True},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_every_kind_of_layer_is_exported(tmp_path, layer_arguments):
    elmo = load_golden("tiny", **layer_arguments)
    model = tf.saved_model.load(
        keras_elmo.export_saved_model(elmo, tmp_path / "m", batch_sizes=[])
    )
    outputs = model.signatures["default"](strings=tf.constant(SENTENCES))
    vectors = keras.tree.flatten(elmo(WORDS))
    if elmo.keep_sentence_boundaries:  # the signatures give words alone
        vectors = [v[:, 1:8] for v in vectors]
    for i, vector in enumerate(vectors):
        name = "elmo" if i == 0 else f"elmo_{i + 1}"
        expected = keras.ops.convert_to_numpy(keras.ops.cast(vector, "float32"))
        actual = outputs[name].numpy()
        for row, length in enumerate([7, 0, 1]):
            np.testing.assert_allclose(
                actual[row, :length], expected[row, :length], atol=1e-6
            )
            assert not actual[row, length:].any()


def test_word_input_is_exported_with_its_vocabulary(tmp_path):
    elmo = load_golden("token_input")
    model = tf.saved_model.load(
        keras_elmo.export_saved_model(elmo, tmp_path / "m", batch_sizes=[])
    )
    outputs = model.signatures["default"](strings=tf.constant(SENTENCES))
    assert_answers(outputs, elmo)


def test_a_state_is_not_exported(tmp_path, elmo):
    stateful = load_golden("tiny", stateful=True)
    stateful(WORDS)
    before = [v.numpy() for v in keras.tree.flatten(stateful._state.variables)]
    model = tf.saved_model.load(
        keras_elmo.export_saved_model(stateful, tmp_path / "m", batch_sizes=[])
    )
    for _ in range(2):
        outputs = model.signatures["default"](strings=tf.constant(SENTENCES))
        assert_answers(outputs, elmo)
    after = [v.numpy() for v in keras.tree.flatten(stateful._state.variables)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_around_a_stateful_layer_is_exported_without_its_state(tmp_path, elmo):
    words = keras.Input((None,), dtype="string", name="words")
    stateful = load_golden("tiny", stateful=True)
    model = keras.Model(words, stateful(words))
    model(tf.constant(WORDS))
    loaded = tf.saved_model.load(keras_elmo.export_saved_model(model, tmp_path / "m"))
    outputs = loaded.signatures["default"](strings=tf.constant(SENTENCES))
    np.testing.assert_allclose(outputs[stateful.name], elmo(WORDS), atol=1e-6)
    assert stateful.stateful


def test_each_variable_is_stored_once(elmo, elmo_folder):
    stored = os.path.getsize(f"{elmo_folder}/variables/variables.data-00000-of-00001")
    held = sum(variable.numpy().nbytes for variable in elmo.variables)
    assert held <= stored < 1.05 * held


@pytest.fixture
def small():
    """A model that is quickly exported."""
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def test_versions_count_up_and_are_never_overwritten(tmp_path, small):
    base = tmp_path / "tiny"
    assert keras_elmo.export_saved_model(small, base) == str(base / "1")
    assert keras_elmo.export_saved_model(small, base, version=7) == str(base / "7")
    assert keras_elmo.export_saved_model(small, str(base)) == str(base / "8")
    before = (base / "7" / "saved_model.pb").read_bytes()
    with pytest.raises(FileExistsError, match="7: expected a new version"):
        keras_elmo.export_saved_model(small, base, version=7)
    assert (base / "7" / "saved_model.pb").read_bytes() == before
    assert sorted(os.listdir(base)) == ["1", "7", "8"]


def test_of_two_exports_at_once_the_second_overwrites_nothing(
    tmp_path, small, monkeypatch
):
    def write_one_first(*args):
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "saved_model.pb").write_text("the other's")

    monkeypatch.setattr("keras_elmo.saved_model.writer.write_card", write_one_first)
    with pytest.raises(FileExistsError, match="1: expected a new version"):
        keras_elmo.export_saved_model(small, tmp_path)
    assert os.listdir(tmp_path) == ["1"]
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "the other's"


def test_a_failed_export_leaves_nothing(tmp_path, elmo, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        keras_elmo.export_saved_model(elmo, tmp_path / "m")
    assert os.listdir(tmp_path / "m") == []


@pytest.mark.parametrize("version", [0, -1, "2", 1.5])
def test_a_version_is_a_whole_number(tmp_path, elmo, version):
    with pytest.raises(ValueError, match="expected version to be an int >= 1"):
        keras_elmo.export_saved_model(elmo, tmp_path, version=version)


def test_a_name_is_no_model(tmp_path):
    with pytest.raises(ValueError, match="expected an ElmoLayer or a Keras model, rec"):
        keras_elmo.export_saved_model("elmo_tiny_en", tmp_path)


def test_a_model_without_weights_is_refused(tmp_path, elmo):
    layer = keras_elmo.ElmoLayer.from_config(elmo.get_config())
    with pytest.raises(ValueError, match="expected a built model"):
        keras_elmo.export_saved_model(layer, tmp_path)


@pytest.mark.parametrize(
    "arguments, text",
    [
        (
            {"layers": "most"},
            "layers to be one of all, mix, top, average, rec.* 'most'",
        ),
        ({"pooling": "sum"}, "pooling to be one of mean, max, last, received 'sum'"),
        ({"batch_sizes": [1, 0]}, r"batch_sizes to be ints >= 1, received \[1, 0\]"),
        ({"batch_sizes": range(1, 200)}, "at most 100 batch_sizes, received 199"),
        ({"batch_sizes": 8}, "batch_sizes to be a list of ints, received 8"),
        ({"version": 2**63}, "version to be an int >= 1, below 2"),
        ({"labels": ["N"]}, "expected no labels, .* received \\['N'\\]"),
    ],
)
def test_a_wrong_argument_is_named(tmp_path, elmo, arguments, text):
    with pytest.raises(ValueError, match=text):
        keras_elmo.export_saved_model(elmo, tmp_path / "m", **arguments)
    assert not os.path.exists(tmp_path / "m")


def test_vectors_of_a_tagger_are_its_own(tmp_path, tagger):
    with pytest.raises(ValueError, match="layers and pooling for an ElmoLayer alone"):
        keras_elmo.export_saved_model(tagger, tmp_path, pooling="max")
