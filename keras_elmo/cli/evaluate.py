"""The command `keras-elmo evaluate`: the perplexity of a language model."""

from keras_elmo.cli._arguments import positive_int


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    from keras_elmo.cli import LANGUAGE_MODEL_HELP, TEXT_HELP

    parser = subparsers.add_parser(
        "evaluate",
        help="say how well a language model predicts a text",
        description="Print the perplexity of a language model on tokenised text, by "
        "the full softmax: each word and each sentence end is predicted once, from its "
        "left (forward) and from its right (backward). A sentence starts from the zero "
        "state, so its neighbours and --batch have no influence.",
    )
    parser.epilog = "example: keras-elmo evaluate runs/small heldout.txt"
    parser.add_argument("model", metavar="MODEL", help=LANGUAGE_MODEL_HELP)
    parser.add_argument("text", metavar="TEXT", help=TEXT_HELP)
    parser.add_argument("--vocab", metavar="FILE", help="the vocabulary (the model's)")
    parser.add_argument(
        "--batch",
        type=positive_int,
        default=32,
        metavar="N",
        help="rows that are computed at a time (32)",
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--carry-state",
        action="store_true",
        help="TEXT is running text: each of the --batch rows reads a part of it from "
        "start to end, a sentence starts from the state that the one before left",
    )
    ways.add_argument(
        "--like-bilm",
        action="store_true",
        help="the number (geometric mean) of bilm's own test with --batch rows, which "
        "carries the state, takes a blank line for a sentence, and drops what is left "
        "when a row finds no more text; bilm's own default is 256 rows",
    )
    parser.add_argument(
        "--errors",
        choices=["strict", "replace"],
        default="strict",
        help="what to do with text that is not UTF-8: stop, or read U+FFFD (strict)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args):
    """Print the perplexities.

    Args:
        args: `argparse.Namespace` with `model`, `text`, `vocab`, `batch`,
            `carry_state`, `like_bilm`, `errors` and `json`.

    Raises:
        FormatError: if the model has no softmax, a file does not hold what it should,
            or the text has too few sentences.
        OSError: if a file cannot be read.
    """
    import json

    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from keras_elmo.cli._progress import progress_bar
    from keras_elmo.pretraining.evaluate import perplexities, perplexity_like_bilm
    from keras_elmo.pretraining.model_files import load_language_model

    sentences = _sentences(args)
    model = load_language_model(args.model, args.vocab)
    columns = (
        TextColumn("{task.completed:,.0f} tokens"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with progress_bar(*columns) as bar:
        task = bar.add_task("", total=None)

        def progress(tokens):
            bar.update(task, completed=tokens)

        if args.like_bilm:
            facts = perplexity_like_bilm(model, sentences, args.batch, progress)
        else:
            facts = perplexities(
                model,
                sentences,
                batch=args.batch,
                carry_state=args.carry_state,
                progress=progress,
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
    if facts.get("dropped"):
        print(f"{facts['dropped']:,} tokens dropped, as bilm does")


def _sentences(args):
    """The text; that there is enough of it is known before the model is loaded."""
    import itertools

    from keras_elmo.errors import FormatError
    from keras_elmo.pretraining.corpus import read_sentences

    sentences = read_sentences([args.text], args.errors, args.like_bilm)
    needed = args.batch if args.like_bilm else 1
    first = list(itertools.islice(sentences, needed))
    if not first:
        raise FormatError(f"{args.text}: expected sentences, found none.")
    if len(first) < needed:
        raise FormatError(
            f"{args.text}: expected at least {needed} sentences, one for each row of "
            f"--batch (bilm's own result is NaN), found {len(first)}."
        )
    return itertools.chain(first, sentences)
