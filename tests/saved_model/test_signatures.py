"""The signatures of an exported ElmoLayer beside those of TF-Hub's."""

import numpy as np
import pytest
import tensorflow as tf

import keras_elmo
from keras_elmo.saved_model.signatures import elmo_signatures
from tests.helpers import load_golden

SENTENCES = [["The", "cat", "sat"], [], ["Züge"]]
WORDS, LENGTHS = keras_elmo.pad_sentences(SENTENCES)
REAL = (np.arange(3) < LENGTHS[:, None])[:, :, None]


def by_tokens(exported):
    return exported.signatures["tokens"](
        tokens=tf.constant(WORDS), sequence_len=tf.constant(LENGTHS)
    )


def by_ids(exported, ids):
    return exported.signatures["char_ids"](
        char_ids=tf.constant(ids), sequence_len=tf.constant(LENGTHS)
    )


def test_character_ids_give_what_words_give(exported):
    ids = keras_elmo.batch_to_ids(SENTENCES)
    # A server fills up with the first id of a tensor, which is that of a word's start.
    ids[1:][ids[1:] == 0] = ids[0, 0, 0]
    outputs = by_ids(exported, ids)
    for name, expected in by_tokens(exported).items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-6)


def test_many_words_are_served_in_parts_by_their_length(elmo, monkeypatch):
    lengths = tf.constant([70, 20, 70])
    rows = [[f"{'ab' * (i % 23)}{i}" for i in range(j, j + 70)] for j in (0, 50, 100)]
    parted = elmo_signatures(elmo)
    monkeypatch.setattr(elmo.word_layers, "in_parts", False)
    expected = elmo_signatures(elmo)["tokens"](tf.constant(rows), lengths)
    ids = keras_elmo.batch_to_ids(rows)
    ids[1, 19, 0] = 262
    found = parted["char_ids"](tf.constant(ids), lengths)
    for name, wanted in expected.items():
        served = parted["tokens"](tf.constant(rows), lengths)[name]
        np.testing.assert_allclose(served, wanted, atol=1e-6)
        np.testing.assert_allclose(found[name][::2], wanted[::2], atol=1e-6)
    assert np.isnan(found["elmo"][1]).all()


@pytest.mark.parametrize("wrong", [-1, 262, 2**31 - 1])
def test_an_unknown_id_spoils_its_own_row_alone(exported, wrong):
    ids = keras_elmo.batch_to_ids(SENTENCES)
    good = by_ids(exported, ids)
    ids[2, 0, 5] = wrong
    ids[1, 0, 0] = wrong  # behind the row's end, where nothing counts
    outputs = by_ids(exported, ids)
    np.testing.assert_array_equal(outputs["lengths"], LENGTHS)
    for name in set(outputs) - {"lengths"}:
        assert np.isnan(outputs[name][2]).all()
        np.testing.assert_array_equal(outputs[name][:2], good[name][:2])


def test_word_ids_give_what_words_give():
    elmo = load_golden("token_input")
    signatures = elmo_signatures(elmo)
    words = [elmo.vocabulary[5], "not a word of it", elmo.vocabulary[9]]
    ids = [[elmo.vocabulary.index(w) + 1 if w in elmo.vocabulary else 0 for w in words]]
    ids[0][1] = elmo.vocabulary.index("<UNK>") + 1
    lengths = tf.constant([3])
    outputs = signatures["word_ids"](tf.constant(ids), lengths)
    expected = signatures["tokens"](tf.constant([words]), lengths)
    for name in expected:
        np.testing.assert_allclose(outputs[name], expected[name], atol=1e-6)
    ids[0][1] = len(elmo.vocabulary) + 1
    assert np.isnan(signatures["word_ids"](tf.constant(ids), lengths)["elmo"]).all()


def zero_state(exported, rows):
    specs = exported.signatures["stateful"].structured_input_signature[1]
    return {
        name: np.zeros((rows, *specs[name].shape[1:]), np.float32)
        for name in ("state_h", "state_c")
    }


def test_a_state_goes_from_request_to_request(exported):
    chunks = [
        [["The", "cat", "sat"], ["a"]],
        [["on", "the"], ["b", "c"]],
        [["mat"], []],
    ]
    keeps_it = load_golden("tiny", stateful=True)
    state = zero_state(exported, 2)
    for sentences in chunks:
        words, lengths = keras_elmo.pad_sentences(sentences)
        outputs = exported.signatures["stateful"](
            tokens=tf.constant(words), sequence_len=tf.constant(lengths), **state
        )
        expected = keeps_it(words, lengths=lengths)
        np.testing.assert_allclose(outputs["elmo"], expected, atol=1e-6)
        state = {name: outputs[name] for name in state}
    assert all(np.abs(value).max() > 0.01 for value in state.values())


def test_from_zero_a_state_changes_nothing(exported):
    outputs = exported.signatures["stateful"](
        tokens=tf.constant(WORDS),
        sequence_len=tf.constant(LENGTHS),
        **zero_state(exported, 3),
    )
    for name, expected in by_tokens(exported).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=1e-6)


def test_raw_text_is_tokenised(elmo):
    signature = elmo_signatures(elmo, text=True)["text"]
    outputs = signature(tf.constant(["The cat, sat.", ""]))
    words = [[b"The", b"cat", b",", b"sat", b"."], [b""] * 5]
    assert outputs["words"].numpy().tolist() == words
    assert outputs["starts"].numpy().tolist() == [[0, 4, 7, 9, 12], [0] * 5]
    assert outputs["ends"].numpy().tolist() == [[3, 7, 8, 12, 13], [0] * 5]
    expected = elmo(tf.constant(words), lengths=tf.constant([5, 0]))
    np.testing.assert_allclose(outputs["elmo"], expected, atol=1e-6)


@pytest.mark.parametrize("layers", ["mix", "top", "average"])
def test_one_kind_of_vector_is_asked_for(elmo, layers):
    outputs = elmo_signatures(elmo, layers=layers)["default"](
        tf.constant(["The cat sat", "", "Züge"])
    )
    assert set(outputs) == {"elmo", "default", "lengths"}
    every = elmo.all_layers(WORDS).numpy()
    expected = {
        "mix": elmo(WORDS),
        "top": every[:, -1],
        "average": every.mean(axis=1),
    }[layers]
    np.testing.assert_allclose(outputs["elmo"], expected * REAL, atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
def test_a_sentence_is_pooled_over_its_words(elmo, pooling):
    pool = {
        "mean": lambda vectors: vectors.mean(axis=0),
        "max": lambda vectors: vectors.max(axis=0),
        "last": lambda vectors: vectors[-1],
    }[pooling]
    outputs = elmo_signatures(elmo, pooling=pooling)["tokens"](
        # What stands behind a row's end is no part of it.
        tf.constant([["The", "cat", "sat"], ["x"] * 3, ["Züge", "x", "x"]]),
        tf.constant(LENGTHS),
    )
    vectors = elmo(WORDS).numpy()
    for row, length in enumerate(LENGTHS):
        expected = pool(vectors[row, :length]) if length else np.zeros(28)
        np.testing.assert_allclose(outputs["default"][row], expected, atol=1e-6)
