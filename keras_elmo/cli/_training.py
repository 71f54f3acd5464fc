"""What the commands that train have in common: arguments, signals, progress."""

import contextlib
import signal
import sys
import time

from keras_elmo.cli._arguments import fraction, natural, positive_float, positive_int

_SILENCE = 60  # seconds after which a line is written where there is no terminal
_INTS = [
    ("batch", None, "rows that are read at a time"),
    ("unroll", 20, "words of each row in a step"),
    ("accumulate", 1, "parts that the rows are computed in, to save memory"),
    ("devices", 1, "devices that the rows are divided among, GPUs if there are any"),
    ("validate-every", 500, "steps from one validation to the next"),
    ("heldout-sentences", 500, "sentences that a validation reads"),
    ("checkpoint-every", 500, "steps from one checkpoint to the next"),
]
_FLAGS = [
    ("carry-over-sentences", "keep the state from sentence to sentence, as bilm does"),
    ("independent-streams", "other sentences in the backward direction, as bilm does"),
    ("tensorboard", "write RUN/tensorboard too"),
    ("json", "print one JSON object"),
]


def add_training_arguments(parser, epochs, batch, optimizer):
    """Add the arguments that say how to train.

    Args:
        parser: `argparse.ArgumentParser` of a command.
        epochs: Default number of passes.
        batch: Default number of rows.
        optimizer: Default optimizer.

    >>> parser = argparse.ArgumentParser()
    >>> add_training_arguments(parser, epochs=1.0, batch=32, optimizer="adam")
    """
    from keras_elmo.pretraining.names import DTYPES, LEARNING_RATES, SCHEDULES

    parser.add_argument(
        "--train",
        metavar="PATTERN",
        required=True,
        help="training text, UTF-8, one sentence a line, its words separated by white "
        "space; what ends in .gz is compressed. A file or a pattern, in quotes",
    )
    parser.add_argument(
        "--heldout",
        metavar="FILE",
        required=True,
        help="text that is not trained on; its start is the validation",
    )
    parser.add_argument(
        "-o", "--out", metavar="RUN", required=True, help="the folder of the run"
    )
    parser.add_argument(
        "--epochs",
        type=positive_float,
        default=epochs,
        metavar="N",
        help=f"passes over the text, may be a fraction ({epochs:g})",
    )
    for name, default, text in _INTS:
        default = default or batch
        parser.add_argument(
            f"--{name}",
            type=positive_int,
            default=default,
            metavar="N",
            help=f"{text} ({default})",
        )
    parser.add_argument(
        "--negatives",
        type=natural,
        default=8192,
        metavar="N",
        help="words drawn for the sampled softmax; 0: the full softmax (8192)",
    )
    parser.add_argument(
        "--seed",
        type=natural,
        default=0,
        metavar="N",
        help="decides start weights, order of sentences, negatives and dropout (0)",
    )
    parser.add_argument(
        "--optimizer",
        choices=sorted(LEARNING_RATES),
        default=optimizer,
        help=f"of Keras; AI2's is adagrad ({optimizer})",
    )
    rates = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
    parser.add_argument(
        "--learning-rate", type=positive_float, metavar="X", help=f"({rates})"
    )
    parser.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default="constant",
        help="of the learning rate; cosine: a short rise, then down to zero (constant)",
    )
    parser.add_argument(
        "--clip-norm",
        type=positive_float,
        default=10.0,
        metavar="X",
        help="bound of the norm of all gradients (10)",
    )
    parser.add_argument(
        "--dropout",
        type=fraction,
        default=0.1,
        metavar="X",
        help="of what each LSTM and the softmax reads (0.1, as AI2's)",
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="what is computed in; mixed_bfloat16 is faster on a GPU (float32)",
    )
    parser.add_argument(
        "--errors",
        choices=["strict", "replace"],
        default="strict",
        help="what to do with text that is not UTF-8 (strict: stop)",
    )
    for name, text in _FLAGS:
        parser.add_argument(f"--{name}", action="store_true", help=text)


def settings_of(args, **others):
    """`TrainingSettings` of parsed arguments.

    Args:
        args: `argparse.Namespace` with the arguments of `add_training_arguments`.
        **others: Further settings.

    Raises:
        FormatError: if they do not go together.

    >>> parser = argparse.ArgumentParser()
    >>> add_training_arguments(parser, epochs=1.0, batch=32, optimizer="adam")
    >>> args = parser.parse_args(["--train=t", "--heldout=h", "-oRUN", "--batch=8"])
    >>> settings_of(args).batch
    8
    """
    import dataclasses

    from keras_elmo.errors import FormatError
    from keras_elmo.pretraining.backend import steps
    from keras_elmo.pretraining.settings import TrainingSettings

    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    chosen = {key: value for key, value in vars(args).items() if key in names}
    try:
        steps().strategy_scope(args.devices)  # are there so many?
        return TrainingSettings(**(chosen | others))
    except ValueError as error:
        raise FormatError(f"--{error}") from error


def run_training(args, start):
    """Train with progress on stderr; SIGINT and SIGTERM write a checkpoint.

    Args:
        args: `argparse.Namespace`.
        start: Called with `stopped` and `tensorboard`; gives an iterator of
            `Progress`.

    Returns:
        The last `Progress`; None where nothing was left to do.

    Raises:
        FormatError: if the loss is no longer a number.
    """
    from keras_elmo.errors import FormatError

    _make_deterministic()
    with _stop_flag() as stopped:
        try:
            steps = start(stopped=stopped, tensorboard=args.tensorboard)
            return _follow(steps, args.out)
        except FloatingPointError as error:
            raise FormatError(
                f"{error} The last checkpoint is from before. A lower --learning-rate "
                "or --clip-norm may help, in another RUN."
            ) from error
        except ModuleNotFoundError as error:
            raise FormatError(str(error)) from error


def _make_deterministic():
    """The same bits each time, on a GPU too."""
    import keras

    if keras.backend.backend() == "tensorflow":
        from keras_elmo.pretraining.tensorflow_step import make_deterministic

        make_deterministic()


@contextlib.contextmanager
def _stop_flag():
    """Whether to stop soon: the first signal says so, a second one ends at once."""
    asked = []
    before = {}

    def ask(number, frame):
        asked.append(number)
        print("stopping after this step", file=sys.stderr, flush=True)
        restore()

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        restore()


def _follow(steps, run):
    """Iterate over a training run and show on stderr how it does; returns the end."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    from keras_elmo.cli._progress import progress_bar

    columns = [
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    ]
    progress, heldout, told = None, "", time.monotonic()
    with progress_bar(*columns) as bar:
        reading = bar.add_task("reading the text", total=None)
        task = None
        for progress in steps:
            if task is None:
                bar.remove_task(reading)
                task = bar.add_task("", total=progress.steps)
                _say(_begin(progress, run), bar)
            text = _text(progress)
            if progress.heldout:
                found = progress.heldout["geometric_mean"]
                heldout = f", held-out perplexity {found:,.1f}"
            if progress.heldout or (bar.disable and time.monotonic() - told > _SILENCE):
                _say(f"step {progress.step}/{progress.steps}: {text}{heldout}", bar)
                told = time.monotonic()
            bar.update(
                task,
                completed=progress.step,
                description=text + heldout,
            )
    return progress


def _begin(progress, run):
    """What is to be trained, once it is known."""
    from keras_elmo.pretraining.run_folder import RunFolder

    facts = RunFolder(run).facts()
    text = (
        f"{run}: from step {progress.step} to {progress.steps}; a pass is "
        f"{facts['tokens']:,} tokens (words and sentence ends), "
        f"{facts['unknown'] / facts['words']:.2%} of the words unknown"
    )
    if facts["empty"]:
        text += f"; no sentence in {', '.join(facts['empty'])}"
    return text


def _text(progress):
    if progress.loss is None:
        return "before training"
    sampled = progress.sampled_perplexity
    kind = "training" if sampled is None else "sampled"
    value = progress.training_perplexity if sampled is None else sampled
    return (
        f"{progress.tokens_per_second or 0:,.0f} tokens/s, "
        f"loss {progress.loss:.4f} nats, {kind} perplexity {value:,.1f}"
    )


def _say(line, bar):
    if bar.disable:
        print(line, file=sys.stderr, flush=True)
    else:
        bar.console.print(line)  # above the bar


def print_end(last, args):
    """Print where a run ended, and where it began if it began with a trained model.

    Args:
        last: What `run_training` returned.
        args: `argparse.Namespace` with `out` and `json`.
    """
    import dataclasses
    import json

    from keras_elmo.ai2.files import OPTIONS
    from keras_elmo.ai2.run_checkpoint import BEST
    from keras_elmo.pretraining.run_folder import RunFolder

    folder = RunFolder(args.out)
    finished, log = folder.has(OPTIONS), folder.entries()
    validations = [entry for entry in log if entry["heldout"] and entry["step"]]
    before = next((entry["heldout"] for entry in log if entry["step"] == 0), None)
    best = min(validations, key=_mean, default=None)
    facts = {"run": args.out, "finished": finished}
    if log or last is not None:
        facts |= log[-1] if last is None or finished else dataclasses.asdict(last)
    if before is not None:
        facts["heldout_before"] = before
    if best is not None:
        facts["best"] = {"step": best["step"], "heldout": best["heldout"]}
    if args.json:
        print(json.dumps(facts))
        return
    if not finished:
        print(f"{args.out}: the same command goes on")
        return
    for key in ("forward", "backward", "arithmetic_mean", "geometric_mean"):
        name = f"{key.replace('_', ' ')} held-out perplexity"
        was = f" (before: {before[key]:,.3f})" if before else ""
        print(f"{name:36} {facts['heldout'][key]:12,.3f}{was}")
    print(
        f"{facts['heldout']['tokens']:,} held-out tokens (words and sentence ends), "
        f"{facts['heldout']['unknown']:,} words unknown, a vocabulary of "
        f"{facts['heldout']['vocabulary_size']:,}"
    )
    if best["step"] < facts["step"]:
        print(
            f"best: step {best['step']}, geometric mean {_mean(best):,.3f} "
            f"({folder.file(BEST)})"
        )
    print(args.out)


def _mean(entry):
    return entry["heldout"]["geometric_mean"]
