"""Perplexities against float64 NumPy and against bilm's own test run."""

import numpy as np
import pytest

from keras_elmo.pretraining.evaluate import perplexities
from tests.pretraining import small_models

BOTH = ("forward", "backward")


@pytest.fixture(scope="module")
def model():
    return small_models.random_model()


@pytest.fixture(scope="module")
def text():
    return small_models.sentences("test.txt")


@pytest.fixture(scope="module")
def found(model, text):
    return evaluate(model, text)


def evaluate(model, text, **kwargs):
    vocabulary = small_models.vocabulary()
    with pytest.MonkeyPatch.context() as patch:
        # Short windows compile faster, and sentences reach over several of them.
        patch.setattr("keras_elmo.pretraining.evaluate.UNROLL", 3)
        return perplexities(model, vocabulary, text, max_chars=12, **kwargs)


def test_perplexities_equal_the_reference(model, text, found):
    losses = [small_models.expected_losses(model, words) for words in text]
    expected = np.exp(np.concatenate(losses, axis=1).mean(axis=1))
    np.testing.assert_allclose([found[name] for name in BOTH], expected, rtol=1e-6)
    np.testing.assert_allclose(found["arithmetic_mean"], expected.mean(), rtol=1e-6)
    product = np.sqrt(expected[0] * expected[1])
    np.testing.assert_allclose(found["geometric_mean"], product, rtol=1e-6)


def test_neither_order_nor_batch_matters(model, text, found):
    for batch, order in ((1, text), (3, text[::-1])):
        other = evaluate(model, order, batch=batch)
        for name, value in found.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-6)


def test_scanned_model_has_the_same_perplexities(text, found):
    scanned = evaluate(small_models.random_model(unroll=False), text)
    for name, value in found.items():
        np.testing.assert_allclose(scanned[name], value, rtol=1e-6)


def test_counts_are_of_words_and_sentence_ends(text, found):
    known = set(small_models.vocabulary().words)
    assert found["tokens"] == sum(len(words) + 1 for words in text)
    assert found["unknown"] == sum(w not in known for words in text for w in words) == 1
    assert found["vocabulary_size"] == 25


def test_carried_state_gives_the_perplexity_of_bilms_own_test(text):
    golden = np.load(small_models.LM / "test_perplexity.npz")
    found = evaluate(small_models.bilms_model(), text, batch=1, carry_state=True)
    # bilm reports exp of the mean of both directions; its one row drops no word.
    np.testing.assert_allclose(
        found["geometric_mean"], golden["test_perplexity_bs1"], rtol=1e-5
    )
    directions = np.exp(golden["test_losses_bs1"][:, 1:].mean(axis=0))
    np.testing.assert_allclose([found[name] for name in BOTH], directions, rtol=1e-5)


def test_progress_is_told_up_to_the_last_token(model, text):
    told = []
    found = evaluate(model, text, batch=1, progress=told.append)
    assert told == sorted(told) and len(told) > 1 and told[-1] == found["tokens"]


def test_refuses_no_text(model):
    with pytest.raises(
        ValueError, match="perplexities: expected at least one sentence"
    ):
        evaluate(model, [])
