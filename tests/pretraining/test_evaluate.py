"""Perplexities against float64 NumPy and against bilm's own test run."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.pretraining.backend import steps
from keras_elmo.pretraining.corpus import read_sentences
from keras_elmo.pretraining.evaluate import (
    UNROLL,
    perplexities,
    perplexity_like_bilm,
    positions_that_fit,
)
from keras_elmo.pretraining.windows import text_windows
from tests.pretraining import small_models

BOTH = ("forward", "backward")
TEXT = small_models.sentences("test.txt")
LENGTHS = [len(words) + 1 for words in TEXT]


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
def bilms_model():
    return small_models.bilms_model(unroll=False)


@pytest.fixture(scope="module")
def found(model):
    return perplexities(model, TEXT)


def assert_perplexities(found, losses):
    """`losses` of all tokens: `(2, tokens)`."""
    expected = np.exp(np.mean(losses, axis=1))
    assert found["tokens"] == losses.shape[1]
    np.testing.assert_allclose([found[name] for name in BOTH], expected, rtol=1e-6)
    np.testing.assert_allclose(found["arithmetic_mean"], expected.mean(), rtol=1e-6)
    product = np.sqrt(expected[0] * expected[1])
    np.testing.assert_allclose(found["geometric_mean"], product, rtol=1e-6)


def losses_of(model, texts):
    """Of texts whose sentences follow one another, each from the zero state."""
    losses = [small_models.expected_losses(model, *text) for text in texts]
    return np.concatenate(losses, axis=1)


# Each sentence from the zero state.


def test_perplexities_equal_the_reference(model, found):
    assert_perplexities(found, losses_of(model, [[words] for words in TEXT]))


@pytest.mark.parametrize("shared", [False, True])
def test_perplexities_of_word_input_equal_the_reference(shared):
    model = small_models.random_word_model(unroll=False, share_embedding_softmax=shared)
    expected = losses_of(model, [[words] for words in TEXT[:3]])
    assert_perplexities(perplexities(model, TEXT[:3]), expected)


@given(st.permutations(TEXT), st.sampled_from([1, 3]))
@settings(max_examples=6, deadline=None)
def test_neither_order_nor_batch_matters(model, found, order, batch):
    other = perplexities(model, order, batch=batch)
    assert other == pytest.approx(found, rel=1e-6)


def test_unrolled_model_has_the_same_perplexities(found):
    unrolled = perplexities(small_models.random_model(unroll=True), TEXT, batch=2)
    assert unrolled == pytest.approx(found, rel=1e-6)


def test_counts_are_of_words_and_sentence_ends(found):
    known = set(small_models.vocabulary().words)
    assert found["tokens"] == sum(LENGTHS)
    assert found["unknown"] == sum(w not in known for words in TEXT for w in words) == 1
    assert found["vocabulary_size"] == 25


def test_progress_is_told_up_to_the_last_token(model, found):
    told = []
    perplexities(model, TEXT, batch=1, progress=told.append)
    assert told == sorted(told) and len(told) > 1 and told[-1] == found["tokens"]


def test_text_is_read_as_it_is_needed(model):
    source, most_behind = iter(TEXT), []

    def sentences():
        for number, words in enumerate(source):
            yield words
            most_behind.append((number, told[-1]))

    told = [0]
    perplexities(model, sentences(), batch=1, progress=told.append)
    for number, tokens in most_behind:
        assert tokens >= sum(LENGTHS[:number]) - 3  # all but one window


# Running text.


@pytest.mark.parametrize(("batch", "bounds"), [(1, [0, 8]), (3, [0, 2, 5, 8])])
def test_rows_of_running_text_read_neighbouring_sentences(batch, bounds):
    model = small_models.random_word_model(unroll=False)
    texts = [TEXT[start:stop] for start, stop in itertools.pairwise(bounds)]
    found = perplexities(model, iter(TEXT), batch=batch, carry_state=True)
    assert_perplexities(found, losses_of(model, texts))


def test_running_text_needs_no_sentence_for_each_row(model, found):
    carried = perplexities(model, TEXT, batch=50, carry_state=True)
    assert carried == pytest.approx(found, rel=1e-6)


def test_running_text_goes_on_from_given_states():
    model = small_models.random_word_model(unroll=False)
    before = sum(LENGTHS[:3])
    (window,) = text_windows(TEXT[:3], model.reader, 1, before)
    forward = steps().compiled_forward(model, True)
    _, states = forward(window.arrays(), model.get_initial_state(1))
    found = perplexities(model, TEXT[3:], batch=1, carry_state=True, states=states)
    assert_perplexities(found, losses_of(model, [TEXT])[:, before:])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "perplexities: expected carry_state with states."),
        (
            {"carry_state": True, "batch": 4},
            "perplexities: expected states of 4 rows, as many as parts of the text, "
            "received [2].",
        ),
    ],
)
def test_refuses_states_that_no_row_starts_from(model, arguments, error):
    states = model.get_initial_state(2)
    with pytest.raises(ValueError) as raised:
        perplexities(model, TEXT, states=states, **arguments)
    assert str(raised.value) == error


# bilm's own test.


@pytest.fixture
def lines():
    """As bilm reads them: a blank line is a sentence."""
    return read_sentences([small_models.LM / "test.txt"], keep_blank_lines=True)


@pytest.mark.parametrize("rows", [1, 4])
def test_bilms_own_test_is_reproduced(bilms_model, lines, rows):
    golden = np.load(small_models.LM / "test_perplexity.npz")
    found = perplexity_like_bilm(bilms_model, lines, rows)
    expected = golden[f"test_perplexity_bs{rows}"]
    np.testing.assert_allclose(found["geometric_mean"], expected, rtol=1e-5)
    directions = np.exp(golden[f"test_losses_bs{rows}"][:, 1:].mean(axis=0))
    np.testing.assert_allclose([found[name] for name in BOTH], directions, rtol=1e-5)
    assert found["tokens"] == golden[f"test_token_ids_bs{rows}"].size
    assert found["tokens"] + found["dropped"] == sum(LENGTHS)
    assert (found["unknown"], found["vocabulary_size"]) == (1, 25)


def test_losses_equal_those_of_bilms_own_test_batch_by_batch(bilms_model, lines):
    rows = 4
    golden = np.load(small_models.LM / "test_perplexity.npz")[f"test_losses_bs{rows}"]
    forward = steps().compiled_forward(bilms_model, carry_over_sentences=True)
    windows = list(text_windows(lines, bilms_model.reader, rows, 1, True))
    assert len(windows) == len(golden)
    states = bilms_model.get_initial_state(rows)
    for window, (total, *directions) in zip(windows, golden, strict=True):
        losses, states = forward(window.arrays(), states)
        means = losses.mean(axis=(1, 2))
        np.testing.assert_allclose(means, directions, rtol=1e-5)
        np.testing.assert_allclose(means.mean(), total, rtol=1e-5)


def bilms_rows(sentences, batch):
    """The sentences of each row, and after how many positions one finds none."""
    source, rows, left = iter(sentences), [[] for _ in range(batch)], [0] * batch
    for position in itertools.count():
        for row in range(batch):
            if not left[row]:
                words = next(source, None)
                if words is None:
                    return rows, position
                rows[row].append(words)
                left[row] = len(words) + 1
            left[row] -= 1


@pytest.mark.parametrize(("batch", "blanks"), [(3, 2), (8, 1)])
def test_rows_take_sentences_as_in_bilm(batch, blanks):
    model = small_models.random_word_model(unroll=False)
    text = [*TEXT[:2], *[[]] * blanks, *TEXT[2:]]
    rows, positions = bilms_rows(text, batch)
    losses = [small_models.expected_losses(model, *row)[:, :positions] for row in rows]
    found = perplexity_like_bilm(model, text, batch)
    assert found["dropped"] == sum(LENGTHS) + blanks - batch * positions
    assert_perplexities(found, np.concatenate(losses, axis=1))


def test_fewer_sentences_than_rows_are_refused(model):
    message = r"expected at least 9 sentences, one a row, received 8 \(bilm's own"
    with pytest.raises(ValueError, match=message):
        perplexity_like_bilm(model, TEXT, 9)


# Arguments and memory.


@pytest.mark.parametrize("carry_state", [False, True])
def test_refuses_no_text(model, carry_state):
    with pytest.raises(
        ValueError, match="perplexities: expected at least one sentence"
    ):
        perplexities(model, [], carry_state=carry_state)


def test_refuses_no_rows(model):
    with pytest.raises(ValueError, match="perplexities: expected batch >= 1, rec.* 0"):
        perplexities(model, TEXT, batch=0)
    with pytest.raises(ValueError, match="like_bilm: expected batch >= 1, rec.* -1"):
        perplexity_like_bilm(model, TEXT, -1)


@pytest.mark.parametrize(
    ("words", "batch", "positions"),
    [(25, 32, 20), (54_362, 32, 19), (793_471, 32, 1), (793_471, 256, 1)],
)
def test_windows_are_shorter_where_the_vocabulary_is_large(
    monkeypatch, words, batch, positions
):
    class Model:
        vocabulary = range(words)

    monkeypatch.setattr("keras_elmo.pretraining.evaluate.UNROLL", UNROLL)
    assert positions_that_fit(Model, batch) == positions
