"""Perplexity by the full softmax, every token counted once."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_elmo.pretraining.corpus import windows
from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.text.vocabulary import Vocabulary

UNROLL = 20


def perplexities(
    model: LanguageModel,
    vocabulary: Vocabulary,
    sentences: Iterable[list[str]],
    *,
    max_chars: int,
    batch: int = 32,
    carry_state: bool = False,
    progress: Callable[[int], None] = lambda tokens: None,
) -> dict[str, Any]:
    """Perplexity of each direction on text.

    Every word and every sentence end is predicted once, unknown words as `<UNK>`, and
    each sentence from the zero state, so neither the order of the sentences nor
    `batch` matters.

    Args:
        model: The language model, its LSTMs unrolled.
        vocabulary: Its vocabulary.
        sentences: Lists of words.
        max_chars: Characters a word.
        batch: Rows that are computed at a time.
        carry_state: Start each sentence from the state that the one before in its row
            left, as bilm does.
        progress: Called with the number of tokens done so far.

    Returns:
        `forward`, `backward`, `arithmetic_mean` and `geometric_mean` perplexity;
        `tokens` (words and sentence ends), `unknown` (words), `vocabulary_size`.

    Raises:
        ValueError: There is no sentence.
    """
    counts = {"unknown": 0}

    def counted():
        for words in sentences:
            ids = [vocabulary.id(word) for word in words]
            counts["unknown"] += ids.count(vocabulary.unknown)
            yield words

    states = model.get_initial_state(batch)

    @tf.function(input_signature=[_window_specs(batch), _specs_of(states)])
    def step(window, states):
        return model(window, states, carry_over_sentences=carry_state)

    # Of itself TensorFlow warns where functions like this are made again and again.
    step = step.get_concrete_function()
    total, tokens = np.zeros(2), 0
    widest = model.encoder.char_cnn.widest
    for window in windows(counted(), vocabulary, batch, UNROLL, widest, max_chars):
        losses, states = step(as_tensors(window), states)
        losses = keras.ops.convert_to_numpy(losses).astype(np.float64)
        total += (losses * window.weights).sum(axis=(1, 2))
        tokens += int(window.weights.sum())
        progress(tokens)
    if not tokens:
        raise ValueError("perplexities: expected at least one sentence, received none.")
    forward, backward = (float(p) for p in np.exp(total / tokens))
    return {
        "forward": forward,
        "backward": backward,
        "arithmetic_mean": (forward + backward) / 2,
        "geometric_mean": math.sqrt(forward * backward),
        "tokens": tokens,
        "unknown": counts["unknown"],
        "vocabulary_size": len(vocabulary),
    }


def _window_specs(batch):
    rows = {
        f"{direction}_{kind}": tf.TensorSpec((batch, UNROLL), tf.int32)
        for direction in ("forward", "backward")
        for kind in ("inputs", "targets")
    }
    return rows | {
        "characters": tf.TensorSpec((None, None), tf.int32),
        "starts": tf.TensorSpec((batch, UNROLL), tf.bool),
        "weights": tf.TensorSpec((batch, UNROLL), tf.float32),
    }


def _specs_of(states):
    return keras.tree.map_structure(tf.TensorSpec.from_tensor, states)


def as_tensors(window) -> dict[str, tf.Tensor]:
    """The arrays of a window as tensors, by name."""
    return {
        field.name: tf.constant(getattr(window, field.name))
        for field in dataclasses.fields(window)
    }
