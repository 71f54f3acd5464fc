"""The command `keras-elmo substitutes`: the likeliest words for a gap."""

import argparse

from keras_elmo.cli._arguments import positive_int

GAP = "_"


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    from keras_elmo.cli import LANGUAGE_MODEL_HELP

    parser = subparsers.add_parser(
        "substitutes",
        help="find the likeliest words for a gap in a sentence",
        description="Print the likeliest words for the gap in a sentence, and the "
        "natural logarithms of their probabilities: by what stands on both sides of "
        "it, before it (forward), and behind it (backward).",
    )
    parser.epilog = "example: keras-elmo substitutes runs/small 'The _ was cold .'"
    parser.add_argument("model", metavar="MODEL", help=LANGUAGE_MODEL_HELP)
    parser.add_argument(
        "words",
        metavar="SENTENCE",
        type=words_with_gap,
        help=f"its words separated by white space, one of them {GAP}",
    )
    parser.add_argument("--vocab", metavar="FILE", help="the vocabulary (the model's)")
    parser.add_argument(
        "--count",
        type=positive_int,
        default=10,
        metavar="N",
        help="how many words (10)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def words_with_gap(text: str) -> list[str]:
    """Words, one of them `_`.

    >>> words_with_gap("it _ on")
    ['it', '_', 'on']
    """
    words = text.split()
    if words.count(GAP) != 1:
        raise argparse.ArgumentTypeError(
            f"expected one word to be {GAP}, received {text!r}"
        )
    return words


def run(args):
    """Print the words, the likeliest first.

    Args:
        args: `argparse.Namespace` with `model`, `words`, `vocab`, `count` and `json`.

    Raises:
        FormatError: if the model has no softmax, or a file does not hold what it
            should.
        OSError: if a file cannot be read.
    """
    import dataclasses
    import json

    from keras_elmo.pretraining.model_files import load_language_model

    model = load_language_model(args.model, args.vocab)
    found = model.substitutes(args.words, args.count, GAP)
    if args.json:
        facts = [dataclasses.asdict(substitute) for substitute in found]
        print(json.dumps({"words": args.words, "substitutes": facts}))
        return
    print(f"{'both':>10} {'forward':>10} {'backward':>10}")
    for one in found:
        print(f"{one.both:10.4f} {one.forward:10.4f} {one.backward:10.4f}  {one.word}")
