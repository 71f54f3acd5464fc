"""Inference and training on whatever Keras' backend runs on, such as a GPU.

    KERAS_BACKEND=jax python -m tests.benchmarks.accelerator_speed OUT.jsonl

Words a second of a model of random weights: from character ids to all layers, rows of
20 words, by batch and dtype; and of steps of training with 20,000 words and 1,024
negatives, each with new windows of random words. Beside them, where PyTorch is
installed, its own LSTM with projections (cuDNN's on a GPU) of the same sizes, two
layers, both directions, from random vectors, which is the biLM without its encoder and
clips; ours is measured for that too. And the products of square matrices, as many
operations a second as there can be.

Each figure is the median over `--rounds` rounds, each of which repeats the work until a
second has passed. Each is a line of OUT.jsonl as soon as it is known; the table comes
at the end.
"""

import argparse
import json
import statistics
import time

import keras
import numpy as np

import keras_elmo
from keras_elmo.ai2.options import bilm_arguments, encoder_arguments
from keras_elmo.pretraining.backend import steps
from keras_elmo.pretraining.configs import CONFIGS
from keras_elmo.pretraining.model_files import new_language_model
from keras_elmo.pretraining.optimizers import new_optimizer
from keras_elmo.pretraining.sampling import LogUniformSampler, sampled_rows
from keras_elmo.pretraining.windows import text_windows
from keras_elmo.text.vocabulary import Vocabulary

WORDS, NEGATIVES, VOCABULARY = 20, 1024, 20_000
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
_WINDOWS = 8  # that training goes round


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", metavar="OUT.jsonl")
    parser.add_argument("--model", choices=CONFIGS, default="original")
    parser.add_argument(
        "--batches", nargs="+", type=int, default=[1, 8, 32, 128, 512, 1024]
    )
    parser.add_argument("--train-batches", nargs="+", type=int, default=[32, 128])
    parser.add_argument("--dtypes", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--ceiling", type=int, default=8192, metavar="N", help="(8192)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(5)")
    return parser


def compiled(function):
    """A function of arrays, as fast as the backend can have it."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)
    import torch

    def without_gradients(*args):
        with torch.no_grad():
            return function(*args)

    return without_gradients


def wait_for(value):
    """Until a result of the backend is there: one number of it is fetched."""
    leaf = keras.tree.flatten(value)[-1]
    keras.ops.convert_to_numpy(keras.ops.ravel(leaf)[:1])


def seconds(work, rounds, wait=wait_for):
    """Median, least and most seconds that one call of `work` takes."""
    wait(work())  # compiles
    found = []
    for _ in range(rounds):
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < 1.0:
            # Several at a time, for a GPU is given work ahead.
            for _ in range(4):
                value = work()
            wait(value)
            count += 4
        found.append((time.perf_counter() - started) / count)
    return [statistics.median(found), min(found), max(found)]


def word_list(rng):
    """Different words of three to nine letters, as many as a vocabulary has."""
    words = {}
    while len(words) < VOCABULARY:
        letters = rng.integers(97, 123, rng.integers(3, 10), dtype=np.uint8)
        words[bytes(letters).decode()] = None
    return list(words)


def random_rows(words, count, length, rng):
    """Rows of words, of which the first ones come most often."""
    numbers = np.exp(rng.random((count, length)) * np.log(len(words))).astype(int) - 1
    return [[words[number] for number in row] for row in numbers]


def measure_ceiling(size, dtype, rounds):
    matrix = keras.ops.cast(keras.random.normal((size, size)), dtype)
    product = compiled(lambda a: keras.ops.matmul(a, a))
    return seconds(lambda: product(matrix), rounds)


def measure_inference(options, batch, dtype, rounds):
    """Of the whole model from ids, and of its biLM from token vectors."""
    elmo = keras_elmo.ElmoLayer(
        keras_elmo.CharacterEncoder(
            **encoder_arguments(options), dtype=POLICIES[dtype]
        ),
        keras_elmo.BiLM(**bilm_arguments(options), dtype=POLICIES[dtype]),
        dtype=POLICIES[dtype],
    )
    elmo.build(None)
    rng = np.random.default_rng(0)
    rows = random_rows(word_list(rng), batch, WORDS, rng)
    ids = keras.ops.convert_to_tensor(keras_elmo.batch_to_ids(rows))
    vectors = keras.random.normal((batch, WORDS, elmo.bilm.direction_dim))
    whole = compiled(elmo.all_layers)
    bilm = compiled(lambda x: elmo.bilm(x))
    yield "inference", seconds(lambda: whole(ids), rounds)
    yield "biLM alone", seconds(lambda: bilm(vectors), rounds)


def measure_training(options, batch, dtype, rounds):
    rng = np.random.default_rng(0)
    words = word_list(rng)[:-3]
    vocabulary = Vocabulary(["<S>", "</S>", "<UNK>", *words])
    model = new_language_model(options, vocabulary, dtype=POLICIES[dtype], dropout=0.1)
    optimizer = new_optimizer("adagrad", None, "constant", 1)
    update = steps().TrainingStep(model, optimizer, 10.0)
    sentences = random_rows(words, batch * _WINDOWS, WORDS - 1, rng)
    sampler = LogUniformSampler(len(vocabulary), NEGATIVES)
    windows = [
        window.arrays() | sampled_rows(window, sampler, step)
        for step, window in enumerate(
            text_windows(sentences, model.reader, batch, WORDS)
        )
    ]
    step, states = 0, [model.get_initial_state(batch)]

    def train():
        nonlocal step, states
        window = windows[step % len(windows)]
        _, norm, states = update([window], states, [(0, step)])
        step += 1
        return norm

    for _ in windows:
        train()  # several shapes may have to be compiled
    return seconds(train, rounds, wait=lambda norm: norm)


def measure_torch(options, batch, dtype, rounds):
    """PyTorch's own LSTM, both directions one after the other."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    size = options["lstm"]["projection_dim"]
    arguments = {"device": device, "dtype": getattr(torch, dtype)}
    stacks = [
        torch.nn.LSTM(
            size,
            options["lstm"]["dim"],
            num_layers=options["lstm"]["n_layers"],
            proj_size=size,
            batch_first=True,
            **arguments,
        )
        for _ in range(2)
    ]
    x = torch.randn(batch, WORDS, size, **arguments)

    def both():
        with torch.no_grad():
            return stacks[0](x)[0], stacks[1](x.flip(1))[0].flip(1)

    def wait(value):
        value[1].flatten()[:1].cpu()

    return seconds(both, rounds, wait)


def measurements(args, options):
    """Each figure: what, batch, dtype, and seconds."""
    for dtype in args.dtypes:
        yield (
            "ceiling",
            args.ceiling,
            dtype,
            measure_ceiling(args.ceiling, dtype, args.rounds),
        )
        for batch in args.batches:
            for what, found in measure_inference(options, batch, dtype, args.rounds):
                yield what, batch, dtype, found
            try:
                found = measure_torch(options, batch, dtype, args.rounds)
            except ImportError:
                continue
            yield "PyTorch's LSTM", batch, dtype, found
        for batch in args.train_batches:
            found = measure_training(options, batch, dtype, args.rounds)
            yield "training", batch, dtype, found


def main():
    args = build_parser().parse_args()
    backend = keras.backend.backend()
    lines = ["| what | batch | dtype | words/s |", "| --- " * 4 + "|"]
    for what, batch, dtype, found in measurements(args, CONFIGS[args.model]):
        result = {"backend": backend, "model": args.model, "what": what}
        result |= {"batch": batch, "dtype": dtype, "seconds": found}
        with open(args.out, "a") as file:
            file.write(json.dumps(result) + "\n")
        # The slowest round is the least speed.
        if what == "ceiling":
            speeds = [2 * batch**3 / s / 1e9 for s in found]
            unit = " GFLOP/s"
        else:
            speeds, unit = [batch * WORDS / s for s in found], ""
        middle, most, least = speeds
        lines.append(
            f"| {what} | {batch} | {dtype} | {middle:,.0f} [{least:,.0f}, {most:,.0f}]"
            f"{unit} |"
        )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
