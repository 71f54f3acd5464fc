"""A language model small enough for tests, and its losses in float64 NumPy."""

import json

import h5py
import numpy as np

from keras_elmo.ai2.weights import bilm_entries, encoder_entries, read_weights
from keras_elmo.pretraining.run_files import new_language_model
from keras_elmo.text.characters import batch_to_ids
from keras_elmo.text.vocabulary import read_vocabulary
from tests.helpers import GOLDEN, randomize
from tests.layers import references

LM = GOLDEN / "lm"
MAX_CHARS = 12


def options():
    """The options of bilm's small training runs: 12 / 6, 2 layers, 3 filters."""
    return json.loads((LM / "full_options.json").read_text())


def vocabulary():
    return read_vocabulary(LM / "vocab.txt")


def sentences(name):
    lines = (LM / name).read_text(encoding="utf-8").split("\n")
    return [line.split() for line in lines if line.split()]


def random_model(unroll=True, dtype="float32"):
    """Random weights, large enough to give every word another loss."""
    model = new_language_model(options(), len(vocabulary()), unroll, dtype)
    return randomize(model, 0.4)


def bilms_model(unroll=True):
    """What bilm's own training made of variant `full` in six steps."""
    model = new_language_model(options(), len(vocabulary()), unroll)
    entries = [*encoder_entries(model.encoder), *bilm_entries(model.bilm)]
    read_weights(LM / "dumped" / "lm_weights.hdf5", entries)
    model.softmax_kernel.assign(bilms_softmax("W"))
    model.softmax_bias.assign(bilms_softmax("b"))
    return model


def bilms_softmax(name):
    return np.load(LM / "full.npz")[f"weights_step6/lm/softmax/{name}"]


def write_bilms_softmax(path):
    with h5py.File(path, "w") as file:
        for name in ("W", "b"):
            file[f"softmax/{name}"] = bilms_softmax(name)


def expected_losses(model, words):
    """Both directions' losses over one sentence from zero states, in the order read."""
    number = vocabulary().id
    ids = [number(word) for word in words]
    directions = [
        (["<S>", *words], [*ids, number("</S>")], model.bilm.forward_stack),
        (
            ["</S>", *words[::-1]],
            [*ids[::-1], number("<S>")],
            model.bilm.backward_stack,
        ),
    ]
    losses = []
    for inputs, targets, stack in directions:
        tokens = references.encoder(batch_to_ids([inputs], MAX_CHARS), model.encoder)
        top = references.stack(tokens, stack)[0][-1][0]
        losses.append(softmax_losses(model, top, targets))
    return np.array(losses)


def softmax_losses(model, top, targets):
    kernel, bias = (
        references.array(v) for v in (model.softmax_kernel, model.softmax_bias)
    )
    logits = top @ kernel.T + bias
    chosen = logits[np.arange(len(targets)), targets]
    return np.log(np.exp(logits).sum(axis=-1)) - chosen
