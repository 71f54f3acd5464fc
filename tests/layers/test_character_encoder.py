"""`CharacterEncoder` against float64 NumPy: convolutions, highway, projection."""

import numpy as np
import pytest

from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.text.characters import batch_to_ids
from tests.helpers import assert_close, check_layer, randomize
from tests.layers import references

FILTERS = [(1, 3), (3, 5)]


@pytest.fixture
def ids():
    return batch_to_ids([["", "naïve", "steps"], ["Zürich"]], 9)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("num_highway", [0, 1, 2])
@pytest.mark.parametrize("projection_dim", [5, 8])  # 8 filters: no projection
def test_matches_the_reference(ids, projection_dim, num_highway, activation):
    layer = CharacterEncoder(
        FILTERS, projection_dim, num_highway, 4, activation, dtype="float64"
    )
    layer.build(ids.shape)
    randomize(layer)
    assert (layer.projection is None) == (projection_dim == 8)
    assert_close(layer(ids), references.encoder(ids, layer), rtol=1e-10, atol=1e-12)


def test_survives_what_every_layer_must(ids):
    arguments = {
        "filters": FILTERS,
        "projection_dim": 5,
        "num_highway": 2,
        "embedding_dim": 4,
        "activation": "tanh",
    }
    check_layer(CharacterEncoder, arguments, ids)


def test_default_sizes_are_those_of_ai2s_small_model():
    layer = CharacterEncoder()
    layer.build((None, None, 50))
    # elmo.md, section 11: embedding, convolutions, one highway, projection.
    assert layer.count_params() == 4_176 + 199_168 + 8_392_704 + 262_272


def test_mask_is_that_of_the_characters(ids):
    expected = np.array([[1, 1, 1], [1, 0, 0]], bool)
    layer = CharacterEncoder(FILTERS, 5)
    np.testing.assert_array_equal(layer.compute_mask(ids), expected)
    np.testing.assert_array_equal(layer(ids)._keras_mask, expected)


def test_mask_reaches_a_bilm_by_itself(ids):
    encoder, bilm = CharacterEncoder(FILTERS, 5), BiLM(6, 5)
    vectors = encoder(ids)
    mask = encoder.compute_mask(ids)
    assert_close(bilm(vectors), bilm(np.array(vectors), mask=mask))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"num_highway": -1},
            "CharacterEncoder: expected num_highway >= 0, received -1",
        ),
        (
            {"filters": FILTERS, "projection_dim": 9},
            "CharacterEncoder: expected projection_dim of at most .* 8, received 9",
        ),
        ({"activation": "gelu"}, "CharCNN: expected activation"),
        ({"filters": []}, "CharCNN: expected filters"),
    ],
)
def test_refuses_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        CharacterEncoder(**arguments)
