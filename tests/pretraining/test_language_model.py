"""`LanguageModel` against float64 NumPy; bilm's own steps are in the parity test."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.pretraining.sampling import LogUniformSampler, sampled_rows
from keras_elmo.pretraining.windows import text_windows
from tests.helpers import as_numpy, assert_close
from tests.layers import references
from tests.pretraining import small_models

SENTENCES = [["the", "cat", "ran"], ["naïve", "unknownword"], ["it"]]
KINDS = {
    "characters": small_models.random_model,
    "words": small_models.random_word_model,
    "shared": lambda: small_models.random_word_model(share_embedding_softmax=True),
}


@pytest.fixture(scope="module")
def models():
    return {kind: make() for kind, make in KINDS.items()}


@pytest.fixture(scope="module")
def model(models):
    return models["characters"]


@pytest.fixture(params=KINDS)
def every_model(models, request):
    return models[request.param]


def window_of(model, sentences):
    """All of `sentences` in one row."""
    unroll = sum(len(words) + 1 for words in sentences)
    (window,) = text_windows(sentences, model.reader, 1, unroll)
    return window


def run(model, window, states=None, more=None, **kwargs):
    states = states or model.get_initial_state(window.inputs.shape[1])
    return model(window.arrays() | (more or {}), states, **kwargs)


# Losses.


def test_losses_equal_the_reference(every_model):
    for words in SENTENCES:
        losses, _ = run(every_model, window_of(every_model, [words]))
        expected = small_models.expected_losses(every_model, words)
        assert_close(losses[:, 0], expected, rtol=1e-5)


def test_what_stood_before_a_sentence_has_no_influence(model):
    states = keras.tree.map_structure(lambda s: s + 0.5, model.get_initial_state(1))
    together, _ = run(model, window_of(model, SENTENCES), states)
    alone = [small_models.expected_losses(model, words) for words in SENTENCES]
    assert_close(together[:, 0], np.concatenate(alone, axis=1), rtol=1e-5)


def test_state_is_carried_from_window_to_window(model):
    whole, whole_states = run(model, window_of(model, [SENTENCES[0]]))
    states, parts = None, []
    for window in text_windows([SENTENCES[0]], model.reader, 1, 2):
        losses, states = run(model, window, states)
        parts.append(as_numpy(losses))
    assert_close(np.concatenate(parts, axis=-1), whole)
    assert_close(states, whole_states)


def test_state_is_carried_over_sentences_on_request(every_model):
    window = window_of(every_model, SENTENCES)
    losses, _ = run(every_model, window, carry_over_sentences=True)
    expected = small_models.expected_losses(every_model, *SENTENCES)
    assert_close(losses[:, 0], expected, rtol=1e-5)
    assert np.abs(as_numpy(losses) - as_numpy(run(every_model, window)[0])).max() > 0.01


def test_unrolled_and_scanned_models_give_the_same_losses(model):
    scanned = small_models.random_model(unroll=False)
    window = window_of(model, SENTENCES)
    assert_close(run(scanned, window), list(run(model, window)))


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_losses_are_float32_in_half_precision(model, dtype):
    half = small_models.random_model(dtype=dtype)
    window = window_of(model, SENTENCES)
    losses, states = run(half, window)
    assert losses.dtype == "float32"
    assert all(cell.dtype == "float32" for stack in states for _, cell in stack)
    assert half.softmax_kernel.dtype == half.softmax_bias.dtype == "float32"
    assert_close(losses, run(model, window)[0], rtol=0.1, atol=0.1)


# The words that a window holds, each of which is encoded once.


def plain(window):
    """The same window with each position's word for itself, repeated or not."""
    positions = window.inputs.size
    places = np.arange(positions, dtype=np.int32).reshape(window.inputs.shape)
    return window.arrays() | {"words": window.words[window.inputs], "inputs": places}


@pytest.mark.parametrize("sampled", [False, True])
def test_encoding_each_word_once_is_exact(every_model, sampled):
    sentences = [["the", "cat", "the", "cat"], ["the", "cat", "ran"]]
    window = window_of(every_model, sentences)
    arrays, repeated = window.arrays(), plain(window)
    repeated["words"] = repeated["words"].reshape(-1, *window.words.shape[1:])
    assert len(repeated["words"]) == 18 and len(window.words) == 5
    if sampled:
        more = sampled_rows(window, LogUniformSampler(25, 8), 0)
        arrays, repeated = arrays | more, repeated | more
    once, plainly = (losses_and_gradients(every_model, x) for x in (arrays, repeated))
    assert_close(once[0], plainly[0])
    for variable, a, b in zip(
        every_model.trainable_variables, once[1], plainly[1], strict=True
    ):
        assert np.abs(b).max() > 1e-6, variable.path
        assert_close(a, b, rtol=1e-5, atol=1e-6)


def losses_and_gradients(model, arrays):
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape() as tape:
        losses, _ = model(arrays, model.get_initial_state(1))
        total = tf.reduce_mean(losses)
    gradients = tape.gradient(total, variables)
    return losses, [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


# The sampled softmax.


def test_sampling_the_whole_vocabulary_equals_the_full_softmax(every_model):
    window = window_of(every_model, SENTENCES)
    every = np.arange(25, dtype=np.int32)
    more = {
        "rows": every,
        "true": window.targets,
        "negatives": np.stack([every, every]),  # the targets too: they are hits
        "true_expected": np.ones((2, 1, 9), np.float32),
        "negatives_expected": np.ones((2, 25), np.float32),
    }
    losses, _ = run(every_model, window, more=more)
    assert_close(losses, run(every_model, window)[0])


@pytest.mark.parametrize("direction", [0, 1])
def test_sampled_losses_are_corrected_by_the_expected_counts(every_model, direction):
    window = window_of(every_model, SENTENCES)
    sampler = LogUniformSampler(25, 8)
    losses, _ = run(every_model, window, more=sampled_rows(window, sampler, 0))
    bilm = every_model.bilm
    stack = (bilm.forward_stack, bilm.backward_stack)[direction]
    vectors = small_models.vectors(every_model, words_read(direction))
    reset = window.starts[direction]
    top = references.stack(vectors, stack, reset=reset)[0][-1][0]
    kernel, bias = small_models.softmax_weights(every_model)
    negatives, tries = sampler.draw(0, direction)
    for t, target in enumerate(window.targets[direction, 0]):
        ids = [target, *(k for k in negatives if k != target)]
        logits = kernel[ids] @ top[t] + bias[ids]
        logits -= np.log(sampler.expected_counts(ids, tries))
        expected = np.log(np.exp(logits).sum()) - logits[0]
        np.testing.assert_allclose(losses[direction, 0, t], expected, rtol=1e-4)


def words_read(direction):
    if direction == 0:
        return [word for words in SENTENCES for word in ("<S>", *words)]
    return [word for words in SENTENCES for word in ("</S>", *words[::-1])]


def test_gradient_of_the_sampled_softmax_has_each_row_once(model):
    window = window_of(model, SENTENCES)
    arrays = window.arrays() | sampled_rows(window, LogUniformSampler(25, 8), 0)
    variable = model.softmax_kernel.value
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(arrays, model.get_initial_state(1))[0])
    gradient = tape.gradient(loss, variable)
    rows = gradient.indices.numpy().tolist()
    assert rows == arrays["rows"].tolist() and len(rows) < 25


# Dropout.


def test_dropout_follows_from_seed_and_step_alone():
    model = small_models.random_model(dropout=0.5)
    window = window_of(model, SENTENCES)

    def losses(seed, step, training=True):
        model.seed_dropout(seed, step)
        return as_numpy(run(model, window, training=training)[0])

    first = losses(3, 7)
    losses(3, 8)
    np.testing.assert_array_equal(losses(3, 7), first)
    for seed, step in ((3, 8), (4, 7)):
        assert (losses(seed, step) != first).all()
    assert_close(losses(3, 7, False), run(small_models.random_model(), window)[0])


# Arguments.


def test_sharing_needs_word_input():
    with pytest.raises(ValueError, match="LanguageModel: expected word input with sh"):
        LanguageModel(
            CharacterEncoder(projection_dim=8),
            BiLM(16, 8),
            small_models.vocabulary(),
            share_embedding_softmax=True,
        )


def test_embedding_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"an embedding of 26 rows .*received 25\."):
        LanguageModel(
            keras.layers.Embedding(25, 8), BiLM(16, 8), small_models.vocabulary()
        )
