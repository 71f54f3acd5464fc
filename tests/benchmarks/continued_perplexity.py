"""The perplexity of running text, read from the states that training ended with.

    python continued_perplexity.py MODEL TEXT VOCAB STATES.npz

Prints what `keras-elmo evaluate MODEL TEXT --carry-state --json` does, which reads from
zero states. STATES.npz is a checkpoint of a run, or has the arrays `states/...` of one.
"""

import json
import sys

import keras
import numpy as np

from keras_elmo.pretraining.corpus import read_sentences
from keras_elmo.pretraining.evaluate import perplexities
from keras_elmo.pretraining.model_files import load_language_model


def read_states(path, model):
    """States as the model carries them."""
    with np.load(path) as file:
        names = [name for name in file if name.startswith("states/")]
        # Numbered in the order of the nest.
        names.sort(key=lambda name: int(name.partition("/")[2]))
        arrays = [keras.ops.convert_to_tensor(file[name]) for name in names]
    nest = model.get_initial_state(1)
    return keras.tree.pack_sequence_as(nest, arrays)


if __name__ == "__main__":
    source, text, vocabulary, states = sys.argv[1:]
    model = load_language_model(source, vocabulary)
    states = read_states(states, model)
    facts = perplexities(
        model,
        read_sentences([text]),
        batch=states[0][0][0].shape[0],
        carry_state=True,
        states=states,
    )
    print(json.dumps(facts))
