"""The command `keras-elmo export`: a model as a SavedModel for TensorFlow Serving."""

from keras_elmo.cli._arguments import natural, positive_int


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
        help="the model's base folder, made if absent; its name is the model's name. "
        "With --format onnx, the file to write",
    )
    parser.add_argument(
        "--format",
        choices=["saved_model", "onnx"],
        default="saved_model",
        help="a SavedModel, or an ONNX file that starts from character ids; that needs "
        'pip install "keras_elmo[onnx]" (saved_model)',
    )
    parser.add_argument(
        "--version",
        type=positive_int,
        metavar="N",
        help="name of the version's folder (one above the highest there is)",
    )
    parser.add_argument(
        "--text",
        action="store_true",
        help="add the signature text, for raw text; its ops are tensorflow-text's, "
        "which TensorFlow Serving has and a bare TensorFlow not",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="names of the classes that a .keras model scores, one a line",
    )
    parser.add_argument(
        "--layers",
        choices=["all", "mix", "top", "average"],
        default="all",
        help="all outputs, or only vectors of the model's weighted sum, of its top "
        "layer or of the mean of all (all)",
    )
    parser.add_argument(
        "--pooling",
        choices=["mean", "max", "last"],
        default="mean",
        help="what a sentence's vector is of those of its words (mean)",
    )
    parser.add_argument(
        "--batch-sizes",
        type=natural,
        nargs="+",
        metavar="N",
        help="numbers of sentences of the warm-up requests: the server's allowed batch "
        "sizes; 0 for none (1)",
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        help="of the products; with bfloat16 weights, cells and outputs stay float32 "
        "(the model's)",
    )
    parser.add_argument(
        "--recurrent-dtype",
        choices=["float32", "bfloat16"],
        help="of the recurrent weights alone; with bfloat16 a sentence alone is "
        "answered sooner, with a little less precision than in a batch, which takes "
        "longer (the model's)",
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
    """Export the model and print the path of its version's folder.

    Args:
        args: `argparse.Namespace` with the arguments of the parser.

    Raises:
        FormatError: if the model does not load, or the labels do not fit it.
        OSError: if there is no such model, or the version is there already.

    What is printed looks like this:

        models/elmo_tiny_en/1
    """
    import json
    import os

    from keras_elmo.cli._quiet import export_held
    from keras_elmo.errors import FormatError

    write = _write_onnx if args.format == "onnx" else _write_saved_model
    try:
        with export_held():
            written = write(args)
    except FormatError:
        raise
    except (ValueError, ImportError) as error:  # options that are not for this model
        raise FormatError(f"{args.model}: {error}") from error
    if not args.json:
        print(written)
    elif args.format == "onnx":
        print(json.dumps({"model": args.model, "file": written}))
    else:
        version = int(os.path.basename(written))
        facts = {"model": args.model, "folder": written, "version": version}
        print(json.dumps(facts))


def _write_saved_model(args):
    from keras_elmo.cli._token_cache import cache_words
    from keras_elmo.elmo_layer import ElmoLayer
    from keras_elmo.in_dtype import in_dtype
    from keras_elmo.resolver import elmo_layers, load_model
    from keras_elmo.saved_model.writer import export_saved_model

    labels = None if args.labels is None else _read_labels(args.labels)
    model = load_model(args.model)
    if args.dtype is not None or args.recurrent_dtype is not None:
        policies = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
        model = in_dtype(model, policies.get(args.dtype), args.recurrent_dtype)
    if args.token_cache is not None:
        elmos = [model] if isinstance(model, ElmoLayer) else elmo_layers(model)
        cache_words(elmos, args.token_cache)
    return export_saved_model(
        model,
        args.base,
        args.version,
        labels=labels,
        text=args.text,
        layers=args.layers,
        pooling=args.pooling,
        batch_sizes=[size for size in args.batch_sizes or [1] if size],
        source=args.model,
    )


def _write_onnx(args):
    from keras_elmo.resolver import load_elmo
    from keras_elmo.saved_model.onnx_file import export_onnx

    savedmodels = ["version", "text", "labels", "batch_sizes", "dtype"]
    savedmodels += ["recurrent_dtype", "token_cache"]
    for option in savedmodels:
        if getattr(args, option):
            name = option.replace("_", "-")
            raise ValueError(f"--{name} is for a SavedModel, not for --format onnx.")
    elmo = load_elmo(args.model)
    return export_onnx(elmo, args.base, layers=args.layers, pooling=args.pooling)


def _read_labels(path):
    from keras_elmo.errors import FormatError

    try:
        with open(path, encoding="utf-8") as file:
            labels = file.read().splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: expected UTF-8, found: {error}.") from error
    for i, label in enumerate(labels, 1):
        if not label.strip():
            raise FormatError(f"{path}, line {i}: expected a label, found none.")
    return labels
