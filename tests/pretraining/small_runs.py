"""Training runs of a few steps, and what is compared of them."""

import contextlib
import json
import shutil

from keras_elmo.ai2.hdf5_file import data_sets, open_hdf5
from keras_elmo.pretraining import evaluate, loop
from keras_elmo.pretraining.settings import TrainingSettings
from keras_elmo.pretraining.train import pretrain
from tests.pretraining import small_models

LM = small_models.LM
TRAIN = LM / "train.txt"
TOKENS = sum(len(words) + 1 for words in small_models.sentences("train.txt"))
SPEEDS = ("tokens_per_second", "seconds_left")


@contextlib.contextmanager
def quick():
    """Short windows of validation, which compile fast, and frequent reports."""
    before = evaluate.UNROLL, loop.REPORT_EVERY
    evaluate.UNROLL, loop.REPORT_EVERY = 3, 4
    try:
        yield
    finally:
        evaluate.UNROLL, loop.REPORT_EVERY = before


def options():
    """The small models' options, with one layer."""
    options = small_models.options()
    options["lstm"]["n_layers"] = 1
    return options


def start(run, **changes):
    """`pretrain` with small settings; `steps` stands in place of epochs.

    `train`, `heldout`, `vocabulary_file`, `options` and `stopped` are arguments of
    `pretrain`, all other changes are settings.
    """
    arguments = {
        "train": TRAIN,
        "heldout": LM / "test.txt",
        "vocabulary_file": LM / "vocab.txt",
        "options": options(),
        "run": run,
        "stopped": lambda: False,
    }
    chosen = {
        "batch": 2,
        "unroll": 2,
        "negatives": 8,
        "steps": 12,
        "heldout_sentences": 3,
        **changes,
    }
    for name in arguments.keys() & chosen.keys():
        arguments[name] = chosen.pop(name)
    per_step = chosen["batch"] * chosen["unroll"]
    chosen["epochs"] = chosen.pop("steps") * per_step / TOKENS
    for name in ("train", "heldout", "vocabulary_file"):
        arguments[name] = str(arguments[name])
    return pretrain(**arguments, settings=TrainingSettings(**chosen))


def after(steps):
    """A `stopped` that says so after some steps."""
    left = iter(range(steps - 1))
    return lambda: next(left, None) is None


def train(run, **changes):
    """Train to the end; the reports."""
    return list(start(run, **changes))


def result(run):
    """All that a finished run leaves, exactly, but for times."""
    found = {name: (run / name).read_bytes() for name in ("last.npz", "best.npz")}
    for name in ("lm_weights.hdf5", "softmax.hdf5"):
        with open_hdf5(run / name) as file:
            for path, item in data_sets(file).items():
                found[f"{name}: {path}"] = item[...].tobytes()
    return found | {"log.jsonl": log(run)}


def log(run):
    """The entries of a run's log, without speeds."""
    entries = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [{k: v for k, v in e.items() if k not in SPEEDS} for e in entries]


def assert_same_result(run, expected):
    """A run ended as another one did; `expected` is its `result`."""
    found = result(run)
    assert found["log.jsonl"] == expected["log.jsonl"]
    assert set(found) == set(expected)
    assert [name for name in found if found[name] != expected[name]] == []


def copy(run, folder, *names):
    """A copy of a run's folder, or of some files of it."""
    if not names:
        shutil.copytree(run, folder)
    else:
        folder.mkdir()
        for name in names:
            shutil.copy(run / name, folder)
    return folder
