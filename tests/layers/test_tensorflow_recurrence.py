"""Columns against rows in float64, and gradients of one product a kernel."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.layers.projected_lstm import ProjectedLSTM
from keras_elmo.layers.tensorflow_recurrence import with_one_gradient
from tests.helpers import assert_close, randomize
from tests.layers import references

RNG = np.random.default_rng(0)
STEPS = tf.constant(RNG.normal(size=(5, 2, 6)), tf.float32)
STATE = tf.constant(RNG.normal(size=(2, 4)), tf.float32)
KERNELS = [
    tf.constant(RNG.normal(size=shape), tf.float32) for shape in [(4, 6), (6, 4)]
]


def run(products, steps, h):
    recur, project = products
    outputs = []
    for step in tf.unstack(steps):
        h = tf.tanh(project(tf.sin(step + recur(h))))
        outputs.append(h)
    return [tf.stack(outputs), h]


def plain(run, kernels, *inputs):
    return run([functools.partial(tf.matmul, b=kernel) for kernel in kernels], *inputs)


def results(recurrence, loss):
    """Outputs, and gradients of kernels and inputs."""
    sources = [*KERNELS, STEPS, STATE]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = recurrence(run, KERNELS, STEPS, STATE)
        value = loss(*outputs)
    return [*outputs, *tape.gradient(value, sources)]


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, h: tf.reduce_sum(outputs**2) + tf.reduce_sum(h),
        lambda outputs, h: tf.reduce_sum(tf.exp(outputs[1])),
        lambda outputs, h: tf.reduce_sum(h),
    ],
    ids=["all outputs", "one step", "the last state"],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_gradients_equal_those_of_one_product_a_step(loss, compiled):
    found = functools.partial(results, with_one_gradient, loss)
    if compiled:
        found = tf.function(found)
    for one, other in zip(found(), results(plain, loss), strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_kernels_get_one_product_each():
    @tf.function
    def gradients():
        return results(with_one_gradient, lambda outputs, h: tf.reduce_sum(outputs))

    graph = gradients.get_concrete_function().graph
    products = [op for op in graph.get_operations() if op.type == "MatMul"]
    # Two a step forwards, two backwards, and one for each kernel.
    assert len(products) == 2 * 5 + 2 * 5 + 2


WIDTH, UNITS = 3, 5


def lstm(**arguments):
    layer = ProjectedLSTM(UNITS, return_state=True, **arguments)
    layer.build((None, None, WIDTH))
    return randomize(layer, 0.7, seed=0)


def operations(layer, *shape, **arguments):
    """Kinds of operations of the layer on inputs of this shape, loops included."""
    run = tf.function(lambda x: layer(x, **arguments)[0])
    graph = run.get_concrete_function(tf.TensorSpec(shape)).graph.as_graph_def()
    inner = [node.op for part in graph.library.function for node in part.node_def]
    return [node.op for node in graph.node] + inner


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(14, 18),
    steps=st.integers(6, 11),
    projection_dim=st.sampled_from([None, 2]),
    clips=st.tuples(*[st.sampled_from([None, 0.3])] * 2),
    given_state=st.booleans(),
    masked=st.booleans(),
    marked=st.booleans(),
    backward=st.booleans(),
    unknown=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 2**32 - 1),
)
def test_number_of_rows_and_steps_does_not_show(
    rows,
    steps,
    projection_dim,
    clips,
    given_state,
    masked,
    marked,
    backward,
    unknown,
    seed,
):
    rng = np.random.default_rng(seed)
    layer = lstm(
        projection_dim=projection_dim,
        cell_clip=clips[0],
        proj_clip=clips[1],
        backward=backward,
    )
    x = rng.standard_normal((rows, steps, WIDTH)).astype("float32")
    mask = rng.random((rows, steps)) < 0.5 if masked else None
    reset = rng.random((rows, steps)) < 0.3 if marked else None
    state = None
    if given_state:
        state = [rng.standard_normal((rows, n)) for n in (layer.output_dim, UNITS)]
        state = [s.astype("float32") for s in state]
    shape = [None if hidden else n for hidden, n in zip(unknown, x.shape, strict=False)]
    run = tf.function(
        lambda x: layer(x, mask=mask, initial_state=state, reset=reset),
        input_signature=[tf.TensorSpec([*shape, WIDTH])],
    )
    expected = references.lstm(x, layer, mask, state, reset, backward)
    assert_close(run(x), expected, rtol=1e-4, atol=1e-5)


def test_columns_are_used_where_they_pay():
    layer = lstm(projection_dim=2)
    loop, choice = {"While", "StatelessWhile"}, {"If", "StatelessIf"}
    assert not choice.intersection(operations(layer, 16, 8, WIDTH))
    assert loop.intersection(operations(layer, 16, 8, WIDTH))
    columns = operations(layer, 16, 8, WIDTH).count("Transpose")
    for few in [(15, 8, WIDTH), (16, 7, WIDTH)]:
        assert operations(layer, *few).count("Transpose") < columns
    assert choice.intersection(operations(layer, None, None, WIDTH))
    trained = operations(layer, None, None, WIDTH, training=True)
    assert not choice.intersection(trained)
    layer.trainable = False
    assert choice.intersection(operations(layer, None, None, WIDTH, training=True))


@pytest.mark.parametrize("shape", [(17, 9, WIDTH), (None, None, WIDTH)])
def test_gradients_pass_through_columns(shape):
    layer = lstm(projection_dim=2)
    x = RNG.normal(size=(17, 9, WIDTH)).astype("float32")
    mask, reset = RNG.random((2, 17, 9)) < 0.5

    def gradients(x, training):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs, _ = layer(x, mask=mask, reset=reset, training=training)
            loss = tf.reduce_sum(outputs**2)
        return tape.gradient(loss, [x, *(v.value for v in layer.weights)])

    rows = gradients(tf.constant(x), True)
    spec = [tf.TensorSpec(shape)]
    columns = tf.function(lambda x: gradients(x, False), input_signature=spec)(x)
    assert_close(columns, rows, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rows", [None, 1, 2, 20])
def test_recurrent_weights_in_bfloat16_are_those_rounded(rows):
    layer = lstm(projection_dim=2, recurrent_dtype="bfloat16")
    dtypes = {weight.name: weight.dtype for weight in layer.weights}
    assert dtypes == {
        "kernel": "float32",
        "recurrent_kernel": "bfloat16",
        "bias": "float32",
        "projection_kernel": "bfloat16",
    }
    x = RNG.normal(size=(rows or 1, 9, WIDTH)).astype("float32")
    run = tf.function(layer, input_signature=[tf.TensorSpec([rows, None, WIDTH])])
    exact = rows in (2, 20)  # more rows than one are multiplied in float32
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if exact else {"rtol": 0, "atol": 0.02}
    # Of the layer's weights, which are those that it has rounded.
    assert_close(run(x), references.lstm(x, layer), **tolerance)


def test_a_single_row_is_multiplied_in_the_recurrent_dtype():
    layer = lstm(projection_dim=2, recurrent_dtype="bfloat16")
    x = RNG.normal(size=(1, 9, WIDTH)).astype("float32")
    single, twice = layer(x)[0], layer(np.repeat(x, 2, axis=0))[0][:1]
    assert 1e-5 < np.abs(single - twice).max() < 0.02
    for one in (layer(x[:, :1])[0], layer(x[:, :1], initial_state=zero(layer))[0]):
        assert_close(one, single[:, :1], rtol=0, atol=0.01)


def zero(layer):
    return layer.get_initial_state(1)


def test_recurrent_weights_in_bfloat16_are_not_trained():
    layer = lstm(recurrent_dtype="bfloat16")
    x = np.zeros((2, 3, WIDTH), "float32")
    with pytest.raises(ValueError, match="expected a layer that does not train, for"):
        layer(x, training=True)
    layer.trainable = False
    assert_close(layer(x, training=True), layer(x), rtol=0, atol=0)


def test_a_recurrent_dtype_like_the_weights_own_changes_nothing():
    x = RNG.normal(size=(1, 9, WIDTH)).astype("float32")
    policy = {"dtype": "mixed_bfloat16", "projection_dim": 2}
    plain, same = lstm(**policy), lstm(**policy, recurrent_dtype="float32")
    assert_close(same(x), plain(x), rtol=0, atol=0)


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_sizes_that_are_known_stay_known(steps):
    layer = lstm(projection_dim=2)
    outputs, (h, c) = layer(keras.Input((steps, WIDTH)))
    assert (outputs.shape, h.shape, c.shape) == (
        (None, steps, 2),
        (None, 2),
        (None, UNITS),
    )
    for rows in (4, 20, None):
        spec = tf.TensorSpec((rows, steps, WIDTH))
        found = tf.function(layer).get_concrete_function(spec).structured_outputs
        shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(found)]
        assert shapes == [(rows, steps, 2), (rows, 2), (rows, UNITS)]


def test_columns_are_not_used_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    found = operations(lstm(projection_dim=2), None, None, WIDTH)
    assert not {"If", "StatelessIf"}.intersection(found)
