"""`BiLM` against two full stacks in float64 NumPy."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.layers.bilm import BiLM
from tests.helpers import as_numpy, assert_close, check_layer, randomize
from tests.layers import references

BATCH, TIME, WIDTH, UNITS = 3, 5, 4, 6


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((BATCH, TIME, WIDTH))


@pytest.fixture
def mask():
    return np.arange(TIME) < np.array([[5], [2], [0]])


def built(num_layers=2, projection_dim=WIDTH, units=UNITS, scale=0.7, **arguments):
    arguments = {"cell_clip": 0.8, "proj_clip": 0.5, "dtype": "float64", **arguments}
    bilm = BiLM(units, projection_dim, num_layers, **arguments)
    bilm.build((None, None, WIDTH))
    return randomize(bilm, scale)


def random_states(bilm, batch=BATCH):
    rng = np.random.default_rng(5)
    return [
        [
            [rng.standard_normal((batch, n)) for n in (WIDTH, bilm.units)]
            for _ in range(bilm.num_layers)
        ]
        for _ in range(2)
    ]


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("skip_connections", [False, True])
@pytest.mark.parametrize("projection_dim", [WIDTH, None])
def test_matches_the_reference(x, mask, projection_dim, skip_connections, num_layers):
    units = UNITS if projection_dim else WIDTH
    bilm = built(num_layers, projection_dim, units, skip_connections=skip_connections)
    expected, _ = references.bilm(x, bilm, mask)
    assert_close(bilm(x, mask=mask), expected, rtol=1e-10, atol=1e-12)
    assert_close(bilm(x), references.bilm(x, bilm)[0], rtol=1e-10, atol=1e-12)


@given(
    num_layers=st.integers(1, 2),
    unroll=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=8, deadline=None)
def test_states_go_in_and_out_per_direction_and_layer(num_layers, unroll, seed):
    rng = np.random.default_rng(seed)
    bilm = built(num_layers, unroll=unroll)
    x, mask = rng.standard_normal((BATCH, TIME, WIDTH)), rng.random((BATCH, TIME)) < 0.7
    states = random_states(bilm)
    actual = bilm(x, mask=mask, initial_state=states, return_state=True)
    expected = references.bilm(x, bilm, mask, states)
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


def test_zero_states_are_the_default(x):
    bilm = built(return_state=True)
    zeros = bilm.get_initial_state(BATCH)
    assert_close(bilm(x, initial_state=zeros), bilm(x), rtol=0, atol=0)


def test_layer_0_is_the_token_twice(x, mask):
    layer_0 = np.array(built()(x, mask=mask))[:, 0]
    tokens = x * mask[:, :, None]
    np.testing.assert_array_equal(layer_0, np.concatenate([tokens, tokens], axis=-1))


@pytest.mark.parametrize("skip_connections", [False, True])
def test_padding_is_zero_in_every_layer(x, mask, skip_connections):
    layers = np.array(built(skip_connections=skip_connections)(x, mask=mask))
    np.testing.assert_array_equal(layers.transpose(0, 2, 1, 3)[~mask], 0.0)


def test_neither_padding_nor_other_rows_have_influence(x, mask):
    bilm = built()
    together = np.array(bilm(np.where(mask[:, :, None], x, 1e6), mask=mask))
    for row, length in enumerate(mask.sum(axis=1)[:2]):
        alone = np.array(bilm(x[row : row + 1, :length]))
        assert_close(together[row : row + 1, :, :length], alone, rtol=1e-12)


def test_each_direction_reads_its_own_side(x):
    bilm = built()
    other = x.copy()
    other[:, 2] += 1.0
    changed = np.array(bilm(other)) != np.array(bilm(x))
    for layer in (1, 2):
        left = changed[:, layer, :, :WIDTH].any(axis=(0, 2))
        right = changed[:, layer, :, WIDTH:].any(axis=(0, 2))
        np.testing.assert_array_equal(left, [False, False, True, True, True])
        np.testing.assert_array_equal(right, [True, True, True, False, False])


def test_directions_have_weights_of_their_own(x):
    bilm = built()
    right = np.array(bilm(x))[:, 1:, :, WIDTH:]
    for variable in bilm.forward_stack.weights:
        variable.assign(np.zeros(variable.shape))
    np.testing.assert_array_equal(np.array(bilm(x))[:, 1:, :, WIDTH:], right)
    np.testing.assert_array_equal(np.array(bilm(x))[:, 1:, :, :WIDTH], 0.0)


@pytest.mark.parametrize("return_state", [False, True])
def test_survives_what_every_layer_must(x, mask, return_state):
    arguments = {
        "units": UNITS,
        "projection_dim": WIDTH,
        "num_layers": 2,
        "cell_clip": 0.8,
        "proj_clip": 0.5,
        "skip_connections": False,
        "return_state": return_state,
    }
    check_layer(BiLM, arguments, x.astype("float32"), mask=mask)


def test_default_sizes_are_those_of_ai2s_original_model():
    bilm = BiLM()
    assert (bilm.units, bilm.direction_dim, bilm.num_layers) == (4096, 512, 2)
    assert (bilm.cell_clip, bilm.proj_clip, bilm.skip_connections) == (3.0, 3.0, True)


def test_call_decides_about_the_states_before_the_constructor(x):
    with_state, without = built(return_state=True), built()
    outputs, states = without(x, return_state=True)
    assert_close([outputs, states], list(with_state(x)))
    assert_close(with_state(x, return_state=False), outputs)


def test_functional_model_may_ask_for_the_states_in_the_call(x):
    bilm = built(dtype="float32")
    tokens = keras.Input((None, WIDTH))
    states = [
        [[keras.Input((WIDTH,)), keras.Input((UNITS,))] for _ in range(2)]
        for _ in range(2)
    ]
    outputs = bilm(tokens, initial_state=states, return_state=True)
    model = keras.Model([tokens, states], outputs)
    given_states = random_states(bilm)
    expected = bilm(x, initial_state=given_states, return_state=True)
    assert_close(model([x, given_states]), expected)


def test_sentence_read_in_two_pieces_equals_the_whole_in_each_direction(x):
    bilm = built(return_state=True)
    outputs, (forward, backward) = bilm(x)
    _, (left, _) = bilm(x[:, :2])
    second, (after, _) = bilm(x[:, 2:], initial_state=[left, None])
    assert_close(second[..., :WIDTH], outputs[:, :, 2:, :WIDTH])
    assert_close(after, forward)
    _, (_, right) = bilm(x[:, 2:])
    first, (_, before) = bilm(x[:, :2], initial_state=[None, right])
    assert_close(first[:, 1:, :, WIDTH:], outputs[:, 1:, :2, WIDTH:])
    assert_close(before, backward)


def test_given_cell_states_are_not_rounded_in_half_precision(x):
    bilm = built(dtype="mixed_bfloat16")
    states = keras.tree.map_structure(
        lambda s: (s + 1e-4).astype("float32"), random_states(bilm)
    )
    nothing = np.zeros((BATCH, TIME), bool)
    _, after = bilm(x, mask=nothing, initial_state=states, return_state=True)
    for direction, expected_direction in zip(after, states, strict=True):
        for (_, c), (_, expected) in zip(direction, expected_direction, strict=True):
            np.testing.assert_array_equal(as_numpy(c), expected)


def test_no_time_steps_give_no_vectors(mask):
    outputs, states = built()(np.zeros((BATCH, 0, WIDTH)), return_state=True)
    assert outputs.shape == (BATCH, 3, 0, 2 * WIDTH)
    for state in keras.tree.flatten(states):
        np.testing.assert_array_equal(state, np.zeros(state.shape))


def test_mask_comes_from_any_token_encoder_and_ends_here():
    words = np.array([[3, 1, 0], [2, 0, 0]])
    embedding = keras.layers.Embedding(9, WIDTH, mask_zero=True)
    bilm = built(dtype="float32")
    outputs = bilm(embedding(words))
    assert_close(outputs, bilm(np.array(embedding(words)), mask=words != 0))
    assert getattr(outputs, "_keras_mask", None) is None


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 5, 8), (2, 4), (2, 5, None)])
def test_refuses_token_vectors_of_another_size(shape):
    message = r"BiLM: expected token vectors \(batch, time, 4\), received shape"
    with pytest.raises(ValueError, match=message):
        BiLM(6, 4)(keras.Input(batch_shape=shape))


def test_built_bilm_refuses_token_vectors_of_another_size(x):
    with pytest.raises(ValueError, match="BiLM: expected token vectors"):
        built()(x[:, :, :3])


def test_refuses_wrong_arguments():
    with pytest.raises(ValueError, match="LSTMStack: expected num_layers >= 1"):
        BiLM(6, 4, num_layers=0)
    with pytest.raises(ValueError, match="ProjectedLSTM: expected proj_clip > 0"):
        BiLM(6, 4, proj_clip=0)
