"""Checkpoints: what is written is read, and what is damaged is never taken for good."""

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from keras_elmo.ai2.run_checkpoint import read_stored
from keras_elmo.errors import FormatError
from keras_elmo.pretraining.checkpoint import write_checkpoint

ARRAYS = {
    "weights/RNN_0/B": np.arange(6, dtype=np.float32).reshape(2, 3),
    "optimizer/0": np.int64(7),
    "states/0": np.zeros((0, 4), np.float32),
}
META = {"step": 3, "position": [{"text": None, "rows": [[["é", "b"], 2]]}], "best": 1.5}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "last.npz"
    write_checkpoint(path, ARRAYS.items(), META)
    return path


def content(path):
    stored, meta = read_stored(path)
    arrays = {name: np.asarray(array) for name, array in stored.items()}
    exact = {k: (v.dtype, v.shape, v.tobytes()) for k, v in arrays.items()}
    return exact, meta


@given(
    arrays=st.dictionaries(
        st.text("abc/_0", min_size=1, max_size=9).filter(lambda name: name != "meta"),
        st_numpy.arrays(
            st.sampled_from([np.float32, np.float64, np.int64, np.uint32, np.bool_]),
            st_numpy.array_shapes(min_dims=0, max_side=4, min_side=0),
        ),
        max_size=4,
    ),
    meta=st.dictionaries(st.text(max_size=5), st.integers() | st.none(), max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(tmp_path_factory, arrays, meta):
    path = tmp_path_factory.mktemp("run") / "last.npz"
    write_checkpoint(path, arrays.items(), meta)
    found, found_meta = read_stored(path)
    assert found_meta == meta and list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_numpy_reads_it(path):
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {*ARRAYS, "meta"}
        np.testing.assert_array_equal(
            file["weights/RNN_0/B"], ARRAYS["weights/RNN_0/B"]
        )


def test_same_content_gives_the_same_bytes(path, tmp_path):
    write_checkpoint(tmp_path / "other.npz", iter(ARRAYS.items()), META)
    assert path.read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_arrays_are_made_and_read_one_by_one(tmp_path):
    made = []

    def arrays():
        for i in range(3):
            made.append(i)
            yield f"a/{i}", np.full(2, i)

    write_checkpoint(tmp_path / "last.npz", arrays(), {})
    assert made == [0, 1, 2]
    found, _ = read_stored(tmp_path / "last.npz")
    assert list(found) == ["a/0", "a/1", "a/2"]
    assert np.asarray(found["a/1"]) is not np.asarray(found["a/1"])


def test_an_array_that_cannot_be_made_leaves_the_old_checkpoint(path, tmp_path):
    before = path.read_bytes()

    def arrays():
        yield "a", np.ones(3)
        raise FloatingPointError("a weight is no number")

    with pytest.raises(FloatingPointError, match="no number"):
        write_checkpoint(path, arrays(), {"step": 4})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.npz"]


def test_nothing_is_pickled(tmp_path):
    arrays = {"a": np.array([object()], dtype=object)}
    with pytest.raises(ValueError, match="allow_pickle"):
        write_checkpoint(tmp_path / "last.npz", arrays.items(), {})
    assert os.listdir(tmp_path) == []


def test_a_cut_off_file_is_refused_wherever_it_is_cut(path):
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 11), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(
            FormatError, match=r"last\.npz: expected a whole \.npz file"
        ):
            content(path)


def test_damage_is_never_taken_for_content(path):
    whole, expected = path.read_bytes(), content(path)
    refused = 0
    for at, bit in itertools.product(range(0, len(whole), 13), (1, 255)):
        damaged = bytearray(whole)
        damaged[at] ^= bit
        path.write_bytes(damaged)
        try:
            assert content(path) == expected  # a date, or another unused field
        except FormatError as error:
            refused += 1
            assert "last.npz: " in str(error)
    assert refused > 100


def test_an_archive_of_other_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(FormatError, match=r"other\.npz: meta: expected a text"):
        read_stored(tmp_path / "other.npz")


def test_absent_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"last\.npz"):
        read_stored(tmp_path / "last.npz")
