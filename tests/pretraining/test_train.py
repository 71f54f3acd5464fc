"""Whole training runs, very small ones; single steps are in the parity test."""

import itertools
import json
import os

import keras
import numpy as np
import pytest

from keras_elmo.errors import FormatError
from keras_elmo.pretraining.evaluate import perplexities
from keras_elmo.pretraining.run_files import load_language_model
from keras_elmo.pretraining.train import _optimizer, pretrain
from tests.pretraining import small_models

LM = small_models.LM
FILES = {"options.json", "lm_weights.hdf5", "softmax.hdf5", "vocab.txt"}


@pytest.fixture(scope="module", autouse=True)
def short_windows():
    """Validation in windows of 3, which compile faster than those of 20."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_elmo.pretraining.evaluate.UNROLL", 3)
        yield


def start(folder, **changes):
    options = small_models.options()
    options["lstm"]["n_layers"] = 1
    arguments = {
        "train": str(LM / "train.txt"),
        "heldout": str(LM / "test.txt"),
        "vocabulary_file": str(LM / "vocab.txt"),
        "options": options,
        "run": str(folder),
        "negatives": 8,
        "batch": 2,
        "unroll": 2,
        "epochs": 0.16,  # 4 steps
        **changes,
    }
    return pretrain(**arguments)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of 75 steps: its folder and what it reported."""
    folder = tmp_path_factory.mktemp("runs") / "new"
    progress = start(
        folder,
        options=small_models.options(),
        epochs=9,
        unroll=3,
        batch=4,
        optimizer="adam",
        learning_rate=0.02,
        validate_every=30,
    )
    return folder, list(progress)


@pytest.fixture(scope="module")
def one_step(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "new"
    return next(start(folder, epochs=0, heldout_sentences=2))


def test_training_lowers_heldout_perplexity(run):
    _, reports = run
    first, *_, last = [r.heldout["geometric_mean"] for r in reports if r.heldout]
    assert last < 0.9 * first and last < 25
    assert reports[-1].loss < reports[0].loss


def test_run_leaves_the_four_files_and_a_log(run):
    folder, reports = run
    assert set(os.listdir(folder)) == {*FILES, "log.jsonl"}
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [vars(r) for r in reports]


def test_progress_tells_where_the_run_stands(run):
    _, reports = run
    last = reports[-1]
    assert [r.step for r in reports] == [20, 30, 40, 60, last.step]
    assert last.step == last.steps == round(9 * 101 / 12)
    assert [r.tokens for r in reports] == [12 * r.step for r in reports]
    assert [r.step for r in reports if r.heldout] == [30, 60, last.step]
    for report in reports:
        np.testing.assert_allclose(report.sampled_perplexity, np.exp(report.loss))
        assert report.tokens_per_second > 0


def test_model_read_back_has_the_same_perplexity(run):
    folder, reports = run
    model, vocabulary, max_chars = load_language_model(str(folder))
    text = small_models.sentences("test.txt")
    found = perplexities(model, vocabulary, text, max_chars=max_chars)
    assert found == pytest.approx(reports[-1].heldout, rel=1e-6)


def test_existing_run_is_refused_and_stays(run):
    folder, _ = run
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    with pytest.raises(FileExistsError, match="expected a new folder, found a model"):
        next(start(folder))
    after = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    assert after == before


def test_seed_decides_the_run(tmp_path, one_step):
    same, other = (
        next(start(tmp_path / str(seed), epochs=0, seed=seed)) for seed in (0, 1)
    )
    assert same.loss == pytest.approx(one_step.loss, rel=1e-6)
    assert other.loss != pytest.approx(one_step.loss, rel=1e-6)


def test_loss_that_is_not_finite_ends_the_run(tmp_path):
    with pytest.raises(FloatingPointError, match=r"step \d: the loss is (nan|inf)"):
        list(start(tmp_path / "new", optimizer="adam", learning_rate=1e30))


def test_half_precision_and_a_schedule_run(tmp_path):
    (report,) = start(tmp_path / "new", dtype="mixed_bfloat16", schedule="cosine")
    assert np.isfinite(report.loss)
    assert FILES < set(os.listdir(tmp_path / "new"))


def test_shortest_run_is_one_step(one_step):
    assert one_step.steps == one_step.step == 1


def test_heldout_text_is_read_as_far_as_asked(one_step):
    words = small_models.sentences("test.txt")[:2]
    assert one_step.heldout["tokens"] == sum(len(w) + 1 for w in words)


@pytest.mark.parametrize("name", ["train", "heldout"])
def test_text_without_sentences_is_named(tmp_path, name):
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(
        FormatError, match=r"empty\.txt: expected sentences, found none"
    ):
        next(start(tmp_path / "new", **{name: str(tmp_path / "empty.txt")}))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "sgd"}, "expected optimizer .* received 'sgd'"),
        ({"schedule": "linear"}, "expected schedule .* received 'linear'"),
        ({"negatives": 25}, "expected count .* received 25"),
    ],
)
def test_refuses_wrong_arguments(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        next(start(tmp_path / "new", **changes))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("steps", [1, 2, 100])
def test_cosine_schedule_rises_shortly_and_falls_to_zero(steps):
    optimizer = _optimizer("adam", 0.5, "cosine", steps)
    rates = []
    weight = keras.Variable(np.zeros(1))
    optimizer.build([weight])
    for _ in range(steps):
        rates.append(float(optimizer.learning_rate))
        optimizer.iterations.assign_add(1)
    highest = int(np.argmax(rates))
    assert max(rates) <= 0.5 and highest <= max(1, 0.02 * steps)
    assert all(a > b for a, b in itertools.pairwise(rates[highest:]))
