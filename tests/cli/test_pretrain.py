"""The commands `keras-elmo pretrain` and `keras-elmo evaluate`."""

import contextlib
import io
import json
import math

import pytest

from keras_elmo import cli
from keras_elmo.resolver import load_elmo
from tests.helpers import GOLDEN

LM = GOLDEN / "lm"
CONFIG = {
    "lstm": {"dim": 12, "projection_dim": 6, "n_layers": 1, "cell_clip": 3},
    "char_cnn": {
        "activation": "relu",
        "embedding": {"dim": 4},
        "filters": [[1, 4], [2, 4]],
        "max_characters_per_token": 12,
        "n_highway": 1,
    },
}
LINES = [line.split() for line in (LM / "test.txt").read_text("utf-8").split("\n")]
VOCABULARY = (LM / "vocab.txt").read_text("utf-8").split()
TOKENS = sum(len(words) + 1 for words in LINES if words)
UNKNOWN = sum(word not in VOCABULARY for words in LINES for word in words)


def pretrain(config_file, run, **others):
    """The arguments of a small run."""
    chosen = {
        "train": LM / "tr*n.txt",
        "heldout": LM / "test.txt",
        "vocab": LM / "vocab.txt",
        "config": config_file,
        "out": run,
        "epochs": 2,
        "batch": 3,
        "unroll": 4,
        "negatives": 8,
        **others,
    }
    pairs = ([f"--{key.replace('_', '-')}", str(chosen[key])] for key in chosen)
    return ["pretrain", *(item for pair in pairs for item in pair)]


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
        assert cli.main(pretrain(config, run, epochs=2.5)) == 0
    return run, out.getvalue(), err.getvalue()


def test_a_run_leaves_a_language_model(trained):
    run, out, _ = trained
    assert sorted(path.name for path in run.iterdir()) == [
        "lm_weights.hdf5",
        "log.jsonl",
        "options.json",
        "softmax.hdf5",
        "vocab.txt",
    ]
    assert load_elmo(run).bilm.units == 12
    assert out.splitlines()[-1] == str(run)
    assert "geometric mean held-out perplexity" in out


def test_without_a_terminal_each_validation_is_a_plain_line(trained):
    run, _, err = trained
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["heldout"] is None for entry in log] == [True, False]
    (line,) = err.splitlines()
    entry = log[1]
    assert line.startswith(f"step {entry['step']}/{entry['steps']}: ")
    assert f"loss {entry['loss']:.4f} nats" in line
    assert f"sampled perplexity {entry['sampled_perplexity']:,.1f}" in line
    heldout = entry["heldout"]["geometric_mean"]
    assert line.endswith(f"held-out perplexity {heldout:,.1f}")
    assert "\x1b" not in err


def test_evaluate_agrees_with_the_last_validation(trained, command):
    run, *_ = trained
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    status, out, err = command("evaluate", run, LM / "test.txt", "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert set(facts) == {
        "forward",
        "backward",
        "arithmetic_mean",
        "geometric_mean",
        "tokens",
        "unknown",
        "vocabulary_size",
    }
    assert (facts["tokens"], facts["unknown"]) == (TOKENS, UNKNOWN)
    assert facts["vocabulary_size"] == len(VOCABULARY)
    assert facts == pytest.approx(last["heldout"], rel=1e-4)
    product = facts["forward"] * facts["backward"]
    assert facts["geometric_mean"] == pytest.approx(math.sqrt(product))


def test_evaluate_prints_what_json_has(trained, command, tmp_path):
    run, *_ = trained
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_bytes((LM / "vocab.txt").read_bytes())
    (run / "vocab.txt").rename(tmp_path / "away.txt")
    argv = ["evaluate", run, LM / "test.txt", "--vocab", vocabulary, "--carry-state"]
    try:
        status, out, err = command(*argv, "--batch", 2)
    finally:
        (tmp_path / "away.txt").rename(run / "vocab.txt")
    assert (status, err) == (0, "")
    names = [line.rpartition(" ")[0].strip() for line in out.splitlines()]
    means = ["forward", "backward", "arithmetic mean", "geometric mean"]
    assert names[:4] == [f"{mean} perplexity" for mean in means]
    assert out.splitlines()[4] == (
        f"{TOKENS} tokens (words and sentence ends), {UNKNOWN} words unknown, "
        f"a vocabulary of {len(VOCABULARY)}"
    )


def test_json_of_a_run_is_one_object_and_a_terminal_gets_a_bar(
    config, command, tmp_path, terminal
):
    shown = terminal()
    run = tmp_path / "run"
    chosen = {"epochs": 0.1, "optimizer": "adam", "schedule": "cosine", "seed": 3}
    argv = pretrain(config, run, **chosen)
    status, out, _ = command(*argv, "--carry-over-sentences", "--json")
    assert status == 0
    facts = json.loads(out)
    assert facts["run"] == str(run)
    assert facts["step"] == facts["steps"] == 1
    assert facts["heldout"]["tokens"] == TOKENS
    names = ("tokens/s", "nats", "sampled perplexity", "held-out perplexity")
    for text in ("reading the text", "step 1/1: ", *names):
        assert text in shown()


def test_a_folder_that_holds_a_model_is_refused(config, trained, command):
    run, *_ = trained
    status, out, err = command(*pretrain(config, run))
    message = f"keras-elmo: {run}: expected a new folder, found a model in it.\n"
    assert (status, out, err) == (1, "", message)


def test_a_loss_that_is_no_number_is_one_line(config, command, tmp_path):
    argv = pretrain(config, tmp_path / "run", learning_rate=1e38)
    status, out, err = command(*argv)
    assert (status, out) == (1, "")
    assert err.startswith(f"keras-elmo: {tmp_path / 'run'}: step ")
    assert err.endswith(" A lower --learning-rate may help.\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("negatives", 25, "vocab.txt: expected more words than --negatives, 25, found"),
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


@pytest.mark.parametrize(
    "model, text, message",
    [
        ("elmo_tiny_en", "test.txt", "found a preset, which has no softmax."),
        ("{tiny}", "test.txt", "tiny: expected softmax.hdf5"),
        ("{pair}", "test.txt", "found another form of model, which has no softmax."),
        ("absent", "test.txt", "found nothing of that name."),
        ("{tiny}", "absent.txt", "absent.txt: No such file or directory"),
        ("{tiny}", "blank.txt", "blank.txt: expected sentences, found none."),
    ],
)
def test_expected_errors_of_evaluate_are_one_line(
    model, text, message, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.txt").write_bytes((LM / "test.txt").read_bytes())
    (tmp_path / "blank.txt").write_bytes(b"\n")
    tiny = GOLDEN / "tiny"
    pair = f"{tiny / 'options.json'},{tiny / 'lm_weights.hdf5'}"
    model = model.format(tiny=tiny, pair=pair)
    status, out, err = command("evaluate", model, text)
    assert (status, out) == (1, "")
    assert err.startswith("keras-elmo: ") and message in err
    assert err.count("\n") == 1
