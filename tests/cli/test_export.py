"""The command `keras-elmo export`."""

import json

from tests.helpers import GOLDEN

TINY = GOLDEN / "tiny"
MODEL = f"{TINY / 'options.json'},{TINY / 'lm_weights.hdf5'}"


def test_it_prints_the_new_versions_folder(command, tmp_path):
    base = tmp_path / "models" / "tiny"
    assert command("export", MODEL, base, "--version", 3) == (0, f"{base / '3'}\n", "")
    assert (base / "3" / "saved_model.pb").is_file()
    status, out, err = command("export", MODEL, base, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "model": MODEL,
        "folder": str(base / "4"),
        "version": 4,
    }
    status, out, err = command("export", MODEL, base, "--version", "4")
    message = f"keras-elmo: {base / '4'}: expected a new version, found one.\n"
    assert (status, out, err) == (1, "", message)


def test_a_base_that_is_a_file_is_one_line(command, tmp_path):
    base = tmp_path / "base"
    base.touch()
    status, out, err = command("export", MODEL, base)
    assert (status, out, err) == (1, "", f"keras-elmo: {base}: File exists\n")
