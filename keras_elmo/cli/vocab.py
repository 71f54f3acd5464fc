"""The command `keras-elmo vocab`: the vocabulary of a language model."""

from keras_elmo.cli._arguments import positive_int


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    parser = subparsers.add_parser(
        "vocab",
        help="count the words of a text and write a vocabulary",
        description="Write the words of tokenised text, one a line: <S>, </S> and "
        "<UNK>, then by falling frequency.",
    )
    parser.epilog = (
        "example: keras-elmo vocab 'shards/*.txt.gz' -o vocab.txt --size 50000"
    )
    parser.add_argument(
        "shards",
        metavar="SHARD",
        nargs="+",
        help="UTF-8 text, one sentence a line, its words separated by white space; "
        "what ends in .gz is compressed. A file or a pattern, in quotes",
    )
    parser.add_argument(
        "-o", "--out", metavar="OUT", required=True, help="the file to write"
    )
    parser.add_argument(
        "--min-count",
        type=positive_int,
        default=1,
        metavar="N",
        help="leave out words that occur less often (1)",
    )
    parser.add_argument(
        "--size",
        type=positive_int,
        metavar="N",
        help="keep at most so many words, the three special ones included",
    )
    parser.add_argument(
        "--errors",
        choices=["strict", "replace"],
        default="strict",
        help="what becomes of text that is not UTF-8: an error that names the line, or "
        "U+FFFD (strict)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args):
    """Write the vocabulary, and tell its size and what it covers.

    Args:
        args: `argparse.Namespace` with `shards`, `out`, `min_count`, `size`,
            `errors` and `json`.

    Raises:
        FormatError: if a shard is not UTF-8 or not gzip, or there is no text.
        OSError: if a file cannot be read or written.
    """
    import json
    import os

    from keras_elmo.cli._progress import progress_bar
    from keras_elmo.errors import FormatError
    from keras_elmo.pretraining.corpus import find_shards, read_sentences
    from keras_elmo.text.vocabulary import (
        UNKNOWN,
        count_words,
        most_frequent,
        write_vocabulary,
    )

    folder = os.path.dirname(os.path.abspath(args.out))
    os.stat(folder)  # before the work, not after it
    shards = {}
    for pattern in args.shards:
        shards |= dict.fromkeys(find_shards(pattern))  # each once
    with progress_bar() as bar:
        paths = bar.track(shards, description="shards")
        counts = count_words(read_sentences(paths, args.errors))
    tokens = counts.total()
    if not tokens:
        raise FormatError(f"{', '.join(shards)}: expected sentences, found none.")
    words = list(most_frequent(counts, args.min_count, args.size))
    write_vocabulary(args.out, words)
    covered = sum(counts[word] for word in words if word != UNKNOWN)
    facts = {
        "out": args.out,
        "words": len(words),
        "distinct_words": len(counts),
        "tokens": tokens,
        "covered_tokens": covered,
        "covered": covered / tokens,
    }
    if args.json:
        print(json.dumps(facts))
        return
    print(f"{args.out}: {len(words):,} words, 3 special ones included")
    print(f"{len(counts):,} words occur")
    print(f"{covered / tokens:.2%} of {tokens:,} tokens covered")
