"""What a checkpoint of a training run says of its model, and what is none."""

import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_elmo.ai2.run_checkpoint import read_run_checkpoint
from keras_elmo.ai2.stored_array import StoredArray, npz_arrays
from keras_elmo.errors import FormatError
from tests.ai2.checkpoint_files import (
    bilms_variables,
    name_in_hdf5,
    write_run_checkpoint,
)

OPTIONS, VARIABLES = bilms_variables()


@pytest.fixture
def path(tmp_path):
    return write_run_checkpoint(
        tmp_path / "last.npz",
        OPTIONS,
        VARIABLES,
        **{"optimizer/0": np.array(3), "states/0": np.zeros((2, 4))},
    )


def test_weights_options_and_step_come_back(path):
    checkpoint = read_run_checkpoint(path)
    assert (checkpoint.path, checkpoint.step) == (str(path), 7)
    assert checkpoint.options == OPTIONS == checkpoint.meta["options"]
    assert set(checkpoint.arrays) == {name_in_hdf5(name) for name in VARIABLES}
    for name, array in VARIABLES.items():
        stored = checkpoint.arrays[name_in_hdf5(name)]
        assert (stored.shape, stored.dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(np.asarray(stored), array)


def test_arrays_are_of_one_checkpoint_though_another_takes_its_place(path, tmp_path):
    arrays = read_run_checkpoint(path).arrays
    zeros = {name: np.zeros_like(array) for name, array in VARIABLES.items()}
    write_run_checkpoint(tmp_path / "next.npz", OPTIONS, zeros).replace(path)
    np.testing.assert_array_equal(
        np.asarray(arrays["char_embed"]), VARIABLES["lm/char_embed"]
    )


def test_a_stored_array_is_read_as_numpy_asks():
    stored = StoredArray((2,), np.dtype("f4"), lambda: np.ones(2, "f4"))
    assert np.asarray(stored, "f8").dtype == np.float64
    with pytest.raises(ValueError, match="expected copy=None or True"):
        np.array(stored, copy=False)


def meta(**entries):
    return {"meta": np.array(json.dumps({"step": 7, "options": OPTIONS} | entries))}


@pytest.mark.parametrize(
    "entries, message",
    [
        ({"meta": np.array(3)}, "meta: expected a text, found int64."),
        ({"meta": np.array("{")}, "meta: expected JSON, found:"),
        ({"meta": np.array("[7]")}, "meta: expected a JSON object, found '[7]'."),
        (meta(step=None), "meta: step: expected an int >= 0, found None."),
        (meta(step=-1), "meta: step: expected an int >= 0, found -1."),
        (meta(options=None), "meta: options: the file: expected a JSON object, found"),
        (meta(options={"lstm": {}}), "meta: options: lstm.dim: expected an int >= 1"),
        (
            {"meta": np.array({}, dtype=object)},
            "meta: expected a text, found object.",
        ),
    ],
)
def test_a_bad_entry_is_named(entries, message, tmp_path):
    path = write_run_checkpoint(tmp_path / "last.npz", OPTIONS, VARIABLES, **entries)
    with pytest.raises(FormatError, match=re.escape(f"{path}: {message}")):
        read_run_checkpoint(path)


def test_what_is_no_checkpoint_is_refused(path, tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    with pytest.raises(FormatError, match="meta: expected a text, found nothing"):
        read_run_checkpoint(tmp_path / "other.npz")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(FormatError, match=r"last.npz: expected a whole \.npz file"):
        read_run_checkpoint(path)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match=r"last.npz: expected a whole \.npz file"):
        read_run_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="absent.npz"):
        read_run_checkpoint(tmp_path / "absent.npz")


def test_an_archive_of_other_things_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
    with pytest.raises(FormatError, match="x.npz: readme.txt: cannot be read"):
        npz_arrays(tmp_path / "x.npz")


@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_changed_byte_is_told_or_changes_no_number(tmp_path, place, bits):
    path = tmp_path / "last.npz"
    small = {name: array for name, array in VARIABLES.items() if array.size < 200}
    write_run_checkpoint(path, OPTIONS, small)
    expected = {k: np.asarray(v) for k, v in read_run_checkpoint(path).arrays.items()}
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= bits
    path.write_bytes(content)
    try:
        checkpoint = read_run_checkpoint(path)
        found = {name: np.asarray(array) for name, array in checkpoint.arrays.items()}
    except FormatError as error:
        assert str(path) in str(error)
        return
    assert checkpoint.options == OPTIONS
    # The list of contents may have lost a name; whoever looks for it will say so.
    for name in set(found) & set(expected):
        np.testing.assert_array_equal(found[name], expected[name])
