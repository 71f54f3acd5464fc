"""The command `keras-elmo inspect`."""

import json

from keras_elmo.inspection import inspect_model
from tests.helpers import GOLDEN

TINY = GOLDEN / "tiny"
MODEL = f"{TINY / 'options.json'},{TINY / 'lm_weights.hdf5'}"


def test_it_prints_the_facts(command):
    status, out, err = command("inspect", MODEL)
    assert (status, err) == (0, "")
    facts = inspect_model(MODEL)
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert rows[0] == f"{MODEL}: pair of files"
    assert "weights stored as float32" in rows
    assert "filters [[1, 4], [2, 8], [3, 6], [5, 10], [7, 12]]" in rows
    assert "skip connections yes" in rows
    assert "mix 0.333 0.333 0.333, gamma 1" in rows
    assert "characters 1,305 0 5.1 KiB" in rows
    assert f"total {facts['parameters']:,} 4 109.6 KiB" in rows
    for note in facts["notes"]:
        assert note in rows
    assert "\x1b" not in out


def test_json_is_one_object(command):
    status, out, err = command("inspect", MODEL, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == inspect_model(MODEL)


def test_a_model_that_does_not_load_is_one_line(command, tmp_path):
    weights = tmp_path / "weights.hdf5"
    weights.write_bytes((TINY / "lm_weights.hdf5").read_bytes()[:5000])
    status, out, err = command("inspect", f"{TINY / 'options.json'},{weights}")
    assert (status, out) == (1, "")
    assert err.startswith(f"keras-elmo: {weights}: expected a whole HDF5 file")
    assert err.count("\n") == 1
    status, out, err = command("inspect", tmp_path / "absent")
    assert (status, out) == (1, "")
    assert err.endswith("found nothing of that name.\n")
