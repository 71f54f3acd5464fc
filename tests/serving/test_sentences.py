"""How sentences are checked and split into requests."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.serving.sentences import (
    Splitter,
    check_sentences,
    split,
    split_async,
    words_of,
)

QUICKLY = settings(max_examples=100, deadline=None)
SIZES = st.lists(st.integers(0, 12), max_size=40)


def brute_force(sizes, batch_size, max_words):
    """The longest groups, one after the other, that keep within both numbers."""
    groups, start = [], 0
    while start < len(sizes):
        end = start + 1
        while end < len(sizes) and end - start < batch_size:
            group = [max(1, size) for size in sizes[start : end + 1]]
            if len(group) * max(group) > max_words:
                break
            end += 1
        groups.append(sizes[start:end])
        start = end
    return groups


@QUICKLY
@given(SIZES, st.integers(1, 6), st.integers(1, 40), st.booleans())
def test_requests_are_as_large_as_both_bounds_allow(sizes, most, max_words, raw):
    sentences = [["w"] * size for size in sizes]
    if raw:
        sentences = [" ".join(words) for words in sentences]
    expected = brute_force(sizes, most, max_words)
    found = list(split(sentences, Splitter(most, max_words)))
    assert [[len(words_of(s)) for s in batch] for batch in found] == expected
    assert [s for batch in found for s in batch] == sentences

    async def feed():
        for sentence in sentences:
            yield sentence

    async def collect(source):
        return [b async for b in split_async(source, Splitter(most, max_words))]

    assert asyncio.run(collect(sentences)) == found
    assert asyncio.run(collect(feed())) == found


@QUICKLY
@given(st.integers(1, 6), st.integers(1, 40), SIZES)
def test_a_full_request_does_not_wait_for_the_next_sentence(most, max_words, sizes):
    splitter = Splitter(most, max_words)
    waiting = 0
    for size in sizes:
        done = splitter.add(["w"] * size)
        waiting += 1 - sum(map(len, done))
        assert waiting < most


def test_punctuation_counts_where_it_may_become_words():
    assert len(list(split(["a,b;c"] * 4, Splitter(64, 10)))) == 2
    assert len(list(split([b"a,b;c"] * 4, Splitter(64, 10)))) == 2


def test_strings_are_split_as_the_signature_default_does():
    assert words_of(" a\u00a0b\tc  d\n") == ["a\u00a0b".encode(), b"c", b"d"]
    assert words_of(("a b", "c")) == ["a b", "c"]


@pytest.mark.parametrize(
    "sentences, message",
    [
        (["a", ["b"]], r"sentences\[1\]: .* received both"),
        ([["a"], ["b"], b"c"], r"sentences\[2\]: .* received both"),
        ([["a"], None], r"sentences\[1\]: expected str or a list .* NoneType"),
        ([{"a"}], r"sentences\[0\]: .* received set"),
        ([np.array([["a"]])], r"sentences\[0\]: .* received ndarray"),
        ([["a", 5]], r"sentences\[0\]: expected words of type str, received 5"),
        ([[["a"]]], r"expected words of type str, received \['a'\]"),
    ],
)
def test_what_is_no_sentence_is_told_by_its_place(sentences, message):
    with pytest.raises(ValueError, match=message):
        list(split(sentences, Splitter(64, 100)))


@pytest.mark.parametrize("sentences", ["a cat", b"a cat", {"a": 1}, 5, None])
def test_what_is_no_collection_is_rejected(sentences):
    with pytest.raises(ValueError, match="sentences: expected a list"):
        check_sentences(sentences)


def test_an_asynchronous_collection_is_for_the_asynchronous_client():
    async def feed():
        yield "a"

    source = feed()
    check_sentences(source, also_async=True)
    with pytest.raises(ValueError, match="received async_generator"):
        check_sentences(source)


@pytest.mark.parametrize("bad", [0, -1, 1.5, None])
def test_sizes_are_whole_numbers_from_one(bad):
    with pytest.raises(ValueError, match="batch_size: expected an int >= 1, received"):
        Splitter(bad, 1)
    with pytest.raises(ValueError, match="max_words: expected an int >= 1, received"):
        Splitter(1, bad)
