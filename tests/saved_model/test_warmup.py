"""Warm-up requests and the README of an export."""

import contextlib
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.errors import PaddingWarning
from keras_elmo.saved_model.session import open_session, read_meta_graph, replay_warmup
from keras_elmo.saved_model.warmup import read_warmup, write_warmup


def asked(folder):
    """Signature, kind and number of rows of each request."""
    rows = []
    for log in read_warmup(folder):
        kind = log.WhichOneof("log_type")
        request = getattr(log, kind).request
        assert request.model_spec.name == os.path.basename(os.path.dirname(folder))
        if kind == "predict_log":
            (size,) = {x.tensor_shape.dim[0].size for x in request.inputs.values()}
        else:
            size = len(request.input.example_list.examples)
        rows.append((request.model_spec.signature_name, kind, size))
    return rows


def test_there_is_a_request_for_each_signature_and_batch_size(elmo_folder):
    names = ["char_ids", "default", "serving_default", "stateful", "tokens"]
    every = [(name, "predict_log", size) for name in names for size in (1, 4)]
    assert sorted(set(asked(elmo_folder))) == every


def test_there_are_requests_as_the_client_sends_them(elmo_folder):
    filters = {
        (log.predict_log.request.model_spec.signature_name, *outputs)
        for log in read_warmup(elmo_folder)
        if (outputs := log.predict_log.request.output_filter)
    }
    assert filters == {("default", "elmo", "lengths"), ("tokens", "elmo")}


def test_a_taggers_examples_are_asked_for_too(tagger_folder):
    kinds = {name: kind for name, kind, _ in asked(tagger_folder)}
    assert kinds["classify"] == "classify_log"
    assert kinds["regress"] == "regress_log"
    assert kinds["tokens"] == "predict_log"


def test_inputs_of_any_kind_are_made_up(tmp_path):
    words = keras.Input((None,), dtype="string", name="words")
    elmo = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
    mean = keras.layers.GlobalAveragePooling1D()(elmo(words))
    year = keras.Input((1,), name="year")
    colour = keras.Input((), dtype="string", name="colour")
    out = keras.layers.Concatenate()([mean, year])
    model = keras.Model([words, year, colour], [out, keras.layers.Identity()(colour)])
    folder = keras_elmo.export_saved_model(model, tmp_path / "m", batch_sizes=[2])
    with open(f"{folder}/README.md", encoding="utf-8") as file:
        text = file.read()
    assert "`sequence_len` alone" in text and "`tf.Example`" not in text
    first = next(read_warmup(folder)).predict_log.request
    assert tf.make_ndarray(first.inputs["year"]).tolist() == [[0.0], [0.0]]
    assert tf.make_ndarray(first.inputs["colour"]).tolist() == [b"a", b"a"]


def test_no_batch_size_is_no_request(tmp_path, elmo):
    folder = keras_elmo.export_saved_model(elmo, tmp_path / "m", batch_sizes=[])
    assert list(read_warmup(folder)) == []
    assert not os.path.exists(f"{folder}/assets.extra")


def test_a_request_that_fails_is_named(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "strings")])
    def fails(strings):
        tf.debugging.assert_equal(tf.strings.length(strings), 0, "expected blanks")
        return {"out": strings}

    folder = str(tmp_path / "m" / "1")
    tf.saved_model.save(tf.Module(), folder, signatures={"fails": fails})
    signatures = {"fails": read_meta_graph(folder).signature_def["fails"]}
    write_warmup(folder, "m", signatures, [1])
    with contextlib.closing(open_session(folder)) as session:
        with pytest.raises(ValueError, match="'fails' fails its own .*expected blanks"):
            replay_warmup(session, folder, signatures)


def test_nothing_is_published_that_fails_its_requests(tmp_path, elmo, monkeypatch):
    def fail(session, folder, signatures):
        raise ValueError("no good")

    monkeypatch.setattr("keras_elmo.saved_model.writer.replay_warmup", fail)
    with pytest.raises(ValueError, match="no good"):
        keras_elmo.export_saved_model(elmo, tmp_path / "m")
    assert os.listdir(tmp_path / "m") == []


def test_a_model_that_does_not_heed_its_mask_is_told(tmp_path, elmo):
    words = keras.Input((None,), dtype="string", name="words")
    vectors = elmo(words)
    mean = keras.layers.GlobalAveragePooling1D()(vectors)
    most = keras.ops.max(vectors, axis=1)
    model = keras.Model(words, {"most": most, "mean": mean, "vectors": vectors})
    with pytest.warns(PaddingWarning, match="changes these outputs: most. A layer"):
        folder = keras_elmo.export_saved_model(model, tmp_path / "m", batch_sizes=[])
    with open(f"{folder}/README.md", encoding="utf-8") as file:
        assert "- Padding changes: most." in file.read()


def test_the_readme_tells_signatures_and_source(elmo_folder, tagger_folder):
    with open(f"{elmo_folder}/README.md", encoding="utf-8") as file:
        text = file.read()
    assert "exported from: elmo_layer" in text
    assert (
        f"by keras_elmo {keras_elmo.__version__}, TensorFlow {tf.__version__}" in text
    )
    assert "| `char_ids` | `char_ids` int32 [?, ?, 50], `sequence_len` int32" in text
    assert "tensorflow-text" not in text
    with open(f"{tagger_folder}/README.md", encoding="utf-8") as file:
        assert "| `classify` | `inputs` string [?] | `classes` string" in file.read()


def test_a_model_of_own_inputs_is_said_to_see_padding(tmp_path, elmo):
    inputs = [keras.Input((None,), dtype="string", name=name) for name in ("a", "b")]
    means = [keras.layers.GlobalAveragePooling1D()(elmo(words)) for words in inputs]
    model = keras.Model(inputs, keras.layers.Dot(1, name="alike")(means))
    folder = keras_elmo.export_saved_model(model, tmp_path / "m", batch_sizes=[])
    with open(f"{folder}/README.md", encoding="utf-8") as file:
        text = file.read()
    assert "serve it without `pad_variable_length_inputs`" in text
    assert "`sequence_len`" not in text


def test_a_model_of_words_of_a_fixed_number_is_asked_in_its_own_shape(tmp_path, elmo):
    words = keras.Input((5,), dtype="string", name="tokens")
    folder = keras_elmo.export_saved_model(
        keras.Model(words, elmo(words)), tmp_path / "m"
    )
    (log,) = read_warmup(folder)
    found = tf.make_ndarray(log.predict_log.request.inputs["tokens"])
    assert found.shape == (1, 5)


def test_tables_of_other_layers_are_exported(tmp_path, elmo):
    words = keras.Input((None,), dtype="string", name="words")
    colour = keras.Input((1,), dtype="string", name="the-colour")
    look_up = keras.layers.StringLookup(
        vocabulary=["red", "blue"], output_mode="one_hot"
    )
    mean = keras.layers.GlobalAveragePooling1D()(elmo(words))
    both = keras.layers.Concatenate(name="both")([mean, look_up(colour)])
    folder = keras_elmo.export_saved_model(
        keras.Model([words, colour], both), tmp_path / "m", batch_sizes=[]
    )
    outputs = tf.saved_model.load(folder).signatures["default"](
        **{"strings": tf.constant(["a b"]), "the-colour": tf.constant([["blue"]])}
    )
    np.testing.assert_array_equal(outputs["both"][0, -3:], [0, 0, 1])
