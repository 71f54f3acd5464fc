"""The command `keras-elmo query`: ask a model server about sentences."""

from keras_elmo.cli._arguments import positive_float


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    parser = subparsers.add_parser("query", help="ask a model server about sentences")
    parser.description = (
        "Ask a model server for the vectors of sentences, or for the outputs of a "
        "model around an ELMo: a tagger's labels, a classifier's scores."
    )
    parser.epilog = 'example: keras-elmo query 127.0.0.1:8500 "The cat sat ." --json'
    parser.add_argument("address", metavar="ADDRESS", help="HOST:PORT of the server")
    parser.add_argument(
        "sentences",
        metavar="SENTENCE",
        nargs="*",
        help="words separated by white space; without any, lines of standard input",
    )
    parser.add_argument(
        "--model",
        default="elmo_tiny_en",
        help="the model's name; a server can not be asked for it (elmo_tiny_en)",
    )
    parser.add_argument(
        "--signature",
        choices=["default", "tokens", "text"],
        default="default",
        help="send sentences, which the model splits at white space; or words split "
        "here; or raw text, which the model tokenizes (default)",
    )
    parser.add_argument(
        "--output",
        help="which output to print (elmo, or else labels, or else the model's first)",
    )
    parser.add_argument(
        "--status",
        action="store_true",
        help="print the versions of the model that the server knows of, nothing else",
    )
    parser.add_argument(
        "--timeout",
        type=positive_float,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for each answer (60)",
    )
    parser.add_argument(
        "--tls-ca", metavar="PEM", help="certificates to trust; switches TLS on"
    )
    parser.add_argument("--tls-key", metavar="PEM", help="the client's private key")
    parser.add_argument("--tls-cert", metavar="PEM", help="the client's certificate")
    parser.add_argument(
        "--tls-server-name",
        metavar="NAME",
        help="the name in the server's certificate, if it is not the address's",
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, with full vectors"
    )
    parser.set_defaults(run=run, list_argument="sentences", wrong_usage=parser.error)


def run(args):
    """Print an output for each sentence, or the model's versions.

    Args:
        args: `argparse.Namespace` with `address`, `sentences`, `model`, `signature`,
            `output`, `status`, `timeout`, `tls_ca`, `tls_key`, `tls_cert`,
            `tls_server_name`, `json`, and `wrong_usage`, which ends the process.

    Raises:
        ServingError: if the server is away or refuses the request.
        FormatError: if standard input is not UTF-8, or a file not PEM.
    """
    import os

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # errors are told by us, in a line
    from keras_elmo.serving.client import ElmoClient

    if not args.tls_ca and (args.tls_key or args.tls_cert or args.tls_server_name):
        args.wrong_usage(
            "--tls-key, --tls-cert, --tls-server-name: expected --tls-ca, too"
        )
    if bool(args.tls_key) != bool(args.tls_cert):
        args.wrong_usage("--tls-key, --tls-cert: expected both, received one")
    with ElmoClient(
        args.address,
        args.model,
        timeout=args.timeout,
        tls_ca=args.tls_ca,
        tls_key=args.tls_key,
        tls_cert=args.tls_cert,
        tls_server_name=args.tls_server_name,
    ) as client:
        (_print_status if args.status else _print_answers)(client, args)


def _print_status(client, args):
    import json

    versions = client.status()
    if args.json:
        print(json.dumps({"model": args.model, "versions": versions}))
        return
    for version in versions:
        error = f"  {version['error']}" if version["error"] else ""
        print(f"version {version['version']}  {version['state']}{error}")


def _print_answers(client, args):
    import json

    from keras_elmo.serving.embedding import is_per_word

    sentences = _read_sentences(args)
    signature = client.metadata().get(args.signature, {"outputs": {}})
    output = args.output or _first_output(signature["outputs"])
    per_word = is_per_word(signature, output)
    found = _ask(client, args.signature, sentences, output)
    if args.json:
        rows = [
            {"tokens": words, "shape": array.shape, "vectors": _to_json(array)}
            for words, array in found
        ]
        facts = {"model": args.model, "output": output, "sentences": rows}
        print(json.dumps(facts))
        return
    for sentence, (words, array) in zip(sentences, found, strict=True):
        print(f"{sentence}  {array.shape}")
        if not per_word:
            print(f"  {_few(array)}")
            continue
        if len(words) != len(array):  # Split by rules that are not known here.
            words = [str(i) for i in range(len(array))]
        width = max(map(len, words), default=0)
        for word, vector in zip(words, array, strict=True):
            print(f"  {word:{width}}  {_few(vector)}")


def _ask(client, signature, sentences, output):
    """The words and the output of each sentence."""
    import numpy as np

    if signature == "text":
        rows = client.embed(sentences, [output, "words"], signature="text")
        return [(row["words"].tolist(), np.asarray(row[output])) for row in rows]
    if signature == "tokens":
        words = [sentence.split() for sentence in sentences]
        rows = client.embed(words, output)
    else:
        # As the model splits: at the white space of ASCII.
        words = [
            [word.decode() for word in sentence.encode().split()]
            for sentence in sentences
        ]
        rows = client.embed(sentences, output, signature=signature)
    return list(zip(words, map(np.asarray, rows), strict=True))


def _first_output(outputs):
    """The output to print where none is named."""
    beside = {"lengths", "words", "starts", "ends"}
    names = ["elmo", "labels", *(name for name in outputs if name not in beside)]
    return next((name for name in names if name in outputs), "elmo")


def _read_sentences(args):
    import sys

    from keras_elmo.errors import FormatError

    try:
        sentences = args.sentences or [line.rstrip("\n") for line in sys.stdin]
        "".join(sentences).encode()
    except UnicodeError as error:
        raise FormatError(f"sentences: expected UTF-8, found: {error}.") from error
    return sentences


def _to_json(array):
    """Nested lists, with None for what is no number: JSON has no NaN."""
    import numpy as np

    if array.dtype.kind == "f" and not np.isfinite(array).all():
        array = np.where(np.isfinite(array), array, None)
    return array.tolist()


def _few(array):
    import numpy as np

    values = np.asarray(array, object).reshape(-1)  # Python's own numbers and strings
    more = " ..." if len(values) > 3 else ""
    return " ".join(map(_print_form, values[:3])) + more


def _print_form(value):
    return f"{value:7.4f}" if isinstance(value, float) else str(value)
