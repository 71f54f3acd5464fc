"""`ScalarMix` against its formula in float64 NumPy."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.layers.scalar_mix import ScalarMix
from tests.helpers import assert_close, check_layer, gradients
from tests.layers import references

RAW = np.array([0.7, -1.1, 0.2])


@pytest.fixture
def x():
    return (
        np.random.default_rng(1).standard_normal((2, 3, 5, 8)).astype("float32") + 0.5
    )


@pytest.fixture
def mask():
    return np.array([[1, 1, 0, 1, 0], [1, 1, 1, 0, 0]], bool)


def mix_of(x, raw=RAW, gamma=1.7, **arguments):
    layer = ScalarMix(**arguments)
    layer.build(x.shape)
    layer.gamma.assign(gamma)
    if layer.raw_weights is not None:
        layer.raw_weights.assign(raw)
    return layer


@given(
    shape=st.tuples(
        st.integers(1, 4), st.integers(2, 4), st.integers(1, 4), st.integers(1, 4)
    ),
    gamma=st.floats(-3, 3),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=20, deadline=None)
def test_matches_the_reference(shape, gamma, seed):
    rng = np.random.default_rng(seed)
    x, raw = rng.standard_normal(shape), rng.standard_normal(shape[1])
    layer = mix_of(x, raw, gamma)
    expected = references.scalar_mix(x, raw, np.float32(gamma))
    assert_close(layer(x.astype("float32")), expected, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_layer_norm_matches_the_reference(x, mask, masked):
    mask = mask if masked else None
    expected = references.scalar_mix(x, RAW, 1.7, mask, do_layer_norm=True)
    assert_close(mix_of(x, do_layer_norm=True)(x, mask=mask), expected, atol=1e-5)


def test_layer_norm_counts_real_tokens_only(x, mask):
    layer = mix_of(x, do_layer_norm=True)
    other = np.where(mask[:, None, :, None], x, 1e3).astype("float32")
    a, b = (np.array(layer(v, mask=mask))[mask] for v in (x, other))
    assert_close(a, b, atol=1e-5)


def test_layer_norm_of_nothing_is_finite(x):
    layer = mix_of(x, do_layer_norm=True)
    assert np.isfinite(layer(x, mask=np.zeros((2, 5), bool))).all()


def test_without_layer_norm_tokens_are_treated_alone(x, mask):
    layer = mix_of(x)
    assert_close(layer(x, mask=mask), layer(x))
    assert_close(layer(x[:1, :, 2:3]), layer(x)[:1, 2:3])


def test_top_only_is_gamma_times_the_highest_layer(x):
    layer = mix_of(x, use_top_only=True)
    assert layer.raw_weights is None
    assert_close(layer(x), 1.7 * x[:, -1])


def test_top_only_is_never_normalised(x):
    layer = mix_of(x, use_top_only=True, do_layer_norm=True)
    assert_close(layer(x), 1.7 * x[:, -1])


def test_new_mix_is_the_plain_mean(x):
    assert_close(ScalarMix()(x), x.mean(axis=1))


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"do_layer_norm": True, "l2_coef": 0.5},
        {"use_top_only": True},
        {"layer_weights": [0.2, 0.5, 0.3]},
    ],
)
def test_survives_what_every_layer_must(x, mask, arguments):
    check_layer(ScalarMix, arguments, x, mask=mask, time_axis=2)


def test_l2_is_of_the_raw_weights_and_stands_in_losses(x):
    layer = mix_of(x, l2_coef=0.3)
    layer(x)
    assert_close(layer.losses, [np.float32(0.3 * (RAW**2).sum())])


@pytest.mark.parametrize("arguments", [{}, {"use_top_only": True, "l2_coef": 0.3}])
def test_without_l2_there_are_no_losses(x, arguments):
    layer = mix_of(x, **arguments)
    layer(x)
    assert layer.losses == []


def test_layer_weights_are_given_and_reported_normalised(x):
    layer = ScalarMix(layer_weights=[1, 2, 5])
    outputs = layer(x)
    assert_close(layer.layer_weights, np.array([0.125, 0.25, 0.625]))
    assert_close(outputs, np.einsum("l,bltd->btd", layer.layer_weights, x))
    layer.set_layer_weights([3, 1, 0])
    assert_close(layer.layer_weights, np.array([0.75, 0.25, 0.0]))
    assert layer.get_config()["layer_weights"] == [1, 2, 5]


def test_weight_of_zero_takes_a_layer_out_exactly(x):
    layer = ScalarMix(layer_weights=[0, 1, 0])
    np.testing.assert_array_equal(layer(x), x[:, 1])
    assert np.isfinite(layer.raw_weights).all()


def test_saved_mix_keeps_what_it_learned(x, tmp_path):
    inputs = keras.Input(x.shape[1:])
    layer = ScalarMix(layer_weights=[0.2, 0.5, 0.3])
    model = keras.Model(inputs, layer(inputs))
    layer.set_layer_weights([0.6, 0.3, 0.1])
    model.save(tmp_path / "mix.keras")
    loaded = keras.models.load_model(tmp_path / "mix.keras")
    assert_close(loaded.layers[-1].layer_weights, np.array([0.6, 0.3, 0.1]))


@pytest.mark.parametrize("arguments", [{}, {"do_layer_norm": True}])
def test_gradient_reaches_raw_weights_and_gamma_and_nothing_else(x, arguments):
    layer = mix_of(x, **arguments)
    assert {v.name for v in layer.trainable_variables} == {"raw_weights", "gamma"}
    for gradient in gradients(layer, x):
        assert np.all(np.array(gradient) != 0)


def test_weights_stay_float32_in_half_precision(x):
    layer = mix_of(x, dtype="float16")
    assert {v.dtype for v in layer.weights} == {"float32"}
    # 1e5 is infinite in float16, and the mean is not.
    big = np.full((1, 3, 1, 1), 1e5, "float32")
    layer = mix_of(big, gamma=0.1, dtype="float16")
    layer.autocast = False
    assert_close(layer(big), np.full((1, 1, 1), 1e4, "float16"), rtol=1e-3)


def test_output_carries_the_mask(x, mask):
    assert ScalarMix().compute_mask(x, mask) is mask


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.5, 0.5], r"expected layer_weights for \(3,\)"),
        ([[1, 1, 1]], r"expected layer_weights for \(3,\)"),
        ([1, -1, 1], "expected layer_weights >= 0, not all zero, received"),
        ([0, 0, 0], "expected layer_weights >= 0, not all zero, received"),
        ([1, float("nan"), 1], "expected layer_weights >= 0, not all zero, received"),
        ([1, float("inf"), 1], "expected layer_weights >= 0, not all zero, received"),
    ],
)
def test_refuses_wrong_layer_weights(x, weights, message):
    with pytest.raises(ValueError, match=f"ScalarMix: {message}"):
        ScalarMix(layer_weights=weights).build(x.shape)
    with pytest.raises(ValueError, match=f"ScalarMix: {message}"):
        mix_of(x).set_layer_weights(weights)


def test_top_only_has_no_layer_weights(x):
    layer = mix_of(x, use_top_only=True)
    with pytest.raises(ValueError, match="ScalarMix: there are no layer weights"):
        layer.layer_weights  # noqa: B018
    with pytest.raises(ValueError, match="ScalarMix: expected .* no layers at all"):
        layer.set_layer_weights([1.0])


def test_refuses_a_negative_l2():
    with pytest.raises(
        ValueError, match="ScalarMix: expected l2_coef >= 0, received -1"
    ):
        ScalarMix(l2_coef=-1)


@pytest.mark.parametrize("shape", [(2, 5, 8), (2, 3, 5, 8, 1), (2, None, 5, 8)])
def test_refuses_inputs_of_another_rank(shape):
    with pytest.raises(
        ValueError, match=r"ScalarMix: expected \(batch, layers, time, d"
    ):
        ScalarMix().build(shape)
