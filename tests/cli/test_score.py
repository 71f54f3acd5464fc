"""The command `keras-elmo score`."""

import gzip
import io
import json
import sys

import pytest

from tests.pretraining import small_models

LINES = ["the cat ran", "", "naïve unknownword", "it"]


@pytest.fixture(scope="module", autouse=True)
def short_windows():
    """Which compile faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_elmo.pretraining.evaluate.UNROLL", 2)
        yield


@pytest.fixture(scope="module")
def expected():
    return small_models.bilms_model(unroll=False).score([x.split() for x in LINES])


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text("\n".join(LINES) + "\n", "utf-8")
    return tmp_path / "text.txt"


def test_each_line_has_one_with_both_directions(
    language_model, command, text, expected
):
    status, out, err = command("score", language_model, text, "--batch", 2)
    assert (status, err) == (0, "")
    found = [line.split(maxsplit=2) for line in out.splitlines()]
    assert [" ".join(words) for _, _, *words in found] == LINES
    for (forward, backward, *_), score in zip(found, expected, strict=True):
        assert float(forward) == pytest.approx(score.forward_total, abs=6e-5)
        assert float(backward) == pytest.approx(score.backward_total, abs=6e-5)


def test_each_word_has_a_line_on_request(language_model, command, text, expected):
    out = command("score", language_model, text, "--batch", 2, "--tokens")[1]
    found = [line.split(maxsplit=2) for line in out.splitlines()]
    first = found[:5]
    assert [words for _, _, words in first] == [
        "the cat ran",
        *("the", "cat", "ran"),
        "</S>, <S>",
    ]
    for (forward, backward, _), *pair in zip(
        first[1:], expected[0].forward, expected[0].backward, strict=True
    ):
        assert [float(forward), float(backward)] == pytest.approx(pair, abs=6e-5)
    marked = [words[0] for _, _, *words in found if words and words[0].endswith(" *")]
    assert marked == ["unknownword *"]


def test_json_is_one_object_a_line(language_model, command, text, expected):
    status, out, err = command("score", language_model, text, "--batch", 2, "--json")
    assert (status, err) == (0, "")
    for line, score in zip(out.splitlines(), expected, strict=True):
        facts = json.loads(line)
        assert (facts["words"], facts["unknown"]) == (score.words, score.unknown)
        for name in ("forward", "backward"):
            assert facts[name] == pytest.approx(getattr(score, name).tolist())
            total = getattr(score, f"{name}_total")
            assert facts[f"{name}_total"] == pytest.approx(total)


def test_standard_input_and_gzip_are_read_alike(
    language_model, command, text, tmp_path, monkeypatch
):
    content = text.read_bytes()
    (tmp_path / "text.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    plain, packed, piped = (
        command("score", language_model, source, "--batch", 2)
        for source in (text, tmp_path / "text.gz", "-")
    )
    assert plain == packed == piped
    assert plain[0] == 0 and plain[1].count("\n") == 4


@pytest.mark.parametrize("source", ["bad.txt", "-"])
def test_text_that_is_not_utf8(language_model, command, tmp_path, monkeypatch, source):
    content = b"the cat\nna\xefve\n"
    (tmp_path / "bad.txt").write_bytes(content)
    monkeypatch.chdir(tmp_path)

    def score(*flags):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return command("score", language_model, source, "--batch", 1, *flags)

    status, _, err = score()
    assert status == 1
    assert "line 2: expected UTF-8, found: " in err and err.count("\n") == 1
    status, out, _ = score("--errors", "replace")
    assert status == 0 and out.splitlines()[1].endswith("  na\ufffdve")


def test_absent_text_is_one_line(command):
    # Before the model is loaded, which is not there either.
    status, out, err = command("score", "absent", "absent.txt")
    message = "keras-elmo: absent.txt: No such file or directory\n"
    assert (status, out, err) == (1, "", message)


def test_a_terminal_gets_a_bar_where_the_lines_go_elsewhere(
    language_model, command, text, terminal
):
    shown = terminal()
    status, out, _ = command("score", language_model, text, "--batch", 2)
    assert status == 0 and out.count("\n") == 4
    assert "4 sentences" in shown()
