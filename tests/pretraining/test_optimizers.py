"""Optimizers and schedules by name, with dense and with sparse gradients."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_elmo.pretraining.optimizers import (
    LEARNING_RATES,
    SCHEDULES,
    new_optimizer,
)

SAME_NUMBERS = {"adagrad": keras.optimizers.Adagrad, "adam": keras.optimizers.Adam}
START = np.arange(12, dtype="float32").reshape(4, 3)


def after(optimizer, *gradients):
    """What `START` becomes by these gradients, one a step."""
    variable = keras.Variable(START)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([gradient], [variable])
    return variable.numpy()


def rows(**values):
    """A sparse gradient; `r2=1.0` is a row 2 of ones."""
    numbers = [int(name[1:]) for name in values]
    gradient = np.repeat(np.array([*values.values()], "float32")[:, None], 3, axis=1)
    return tf.IndexedSlices(gradient, np.array(numbers), (4, 3))


def rates(schedule, steps):
    """The learning rate of each step."""
    optimizer = new_optimizer("adam", 0.5, schedule, steps)
    optimizer.build([keras.Variable(np.zeros(1))])
    for _ in range(steps + 1):
        yield float(optimizer.learning_rate)
        optimizer.iterations.assign_add(1)


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_each_optimizer_steps_against_the_gradient(name):
    optimizer = new_optimizer(name, None, "constant", 10)
    assert float(optimizer.learning_rate) == pytest.approx(LEARNING_RATES[name])
    assert (after(optimizer, np.ones((4, 3), "float32")) < START).all()


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_sparse_gradients_act_as_dense_ones(name):
    gradients = [rows(r2=1.0, r0=-0.5), rows(r1=0.5, r2=0.3), rows(r3=0.1)]
    sparse, dense = (
        after(new_optimizer(name, None, "constant", 10), *g)
        for g in (gradients, map(tf.convert_to_tensor, gradients))
    )
    np.testing.assert_allclose(sparse, dense, rtol=1e-6)


def test_accumulators_of_adagrad_begin_at_one_as_ai2s():
    found = after(new_optimizer("adagrad", 0.2, "constant", 10), rows(r1=2.0))
    np.testing.assert_allclose(found[1], START[1] - 0.2 * 2 / np.sqrt(1 + 4), rtol=1e-6)


@pytest.mark.parametrize(("name", "keras_class"), SAME_NUMBERS.items())
@pytest.mark.parametrize("sparse", [False, True])
def test_updates_in_one_pass_are_those_of_keras(name, keras_class, sparse):
    gradients = [rows(r2=1.0, r0=-0.5), rows(r1=0.5, r2=0.3), rows(r3=0.1)]
    if not sparse:
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    ours = new_optimizer(name, 0.05, "constant", 50)
    same = {"initial_accumulator_value": 1.0} if name == "adagrad" else {}
    theirs = keras_class(0.05, **same)
    np.testing.assert_allclose(
        after(ours, *gradients), after(theirs, *gradients), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_schedule_makes_steps(schedule):
    optimizer = new_optimizer("adagrad", None, schedule, 3)
    found = after(optimizer, *[np.ones((4, 3), "float32")] * 3)
    assert (found < START).all()


@pytest.mark.parametrize("steps", [1, 2, 100])
def test_cosine_schedule_rises_shortly_and_falls_to_zero(steps):
    *found, end = rates("cosine", steps)
    highest = int(np.argmax(found))
    assert max(found) <= 0.5 and highest <= max(1, 0.02 * steps)
    assert all(a > b for a, b in itertools.pairwise(found[highest:]))
    assert steps == 1 or end < 1e-7


def test_other_schedules_go_where_they_say():
    assert set(rates("constant", 10)) == {0.5}
    np.testing.assert_allclose(
        [*rates("linear", 10)], np.linspace(0.5, 0, 11), atol=1e-7
    )
    np.testing.assert_allclose(
        [*rates("exponential", 10)], np.geomspace(0.5, 0.005, 11), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("adagard", None, "constant"), "optimizer: expected one of adagrad, .*agard'"),
        (("adam", None, "step"), "schedule: expected one of constant, .* 'step'"),
    ],
)
def test_other_names_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        new_optimizer(*arguments, 10)
