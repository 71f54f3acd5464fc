"""Threads that TensorFlow computes with."""

import os

import pytest

from keras_elmo.cli import _threads


@pytest.fixture
def chosen(monkeypatch):
    """What is chosen on so many cores, where the user has set `given`."""

    def choose(cores, **given):
        monkeypatch.setattr(_threads, "_cores", lambda: cores)
        for name in _threads._NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        _threads.compute_directions_at_once()
        return [os.environ.get(name) for name in _threads._NAMES]

    return choose


def test_two_cores_compute_two_operations_at_once(chosen):
    assert chosen(2) == ["1", "2"]


@pytest.mark.parametrize("cores", [1, 4])
def test_other_numbers_of_cores_are_left_to_tensorflow(chosen, cores):
    assert chosen(cores) == [None, None]


def test_what_the_user_has_set_stays(chosen):
    assert chosen(2, TF_NUM_INTRAOP_THREADS="2") == ["2", "2"]


def test_a_command_leaves_nothing_set(monkeypatch, command):
    monkeypatch.setattr(_threads, "_cores", lambda: 2)
    before = [os.environ.get(name) for name in _threads._NAMES]
    assert command("embed", "no such file", "-o", "out.hdf5")[0] == 1
    assert [os.environ.get(name) for name in _threads._NAMES] == before
