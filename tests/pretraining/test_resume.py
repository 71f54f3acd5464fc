"""Runs that were stopped or killed end as runs that never were, bit for bit."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys

import pytest

from keras_elmo.ai2.run_checkpoint import read_stored
from keras_elmo.errors import FormatError
from keras_elmo.pretraining.run_folder import RunFolder
from keras_elmo.pretraining.settings import TrainingSettings
from tests.helpers import DATA
from tests.pretraining import small_models, small_runs
from tests.pretraining.small_runs import after, assert_same_result, result

pytestmark = pytest.mark.usefixtures("quick_runs")

# All that has a state of its own: dropout, sampler, two streams, parts of the rows.
SETTINGS = {
    "steps": 13,
    "batch": 4,
    "accumulate": 2,
    "dropout": 0.2,
    "independent_streams": True,
    "optimizer": "adam",
    "checkpoint_every": 5,
    "validate_every": 6,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_runs):
    """A run that was never stopped, and copies of it made while it went on, by step."""
    folder = tmp_path_factory.mktemp("runs")
    copies = {}
    for report in small_runs.start(folder / "whole", **SETTINGS):
        copies[report.step] = folder / f"step_{report.step}"
        shutil.copytree(folder / "whole", copies[report.step])
    return folder / "whole", copies


@pytest.mark.parametrize(
    "stops",
    [
        (4, 13),  # at a report, and at the end
        # before, at and after reports, checkpoints and validations
        pytest.param((1, 4, 5, 6, 7, 11), marks=pytest.mark.slow),
    ],
)
def test_a_run_stopped_again_and_again_ends_the_same(whole, tmp_path, stops):
    run, before = tmp_path / "run", 0
    for stop in stops:
        stopped = after(stop - before)
        reports = list(small_runs.start(run, **SETTINGS, stopped=stopped))
        assert read_stored(run / "last.npz")[1]["step"] == stop
        assert all(before <= report.step <= stop for report in reports)
        assert not (run / "options.json").exists()
        before = stop
    small_runs.train(run, **SETTINGS)
    assert_same_result(run, result(whole[0]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"negatives": 0, "carry_over_sentences": True},
        {"dtype": "mixed_bfloat16", "optimizer": "adagrad"},
        {"optimizer": "nadam", "clip_norm": 0.1, "schedule": "cosine"},
        {
            "options": small_models.options("token_shared_full"),
            "share_embedding_softmax": True,
        },
        {"options": small_models.options("token_sampled")},
        {"unroll": 5, "accumulate": 4, "independent_streams": False},
    ],
)
def test_other_settings_are_resumed_the_same(tmp_path, changes):
    settings = SETTINGS | changes
    small_runs.train(tmp_path / "whole", **settings)
    list(small_runs.start(tmp_path / "run", **settings, stopped=after(7)))
    small_runs.train(tmp_path / "run", **settings)
    assert_same_result(tmp_path / "run", result(tmp_path / "whole"))


def test_what_was_logged_after_the_checkpoint_is_done_again(whole, tmp_path):
    # As a kill leaves it: the log at step 8, the checkpoint at 6, half a line more.
    run = small_runs.copy(whole[1][8], tmp_path / "run")
    assert read_stored(run / "last.npz")[1]["step"] == 6
    assert [entry["step"] for entry in small_runs.log(run)] == [4, 6, 8]
    with open(run / "log.jsonl", "a") as file:
        file.write('{"step": 9, "lo')
    for name in ("last.npz.1.part", "best.npz.2.part", "log.jsonl.3.part"):
        (run / name).write_bytes(b"PK")
    small_runs.train(run, **SETTINGS)
    assert_same_result(run, result(whole[0]))
    assert list(run.glob("*.part")) == []


def test_a_run_without_a_checkpoint_starts_over(whole, tmp_path):
    names = ("run.json", "vocab.txt", "log.jsonl")
    run = small_runs.copy(whole[0], tmp_path / "run", *names)
    with contextlib.closing(small_runs.start(run, **SETTINGS)) as steps:
        report = next(steps)
    assert (report.step, report.loss) == (0, None)
    assert small_runs.log(run) == []


@pytest.mark.slow
def test_a_run_killed_as_it_wrote_its_model_writes_it_again(whole, tmp_path):
    run = small_runs.copy(whole[0], tmp_path / "run")
    (run / "options.json").unlink()
    (run / "softmax.hdf5").write_bytes(b"half")
    (report,) = small_runs.train(run, **SETTINGS)
    assert report.step == 13
    assert_same_result(run, result(whole[0]))


def test_a_finished_run_is_left_as_it_is(whole):
    run, _ = whole
    paths = [path for path in run.iterdir() if path.name != "lock"]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    assert small_runs.train(run, **SETTINGS) == []
    found = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before}
    assert found == before and len(list(run.iterdir())) == len(before) + 1


def test_a_cut_off_checkpoint_is_refused_and_the_best_one_remains(whole, tmp_path):
    run = small_runs.copy(whole[1][8], tmp_path / "run")
    best = (run / "best.npz").read_bytes()
    (run / "last.npz").unlink()  # it may be the same file
    (run / "last.npz").write_bytes(best[:-100])
    with pytest.raises(FormatError, match=r"run/last\.npz: expected a whole \.npz"):
        small_runs.train(run, **SETTINGS)
    assert (run / "best.npz").read_bytes() == best
    assert read_stored(run / "best.npz")[1]["step"] == 6


def test_two_runs_are_kept_out_of_one_folder(whole, tmp_path):
    run = small_runs.copy(whole[1][4], tmp_path / "run")
    with RunFolder(run).locked():
        with pytest.raises(BlockingIOError, match=f"that process {os.getpid()} does"):
            small_runs.train(run, **SETTINGS)


# Another run.


def other_file(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


CHANGES = {
    "epochs": ({"steps": 14}, "settings.epochs {now} (it began with {was})"),
    "batch": ({"batch": 2}, "settings.batch 2 (it began with 4)"),
    "negatives": ({"negatives": 9}, "settings.negatives 9 (it began with 8)"),
    "optimizer": (
        {"optimizer": "sgd", "learning_rate": 0.5},
        'settings.learning_rate 0.5 (it began with null); settings.optimizer "sgd" '
        '(it began with "adam")',
    ),
    "options": (
        {"options": small_models.options()},
        "options.lstm.n_layers 2 (it began with 1)",
    ),
    "input": (
        {"options": small_models.options("token_sampled")},
        "options.char_cnn null (it began with {{",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_arguments_are_refused_with_the_difference(whole, change):
    changes, message = CHANGES[change]
    per_step = 8 / small_runs.TOKENS
    message = message.format(now=14 * per_step, was=13 * per_step)
    before = result(whole[0])
    with pytest.raises(FormatError) as caught:
        small_runs.train(whole[0], **SETTINGS | changes)
    assert message in str(caught.value)
    assert "whole: expected the arguments that this run began with" in str(caught.value)
    assert result(whole[0]) == before


def test_every_setting_but_the_checkpoints_belongs_to_the_run(whole):
    stored = json.loads((whole[0] / "run.json").read_text())["identity"]["settings"]
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    assert names - set(stored) == {"checkpoint_every"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train",
            small_runs.TRAIN.read_bytes() + b"more\n",
            'shards without "train.txt, 346 bytes"; shards with "train.txt, 351 bytes"',
        ),
        (
            "heldout",
            b"a b\n",
            'heldout "test.txt, 4 bytes" (it began with "test.txt, 157 bytes")',
        ),
        (
            "vocabulary_file",
            (small_runs.LM / "vocab.txt").read_bytes() + b"more\n",
            "vocab.txt: line 26: expected 'no more words' as in {run}/vocab.txt, found "
            "'more'.",
        ),
        (
            "vocabulary_file",
            (small_runs.LM / "vocab.txt").read_bytes().replace(b"cat", b"mat"),
            "vocab.txt: line 19: expected 'cat' as in {run}/vocab.txt, found 'mat'.",
        ),
    ],
)
def test_other_files_are_refused(whole, tmp_path, name, content, message):
    names = {
        "train": "train.txt",
        "heldout": "test.txt",
        "vocabulary_file": "vocab.txt",
    }
    path = other_file(tmp_path, names[name], content)
    with pytest.raises(FormatError) as caught:
        small_runs.train(whole[0], **SETTINGS, **{name: path})
    assert message.format(run=whole[0]) in str(caught.value)


def test_a_run_in_which_nothing_was_trained_may_begin_anew(whole, tmp_path):
    run = small_runs.copy(whole[0], tmp_path / "run", "run.json", "vocab.txt")
    more = (small_runs.LM / "vocab.txt").read_bytes() + b"more\n"
    other = {"vocabulary_file": other_file(tmp_path, "vocab.txt", more), "seed": 7}
    with contextlib.closing(small_runs.start(run, **SETTINGS, **other)) as steps:
        assert next(steps).step == 0
    identity = json.loads((run / "run.json").read_text())["identity"]
    assert (identity["settings"]["seed"], identity["vocabulary"]["words"]) == (7, 26)
    assert (run / "vocab.txt").read_bytes() == more


def test_files_may_move(whole, tmp_path):
    moved = {
        name: shutil.copy(small_runs.LM / file, tmp_path)
        for name, file in (("train", "train.txt"), ("heldout", "test.txt"))
    }
    assert small_runs.train(whole[0], **SETTINGS, **moved) == []


# Killed processes.


def train_killed(run, kills, seed, settings):
    """The steps at which processes were killed until one ended the run."""
    argv = [str(run), str(kills), str(seed), json.dumps(settings)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.pretraining.killed_run", *argv],
        cwd=DATA.parents[1],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_killed_run_ends_as_one_that_was_not(whole, tmp_path):
    run = tmp_path / "run"
    first, second = train_killed(run, 2, 0, SETTINGS | {"checkpoint_every": 1})
    assert 0 < first < 13 and first <= second
    assert_same_result(run, result(whole[0]))
    assert list(run.glob("*.part")) == []


@pytest.mark.slow
def test_a_run_killed_many_times_ends_as_one_that_was_not(tmp_path):
    settings = SETTINGS | {"steps": 100, "checkpoint_every": 2, "validate_every": 7}
    small_runs.train(tmp_path / "whole", **settings)
    assert len(set(train_killed(tmp_path / "run", 7, 1, settings))) > 3
    assert_same_result(tmp_path / "run", result(tmp_path / "whole"))
