"""Perplexity by the full softmax, every token counted once."""

import itertools
import math
from collections.abc import Callable, Iterable, Sized
from typing import Any

import keras
import numpy as np

from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.pretraining.windows import row_windows, text_windows

BATCH, UNROLL = 32, 20
_LOGITS = 2**25  # numbers of a window's softmax at a time, 128 MB


def perplexities(
    model: LanguageModel,
    sentences: Iterable[list[str]],
    *,
    batch: int = BATCH,
    carry_state: bool = False,
    states: list | None = None,
    progress: Callable[[int], None] = lambda tokens: None,
) -> dict[str, Any]:
    """Perplexity of each direction on text.

    Every word and every sentence end is predicted once, unknown words as `<UNK>`, and
    each sentence from the zero state, so neither the order of the sentences nor
    `batch` matters.

    Args:
        model: The language model.
        sentences: Lists of words.
        batch: Rows that are computed at a time, at most.
        carry_state: Running text: its sentences are divided among the rows, so that
            each row reads `1 / batch` of the text from its start to its end, and a
            sentence starts from the state that the one before left. Order and `batch`
            then matter, and all sentences are held in memory.
        states: With `carry_state`, the states from which the rows start, in the form
            of `LanguageModel.get_initial_state`. None: zero.
        progress: Called with the number of tokens done so far.

    Returns:
        `forward`, `backward`, `arithmetic_mean` and `geometric_mean` perplexity;
        `tokens` (words and sentence ends), `unknown` (words), `vocabulary_size`.

    Raises:
        ValueError: There is no sentence, `batch` is below 1, or `states` are given
            without `carry_state` or for another number of rows.
    """
    _check_batch("perplexities", batch)
    if states is not None and not carry_state:
        raise ValueError("perplexities: expected carry_state with states.")
    if not carry_state:
        # Rows that would stay empty, or whose softmax takes too much memory.
        many = len(sentences) if isinstance(sentences, Sized) else batch
        fitting = _LOGITS // (len(model.vocabulary) * UNROLL)
        batch = max(1, min(batch, many, fitting))
    unroll = positions_that_fit(model, batch)
    if carry_state:
        texts = _parts(list(sentences), batch)
        if states is not None:
            _check_rows(states, len(texts))
        windows = row_windows(texts, model.reader, unroll)
        forward = model.compiled_running_forward
    else:
        windows = text_windows(sentences, model.reader, batch, unroll)
        forward = model.compiled_forward
    total, tokens, unknown = _totals(model, windows, forward, progress, states)
    if not tokens:
        raise ValueError("perplexities: expected at least one sentence, received none.")
    return _summary(model, total / tokens, tokens, unknown)


def perplexity_like_bilm(
    model: LanguageModel,
    sentences: Iterable[list[str]],
    batch: int,
    progress: Callable[[int], None] = lambda tokens: None,
) -> dict[str, Any]:
    """The number that bilm-tf's own test gives, with all that is odd about it.

    Each row takes the next sentence when its own runs out and carries its state over.
    The first time that a row finds no sentence ends the test, so what the other rows
    have not read by then is dropped: the more rows, the more.

    Args:
        model: The language model.
        sentences: Lists of words. A blank line is a sentence of no words in bilm.
        batch: Rows.
        progress: Called with the number of tokens done so far.

    Returns:
        What `perplexities` gives, bilm's number being `geometric_mean`, of the tokens
        that were counted; and `dropped`, the number of the others.

    Raises:
        ValueError: There are fewer sentences than rows, for which bilm gives NaN.

    Source: `test` in bilm-tf `bilm/training.py`, `_get_batch` in `bilm/data.py`.
    """
    _check_batch("perplexity_like_bilm", batch)
    found, length = 0, 0

    def counted():
        nonlocal found, length
        for words in sentences:
            found, length = found + 1, length + len(words) + 1
            yield words

    # Which row takes a sentence depends on where the others are: one position a time.
    windows = text_windows(counted(), model.reader, batch, 1, drop_unfinished=True)
    forward = model.compiled_running_forward
    total, tokens, unknown = _totals(model, windows, forward, progress)
    if not tokens:
        raise ValueError(
            f"perplexity_like_bilm: expected at least {batch} sentences, one a row, "
            f"received {found} (bilm's own number is NaN then)."
        )
    facts = _summary(model, total / tokens, tokens, unknown)
    return facts | {"dropped": length - tokens}


def positions_that_fit(model: LanguageModel, batch: int) -> int:
    """Positions of a window whose softmax takes a moderate amount of memory."""
    return max(1, min(UNROLL, _LOGITS // (len(model.vocabulary) * batch)))


def _check_batch(caller, batch):
    if batch < 1:
        raise ValueError(f"{caller}: expected batch >= 1, received {batch}.")


def _check_rows(states, rows):
    found = {state.shape[0] for state in keras.tree.flatten(states)}
    if found != {rows}:
        raise ValueError(
            f"perplexities: expected states of {rows} rows, as many as parts of the "
            f"text, received {sorted(found)}."
        )


def _parts(sentences, batch):
    """Neighbouring sentences together, in `batch` lists or fewer, none empty."""
    bounds = np.linspace(0, len(sentences), min(batch, len(sentences)) + 1).astype(int)
    return [sentences[start:stop] for start, stop in itertools.pairwise(bounds)]


def _totals(model, windows, forward, progress, states=None):
    """Both directions' summed losses; how many tokens, how many of them unknown."""
    total, tokens, unknown = np.zeros(2), 0, 0
    for window in windows:
        states = states or model.get_initial_state(window.inputs.shape[1])
        losses, states = forward(window.arrays(), states)
        total += (losses.astype(np.float64) * window.weights).sum(axis=(1, 2))
        real = window.weights[0] > 0
        tokens += int(real.sum())
        unknown += int((window.targets[0][real] == model.vocabulary.unknown).sum())
        progress(tokens)
    return total, tokens, unknown


def _summary(model, losses, tokens, unknown):
    forward, backward = (float(np.exp(loss)) for loss in losses)
    return {
        "forward": forward,
        "backward": backward,
        "arithmetic_mean": (forward + backward) / 2,
        "geometric_mean": math.sqrt(forward * backward),
        "tokens": tokens,
        "unknown": unknown,
        "vocabulary_size": len(model.vocabulary),
    }
