"""Negatives for the sampled softmax, drawn from seed and step alone."""

import numpy as np

from keras_elmo.errors import FormatError
from keras_elmo.text.vocabulary import SPECIALS, Vocabulary

# Nats by which a text must speak against a vocabulary's order: a few sentences may by
# chance.
_CERTAIN = 100.0


def log_uniform(ids: np.ndarray, vocabulary_size: int) -> np.ndarray:
    """Zipf's law for words in order of falling frequency, as AI2's sampler has it.

    Args:
        ids: Numbers of words, k.
        vocabulary_size: V.

    Returns:
        float64 array of the shape of `ids`: `log((k + 2) / (k + 1)) / log(V + 1)`.

    >>> log_uniform(np.arange(3), 3).round(3)
    array([0.5  , 0.292, 0.208])
    """
    return np.log1p(1.0 / (np.asarray(ids) + 1.0)) / np.log(vocabulary_size + 1.0)


class LogUniformSampler:
    """Distinct word numbers, drawn by `log_uniform`.

    The sampler has no state: the same seed, step and stream give the same draw.

    Args:
        vocabulary_size: V.
        count: Words of a draw, fewer than V.
        seed: int >= 0.

    Raises:
        ValueError: `count` is not below `vocabulary_size`.

    Example:

    >>> sampler = LogUniformSampler(1000, count=5, seed=1)
    >>> ids, tries = sampler.draw(step=0, stream=0)
    >>> len(set(ids.tolist())), tries >= 5
    (5, True)

    Source: `tf.random.log_uniform_candidate_sampler` with `unique=True`, which
    bilm-tf's `sampled_softmax_loss` uses.
    """

    def __init__(self, vocabulary_size: int, count: int, seed: int = 0):
        if not 0 < count < vocabulary_size:
            raise ValueError(
                "LogUniformSampler: expected count from 1 to below the vocabulary's "
                f"size, {vocabulary_size}, received {count}."
            )
        self.vocabulary_size = vocabulary_size
        self.count = count
        self.seed = seed

    def draw(self, step: int, stream: int) -> tuple[np.ndarray, int]:
        """Draw until there are `count` distinct words.

        Args:
            step: The training step.
            stream: Tells several draws of one step apart.

        Returns:
            int32 array `(count,)` in the order of first draw, and the number of
            draws that it took.
        """
        rng = np.random.default_rng([self.seed, step, stream])
        drawn = np.empty(0, np.int64)
        while True:
            # More each time: the last words of a vocabulary take many draws.
            uniform = rng.random(max(2 * self.count, len(drawn)))
            # The inverse of the distribution function log(k + 2) / log(V + 1).
            more = np.exp(uniform * np.log(self.vocabulary_size + 1.0)).astype(np.int64)
            more = np.minimum(more - 1, self.vocabulary_size - 1)
            drawn = np.concatenate([drawn, more])
            first = np.sort(np.unique(drawn, return_index=True)[1])
            if len(first) >= self.count:
                first = first[: self.count]
                return drawn[first].astype(np.int32), int(first[-1]) + 1

    def expected_counts(self, ids: np.ndarray, tries: int) -> np.ndarray:
        """How often each of `ids` is expected in a draw that took `tries` draws.

        Without any repeated draw that is `tries * P`, else the probability of being
        there at all, `1 - (1 - P) ** tries`.

        Returns:
            float32 array of the shape of `ids`.
        """
        p = log_uniform(ids, self.vocabulary_size)
        if tries == self.count:
            return (tries * p).astype(np.float32)
        return -np.expm1(tries * np.log1p(-p)).astype(np.float32)


def sampled_rows(
    window, sampler: LogUniformSampler, step: int
) -> dict[str, np.ndarray]:
    """What the sampled softmax of a step needs, ready to gather.

    Args:
        window: A `windows.Window`.
        sampler: Gives each direction its own negatives.
        step: The training step.

    Returns:
        `rows`, the distinct rows of the softmax that occur; `true`
        `(2, batch, unroll)` and `negatives` `(2, count)`, places in `rows`, by
        direction; and their expected counts `true_expected`, `negatives_expected`.
    """
    draws = [sampler.draw(step, direction) for direction in range(2)]
    negatives = np.stack([ids for ids, _ in draws])
    expected = [
        np.stack(
            [
                sampler.expected_counts(ids[direction], tries)
                for direction, (_, tries) in enumerate(draws)
            ]
        )
        for ids in (window.targets, negatives)
    ]
    rows = np.unique(np.concatenate([window.targets.reshape(-1), negatives.ravel()]))
    return {
        "rows": rows.astype(np.int32),
        "true": np.searchsorted(rows, window.targets).astype(np.int32),
        "negatives": np.searchsorted(rows, negatives).astype(np.int32),
        "true_expected": expected[0],
        "negatives_expected": expected[1],
    }


def check_order(vocabulary: Vocabulary, occurrences: np.ndarray):
    """Refuse a vocabulary that is not in order of falling frequency.

    The sampled softmax draws and weighs words by their place. An order will do, such
    as that of another or a larger text, where `log_uniform` predicts the words of the
    text better than equal chances would; an alphabetical one does not. The three
    special words may stand anywhere.

    Args:
        vocabulary: The vocabulary.
        occurrences: How often the text has each word, as of `corpus.count_corpus`.

    Raises:
        FormatError: Another order; the word that is most out of place is named, with
            its line.

    >>> check_order(Vocabulary(["<S>", "</S>", "<UNK>", "a"]), np.array([9, 9, 0, 9]))
    """
    specials = [vocabulary.id(word) for word in SPECIALS]
    numbers = np.delete(np.arange(len(vocabulary)), specials)
    counts = occurrences[numbers]
    chances = log_uniform(numbers, len(vocabulary))
    chances /= chances.sum()
    if counts @ np.log(chances * len(numbers)) >= -_CERTAIN:
        return
    ranks = np.arange(1, len(numbers) + 1)
    right = np.empty_like(ranks)
    right[np.argsort(-counts, kind="stable")] = ranks
    worst = np.argmax(counts * np.log(ranks / right))
    number = int(numbers[worst])
    raise FormatError(
        f"{vocabulary.source}: line {vocabulary.line(number)}: expected the words by "
        "falling frequency (the sampled softmax draws them by their place), found "
        f"{vocabulary.words[number]!r}, which the text has {counts[worst]:,} times, "
        f"behind {ranks[worst] - 1:,} words, where {right[worst] - 1:,} belong."
    )
