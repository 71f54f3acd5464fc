"""The command `keras-elmo pretrain`."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from keras_elmo import cli
from keras_elmo.resolver import load_elmo
from tests.cli.training_arguments import CONFIG, LM, arguments

LINES = [line.split() for line in (LM / "train.txt").read_text("utf-8").split("\n")]
WORDS = sum(map(len, LINES))
TOKENS = WORDS + sum(map(bool, LINES))
VOCABULARY = set((LM / "vocab.txt").read_text("utf-8").split())
UNKNOWN = sum(word not in VOCABULARY for words in LINES for word in words)
FINISHED = {
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


@pytest.fixture(scope="module", autouse=True)
def short_windows():
    """Validation in windows of 3, which compile faster than those of 20."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_elmo.pretraining.evaluate.UNROLL", 3)
        yield


def pretrain(config_file, run, **others):
    """The arguments of a small run."""
    chosen = {"vocab": LM / "vocab.txt", "config": config_file, "epochs": 2, **others}
    return ["pretrain", *arguments(run, **chosen)]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "small.json"
    path.write_text(json.dumps(CONFIG))
    return path


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """A run's folder, and what its command printed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        argv = pretrain(config, run, epochs=2.5)
        assert cli.main([*argv, "--tensorboard"]) == 0
    return run, out.getvalue(), err.getvalue()


def test_a_run_leaves_a_model_and_its_checkpoints(trained):
    run, out, _ = trained
    names = {path.name for path in run.iterdir()}
    assert names == FINISHED | {"tensorboard"}
    assert load_elmo(run).bilm.units == 12
    assert out.splitlines()[-1] == str(run)
    assert "geometric mean held-out perplexity" in out


def test_without_a_terminal_each_validation_is_a_plain_line(trained):
    run, _, err = trained
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["heldout"] is None for entry in log] == [True, False]
    begin, line = err.splitlines()
    assert begin == (
        f"{run}: from step 0 to {log[1]['steps']}; a pass is {TOKENS} tokens (words "
        f"and sentence ends), {UNKNOWN / WORDS:.2%} of the words unknown"
    )
    entry = log[1]
    assert line.startswith(f"step {entry['step']}/{entry['steps']}: ")
    assert f"loss {entry['loss']:.4f} nats" in line
    assert f"sampled perplexity {entry['sampled_perplexity']:,.1f}" in line
    heldout = entry["heldout"]["geometric_mean"]
    assert line.endswith(f"held-out perplexity {heldout:,.1f}")
    assert "\x1b" not in err


def test_scalars_of_tensorboard_are_those_of_the_log(trained):
    run, *_ = trained
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    for tag, values in {
        "training/loss in nats": [entry["loss"] for entry in log],
        "training/sampled perplexity": [e["sampled_perplexity"] for e in log],
        "training/gradient norm": [entry["gradient_norm"] for entry in log],
        "training/share of clipped cells": [entry["clipped_cells"] for entry in log],
        "training/learning rate": [entry["learning_rate"] for entry in log],
        "heldout/perplexity forward": [log[1]["heldout"]["forward"]],
        "heldout/perplexity backward": [log[1]["heldout"]["backward"]],
    }.items():
        steps = [entry["step"] for entry in log][-len(values) :]
        found = events.Tensors(tag)
        assert [event.step for event in found] == steps
        numbers = [event.tensor_proto.float_val[0] for event in found]
        assert numbers == pytest.approx(values, rel=1e-6)


def test_the_same_command_on_a_finished_run_does_nothing(config, trained, command):
    run, first, _ = trained
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    argv = pretrain(config, run, epochs=2.5)
    status, out, err = command(*argv)
    assert (status, out, err) == (0, first, "")
    after = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    lock = run / "lock"  # says which process looked last
    assert before | {lock: None} == after | {lock: None}


def test_other_arguments_on_a_run_are_refused(config, trained, command):
    run, *_ = trained
    status, out, err = command(*pretrain(config, run, epochs=3))
    assert (status, out) == (1, "")
    assert err == (
        f"keras-elmo: {run}: expected the arguments that this run began with, found "
        "settings.epochs 3.0 (it began with 2.5). Another folder makes another run.\n"
    )


def test_json_of_a_run_is_one_object_and_a_terminal_gets_a_bar(
    config, command, tmp_path, terminal
):
    shown = terminal()
    run = tmp_path / "run"
    chosen = {"epochs": 0.1, "optimizer": "adam", "schedule": "cosine", "seed": 3}
    argv = pretrain(config, run, **chosen, negatives=0)
    status, out, _ = command(*argv, "--carry-over-sentences", "--json")
    assert status == 0
    facts = json.loads(out)
    assert (facts["run"], facts["finished"]) == (str(run), True)
    assert facts["step"] == facts["steps"] == 1
    assert facts["sampled_perplexity"] is None and facts["training_perplexity"] > 1
    names = ("tokens/s", "nats", "training perplexity", "held-out perplexity")
    for text in ("reading the text", "step 1/1: ", *names):
        assert text in shown()


def test_word_input_may_share_its_embedding(command, tmp_path):
    options = tmp_path / "words.json"
    options.write_text(json.dumps({"lstm": CONFIG["lstm"]}))
    run = tmp_path / "run"
    argv = pretrain(options, run, epochs=0.1)
    status, *_ = command(*argv, "--share-embedding-softmax", "--independent-streams")
    assert status == 0
    assert load_elmo(run).token_encoder.input_dim == 26
    status, out, err = command("evaluate", run, LM / "test.txt", "--json")
    assert (status, err) == (0, "") and json.loads(out)["vocabulary_size"] == 25


def start(config, run, **others):
    code = "import sys; from keras_elmo.cli import main; sys.exit(main(sys.argv[1:]))"
    argv = [sys.executable, "-c", code, *pretrain(config, run, **others)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_write_a_checkpoint_and_exit_with_0(config, tmp_path, number, command):
    run = tmp_path / "run"
    many = {"epochs": 2000, "checkpoint_every": 10**6, "validate_every": 10**6}
    with start(config, run, **many) as process:
        while not (run / "log.jsonl").exists() or not (run / "log.jsonl").read_text():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.decode() == f"{run}: the same command goes on\n"
    assert err.decode().splitlines()[-1] == "stopping after this step"
    assert "last.npz" in os.listdir(run) and "options.json" not in os.listdir(run)
    status, shown, _ = command("inspect", run, "--json")
    assert status == 0 and json.loads(shown)


def test_a_folder_that_holds_another_model_is_refused(config, command, tmp_path):
    (tmp_path / "options.json").write_text("{}")
    status, out, err = command(*pretrain(config, tmp_path))
    message = (
        f"keras-elmo: {tmp_path}: expected a new folder or a training run, found "
        "options.json without run.json.\n"
    )
    assert (status, out, err) == (1, "", message)


def test_a_loss_that_is_no_number_is_one_line(config, command, tmp_path):
    argv = pretrain(config, tmp_path / "run", learning_rate=1e38)
    status, out, err = command(*argv)
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"keras-elmo: {tmp_path / 'run'}: step ")
    assert "A lower --learning-rate or --clip-norm may help" in last


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("negatives", 25, "negatives: expected fewer than the words of the vocabulary"),
        ("accumulate", 2, "--accumulate: expected a divisor of batch, 3, received 2."),
        (
            "config",
            "huge",
            "huge: expected one of tiny, small, medium, original, or an",
        ),
        ("train", "absent*.gz", "absent*.gz: expected at least one file, found none."),
        ("heldout", "absent.txt", "absent.txt: No such file or directory"),
        ("vocab", LM / "train.txt", "train.txt: line 7: expected a word, found none."),
    ],
)
def test_expected_errors_of_pretrain_are_one_line(
    name, value, message, config, command, tmp_path
):
    argv = pretrain(config, tmp_path / "run", **{name: value})
    status, out, err = command(*argv)
    assert (status, out) == (1, "")
    assert err.startswith("keras-elmo: ") and message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()
