"""A few steps of training of a small model, and all that comes of them."""

import keras
import numpy as np

from keras_elmo.pretraining.backend import steps
from keras_elmo.pretraining.optimizers import new_optimizer
from keras_elmo.pretraining.sampling import LogUniformSampler, sampled_rows
from keras_elmo.pretraining.windows import TrainingWindows
from tests.pretraining import small_models

BATCH, UNROLL = 4, 3
CLIP_NORM = 2.0  # of norms from 3 to 5: it acts in each step


def windows(reader, parts, negatives, count):
    """The arrays of `count` steps, each a list of `parts`."""
    shards = [str(small_models.LM / "train.txt")]
    source = TrainingWindows(shards, reader, BATCH, UNROLL, parts)
    sampler = LogUniformSampler(25, negatives) if negatives else None
    for step in range(count):
        found, _ = next(source)
        yield [
            window.arrays() | (sampled_rows(window, sampler, step) if sampler else {})
            for window in found
        ]


def train(
    new_model=small_models.random_model,
    *,
    parts=1,
    devices=1,
    negatives=8,
    optimizer="adagrad",
    count=3,
    **arguments,
):
    """Train for a few steps.

    Args:
        new_model: Makes a model of `arguments`.
        parts: Windows that the rows are divided among.
        devices: Devices that these are divided among.
        negatives: 0 for the full softmax.
        optimizer: Its name.
        count: Steps.

    Returns:
        The model, and a dict of arrays: losses and norms of each step, and at the end
        the weights, the optimizer's numbers and the states of all rows.
    """
    backend = steps()
    with backend.strategy_scope(devices):
        model = new_model(**arguments)
        chosen = new_optimizer(optimizer, None, "constant", count)
        update = backend.TrainingStep(model, chosen, CLIP_NORM)
    states = [model.get_initial_state(BATCH // parts) for _ in range(parts)]
    losses, norms = [], []
    for step, arrays in enumerate(windows(model.reader, parts, negatives, count)):
        seeds = [(1, step * parts + part) for part in range(parts)]
        loss, norm, states = update(arrays, states, seeds)
        losses.append(loss)
        norms.append(norm)
    leaves = zip(*(keras.tree.flatten(part) for part in states), strict=True)
    arrays = {
        "losses": losses,
        "norms": norms,
        **{f"weights/{i}": v for i, v in enumerate(model.trainable_variables)},
        **{f"optimizer/{i}": v for i, v in enumerate(chosen.variables)},
        **{
            f"states/{i}": np.concatenate([*map(as_array, leaf)])
            for i, leaf in enumerate(leaves)
        },
    }
    return model, {name: as_array(value) for name, value in arrays.items()}


def as_array(value):
    return np.array(keras.ops.convert_to_numpy(value), np.float32)


def assert_same(found, expected):
    """Equal to 1e-5 of each number, but where larger numbers cancel out."""
    assert found and set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        floor = 3e-6 * np.abs(array).max()
        np.testing.assert_allclose(
            found[name], array, rtol=1e-5, atol=floor, err_msg=name
        )
