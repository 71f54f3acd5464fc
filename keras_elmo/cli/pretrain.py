"""The command `keras-elmo pretrain`: train a biLM on text."""

from keras_elmo.cli._arguments import natural, positive_float, positive_int


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    parser = subparsers.add_parser(
        "pretrain",
        help="train a biLM on tokenised text",
        description="Train a biLM on tokenised text. RUN gets options.json and "
        "lm_weights.hdf5, which are AI2's and any ELMo reader takes, softmax.hdf5, "
        "vocab.txt and log.jsonl.",
    )
    parser.epilog = (
        "example: keras-elmo pretrain --train 'shards/*.txt.gz' --heldout heldout.txt "
        "--vocab vocab.txt --config small -o runs/small"
    )
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
        help="text that is not trained on; its first 500 sentences are the validation",
    )
    parser.add_argument(
        "--vocab",
        metavar="FILE",
        required=True,
        help="words to predict, by falling frequency (keras-elmo vocab)",
    )
    parser.add_argument(
        "--config",
        required=True,
        help="tiny, small, medium or original, or an options file of AI2's",
    )
    parser.add_argument(
        "-o", "--out", metavar="RUN", required=True, help="the folder to make"
    )
    parser.add_argument(
        "--epochs",
        type=positive_float,
        default=10.0,
        metavar="N",
        help="passes over the text, may be a fraction (10)",
    )
    for name, default, text in [
        ("batch", 128, "rows that are read at a time"),
        ("unroll", 20, "words of each row in a step"),
        ("negatives", 8192, "words drawn for the sampled softmax"),
        ("validate-every", 500, "steps from one validation to the next"),
    ]:
        parser.add_argument(
            f"--{name}",
            type=positive_int,
            default=default,
            metavar="N",
            help=f"{text} ({default})",
        )
    parser.add_argument(
        "--seed",
        type=natural,
        default=0,
        metavar="N",
        help="decides the start weights, the order of sentences and the negatives (0)",
    )
    parser.add_argument(
        "--optimizer",
        choices=["adagrad", "adam"],
        default="adagrad",
        help="AI2's is adagrad (adagrad)",
    )
    parser.add_argument(
        "--learning-rate",
        type=positive_float,
        metavar="X",
        help="(0.2 with adagrad, 0.002 with adam)",
    )
    parser.add_argument(
        "--schedule",
        choices=["constant", "cosine"],
        default="constant",
        help="of the learning rate; cosine: a short rise, then down to zero (constant)",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "mixed_bfloat16"],
        default="float32",
        help="what is computed in; mixed_bfloat16 is faster on a GPU (float32)",
    )
    parser.add_argument(
        "--carry-over-sentences",
        action="store_true",
        help="keep the state from sentence to sentence, as bilm does",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args):
    """Train, and print the perplexity at the end.

    Args:
        args: `argparse.Namespace` with the arguments of `pretrain` and `json`.

    Raises:
        FormatError: if a file does not hold what it should, the vocabulary is too
            small for `negatives`, or the loss is no longer a number.
        OSError: if a file cannot be read, or RUN holds a model already.
    """
    import dataclasses
    import json

    from keras_elmo.errors import FormatError
    from keras_elmo.pretraining.configs import find_config
    from keras_elmo.pretraining.train import pretrain
    from keras_elmo.text.vocabulary import read_vocabulary

    options = find_config(args.config)
    words = len(read_vocabulary(args.vocab))
    if args.negatives >= words:
        raise FormatError(
            f"{args.vocab}: expected more words than --negatives, {args.negatives}, "
            f"found {words}."
        )
    learning_rate = args.learning_rate
    if learning_rate is None:
        learning_rate = {"adagrad": 0.2, "adam": 0.002}[args.optimizer]
    steps = pretrain(
        args.train,
        args.heldout,
        args.vocab,
        options,
        args.out,
        epochs=args.epochs,
        batch=args.batch,
        unroll=args.unroll,
        negatives=args.negatives,
        seed=args.seed,
        optimizer=args.optimizer,
        learning_rate=learning_rate,
        schedule=args.schedule,
        dtype=args.dtype,
        validate_every=args.validate_every,
        carry_over_sentences=args.carry_over_sentences,
    )
    try:
        last = _follow(steps)
    except FloatingPointError as error:
        raise FormatError(f"{error} A lower --learning-rate may help.") from error
    if args.json:
        print(json.dumps({"run": args.out, **dataclasses.asdict(last)}))
        return
    for key in ("forward", "backward", "arithmetic_mean", "geometric_mean"):
        name = f"{key.replace('_', ' ')} held-out perplexity"
        print(f"{name:36} {last.heldout[key]:12,.3f}")
    print(
        f"{last.heldout['tokens']:,} held-out tokens (words and sentence ends), "
        f"{last.heldout['unknown']:,} words unknown, a vocabulary of "
        f"{last.heldout['vocabulary_size']:,}"
    )
    print(args.out)


def _follow(steps):
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
    heldout = ""
    with progress_bar(*columns) as bar:
        task = bar.add_task("reading the text", total=None)
        for progress in steps:
            text = (
                f"{progress.tokens_per_second:,.0f} tokens/s, "
                f"loss {progress.loss:.4f} nats, "
                f"sampled perplexity {progress.sampled_perplexity:,.1f}"
            )
            if progress.heldout:
                heldout = (
                    f", held-out perplexity {progress.heldout['geometric_mean']:,.1f}"
                )
                _say(f"step {progress.step}/{progress.steps}: {text}{heldout}", bar)
            bar.update(
                task,
                completed=progress.step,
                total=progress.steps,
                description=text + heldout,
            )
    return progress


def _say(line, bar):
    import sys

    if bar.disable:
        print(line, file=sys.stderr, flush=True)
    else:
        bar.console.print(line)  # above the bar
