"""Several devices on TensorFlow: a CPU that is divided in two counts for two."""

import os
import subprocess
import sys

import numpy as np
import pytest

from keras_elmo.pretraining.tensorflow_step import strategy_scope
from tests.pretraining import few_steps, small_runs
from tests.pretraining.other_backend import ROOT

TWO_CPUS = """
import sys
import numpy as np
import tensorflow as tf
cpu, = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
"""
STEPS = """
from keras_elmo.ai2 import weights
from keras_elmo.pretraining.evaluate import perplexities
from keras_elmo.pretraining.model_files import language_model_entries
from tests.pretraining import few_steps, small_models

for devices in (1, 2):
    model, arrays = few_steps.train({arguments}, devices=devices)
    found = perplexities(model, [["the", "cat"]], batch=1)
    arrays["perplexity"] = np.array([found["forward"], found["backward"]])
    weights._AT_A_TIME = 8  # few rows at a time
    for entry in language_model_entries(model):
        arrays["entries/" + entry.name] = entry.value()
        entry.assign(entry.value() + 1)  # as when a checkpoint is read
    copies = [v.value for v in model.trainable_variables]
    arrays["assigned"] = np.array(
        [[float(tf.reduce_sum(v)) for v in getattr(copy, "values", [copy] * 2)]
         for copy in copies]
    )
    np.savez(f"{{sys.argv[1]}}/{{devices}}.npz", **arrays)
"""
RUNS = """
from tests.pretraining import small_runs

settings = {"batch": 4, "dropout": 0.3, "steps": 5}
with small_runs.quick():
    small_runs.train(sys.argv[1] + "/one", **settings, accumulate=2)
    settings |= {"devices": 2}
    small_runs.train(sys.argv[1] + "/two", **settings)
    stopped = small_runs.after(2)
    list(small_runs.start(sys.argv[1] + "/stopped", **settings, stopped=stopped))
    small_runs.train(sys.argv[1] + "/stopped", **settings)
"""


def run_on_two_cpus(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", TWO_CPUS + code, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        "parts=2, dropout=0.4",
        "parts=4, negatives=0, optimizer='adam'",
        "small_models.random_word_model, parts=2, share_embedding_softmax=True",
    ],
)
def test_two_devices_equal_one(arguments, tmp_path):
    run_on_two_cpus(STEPS.format(arguments=arguments), tmp_path)
    one, two = (dict(np.load(tmp_path / f"{n}.npz")) for n in (1, 2))
    few_steps.assert_same(two, one)


@pytest.mark.slow
def test_runs_on_two_devices_equal_those_on_one_and_resume(tmp_path):
    run_on_two_cpus(RUNS, tmp_path)
    one, two, stopped = (tmp_path / name for name in ("one", "two", "stopped"))
    small_runs.assert_same_result(stopped, small_runs.result(two))
    for entry, expected in zip(small_runs.log(two), small_runs.log(one), strict=True):
        assert entry["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert entry["heldout"] == pytest.approx(expected["heldout"], rel=1e-5)


def test_fewer_devices_than_asked_for_are_named():
    for devices in (0, 99):
        with pytest.raises(ValueError, match=rf"1 to 1 \(/.*\), received {devices}"):
            strategy_scope(devices)
