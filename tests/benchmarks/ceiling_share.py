"""How much of what the processor can multiply is used for work that is needed.

    python -m tests.benchmarks.ceiling_share TEXT [--models original small] [--rows 128]

Rows of 20 consecutive words of TEXT go through a model of random weights, float32, all
rows at a time. What is needed: the encoder for each distinct word, at its own length
and one window of padding, and the LSTMs for each word, `<S>` and `</S>` once. The
ceiling: products of 4096 x 4096 matrices, one a core side by side, measured in turn
with the model, `--rounds` times. Printed are medians, with the least and the largest.
Threads are those of `keras-elmo embed`.
"""

import argparse
import os
import pathlib
import statistics
import time

import keras
import tensorflow as tf

import keras_elmo
from keras_elmo.ai2.options import bilm_arguments, encoder_arguments
from keras_elmo.cli._threads import compute_directions_at_once
from keras_elmo.embedding import SentenceEmbedder
from keras_elmo.pretraining.configs import CONFIGS

WORDS, SIZE = 20, 4096


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text", metavar="TEXT", type=pathlib.Path)
    parser.add_argument(
        "--models", nargs="+", choices=CONFIGS, default=["original", "small"]
    )
    parser.add_argument("--rows", type=int, default=128, metavar="N", help="(128)")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="(7)")
    return parser


def needed(options, rows):
    """Operations, two for each product that is summed up."""
    distinct = {"<S>", "</S>"}.union(*rows)
    filters = options["char_cnn"]["filters"]
    most = options["char_cnn"]["max_characters_per_token"]
    total = sum(count for _, count in filters)
    size, units = options["lstm"]["projection_dim"], options["lstm"]["dim"]
    convolutions = sum(
        # Its characters, two marks, and padding.
        min(len(text.encode()) + 2 + 1, most - width + 1)
        * (width * options["char_cnn"]["embedding"]["dim"] * count)
        for text in distinct
        for width, count in filters
    )
    word = options["char_cnn"]["n_highway"] * 2 * total**2 + total * size
    # Input and recurrent products of four gates, and the projection.
    step = 2 * options["lstm"]["n_layers"] * (8 * size * units + units * size)
    words = sum(map(len, rows)) + 1
    return 2 * (convolutions + len(distinct) * word + words * step)


def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(options, rows, rounds):
    """Operations a second, of the ceiling and of the model, round by round."""
    elmo = keras_elmo.ElmoLayer(
        keras_elmo.CharacterEncoder(**encoder_arguments(options)),
        keras_elmo.BiLM(**bilm_arguments(options)),
    )
    embedder = SentenceEmbedder(elmo, "all", len(rows) * WORDS)
    matrix = keras.random.normal((SIZE, SIZE))
    cores = len(os.sched_getaffinity(0))
    products = tf.function(
        # Factors of their own, or all would be found to be one product.
        lambda: [tf.reduce_sum(tf.matmul(matrix + i, matrix)) for i in range(cores)]
    )

    def model():
        for _ in embedder.embed(rows):
            pass

    def ceiling():
        for total in products():
            total.numpy()

    model()
    ceiling()
    operations = needed(options, rows)
    return [
        (cores * 2 * SIZE**3 / timed(ceiling), operations / timed(model))
        for _ in range(rounds)
    ]


def spread(values, digits):
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} [{least:,.{digits}f}, {most:,.{digits}f}]"


def main():
    args = build_parser().parse_args()
    compute_directions_at_once()
    words = args.text.read_text("utf-8").split()[: args.rows * WORDS]
    rows = [words[i : i + WORDS] for i in range(0, len(words), WORDS)]
    print("| model, rows x 20 | ceiling, GFLOP/s | needed work, GFLOP/s | share |")
    print("| --- " * 4 + "|")
    for name in args.models:
        found = measure(CONFIGS[name], rows, args.rounds)
        ceilings = [ceiling / 1e9 for ceiling, _ in found]
        speeds = [speed / 1e9 for _, speed in found]
        shares = [speed / ceiling for ceiling, speed in found]
        print(
            f"| {name}, {len(rows)} x {WORDS} | {spread(ceilings, 0)} "
            f"| {spread(speeds, 0)} | {spread(shares, 2)} |"
        )


if __name__ == "__main__":
    main()
