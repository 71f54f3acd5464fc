"""A file appears whole or not at all."""

import errno
import os

import pytest

from keras_elmo.atomic import write_json, written_beside


def test_a_block_that_raises_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyError), written_beside(path) as beside:
        with open(beside, "w") as file:
            file.write("half")
        raise KeyError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_block_that_ends_replaces_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with written_beside(path) as beside, open(beside, "w") as file:
        file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_json_that_cannot_be_written_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"b": 1, "a": [1.5]})
    before = path.read_text()
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == before


def test_an_error_that_names_no_file_gets_the_name_asked_for(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(OSError) as caught, written_beside(path):
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write does
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    with pytest.raises(OSError) as caught, written_beside(path):
        open(tmp_path / "absent")
    assert caught.value.filename == str(tmp_path / "absent")
    assert os.listdir(tmp_path) == []
