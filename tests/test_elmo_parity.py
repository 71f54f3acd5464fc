"""Every inference golden of AI2's own code, by strings and by ids."""

import json

import keras
import numpy as np
import pytest

import keras_elmo
from tests.helpers import GOLDEN, load_golden

BATCHES = json.loads((GOLDEN / "inference_sentences.json").read_text())["batches"]
CHARACTER_CASES = ["tiny", "tiny_nolstmproj", "tiny_nocnnproj_nohighway", "tiny_3layer"]
CASES = [*CHARACTER_CASES, "token_input"]
ATOL = 2e-5


def expected_of(case):
    return np.load(GOLDEN / case / "expected.npz")


def ids_without_boundaries(golden, k):
    """The golden's ids as our layers take them, and the lengths."""
    ids, lengths = golden[f"ids_{k}"], golden[f"stateless_{k}_lengths"]
    ids = ids[:, 1:-1].copy()
    for row, length in enumerate(lengths):
        ids[row, length:] = 0
    return ids, lengths


def assert_same_at_words(actual, expected, lengths):
    actual = keras.ops.convert_to_numpy(actual)
    for row, length in enumerate(lengths):
        np.testing.assert_allclose(
            actual[row, ..., :length, :], expected[row, ..., :length, :], atol=ATOL
        )
        assert not actual[row, ..., length:, :].any()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["strings", "ids"])
def test_all_layers_from_zero_state(case, form):
    elmo, golden = load_golden(case), expected_of(case)
    for k, sentences in enumerate(BATCHES):
        ids, lengths = ids_without_boundaries(golden, k)
        if form == "strings":
            layers = elmo.all_layers(*keras_elmo.pad_sentences(sentences))
        else:
            layers = elmo.all_layers(ids, lengths)
        assert_same_at_words(layers, golden[f"stateless_{k}_lm_embeddings"], lengths)


@pytest.mark.parametrize("case", CASES)
def test_all_layers_with_carried_state(case):
    elmo, golden = load_golden(case, stateful=True, max_batch_size=8), expected_of(case)
    for _ in range(2):
        for k, sentences in enumerate(BATCHES):
            layers = elmo.all_layers(*keras_elmo.pad_sentences(sentences))
            assert_same_at_words(
                layers,
                golden[f"stateful_{k}_lm_embeddings"],
                golden[f"stateless_{k}_lengths"],
            )
            for d, direction in enumerate(("forward", "backward")):
                for layer, (h, c) in enumerate(elmo._state.variables[d]):
                    name = f"stateful_{k}_state_{direction}_{layer}"
                    np.testing.assert_allclose(
                        c.numpy(), golden[f"{name}_c"], atol=ATOL
                    )
                    np.testing.assert_allclose(
                        h.numpy(), golden[f"{name}_h"], atol=ATOL
                    )
        elmo.reset_state()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "kind, layer_arguments",
    [
        ("plain", {"l2_coef": 0.3}),
        ("ln", {"l2_coef": 0.3, "do_layer_norm": True}),
        ("top", {"l2_coef": 0.3, "use_top_only": True}),
    ],
)
def test_mixed_vectors_and_penalty(case, kind, layer_arguments):
    elmo, golden = load_golden(case, **layer_arguments), expected_of(case)
    (mix,) = elmo.mixes
    mix.gamma.assign(golden["gamma"])
    if kind != "top":
        mix.raw_weights.assign(golden["s"])
    for k, sentences in enumerate(BATCHES):
        vectors = elmo(*keras_elmo.pad_sentences(sentences))
        assert_same_at_words(
            vectors,
            golden[f"stateless_{k}_elmo_{kind}"],
            golden[f"stateless_{k}_lengths"],
        )
        if kind != "top":
            penalty = golden[f"stateless_{k}_reg_{kind}"]
            np.testing.assert_allclose(float(elmo.losses[0]), penalty, rtol=1e-6)


def test_weights_that_bilm_dumped_after_training():
    folder = GOLDEN / "lm" / "dumped"
    elmo = keras_elmo.load_ai2(folder / "options.json", folder / "lm_weights.hdf5")
    golden = np.load(folder / "expected.npz")
    ids, lengths = golden["ids"][:, 1:-1].copy(), golden["lengths"]
    for row, length in enumerate(lengths):
        ids[row, length:] = 0
    layers = elmo.all_layers(ids, lengths)
    assert_same_at_words(layers, golden["lm_embeddings"], lengths)
