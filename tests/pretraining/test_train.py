"""Whole training runs, very small ones; stopped ones and bad input have own files."""

import json
import os

import keras
import numpy as np
import pytest

from keras_elmo.ai2.run_checkpoint import read_stored
from keras_elmo.pretraining.evaluate import perplexities
from keras_elmo.pretraining.model_files import load_language_model
from tests.pretraining import small_models, small_runs

pytestmark = pytest.mark.usefixtures("quick_runs")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, quick_runs):
    """One run of 75 steps: its folder and what it reported."""
    run = tmp_path_factory.mktemp("runs") / "new"
    reports = small_runs.train(
        run,
        steps=75,
        unroll=3,
        batch=4,
        optimizer="adam",
        learning_rate=0.02,
        validate_every=30,
        heldout_sentences=500,
    )
    return run, reports


def test_training_lowers_heldout_perplexity(trained):
    _, reports = trained
    first, *_, last = [r.heldout["geometric_mean"] for r in reports if r.heldout]
    assert last < 0.9 * first and last < 25
    assert reports[-1].loss < reports[1].loss


def test_a_run_leaves_its_files_and_a_log(trained):
    run, reports = trained
    assert set(os.listdir(run)) == {
        "best.npz",
        "last.npz",
        "lm_weights.hdf5",
        "lock",
        "log.jsonl",
        "options.json",
        "run.json",
        "softmax.hdf5",
        "vocab.txt",
    }
    lines = (run / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [vars(r) for r in reports[1:]]


def test_progress_tells_where_the_run_stands(trained):
    _, reports = trained
    steps = [0, *range(4, 75, 4), 75]
    assert [r.step for r in reports] == sorted({*steps, 30, 60})
    assert {r.steps for r in reports} == {75}
    assert [r.tokens for r in reports] == [12 * r.step for r in reports]
    assert [r.step for r in reports if r.heldout] == [30, 60, 75]
    assert reports[0].loss is None and reports[-1].seconds_left == 0
    for report in reports[1:]:
        assert report.sampled_perplexity == pytest.approx(np.exp(report.loss))
        assert report.training_perplexity is None
        assert report.tokens_per_second > 0
        assert 0 <= report.clipped_cells <= 1


def test_each_loss_is_reported_once(trained, tmp_path):
    run, reports = trained
    _, meta = read_stored(run / "last.npz")
    assert (meta["step"], meta["steps"]) == (75, 75)
    assert len(meta["losses"]) == 75 - 72
    assert reports[-1].loss == pytest.approx(np.mean(meta["losses"]))


def test_the_best_checkpoint_is_that_of_the_lowest_perplexity(trained):
    run, reports = trained
    found = {r.step: r.heldout["geometric_mean"] for r in reports if r.heldout}
    best = min(found, key=found.get)
    assert read_stored(run / "best.npz")[1]["step"] == best


def test_a_model_read_back_has_the_same_perplexity(trained):
    run, reports = trained
    model = load_language_model(run)
    found = perplexities(model, small_models.sentences("test.txt"))
    assert found == pytest.approx(reports[-1].heldout, rel=1e-6)


@pytest.mark.slow
def test_the_seed_decides_the_run(tmp_path):
    for name, seed in (("first", 5), ("same", 5), ("other", 6)):
        small_runs.train(tmp_path / name, steps=1, seed=seed, dropout=0.3)
    first = small_runs.result(tmp_path / "first")
    small_runs.assert_same_result(tmp_path / "same", first)
    assert small_runs.log(tmp_path / "other") != first["log.jsonl"]


@pytest.mark.slow
def test_the_shortest_run_is_one_step_and_heldout_text_is_read_as_far_as_asked(
    tmp_path,
):
    _, report = small_runs.train(tmp_path / "run", steps=0, heldout_sentences=2)
    assert (report.step, report.steps) == (1, 1)
    words = small_models.sentences("test.txt")[:2]
    assert report.heldout["tokens"] == sum(len(w) + 1 for w in words)


@pytest.mark.slow
def test_half_precision_the_full_softmax_and_a_schedule_run(tmp_path):
    *_, report = small_runs.train(
        tmp_path / "run",
        steps=3,
        dtype="mixed_bfloat16",
        schedule="cosine",
        negatives=0,
        carry_over_sentences=True,
    )
    assert report.sampled_perplexity is None
    assert report.training_perplexity == pytest.approx(np.exp(report.loss))
    assert report.learning_rate == pytest.approx(0.1)  # halfway down
    assert load_language_model(tmp_path / "run").encoder.compute_dtype == "float32"


def test_a_run_that_carries_its_state_is_validated_from_that_state(tmp_path):
    changes = {"steps": 31, "heldout_sentences": 8, "optimizer": "adam"}
    changes |= {"learning_rate": 0.02, "carry_over_sentences": True}
    *_, report = small_runs.train(tmp_path / "run", **changes)
    model = load_language_model(tmp_path / "run")
    arrays, _ = read_stored(tmp_path / "run" / "last.npz")
    zeros = model.get_initial_state(2)
    count = len(keras.tree.flatten(zeros))
    leaves = [np.asarray(arrays[f"states/{i}"]) for i in range(count)]
    running = {
        "carry_state": True,
        "batch": 2,
        "states": keras.tree.pack_sequence_as(zeros, leaves),
    }
    words = small_models.sentences("test.txt")
    expected = perplexities(model, words, **running)
    assert report.heldout == pytest.approx(expected, rel=1e-5)
    from_zero = perplexities(model, words, **(running | {"states": zeros}))
    assert abs(report.heldout["forward"] / from_zero["forward"] - 1) > 1e-4


def test_nothing_is_done_before_the_run_is_iterated_over(tmp_path):
    small_runs.start(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_setting_of_checkpoints_is_the_same_run(trained):
    run, _ = trained
    last = (run / "last.npz").read_bytes()
    again = small_runs.train(
        run,
        steps=75,
        unroll=3,
        batch=4,
        optimizer="adam",
        learning_rate=0.02,
        validate_every=30,
        heldout_sentences=500,
        checkpoint_every=7,
    )
    assert again == [] and (run / "last.npz").read_bytes() == last
