"""The command `keras-elmo vocab`."""

import gzip
import json

import pytest


@pytest.fixture
def shards(tmp_path):
    (tmp_path / "a.txt").write_text("b b a a\n\nc é\n", "utf-8")
    with gzip.open(tmp_path / "b.txt.gz", "wb") as file:
        file.write(b"b <UNK>\nd\n")
    return tmp_path


def test_words_by_frequency_from_files_and_patterns(command, shards, tmp_path):
    out = tmp_path / "vocab.txt"
    # The same file by its name and by a pattern is counted once.
    argv = [tmp_path / "a.txt", tmp_path / "?.txt*", "-o", out]
    status, stdout, stderr = command("vocab", *argv)
    assert (status, stderr) == (0, "")
    words = ["<S>", "</S>", "<UNK>", "b", "a", "c", "d", "é"]
    assert out.read_text("utf-8").split("\n") == [*words, ""]
    assert stdout == (
        f"{out}: 8 words, 3 special ones included\n"
        "6 words occur\n"
        "88.89% of 9 tokens covered\n"  # <UNK> is no word
    )


def test_limits_and_json(command, shards, tmp_path):
    out = tmp_path / "vocab.txt"
    argv = ["-o", out, "--min-count", "2", "--size", "4", "--json"]
    status, stdout, stderr = command("vocab", tmp_path / "?.txt*", *argv)
    assert (status, stderr) == (0, "")
    assert out.read_text().split() == ["<S>", "</S>", "<UNK>", "b"]
    assert json.loads(stdout) == {
        "out": str(out),
        "words": 4,
        "distinct_words": 6,
        "tokens": 9,
        "covered_tokens": 3,
        "covered": 3 / 9,
    }


def test_text_that_is_not_utf8_is_read_on_request(command, tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"a\n\xe9 a\n")
    out = tmp_path / "vocab.txt"
    argv = ["vocab", tmp_path / "latin.txt", "-o", out]
    status, _, stderr = command(*argv, "--errors", "strict")
    assert (status, out.exists()) == (1, False)
    assert "latin.txt: line 2: expected UTF-8" in stderr
    assert command(*argv, "--errors", "replace")[0] == 0
    assert out.read_text("utf-8").split() == ["<S>", "</S>", "<UNK>", "a", "\ufffd"]


def test_specials_of_the_text_are_written_once(command, tmp_path):
    (tmp_path / "a.txt").write_text("<S> a </S>\n<UNK> <UNK> a\n")
    out = tmp_path / "vocab.txt"
    assert command("vocab", tmp_path / "a.txt", "-o", out)[0] == 0
    assert out.read_text() == "<S>\n</S>\n<UNK>\na\n"


@pytest.mark.parametrize(
    "shards, out, message",
    [
        ("absent*.txt", "vocab.txt", "absent*.txt: expected at least one file"),
        ("blank.txt", "vocab.txt", "blank.txt: expected sentences, found none."),
        ("latin.txt", "vocab.txt", "latin.txt: line 2: expected UTF-8, found: "),
        ("no.gz", "vocab.txt", "no.gz: after byte 0 of its text: expected gzip data"),
        (".", "vocab.txt", ".: Is a directory"),
        ("good.txt", "absent/vocab.txt", "absent: No such file or directory"),
        ("good.txt", "good.txt/vocab.txt", "good.txt/vocab.txt: Not a directory"),
    ],
)
def test_expected_errors_are_one_line(
    shards, out, message, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.txt").write_bytes(b"a b\n")
    (tmp_path / "blank.txt").write_bytes(b"\n \n")
    (tmp_path / "latin.txt").write_bytes(b"a\n\xe9\n")
    (tmp_path / "no.gz").write_bytes(b"a\n")
    status, stdout, stderr = command("vocab", shards, "-o", out)
    assert (status, stdout) == (1, "")
    assert message in stderr and stderr.startswith("keras-elmo: ")
    assert stderr.count("\n") == 1
    assert not (tmp_path / "vocab.txt").exists()
