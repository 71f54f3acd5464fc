"""Six steps of training on bilm's data, and what bilm's own training made of them.

A trajectory and what is expected of it are dicts of arrays with the names of the golden
files.
"""

import json

import keras
import numpy as np

from keras_elmo.pretraining.backend import steps
from keras_elmo.pretraining.model_files import (
    language_model_entries,
    new_language_model,
)
from keras_elmo.pretraining.optimizers import new_optimizer
from keras_elmo.text.vocabulary import read_vocabulary
from tests.helpers import GOLDEN

LM = GOLDEN / "lm"
VARIANTS = ("full", "full_clipped", "sampled", "token_shared_full", "token_sampled")
STEPS = 6
DIRECTIONS = ("forward", "backward")


def trajectory(variant):
    """What our training step makes of a variant."""
    options = json.loads((LM / f"{variant}_options.json").read_text())
    golden = np.load(LM / f"{variant}.npz")
    model = initial_model(variant, options)
    optimizer = new_optimizer("adagrad", 0.2, "constant", STEPS)
    step = steps().TrainingStep(model, optimizer, options["all_clip_norm_val"], True)
    states = model.get_initial_state(3)
    found = {"token_embedding": [], "losses": [], "global_norm": [], "states": []}
    norms, arrays = [], {}
    for number in range(STEPS):
        arrays_of_step = window(golden, number, "char_cnn" in options)
        if number == 0:
            arrays |= activations(model, arrays_of_step)
        losses, gradients, (states,) = step.gradients(
            [arrays_of_step], [states], [(0, number)]
        )
        if number == 0:
            clipped, _ = step.clipped(gradients[0])
            arrays |= by_variable(model, gradients[0], "grad/")
            arrays |= by_variable(model, clipped, "clipped/")
        found["losses"].append(losses[0])
        found["global_norm"].append(step.update(gradients))
        found["states"].append(keras.tree.map_structure(as_array, states))
        weights = by_variable(model, model.trainable_variables, "")
        norms.append({name: np.linalg.norm(value) for name, value in weights.items()})
        if number in (0, STEPS - 1):
            for name, value in weights.items():
                arrays[f"weights_step{number + 1}/{name}"] = value
    # Behind the number of steps and the learning rate there is one for each weight.
    arrays |= by_variable(model, optimizer.variables[2:], "accumulator_step6/")
    losses = np.array(found["losses"])
    arrays |= {"loss_forward": losses[:, 0], "loss_backward": losses[:, 1]}
    arrays |= {"loss": losses.mean(axis=1), "global_norm": found["global_norm"]}
    for name in norms[0]:
        arrays[f"weight_norm/{name}"] = [norm[name] for norm in norms]
    for i, direction in enumerate(DIRECTIONS):
        for layer in range(2):
            for j, part in enumerate("hc"):
                arrays[f"state_{direction}_{layer}_{part}"] = [
                    states[i][layer][j] for states in found["states"]
                ]
    return {name: np.array(value, np.float32) for name, value in arrays.items()}


def expected(variant):
    """What bilm made of it; not what only says how the negatives were drawn."""
    with np.load(LM / f"{variant}.npz") as golden:
        return {
            name: golden[name]
            for name in golden.files
            if not name.startswith(("sampled_", "true_expected_"))
        }


def initial_model(variant, options):
    kind = "token" if variant.startswith("token") else "char"
    shared = options.get("share_embedding_softmax", False)
    weights = np.load(LM / f"weights_init_{kind}{'_shared' * shared}.npz")
    model = new_language_model(
        options, read_vocabulary(LM / "vocab.txt"), share_embedding_softmax=shared
    )
    for entry in language_model_entries(model):
        entry.assign(weights[tf1_name(entry.name)].reshape(entry.shape))
    return model


def tf1_name(entry_name):
    """The TF1 variable that bilm trains as this entry of our files."""
    name = entry_name.replace("RNN/MultiRNNCell/Cell", "rnn/multi_rnn_cell/cell_")
    name = name.replace("LSTMCell/W_P_0", "lstm_cell/projection/kernel")
    name = name.replace("LSTMCell/W_0", "lstm_cell/kernel")
    return "lm/" + name.replace("LSTMCell/B", "lstm_cell/bias")


def by_variable(model, values, prefix):
    """Values in the order of the trainable variables, as bilm lays them out."""
    positions = {id(v): i for i, v in enumerate(model.trainable_variables)}
    arrays = {}
    for entry in language_model_entries(model):
        parts = [as_array(values[positions[id(v)]]) for v in entry.variables]
        array = np.concatenate(parts)[entry.skipped_rows :]
        if entry.name.startswith("CNN/W_cnn"):
            array = array[None]
        arrays[prefix + tf1_name(entry.name)] = array
    return arrays


def as_array(value):
    """A tensor as an array; the repeated rows of a sparse one are summed."""
    if hasattr(value, "dense_shape"):
        array = np.zeros(tuple(value.dense_shape), np.float32)
        np.add.at(array, as_array(value.indices), as_array(value.values))
        return array
    # A copy, for a step may reuse the memory.
    return np.array(keras.ops.convert_to_numpy(value))


def window(golden, step, characters):
    """Step `step` of bilm's data, as a language model of ours reads it."""
    batches = np.load(LM / "batches.npz")
    names = [
        f"{'tokens_characters' if characters else 'token_ids'}{suffix}"
        for suffix in ("", "_reverse")
    ]
    both = np.stack([batches[name][step] + 1 for name in names])
    words, inputs = np.unique(
        both.reshape(24, -1) if characters else both.reshape(24),
        axis=0,
        return_inverse=True,
    )
    targets = [batches[f"next_token_id{s}"][step] for s in ("", "_reverse")]
    arrays = {
        "words": words.astype(np.int32),
        "inputs": inputs.reshape(2, 3, 4).astype(np.int32),
        "targets": np.array(targets, np.int32),
        "starts": np.zeros((2, 3, 4), bool),
        "weights": np.ones((2, 3, 4), np.float32),
    }
    if "sampled_ids_forward" not in golden:
        return arrays
    negatives, negatives_expected, true_expected = (
        np.stack([golden[f"{name}_{direction}"][step] for direction in DIRECTIONS])
        for name in ("sampled_ids", "sampled_expected", "true_expected")
    )
    rows = np.unique(np.concatenate([arrays["targets"].ravel(), negatives.ravel()]))
    return arrays | {
        "rows": rows.astype(np.int32),
        "true": np.searchsorted(rows, arrays["targets"]).astype(np.int32),
        "negatives": np.searchsorted(rows, negatives).astype(np.int32),
        "true_expected": true_expected.reshape(2, 3, 4).astype(np.float32),
        "negatives_expected": negatives_expected.astype(np.float32),
    }


def activations(model, arrays):
    """The token vectors and the highest outputs of a step from zero states."""
    words, found = arrays["words"], {}
    vectors = model.encoder(words[None])[0]
    stacks = (model.bilm.forward_stack, model.bilm.backward_stack)
    for i, (suffix, stack) in enumerate(zip(("", "_reverse"), stacks, strict=True)):
        inputs = as_array(vectors)[arrays["inputs"][i]]
        found[f"step1/token_embedding{suffix}"] = inputs
        found[f"step1/lstm_output_{DIRECTIONS[i]}"] = as_array(stack(inputs)[0][-1])
    return found
