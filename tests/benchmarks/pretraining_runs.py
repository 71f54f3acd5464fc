"""What pretraining_side_by_side runs: the folder it works in, and the programs."""

import copy
import glob
import gzip
import json
import os
import pathlib
import shutil
import sys

from tests.benchmarks.measured_process import run_measured
from tests.benchmarks.pretraining_tables import BILM, SIMPLE_ELMO

HERE = pathlib.Path(__file__).resolve().parent
BATCH, UNROLL, NEGATIVES = 32, 20, 1024
VOCABULARY_SIZE = 20_000
DROPOUT, LEARNING_RATE, CLIP_NORM = 0.1, 0.2, 10.0
SMALL = {  # AI2's
    "lstm": {
        "dim": 1024,
        "projection_dim": 128,
        "n_layers": 2,
        "cell_clip": 3,
        "proj_clip": 3,
        "use_skip_connections": True,
    },
    "char_cnn": {
        "activation": "relu",
        "embedding": {"dim": 16},
        "filters": [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]],
        "max_characters_per_token": 50,
        "n_characters": 262,
        "n_highway": 1,
    },
}
# For each peer its module, the variable that names its interpreter, and what else it
# needs there. TensorFlow 2 tells its children by TF2_BEHAVIOR to be TensorFlow 2.
PEERS = {
    BILM: (
        "bilm",
        "KERAS_ELMO_BILM_PYTHON",
        {"TF2_BEHAVIOR": "0", "PYTHONUTF8": "1"},
    ),
    SIMPLE_ELMO: (
        "simple_elmo",
        "KERAS_ELMO_SIMPLE_ELMO_PYTHON",
        {"TF_USE_LEGACY_KERAS": "1"},
    ),
}
STATES = "states.npz"  # of a peer's run; ours has them in its checkpoint
AI2_STREAMS = ["--carry-over-sentences", "--independent-streams"]


def divided(options, divisor):
    """Options of which one filter in `divisor` is left."""
    options = copy.deepcopy(options)
    encoder = options["char_cnn"]
    encoder["filters"] = [[width, n // divisor] for width, n in encoder["filters"]]
    counts = [count for _, count in encoder["filters"]]
    least = options["lstm"]["projection_dim"]
    if min(counts) < 1 or sum(counts) < least:
        sys.exit(
            f"--filters-divisor: expected {least} filters to be left, as bilm needs, "
            f"and some of each width, found {counts}."
        )
    return options


def first_sentences(pattern, tokens):
    """The lines of shards until the next would exceed so many words and ends."""
    written = 0
    for path in sorted(glob.glob(os.path.expanduser(pattern))):
        opened = gzip.open if path.endswith(".gz") else open
        with opened(path, "rt", encoding="utf-8", newline="\n") as file:
            for words in filter(None, map(str.split, file)):
                written += len(words) + 1
                if written > tokens:
                    return
                yield " ".join(words) + "\n"
    sys.exit(f"{pattern}: expected more than {tokens} words and ends, found {written}.")


class Work:
    """The folder: text, vocabulary and options, made once, and the results so far."""

    def __init__(self, folder, settings):
        self.folder = folder
        self.settings = settings
        # simple-elmo reads all files whose names start like the one it is given.
        self.text = folder / "text" / "train.txt"
        self.vocab = folder / "vocab.txt"
        self.results = folder / "results.jsonl"

    def prepare(self):
        for name in ("text", "logs", "runs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        written = self.folder / "settings.json"
        if not written.exists():
            self.write_inputs()
            written.write_text(json.dumps(self.settings))
        before = json.loads(written.read_text())
        for name, value in self.settings.items():
            if before[name] != value:
                sys.exit(
                    f"{written}: {name}: expected {value}, found {before[name]}; other "
                    "settings need another folder."
                )
        with open(self.text, encoding="utf-8") as file:
            self.tokens = sum(len(line.split()) + 1 for line in file)
        with open(self.vocab, encoding="utf-8") as file:
            self.vocabulary_size = sum(1 for _ in file)

    def write_inputs(self):
        quality = divided(SMALL, self.settings["filters_divisor"])
        self.config("quality").write_text(json.dumps(quality))
        self.config("speed").write_text(json.dumps(SMALL))
        sentences = first_sentences(self.settings["train"], self.settings["tokens"])
        with open(self.text, "w", encoding="utf-8") as file:
            file.writelines(sentences)
        command = ["-m", "keras_elmo", "vocab", self.text, "-o", self.vocab]
        run_ours([*command, "--size", VOCABULARY_SIZE], self.log("vocab"))

    def config(self, part):
        return self.folder / f"{part}.json"

    def run(self, name):
        return self.folder / "runs" / name

    def points(self, name):
        """File of the times of a run; there when the run has ended."""
        return self.folder / "runs" / f"{name}.points.json"

    def log(self, name):
        return self.folder / "logs" / f"{name}.log"

    def read(self):
        if not self.results.exists():
            return []
        return [json.loads(line) for line in self.results.read_text().splitlines()]

    def is_done(self, **key):
        return any(key.items() <= result.items() for result in self.read())

    def add(self, **result):
        with open(self.results, "a") as file:
            file.write(json.dumps(result) + "\n")


def environment(**more):
    """That of this process, without what concerns its own TensorFlow, or a GPU."""
    ours = ("TF2_BEHAVIOR", "KERAS_BACKEND", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"} | more


def run_ours(arguments, log, output=None):
    """Run our Python, for this checkout."""
    root = str(HERE.parents[1])
    ours = environment(KERAS_BACKEND="tensorflow", PYTHONPATH=root)
    return run_measured([sys.executable, *arguments], ours, log, output)


def run_peer(peer, arguments, log):
    """Run the peer's Python."""
    module, variable, more = PEERS[peer]
    python = os.environ.get(variable)
    if not python or not shutil.which(python):
        sys.exit(
            f"{variable}: expected the path of a Python that has {module}, found "
            f"{python or 'no such environment variable'}."
        )
    return run_measured([python, "-W", "ignore", *arguments], environment(**more), log)


def train_peer(work, peer, part, steps, seed, name):
    """Train from nothing by the peer's own `train`; returns what the process took."""
    run, points = work.run(name), work.points(name)
    points.unlink(missing_ok=True)
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    options = json.loads(work.config(part).read_text())
    options["char_cnn"]["n_characters"] = 261  # in training there is no padding
    options |= {
        "bidirectional": True,
        "dropout": DROPOUT,
        "learning_rate": LEARNING_RATE,
        "all_clip_norm_val": CLIP_NORM,
        "batch_size": BATCH,
        "unroll_steps": UNROLL,
        "n_negative_samples_batch": NEGATIVES,
        "n_tokens_vocab": work.vocabulary_size,
        # These two say how many steps it takes; it saves after the last one.
        "n_epochs": 1,
        "n_train_tokens": steps * BATCH * UNROLL,
    }
    given = run / "given.json"
    given.write_text(json.dumps(options))
    script = HERE / "peer_training.py"
    arguments = [script, PEERS[peer][0], given, work.text, work.vocab, run]
    arguments += [points, "--seed", seed, "--states", run / STATES]
    facts = run_peer(peer, arguments, work.log(name))
    if not (run / f"model.ckpt-{steps}.index").exists():
        sys.exit(f"{run}: expected a checkpoint of step {steps}, found none.")
    return facts


def train_ours(work, part, steps, seed, name, special):
    """Train by `keras-elmo pretrain`, or go on; returns what the process took."""
    run = work.run(name)
    arguments = ["--train", work.text, "--heldout", work.settings["heldout"]]
    arguments += ["--vocab", work.vocab, "--config", work.config(part), "-o", run]
    arguments += ["--batch", BATCH, "--unroll", UNROLL, "--negatives", NEGATIVES]
    arguments += ["--optimizer", "adagrad", "--learning-rate", LEARNING_RATE]
    arguments += ["--dropout", DROPOUT, "--clip-norm", CLIP_NORM, "--seed", seed]
    # It takes round(epochs * tokens / (batch * unroll)) steps.
    arguments += ["--epochs", steps * BATCH * UNROLL / work.tokens]
    arguments += ["--validate-every", steps, *special]
    script = HERE / "timed_pretrain.py"
    facts = run_ours([script, work.points(name), *arguments], work.log(name))
    reports = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    taken = max(report.get("step", 0) for report in reports)
    if taken != steps or not (run / "options.json").exists():
        sys.exit(f"{run}: expected a finished run of {steps} steps, found {taken}.")
    return facts


def evaluate(work, name):
    """What `keras-elmo evaluate --carry-state` says of a run."""
    output = work.run(name) / "evaluated.json"
    arguments = ["-m", "keras_elmo", "evaluate", work.run(name)]
    arguments += [work.settings["heldout"], "--vocab", work.vocab]
    log = work.log(f"{name}-evaluate")
    run_ours([*arguments, "--carry-state", "--json"], log, output)
    return json.loads(output.read_text())


def evaluate_from_training(work, name, states):
    """The same, but from the states that its training ended with."""
    output = work.run(name) / "continued.json"
    script = HERE / "continued_perplexity.py"
    arguments = [script, work.run(name), work.settings["heldout"], work.vocab]
    log = work.log(f"{name}-continued")
    run_ours([*arguments, work.run(name) / states], log, output)
    return json.loads(output.read_text())
