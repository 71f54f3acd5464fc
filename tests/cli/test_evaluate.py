"""The command `keras-elmo evaluate`."""

import json
import math
import shutil

import numpy as np
import pytest

from keras_elmo.pretraining.evaluate import perplexities
from tests.pretraining import small_models

TEXT = small_models.LM / "test.txt"
SENTENCES = small_models.sentences("test.txt")
TOKENS = sum(len(words) + 1 for words in SENTENCES)
KEYS = ["forward", "backward", "arithmetic_mean", "geometric_mean"]
COUNTS = {"tokens": TOKENS, "unknown": 1, "vocabulary_size": 25}


@pytest.fixture(scope="module", autouse=True)
def short_windows():
    """Which compile faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_elmo.pretraining.evaluate.UNROLL", 2)
        yield


def test_json_has_the_perplexities(language_model, command):
    status, out, err = command("evaluate", language_model, TEXT, "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    assert facts == pytest.approx(
        perplexities(small_models.bilms_model(), SENTENCES), rel=1e-6
    )
    assert list(facts) == [*KEYS, *COUNTS]
    assert {key: facts[key] for key in COUNTS} == COUNTS
    product = facts["forward"] * facts["backward"]
    assert facts["geometric_mean"] == pytest.approx(math.sqrt(product))


def test_numbers_of_running_text_are_printed(language_model, command):
    argv = ["evaluate", language_model, TEXT, "--carry-state", "--batch", 1]
    status, out, err = command(*argv)
    assert (status, err) == (0, "")
    *perplexities, counts = out.splitlines()
    facts = [line.rsplit(maxsplit=1) for line in perplexities]
    names = [f"{key.replace('_', ' ')} perplexity" for key in KEYS]
    assert [name.strip() for name, _ in facts] == names
    golden = np.load(small_models.LM / "test_perplexity.npz")["test_losses_bs1"]
    expected = np.exp(golden[:, 1:].mean(axis=0))
    found = [float(value) for _, value in facts[:2]]
    np.testing.assert_allclose(found, expected, atol=6e-4)
    assert counts == (
        f"{TOKENS} tokens (words and sentence ends), 1 words unknown, a vocabulary of "
        "25"
    )


def test_bilms_own_number_is_reproduced(language_model, command):
    argv = ["evaluate", language_model, TEXT, "--like-bilm", "--batch", 4]
    status, out, err = command(*argv)
    assert (status, err) == (0, "")
    golden = np.load(small_models.LM / "test_perplexity.npz")["test_perplexity_bs4"]
    assert f"geometric mean perplexity{golden:15.3f}\n" in out
    assert out.endswith("14 tokens dropped, as bilm does\n")
    facts = json.loads(command(*argv, "--json")[1])
    assert facts["geometric_mean"] == pytest.approx(float(golden), rel=1e-5)
    assert (facts["tokens"], facts["dropped"]) == (36, 14)


def test_blank_lines_are_sentences_to_bilm_alone(language_model, command, tmp_path):
    (tmp_path / "text.txt").write_text("the cat\n\nit\n")
    argv = ["evaluate", language_model, tmp_path / "text.txt", "--json", "--batch", 1]
    tokens = [
        json.loads(command(*argv, *flags)[1])["tokens"]
        for flags in ([], ["--like-bilm"])
    ]
    assert tokens == [5, 6]


def test_another_vocabulary_file_may_be_named(language_model, command, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(language_model, folder)
    (folder / "vocab.txt").rename(tmp_path / "words.txt")
    words = (tmp_path / "words.txt").read_text("utf-8").replace("\ncat\n", "\nhat\n")
    (tmp_path / "words.txt").write_text(words, "utf-8")
    argv = ["evaluate", folder, TEXT, "--vocab", tmp_path / "words.txt", "--json"]
    status, out, err = command(*argv)
    assert (status, err) == (0, "")
    cats = sum(words.count("cat") for words in SENTENCES)
    assert json.loads(out)["unknown"] == 1 + cats > 1


def test_text_that_is_not_utf8_may_be_replaced(language_model, command, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"the cat\nna\xefve\n")
    argv = ["evaluate", language_model, tmp_path / "bad.txt", "--json"]
    status, out, err = command(*argv)
    assert (status, out) == (1, "")
    assert "bad.txt: line 2: expected UTF-8, found: " in err
    status, out, _ = command(*argv, "--errors", "replace")
    assert status == 0
    assert json.loads(out)["tokens"] == 5


def test_a_terminal_gets_a_bar(language_model, command, terminal):
    shown = terminal()
    status, out, _ = command("evaluate", language_model, TEXT, "--batch", 2)
    assert status == 0 and "tokens (words" in out
    assert f"{TOKENS} tokens" in shown()


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("absent.txt", [], "absent.txt: No such file or directory"),
        ("blank.txt", [], "blank.txt: expected sentences, found none."),
        (
            "short.txt",
            ["--like-bilm"],
            "short.txt: expected at least 32 sentences, one for each row of --batch "
            "(bilm's own result is NaN), found 2.",
        ),
    ],
)
def test_wrong_text_is_one_line(
    text, flags, message, language_model, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blank.txt").write_bytes(b"\n \n")
    (tmp_path / "short.txt").write_bytes(b"the cat\nit\n")
    status, out, err = command("evaluate", language_model, text, *flags)
    assert (status, out, err) == (1, "", f"keras-elmo: {message}\n")


def test_a_model_without_softmax_is_one_line(language_model, command, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(language_model, folder)
    (folder / "softmax.hdf5").unlink()
    status, out, err = command("evaluate", folder, TEXT)
    assert (status, out) == (1, "")
    assert err.startswith(f"keras-elmo: {folder}: ") and "softmax" in err
    assert err.count("\n") == 1


def test_two_ways_at_once_are_wrong_usage(command):
    argv = ["evaluate", "run", "text.txt", "--carry-state", "--like-bilm"]
    status, out, err = command(*argv)
    assert (status, out) == (2, "")
    assert "--like-bilm: not allowed with argument --carry-state" in err
