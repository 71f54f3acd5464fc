"""The log-uniform sampler against its distribution and against TensorFlow's counts."""

import numpy as np
import pytest

from keras_elmo.pretraining.corpus import windows
from keras_elmo.pretraining.sampling import LogUniformSampler, sampled_rows
from tests.pretraining import small_models


def probabilities(size):
    k = np.arange(size, dtype=np.float64)
    return (np.log(k + 2) - np.log(k + 1)) / np.log(size + 1)


def test_single_draws_follow_the_distribution():
    size, draws = 40, 20_000
    sampler = LogUniformSampler(size, count=1, seed=3)
    ids = np.array([sampler.draw(step, 0)[0][0] for step in range(draws)])
    seen = np.bincount(ids, minlength=size)
    expected = draws * probabilities(size)
    assert len(seen) == size and expected.min() > 100
    chi_squared = ((seen - expected) ** 2 / expected).sum()
    # 39 degrees of freedom: mean 39, deviation 8.8; 72.1 is the 0.999 quantile.
    assert 13 < chi_squared < 72.1


@pytest.mark.parametrize("count", [1, 5, 24])
def test_draws_are_distinct_words_of_the_vocabulary(count):
    sampler = LogUniformSampler(25, count)
    for step in range(50):
        ids, tries = sampler.draw(step, 1)
        assert ids.dtype == np.int32 and len(set(ids.tolist())) == count
        assert ids.min() >= 0 and ids.max() < 25
        assert tries >= count


def test_seed_step_and_stream_decide_the_draw_and_nothing_else():
    def draw(seed, step, stream):
        return LogUniformSampler(1000, 20, seed).draw(step, stream)[0].tolist()

    sampler = LogUniformSampler(1000, 20, seed=7)
    for step in (5, 3, 3):
        assert sampler.draw(step, 1)[0].tolist() == draw(7, step, 1)
    draws = [draw(*key) for key in ((7, 3, 1), (7, 3, 0), (7, 4, 1), (8, 3, 1))]
    assert all(a != b for i, a in enumerate(draws) for b in draws[:i])


def test_number_of_tries_is_that_of_drawing_one_by_one():
    sampler = LogUniformSampler(25, 8, seed=1)
    for step in range(20):
        ids, tries = sampler.draw(step, 0)
        # The generator's first numbers, each turned into a word by looking it up.
        uniform = np.random.default_rng([1, step, 0]).random(16)
        sums = np.cumsum(probabilities(25))
        ones = np.minimum(np.searchsorted(sums, uniform), 24)[:tries]
        if tries <= 16:
            assert list(dict.fromkeys(ones.tolist())) == ids.tolist()
            assert ones[-1] not in ones[:-1]


@pytest.mark.parametrize("variant", ["sampled", "token_sampled"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_expected_counts_equal_tensorflows(variant, direction):
    golden = np.load(small_models.LM / f"{variant}.npz")
    batches = np.load(small_models.LM / "batches.npz")
    suffix = "_reverse" if direction == "backward" else ""
    sampler = LogUniformSampler(25, 8)
    found = []
    for step in range(6):
        targets = batches[f"next_token_id{suffix}"][step].reshape(-1, 1)
        ids = golden[f"sampled_ids_{direction}"][step]
        wanted = np.append(
            golden[f"sampled_expected_{direction}"][step],
            golden[f"true_expected_{direction}"][step],
        )
        # TensorFlow does not tell how many draws it took: one number must fit all.
        fitting = [
            tries
            for tries in range(8, 200)
            if np.allclose(
                sampler.expected_counts(np.append(ids, targets), tries), wanted, 1e-5
            )
        ]
        assert len(fitting) == 1
        found += fitting
    if (variant, direction) == ("token_sampled", "forward"):
        assert found[0] == 8  # no draw was repeated: another formula


def test_expected_counts_are_those_of_many_draws():
    size, count, draws = 12, 4, 4000
    sampler = LogUniformSampler(size, count, seed=2)
    seen, promised = np.zeros(size), np.zeros(size)
    for step in range(draws):
        ids, tries = sampler.draw(step, 0)
        seen[ids] += 1
        p = probabilities(size)
        promised += 1 - (1 - p) ** tries
    # The formula is an estimate; it is right to a few per cent.
    np.testing.assert_allclose(promised, seen, rtol=0.12)


@pytest.mark.parametrize("count", [0, 25, 26, -1])
def test_refuses_as_many_words_as_there_are(count):
    with pytest.raises(ValueError, match=f"LogUniformSampler: .* 25, received {count}"):
        LogUniformSampler(25, count)


def test_gathered_rows_point_at_targets_and_negatives():
    vocabulary = small_models.vocabulary()
    sentences = small_models.sentences("train.txt")
    window = next(windows(sentences, vocabulary, 2, 3, 3))
    sampler = LogUniformSampler(25, 8)
    arrays = sampled_rows(window, sampler, step=4)
    rows = arrays["rows"]
    assert rows.tolist() == sorted(set(rows.tolist()))
    for stream, name in enumerate(("forward", "backward")):
        negatives, tries = sampler.draw(4, stream)
        targets = getattr(window, f"{name}_targets")
        for key, ids in ((f"{name}_true", targets), (f"{name}_negatives", negatives)):
            np.testing.assert_array_equal(rows[arrays[key]], ids)
            expected = sampler.expected_counts(ids, tries)
            np.testing.assert_array_equal(arrays[f"{key}_expected"], expected)
