"""Train a biLM by the `train` of AI2's bilm or of simple-elmo.

    python peer_training.py bilm|simple_elmo OPTIONS.json TEXT VOCAB FOLDER \
        POINTS.json --seed N [--states STATES.npz]

Runs under the peer's own interpreter (bilm: CPython 3.7 with TensorFlow 1.15), never
under ours. OPTIONS.json is what `train` takes, FOLDER gets what it writes. POINTS.json
is a list of [steps done, seconds], one for each batch when it was handed to the loop;
between two of them are a step and the making of the next batch. STATES.npz gets what
the last step left in the cells, named and ordered as in a checkpoint of keras_elmo.
"""

import argparse
import importlib
import json
import random
import time

import numpy as np
import tensorflow as tf


class TimedData:
    """A data set that notes when each batch was handed out."""

    def __init__(self, data):
        self.data = data
        self.points = []

    def iter_batches(self, batch_size, num_steps):
        for batch in self.data.iter_batches(batch_size, num_steps):
            self.points.append([len(self.points), time.perf_counter()])
            yield batch


def noting_states(run, noted):
    """`Session.run`, but it keeps the states of a step in `noted`.

    Of all that `train` fetches, only a step's list ends with a direction's tuple of
    states.
    """

    def noting(session, fetches, *args, **kwargs):
        found = run(session, fetches, *args, **kwargs)
        if isinstance(fetches, list) and fetches and isinstance(fetches[-1], tuple):
            noted[:] = found[-2:]
        return found

    return noting


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("peer", choices=["bilm", "simple_elmo"])
    for name in ("options", "text", "vocab", "folder", "points"):
        parser.add_argument(name)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--states")
    args = parser.parse_args()
    training = importlib.import_module(args.peer + ".training")
    data = importlib.import_module(args.peer + ".data")

    # TensorFlow 1 is like this; TensorFlow 2 has to be told. Its resource variables
    # refuse the `train_perplexity += loss` in `train`.
    tf.compat.v1.disable_eager_execution()
    tf.compat.v1.disable_resource_variables()
    tf.compat.v1.set_random_seed(args.seed)
    np.random.seed(args.seed)
    random.seed(args.seed)

    with open(args.options, encoding="utf-8") as file:
        options = json.load(file)
    vocabulary = training.load_vocab(
        args.vocab, options["char_cnn"]["max_characters_per_token"]
    )
    # Shuffled, each direction for itself, as by AI2's bin/train_elmo.py.
    timed = TimedData(
        data.BidirectionalLMDataset(args.text, vocabulary, shuffle_on_load=True)
    )
    states = []
    session = tf.compat.v1.Session
    session.run = noting_states(session.run, states)
    training.train(options, timed, 1, args.folder, args.folder)
    if args.states:
        cells = [cell for direction in states for cell in direction]
        arrays = [array for cell in cells for array in (cell.h, cell.c)]
        named = {f"states/{i}": array for i, array in enumerate(arrays)}
        np.savez(args.states, **named)
    with open(args.points, "w") as file:
        json.dump(timed.points, file)


if __name__ == "__main__":
    main()
