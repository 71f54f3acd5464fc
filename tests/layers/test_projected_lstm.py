"""`ProjectedLSTM` against its equations in float64 NumPy, row by row."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.layers.projected_lstm import ProjectedLSTM
from tests.helpers import as_numpy, assert_close, check_layer, randomize
from tests.layers import references

BATCH, TIME, WIDTH, UNITS, PROJECTION = 3, 5, 4, 6, 3


def built(scale=0.7, seed=0, projection_dim=PROJECTION, **arguments):
    """A float64 layer with random weights that returns its state."""
    arguments = {"return_state": True, "dtype": "float64", **arguments}
    layer = ProjectedLSTM(UNITS, projection_dim, **arguments)
    layer.build((None, None, WIDTH))
    return randomize(layer, scale, seed)


def random_state(layer, batch=BATCH, seed=5):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((batch, n)) for n in (layer.output_dim, UNITS)]


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((BATCH, TIME, WIDTH))


@pytest.fixture
def holes():
    """A mask with holes, one row masked throughout."""
    return np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 1]], bool)


@given(
    projection_dim=st.sampled_from([None, 1, 3, 8]),
    clips=st.tuples(*[st.sampled_from([None, 0.1, 0.5])] * 2),
    given_state=st.booleans(),
    masked=st.booleans(),
    marked=st.booleans(),
    backward=st.booleans(),
    unroll=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30, deadline=None)
def test_matches_the_reference(
    projection_dim, clips, given_state, masked, marked, backward, unroll, seed
):
    rng = np.random.default_rng(seed)
    layer = built(
        projection_dim=projection_dim,
        seed=seed,
        cell_clip=clips[0],
        proj_clip=clips[1],
        backward=backward,
        unroll=unroll,
    )
    x = rng.standard_normal((BATCH, TIME, WIDTH))
    mask = rng.random((BATCH, TIME)) < 0.5 if masked else None
    reset = rng.random((BATCH, TIME)) < 0.3 if marked else None
    state = random_state(layer, seed=seed) if given_state else None
    expected = references.lstm(x, layer, mask, state, reset, backward)
    actual = layer(x, mask=mask, initial_state=state, reset=reset)
    assert_close(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell_clip", [None, 0.3])
@pytest.mark.parametrize("proj_clip", [None, 0.2])
def test_each_clip_acts_alone(x, cell_clip, proj_clip):
    layer = built(scale=3.0, cell_clip=cell_clip, proj_clip=proj_clip)
    expected = references.lstm(x, layer)
    assert_close(layer(x), expected, rtol=1e-10)
    outputs, (_, c) = expected
    for bound, values in [(cell_clip, c), (proj_clip, outputs)]:
        largest = np.abs(values).max()
        assert largest == bound if bound else largest > 0.5


def test_clip_of_the_projection_does_nothing_without_one(x):
    layer = built(scale=3.0, projection_dim=None)
    clipped = built(scale=3.0, projection_dim=None, proj_clip=0.1)
    assert_close(clipped(x), layer(x), rtol=0, atol=0)


def test_forget_gate_has_1_added_that_is_not_in_the_bias():
    layer = ProjectedLSTM(UNITS, return_state=True, dtype="float64")
    layer.build((None, None, WIDTH))
    np.testing.assert_array_equal(layer.bias, np.zeros(4 * UNITS))
    c = np.ones((1, UNITS))
    _, (_, after) = layer(
        np.zeros((1, 1, WIDTH)), initial_state=[np.zeros((1, UNITS)), c]
    )
    assert_close(after, c / (1 + np.exp(-1.0)), rtol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {"units": 6},
        {"units": 6, "projection_dim": 3, "cell_clip": 0.2, "proj_clip": 0.1},
        {"units": 6, "projection_dim": 3, "return_state": True, "backward": True},
    ],
)
def test_survives_what_every_layer_must(x, holes, arguments):
    check_layer(ProjectedLSTM, arguments, x.astype("float32"), mask=holes)


def test_unrolled_layer_keeps_its_config(x):
    layer = built(unroll=True)
    twin = ProjectedLSTM.from_config(layer.get_config())
    twin(x)
    twin.set_weights(layer.get_weights())
    assert twin.unroll
    assert_close(twin(x), layer(x))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_masked_steps_leave_the_state_and_give_zero(x, holes, backward, unroll):
    layer = built(backward=backward, unroll=unroll)
    state = random_state(layer)
    outputs, final = as_numpy(layer(x, mask=holes, initial_state=state))
    np.testing.assert_array_equal(outputs[~holes], 0.0)
    for after, before in zip(final, state, strict=True):
        np.testing.assert_array_equal(after[1], before[1])  # masked throughout
    kept = x[2:, holes[2]]
    expected = layer(kept, initial_state=[s[2:] for s in state])
    assert_close([outputs[2:][:, holes[2]], [s[2:] for s in final]], expected)


def test_values_at_masked_steps_have_no_influence(x, holes):
    layer = built()
    other = np.where(holes[:, :, None], x, 1e6)
    assert_close(layer(other, mask=holes), layer(x, mask=holes), rtol=0, atol=0)


def test_backward_equals_reversing_each_row_within_its_length(x):
    lengths = [5, 2, 0]
    mask = np.arange(TIME) < np.array(lengths)[:, None]
    state = random_state(built())
    outputs, final = built(backward=True)(x, mask=mask, initial_state=state)
    forward = built()
    for row, n in enumerate(lengths):
        turned = x[row : row + 1, :n][:, ::-1]
        start = [s[row : row + 1] for s in state]
        expected, expected_final = forward(turned, initial_state=start)
        assert_close(outputs[row : row + 1, :n], np.array(expected)[:, ::-1])
        assert_close([s[row : row + 1] for s in final], expected_final)


@pytest.mark.parametrize("backward", [False, True])
def test_reset_equals_running_the_pieces_apart(x, backward):
    layer = built(backward=backward)
    reset = np.zeros((BATCH, TIME), bool)
    reset[:, 2 if not backward else 1] = True  # either way pieces of 2 and 3 steps
    outputs, final = layer(x, reset=reset, initial_state=random_state(layer))
    pieces = [x[:, :2], x[:, 2:]]
    starts = (
        [random_state(layer), None] if not backward else [None, random_state(layer)]
    )
    apart = [
        layer(piece, initial_state=start)
        for piece, start in zip(pieces, starts, strict=True)
    ]
    assert_close(outputs, np.concatenate([y for y, _ in apart], axis=1))
    assert_close(final, apart[0 if backward else 1][1])


def test_reset_acts_at_a_masked_step_too(x):
    layer = built()
    nothing, all_of_it = np.zeros((BATCH, TIME), bool), np.ones((BATCH, TIME), bool)
    _, final = layer(
        x, mask=nothing, reset=all_of_it, initial_state=random_state(layer)
    )
    for state in final:
        np.testing.assert_array_equal(state, np.zeros(state.shape))


@pytest.mark.parametrize("cut", [0, 1, 4, 5])
@pytest.mark.parametrize("backward", [False, True])
def test_carried_state_makes_two_halves_equal_the_whole(x, holes, backward, cut):
    layer = built(backward=backward)
    halves = [(x[:, :cut], holes[:, :cut]), (x[:, cut:], holes[:, cut:])]
    outputs, state = [], None
    for piece, mask in reversed(halves) if backward else halves:
        y, state = layer(piece, mask=mask, initial_state=state)
        outputs.append(np.array(y))
    together = np.concatenate(outputs[::-1] if backward else outputs, axis=1)
    assert_close([together, state], list(layer(x, mask=holes)))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_no_steps_give_the_initial_state(backward, unroll):
    layer = built(backward=backward, unroll=unroll)
    state = random_state(layer)
    outputs, final = layer(np.zeros((BATCH, 0, WIDTH)), initial_state=state)
    assert outputs.shape == (BATCH, 0, PROJECTION)
    assert_close(final, state, rtol=0, atol=0)


@pytest.mark.parametrize("backward", [False, True])
def test_number_of_steps_may_be_unknown_and_zero(x, holes, backward):
    import tensorflow as tf

    layer = built(backward=backward)
    state = random_state(layer)
    reset = np.roll(holes, 1, axis=0)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, WIDTH], tf.float64),
            tf.TensorSpec([None, None], tf.bool),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def run(x, mask, reset):
        plain = layer(x, initial_state=state)
        return plain, layer(x, mask=mask, reset=reset, initial_state=state)

    for steps in (TIME, 1, 0):
        piece, mask, marks = (tf.constant(v[:, :steps]) for v in (x, holes, reset))
        plain = layer(piece, initial_state=state)
        flagged = layer(piece, mask=mask, reset=marks, initial_state=state)
        assert_close(run(piece, mask, marks), [plain, flagged], rtol=1e-12)


def test_gradients_pass_through_a_loop_of_unknown_length(x, holes):
    import tensorflow as tf

    layer = built()

    def loss(x, mask):
        return tf.reduce_sum(layer(x, mask=mask)[0] ** 2)

    def slopes(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = loss(x, mask)
        return tape.gradient(y, [x, *(v.value for v in layer.weights)])

    unknown = [
        tf.TensorSpec([None, None, WIDTH], tf.float64),
        tf.TensorSpec([None, None], tf.bool),
    ]
    x, mask = tf.constant(x), tf.constant(holes)
    actual = tf.function(slopes, input_signature=unknown)(x, mask)
    step, shift = 1e-6, np.random.default_rng(2).standard_normal(x.shape)
    slope = (loss(x + step * shift, mask) - loss(x - step * shift, mask)) / (2 * step)
    assert_close(tf.reduce_sum(actual[0] * shift), slope, rtol=1e-6)
    assert_close(actual, slopes(x, mask), rtol=1e-10)


def test_gradient_through_a_clipped_value_is_zero(x):
    import tensorflow as tf

    layer = built(proj_clip=1e-6)
    with tf.GradientTape() as tape:
        outputs, _ = layer(x)
        y = tf.reduce_sum(outputs)
    np.testing.assert_array_equal(np.abs(outputs), 1e-6)
    for gradient in tape.gradient(y, [v.value for v in layer.weights]):
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
def test_given_cell_state_is_not_rounded_in_half_precision(x, policy, unroll):
    layer = built(dtype=policy, unroll=unroll)
    h, c = random_state(layer)
    c = (c + 1e-4).astype("float32")  # float32 that half precision cannot hold
    assert np.all(c != c.astype("float16"))
    nothing = np.zeros((BATCH, TIME), bool)
    _, (h_after, c_after) = layer(x, mask=nothing, initial_state=[h, c])
    assert c_after.dtype == "float32" and h_after.dtype == layer.compute_dtype
    np.testing.assert_array_equal(as_numpy(c_after), c)


def test_cell_state_is_carried_in_full_precision(x):
    layer = built(dtype="mixed_bfloat16")
    _, (h, c) = layer(x[:, :2])
    assert_close(
        layer(x[:, 2:], initial_state=[h, c])[1], layer(x)[1], rtol=1e-6, atol=1e-7
    )


def test_states_are_inputs_and_outputs_of_a_functional_model(x):
    layer = built(dtype="float32")
    tokens = keras.Input((None, WIDTH))
    state = [keras.Input((PROJECTION,)), keras.Input((UNITS,))]
    model = keras.Model([tokens, *state], layer(tokens, initial_state=state))
    h, c = (s.astype("float32") for s in random_state(layer))
    assert_close(model([x, h, c]), layer(x, initial_state=[h, c]))


def test_mask_passes_to_the_outputs_and_not_to_the_state():
    words = keras.layers.Embedding(9, WIDTH, mask_zero=True)(np.array([[3, 0, 2]]))
    outputs, (h, c) = ProjectedLSTM(UNITS, return_state=True)(words)
    np.testing.assert_array_equal(outputs._keras_mask, [[True, False, True]])
    assert getattr(h, "_keras_mask", None) is getattr(c, "_keras_mask", None) is None
    outputs = ProjectedLSTM(UNITS)(words)
    np.testing.assert_array_equal(outputs._keras_mask, [[True, False, True]])
    np.testing.assert_array_equal(outputs[0, 1], np.zeros(UNITS))


@pytest.mark.parametrize(
    "arguments",
    [
        {"units": 0},
        {"units": 4, "projection_dim": -1},
        {"units": 4, "projection_dim": 0},
        {"units": 4, "cell_clip": 0.0},
        {"units": 4, "proj_clip": -3.0},
    ],
)
def test_refuses_sizes_and_clips_that_are_not_positive(arguments):
    name, value = list(arguments.items())[-1]
    message = f"ProjectedLSTM: expected {name} > 0, received {value}"
    with pytest.raises(ValueError, match=message):
        ProjectedLSTM(**arguments)


@pytest.mark.parametrize("value", ["float16", "mixed_bfloat16", 8])
def test_refuses_other_dtypes_of_recurrent_weights(value):
    with pytest.raises(ValueError, match=f"expected recurrent_dtype .* {value!r}"):
        ProjectedLSTM(4, recurrent_dtype=value)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 4, 5), (2, 3, None)])
def test_refuses_inputs_of_another_rank_or_unknown_width(shape):
    with pytest.raises(ValueError, match=r"ProjectedLSTM: expected \(batch, time, inp"):
        ProjectedLSTM(4)(keras.Input(batch_shape=shape))


def test_unrolled_layer_refuses_an_unknown_number_of_steps():
    with pytest.raises(
        ValueError, match="ProjectedLSTM: expected a static number of st"
    ):
        ProjectedLSTM(4, unroll=True)(keras.Input((None, 3)))


@pytest.mark.parametrize("unroll", [False, True])
def test_fit_works_whatever_compile_is_told_of_xla(unroll):
    x = keras.Input((5, 3))
    model = keras.Model(x, ProjectedLSTM(4, 2, unroll=unroll)(x))
    model.compile("sgd", "mse", jit_compile="auto")
    history = model.fit(np.ones((2, 5, 3)), np.ones((2, 5, 2)), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.layers[-1].supports_jit is unroll
