"""Scores and substitutes against float64 NumPy, word by word."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.pretraining.evaluate import perplexities
from keras_elmo.pretraining.scoring import score_sentences
from keras_elmo.pretraining.windows import text_windows
from keras_elmo.text.vocabulary import SPECIALS
from tests.helpers import as_numpy, assert_close
from tests.pretraining import small_models

WORDS = [*small_models.vocabulary().words[3:7], "naïve", "unknownword"]


@pytest.fixture(scope="module", autouse=True)
def short_windows():
    """Sentences reach over several windows of three positions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_elmo.pretraining.evaluate.UNROLL", 3)
        yield


@pytest.fixture(scope="module")
def model():
    return small_models.random_model(unroll=False)


@pytest.fixture(scope="module")
def word_model():
    """Its reference takes less time."""
    return small_models.random_word_model(unroll=False)


def assert_scores(model, scores, sentences):
    assert [score.words for score in scores] == sentences
    for score in scores:
        expected = small_models.expected_losses(model, score.words)
        n = len(score.words)
        assert score.forward.dtype == score.backward.dtype == np.float32
        assert_close(score.forward, -expected[0].astype("float32"))
        backward = [*expected[1][:n][::-1], expected[1][n]]
        assert_close(score.backward, -np.array(backward, "float32"))
        np.testing.assert_allclose(score.forward_total, -expected[0].sum(), 1e-5)
        np.testing.assert_allclose(score.backward_total, -expected[1].sum(), 1e-5)


# Scores.


@given(st.lists(st.lists(st.sampled_from(WORDS), max_size=8), max_size=5))
@settings(max_examples=12, deadline=None)
def test_scores_equal_the_reference_at_any_length(word_model, sentences):
    assert_scores(word_model, word_model.score(sentences), sentences)


@pytest.mark.parametrize("kind", ["characters", "shared"])
def test_scores_of_other_models_equal_the_reference(model, kind):
    if kind == "shared":
        model = small_models.random_word_model(
            unroll=False, share_embedding_softmax=True
        )
    sentences = [["the", "naïve", "cat"], ["unknownword"]]
    assert_scores(model, model.score(sentences), sentences)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_batch_has_no_influence(word_model, batch):
    # One sentence keeps those behind it waiting for many windows.
    sentences = [["it"], ["the", "cat"] * 12, ["ran"], [], *[["the"]] * 9]
    scores = list(score_sentences(word_model, sentences, batch))
    assert_scores(word_model, scores, sentences)


def test_totals_give_the_perplexities(model):
    text = small_models.sentences("test.txt")
    found, scores = perplexities(model, text, batch=8), model.score(text)
    for name in ("forward", "backward"):
        total = sum(getattr(score, f"{name}_total") for score in scores)
        assert np.exp(-total / found["tokens"]) == pytest.approx(found[name], rel=1e-6)


def test_unknown_words_are_told_and_scored_as_unk(model):
    (unknown, unk) = model.score([["the", "unknownword"], ["the", "<UNK>"]])
    assert unknown.unknown == unk.unknown == [False, True]
    assert unknown.forward[:2].tolist() == unk.forward[:2].tolist()
    assert unknown.forward[2] != unk.forward[2]  # each is read by its characters


def test_text_is_scored_while_it_is_read(model):
    read = []

    def endless():
        while True:
            read.append(["the", "cat"])
            yield read[-1]

    scores = score_sentences(model, endless(), batch=2)
    for number in range(1, 8):
        assert next(scores).words == ["the", "cat"]
        assert len(read) <= number + 4


def test_weights_that_changed_are_seen(model):
    before = model.score([["the"]])[0]
    bias = model.softmax_bias.numpy()
    model.softmax_bias.assign(bias + np.arange(25))
    after = model.score([["the"]])
    model.softmax_bias.assign(bias)
    assert after[0].forward_total != before.forward_total
    assert_close(model.score([["the"]])[0].forward, before.forward)


def test_no_sentences_give_no_scores(model):
    assert model.score([]) == []


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ([["it"], "the cat"], "sentence 1 to be a list of words, .* string 'the cat'"),
        ("the cat", "sentence 0 to be a list of words, received the string 't'"),
        ([["it", 3]], "the words of sentence 0 to be str, received 3"),
    ],
)
def test_refuses_what_is_no_sentence(model, sentences, message):
    with pytest.raises(ValueError, match=f"LanguageModel.score: expected {message}"):
        model.score(sentences)


# Log-probabilities of all words.


def test_log_probabilities_are_those_of_the_losses_and_sum_to_one(model):
    sentences = [["the", "cat", "ran"], ["it"], ["a", "dog", "sat"]]
    (window,) = text_windows(sentences[:1] + sentences[2:], model.reader, 2, 4)
    states = model.get_initial_state(2)
    losses = as_numpy(model(window.arrays(), states)[0])
    for positions in ([0, 3], [2, 1]):
        found = as_numpy(model.log_probabilities(window.arrays(), states, positions))
        assert found.shape == (2, 2, 25) and found.dtype == "float32"
        np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1.0, rtol=1e-5)
        for direction in range(2):
            for row, position in enumerate(positions):
                target = window.targets[direction, row, position]
                loss = losses[direction, row, position]
                assert found[direction, row, target] == pytest.approx(-loss, rel=1e-5)


# Substitutes.


def brute_force(model, left, right):
    """Both directions' log-probability of each word of the vocabulary in the gap."""
    logs = []
    for word in small_models.vocabulary().words:
        losses = small_models.expected_losses(model, [*left, word, *right])
        logs.append((-losses[0][len(left)], -losses[1][len(right)]))
    forward, backward = np.array(logs).T
    both = np.exp(forward + backward)
    return forward, backward, np.log(both / both.sum())


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        ("characters", "naïve dog", "ran"),
        ("words", "the dog", "to Zürich ."),
        ("words", "", "cat"),
        ("shared", "unknownword it", ""),
        ("shared", "", ""),
    ],
)
def test_substitutes_equal_trying_every_word(model, kind, left, right):
    if kind != "characters":
        share = kind == "shared"
        model = small_models.random_word_model(share_embedding_softmax=share)
    left, right = left.split(), right.split()
    found = model.substitutes([*left, "_", *right], count=100)
    expected = np.array(brute_force(model, left, right))
    words = small_models.vocabulary().words
    order = [i for i in np.argsort(-expected[2]) if words[i] not in SPECIALS]
    assert [substitute.word for substitute in found] == [words[i] for i in order]
    numbers = [(one.forward, one.backward, one.both) for one in found]
    np.testing.assert_allclose(numbers, expected[:, order].T, rtol=1e-4, atol=1e-5)


def test_substitutes_are_the_first_of_all(model):
    words = ["the", "@@", "ran"]
    every = model.substitutes(words, count=22, gap="@@")
    assert len(every) == 22
    assert model.substitutes(words, gap="@@") == every[:10]
    assert model.substitutes(words, 1, "@@") == every[:1]
    both = [substitute.both for substitute in every]
    assert both == sorted(both, reverse=True) and np.exp(both).sum() < 1


def test_a_word_like_the_gap_may_be_a_substitute(model):
    words = [one.word for one in model.substitutes(["the", "it", "ran"], 22, gap="it")]
    assert "it" in words


@pytest.mark.parametrize(
    ("words", "arguments", "message"),
    [
        (["the", "cat"], {}, r"one gap, '_', among the words, received 0 in \['the'"),
        (["_", "_"], {}, "one gap, '_', among the words, received 2 in"),
        (["_"], {"gap": "@"}, "one gap, '@', among the words, received 0 in"),
        ("the _", {}, "a list of words, received the string 'the _'"),
        (["_"], {"count": 0}, "count >= 1, received 0"),
    ],
)
def test_refuses_what_has_not_one_gap(model, words, arguments, message):
    with pytest.raises(ValueError, match=f"LanguageModel.substitutes: ex.* {message}"):
        model.substitutes(words, **arguments)
