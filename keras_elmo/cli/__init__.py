"""The command `keras-elmo`: one module a command, none of which holds any logic."""

import argparse
import functools
import importlib
import sys
from collections.abc import Sequence

from keras_elmo.cli._quiet import import_tensorflow
from keras_elmo.cli._threads import compute_directions_at_once, threads_kept
from keras_elmo.errors import FormatError

COMMANDS = (
    "demo",
    "inspect",
    "embed",
    "export",
    "serve",
    "query",
    "vocab",
    "pretrain",
    "finetune",
    "evaluate",
    "score",
    "substitutes",
)
# They spend their time on both directions of a biLM.
BOTH_DIRECTIONS = ("embed", "pretrain", "finetune")
MODEL_HELP = (
    "a preset's name (elmo_tiny_en) or folder, a folder or ZIP archive with "
    "options.json and one .hdf5 file, OPTIONS.json,WEIGHTS.hdf5, a .keras file, the "
    "folder of a training run, ours or bilm-tf's, or an .npz checkpoint of ours"
)
LANGUAGE_MODEL_HELP = (
    "folder of a training run, or another model that has a softmax and a vocabulary: "
    "a checkpoint of a run, bilm's training folder, or a preset"
)
TEXT_HELP = (
    "UTF-8, one sentence a line, its words separated by white space; what ends in .gz "
    "is compressed"
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands.

    >>> build_parser().parse_args(["demo"]).command
    'demo'
    """
    parser = argparse.ArgumentParser(
        prog="keras-elmo",
        description="ELMo for Keras: contextual word vectors from a bidirectional "
        "language model.",
        epilog="example: keras-elmo demo",
    )
    subparsers = parser.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        # An option that another one's name begins with is not that one.
        parser_class=functools.partial(argparse.ArgumentParser, allow_abbrev=False),
    )
    for command in COMMANDS:
        importlib.import_module(f"keras_elmo.cli.{command}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Its arguments; those of the process where None.

    Returns:
        The exit status: 0 done, 1 an expected error, told in one line on stderr.
        Wrong usage ends the process with 2.
    """
    args = _parse(argv)
    try:
        with threads_kept():
            if args.command in BOTH_DIRECTIONS:
                compute_directions_at_once()
            import_tensorflow()
            return args.run(args) or 0
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough of it; nothing is left to be said.
        sys.stderr.close()
        return 0
    except (FormatError, OSError) as error:
        print(f"keras-elmo: {_one_line(error)}", file=sys.stderr)
        return 1


def _parse(argv):
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    # Python 3.11 ends a list of arguments at the first option, empty or not; what
    # stands behind the option comes back as not known.
    more = getattr(args, "list_argument", None)
    if more is None or any(word.startswith("-") for word in rest):
        return parser.parse_args(argv)
    getattr(args, more).extend(rest)
    return args


def _one_line(error):
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
