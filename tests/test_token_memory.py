"""Token vectors of words met before: each is encoded once, until there are too many."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from keras_elmo.token_memory import TokenMemory

ROWS = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=6), min_size=1)


class Encoder:
    """The code of a word's only letter as its vector; what was asked for is kept."""

    def __init__(self):
        self.asked = []

    def __call__(self, words):
        self.asked.append(words[0].tolist())
        return np.array([[0], [1], *([ord(word)] for word in words[0])], np.float32)


@given(st.lists(ROWS, max_size=5), st.integers(0, 10))
def test_any_words_have_their_vectors(calls, size):
    memory = TokenMemory(Encoder(), size)
    for rows in calls:
        vectors = memory.look_up(rows)
        assert vectors.shape == (len(rows), max(map(len, rows)), 1)
        for row, found in zip(rows, vectors, strict=True):
            assert found[: len(row), 0].tolist() == [ord(word) for word in row]


def test_a_word_is_encoded_once():
    encoder = Encoder()
    memory = TokenMemory(encoder, size=4)
    memory.look_up([["a", "b", "a"], ["b"]])
    memory.look_up([["c", "a"]])
    memory.look_up([["c", "b"]])
    assert encoder.asked == [["a", "b"], ["c"]]


def test_beyond_its_size_all_words_are_forgotten():
    encoder = Encoder()
    memory = TokenMemory(encoder, size=2)
    memory.look_up([["a", "b"]])
    memory.look_up([["c", "a"]])
    memory.look_up([["a"]])
    memory.look_up([["b"]])
    assert encoder.asked == [["a", "b"], ["c", "a"], ["b"]]


def test_of_size_0_nothing_is_remembered():
    encoder = Encoder()
    memory = TokenMemory(encoder, size=0)
    for _ in range(2):
        memory.look_up([["a", "b"]])
    assert encoder.asked == [["a", "b"]] * 2


def test_boundaries_are_known_before_and_after_words():
    encoder = Encoder()
    memory = TokenMemory(encoder, size=4)
    assert memory.boundaries()[:, 0].tolist() == [0, 1]
    found = memory.look_up([["<S>", "a", "</S>"]])
    assert found[0, :, 0].tolist() == [0, ord("a"), 1]
    assert memory.boundaries()[:, 0].tolist() == [0, 1]
    assert encoder.asked == [[], ["a"]]
