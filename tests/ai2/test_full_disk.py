"""A disk that is full while HDF5 is written is an error, where HDF5 itself crashes."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_elmo.ai2.hdf5_file import new_hdf5, open_hdf5
from tests.helpers import DATA, largest_file

ARRAY = np.arange(10_000, dtype=np.float32)


def write(path, count=4):
    with new_hdf5(path) as file:
        for i in range(count):
            file.create_dataset(f"group/{i}", data=ARRAY + i, track_times=False)


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "a.hdf5")
    with open_hdf5(tmp_path / "a.hdf5") as file:
        for i in range(4):
            np.testing.assert_array_equal(file[f"group/{i}"], ARRAY + i)


def test_a_block_that_raises_leaves_the_old_file(tmp_path):
    write(tmp_path / "a.hdf5")
    before = (tmp_path / "a.hdf5").read_bytes()
    with pytest.raises(KeyError), new_hdf5(tmp_path / "a.hdf5") as file:
        file["b"] = ARRAY
        raise KeyError
    assert (tmp_path / "a.hdf5").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.hdf5"]


@pytest.mark.parametrize("size", [0, 100, 30_000, 100_000, 161_000])
def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path, size):
    path = tmp_path / "a.hdf5"
    write(path, 1)
    before = path.read_bytes()
    with largest_file(size), pytest.raises(OSError) as caught:
        write(path)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.hdf5"]
    write(path)  # and HDF5 still works
    with open_hdf5(path) as file:
        assert len(file["group"]) == 4


@pytest.mark.slow
def test_a_process_survives_a_full_disk(tmp_path):
    code = (
        "from tests.ai2.test_full_disk import largest_file, write\n"
        "import sys\n"
        "with largest_file(30_000):\n"
        "    try: write(sys.argv[1])\n"
        "    except OSError: print('told')\n"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "a.hdf5")]
    done = subprocess.run(argv, cwd=DATA.parents[1], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "told\n")
