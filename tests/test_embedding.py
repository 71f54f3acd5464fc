"""Vectors of many sentences: in order, each as alone, whatever shares its batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.embedding import SentenceEmbedder, _batches, _groups, embed_sentences
from keras_elmo.text.characters import pad_sentences
from tests.helpers import assert_close, load_golden, randomize

TEXT = ["The", "cat", "", "sat", "on", "<S>", "incomprehensibilities", "naïve", "."]


@pytest.fixture(scope="module")
def elmo():
    elmo = load_golden("tiny")
    elmo.mixes[0].raw_weights.assign([0.5, -1.0, 2.0])
    return elmo


@pytest.fixture(scope="module")
def small_batches(elmo):
    return SentenceEmbedder(elmo, batch_tokens=6)


def with_boundaries(elmo, words):
    """All layers of one sentence, with a step at each boundary."""
    reading = elmo.reader.read(tf.constant([words]), tf.constant([len(words)]))
    return elmo.word_layers.from_state(reading)[0][0, :, 1:-1]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.sampled_from(TEXT), max_size=14), max_size=12))
def test_each_sentence_is_as_alone(elmo, small_batches, sentences):
    found = dict(pair for batch in small_batches.embed(sentences) for pair in batch)
    assert sorted(found) == list(range(len(sentences)))
    for number, words in enumerate(sentences):
        if words:
            assert_close(found[number], with_boundaries(elmo, words), 0, atol=4e-6)
        else:
            assert found[number].shape == (3, 0, 28)


def by_words():
    return load_golden("token_input")


def by_characters():
    return load_golden("tiny")


def with_a_cache():
    elmo = load_golden("tiny")
    elmo.cache_tokens(TEXT[:3])
    return elmo


def in_bfloat16():
    return load_golden("tiny", dtype="mixed_bfloat16")


@pytest.mark.parametrize(
    ("model", "remembered_words"),
    [
        (by_characters, 1),
        (by_characters, 7),
        (by_characters, 100),
        (by_words, 7),
        (with_a_cache, 7),
        (in_bfloat16, 7),
    ],
)
def test_what_is_remembered_does_not_show(model, remembered_words):
    elmo = model()
    text = [*TEXT, "</S>"]
    sentences = [text[i:] + text[:i] for i in range(len(text))]
    sentences += [["new", "words"], text * 3]
    whole = list(embed_sentences(elmo, sentences, "top"))
    found = list(embed_sentences(elmo, sentences, "top", 20, remembered_words))
    # bfloat16 products are rounded otherwise with other rows beside them.
    atol = 2e-2 if model is in_bfloat16 else 2e-6
    for one, other in zip(whole, found, strict=True):
        assert_close(one, other, 0, atol=atol)


def asked_words(monkeypatch, embedder, sentences):
    """All words that are encoded for the memory."""
    asked = []

    def recorded(rows):
        asked.extend(rows[0])
        return pad_sentences(rows)

    monkeypatch.setattr("keras_elmo.token_memory.pad_sentences", recorded)
    for _ in embedder.embed(sentences):
        pass
    return asked


def test_over_several_batches_each_word_is_encoded_once(elmo, monkeypatch):
    sentences = [["a", "b"], ["a", "c"], ["c", "b"], ["a", "b", "c", "d", "a"]]
    asked = asked_words(monkeypatch, SentenceEmbedder(elmo, batch_tokens=4), sentences)
    assert sorted(asked) == ["a", "b", "c", "d"]


def test_a_single_batch_and_no_memory_take_one_graph(elmo, monkeypatch):
    sentences = [["a", "b"], ["a", "c"]]
    assert asked_words(monkeypatch, SentenceEmbedder(elmo), sentences) == []
    embedder = SentenceEmbedder(elmo, batch_tokens=2, remembered_words=0)
    assert asked_words(monkeypatch, embedder, sentences) == []


def test_iterators_do_not_disturb_each_other(elmo):
    embedder = SentenceEmbedder(elmo, batch_tokens=3, remembered_words=2)
    texts = [[word, "a"] for word in TEXT], [["b", word] for word in reversed(TEXT)]
    both = zip(*(embedder.embed(text) for text in texts), strict=True)
    for found in both:
        for text, batch in zip(texts, found, strict=True):
            for number, vectors in batch:
                expected = with_boundaries(elmo, text[number])
                assert_close(vectors, expected, 0, atol=4e-6)


@pytest.mark.parametrize("count", [1, 100])
def test_a_string_is_no_sentence(elmo, count):
    sentences = [["a", "word"]] * count + ["The cat sat ."]
    with pytest.raises(ValueError, match=f"sentence {count} to be a list of words"):
        list(embed_sentences(elmo, sentences, batch_tokens=8))


def test_nothing_is_remembered_of_weights_before():
    elmo = load_golden("tiny")
    embedder = SentenceEmbedder(elmo, batch_tokens=4)
    sentences = [["a", "word"]] * 5
    before = dict(pair for batch in embedder.embed(sentences) for pair in batch)
    randomize(elmo.token_encoder)
    after = dict(pair for batch in embedder.embed(sentences) for pair in batch)
    assert np.abs(before[0] - after[0]).max() > 1e-3
    assert_close(after[0], with_boundaries(elmo, ["a", "word"]), 0, atol=4e-6)


@pytest.mark.parametrize("layers", ["all", "top", "average", "mix"])
def test_windows_of_a_long_sentence_do_not_show(layers, elmo):
    sentences = [TEXT * 3, TEXT[:2]]
    whole = list(embed_sentences(elmo, sentences, layers))
    cut = list(embed_sentences(elmo, sentences, layers, batch_tokens=7))
    for one, other in zip(whole, cut, strict=True):
        assert one.dtype == other.dtype == np.float32
        assert_close(one, other, 0, atol=2e-6)


def test_long_sentences_of_any_length_are_traced_once(elmo):
    embedder = SentenceEmbedder(elmo, batch_tokens=4)
    sentences = [TEXT[:count] for count in range(5, 10)]
    assert len(list(embedder.embed(sentences))) == 5
    counts = {w.experimental_get_tracing_count() for w in embedder._windows}
    assert counts == {1}


def test_a_long_sentences_words_are_as_they_are(elmo):
    words = ["a\0", "a"]
    (short,) = embed_sentences(elmo, [words])
    (cut,) = embed_sentences(elmo, [words], batch_tokens=1)
    assert_close(cut, short, 0, atol=2e-6)
    assert np.abs(short[0, 0] - short[0, 1]).max() > 1e-3


def test_a_stateful_layers_state_stays(elmo):
    other = load_golden("tiny", stateful=True, keep_sentence_boundaries=True)
    other(np.array([["some", "state"]]))
    states = keras.tree.flatten(other._state.variables)
    before = [state.numpy() for state in states]
    assert all(np.any(state[0]) for state in before)
    (found,) = embed_sentences(other, [TEXT])
    assert_close([state.numpy() for state in states], before, 0, 0)
    assert_close(found, with_boundaries(elmo, TEXT), 0, atol=2e-6)


def test_sentences_are_read_as_they_are_needed(elmo):
    taken = []
    vectors = embed_sentences(
        elmo, (taken.append(i) or ["a"] for i in range(100)), batch_tokens=1
    )
    next(vectors)
    assert len(taken) == 64
    assert len(list(vectors)) == 99 and len(taken) == 100


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 50))
def test_batches_hold_each_sentence_once_and_few_words(lengths, tokens):
    items = [(i, ["w"] * length) for i, length in enumerate(lengths)]
    found = []
    for group in _groups(items, 4 * tokens):
        for batch in _batches(group, tokens):
            longest = max(1, *(len(words) for _, words in batch), 1)
            assert len(batch) == 1 or len(batch) * longest <= tokens
            found += batch
    assert sorted(found) == items


def test_padding_is_less_than_a_twentieth_of_words_in_file_order():
    rng = np.random.default_rng(0)
    lengths = rng.gamma(2.2, 10, 20_000).astype(int) + 1  # mean 23, up to about 130
    items = [(i, ["w"] * length) for i, length in enumerate(lengths)]
    computed = sum(
        len(batch) * len(batch[0][1])
        for group in _groups(items, 64 * 2048)
        for batch in _batches(group, 2048)
    )
    assert lengths.sum() <= computed < 1.05 * lengths.sum()


def test_the_backend_has_to_be_tensorflow(elmo, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(ValueError, match="TensorFlow backend .* this is jax"):
        embed_sentences(elmo, [["a"]])
