"""The package on Keras' JAX backend, where TensorFlow is absent."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers import GOLDEN

pytest.importorskip("jax", reason="needs the extra `jax`")

# An entry of None in sys.modules makes `import` fail as if nothing were installed.
CODE = """
import json, sys
for name in ("tensorflow", "tensorflow_text", "tensorflow_serving"):
    sys.modules[name] = None
import numpy as np
import keras, keras_elmo
assert keras.backend.backend() == "jax"
folder, k = sys.argv[1], sys.argv[2]
golden = np.load(folder + "/expected.npz")
ids, lengths = golden["ids_" + k][:, 1:-1].copy(), golden[f"stateless_{k}_lengths"]
for row, length in enumerate(lengths):
    ids[row, length:] = 0
files = folder + "/options.json", folder + "/lm_weights.hdf5"
elmo = keras_elmo.load_ai2(*files)
layers = np.asarray(elmo.all_layers(ids, lengths))
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
mean = np.asarray(elmo(ids)).sum(axis=1) / lengths[:, None]
stateful = keras_elmo.load_ai2(*files, stateful=True)
first = np.asarray(stateful(ids))
second = np.asarray(stateful(ids))
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
    "case", ["tiny", pytest.param("tiny_nocnnproj_nohighway", marks=pytest.mark.slow)]
)
def test_ids_are_embedded_without_tensorflow(case, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CODE,
            str(GOLDEN / case),
            "0",
            str(tmp_path / "model.keras"),
        ],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
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
    assert "strings need Keras' TensorFlow backend, this is jax" in facts["error"]
