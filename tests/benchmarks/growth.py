"""Time and memory of embedding texts from a thousand to a million words.

    python -m tests.benchmarks.growth SHARDS [--model elmo_tiny_en]

Each text is the first words of SHARDS, a pattern, tokenised, one sentence a line; all
layers of its words come as NumPy arrays, which are let go. Each is embedded by a
process of its own, which tells its seconds without start-up, and the most memory that
it had.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

from keras_elmo.pretraining.corpus import find_shards, read_sentences

SIZES = [10**3, 10**4, 10**5, 10**6]


def sentences(pattern, words):
    """Lists of words, of so many words together, or a few more."""
    left = words
    for sentence in read_sentences(find_shards(pattern)):
        if left <= 0:
            return
        left -= len(sentence)
        yield sentence


def embed(pattern, model, words):
    from keras_elmo.embedding import SentenceEmbedder
    from keras_elmo.resolver import load_elmo

    embedder = SentenceEmbedder(load_elmo(model))
    for _ in embedder.embed(sentences(pattern, 5000)):  # several batches
        pass
    started, count = time.perf_counter(), 0
    for batch in embedder.embed(sentences(pattern, words)):
        count += sum(vectors.shape[-2] for _, vectors in batch)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"words": count, "seconds": seconds, "peak_mib": peak}))


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shards", metavar="SHARDS")
    parser.add_argument("--model", default="elmo_tiny_en", metavar="MODEL")
    parser.add_argument("--words", type=int, help=argparse.SUPPRESS)
    return parser


def main():
    args = build_parser().parse_args()
    if args.words:
        embed(args.shards, args.model, args.words)
        return
    print("| words | seconds | words/s | peak MiB |")
    print("| --- " * 4 + "|")
    for words in SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.growth", args.shards]
        command += ["--model", args.model, "--words", str(words)]
        told = json.loads(subprocess.run(command, check=True, stdout=-1).stdout)
        print(
            f"| {told['words']:,} | {told['seconds']:.2f} "
            f"| {told['words'] / told['seconds']:,.0f} | {told['peak_mib']:,.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
