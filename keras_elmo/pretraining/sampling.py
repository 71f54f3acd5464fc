"""Negatives for the sampled softmax, drawn from seed and step alone."""

import numpy as np


class LogUniformSampler:
    """Distinct word numbers with `P(k) = log((k + 2) / (k + 1)) / log(V + 1)`.

    That is Zipf's law for a vocabulary in order of falling frequency. The sampler has
    no state: the same seed, step and stream give the same draw.

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
            uniform = rng.random(2 * self.count)
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
        ids = np.asarray(ids, np.float64)
        p = np.log((ids + 2) / (ids + 1)) / np.log(self.vocabulary_size + 1.0)
        if tries == self.count:
            return (tries * p).astype(np.float32)
        return -np.expm1(tries * np.log1p(-p)).astype(np.float32)


def sampled_rows(
    window, sampler: LogUniformSampler, step: int
) -> dict[str, np.ndarray]:
    """What the sampled softmax of a step needs, ready to gather.

    Args:
        window: A `corpus.Window`.
        sampler: Gives each direction its own negatives.
        step: The training step.

    Returns:
        `rows`, the distinct rows of the softmax that occur; for each direction
        `*_true` `(batch, unroll)` and `*_negatives` `(count,)`, places in `rows`, and
        their expected counts `*_true_expected`, `*_negatives_expected`.
    """
    arrays, ids = {}, {}
    for stream, name in enumerate(("forward", "backward")):
        targets = getattr(window, f"{name}_targets")
        negatives, tries = sampler.draw(step, stream)
        ids[f"{name}_true"] = targets
        ids[f"{name}_negatives"] = negatives
        for key in (f"{name}_true", f"{name}_negatives"):
            arrays[f"{key}_expected"] = sampler.expected_counts(ids[key], tries)
    rows = np.unique(np.concatenate([part.reshape(-1) for part in ids.values()]))
    arrays["rows"] = rows.astype(np.int32)
    for key, part in ids.items():
        arrays[key] = np.searchsorted(rows, part).astype(np.int32)
    return arrays
