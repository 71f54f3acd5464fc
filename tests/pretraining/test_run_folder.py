"""The folder of a run: its lock, its identity, its log, its best checkpoint."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from keras_elmo.errors import FormatError
from keras_elmo.pretraining.run_folder import RunFolder

# Holds a file's lock until it is killed.
LOCKING = """
import fcntl, os, sys, time
with open(sys.argv[1], "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print(os.getpid(), file=file, flush=True)
    print("locked", flush=True)
    time.sleep(60)
"""
IDENTITY = {
    "settings": {"batch": 128, "learning_rate": None, "schedule": "constant"},
    "options": {"lstm": {"dim": 512}, "char_cnn": {"filters": [[1, 32], [2, 32]]}},
    "shards": ["a.txt, 10 bytes", "b.txt, 20 bytes"],
}


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "runs" / "run")


@pytest.fixture
def begun(folder):
    """A folder in which a run has begun."""
    with folder.locked():
        assert folder.begin(IDENTITY) is None
        folder.keep(IDENTITY, {"tokens": 7})
    return folder


def path(folder, name):
    return pathlib.Path(folder.file(name))


# The lock.


def test_a_lock_keeps_other_processes_out_until_its_own_is_killed(folder):
    with folder.locked():
        pass
    argv = [sys.executable, "-c", LOCKING, folder.file("lock")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(
            BlockingIOError, match=rf"run: .* that process {process.pid} does"
        ):
            with folder.locked():
                pass
        process.kill()
        process.wait()
        with folder.locked():
            assert path(folder, "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_ends_with_the_block(folder):
    for _ in range(2):
        with folder.locked():
            assert folder.has("lock")
    with pytest.raises(KeyError), folder.locked():
        raise KeyError
    with folder.locked(), pytest.raises(BlockingIOError):
        with RunFolder(folder.path).locked():
            pass


def test_what_a_killed_process_left_half_written_is_removed(begun):
    for name in ("last.npz.123.part", "best.npz.9.part", "lm_weights.hdf5.1.part"):
        path(begun, name).touch()
    with begun.locked():
        assert sorted(os.listdir(begun.path)) == ["lock", "run.json"]


# What is trained.


def test_a_new_folder_has_nothing_and_a_begun_one_its_facts(begun):
    assert begun.begin(IDENTITY) == {"tokens": 7}


@pytest.mark.parametrize("name", ["options.json", "last.npz", "best.npz"])
def test_a_folder_with_a_model_that_is_no_run_is_refused(folder, name):
    os.makedirs(folder.path)
    path(folder, name).touch()
    with pytest.raises(FileExistsError, match=rf"run: .* found {name} without run"):
        folder.begin(IDENTITY)


def changed(**changes):
    identity = json.loads(json.dumps(IDENTITY))
    for path, value in changes.items():
        *parents, name = path.split("__")
        inner = identity
        for parent in parents:
            inner = inner[parent]
        inner[name] = value
    return identity


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings__batch": 64}, "settings.batch 64 (it began with 128)"),
        (
            {"settings__learning_rate": 0.5},
            "settings.learning_rate 0.5 (it began with null)",
        ),
        (
            {"settings__schedule": "cosine"},
            'settings.schedule "cosine" (it began with "constant")',
        ),
        ({"settings__extra": 1}, "settings.extra 1 (it began with null)"),
        ({"options__lstm__dim": 256}, "options.lstm.dim 256 (it began with 512)"),
        ({"options__char_cnn": None}, "options.char_cnn null (it began with {"),
        (
            {"options__char_cnn__filters": [[1, 32], [2, 64]]},
            "filters without [2, 32]; options.char_cnn.filters with [2, 64]",
        ),
        (
            {"options__char_cnn__filters": [[1, 32], [2, 32], [1, 32]]},
            "options.char_cnn.filters with [1, 32]. ",
        ),
        (
            {"options__char_cnn__filters": [[2, 32], [1, 32]]},
            "options.char_cnn.filters in another order",
        ),
        (
            {"shards": ["a.txt, 11 bytes", "b.txt, 20 bytes"]},
            'shards without "a.txt, 10 bytes"; shards with "a.txt, 11 bytes"',
        ),
        ({"shards": IDENTITY["shards"][:1]}, 'shards without "b.txt, 20 bytes"'),
        ({"shards": IDENTITY["shards"][::-1]}, "shards in another order"),
        (
            {"shards": [*IDENTITY["shards"], *"abcdefgh"]},
            'shards with "e"; shards with 3 more',
        ),
        (
            {"settings__batch": 1, "options__lstm__dim": 2},
            "options.lstm.dim 2 (it began with 512); settings.batch 1 (it began",
        ),
    ],
)
def test_another_run_is_refused_with_each_difference(begun, changes, message):
    assert begun.begin(changed(**changes)) is None  # nothing was trained yet
    pathlib.Path(begun.file("last.npz")).touch()
    with pytest.raises(FormatError) as caught:
        begun.begin(changed(**changes))
    found = str(caught.value)
    assert message in found
    assert found.startswith(f"{begun.path}: expected the arguments that this run began")
    assert begun.begin(IDENTITY) == {"tokens": 7}


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"identity": {}}', "\x00"])
def test_a_description_that_is_none_is_refused(begun, text):
    path(begun, "run.json").write_text(text)
    with pytest.raises(FormatError, match=r"run\.json: expected the description"):
        begun.begin(IDENTITY)


# The log.


def test_the_log_is_cut_at_a_step(begun):
    for step in (1, 5, 9):
        begun.log({"step": step, "loss": 1.0 / step})
    with open(begun.file("log.jsonl"), "a") as file:
        file.write('{"step": 3, "lo')  # a killed process was here
    assert [entry["step"] for entry in begun.cut_log(9)] == [1, 5]
    begun.log({"step": 9})
    lines = path(begun, "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 5, 9]
    assert json.loads(lines[1]) == {"step": 5, "loss": 0.2}
    assert begun.cut_log(0) == []


@pytest.mark.parametrize("line", ["{", "3", '{"loss": 1}', '{"step": "a"}', "\xff"])
def test_a_damaged_log_is_refused_with_its_line(begun, line):
    path(begun, "log.jsonl").write_text(f'{{"step": 1}}\n{line}\n', "latin-1")
    with pytest.raises(FormatError, match=r"log\.jsonl: line 2: expected a JSON obj"):
        begun.cut_log(5)


# The best checkpoint.


def replace(folder, name, content):
    """As checkpoints are written: another file takes the name."""
    path(folder, "new").write_text(content)
    path(folder, "new").rename(path(folder, name))


@pytest.mark.parametrize("links", [True, False])
def test_the_best_checkpoint_stays_as_the_last_one_changes(begun, monkeypatch, links):
    if not links:

        def link(*paths):
            raise PermissionError(1, "Operation not permitted", paths[1])

        monkeypatch.setattr(os, "link", link)
    for content in ("first", "second"):
        replace(begun, "last.npz", content)
        begun.keep_best()
        replace(begun, "last.npz", "later")
        assert path(begun, "best.npz").read_text() == content
    names = {"last.npz", "best.npz", "run.json", "lock"}
    assert set(os.listdir(begun.path)) == names
