"""Put a load on a model server and print what came of it.

    python export/load_test.py 127.0.0.1:8500 elmo_tiny_en --concurrency 8 --duration 10

Needs keras_elmo; --plot needs its extra, `pip install "keras_elmo[plot]"`.
"""

import argparse
import json
import sys

from keras_elmo.serving import ServingError
from keras_elmo.serving.load_test import run_load

SENTENCES = [
    "The cat sat on the mat .",
    "Hello !",
    "Vectors of words depend on the sentence that the words stand in .",
    "A bank lends money ; another bank lies along the river .",
]


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address", metavar="ADDRESS", help="HOST:PORT of gRPC")
    parser.add_argument("model", metavar="MODEL", help="the model's name")
    parser.add_argument(
        "--sentences", metavar="FILE", help="one a line, UTF-8 (a built-in few)"
    )
    parser.add_argument(
        "--signature",
        choices=["default", "serving_default", "tokens"],
        default="default",
        help="what to call (default)",
    )
    parser.add_argument(
        "--output",
        action="append",
        help="an output to ask for; may be repeated (elmo); all: every output",
    )
    parser.add_argument("--version", type=int, help="version (the newest)")
    parser.add_argument("--batch", type=int, default=1, help="sentences a request (1)")
    loop = parser.add_mutually_exclusive_group()
    loop.add_argument("--concurrency", type=int, help="requests in flight (1)")
    loop.add_argument("--rate", type=float, help="requests a second, come what may")
    parser.add_argument("--duration", type=float, help="seconds of sending")
    parser.add_argument("--requests", type=int, help="number of requests")
    parser.add_argument("--warmup", type=int, default=1, help="uncounted before (1)")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds each (60)")
    parser.add_argument("--ca", metavar="PEM", help="trust this certificate; TLS")
    parser.add_argument("--cert", metavar="PEM", help="the client's own certificate")
    parser.add_argument("--key", metavar="PEM", help="its key")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", metavar="FILE", help="draw a picture (.png, .svg)")
    return parser


def main():
    parser = build_parser()
    args = parser.parse_args()
    if args.duration is None and args.requests is None:
        args.duration = 10.0
    try:
        report = run_load(
            args.address,
            args.model,
            read_sentences(args.sentences),
            signature_name=args.signature,
            outputs=[] if args.output == ["all"] else args.output or ["elmo"],
            version=args.version,
            batch=args.batch,
            concurrency=args.concurrency,
            rate=args.rate,
            duration=args.duration,
            requests=args.requests,
            warmup=args.warmup,
            timeout=args.timeout,
            tls_ca=args.ca,
            tls_cert=args.cert,
            tls_key=args.key,
        )
        print(json.dumps(report.as_json()) if args.json else report.text(), flush=True)
        if args.plot:
            report.plot(args.plot)
    except ValueError as error:
        parser.error(str(error))
    except (ServingError, OSError, ImportError) as error:
        print(f"load_test.py: {error}", file=sys.stderr)
        return 1
    return 1 if report.errors else 0


def read_sentences(path):
    if path is None:
        return SENTENCES
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


if __name__ == "__main__":
    sys.exit(main())
