"""AI2's own fixture models, with the vectors that AI2's tests expect of them."""

import json
import os
import pathlib

import h5py
import numpy as np
import pytest

import keras_elmo

ROOT = pathlib.Path(__file__).parents[2]
FIXTURES = pathlib.Path(
    os.environ.get(
        "KERAS_ELMO_AI2_FIXTURES", ROOT.parent / "shared" / "data" / "ai2_fixtures"
    )
)


def largest_difference(folder, batches=10):
    """From the expected top layer, with the state carried over ten batches."""
    elmo = keras_elmo.load_ai2(
        folder / "options.json", folder / "lm_weights.hdf5", stateful=True
    )
    name = "sentences.json"
    if not (folder / name).exists():
        name = "lm_embeddings_sentences.json"
    lists = json.loads((folder / name).read_text("utf-8"))
    worst = 0.0
    for i in range(batches):
        batch = [sentences[i].split() for sentences in lists]
        layers = np.asarray(elmo.all_layers(*keras_elmo.pad_sentences(batch)))
        for k, words in enumerate(batch):
            with h5py.File(folder / f"lm_embeddings_{k}.hdf5") as file:
                expected = np.concatenate(list(file[str(i)][...]), axis=-1)
            worst = max(worst, np.abs(layers[k, -1, : len(words)] - expected).max())
    return worst


@pytest.mark.skipif(not FIXTURES.exists(), reason=f"no AI2 fixtures at {FIXTURES.name}")
@pytest.mark.parametrize("name", ["bilm-tf/model", "allennlp"])
@pytest.mark.parametrize("batches", [1, 10], ids=["zero state", "carried state"])
def test_the_top_layer_is_ai2s(name, batches):
    assert largest_difference(FIXTURES / name, batches) < 2e-5


@pytest.mark.skipif(not FIXTURES.exists(), reason=f"no AI2 fixtures at {FIXTURES.name}")
def test_token_vectors_of_a_vocabulary_are_ai2s():
    folder = FIXTURES / "allennlp"
    elmo = keras_elmo.load_ai2(folder / "options.json", folder / "lm_weights.hdf5")
    words = (folder / "vocab_test.txt").read_text("utf-8").split("\n")
    words = [word.strip() for word in words if word.strip()]
    layers = np.asarray(elmo.all_layers(*keras_elmo.pad_sentences([words])))
    with h5py.File(folder / "elmo_token_embeddings.hdf5") as file:
        expected = file["embedding"][...]
    np.testing.assert_allclose(layers[0, 0, :, :16], expected, atol=2e-5)
