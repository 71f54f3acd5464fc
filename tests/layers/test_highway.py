"""`Highway` against its formula in float64 NumPy."""

import keras
import numpy as np
import pytest

from keras_elmo.layers.highway import Highway
from tests.helpers import assert_close, check_layer, randomize
from tests.layers import references


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((3, 5, 8))


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_matches_the_reference(x, num_layers):
    layer = Highway(num_layers, dtype="float64")
    layer.build(x.shape)
    randomize(layer)
    assert_close(layer(x), references.highway(x, layer), rtol=1e-12)


def test_survives_what_every_layer_must(x):
    check_layer(Highway, {"num_layers": 2}, x.astype("float32"))


def test_inputs_may_have_any_rank(x):
    layer = Highway()
    assert_close(layer(x[:, 0]), layer(x)[:, 0])


def test_starts_by_carrying_88_percent(x):
    layer = Highway(dtype="float64")
    layer.build(x.shape)
    gate_kernel, gate_bias, kernel, _ = layer.blocks[0]
    for variable in (gate_kernel, kernel):
        variable.assign(np.zeros(variable.shape))
    np.testing.assert_array_equal(gate_bias, np.full(8, -2.0))
    assert_close(layer(x), x / (1 + np.exp(-2.0)), rtol=1e-12)


def test_kernels_start_out_different_from_one_another():
    layer = Highway(2)
    layer.build((None, 8))
    kernels = [references.array(v) for v in layer.weights if len(v.shape) == 2]
    for i, kernel in enumerate(kernels):
        assert all(not np.allclose(kernel, other) for other in kernels[:i])


def test_mask_passes_unchanged(x):
    x[0, 2:] = 0.0
    tokens = keras.layers.Masking()(x)
    mask = Highway()(tokens)._keras_mask
    np.testing.assert_array_equal(mask, (x != 0).any(axis=-1))


def test_refuses_no_layers():
    with pytest.raises(
        ValueError, match="Highway: expected num_layers >= 1, received 0"
    ):
        Highway(0)


def test_refuses_inputs_of_unknown_width():
    with pytest.raises(
        ValueError, match=r"Highway: expected \(\.\.\., width\), received"
    ):
        Highway()(keras.Input((None, None)))
