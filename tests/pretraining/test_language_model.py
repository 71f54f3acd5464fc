"""`LanguageModel` against float64 NumPy; bilm's own steps are in the parity test."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_elmo.pretraining.corpus import windows
from keras_elmo.pretraining.evaluate import as_tensors
from keras_elmo.pretraining.sampling import LogUniformSampler, sampled_rows
from tests.helpers import assert_close
from tests.layers import references
from tests.pretraining import small_models

SENTENCES = [["the", "cat", "ran"], ["naïve", "unknownword"], ["it"]]


@pytest.fixture(scope="module")
def model():
    return small_models.random_model()


def window_of(sentences):
    """All of `sentences` in one row."""
    unroll = sum(len(words) + 1 for words in sentences)
    (window,) = windows(sentences, small_models.vocabulary(), 1, unroll, 3, 12)
    return window


def run(model, window, states=None, **kwargs):
    states = states or model.get_initial_state(len(window.weights))
    return model(as_tensors(window), states, **kwargs)


def test_losses_equal_the_reference(model):
    for words in SENTENCES:
        losses, _ = run(model, window_of([words]))
        expected = small_models.expected_losses(model, words)
        assert_close(np.array(losses)[:, 0], expected, rtol=1e-5)


def test_what_stood_before_a_sentence_has_no_influence(model):
    states = keras.tree.map_structure(lambda s: s + 0.5, model.get_initial_state(1))
    together, _ = run(model, window_of(SENTENCES), states)
    alone = [small_models.expected_losses(model, words) for words in SENTENCES]
    assert_close(np.array(together)[:, 0], np.concatenate(alone, axis=1), rtol=1e-5)


def test_state_is_carried_from_window_to_window(model):
    whole, whole_states = run(model, window_of([SENTENCES[0]]))
    states, parts = None, []
    for window in windows([SENTENCES[0]], small_models.vocabulary(), 1, 2, 3, 12):
        losses, states = run(model, window, states)
        parts.append(np.array(losses))
    assert_close(np.concatenate(parts, axis=-1), whole)
    assert_close(states, whole_states)


def test_state_is_carried_over_sentences_on_request(model):
    losses, _ = run(model, window_of(SENTENCES), carry_over_sentences=True)
    kinds = [
        ("forward", model.bilm.forward_stack),
        ("backward", model.bilm.backward_stack),
    ]
    window = window_of(SENTENCES)
    for i, (name, stack) in enumerate(kinds):
        ids = window.characters[getattr(window, f"{name}_inputs")]
        tokens = references.encoder(ids, model.encoder)
        top = references.stack(tokens, stack)[0][-1][0]
        targets = getattr(window, f"{name}_targets")[0]
        expected = small_models.softmax_losses(model, top, targets)
        assert_close(np.array(losses)[i, 0], expected, rtol=1e-5)
    assert np.abs(losses - run(model, window)[0]).max() > 0.01


def test_unrolled_and_scanned_models_give_the_same_losses(model):
    scanned = small_models.random_model(unroll=False)
    assert_close(
        run(scanned, window_of(SENTENCES)), list(run(model, window_of(SENTENCES)))
    )


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_losses_are_float32_in_half_precision(model, dtype):
    half = small_models.random_model(dtype=dtype)
    window = window_of(SENTENCES)
    losses, _ = run(half, window)
    assert losses.dtype == "float32"
    assert_close(losses, run(model, window)[0], rtol=0.1, atol=0.1)


def test_sampling_the_whole_vocabulary_equals_the_full_softmax(model):
    window = window_of(SENTENCES)
    every = np.arange(25, dtype=np.int32)
    arrays = as_tensors(window) | {"rows": tf.constant(every)}
    for name in ("forward", "backward"):
        arrays[f"{name}_true"] = arrays[f"{name}_targets"]
        arrays[f"{name}_true_expected"] = tf.ones((1, 9))
        arrays[f"{name}_negatives"] = tf.constant(every)  # the target too: a hit
        arrays[f"{name}_negatives_expected"] = tf.ones(25)
    losses, _ = model(arrays, model.get_initial_state(1))
    assert_close(losses, run(model, window)[0])


def test_sampled_losses_are_corrected_by_the_expected_counts(model):
    window = window_of(SENTENCES)
    sampler = LogUniformSampler(25, 8)
    states = model.get_initial_state(1)
    losses, _ = model(as_tensors(window) | sampled_rows(window, sampler, 0), states)
    tokens = references.encoder(window.characters[window.forward_inputs], model.encoder)
    reset = window.starts
    top = references.stack(tokens, model.bilm.forward_stack, reset=reset)[0][-1][0]
    kernel, bias = map(references.array, (model.softmax_kernel, model.softmax_bias))
    negatives, tries = sampler.draw(0, 0)
    for t, target in enumerate(window.forward_targets[0]):
        ids = [target, *(k for k in negatives if k != target)]
        logits = kernel[ids] @ top[t] + bias[ids]
        logits -= np.log(sampler.expected_counts(ids, tries))
        expected = np.log(np.exp(logits).sum()) - logits[0]
        np.testing.assert_allclose(losses[0, 0, t], expected, rtol=1e-4)


def test_gradient_of_the_sampled_softmax_has_each_row_once(model):
    window = window_of(SENTENCES)
    arrays = as_tensors(window) | sampled_rows(window, LogUniformSampler(25, 8), 0)
    states = model.get_initial_state(1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(arrays, states)[0])
    variables = [v.value for v in model.trainable_variables]
    for variable, gradient in zip(
        variables, tape.gradient(loss, variables), strict=True
    ):
        if isinstance(gradient, tf.IndexedSlices):
            rows = gradient.indices.numpy().tolist()
            assert len(set(rows)) == len(rows), variable.name
            gradient = gradient.values
        assert np.isfinite(gradient).all(), variable.name
