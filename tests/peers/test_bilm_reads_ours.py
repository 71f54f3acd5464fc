"""AI2's own bilm 0.1.post5 reads the files that we write, and agrees.

Needs its interpreter in KERAS_ELMO_BILM_PYTHON: CPython 3.7 with `bilm==0.1.post5`,
`tensorflow==1.15.5`, `h5py<3`, `protobuf<3.21`. Run as

    KERAS_ELMO_BILM_PYTHON=venv-bilm/bin/python pytest -m slow tests/peers -s
"""

import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

import keras_elmo
from tests.helpers import GOLDEN

PYTHON = os.environ.get("KERAS_ELMO_BILM_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PYTHON is None, reason="KERAS_ELMO_BILM_PYTHON names no interpreter with bilm"
    ),
]
SENTENCES = [
    ["The", "naïve", "cat", "sat", "on", "Zürich", "'s", "mat", "."],
    ["Stop", "!"],
    ["x" * 60, "", "<UNK>", "🙂", "<S>", "</S>"],
    ["one"],
]


def golden(case):
    folder = GOLDEN / case
    return keras_elmo.load_ai2(folder / "options.json", folder / "lm_weights.hdf5")


def fresh(activation, num_highway, num_layers, projection_dim, clip, skip):
    width = projection_dim or 12
    encoder = keras_elmo.CharacterEncoder(
        [(1, 8), (3, 8), (4, 16)], width, num_highway, 5, activation
    )
    bilm = keras_elmo.BiLM(12, projection_dim, num_layers, clip, clip, skip)
    elmo = keras_elmo.ElmoLayer(encoder, bilm)
    elmo.build(None)
    rng = np.random.default_rng(0)
    for weight in elmo.weights:  # large enough for the clips to act
        weight.assign(weight + rng.normal(0, 0.4, weight.shape))
    return elmo


MODELS = {
    "tiny": lambda: golden("tiny"),
    "tiny_nolstmproj": lambda: golden("tiny_nolstmproj"),
    "tiny_3layer": lambda: golden("tiny_3layer"),
    "one layer, no highway, no projection, no clips, tanh": lambda: golden(
        "tiny_nocnnproj_nohighway"
    ),
    "one layer, projected": lambda: fresh("relu", 1, 1, 6, 3.0, True),
    "no skips, tight clips": lambda: fresh("tanh", 2, 2, 6, 0.5, False),
    "no highway, no clips": lambda: fresh("relu", 0, 2, 8, None, True),
    "no LSTM projection": lambda: fresh("relu", 1, 2, None, 3.0, True),
    "elmo_tiny_en": lambda: keras_elmo.ElmoLayer.from_preset("elmo_tiny_en"),
}


@pytest.mark.parametrize("name", MODELS)
def test_bilm_reads_what_we_write_and_agrees(name, tmp_path):
    elmo = MODELS[name]()
    keras_elmo.save_ai2(elmo, tmp_path)
    (tmp_path / "vocab.txt").write_text("<S>\n</S>\n<UNK>\nthe\n")
    (tmp_path / "sentences.json").write_text(json.dumps(SENTENCES))
    script = pathlib.Path(__file__).with_name("run_bilm.py")
    done = subprocess.run(
        [PYTHON, "-W", "ignore", str(script), str(tmp_path)],
        # TensorFlow 2 tells its children by a variable to be TensorFlow 2 as well.
        env=os.environ
        | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUTF8": "1", "TF2_BEHAVIOR": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    theirs = np.load(tmp_path / "bilm.npz")
    words, lengths = keras_elmo.pad_sentences(SENTENCES)
    ours = np.asarray(elmo.all_layers(words, lengths))
    np.testing.assert_array_equal(theirs["lengths"], lengths)
    worst = max(
        float(np.abs(ours[i, :, :n] - theirs["layers"][i, :, :n]).max())
        for i, n in enumerate(lengths)
    )
    print(f"\nbilm 0.1.post5 against keras_elmo, {name}: {worst:.1e}")
    assert worst < 2e-5
