"""The learning curve of a training run as a picture, from its log.

    python tests/benchmarks/learning_curve.py RUN curve.png --line "5-gram" 178.7

Held-out perplexity by the full softmax, both directions, over the tokens read; the
sampled perplexity of training, which is another thing, on an axis of its own below.
"""

import argparse
import json
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def read_log(run):
    """The lines of a run's log."""
    lines = (pathlib.Path(run) / "log.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("picture")
    parser.add_argument("--line", nargs=2, metavar=("NAME", "PERPLEXITY"))
    args = parser.parse_args()
    log = read_log(args.run)
    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, figsize=(7, 6), height_ratios=(3, 1), layout="constrained"
    )
    validations = [entry for entry in log if entry["heldout"]]
    million = [entry["tokens"] / 1e6 for entry in validations]
    for direction, style in (("forward", "-"), ("backward", "--")):
        perplexity = [entry["heldout"][direction] for entry in validations]
        above.plot(million, perplexity, style, label=direction)
    if args.line:
        name, perplexity = args.line
        above.axhline(float(perplexity), color="grey", linewidth=1, label=name)
    above.set(yscale="log", ylabel="held-out perplexity")
    above.yaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
    above.yaxis.set_minor_formatter(matplotlib.ticker.ScalarFormatter())
    above.legend()
    steps = [entry for entry in log if entry["loss"] is not None]
    below.plot(
        [entry["tokens"] / 1e6 for entry in steps],
        [entry["loss"] for entry in steps],
        color="grey",
        linewidth=0.5,
    )
    below.set(xlabel="million tokens read", ylabel="sampled loss, nats")
    figure.savefig(args.picture, dpi=110)


if __name__ == "__main__":
    main()
