"""`CharCNN` against a plain loop over words, filters and places in float64 NumPy."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.layers.char_cnn import CharCNN
from keras_elmo.text.characters import WORD_PADDING, batch_to_ids
from tests.helpers import assert_close, check_layer, gradients, randomize
from tests.layers import references

FILTERS = [(3, 4), (1, 2), (2, 3)]
SENTENCES = [["", "naïve", "a-rather-long-word"], ["Zürich", "<S>"], ["x"]]


@pytest.fixture
def ids():
    return batch_to_ids(SENTENCES, 9)


@given(
    filters=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3)), min_size=1, max_size=4
    ),
    activation=st.sampled_from(["relu", "tanh"]),
    embedding_dim=st.integers(1, 5),
    spare=st.integers(0, 6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=20, deadline=None)
def test_matches_the_reference(filters, activation, embedding_dim, spare, seed):
    chars = max(width for width, _ in filters) + spare
    ids = np.random.default_rng(seed).integers(0, 262, (2, 3, chars), np.int32)
    layer = CharCNN(filters, embedding_dim, activation, dtype="float64")
    layer.build(ids.shape)
    randomize(layer, seed=seed)
    assert_close(layer(ids), references.char_cnn(ids, layer), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_survives_what_every_layer_must(ids, activation):
    arguments = {"filters": FILTERS, "embedding_dim": 4, "activation": activation}
    check_layer(CharCNN, arguments, ids)


def test_number_of_characters_may_be_unknown(ids):
    tokens = keras.Input((None, None), dtype="int32")
    layer = CharCNN(FILTERS, 4)
    model = keras.Model(tokens, layer(tokens))
    for chars in (3, 9):
        piece = ids[:, :, :chars]
        assert_close(model.predict(piece, verbose=0), layer(piece))


def test_padding_inside_a_word_takes_part():
    layer = CharCNN([(1, 6)], 4)
    layer.build((None, None, 9))
    randomize(layer)
    full, padded = (batch_to_ids([["naïve"]], chars) for chars in (8, 9))
    assert (full != WORD_PADDING).all() and padded[0, 0, -1] == WORD_PADDING
    # Its vector enters the maximum like any other: here it is made the largest.
    embedding, kernel = references.array(layer.embedding), layer.kernels[0]
    embedding[WORD_PADDING - 1] = 9 * references.array(kernel)[0].sum(axis=1)
    layer.embedding.assign(embedding)
    alone = layer(np.full((1, 1, 1), WORD_PADDING))
    assert_close(layer(padded), np.maximum(layer(full), alone))
    assert np.any(np.array(layer(padded)) > np.array(layer(full)))


def test_id_0_has_the_zero_vector(ids):
    layer = CharCNN(FILTERS, 4)
    layer.build(ids.shape)
    randomize(layer)
    biases = np.concatenate([references.array(bias) for bias in layer.biases])
    masked = layer(np.zeros((1, 1, 9), np.int32))
    assert_close(masked, np.maximum(biases, 0.0).reshape(1, 1, -1).astype("float32"))


def test_id_1_has_the_first_stored_vector():
    layer = CharCNN([(1, 2)], 2)
    layer.build((None, None, 1))
    layer.kernels[0].assign(np.eye(2)[None])
    layer.embedding.assign(np.abs(references.array(layer.embedding)))
    assert_close(layer(np.array([[[1, 1], [261, 261]]]))[0], layer.embedding[::260])


def test_gradient_of_the_embedding_is_dense(ids):
    import tensorflow as tf

    layer = CharCNN(FILTERS, 4)
    layer(ids)
    gradient = gradients(layer, ids)[layer.weights.index(layer.embedding)]
    assert isinstance(gradient, tf.Tensor)
    assert gradient.shape == layer.embedding.shape


def test_mask_is_false_where_all_characters_are_0(ids):
    ids[1, 0] = 0  # a hole
    ids[1, 0, 4] = 7  # that holds a character
    expected = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]], bool)
    layer = CharCNN(FILTERS, 4)
    np.testing.assert_array_equal(layer.compute_mask(ids), expected)
    np.testing.assert_array_equal(layer(ids)._keras_mask, expected)


def test_vector_depends_on_the_word_alone(ids):
    layer = CharCNN(FILTERS, 4)
    vectors = layer(ids)
    assert_close(layer(ids[1:2, :1])[0, 0], vectors[1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": []}, "expected filters to be pairs"),
        ({"filters": [(1, 2, 3)]}, "expected filters to be pairs"),
        ({"filters": [(0, 2)]}, "expected filters to be pairs"),
        ({"filters": [(2, -1)]}, r"received \[\(2, -1\)\]"),
        ({"filters": [(1, 2)], "activation": "gelu"}, "received 'gelu'"),
    ],
)
def test_refuses_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match="CharCNN: expected .*") as error:
        CharCNN(**arguments)
    assert error.match(message)


@pytest.mark.parametrize("shape", [(2, 9), (2, 3, 9, 1)])
def test_refuses_ids_of_another_rank(shape):
    with pytest.raises(
        ValueError, match=r"CharCNN: expected ids \(batch, time, chars\)"
    ):
        CharCNN(FILTERS)(np.zeros(shape, np.int32))


def test_refuses_fewer_characters_than_the_widest_filter(ids):
    layer = CharCNN(FILTERS)
    layer(ids)
    for shorter in (layer, CharCNN(FILTERS)):
        with pytest.raises(ValueError, match="CharCNN: expected at least 3 characters"):
            shorter(ids[:, :, :2])
