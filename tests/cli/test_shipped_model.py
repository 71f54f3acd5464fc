"""The commands that need a softmax, on the model in the package, from a checkout."""

import json
import pathlib
import random

import pytest

from keras_elmo.demo import read_uses
from keras_elmo.presets.catalog import preset_directory

PRESET = "elmo_tiny_en"
# Measured: 79.9 and 86.3; in disorder 8,520 and 7,645.
PERPLEXITY = {"forward": 81, "backward": 87}
SENTENCES = [" ".join(use.words) for use in read_uses()]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(SENTENCES) + "\n", "utf-8")
    return path


def evaluated(command, model, path):
    status, out, _ = command("evaluate", model, path, "--json")
    assert status == 0
    return json.loads(out)


def test_it_expects_sentences_rather_than_their_words_in_disorder(command, text):
    found = evaluated(command, PRESET, text)
    assert (found["tokens"], found["vocabulary_size"]) == (368, 54_362)
    shuffled = [sentence.split() for sentence in SENTENCES]
    for words in shuffled:
        random.Random(0).shuffle(words)
    text.write_text("\n".join(map(" ".join, shuffled)) + "\n", "utf-8")
    disorder = evaluated(command, PRESET, text)
    for direction in ("forward", "backward"):
        assert found[direction] < PERPLEXITY[direction] < disorder[direction] / 5


def test_it_fills_gaps_and_scores(command, text):
    gap = "She opened the _ and went into the house ."
    status, out, _ = command("substitutes", PRESET, gap, "--json")
    assert status == 0 and json.loads(out)["substitutes"][0]["word"] == "door"
    status, out, _ = command("score", PRESET, text, "--json")
    assert status == 0 and len(out.splitlines()) == len(SENTENCES)


@pytest.mark.slow
def test_it_can_be_trained_further(command, text, tmp_path):
    run = tmp_path / "run"
    argv = ["--train", text, "--heldout", text, "--epochs", 2, "--batch", 4]
    assert command("finetune", PRESET, *argv, "--negatives", 100, "-o", run)[0] == 0
    before, after = (evaluated(command, model, text) for model in (PRESET, run))
    assert after["geometric_mean"] < before["geometric_mean"]


def test_no_file_is_large():
    files = pathlib.Path(preset_directory(PRESET)).iterdir()
    assert max(file.stat().st_size for file in files) < 15e6
