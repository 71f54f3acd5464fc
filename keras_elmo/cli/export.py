"""The command `keras-elmo export`: a model as a SavedModel for TensorFlow Serving."""

from keras_elmo.cli._arguments import positive_int


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    from keras_elmo.cli import MODEL_HELP

    parser = subparsers.add_parser(
        "export",
        help="write a model as a SavedModel that TensorFlow Serving serves",
        description="Write a model as a SavedModel into BASE/VERSION, and print that "
        "folder. TensorFlow Serving, and keras-elmo serve, take BASE.",
    )
    parser.epilog = "example: keras-elmo export elmo_tiny_en models/elmo_tiny_en"
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "base",
        metavar="BASE",
        help="the model's base folder, made if absent; its name is the model's name",
    )
    parser.add_argument(
        "--version",
        type=positive_int,
        metavar="N",
        help="name of the version's folder (one above the highest there is)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args):
    """Export the model and print the path of its version's folder.

    Args:
        args: `argparse.Namespace` with `model`, `base`, `version` and `json`.

    Raises:
        FormatError: if the model does not load.
        OSError: if there is no such model, or the version is there already.

    What is printed looks like this:

        models/elmo_tiny_en/1
    """
    import json
    import os

    from keras_elmo.cli._quiet import native_stderr_held
    from keras_elmo.resolver import load_model

    model = load_model(args.model)
    with native_stderr_held():
        from keras_elmo.saved_model.writer import export_saved_model

        folder = export_saved_model(model, args.base, args.version)
    if args.json:
        version = int(os.path.basename(folder))
        facts = {"model": args.model, "folder": folder, "version": version}
        print(json.dumps(facts))
        return
    print(folder)
