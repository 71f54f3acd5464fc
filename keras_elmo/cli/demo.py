"""The command `keras-elmo demo`: the whole path, from words to a served answer."""


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.
    """
    parser = subparsers.add_parser(
        "demo", help="vectors in context, an export, a server and its answer"
    )
    parser.epilog = "example: keras-elmo demo"
    parser.set_defaults(run=run)


def run(args):
    """Show it on standard output.

    Args:
        args: Nothing is read from it.
    """
    from rich.console import Console

    from keras_elmo.cli._quiet import native_stderr_held
    from keras_elmo.demo import run_demo

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100
    with native_stderr_held():
        run_demo(console)
