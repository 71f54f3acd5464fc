"""The package on Keras' other backends, where TensorFlow is absent."""

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.helpers import GOLDEN

# An entry of None in sys.modules makes `import` fail as if nothing were installed.
CODE = """
import json, sys
for name in ("tensorflow", "tensorflow_text", "tensorflow_serving"):
    sys.modules[name] = None
import numpy as np
import keras, keras_elmo
from keras.ops import convert_to_numpy
folder, k = sys.argv[1], sys.argv[2]
golden = np.load(folder + "/expected.npz")
ids, lengths = golden["ids_" + k][:, 1:-1].copy(), golden[f"stateless_{k}_lengths"]
for row, length in enumerate(lengths):
    ids[row, length:] = 0
files = folder + "/options.json", folder + "/lm_weights.hdf5"
elmo = keras_elmo.load_ai2(*files)
layers = convert_to_numpy(elmo.all_layers(ids, lengths))
expected = golden[f"stateless_{k}_lm_embeddings"]
worst = max(
    float(np.abs(layers[i, :, :n] - expected[i, :, :n]).max())
    for i, n in enumerate(lengths)
)
inputs = keras.Input((None, ids.shape[-1]), dtype="int32")
pooled = keras.layers.GlobalAveragePooling1D()(elmo(inputs))
model = keras.Model(inputs, pooled)
model.save(sys.argv[3])
again = keras.models.load_model(sys.argv[3])
mean = convert_to_numpy(elmo(ids)).sum(axis=1) / lengths[:, None]
stateful = keras_elmo.load_ai2(*files, stateful=True)
first = convert_to_numpy(stateful(ids))
second = convert_to_numpy(stateful(ids))
try:
    elmo(np.array([["a", "b"]]))
    error = ""
except Exception as e:
    error = str(e)
print(json.dumps({
    "worst": worst,
    "pooled": float(np.abs(model.predict(ids, verbose=0) - mean).max()),
    "saved": float(np.abs(again.predict(ids, verbose=0) - mean).max()),
    "carried": float(np.abs(second - first).max()),
    "tensorflow": sys.modules["tensorflow"] is not None,
    "error": error,
}))
"""


@pytest.mark.parametrize(
    ("backend", "case"),
    [
        ("jax", "tiny"),
        ("torch", "tiny"),
        pytest.param("jax", "tiny_nocnnproj_nohighway", marks=pytest.mark.slow),
    ],
)
def test_ids_are_embedded_without_tensorflow(backend, case, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"needs the extra `{backend}`")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CODE,
            str(GOLDEN / case),
            "0",
            str(tmp_path / "model.keras"),
        ],
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["worst"] < 2e-5
    assert facts["pooled"] < 1e-5
    assert facts["saved"] < 1e-5
    assert facts["carried"] > 1e-3
    assert not facts["tensorflow"]
    assert (
        f"strings need Keras' TensorFlow backend, this is {backend}" in facts["error"]
    )
