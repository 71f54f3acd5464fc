"""The command `keras-elmo embed`: the vectors of a text file."""

from keras_elmo.cli._arguments import positive_int


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    from keras_elmo.cli import MODEL_HELP

    parser = subparsers.add_parser(
        "embed",
        help="write the vectors of a text to an HDF5 file",
        description="Write the vectors of a text to an HDF5 file in AllenNLP's layout: "
        "a data set a line, named 0, 1, and so on, and sentence_to_index, a JSON "
        "object from a sentence to its number (of equal sentences, the last one's).",
    )
    parser.epilog = "example: keras-elmo embed sentences.txt -o sentences.hdf5"
    parser.add_argument(
        "file",
        metavar="FILE",
        help="UTF-8, one sentence a line, its words separated by white space; - is "
        "standard input. A blank line is a sentence of no words",
    )
    parser.add_argument(
        "-o", "--out", metavar="OUT", required=True, help="the HDF5 file to write"
    )
    parser.add_argument(
        "--model", default="elmo_tiny_en", help=f"{MODEL_HELP} (elmo_tiny_en)"
    )
    parser.add_argument(
        "--layers",
        choices=["all", "top", "average", "mix"],
        default="all",
        help="all layers of the biLM, the highest one, their mean, or the model's own "
        "weighted sum (all)",
    )
    parser.add_argument(
        "--raw",
        action="store_true",
        help="FILE is running text: split its lines around punctuation too",
    )
    parser.add_argument(
        "--batch-tokens",
        type=positive_int,
        default=2048,
        metavar="N",
        help="words at a time, padding included (2048)",
    )
    parser.add_argument(
        "--token-cache",
        metavar="VOCAB",
        help="file of words, one a line, whose token vectors are computed beforehand "
        "and looked up; other words are spelled as ever",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args):
    """Embed the file, and tell how much and how fast.

    Args:
        args: `argparse.Namespace` with `file`, `out`, `model`, `layers`, `raw`,
            `batch_tokens`, `token_cache` and `json`.

    Raises:
        FormatError: if the text is not UTF-8, or the model does not load.
        OSError: if a file cannot be read or written.
    """
    import json

    from keras_elmo.cli._token_cache import cache_words
    from keras_elmo.embed_file import embed_file, read_lines
    from keras_elmo.resolver import load_elmo

    with _opened(args.file) as file:
        elmo = load_elmo(args.model)
        if args.token_cache is not None:
            cache_words([elmo], args.token_cache)
        with _Bar(file) as bar:
            sentences = bar.count(read_lines(file, args.raw))
            facts = embed_file(
                elmo, sentences, args.out, args.layers, args.batch_tokens, bar.update
            )
    if args.json:
        print(json.dumps({"model": args.model, "out": args.out, **facts}))
        return
    print(
        f"{args.out}: {facts['sentences']:,} sentences, {facts['tokens']:,} tokens "
        f"(layers: {facts['layers']}, vectors of {facts['width']})"
    )
    peak = facts["peak_memory_mib"]
    print(
        f"{facts['seconds']:.1f} seconds, {facts['tokens_per_second']:,.0f} tokens a "
        f"second, peak memory {'unknown' if peak is None else f'{peak:,.0f} MiB'}"
    )


def _opened(path):
    import contextlib
    import sys

    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    return open(path, "rb")


class _Bar:
    """A bar on stderr: how many of the file's bytes are embedded."""

    def __init__(self, file):
        import os
        import stat

        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

        from keras_elmo.cli._progress import progress_bar

        self._file, self._tokens_read = file, 0
        self._bar = progress_bar(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        )
        self._total = None  # of what is not a file the end is not known
        if not self._bar.disable:
            status = os.fstat(file.fileno())
            self._total = status.st_size if stat.S_ISREG(status.st_mode) else None
        self._task = self._bar.add_task("", total=self._total)

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *error):
        self._bar.stop()

    def count(self, sentences):
        for words in sentences:
            self._tokens_read += len(words)
            yield words

    def update(self, sentences, tokens):
        completed = None
        if self._total:
            # Text is read ahead of the model.
            share = tokens / max(self._tokens_read, 1)
            completed = share * self._file.tell()
        text = f"{sentences:,} sentences, {tokens:,} tokens"
        self._bar.update(self._task, completed=completed, description=text)
