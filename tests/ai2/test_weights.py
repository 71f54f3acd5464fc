"""Built layers filled from arrays of any source, and what is wrong with one."""

import keras
import numpy as np
import pytest

from keras_elmo.ai2.stored_array import StoredArray
from keras_elmo.ai2.weights import (
    assign_entries,
    assign_rows,
    bilm_entries,
    embedding_entries,
)
from keras_elmo.errors import FormatError
from keras_elmo.layers.bilm import BiLM

CELL = "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell"


@pytest.fixture
def bilm():
    bilm = BiLM(4, 2)
    bilm.build((None, None, 2))
    return bilm


def numbers(bilm):
    rng = np.random.default_rng(0)
    return {e.name: rng.standard_normal(e.shape) for e in bilm_entries(bilm)}


def test_any_arrays_that_numpy_reads_will_do(bilm):
    arrays = numbers(bilm)
    reads = []

    def stored(name):
        array = arrays[name]

        def read():
            reads.append(name)
            return array

        return StoredArray(array.shape, array.dtype, read)

    assign_entries(
        "source", {name: stored(name) for name in arrays}, bilm_entries(bilm)
    )
    assert reads == list(arrays)  # each of them once
    for entry in bilm_entries(bilm):
        np.testing.assert_array_equal(entry.value(), arrays[entry.name].astype("f4"))


def test_row_0_of_a_word_embedding_is_the_paddings():
    embedding = keras.layers.Embedding(4, 2)
    embedding.build(None)
    rows = np.arange(6, dtype="float32").reshape(3, 2) + 1
    assign_entries("source", {"embedding": rows}, embedding_entries(embedding))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(embedding.embeddings),
        np.concatenate([np.zeros((1, 2)), rows]),
    )


def test_all_that_is_wrong_is_told_at_once_and_nothing_assigned(bilm):
    arrays = numbers(bilm)
    before = [entry.value() for entry in bilm_entries(bilm)]
    missing, shape, integers, infinite = list(arrays)[:4]
    del arrays[missing]
    arrays[shape] = np.zeros(3)
    arrays[integers] = arrays[integers].astype(int)
    arrays[infinite][0] = np.inf
    arrays |= {"softmax/W": np.zeros(2), "CNN/W_cnn_0": np.zeros(2), "more": np.ones(1)}
    with pytest.raises(FormatError) as caught:
        assign_entries("here", arrays, bilm_entries(bilm), ignored=["softmax/"])
    assert str(caught.value) == (
        f"here: {CELL}/W_0: expected shape (4, 16) (lstm.dim, lstm.projection_dim), "
        f"found nothing. {CELL}/B: expected shape (16,) (lstm.dim, "
        f"lstm.projection_dim), found (3,). {CELL}/W_P_0: expected floats, found "
        "int64. CNN/W_cnn_0: expected no such entry (not in these options), found "
        "shape (2,). more: expected no such entry (unknown), found shape (1,). "
        f"{infinite}: expected finite numbers, found inf."
    )
    for entry, value in zip(bilm_entries(bilm), before, strict=True):
        np.testing.assert_array_equal(entry.value(), value)


def test_what_cannot_be_read_is_named(bilm):
    arrays = numbers(bilm)

    def fail():
        raise OSError("bad sector")

    arrays[f"{CELL}/B"] = StoredArray((16,), np.dtype("f4"), fail)
    with pytest.raises(FormatError, match=f"{CELL}/B: cannot be read: bad sector"):
        assign_entries("here", arrays, bilm_entries(bilm))


def test_a_variable_whose_rows_were_set_is_read_without_a_copy():
    variable = keras.Variable(np.zeros((3, 2), "float32"))
    assign_rows(variable, 1, np.ones((1, 2)))
    buffers = [memoryview(variable.value.read_value()) for _ in range(2)]
    assert np.shares_memory(*map(np.asarray, buffers))
    assign_rows(variable, 0, np.ones((1, 2)))
    np.testing.assert_array_equal(variable.numpy(), [[1, 1], [1, 1], [0, 0]])
