"""The log-uniform sampler against its distribution and against TensorFlow's counts."""

import numpy as np
import pytest

from keras_elmo.errors import FormatError
from keras_elmo.pretraining.corpus import count_corpus
from keras_elmo.pretraining.sampling import (
    LogUniformSampler,
    check_order,
    log_uniform,
    sampled_rows,
)
from keras_elmo.pretraining.windows import text_windows
from keras_elmo.text.vocabulary import (
    SPECIALS,
    Vocabulary,
    read_vocabulary,
    write_vocabulary,
)
from tests.pretraining import small_models


def probabilities(size):
    k = np.arange(size, dtype=np.float64)
    return (np.log(k + 2) - np.log(k + 1)) / np.log(size + 1)


@pytest.mark.parametrize("size", [1, 2, 40, 800_000])
def test_probabilities_are_zipfs_and_sum_to_1(size):
    found = log_uniform(np.arange(size), size)
    np.testing.assert_allclose(found, probabilities(size), rtol=1e-8)
    assert found.sum() == pytest.approx(1)


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


def test_nearly_all_words_can_be_drawn_in_good_time():
    size = 20_000
    ids, tries = LogUniformSampler(size, size - 1).draw(0, 0)
    assert len(set(ids.tolist())) == size - 1 and tries > 10 * size


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
    sentences = small_models.sentences("train.txt")
    window = next(text_windows(sentences, small_models.reader(), 2, 3))
    sampler = LogUniformSampler(25, 8)
    arrays = sampled_rows(window, sampler, step=4)
    rows = arrays["rows"]
    assert rows.tolist() == sorted(set(rows.tolist()))
    for direction in range(2):
        negatives, tries = sampler.draw(4, direction)
        for name, ids in (
            ("true", window.targets[direction]),
            ("negatives", negatives),
        ):
            np.testing.assert_array_equal(rows[arrays[name][direction]], ids)
            expected = sampler.expected_counts(ids, tries)
            found = arrays[f"{name}_expected"][direction]
            np.testing.assert_array_equal(found, expected)
    assert set(rows) == {*window.targets.ravel(), *rows[arrays["negatives"].ravel()]}


# The order that the sampler relies on.


def zipfs_counts(size, scale=3000):
    """A text with `size` words, as frequent as Zipf's law has it."""
    counts = scale / np.arange(1, size + 1)
    return {f"w{i:04}": int(count) for i, count in enumerate(counts)}


def occurrences(vocabulary, counts, sentences=500):
    found = np.zeros(len(vocabulary), np.int64)
    for word, count in counts.items():
        found[vocabulary.id(word)] += count
    found[[vocabulary.begin, vocabulary.end]] = sentences
    return found


def shuffled(words):
    return np.random.default_rng(0).permutation(words).tolist()


ORDERS = {
    "falling frequency": lambda words: [*SPECIALS, *words],
    "specials at the end": lambda words: [*words, *SPECIALS],
    "specials in the middle": lambda words: [*words[:200], *SPECIALS, *words[200:]],
    "neighbours exchanged": lambda words: [
        *SPECIALS,
        *(words[i ^ 1] for i in range(len(words))),
    ],
    "words of another text between": lambda words: [
        *SPECIALS,
        *(other for word in words for other in (word, f"{word}x")),
    ],
    "few of the words": lambda words: [*SPECIALS, *words[5::7]],
}
WRONG_ORDERS = {
    "rising frequency": lambda words: [*SPECIALS, *words[::-1]],
    "chance": lambda words: [*SPECIALS, *shuffled(words)],
    "chance, specials too": lambda words: shuffled([*SPECIALS, *words]),
    "frequent words behind": lambda words: [*SPECIALS, *words[50:], *words[:50]],
}


@pytest.mark.parametrize("order", ORDERS)
def test_orders_that_will_do(order):
    counts = zipfs_counts(400)
    vocabulary = Vocabulary(ORDERS[order](list(counts)))
    assert check_order(vocabulary, occurrences(vocabulary, counts)) is None


@pytest.mark.parametrize("order", WRONG_ORDERS)
def test_other_orders_are_refused(order):
    counts = zipfs_counts(400)
    vocabulary = Vocabulary(WRONG_ORDERS[order](list(counts)), "words.txt")
    with pytest.raises(FormatError) as caught:
        check_order(vocabulary, occurrences(vocabulary, counts))
    assert str(caught.value).startswith("words.txt: line ")


def test_the_word_that_is_most_out_of_place_is_named(tmp_path):
    counts = zipfs_counts(400)
    words = sorted(counts, reverse=True)
    write_vocabulary(
        tmp_path / "vocab.txt", ["<S>", "!!!MAXTERMID", "</S>", "<UNK>", *words]
    )
    vocabulary = read_vocabulary(tmp_path / "vocab.txt")
    message = (
        r"vocab\.txt: line 404: expected the words by falling frequency .*, found "
        r"'w0000', which the text has 3,000 times, behind 399 words, where 0 belong\."
    )
    with pytest.raises(FormatError, match=message):
        check_order(vocabulary, occurrences(vocabulary, counts))


def test_a_few_sentences_prove_nothing(tmp_path):
    # They fit the golden vocabulary no better than chance does.
    vocabulary = small_models.vocabulary()
    counts = count_corpus([small_models.LM / "test.txt"], vocabulary)
    assert check_order(vocabulary, counts.occurrences) is None
    with pytest.raises(FormatError, match="falling frequency"):
        check_order(vocabulary, 1000 * counts.occurrences)


def test_a_vocabulary_of_specials_has_no_order():
    assert check_order(Vocabulary(SPECIALS), np.full(3, 10_000)) is None
