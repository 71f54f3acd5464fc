"""The largest difference from each golden of AI2's own code, as a Markdown table.

    python tests/benchmarks/parity_table.py [FIXTURES] [--dtype mixed_bfloat16]
    python tests/benchmarks/parity_table.py --recurrent-dtype bfloat16

FIXTURES is a folder with AI2's own fixtures (`bilm-tf/model`, `allennlp`), if at hand,
which are always read in float32. With --recurrent-dtype it is told how far layers are
off in the goldens' batches, and where each sentence is alone in its batch.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import keras_elmo
from keras_elmo.in_dtype import in_dtype
from tests.ai2.test_fixtures import largest_difference as fixture_difference
from tests.helpers import load_golden
from tests.test_elmo_parity import BATCHES, CASES, expected_of


def worst(actual, expected, lengths):
    actual = np.asarray(actual).astype(np.float32)
    return max(
        float(np.abs(actual[i, ..., :n, :] - expected[i, ..., :n, :]).max())
        for i, n in enumerate(lengths)
    )


def row(case, dtype):
    golden = expected_of(case)
    found = {"stateless": 0.0, "stateful": 0.0, "plain": 0.0, "ln": 0.0, "top": 0.0}
    stateful = load_golden(case, stateful=True, max_batch_size=8, dtype=dtype)
    layers = {
        "plain": load_golden(case, dtype=dtype),
        "ln": load_golden(case, do_layer_norm=True, dtype=dtype),
        "top": load_golden(case, use_top_only=True, dtype=dtype),
    }
    for kind, elmo in layers.items():
        elmo.mixes[0].gamma.assign(golden["gamma"])
        if kind != "top":
            elmo.mixes[0].raw_weights.assign(golden["s"])
    for k, sentences in enumerate(BATCHES):
        batch = keras_elmo.pad_sentences(sentences)
        lengths = golden[f"stateless_{k}_lengths"]
        pairs = {
            "stateless": (
                layers["plain"].all_layers(*batch),
                "stateless_{}_lm_embeddings",
            ),
            "stateful": (stateful.all_layers(*batch), "stateful_{}_lm_embeddings"),
        }
        for kind, elmo in layers.items():
            pairs[kind] = elmo(*batch), f"stateless_{{}}_elmo_{kind}"
        for kind, (actual, name) in pairs.items():
            difference = worst(actual, golden[name.format(k)], lengths)
            found[kind] = max(found[kind], difference)
    return found


def with_recurrent_dtype(case, dtype):
    """How far layers are off in batches, and sentence by sentence."""
    golden = expected_of(case)
    elmo = in_dtype(load_golden(case), None, dtype)
    together, alone = 0.0, 0.0
    for k, sentences in enumerate(BATCHES):
        expected = golden[f"stateless_{k}_lm_embeddings"]
        lengths = golden[f"stateless_{k}_lengths"]
        found = elmo.all_layers(*keras_elmo.pad_sentences(sentences))
        together = max(together, worst(found, expected, lengths))
        for i, words in enumerate(sentences):
            if words:
                found = elmo.all_layers(*keras_elmo.pad_sentences([words]))
                single = worst(found, expected[i : i + 1], lengths[i : i + 1])
                alone = max(alone, single)
    return together, alone


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("fixtures", type=pathlib.Path, nargs="?")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--recurrent-dtype")
    args = parser.parse_args()
    if args.recurrent_dtype:
        print("| golden | in batches | alone |")
        print("| --- | --- | --- |")
        for case in CASES:
            cells = with_recurrent_dtype(case, args.recurrent_dtype)
            print(f"| `{case}` | {cells[0]:.1e} | {cells[1]:.1e} |")
        return
    print("| golden | layers | carried state | mix | with layer norm | top layer |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        cells = " | ".join(f"{value:.1e}" for value in row(case, args.dtype).values())
        print(f"| `{case}` | {cells} |")
    if args.fixtures:
        for name in ("bilm-tf/model", "allennlp"):
            difference = fixture_difference(args.fixtures / name)
            print(f"AI2's fixture {name}: {json.dumps(float(difference))}")


if __name__ == "__main__":
    main()
