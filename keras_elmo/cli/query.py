"""The command `keras-elmo query`: ask a model server for vectors."""


def add_parser(subparsers):
    """Add the command to the parser of `keras-elmo`.

    Args:
        subparsers: What `argparse.ArgumentParser.add_subparsers` returned.

    >>> add_parser(argparse.ArgumentParser().add_subparsers())
    """
    parser = subparsers.add_parser("query", help="ask a model server for vectors")
    parser.description = (
        "Ask a model server for the vectors of sentences: of an exported ElmoLayer, "
        "not of a Keras model around one, whose inputs and outputs are its own."
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
        choices=["default", "tokens"],
        default="default",
        help="send sentences, or words split here (default)",
    )
    parser.add_argument("--output", default="elmo", help="which output to print (elmo)")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object, with full vectors"
    )
    parser.set_defaults(run=run, list_argument="sentences")


def run(args):
    """Print the vectors of sentences.

    Args:
        args: `argparse.Namespace` with `address`, `sentences`, `model`,
            `signature`, `output` and `json`.

    Raises:
        ServingError: if the server is away or refuses the request.
        FormatError: if standard input is not UTF-8.
    """
    import json

    from keras_elmo.serving.client import ElmoClient

    sentences = _read_sentences(args)
    with ElmoClient(args.address, args.model) as client:
        split_here = args.signature == "tokens"
        asked = [line.split() for line in sentences] if split_here else sentences
        vectors = client.embed(asked, args.output)
    tokens = [_name_tokens(*pair) for pair in zip(sentences, vectors, strict=True)]
    if args.json:
        rows = [
            {"tokens": words, "shape": array.shape, "vectors": array.tolist()}
            for words, array in zip(tokens, vectors, strict=True)
        ]
        facts = {"model": args.model, "output": args.output, "sentences": rows}
        print(json.dumps(facts))
        return
    for sentence, words, array in zip(sentences, tokens, vectors, strict=True):
        print(f"{sentence}  {array.shape}")
        if array.ndim < 2:
            print(f"  {_few(array)}")
            continue
        width = max(map(len, words), default=0)
        for word, vector in zip(words, array, strict=True):
            print(f"  {word:{width}}  {_few(vector)}")


def _read_sentences(args):
    import sys

    from keras_elmo.errors import FormatError

    try:
        sentences = args.sentences or [line.rstrip("\n") for line in sys.stdin]
        "".join(sentences).encode()
    except UnicodeError as error:
        raise FormatError(f"sentences: expected UTF-8, found: {error}.") from error
    return sentences


def _name_tokens(sentence, array):
    """The words that belong to the rows of `array`, or numbers for them.

    The model splits a sentence by rules of its own. Where it finds another number
    of words than Python does, they can not be told apart here.
    """
    words = sentence.split()
    if array.ndim < 2 or len(words) == len(array):
        return words
    return [str(i) for i in range(len(array))]


def _few(array):
    numbers = array.reshape(-1)
    more = " ..." if len(numbers) > 3 else ""
    return " ".join(f"{x:7.4f}" for x in numbers[:3]) + more
