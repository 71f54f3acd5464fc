"""The command `keras-elmo serve`: answer requests for vectors by gRPC."""

from keras_elmo.cli._arguments import port, positive_float, positive_int


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    parser = subparsers.add_parser(
        "serve",
        help="serve a model by gRPC, for development and small loads",
        description="Answer TensorFlow Serving's protocol: Predict, Classify, Regress, "
        "metadata, status, health. For development, tests and small loads; REST, "
        "metrics, labels and reloading are what TensorFlow Serving itself has.",
    )
    parser.epilog = "example: keras-elmo serve elmo_tiny_en --port 8500"
    parser.add_argument(
        "base",
        metavar="BASE",
        help="a model's base folder, which holds exported versions (1, 2, ...); or "
        "any other model: a preset's name or folder, OPTIONS,WEIGHTS, a .keras file, "
        "which is exported into a temporary folder first",
    )
    parser.add_argument(
        "--port", type=port, default=8500, help="TCP port, 0 for a free one (8500)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (127.0.0.1: this computer only)",
    )
    parser.add_argument(
        "--batching-parameters-file",
        metavar="FILE",
        help="merge requests into batches; TensorFlow Serving's BatchingParameters as "
        "protobuf text (no batching)",
    )
    parser.add_argument(
        "--ssl-config-file",
        metavar="FILE",
        help="serve by TLS; TensorFlow Serving's SSLConfig as protobuf text (no TLS)",
    )
    parser.add_argument(
        "--poll-seconds",
        type=positive_float,
        default=1.0,
        metavar="S",
        help="time between two looks for a newer version (1)",
    )
    parser.add_argument(
        "--max-message-bytes",
        type=positive_int,
        metavar="N",
        help="size of the largest request and reply (2 GiB)",
    )
    parser.add_argument(
        "--grace",
        type=positive_float,
        default=30.0,
        metavar="S",
        help="time that SIGTERM leaves requests under way to finish (30)",
    )
    parser.set_defaults(run=run)


def run(args):
    """Serve until SIGINT or SIGTERM; print one line once requests are answered.

    Args:
        args: `argparse.Namespace` with the arguments of the parser.

    Raises:
        FormatError: if the model does not load, or a file is not what it should be.
        OSError: if there is no such model or file, or the port is taken.
    """
    import signal
    import tempfile

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="keras_elmo-") as folder:
            _serve(args, folder)
    except KeyboardInterrupt:
        pass  # Being stopped is this command's normal end.


def _serve(args, folder):
    import os

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # errors are told by us, in a line
    from keras_elmo.errors import FormatError
    from keras_elmo.saved_model.version_folders import version_folders
    from keras_elmo.serving.batching_parameters import read_batching_parameters
    from keras_elmo.serving.server import ModelServer
    from keras_elmo.serving.ssl_config import read_ssl_config

    batching = ssl_config = None
    if args.batching_parameters_file:
        batching = read_batching_parameters(args.batching_parameters_file)
    if args.ssl_config_file:
        ssl_config = read_ssl_config(args.ssl_config_file)
    base = args.base
    if os.path.exists(os.path.join(base, "saved_model.pb")):
        parent = os.path.dirname(os.path.abspath(base))
        raise FormatError(
            f"{base}: expected the base folder of versions, found one version; its "
            f"base folder is {parent}."
        )
    if os.path.isdir(base) and not os.listdir(base):
        raise FormatError(
            f"{base}: expected version folders, named by integers, or a model's files, "
            "found nothing."
        )
    if not (os.path.isdir(base) and version_folders(base)):
        base = _export(base, folder)
    with ModelServer(
        base,
        host=args.host,
        port=args.port,
        batching=batching,
        poll_seconds=args.poll_seconds,
        ssl_config=ssl_config,
        max_message_bytes=args.max_message_bytes,
        grace=args.grace,
    ) as server:
        print(
            f"serving {server.model_name} version {server.version} at {server.address}",
            flush=True,
        )
        server.wait()


def _export(source, folder):
    """Export the model `source` below `folder`; returns its base folder."""
    import os

    from keras_elmo.cli._quiet import export_held
    from keras_elmo.resolver import load_model, model_name
    from keras_elmo.saved_model.writer import export_saved_model

    model = load_model(source)
    base = os.path.join(folder, model_name(source))
    with export_held():
        export_saved_model(model, base)
    return base
