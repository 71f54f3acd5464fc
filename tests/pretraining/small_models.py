"""A language model small enough for tests, and its losses in float64 NumPy."""

import json

import h5py
import numpy as np

from keras_elmo.ai2.weights import bilm_entries, encoder_entries, read_weights
from keras_elmo.pretraining.model_files import new_language_model
from keras_elmo.pretraining.windows import WordReader
from keras_elmo.text.characters import batch_to_ids
from keras_elmo.text.vocabulary import read_vocabulary
from tests.helpers import GOLDEN, randomize
from tests.layers import references

LM = GOLDEN / "lm"
MAX_CHARS = 12
WIDEST_FILTER = 3


def options(variant="full"):
    """The options of bilm's small training runs: 12 / 6, 2 layers, 3 filters."""
    return json.loads((LM / f"{variant}_options.json").read_text())


def vocabulary():
    return read_vocabulary(LM / "vocab.txt")


def reader(by_words=False):
    """How the models here read words: as characters, or by their numbers."""
    return WordReader(vocabulary(), 0 if by_words else WIDEST_FILTER, MAX_CHARS)


def sentences(name):
    lines = (LM / name).read_text(encoding="utf-8").split("\n")
    return [line.split() for line in lines if line.split()]


def random_model(**arguments):
    """Random weights, large enough to give every word another loss."""
    return randomize(new_language_model(options(), vocabulary(), **arguments), 0.4)


def random_word_model(**arguments):
    """As `random_model`, of word input; `share_embedding_softmax` is an argument."""
    model = new_language_model(options("token_sampled"), vocabulary(), **arguments)
    return randomize(model, 0.4)


def bilms_model(**arguments):
    """What bilm's own training made of variant `full` in six steps."""
    model = new_language_model(options(), vocabulary(), **arguments)
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


def expected_losses(model, *texts):
    """Both directions' losses, `(2, positions)`, each in the order it reads.

    Args:
        model: A language model of `vocabulary()`.
        *texts: Sentences, lists of words. The first one starts from the zero state,
            each of the others from the state that the one before left.
    """
    stacks = (model.bilm.forward_stack, model.bilm.backward_stack)
    return np.array([_losses(model, stack, texts, i) for i, stack in enumerate(stacks)])


def _losses(model, stack, texts, backward):
    marks = ("</S>", "<S>") if backward else ("<S>", "</S>")
    inputs, targets = [], []
    for words in texts:
        words = words[::-1] if backward else words
        inputs += [marks[0], *words]
        targets += [*words, marks[1]]
    top = references.stack(vectors(model, inputs), stack)[0][-1][0]
    return softmax_losses(model, top, [vocabulary().id(word) for word in targets])


def vectors(model, words):
    """`(1, positions, width)`: what the LSTMs read."""
    if model.reads_characters:
        return references.encoder(batch_to_ids([words], MAX_CHARS), model.encoder)
    rows = [vocabulary().id(word) + 1 for word in words]
    return references.array(model.encoder.embeddings)[rows][None]


def softmax_losses(model, top, targets):
    kernel, bias = softmax_weights(model)
    logits = top @ kernel.T + bias
    chosen = logits[np.arange(len(targets)), targets]
    return np.log(np.exp(logits).sum(axis=-1)) - chosen


def softmax_weights(model):
    bias = references.array(model.softmax_bias)
    if model.share_embedding_softmax:
        return references.array(model.encoder.embeddings)[1:], bias
    return references.array(model.softmax_kernel), bias
