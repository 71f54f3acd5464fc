"""How much memory a training run needs, and whether there is as much."""

import os
from collections.abc import Iterator
from typing import Any

from keras_elmo.errors import FormatError
from keras_elmo.layers.char_cnn import NUM_CHARACTERS
from keras_elmo.text.vocabulary import Vocabulary

# Numbers that an optimizer of Keras keeps for each weight.
SLOTS = {
    "adagrad": 1,
    "adam": 2,
    "adamw": 2,
    "lion": 1,
    "nadam": 2,
    "rmsprop": 1,
    "sgd": 0,
}
# What an update has in between, in sizes of the weights: sums and roots of them where
# few rows have a gradient; with the full softmax gradients of all, bounded and squared.
_BETWEEN, _BETWEEN_FULL = 2, 4
_LOGITS = 4  # both directions', and their gradients
_GIB = 2**30


def memory_needed(
    options: dict[str, Any],
    vocabulary_size: int,
    optimizer: str,
    share_embedding_softmax: bool = False,
    positions: int = 0,
) -> int:
    """Bytes of main memory that a run takes at least.

    Measured runs took a third to twice more.

    Args:
        options: Checked options of AI2's.
        vocabulary_size: Words that are predicted.
        optimizer: A key of `SLOTS`.
        share_embedding_softmax: See `LanguageModel`.
        positions: Rows times positions of a window for which the full softmax is
            computed at a time; 0 with the sampled one.

    >>> from keras_elmo.pretraining.configs import find_config
    >>> round(memory_needed(find_config("original"), 793_471, "adagrad") / 2**30, 1)
    7.5
    """
    weights = number_of_weights(options, vocabulary_size, share_embedding_softmax)
    between = _BETWEEN_FULL if positions else _BETWEEN
    logits = _LOGITS * positions * vocabulary_size
    return 4 * (weights * (1 + SLOTS[optimizer] + between) + logits)


def number_of_weights(
    options: dict[str, Any], vocabulary_size: int, share_embedding_softmax: bool = False
) -> int:
    """How many numbers a language model has; arguments as of `memory_needed`.

    >>> number_of_weights({"lstm": {"dim": 8, "projection_dim": 4, "n_layers": 1}}, 9)
    725
    """
    lstm = options["lstm"]
    units, width = lstm["dim"], lstm["projection_dim"]
    layer = 2 * width * 4 * units + 4 * units
    if width < units:
        layer += units * width
    softmax = vocabulary_size * (1 if share_embedding_softmax else width + 1)
    stacks = 2 * lstm["n_layers"] * layer
    return softmax + stacks + _encoder_weights(options, vocabulary_size, width)


def _encoder_weights(options, vocabulary_size, width):
    if "char_cnn" not in options:
        return (vocabulary_size + 1) * width
    char_cnn = options["char_cnn"]
    dim = char_cnn["embedding"]["dim"]
    count = sum(count for _, count in char_cnn["filters"])
    weights = NUM_CHARACTERS * dim
    weights += sum(size * dim * count + count for size, count in char_cnn["filters"])
    weights += (char_cnn.get("n_highway") or 0) * 2 * (count * count + count)
    return weights + (count * width + width if width != count else 0)


def memory_available(root: str = "/") -> int | None:
    """Bytes that this process may still take, None where the system does not tell.

    Args:
        root: Where the system's folders `proc` and `sys` are.

    >>> memory_available("no/such/folder")
    """
    amounts = [*_free(root), *_free_in_groups(root)]
    return max(0, min(amounts)) if amounts else None


def _free(root):
    for line in _lines(root, "proc/meminfo"):
        name, _, amount = line.partition(":")
        if name == "MemAvailable":
            yield int(amount.split()[0]) * 1024


def _free_in_groups(root) -> Iterator[int]:
    """What each control group above this process leaves, of either version."""
    names = {
        "": ("", "memory.max", "memory.current", "inactive_file"),
        "memory": (
            "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    }
    for line in _lines(root, "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers not in names:
            continue
        mount, limit_name, usage_name, cache_name = names[controllers]
        parts = [part for part in path.split("/") if part]
        for depth in range(len(parts) + 1):
            folder = os.path.join("sys/fs/cgroup", mount, *parts[:depth])
            limits = _lines(root, folder, limit_name)
            usages = _lines(root, folder, usage_name)
            if limits and usages and limits[0].isdecimal():  # not "max"
                cache = [
                    int(line.split()[1])
                    for line in _lines(root, folder, "memory.stat")
                    if line.startswith(cache_name + " ")
                ]
                yield int(limits[0]) - int(usages[0]) + sum(cache)


def _lines(*path):
    try:
        with open(os.path.join(*path), encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []


def check_memory(vocabulary: Vocabulary, needed: int, available: int | None):
    """Refuse a vocabulary that does not fit.

    Args:
        vocabulary: The words that are predicted.
        needed: See `memory_needed`.
        available: See `memory_available`; None refuses nothing.

    Raises:
        FormatError: More is needed than there is.

    >>> check_memory(Vocabulary(["<S>", "</S>", "<UNK>"], "vocab.txt"), 2**31, 2**30)
    Traceback (most recent call last):
    keras_elmo.errors.FormatError: vocab.txt: expected a vocabulary that fits into ...
    """
    if available is None or needed <= available:
        return
    raise FormatError(
        f"{vocabulary.source}: expected a vocabulary that fits into memory, found "
        f"{len(vocabulary):,} words, for which training needs {needed / _GIB:,.1f} GiB "
        f"or more where {available / _GIB:,.1f} GiB are free; a shorter one "
        "(keras-elmo vocab --size or --min-count) needs less, the full softmax "
        "(--negatives 0) more."
    )
