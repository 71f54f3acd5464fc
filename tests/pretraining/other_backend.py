"""Python in another process, where Keras runs without TensorFlow, which is absent."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BACKENDS = ("jax", "torch")

# An entry of None in sys.modules makes `import` fail as if nothing were installed.
BLOCKED = """
import sys
for name in ("tensorflow", "tensorflow_text", "tensorflow_serving", "tensorboard"):
    sys.modules[name] = None
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
"""

# Of JAX, for compiling takes longest by far.
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


def run_on(backend, code, *arguments):
    """Run code with arguments on a backend, and return what it printed."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs the extra `{backend}`")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ
        | ENVIRONMENT
        | {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
