"""The command `keras-elmo finetune`."""

import json

import pytest

from keras_elmo.cli import build_parser
from keras_elmo.cli._training import settings_of
from keras_elmo.pretraining.model_files import load_language_model, weights_digest
from keras_elmo.pretraining.settings import FINE_TUNING
from tests.cli.training_arguments import LM, arguments


@pytest.fixture(scope="module", autouse=True)
def short_windows():
    """Validation in windows of 3, which compile faster than those of 20."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_elmo.pretraining.evaluate.UNROLL", 3)
        yield


def finetune(model, run, **others):
    return ["finetune", model, *arguments(run, **others)]


def test_a_checkpoint_of_bilms_is_trained_further(command, tmp_path):
    model, run = LM / "checkpoint_char", tmp_path / "run"
    chosen = {"vocab": LM / "vocab.txt", "train": LM / "test.txt", "epochs": 3}
    status, out, err = command(*finetune(model, run, **chosen))
    assert status == 0
    lines = (run / "log.jsonl").read_text().splitlines()
    first, last = (json.loads(lines[i]) for i in (0, -1))
    status, shown, _ = command(
        "evaluate", model, LM / "test.txt", "--vocab", LM / "vocab.txt", "--json"
    )
    assert (first["step"], first["loss"]) == (0, None)
    assert json.loads(shown) == pytest.approx(first["heldout"], rel=1e-5)
    assert last["heldout"]["geometric_mean"] < first["heldout"]["geometric_mean"]
    before, after = (entry["heldout"]["forward"] for entry in (first, last))
    line = (
        f"forward held-out perplexity          {after:12,.3f} (before: {before:,.3f})"
    )
    assert out.splitlines()[0] == line
    line = err.splitlines()[1]
    assert line.startswith(f"step 0/{first['steps']}: before training, held-out ")
    again = load_language_model(run)
    assert weights_digest(again) != weights_digest(
        load_language_model(model, LM / "vocab.txt")
    )
    # The same command on what is finished does nothing.
    assert command(*finetune(model, run, **chosen)) == (0, out, "")
    # Another model in its place is another run.
    status, _, err = command(*finetune(run, run, **chosen))
    assert status == 1 and "found another model, whose weights are not" in err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LM.parent / "tiny", "tiny: expected softmax.hdf5 and vocab.txt (which a"),
        (LM / "checkpoint_char", "expected a vocabulary, vocab.txt beside it or one"),
        ("absent", "absent: expected a language model (a training run's folder or"),
    ],
)
def test_a_model_without_its_parts_is_one_line(model, message, command, tmp_path):
    status, out, err = command(*finetune(model, tmp_path / "run"))
    assert (status, out) == (1, "")
    assert err.startswith("keras-elmo: ") and message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_defaults_are_those_in_python():
    argv = ["finetune", "m", "--train", "t", "--heldout", "h", "-o", "r"]
    assert settings_of(build_parser().parse_args(argv)) == FINE_TUNING
