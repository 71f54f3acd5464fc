"""ElmoLayer as its users meet it: inputs, padding, masks, training, saving."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_elmo
from tests.helpers import GOLDEN, load_golden

FILES = GOLDEN / "tiny" / "options.json", GOLDEN / "tiny" / "lm_weights.hdf5"
WORDS = np.array([["The", "cat", "sat", "."], ["Züge", "</S>", "", ""]])
LENGTHS = np.array([4, 2])


def load(**layer_arguments):
    return keras_elmo.load_ai2(*FILES, **layer_arguments)


@pytest.fixture(scope="module")
def elmo():
    return load()


def numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize(
    "form",
    [
        lambda w: w,
        lambda w: w.astype(object),
        tf.constant,
        lambda w: np.char.encode(w, "utf-8"),
    ],
    ids=["str", "object", "tensor", "bytes"],
)
@pytest.mark.parametrize("built", [True, False])
def test_all_forms_of_strings_are_alike(elmo, form, built):
    layer = elmo
    if not built:
        layer = keras_elmo.ElmoLayer.from_config(elmo.get_config())
    for call in (layer, layer.all_layers):
        assert call(form(WORDS)).shape[0] == 2
    np.testing.assert_array_equal(elmo(form(WORDS)), elmo(tf.constant(WORDS)))


def test_character_ids_give_what_strings_give(elmo):
    sentences = [list(WORDS[0]), list(WORDS[1, :2])]
    np.testing.assert_allclose(
        elmo(keras_elmo.batch_to_ids(sentences)), elmo(WORDS), atol=1e-6
    )


# "The" takes 5 with its marks, and the widest filter 7.
@pytest.mark.parametrize("chars", [12, 23, 50, 64])
def test_ids_may_have_any_number_of_characters(elmo, chars):
    ids = keras_elmo.batch_to_ids([["The", "cat"]], chars)
    expected = elmo(np.array([["The", "cat"]]))
    np.testing.assert_allclose(elmo(ids), expected, atol=1e-6)


def test_an_empty_string_before_the_last_word_is_a_word(elmo):
    vectors = numpy(elmo(np.array([["a", "", "b", ""]])))
    assert vectors[0, 1].any()
    assert not vectors[0, 3].any()


def test_lengths_alone_decide_where_given(elmo):
    padded_with_words = np.array([["a", "b", "x", "y"]])
    vectors = numpy(elmo(padded_with_words, lengths=np.array([2])))
    np.testing.assert_array_equal(vectors[:, :2], elmo(np.array([["a", "b"]])))
    assert not vectors[:, 2:].any()
    longer = numpy(elmo(np.array([["a", "", ""]]), lengths=np.array([3])))
    assert longer[0, 2].any()


def test_lengths_are_cut_to_what_is_there(elmo):
    expected = elmo(np.array([["a", "b"]]))
    actual = elmo(np.array([["a", "b"]]), lengths=np.array([9]))
    np.testing.assert_array_equal(actual, expected)
    assert not numpy(elmo(np.array([["a"]]), lengths=np.array([-1]))).any()


def test_boundaries_spelled_in_text_take_the_boundary_ids(elmo):
    ids = keras_elmo.batch_to_ids([["<S>", "a", "</S>"]])
    assert (ids[0, :, 1] == [257, 98, 258]).all()
    strings = elmo(np.array([["<S>", "a", "</S>"]]))
    np.testing.assert_allclose(elmo(ids), strings, atol=1e-6)
    assert not np.allclose(strings, elmo(np.array([["<s>", "a", "</s>"]])))


def test_padding_is_zero_and_masked_in_every_layer(elmo):
    outputs = elmo(WORDS)
    mask = np.arange(4) < LENGTHS[:, None]
    np.testing.assert_array_equal(outputs._keras_mask, mask)
    assert not numpy(outputs)[~mask].any()
    layers = numpy(elmo.all_layers(WORDS))
    assert not layers.transpose(0, 2, 1, 3)[~mask].any()
    assert layers.transpose(0, 2, 1, 3)[mask].any(axis=-1).all()


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_the_mask_reaches_the_layers_behind(elmo, lengths):
    words, given = keras.Input((None,), dtype="string"), keras.Input((), dtype="int32")
    if lengths is None:
        inputs, vectors, feed = words, elmo(words), tf.constant(WORDS)
    else:
        inputs, vectors = [words, given], elmo(words, lengths=given)
        feed = [tf.constant(WORDS), tf.constant(lengths)]
    pooled = keras.layers.GlobalAveragePooling1D()(vectors)
    mean = keras.Model(inputs, pooled).predict(feed, verbose=0)
    expected = numpy(elmo(WORDS)).sum(axis=1) / LENGTHS[:, None]
    np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_an_empty_sentence_and_an_empty_batch_give_empty_results(elmo):
    assert elmo(tf.zeros((0, 3), tf.string)).shape == (0, 3, 28)
    assert elmo(tf.zeros((2, 0), tf.string)).shape == (2, 0, 28)
    assert elmo.all_layers(tf.zeros((0, 0), tf.string)).shape == (0, 3, 0, 28)
    assert elmo(keras_elmo.batch_to_ids([[], []])).shape == (2, 0, 28)
    assert elmo(keras_elmo.batch_to_ids([])).shape == (0, 0, 28)
    assert not numpy(elmo(np.array([["", ""]]))).any()
    words, lengths = keras_elmo.pad_sentences([[], ["a"]])
    alone = elmo(np.array([["a"]]))
    np.testing.assert_allclose(elmo(words, lengths)[1:], alone, atol=1e-6)


words_of_text = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(words_of_text, min_size=1, max_size=6),
    st.lists(st.lists(words_of_text, max_size=8), max_size=3),
    st.integers(0, 3),
)
def test_a_sentence_has_its_vectors_whatever_is_around_it(sentence, others, padding):
    layer = _stateless()
    alone = layer.all_layers(*keras_elmo.pad_sentences([sentence]))
    batch = [*others, sentence + [""] * padding]
    words, lengths = keras_elmo.pad_sentences(batch)
    lengths[-1] = len(sentence)
    together = layer.all_layers(words, lengths)
    np.testing.assert_allclose(
        together[-1, :, : len(sentence)], alone[0], atol=1e-5, rtol=0
    )


def _stateless(kept=[]):  # noqa: B006 - one layer for all examples
    if not kept:
        kept.append(load())
    return kept[0]


def test_the_calls_before_do_not_matter(elmo):
    first = elmo(WORDS)
    elmo(np.array([["something", "else"]]))
    np.testing.assert_array_equal(elmo(WORDS), first)


def test_state_is_carried_row_by_row_and_reset():
    layer = load(stateful=True, max_batch_size=3)
    first = numpy(layer(WORDS))
    second = numpy(layer(WORDS))
    assert np.abs(second - first).max() > 1e-3
    layer(WORDS[:1])  # the second row of state stays
    before = [v.numpy()[1:] for v in keras.tree.flatten(layer._state.variables)]
    layer(WORDS[:1])
    after = [v.numpy()[1:] for v in keras.tree.flatten(layer._state.variables)]
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    layer.reset_state()
    np.testing.assert_array_equal(layer(WORDS), first)


def test_a_batch_above_the_rows_of_state_is_an_error():
    layer = load(stateful=True, max_batch_size=1)
    with pytest.raises(ValueError, match="at most max_batch_size, 1, .* received 2"):
        layer(WORDS)


def test_reset_state_of_a_stateless_layer_is_an_error(elmo):
    with pytest.raises(ValueError, match="expected stateful=True"):
        elmo.reset_state()


def test_state_is_never_saved(tmp_path):
    layer = load(stateful=True)
    words = keras.Input((None,), dtype="string")
    model = keras.Model(words, layer(words))
    fresh = numpy(layer(WORDS))
    layer(WORDS)
    assert len(layer.variables) == len(load().variables)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(tf.constant(WORDS)), fresh)
    layer.save_to_preset(tmp_path / "preset")
    preset = keras_elmo.ElmoLayer.from_preset(tmp_path / "preset")
    assert not preset.stateful
    np.testing.assert_array_equal(preset(WORDS), fresh)


@pytest.mark.parametrize("count", [1, 2])
def test_each_representation_has_a_mix_of_its_own(count):
    layer = load(num_representations=count)
    for i, mix in enumerate(layer.mixes):
        mix.set_layer_weights(np.eye(3)[i])
    outputs = layer(WORDS)
    layers = numpy(layer.all_layers(WORDS))
    assert isinstance(outputs, list) == (count > 1)
    for i, output in enumerate(outputs if count > 1 else [outputs]):
        np.testing.assert_allclose(output, layers[:, i], atol=1e-6)
        np.testing.assert_array_equal(output._keras_mask[1], [True, True, False, False])


def test_kept_boundaries_stand_around_the_words():
    kept = load(keep_sentence_boundaries=True, do_layer_norm=True)
    plain = load(do_layer_norm=True)
    outputs = kept(WORDS)
    assert outputs.shape == (2, 6, 28) == kept.compute_output_shape((2, 4))[:3]
    np.testing.assert_array_equal(
        outputs._keras_mask, np.arange(6) < LENGTHS[:, None] + 2
    )
    expected = numpy(plain(WORDS))
    np.testing.assert_allclose(outputs[0, 1:5], expected[0], atol=1e-6)
    np.testing.assert_allclose(outputs[1, 1:3], expected[1, :2], atol=1e-6)
    assert numpy(outputs)[1, 3].any()  # its </S>
    assert not numpy(outputs)[1, 4:].any()


def trained_paths(layer):
    return {v.path.split("/")[-1] for v in layer.trainable_variables}


def test_only_the_mix_trains_by_default_whatever_trainable_was(elmo, tmp_path):
    layer = load()
    mix = {"gamma", "raw_weights"}
    assert trained_paths(layer) == mix
    layer.trainable = False
    assert trained_paths(layer) == set()
    layer.trainable = True
    assert trained_paths(layer) == mix
    words = keras.Input((None,), dtype="string")
    model = keras.Model(words, keras.layers.Dense(2)(layer(words)))
    model.trainable = False
    model.trainable = True
    assert trained_paths(model) == mix | {"kernel", "bias"}
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert trained_paths(again) == mix | {"kernel", "bias"}
    again.trainable = False
    again.trainable = True
    assert len(again.trainable_variables) == 4


@pytest.mark.parametrize("fine_tune", [False, True])
@pytest.mark.parametrize("saved", [False, True])
def test_a_frozen_layer_trains_nothing_until_it_is_set_free(tmp_path, fine_tune, saved):
    words = keras.Input((None,), dtype="string")
    if saved:
        layer = load(fine_tune=fine_tune)
        layer.trainable = False
        keras.Model(words, layer(words)).save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
        layer = model.layers[-1]
    else:
        layer = load(fine_tune=fine_tune, trainable=False)
        model = keras.Model(words, layer(words))
    # Of the model: it asks each weight, and not the layer around it.
    assert model.trainable_weights == []
    layer.trainable = True
    if fine_tune:
        assert len(model.trainable_weights) == len(layer.weights)
    else:
        assert trained_paths(model) == {"gamma", "raw_weights"}


def test_fine_tune_trains_all_and_is_saved(tmp_path):
    layer = load(fine_tune=True)
    assert len(layer.trainable_variables) == len(layer.weights)
    words = keras.Input((None,), dtype="string")
    model = keras.Model(words, layer(words))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert len(again.trainable_variables) == len(layer.weights)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_gradients_reach_the_bilm_only_in_fine_tuning(fine_tune):
    layer = load(fine_tune=fine_tune)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(WORDS) ** 2)
    variables = [w.value for w in layer.token_encoder.weights + layer.bilm.weights]
    gradients = tape.gradient(loss, variables)
    for gradient in gradients:
        assert (gradient is not None) == fine_tune
        # Sparse gradients with repeated rows would be applied wrongly by Keras.
        assert not isinstance(gradient, tf.IndexedSlices)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_fit_changes_what_it_should_and_nothing_else(fine_tune):
    layer = load(fine_tune=fine_tune, dropout=0.5, seed=3)
    words = keras.Input((None,), dtype="string")
    scores = keras.layers.Dense(3, activation="softmax")(layer(words))
    model = keras.Model(words, scores)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    frozen = [w.numpy() for w in layer.bilm.weights]
    mix = layer.mixes[0].raw_weights.numpy()
    data = tf.data.Dataset.from_tensors((WORDS, np.array([[0, 1, 2, 1], [1, 1, 0, 0]])))
    model.fit(data.repeat(3), shuffle=False, verbose=0)
    same = [
        np.array_equal(a, b.numpy())
        for a, b in zip(frozen, layer.bilm.weights, strict=True)
    ]
    assert all(same) if not fine_tune else not any(same)
    assert not np.array_equal(mix, layer.mixes[0].raw_weights.numpy())


def test_dropout_acts_in_training_alone(elmo):
    layer = load(dropout=0.5, seed=1)
    np.testing.assert_array_equal(layer(WORDS), elmo(WORDS))
    dropped = numpy(layer(WORDS, training=True))[0]
    assert 0.2 < (dropped == 0).mean() < 0.8


def test_the_penalty_is_on_raw_weights(elmo):
    layer = load(l2_coef=0.1)
    layer.mixes[0].raw_weights.assign([1.0, 2.0, -2.0])
    assert float(layer.losses[0]) == pytest.approx(0.9)
    assert elmo.losses == []


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_lower_precision_stays_near(elmo, dtype):
    layer = load(dtype=dtype)
    outputs = layer(WORDS)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype.split("_")[-1]
    difference = numpy(keras.ops.cast(outputs, "float32")) - numpy(elmo(WORDS))
    assert np.abs(difference).max() < 0.1


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_survives_a_keras_file(tmp_path, count):
    layer = load(num_representations=count, dropout=0.2, keep_sentence_boundaries=True)
    layer.mixes[-1].set_layer_weights([0.2, 0.5, 0.3])
    words = keras.Input((None,), dtype="string")
    lengths = keras.Input((), dtype="int32")
    outputs = layer(words, lengths=lengths)
    model = keras.Model([words, lengths], outputs)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    feed = [tf.constant(WORDS), tf.constant(LENGTHS)]
    for a, b in zip(
        keras.tree.flatten(model(feed)), keras.tree.flatten(again(feed)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
        assert a.shape == (2, 6, 28)
    assert json.dumps(layer.get_config()) == json.dumps(
        next(x for x in again.layers if x.name == layer.name).get_config()
    )


@pytest.mark.parametrize("stored", ["float32", "float16"])
def test_a_preset_keeps_the_mixes(tmp_path, stored):
    layer = load(num_representations=2, dropout=0.3, l2_coef=0.001)
    layer.mixes[1].set_layer_weights([0.1, 0.2, 0.7])
    layer.mixes[1].gamma.assign(1.7)
    layer.save_to_preset(tmp_path / "preset", stored)
    again = keras_elmo.ElmoLayer.from_preset(tmp_path / "preset")
    assert (again.num_representations, again.dropout, again.l2_coef) == (2, 0.3, 0.001)
    atol = 0 if stored == "float32" else 2e-2
    for a, b in zip(again(WORDS), layer(WORDS), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)
    other = keras_elmo.ElmoLayer.from_preset(
        tmp_path / "preset", num_representations=1, fine_tune=True
    )
    np.testing.assert_allclose(other.mixes[0].layer_weights, [1 / 3] * 3, rtol=1e-6)
    assert other.fine_tune


def test_token_ids_are_read_as_words_are():
    layer = load_golden("token_input")
    words = np.array([["the", "never-seen", "The"], ["the", "", ""]])
    ids = layer.reader.vocabulary.token_ids([["the", "never-seen", "The"], ["the"]])
    np.testing.assert_array_equal(layer(ids), layer(words))
    unknown = layer(np.array([["the", "<UNK>", "The"]]))
    np.testing.assert_allclose(layer(words)[:1], unknown, atol=1e-6)


@pytest.mark.parametrize(
    "inputs, lengths, message",
    [
        ([["a", "b"]], None, "received a list; keras_elmo.pad_sentences makes arrays"),
        (np.array(["a"]), None, r"expected words \(batch, time\).* shape \(1,\)"),
        (np.zeros((1, 2), "int32"), None, "or ids of rank 3, received int32"),
        (np.zeros((1, 2, 50), "float32"), None, "expected strings or ids"),
        (WORDS, np.array([[1], [2]]), r"expected lengths of shape \(2,\)"),
        (WORDS, np.array([1.0, 2.0]), "expected lengths to be ints, received float"),
        (WORDS, np.array([1]), r"expected lengths of shape \(2,\).* received \(1,\)"),
        (np.zeros((1, 2, 3), "int32"), None, "at least 7 characters a word"),
    ],
)
def test_wrong_inputs_are_named(elmo, inputs, lengths, message):
    with pytest.raises(ValueError, match=message):
        elmo(inputs, lengths=lengths)


def test_numpy_strings_in_fit_are_refused_by_an_error_that_names_tf_data(elmo):
    words = keras.Input((None,), dtype="string")
    pooled = keras.layers.GlobalAveragePooling1D()(elmo(words))
    model = keras.Model(words, keras.layers.Dense(2)(pooled))
    model.compile("sgd", "mse")
    targets = np.zeros((2, 2))
    for refused in (WORDS, WORDS.astype(object)):
        with pytest.raises(ValueError, match="Invalid dtype.*expected tf.data"):
            model.fit(refused, targets, verbose=0)
        with pytest.raises(ValueError, match="expected tf.data"):
            model.evaluate(refused, targets, verbose=0)
        with pytest.raises(ValueError, match="expected tf.data"):
            model.predict(refused, verbose=0)
    data = tf.data.Dataset.from_tensor_slices((WORDS, targets)).batch(2)
    history = model.fit(data, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("lengths", [[4, 2], (4, 2), LENGTHS, LENGTHS.astype("int32")])
def test_lengths_may_be_a_list_and_stand_second(elmo, lengths):
    np.testing.assert_array_equal(elmo(WORDS, lengths), elmo(WORDS))
    np.testing.assert_array_equal(
        elmo.all_layers(WORDS, lengths), elmo.all_layers(WORDS)
    )


def test_a_ragged_tensor_is_refused_with_the_way_out(elmo):
    ragged = tf.ragged.constant([["The", "cat"], ["Züge"]])
    with pytest.raises(ValueError, match="lengths=ragged.row_lengths"):
        elmo(ragged)
    elmo(ragged.to_tensor(), lengths=ragged.row_lengths())


def test_all_layers_are_not_for_keras_tensors(elmo):
    with pytest.raises(ValueError, match="received a Keras tensor"):
        elmo.all_layers(keras.Input((None,), dtype="string"))


@pytest.mark.parametrize(
    "layer_arguments, message",
    [
        ({"num_representations": 0}, "expected num_representations >= 1"),
        ({"max_batch_size": 0}, "expected max_batch_size >= 1"),
        ({"max_chars_per_token": 6}, r"expected max_chars_per_token >= 7"),
        ({"vocabulary": ["<S>", "</S>"]}, "expected a line <UNK>, found none"),
    ],
)
def test_wrong_arguments_are_named(layer_arguments, message):
    stored = load()
    with pytest.raises(ValueError, match=message):
        keras_elmo.ElmoLayer(stored.token_encoder, stored.bilm, **layer_arguments)


def test_an_embedding_has_a_row_for_padding(elmo):
    words = ["<S>", "</S>", "<UNK>", "a"]
    with pytest.raises(
        ValueError, match="expected an Embedding of 5 rows .* received 4"
    ):
        keras_elmo.ElmoLayer(keras.layers.Embedding(4, 14), elmo.bilm, words)


def test_a_layer_without_weights_is_not_saved(elmo, tmp_path):
    layer = keras_elmo.ElmoLayer.from_config(elmo.get_config())
    with pytest.raises(ValueError, match="expected a built layer"):
        keras_elmo.save_ai2(layer, tmp_path)
    with pytest.raises(ValueError, match="expected a built layer"):
        layer.save_to_preset(tmp_path)


def test_weights_are_stored_whole_or_not_at_all(tmp_path):
    layer = load()
    with pytest.raises(ValueError, match="dtype: expected"):
        layer.save_to_preset(tmp_path, dtype="int8")
    layer.bilm.weights[0].assign(layer.bilm.weights[0] + 1e5)
    with pytest.raises(ValueError, match="W_0: a weight is too large for float16"):
        layer.save_to_preset(tmp_path, dtype="float16")
    assert list(tmp_path.iterdir()) == []


def test_one_trace_serves_all_lengths(elmo):
    traces = []

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.string)])
    def embed(words):
        traces.append(words)
        return elmo(words)

    for time in (0, 1, 3, 4):
        expected = elmo(WORDS[:, :time])
        np.testing.assert_allclose(embed(WORDS[:, :time]), expected, atol=1e-6)
    assert len(traces) == 1
