"""Time and memory of embedding texts from a thousand to a million words.

    python -m tests.benchmarks.growth TEXT [--model elmo_tiny_en]

Each text is the first words of TEXT, tokenised, one sentence a line, over and over
where TEXT is shorter; all layers of its words come as NumPy arrays, which are let go.
Each is embedded by a process of its own, which tells its seconds without start-up, and
the most memory that it had.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import time

SIZES = [10**3, 10**4, 10**5, 10**6]


def sentences(path, words):
    """Lists of words, of so many words together, or a few more."""
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip()]
    left = words
    for line in itertools.cycle(lines):
        if left <= 0:
            return
        left -= len(line)
        yield line


def embed(path, model, words):
    from keras_elmo.embedding import SentenceEmbedder
    from keras_elmo.resolver import load_elmo

    embedder = SentenceEmbedder(load_elmo(model))
    for _ in embedder.embed(sentences(path, 100)):
        pass
    started, count = time.perf_counter(), 0
    for batch in embedder.embed(sentences(path, words)):
        count += sum(vectors.shape[-2] for _, vectors in batch)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"words": count, "seconds": seconds, "peak_mib": peak}))


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text", metavar="TEXT")
    parser.add_argument("--model", default="elmo_tiny_en", metavar="MODEL")
    parser.add_argument("--words", type=int, help=argparse.SUPPRESS)
    return parser


def main():
    args = build_parser().parse_args()
    if args.words:
        embed(args.text, args.model, args.words)
        return
    print("| words | seconds | words/s | peak MiB |")
    print("| --- " * 4 + "|")
    for words in SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.growth", args.text]
        command += ["--model", args.model, "--words", str(words)]
        told = json.loads(subprocess.run(command, check=True, stdout=-1).stdout)
        print(
            f"| {told['words']:,} | {told['seconds']:.2f} "
            f"| {told['words'] / told['seconds']:,.0f} | {told['peak_mib']:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
