"""Losses, gradients, clips and Adagrad against six steps of bilm's own training."""

import functools

import numpy as np
import pytest

from tests.pretraining import golden_training
from tests.pretraining.other_backend import BACKENDS, run_on

# The other variants take longer, and have less in them that is not in these.
PARAMETERS = [
    pytest.param(variant, marks=[] if quick else pytest.mark.slow)
    for variant, quick in [
        ("full", False),
        ("full_clipped", True),
        ("sampled", False),
        ("token_shared_full", False),
        ("token_sampled", True),
    ]
]
# Losses, norms, gradients, weights and states by their names in the golden files.
FACTS = {
    "losses": ("loss",),
    "norm of the gradients": ("global_norm",),
    "activations of the first step": ("step1/",),
    "gradients of the first step": ("grad/",),
    "clipped gradients of the first step": ("clipped/",),
    "weights after the first step": ("weights_step1/",),
    "weights after the last step": ("weights_step6/", "weight_norm/"),
    "accumulators after the last step": ("accumulator_step6/",),
    "states after each step": ("state_",),
}

ours = functools.cache(golden_training.trajectory)


def assert_trajectory(found, expected):
    """Equal to 1e-5 of each number.

    Where a number is small because larger ones cancel out, it can be no more exact than
    they are: 3e-6 of an array's largest number are 25 units in its last place.
    """
    assert found and set(found) == set(expected)
    for name, array in expected.items():
        floor = 3e-6 * np.abs(array).max()
        np.testing.assert_allclose(
            found[name], array, rtol=1e-5, atol=floor, err_msg=name, strict=True
        )


@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize("variant", PARAMETERS)
def test_six_steps_equal_bilms(variant, fact):
    found, expected = (
        {k: v for k, v in arrays.items() if k.startswith(FACTS[fact])}
        for arrays in (ours(variant), golden_training.expected(variant))
    )
    assert_trajectory(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_six_steps_equal_bilms_on_other_backends(backend, tmp_path):
    code = """
import sys
import numpy as np
from tests.pretraining import golden_training
for variant in golden_training.VARIANTS:
    arrays = golden_training.trajectory(variant)
    np.savez(f"{sys.argv[1]}/{variant}.npz", **arrays)
"""
    run_on(backend, code, tmp_path)
    for variant in golden_training.VARIANTS:
        with np.load(tmp_path / f"{variant}.npz") as found:
            assert_trajectory(dict(found), golden_training.expected(variant))
