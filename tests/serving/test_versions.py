"""Following a base folder, with models that are none."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_elmo.errors import FormatError
from keras_elmo.serving.versions import Versions
from tests.serving.conftest import eventually


class Loader:
    """Makes models of folders, unless told to fail or to wait."""

    def __init__(self):
        self.failing = set()
        self.loaded = []
        self.closed = []
        self.may_load = threading.Event()
        self.may_load.set()

    def __call__(self, folder):
        number = int(folder.name)
        assert self.may_load.wait(60)
        self.loaded.append(number)
        if number in self.failing:
            raise FormatError(f"{number} is damaged")
        return Model(number, self)


class Model:
    def __init__(self, number, loader):
        self.number = number
        self.loader = loader

    def close(self):
        self.loader.closed.append(self.number)


@pytest.fixture
def load():
    return Loader()


@pytest.fixture
def base(tmp_path):
    base = tmp_path / "toy"
    (base / "1").mkdir(parents=True)
    return base


@pytest.fixture
def versions(base, load):
    versions = Versions(base, load, poll_seconds=0.002, load_retry_seconds=0.002)
    with versions:
        yield versions


def states(versions):
    names = versions.statuses()[0].State.Name
    return {status.version: names(status.state) for status in versions.statuses()}


def test_a_new_version_takes_over_once_it_is_there(versions, base, load):
    assert (versions.newest, states(versions)) == (1, {1: "AVAILABLE"})
    load.may_load.clear()
    (base / "2").mkdir()
    eventually(lambda: states(versions) == {1: "AVAILABLE", 2: "LOADING"})
    with versions.lease() as (number, model):
        assert (number, model.number) == (1, 1)
    with versions.lease(2) as leased:
        assert leased == (None, None)
    load.may_load.set()
    eventually(lambda: states(versions) == {1: "END", 2: "AVAILABLE"})
    assert (versions.newest, load.closed) == (2, [1])
    with versions.lease(1) as leased:
        assert leased == (None, None)
    assert [status.version for status in versions.statuses()] == [2, 1]
    assert [status.status.error_code for status in versions.statuses()] == [0, 0]


def test_requests_under_way_keep_a_version_loaded(versions, base, load):
    with versions.lease() as (number, model):
        (base / "2").mkdir()
        eventually(lambda: states(versions) == {1: "UNLOADING", 2: "AVAILABLE"})
        with versions.lease() as (newer, _):
            assert (number, newer) == (1, 2)
        assert load.closed == []
    eventually(lambda: load.closed == [1])


def test_a_version_that_fails_is_tried_a_few_times_and_left(versions, base, load):
    load.failing.add(2)
    (base / "2").mkdir()
    eventually(lambda: states(versions) == {1: "AVAILABLE", 2: "END"})
    assert load.loaded == [1] + 6 * [2]
    status = versions.statuses()[0].status
    assert (status.error_code, status.error_message) == (3, "2 is damaged")
    assert (versions.newest, load.closed) == (1, [])
    (base / "3").mkdir()
    eventually(lambda: states(versions) == {1: "END", 2: "END", 3: "AVAILABLE"})
    assert load.loaded == [1] + 6 * [2] + [3]


def test_a_retry_may_succeed(base, load):
    load.failing.add(2)
    versions = Versions(base, load, poll_seconds=0.002, load_retry_seconds=0.05)
    with versions:
        (base / "2").mkdir()
        assert eventually(lambda: 2 in load.loaded)
        load.failing.clear()
        assert eventually(lambda: states(versions) == {1: "END", 2: "AVAILABLE"})


def test_a_newer_version_ends_the_retries_of_one_that_fails(base, load):
    load.failing.add(2)
    with Versions(base, load, poll_seconds=0.002) as versions:
        (base / "2").mkdir()
        eventually(lambda: versions.statuses()[0].status.error_message)
        assert states(versions) == {1: "AVAILABLE", 2: "LOADING"}
        (base / "3").mkdir()
        eventually(lambda: states(versions) == {1: "END", 2: "END", 3: "AVAILABLE"})
        assert load.loaded == [1, 2, 3]


def polls(versions):
    """Let the folder be looked at twice more, so that any change has been seen."""
    seen = []
    original = versions._poll

    def count():
        original()
        seen.append(1)

    versions._poll = count
    eventually(lambda: len(seen) > 2)
    versions._poll = original


def test_if_the_folder_is_gone_everything_stays(versions, base, load):
    shutil.move(base, base.with_name("away"))
    polls(versions)
    assert (versions.newest, load.closed) == (1, [])
    shutil.move(base.with_name("away"), base)
    (base / "2").mkdir()
    eventually(lambda: versions.newest == 2)


def test_a_version_that_is_removed_is_no_longer_served(versions, base, load):
    (base / "2").mkdir()
    eventually(lambda: states(versions) == {1: "END", 2: "AVAILABLE"})
    (base / "2").rmdir()
    eventually(lambda: states(versions) == {1: "AVAILABLE", 2: "END"})
    (base / "1").rmdir()
    eventually(lambda: states(versions) == {1: "END", 2: "END"})
    assert versions.newest is None
    with versions.lease() as leased:
        assert leased == (None, None)
    (base / "3").mkdir()
    eventually(lambda: versions.newest == 3)


def test_stopping_waits_for_requests_and_unloads(base, load):
    versions = Versions(base, load)
    versions.start()
    with ThreadPoolExecutor(1) as pool:
        with versions.lease():
            stopped = pool.submit(versions.stop)
            eventually(lambda: states(versions) == {1: "UNLOADING"})
            assert load.closed == []
        stopped.result(60)
    assert (load.closed, versions.newest) == ([1], None)
    versions.stop()  # Twice is as good as once.


def test_a_first_version_that_fails_is_an_error_at_once(base, load):
    load.failing.add(1)
    with pytest.raises(FormatError, match="1 is damaged"):
        Versions(base, load).start()
    assert load.loaded == [1]
