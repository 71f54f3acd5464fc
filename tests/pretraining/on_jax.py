"""Python in another process, where Keras runs on JAX and TensorFlow is absent."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# An entry of None in sys.modules makes `import` fail as if nothing were installed.
BLOCKED = """
import sys
for name in ("tensorflow", "tensorflow_text", "tensorflow_serving", "tensorboard"):
    sys.modules[name] = None
import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
"""

ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling takes longest by far
    "PYTHONPATH": str(ROOT),
}


def run_on_jax(code, *arguments):
    """Run code with arguments, and return what it printed."""
    pytest.importorskip("jax", reason="needs the extra `jax`")
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
