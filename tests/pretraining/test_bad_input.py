"""What may be wrong with the files of a run, its numbers and its machine."""

import contextlib
import errno
import gzip
import json
import os
import shutil

import numpy as np
import pytest

from keras_elmo import cli
from keras_elmo.ai2.run_checkpoint import read_stored
from keras_elmo.errors import FormatError
from keras_elmo.pretraining import corpus, loop
from keras_elmo.pretraining.model_files import load_language_model
from keras_elmo.text.vocabulary import SPECIALS
from tests.helpers import largest_file
from tests.pretraining import small_runs
from tests.pretraining.small_runs import LM, after, assert_same_result, result

pytestmark = pytest.mark.usefixtures("quick_runs")


def write(path, content):
    path.write_bytes(content)
    return path


def begin(run, **changes):
    """Count the text and build the model; no step is taken. What was counted."""
    with contextlib.closing(small_runs.start(run, **changes)) as steps:
        assert next(steps).step == 0
    return json.loads((run / "run.json").read_text())["facts"]


def assert_refused(run, message, error=FormatError, **changes):
    """Nothing is begun, and the error is one line that says why."""
    with pytest.raises(error) as caught:
        small_runs.train(run, **changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not run.exists() or os.listdir(run) == ["lock"]


def assert_good(checkpoint, least):
    """A checkpoint can be read, and gives a model of finite numbers."""
    assert read_stored(checkpoint)[1]["step"] >= least
    weights = load_language_model(checkpoint).get_weights()
    assert all(np.isfinite(array).all() for array in weights)


# Text.


def test_shards_that_are_all_empty_are_refused(tmp_path):
    for name in ("a.txt", "b.txt"):
        write(tmp_path / name, b"\n \n")
    train = tmp_path / "?.txt"
    message = f"{train}: expected sentences, found none."
    assert_refused(tmp_path / "run", message, train=train)


@pytest.mark.parametrize("name", ["b.txt", "b.gz"])
def test_an_empty_shard_among_others_is_passed_over(tmp_path, name):
    shutil.copy(small_runs.TRAIN, tmp_path / "a.txt")
    content = gzip.compress(b"") if name == "b.gz" else b"\n\n \n"
    empty = write(tmp_path / name, content)
    facts = begin(tmp_path / "run", train=tmp_path / "?.*")
    assert facts["empty"] == [str(empty)]
    assert facts["tokens"] == small_runs.TOKENS


def test_a_pattern_without_files_is_named(tmp_path):
    message = "none*.txt: expected at least one file, found none."
    train = tmp_path / "none*.txt"
    assert_refused(tmp_path / "run", message, FileNotFoundError, train=train)


@pytest.mark.parametrize("name", ["train", "heldout"])
def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path, name):
    path = write(tmp_path / "latin.txt", b"the cat\n\nna\xefve the\n")
    message = "latin.txt: line 3: expected UTF-8"
    assert_refused(tmp_path / "run", message, **{name: path})
    facts = begin(tmp_path / "run", **{name: path}, errors="replace")
    if name == "train":
        assert (facts["sentences"], facts["words"], facts["unknown"]) == (2, 4, 1)


def test_other_line_separators_end_no_line(tmp_path):
    text = "the\u2028cat\x85sat\x0bon\x0cit\n".encode()
    facts = begin(tmp_path / "run", train=write(tmp_path / "a.txt", text))
    assert (facts["sentences"], facts["words"], facts["unknown"]) == (1, 5, 0)


def test_heldout_text_without_sentences_is_refused(tmp_path):
    heldout = write(tmp_path / "blank.txt", b"\n \n")
    message = "blank.txt: expected sentences, found none."
    assert_refused(tmp_path / "run", message, heldout=heldout)


@pytest.mark.parametrize("name", ["heldout", "vocabulary_file"])
def test_files_that_vanish_are_named(tmp_path, name):
    names = {"heldout": "test.txt", "vocabulary_file": "vocab.txt"}
    path = tmp_path / names[name]
    shutil.copy(LM / names[name], path)
    begin(tmp_path / "run", **{name: path})
    path.unlink()
    with pytest.raises(FileNotFoundError, match=names[name]):
        small_runs.train(tmp_path / "run", **{name: path})


@pytest.fixture
def two_shards(tmp_path, monkeypatch):
    """Two shards of which the second is opened after some steps of training."""
    monkeypatch.setattr(corpus, "BLOCK", 2)
    lines = small_runs.TRAIN.read_bytes().splitlines(keepends=True)
    for i, name in enumerate(("a.txt", "b.txt")):
        write(tmp_path / name, b"".join(lines[i::2]))
    return tmp_path / "?.txt"


def vanish(run, train):
    """A run whose shards are moved away after 4 steps; until it notices."""
    away = train.parent / "away"
    away.mkdir()
    for report in small_runs.start(run, train=train, steps=30):
        if report.step == 4:
            for path in sorted(train.parent.glob(train.name)):
                path.rename(away / path.name)
    return away


def test_a_shard_that_vanishes_is_named_and_a_checkpoint_is_written(
    tmp_path, two_shards
):
    run = tmp_path / "run"
    with pytest.raises(FileNotFoundError, match=r"\b[ab]\.txt"):
        vanish(run, two_shards)
    assert_good(run / "last.npz", 5)
    assert [entry["step"] for entry in small_runs.log(run)][:1] == [4]


@pytest.mark.slow
def test_a_run_goes_on_when_its_shards_are_back(tmp_path, two_shards):
    small_runs.train(tmp_path / "whole", train=two_shards, steps=30)
    run = tmp_path / "run"
    with pytest.raises(FileNotFoundError):
        vanish(run, two_shards)
    with pytest.raises(FileNotFoundError, match="expected at least one file"):
        small_runs.train(run, train=two_shards, steps=30)
    for path in (tmp_path / "away").iterdir():
        path.rename(tmp_path / path.name)
    small_runs.train(run, train=two_shards, steps=30)
    assert_same_result(run, result(tmp_path / "whole"))


def test_a_shard_of_another_size_is_another_run(tmp_path, two_shards):
    run = tmp_path / "run"
    begin(run, train=two_shards)
    (run / "last.npz").touch()  # as if something was trained
    size = (tmp_path / "b.txt").stat().st_size
    with open(tmp_path / "b.txt", "ab") as file:
        file.write(b"more\n")
    with pytest.raises(FormatError) as caught:
        small_runs.train(run, train=two_shards)
    message = f'without "b.txt, {size} bytes"; shards with "b.txt, {size + 5} bytes"'
    assert message in str(caught.value)


# The vocabulary.


def rising_frequency(tmp_path):
    """A text, and its words with the most frequent one in the last line."""
    words = [f"w{i}" for i in range(300)]
    text = [f"{word} " * (3000 // (i + 1)) + "\n" for i, word in enumerate(words)]
    lines = "\n".join([*SPECIALS, *words[::-1]])
    return {
        "train": write(tmp_path / "train.txt", "".join(text).encode()),
        "vocabulary_file": write(tmp_path / "vocab.txt", lines.encode()),
    }


def test_a_vocabulary_in_the_wrong_order_is_refused(tmp_path):
    files = rising_frequency(tmp_path)
    message = "vocab.txt: line 303: expected the words by falling frequency"
    assert_refused(tmp_path / "run", message, **files)
    # The full softmax draws no words.
    assert begin(tmp_path / "run", **files, negatives=0)["unknown"] == 0


def test_a_vocabulary_larger_than_memory_is_refused(tmp_path, monkeypatch):
    target = "keras_elmo.pretraining.train.memory_available"
    monkeypatch.setattr(target, lambda: 10_000)
    message = "vocab.txt: expected a vocabulary that fits into memory, found 25 words"
    assert_refused(tmp_path / "run", message)
    for free in (None, 10**9):
        monkeypatch.setattr(target, lambda free=free: free)
        begin(tmp_path / str(free))


# Numbers.


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    run = tmp_path / "run"
    real = loop.TrainingLoop._advance

    def advance(self, windows):
        if self.step == 4:
            self.model.softmax_bias.assign(np.full(25, np.nan, np.float32))
        real(self, windows)

    monkeypatch.setattr(loop.TrainingLoop, "_advance", advance)
    with pytest.raises(FloatingPointError, match="run: step 5: the loss is nan"):
        small_runs.train(run, checkpoint_every=2, validate_every=2)
    assert read_stored(run / "last.npz")[1]["step"] == 4
    for name in ("last.npz", "best.npz"):
        assert_good(run / name, 2)
    assert not (run / "options.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_a_learning_rate_that_is_far_too_high_leaves_good_checkpoints(
    tmp_path, optimizer
):
    with pytest.raises(FloatingPointError, match=r"run: step \d+: "):
        small_runs.train(
            tmp_path / "run",
            optimizer=optimizer,
            learning_rate=1e38,
            checkpoint_every=1,
            steps=40,
        )
    assert_good(tmp_path / "run" / "last.npz", 1)


# The disk.


def test_a_full_disk_stops_and_keeps_the_checkpoint(tmp_path, capsys):
    """Through the command."""
    run, options = tmp_path / "run", tmp_path / "options.json"
    options.write_text(json.dumps(small_runs.options()))
    settings = {"steps": 12, "validate_every": 100}
    list(small_runs.start(run, **settings, stopped=after(3)))
    before = (run / "last.npz").read_bytes()
    argv = ["--train", small_runs.TRAIN, "--heldout", LM / "test.txt"]
    argv += ["--vocab", LM / "vocab.txt", "--config", options, "-o", run]
    argv += ["--batch", 2, "--unroll", 2, "--negatives", 8, "--heldout-sentences", 3]
    argv += ["--validate-every", 100, "--epochs", 12 * 4 / small_runs.TOKENS]
    with largest_file(len(before) // 2):
        status = cli.main(["pretrain", *map(str, argv)])
    assert status == 1
    message = f"keras-elmo: {run / 'last.npz'}: {os.strerror(errno.EFBIG)}"
    assert capsys.readouterr().err.splitlines()[-1] == message
    assert (run / "last.npz").read_bytes() == before
    assert list(run.glob("*.part")) == []
    assert_good(run / "last.npz", 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lm_weights.hdf5", "softmax.hdf5", "log.jsonl"])
def test_a_disk_that_is_full_at_the_end_leaves_a_run_that_goes_on(
    tmp_path, monkeypatch, name
):
    small_runs.train(tmp_path / "whole")
    size = (tmp_path / "whole" / name).stat().st_size
    run, limits = tmp_path / "run", contextlib.ExitStack()
    real_save, real_log = loop.save_language_model, loop.RunFolder.log

    def save(*arguments):
        limits.enter_context(largest_file(size // 2))
        real_save(*arguments)

    def log(folder, entry):
        if entry["step"] == 12:
            limits.enter_context(largest_file(size - 10))
        real_log(folder, entry)

    if name == "log.jsonl":
        monkeypatch.setattr(loop.RunFolder, "log", log)
    else:
        monkeypatch.setattr(loop, "save_language_model", save)
    with limits, pytest.raises(OSError, match=name):
        small_runs.train(run)
    assert not (run / "options.json").exists()
    assert list(run.glob("*.part")) == []
    monkeypatch.undo()
    small_runs.train(run)
    assert_same_result(run, result(tmp_path / "whole"))
