"""The command `keras-elmo score`: how likely sentences and their words are."""

from keras_elmo.cli._arguments import positive_int


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    from keras_elmo.cli import LANGUAGE_MODEL_HELP, TEXT_HELP

    parser = subparsers.add_parser(
        "score",
        help="say how likely each sentence of a text is, and each of its words",
        description="For each line of a text, print the natural logarithm of its "
        "probability by a language model, from left to right (forward) and from right "
        "to left (backward), and the line. Sentence ends count; each sentence is read "
        "by itself; a word that the vocabulary does not have counts as <UNK>.",
    )
    parser.epilog = "example: keras-elmo score runs/small sentences.txt --tokens"
    parser.add_argument("model", metavar="MODEL", help=LANGUAGE_MODEL_HELP)
    parser.add_argument(
        "text",
        metavar="TEXT",
        help=f"{TEXT_HELP}; - is standard input. A blank line is a sentence of no "
        "words",
    )
    parser.add_argument("--vocab", metavar="FILE", help="the vocabulary (the model's)")
    parser.add_argument(
        "--batch",
        type=positive_int,
        default=32,
        metavar="N",
        help="sentences that are computed at a time; the result is the same (32)",
    )
    parser.add_argument(
        "--tokens",
        action="store_true",
        help="print a line for each word too, and one for </S> and <S>, which end a "
        "sentence forward and backward; unknown words are marked with *",
    )
    parser.add_argument(
        "--errors",
        choices=["strict", "replace"],
        default="strict",
        help="what to do with text that is not UTF-8: stop, or read U+FFFD (strict)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object a line instead, each word's logarithms in it",
    )
    parser.set_defaults(run=run)


def run(args):
    """Print a line, or more, for each sentence.

    Args:
        args: `argparse.Namespace` with `model`, `text`, `vocab`, `batch`, `tokens`,
            `errors` and `json`.

    Raises:
        FormatError: if the model has no softmax, or a file does not hold what it
            should.
        OSError: if a file cannot be read.
    """
    import json
    import sys

    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from keras_elmo.cli._progress import progress_bar
    from keras_elmo.pretraining.model_files import load_language_model
    from keras_elmo.pretraining.scoring import score_sentences

    sentences = _sentences(args)
    model = load_language_model(args.model, args.vocab)
    bar = progress_bar(
        TextColumn("{task.completed:,.0f} sentences"), BarColumn(), TimeElapsedColumn()
    )
    task = bar.add_task("", total=None)
    bar.disable |= sys.stdout.isatty()  # where it would get between the lines
    with bar:
        for score in score_sentences(model, sentences, args.batch):
            if args.json:
                print(json.dumps(_facts(score)))
            else:
                _show(score, args.tokens)
            bar.advance(task)


def _sentences(args):
    import itertools
    import sys

    from keras_elmo.embed_file import read_lines
    from keras_elmo.pretraining.corpus import read_sentences

    if args.text == "-":
        return read_lines(sys.stdin.buffer, errors=args.errors)
    sentences = read_sentences([args.text], args.errors, keep_blank_lines=True)
    # A file that is not there is told before the model is loaded.
    return itertools.chain(list(itertools.islice(sentences, 1)), sentences)


def _facts(score):
    return {
        "words": score.words,
        "unknown": score.unknown,
        "forward": score.forward.tolist(),
        "backward": score.backward.tolist(),
        "forward_total": score.forward_total,
        "backward_total": score.backward_total,
    }


def _show(score, tokens):
    words = [
        f"{word} *" if unknown else word
        for word, unknown in zip(score.words, score.unknown, strict=True)
    ]
    rows = [(score.forward_total, score.backward_total, " ".join(score.words))]
    if tokens:
        names = [f"  {name}" for name in (*words, "</S>, <S>")]
        rows += zip(score.forward, score.backward, names, strict=True)
    for forward, backward, text in rows:
        print(f"{forward:12.4f} {backward:12.4f}  {text}".rstrip())
