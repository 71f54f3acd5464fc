"""The wheel, installed away from the checkout, holds all that it needs."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
CODE = """
import keras_elmo, numpy as np, pathlib, sys
assert pathlib.Path(keras_elmo.__file__).is_relative_to(sys.argv[1])
elmo = keras_elmo.ElmoLayer.from_preset("elmo_tiny_en")
print(elmo(np.array([["It", "works"]])).shape)
from keras_elmo.demo import read_uses
print(len(read_uses()))
"""


@pytest.mark.slow
def test_the_installed_wheel_loads_the_preset(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".git", "build", "*.egg-info", "data", ".venv"),
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_size < 12e6
    target = tmp_path / "installed"
    subprocess.run(
        [*pip, "install", "-q", "--no-deps", "--target", str(target), str(wheel)],
        check=True,
    )
    assert not (target / "tests").exists()
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(target)],
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(1, 2, 256)", "30"]
