"""Gradients of one product a kernel against those of one a step."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from keras_elmo.layers.tensorflow_recurrence import with_one_gradient
from tests.helpers import assert_close

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
