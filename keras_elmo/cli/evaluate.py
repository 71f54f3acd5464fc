"""The command `keras-elmo evaluate`: the perplexity of a language model."""

from keras_elmo.cli._arguments import positive_int


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    parser = subparsers.add_parser(
        "evaluate",
        help="say how well a language model predicts a text",
        description="Print the perplexity of a language model on tokenised text, by "
        "the full softmax: each word and each sentence end is predicted once, from its "
        "left (forward) and from its right (backward).",
    )
    parser.epilog = "example: keras-elmo evaluate runs/small heldout.txt"
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="folder of a training run: options.json, lm_weights.hdf5, softmax.hdf5 "
        "and vocab.txt",
    )
    parser.add_argument(
        "text",
        metavar="TEXT",
        help="UTF-8, one sentence a line, its words separated by white space; what "
        "ends in .gz is compressed",
    )
    parser.add_argument(
        "--vocab", metavar="FILE", help="the vocabulary (MODEL/vocab.txt)"
    )
    parser.add_argument(
        "--batch",
        type=positive_int,
        default=32,
        metavar="N",
        help="rows that are computed at a time; the result is the same (32)",
    )
    parser.add_argument(
        "--carry-state",
        action="store_true",
        help="start a sentence from the state that the one before left, as bilm does; "
        "the order of sentences and --batch then matter",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args):
    """Print the perplexities.

    Args:
        args: `argparse.Namespace` with `model`, `text`, `vocab`, `batch`,
            `carry_state` and `json`.

    Raises:
        FormatError: if the model has no softmax, or a file does not hold what it
            should.
        OSError: if a file cannot be read.
    """
    import itertools
    import json

    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from keras_elmo.cli._progress import progress_bar
    from keras_elmo.errors import FormatError
    from keras_elmo.pretraining.corpus import read_sentences
    from keras_elmo.pretraining.evaluate import perplexities
    from keras_elmo.pretraining.run_files import load_language_model

    sentences = read_sentences([args.text])
    first = next(sentences, None)
    if first is None:
        raise FormatError(f"{args.text}: expected sentences, found none.")
    _check_form(args.model)
    model, vocabulary, max_chars = load_language_model(args.model, args.vocab)
    columns = (
        TextColumn("{task.completed:,.0f} tokens"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with progress_bar(*columns) as bar:
        task = bar.add_task("", total=None)
        facts = perplexities(
            model,
            vocabulary,
            itertools.chain([first], sentences),
            max_chars=max_chars,
            batch=args.batch,
            carry_state=args.carry_state,
            progress=lambda tokens: bar.update(task, completed=tokens),
        )
    if args.json:
        print(json.dumps(facts))
        return
    for key in ("forward", "backward", "arithmetic_mean", "geometric_mean"):
        print(f"{key.replace('_', ' ') + ' perplexity':27} {facts[key]:12,.3f}")
    print(
        f"{facts['tokens']:,} tokens (words and sentence ends), {facts['unknown']:,} "
        f"words unknown, a vocabulary of {facts['vocabulary_size']:,}"
    )


def _check_form(source):
    """A language model is a folder; say so of the forms that other commands take."""
    import os

    from keras_elmo.errors import FormatError
    from keras_elmo.presets.catalog import PRESETS

    expected = (
        "the folder of a training run, with softmax.hdf5 and vocab.txt beside AI2's "
        "two files"
    )
    if source in PRESETS and not os.path.isdir(source):
        raise FormatError(
            f"{source}: expected {expected}, found a preset, which has no softmax."
        )
    if "," in source or os.path.isfile(source):
        raise FormatError(
            f"{source}: expected {expected}, found another form of model, which has no "
            "softmax."
        )
    if not os.path.isdir(source):
        raise FileNotFoundError(
            f"{source}: expected {expected}, found nothing of that name."
        )
