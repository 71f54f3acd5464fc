"""Shards of text: read, counted, and as an endless stream that can be resumed."""

import gzip
import itertools
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.errors import FormatError
from keras_elmo.pretraining import corpus
from keras_elmo.pretraining.corpus import (
    SentenceStream,
    count_corpus,
    find_shards,
    read_sentences,
)
from keras_elmo.text.vocabulary import SPECIALS, Vocabulary


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK", 4)


def write(path, lines):
    """Lines as a file, compressed where its name says so."""
    text = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return str(path)


@pytest.fixture
def shards(tmp_path):
    """30 sentences, each of its own, in three shards of which one is compressed."""
    return [
        write(tmp_path / "a.txt", ["", *(f"a {i}" for i in range(11)), "  "]),
        write(tmp_path / "b.txt.gz", [f"b {i}" for i in range(9)]),
        write(tmp_path / "c.txt", [f"c {i}" for i in range(10)]),
    ]


# Text files.


def test_shards_are_found_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("b.txt", "a.txt", "c.gz"):
        (tmp_path / name).touch()
    assert find_shards(f"{tmp_path}/*.txt") == [
        f"{tmp_path}/a.txt",
        f"{tmp_path}/b.txt",
    ]
    assert find_shards("~/c.*") == [f"{tmp_path}/c.gz"]
    with pytest.raises(FileNotFoundError, match="none.*: expected at least one file"):
        find_shards(f"{tmp_path}/none*")


def test_shards_are_read_one_after_another_compressed_or_not(tmp_path):
    (tmp_path / "a.txt").write_text("na\u00efve  words \n\n \t\nlast", encoding="utf-8")
    write(tmp_path / "b.gz", ["from gzip", "", "more"])
    sentences = read_sentences(find_shards(f"{tmp_path}/*"))
    assert list(sentences) == [["naïve", "words"], ["last"], ["from", "gzip"], ["more"]]


def test_blank_lines_are_sentences_of_no_words_on_request(tmp_path):
    path = write(tmp_path / "a.txt", ["a", "", "b"])
    assert list(read_sentences([path], keep_blank_lines=True)) == [["a"], [], ["b"]]


def test_only_a_newline_ends_a_line(tmp_path):
    text = "a\u2028b\x85c\x0bd\x1ce\nf\r\ng\rh\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    sentences = list(read_sentences([tmp_path / "a.txt"]))
    assert sentences == [["a", "b", "c", "d", "e"], ["f"], ["g", "h"]]


def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("the cat\n\ufeffthe dog\n", "utf-8-sig")
    expected = [["the", "cat"], ["\ufeffthe", "dog"]]
    assert list(read_sentences([path])) == expected
    assert sorted(take(SentenceStream([str(path)], 0), 2)) == [
        "the cat",
        "\ufeffthe dog",
    ]


@pytest.mark.parametrize("name", ["bad.txt", "bad.gz"])
def test_bad_utf8_names_file_and_line(tmp_path, name):
    content = b"fine\n\nna\xefve\nfine\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name == "bad.gz" else content)
    sentences = read_sentences([str(path)])
    assert next(sentences) == ["fine"]
    with pytest.raises(FormatError, match=rf"{name}: line 3: expected UTF-8"):
        next(sentences)
    replaced = list(read_sentences([str(path)], errors="replace"))
    assert replaced == [["fine"], ["na\ufffdve"], ["fine"]]


def damages(data):
    """Ways in which compressed text may be damaged, each somewhere else."""
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0xFF
    return [data[:-20], data[:5], b"text", bytes(changed)]


@pytest.mark.parametrize("kind", range(4))
def test_damaged_gzip_names_the_file(tmp_path, kind):
    text = "\n".join(map(str, range(1000))).encode()
    path = tmp_path / "bad.gz"
    path.write_bytes(damages(gzip.compress(text))[kind])
    with pytest.raises(FormatError, match="bad.gz: after byte .*: expected gzip data"):
        list(read_sentences([str(path)]))


def test_absent_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        list(read_sentences([tmp_path / "none.txt"]))


# Counts.


@pytest.mark.parametrize("gathered", [1, 3, 1000])
def test_counts_are_those_of_the_text(tmp_path, monkeypatch, gathered):
    monkeypatch.setattr(corpus, "_COUNTED", gathered)
    vocabulary = Vocabulary([*SPECIALS, "a", "b", "c"])
    empty = write(tmp_path / "empty.txt", ["", " "])
    paths = [write(tmp_path / "1.txt", ["a b a", "b x"]), empty]
    paths.append(write(tmp_path / "2.gz", ["", "a y <UNK>"]))
    counts = count_corpus(paths, vocabulary)
    assert counts.occurrences.tolist() == [3, 3, 3, 3, 2, 0]
    assert counts.facts() == {
        "sentences": 3,
        "words": 8,
        "unknown": 3,
        "tokens": 11,
        "empty": [empty],
    }


def test_text_without_a_sentence_counts_nothing(tmp_path):
    counts = count_corpus([write(tmp_path / "a.txt", [])], Vocabulary(SPECIALS))
    assert (counts.tokens, counts.occurrences.tolist()) == (0, [0, 0, 0])


# The stream.


def take(stream, count):
    return [" ".join(words) for words in itertools.islice(stream, count)]


@given(seed=st.integers(0, 2**40), stream=st.integers(0, 1))
@settings(max_examples=10, deadline=None)
def test_each_pass_has_every_sentence_once(tmp_path_factory, seed, stream):
    folder = tmp_path_factory.mktemp("shards")
    shards = [write(folder / f"{i}.txt", [f"{i} {j}" for j in range(7)]) for i in "ab"]
    sentences = SentenceStream(shards, seed, stream)
    passes = [take(sentences, 14) for _ in range(4)]
    everything = [f"{i} {j}" for i in "ab" for j in range(7)]
    assert all(sorted(one) == everything for one in passes)
    assert len(set(map(tuple, passes))) > 1


def test_shards_are_shuffled_and_sentences_within_blocks_of_them(shards):
    sizes = {"a": 11, "b": 9, "c": 10}
    stream = SentenceStream(shards, seed=3)
    orders, moved = set(), 0
    for _ in range(20):
        one = take(stream, 30)
        order = tuple(dict.fromkeys(line[0] for line in one))
        orders.add(order)
        unshuffled = [f"{name} {i}" for name in order for i in range(sizes[name])]
        places = [unshuffled.index(line) for line in one]
        # A block of 4 may begin in one shard and end in the next.
        assert [place // 4 for place in places] == [at // 4 for at in range(30)]
        moved += places != sorted(places)
    assert len(orders) > 2 and moved == 20


def test_seed_stream_pass_and_block_decide_the_order_and_nothing_else(shards):
    def start(seed, stream):
        return take(SentenceStream(shards, seed, stream), 60)

    assert start(1, 0) == start(1, 0)
    others = [start(2, 0), start(1, 1), start(1, 0)[30:] + start(1, 0)[:30]]
    assert start(1, 0) not in others and start(2, 0) != start(1, 1)
    # What the first pass is like has no influence on the second one.
    longer = SentenceStream(shards, 1)
    position = {"epoch": 1, "block": 0, "shard": 0, "offset": 0, "next": 0}
    take(longer, 30)
    assert take(longer, 30) == take(SentenceStream(shards, 1, position=position), 30)


@given(
    taken=st.integers(0, 95),
    seed=st.integers(0, 3),
    characters=st.sampled_from([1, 20, 10_000]),
)
@settings(max_examples=40, deadline=None)
def test_stream_goes_on_from_any_position(tmp_path_factory, taken, seed, characters):
    folder = tmp_path_factory.mktemp("shards")
    shards = [
        write(folder / name, ["", *(f"{name} ü{i}" for i in range(count))])
        for name, count in (("a.txt", 11), ("b.gz", 9), ("c.txt", 0), ("d.gz", 10))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_BLOCK_CHARACTERS", characters)
        stream = SentenceStream(shards, seed)
        take(stream, taken)
        resumed = SentenceStream(shards, seed, position=stream.position)
        assert resumed.position == stream.position
        for _ in range(35):
            assert next(resumed) == next(stream)
            assert resumed.position == stream.position


def test_a_block_of_long_sentences_has_fewer_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK", 100)
    monkeypatch.setattr(corpus, "_BLOCK_CHARACTERS", 3000)
    path = write(tmp_path / "a.txt", [f"{i} {'x' * 1000}" for i in range(30)])
    numbers = [
        int(words[0]) for words in itertools.islice(SentenceStream([path], 0), 30)
    ]
    assert [number // 3 for number in numbers] == [at // 3 for at in range(30)]
    assert numbers != sorted(numbers)


def test_stream_of_blank_lines_is_refused(tmp_path):
    shards = [write(tmp_path / name, ["", "  "]) for name in ("a.txt", "b.gz")]
    with pytest.raises(
        FormatError, match=r"a\.txt, .*b\.gz: expected sentences, found none"
    ):
        next(SentenceStream(shards, seed=0))


def test_a_shard_that_vanished_is_named(shards, tmp_path):
    stream = SentenceStream(shards, seed=0)
    take(stream, 30)
    (tmp_path / "c.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"c\.txt"):
        take(stream, 30)


def test_memory_does_not_depend_on_the_size_of_a_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK", 100)
    monkeypatch.setattr(corpus, "_COUNTED", 1000)
    line, lines = "some long words " + "x" * 1000, 30_000
    path = write(tmp_path / "large.txt", itertools.repeat(line, lines))
    assert os.path.getsize(path) > 30_000_000
    tracemalloc.start()
    try:
        passed = sum(1 for _ in itertools.islice(SentenceStream([path], 0), lines + 1))
        counts = count_corpus([path], Vocabulary([*SPECIALS, "words"]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (passed, counts.sentences) == (lines + 1, lines)
    assert counts.occurrences[3] == lines
    assert peak < 1_000_000
