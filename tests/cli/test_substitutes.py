"""The command `keras-elmo substitutes`."""

import dataclasses
import json

import pytest

from tests.pretraining import small_models

SENTENCE = "the _ ran to Zürich ."


@pytest.fixture(scope="module")
def expected():
    return small_models.bilms_model().substitutes(SENTENCE.split())


def test_the_likeliest_words_are_a_table(language_model, command, expected):
    status, out, err = command("substitutes", language_model, SENTENCE, "--count", 3)
    assert (status, err) == (0, "")
    head, *rows = (line.split() for line in out.splitlines())
    assert head == ["both", "forward", "backward"]
    assert [row[3] for row in rows] == [one.word for one in expected[:3]]
    for row, one in zip(rows, expected, strict=False):
        numbers = [one.both, one.forward, one.backward]
        assert [float(n) for n in row[:3]] == pytest.approx(numbers, abs=6e-5)


def test_json_has_the_likeliest_ten(language_model, command, expected):
    status, out, err = command("substitutes", language_model, SENTENCE, "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert facts["words"] == SENTENCE.split()
    assert len(facts["substitutes"]) == 10
    for found, one in zip(facts["substitutes"], expected, strict=True):
        wanted = dataclasses.asdict(one)
        assert found.pop("word") == wanted.pop("word")
        assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("sentence", ["the cat", "_ and _", "gap_", ""])
def test_other_than_one_gap_is_wrong_usage(command, sentence):
    status, out, err = command("substitutes", "model", sentence)
    assert (status, out) == (2, "")
    message = f"SENTENCE: expected one word to be _, received {sentence!r}\n"
    assert err.endswith(message)
