"""Cached token vectors change nothing but the time."""

import h5py
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_elmo
from tests.helpers import GOLDEN, assert_close, load_golden

TINY = GOLDEN / "tiny"
LISTED = [
    "the",
    "a\0",
    "cat",
    "naïve",
    "",
    "<S>",
    "the",
    "x" * 60,
    "</S>",
    "incomprehensible",
]
OTHERS = ["a", "The", "dog", "y" * 60, "<UNK>", "…"]


@pytest.fixture(scope="module")
def plain():
    return load_golden("tiny")


@pytest.fixture(scope="module")
def caching():
    elmo = load_golden("tiny")
    elmo.cache_tokens(LISTED)
    return elmo


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(LISTED + OTHERS), max_size=6), min_size=1))
def test_listed_words_and_others_have_the_vectors_they_had(plain, caching, sentences):
    words, lengths = keras_elmo.pad_sentences(sentences)
    assert_close(
        caching.all_layers(words, lengths), plain.all_layers(words, lengths), 0, 2e-6
    )


@pytest.mark.parametrize("kind", ["stateful", "with boundaries", "ids", "half"])
def test_other_ways_in_agree_too(kind):
    arguments = {
        "stateful": {"stateful": True},
        "with boundaries": {"keep_sentence_boundaries": True},
        "half": {"dtype": "mixed_bfloat16"},
    }
    elmo, other = (load_golden("tiny", **arguments.get(kind, {})) for _ in range(2))
    other.cache_tokens(LISTED)
    words = np.array([["the", "dog", "naïve"], ["cat", "", ""]])
    if kind == "ids":
        words = keras_elmo.batch_to_ids([["the", "dog", "naïve"], ["cat"]])
    for _ in range(2):
        assert_close(other(words), elmo(words), 0, 2e-2 if kind == "half" else 2e-6)


def test_listed_words_are_not_spelled(caching):
    reading = caching.reader.read(tf.constant([["the", "dog", "cat", "the"]]))
    assert reading.cached.numpy().tolist() == [-1, -1, 0, -1, 2]
    assert reading.places.numpy().tolist() == [[2, 3, 4, 2]]
    assert reading.ids.shape[0] == 3  # <S>, </S> and dog


def test_a_second_list_takes_the_place_of_the_first():
    elmo = load_golden("tiny")
    for words in (["the", "cat"], ["cat"]):
        elmo.cache_tokens(words)
        assert elmo.reader.cache.vectors.shape[0] == len(words)
    assert_close(
        elmo(np.array([["the"]])), load_golden("tiny")(np.array([["the"]])), 0, 2e-6
    )


def test_an_exported_cache_answers_alike(tmp_path, caching, plain):
    words = ["the dog sat", "cat naïve"]
    answers = []
    for i, elmo in enumerate((caching, plain)):
        folder = keras_elmo.export_saved_model(elmo, tmp_path / str(i))
        default = tf.saved_model.load(folder).signatures["default"]
        answers.append(default(tf.constant(words))["elmo"])
    assert_close(*answers, 0, 2e-6)


def test_what_can_not_be_cached_is_refused(caching):
    with pytest.raises(ValueError, match="expected words, received none"):
        caching.cache_tokens(["<S>"])
    with pytest.raises(ValueError, match="fine_tune=False, received one that trains"):
        load_golden("tiny", fine_tune=True).cache_tokens(["a"])
    elmo = load_golden("token_input")
    with pytest.raises(ValueError, match="received one with a vocabulary"):
        elmo.cache_tokens(["a"])


def test_token_embeddings_are_those_that_bilm_writes(plain, tmp_path):
    folder = GOLDEN / "token_input"
    path = tmp_path / "embedding.hdf5"
    keras_elmo.save_token_embeddings(plain, folder / "vocab.txt", path)
    with h5py.File(path) as ours, h5py.File(folder / "vocab_embedding.hdf5") as bilm:
        assert set(ours) == set(bilm) == {"embedding"}
        assert ours["embedding"].dtype == bilm["embedding"].dtype == np.float32
        assert_close(ours["embedding"][...], bilm["embedding"][...], 0, atol=2e-6)
    elmo = keras_elmo.load_ai2(
        folder / "options.json",
        folder / "lm_weights.hdf5",
        embedding_file=path,
        vocabulary_file=folder / "vocab.txt",
    )
    words = np.array([["the", "cat"]])
    assert_close(elmo(words), plain(words), 0, atol=2e-6)
    with pytest.raises(ValueError, match="received one with a vocabulary"):
        keras_elmo.save_token_embeddings(elmo, folder / "vocab.txt", path)
