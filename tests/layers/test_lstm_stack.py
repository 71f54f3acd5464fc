"""`LSTMStack` against float64 NumPy; the single layer is tested beside it."""

import numpy as np
import pytest

from keras_elmo.layers.lstm_stack import LSTMStack
from tests.helpers import assert_close, check_layer, randomize
from tests.layers import references


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((3, 5, 4))


@pytest.fixture
def mask():
    return np.array([[1, 1, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 1, 1, 1]], bool)


def built(num_layers, **arguments):
    stack = LSTMStack(6, 4, num_layers, dtype="float64", **arguments)
    stack.build((None, None, 4))
    return randomize(stack)


@pytest.mark.parametrize("skip_connections", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_matches_the_reference(x, mask, num_layers, skip_connections):
    stack = built(num_layers, skip_connections=skip_connections, cell_clip=0.5)
    rng = np.random.default_rng(2)
    state = [[rng.standard_normal((3, n)) for n in (4, 6)] for _ in range(num_layers)]
    reset = rng.random((3, 5)) < 0.3
    expected = references.stack(x, stack, mask, state, reset)
    actual = stack(x, mask=mask, initial_state=state, reset=reset)
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    assert_close(stack(x), references.stack(x, stack), rtol=1e-10, atol=1e-12)


def test_recurrent_state_is_without_the_skip(x):
    outputs, states = built(2)(x)
    assert_close(outputs[0][:, -1], states[0][0])
    assert_close(outputs[1][:, -1] - outputs[0][:, -1], states[1][0])


@pytest.mark.parametrize("skip_connections", [False, True])
def test_outputs_at_masked_steps_are_zero(x, mask, skip_connections):
    outputs, _ = built(3, skip_connections=skip_connections)(x, mask=mask)
    for output in outputs:
        np.testing.assert_array_equal(np.array(output)[~mask], 0.0)


def test_lowest_layer_may_read_another_width(x):
    stack = LSTMStack(6, 3, 2)
    outputs, _ = stack(x)
    assert [output.shape[-1] for output in outputs] == [3, 3]
    assert stack.lstms[0].kernel.shape[0] == 4
    assert stack.lstms[1].kernel.shape[0] == 3


def test_survives_what_every_layer_must(x, mask):
    arguments = {
        "units": 6,
        "projection_dim": 4,
        "num_layers": 2,
        "cell_clip": 0.5,
        "proj_clip": 0.2,
        "skip_connections": False,
    }
    check_layer(LSTMStack, arguments, x.astype("float32"), mask=mask)


def test_unrolled_equals_scanned(x, mask):
    scanned, unrolled = built(2), built(2, unroll=True)
    assert_close(unrolled(x, mask=mask), scanned(x, mask=mask), rtol=1e-12)


def test_mask_passes_to_each_output():
    masks, states = LSTMStack(6, 4, 2).compute_mask(None, "the mask")
    assert masks == ["the mask"] * 2
    assert states == [[None, None]] * 2


def test_refuses_wrong_arguments():
    with pytest.raises(
        ValueError, match="LSTMStack: expected num_layers >= 1, rec.* 0"
    ):
        LSTMStack(6, num_layers=0)
    with pytest.raises(ValueError, match="ProjectedLSTM: expected cell_clip > 0"):
        LSTMStack(6, cell_clip=-1)
