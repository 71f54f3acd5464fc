"""Training on Keras' other backends, where TensorFlow is absent."""

import json
import os
import shutil

import numpy as np
import pytest

from keras_elmo.cli import main
from tests.pretraining import few_steps, small_models, small_runs
from tests.pretraining.other_backend import BACKENDS, run_on
from tests.pretraining.small_runs import after

LM = small_models.LM
STEPS = 5
BEGIN = """
import json, sys
from tests.pretraining import small_runs
from tests.pretraining.test_other_backends import STEPS
quick = small_runs.quick()
quick.__enter__()
"""


def checkpoint(run):
    """The arrays of a run's last checkpoint."""
    with np.load(run / "last.npz") as file:
        return {name: file[name] for name in file.files if name != "meta"}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_run_goes_on_without_tensorflow_as_with_it(backend, tmp_path, quick_runs):
    ours, other = tmp_path / "tensorflow", tmp_path / backend
    # Without dropout, whose draws are each backend's own.
    settings = {"steps": STEPS, "dropout": 0.0}
    list(small_runs.start(ours, **settings, stopped=after(2)))
    shutil.copytree(ours, other)
    *_, report = small_runs.start(ours, **settings)
    code = """
*_, last = small_runs.start(sys.argv[1], steps=STEPS, dropout=0.0)
print(json.dumps([last.step, last.loss, last.gradient_norm, last.heldout]))
"""
    *found, heldout = json.loads(run_on(backend, BEGIN + code, other))
    assert found == pytest.approx([STEPS, report.loss, report.gradient_norm], rel=1e-5)
    assert heldout == pytest.approx(report.heldout, rel=1e-5)
    assert sorted(os.listdir(other)) == sorted(os.listdir(ours))
    few_steps.assert_same(checkpoint(other), checkpoint(ours))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_stopped_run_ends_as_the_one_that_was_not(backend, tmp_path):
    code = """
settings = {
    "steps": STEPS, "dropout": 0.3, "batch": 4, "accumulate": 2,
    "dtype": "mixed_bfloat16", "negatives": 0,
}
small_runs.train(sys.argv[1] + "/whole", **settings)
list(small_runs.start(sys.argv[1] + "/run", **settings, stopped=small_runs.after(2)))
small_runs.train(sys.argv[1] + "/run", **settings)
"""
    run_on(backend, BEGIN + code, tmp_path)
    small_runs.assert_same_result(
        tmp_path / "run", small_runs.result(tmp_path / "whole")
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_commands_run_without_tensorflow(backend, tmp_path, capsys):
    run, heldout = tmp_path / "run", str(LM / "test.txt")
    (tmp_path / "options.json").write_text(json.dumps(small_runs.options()))
    arguments = [
        "pretrain",
        *("--train", LM / "train.txt", "--heldout", heldout, "--vocab"),
        *(LM / "vocab.txt", "--config", tmp_path / "options.json", "-o", run),
        *("--batch", "2", "--unroll", "2", "--epochs", "0.1", "--negatives", "8"),
        "--json",
    ]
    code = BEGIN + "from keras_elmo.cli import main\nsys.exit(main(sys.argv[1:]))"
    told = json.loads(run_on(backend, code, *arguments))
    assert told["step"] == told["steps"] > 1
    assert small_runs.log(run)[-1]["heldout"] == told["heldout"]
    found = json.loads(run_on(backend, code, "evaluate", run, heldout, "--json"))
    assert main(["evaluate", str(run), heldout, "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_keep_what_they_keep_on_tensorflow(backend, tmp_path):
    run_on(
        backend,
        """
import sys
import numpy as np
from keras.backend import standardize_dtype
from keras.ops import convert_to_numpy
from keras_elmo.pretraining.backend import steps
from keras_elmo.pretraining.optimizers import LEARNING_RATES, new_optimizer
from tests.pretraining import few_steps, small_models

TrainingStep = steps().TrainingStep

# Parts of the rows.
new_model = small_models.random_word_model
_, whole = few_steps.train(new_model)
few_steps.assert_same(few_steps.train(new_model, parts=2)[1], whole)

# Dropout from seed and step.
model = new_model(dropout=0.4)
optimizer = new_optimizer("sgd", None, "constant", 1)
step = TrainingStep(model, optimizer, 1.0)
(window,), = few_steps.windows(model.reader, 1, 0, 1)
states = [model.get_initial_state(few_steps.BATCH)]
def losses(*seed):
    return step.gradients([window], states, [seed])[0].tolist()
found = [losses(seed, number) for seed in range(2) for number in range(3)]
forward, backward = zip(*[loss for (loss,) in found])
assert len(set(forward)) == len(set(backward)) == len(found), found
assert losses(1, 1) == found[4]

# All optimizers; and arrays that were assigned to variables stay as they are.
gradients = step.gradients([window], states, [(0, 0)])[1]
for name in LEARNING_RATES:
    update = TrainingStep(model, new_optimizer(name, None, "cosine", 4), 1.0).update
    given = [convert_to_numpy(v) + 1 for v in model.trainable_variables]
    kept = [array.copy() for array in given]
    for variable, array in zip(model.trainable_variables, given):
        variable.assign(array)
    update(gradients)
    update(gradients)
    for array, copy, variable in zip(given, kept, model.trainable_variables):
        np.testing.assert_array_equal(array, copy)
        assert np.isfinite(convert_to_numpy(variable)).all(), (name, variable.path)
        assert (convert_to_numpy(variable) != copy).any(), (name, variable.path)

# Half precision.
model, found = few_steps.train(new_model, dtype="mixed_bfloat16")
np.testing.assert_allclose(found["losses"], whole["losses"], rtol=0.02)
assert (found["losses"] != whole["losses"]).all()
state = model.get_initial_state(2)[0]
dtypes = [[standardize_dtype(s.dtype) for s in layer] for layer in state]
assert dtypes == [["bfloat16", "float32"]] * 2

try:
    steps().strategy_scope(2)
except ValueError as error:
    assert "devices: expected 1 on" in str(error)
else:
    raise AssertionError
""",
    )


@pytest.mark.parametrize("shape", [(1, 3), (5, 9), (6, 16), (7, 33), (1025, 50)])
def test_padding_adds_what_changes_nothing(shape):
    pytest.importorskip("jax", reason="needs the extra `jax`")
    from keras_elmo.pretraining.jax_step import rounded_up

    window = {
        "words": np.full(shape, 7, np.int32),
        "rows": np.arange(4),
        "true": np.zeros((2, 3, 1)),
        "negatives": np.zeros((2, 5)),
    }
    found = rounded_up(window, 50)
    for name in ("true", "negatives"):
        assert found[name] is window[name]
    assert found["rows"].tolist() == [*range(4), *[0] * 12]
    words = found["words"]
    np.testing.assert_array_equal(words[: shape[0], : shape[1]], window["words"])
    assert (words[: shape[0], shape[1] :] == 261).all()
    assert shape[0] <= len(words) <= 1.5 * shape[0]
    assert shape[1] <= words.shape[1] <= min(50, shape[1] + 15)
