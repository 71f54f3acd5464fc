"""`keras-elmo pretrain` beside the training of AI2's bilm and of simple-elmo.

    export KERAS_ELMO_BILM_PYTHON=venv-bilm/bin/python
    export KERAS_ELMO_SIMPLE_ELMO_PYTHON=venv-simple-elmo/bin/python
    python -m tests.benchmarks.pretraining_side_by_side WORK \
        --train 'lm_en/train-*.txt.gz' --heldout lm_en/heldout.txt

All read the first `--tokens` words and sentence ends of the shards, with the 20,000
most frequent words of them as the vocabulary.

Quality: bilm and keras_elmo, both with AI2's independent streams and carried state,
take as many steps from each seed. Of both, `keras-elmo evaluate --carry-state` says
what they make of the held-out text when its rows start from zero states, and
`continued_perplexity.py` what they make of it from the states that training ended with:
a model that has not seen zero states since its first step may be lost there.

Speed and memory: bilm, simple-elmo and keras_elmo in both stream modes, and with mixed
precision, take `--steps` steps in turn, `--rounds` times, always with all filters; the
first 20 steps and validation are left out of the speed. One program runs at a time, on
the cores alone.

Each result is a line of WORK/results.jsonl as soon as it is known, and the same command
goes on where it was stopped; a round that something else on the computer disturbed
(`other_cores`) is measured again when its line is deleted. At the end, or with --table
alone, come the tables; the exit code is 1 if a target is missed.
"""

import argparse
import json
import pathlib
import shutil
import signal
import sys

from keras_elmo.pretraining.run_folder import LAST
from tests.benchmarks.pretraining_runs import (
    AI2_STREAMS,
    BATCH,
    PEERS,
    STATES,
    UNROLL,
    Work,
    evaluate,
    evaluate_from_training,
    run_peer,
    train_ours,
    train_peer,
)
from tests.benchmarks.pretraining_tables import (
    BILM,
    INDEPENDENT,
    MIXED,
    OURS,
    SHARED,
    TRAINING,
    WAYS,
    ZERO,
    quality_table,
    speed_table,
    verdicts,
)

WARM_UP = 20  # steps
SPECIAL = {SHARED: [], INDEPENDENT: AI2_STREAMS, MIXED: ["--dtype", "mixed_bfloat16"]}


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", metavar="WORK", type=pathlib.Path, help="a folder")
    parser.add_argument("--train", metavar="PATTERN", help="shards, .gz or not")
    parser.add_argument("--heldout", metavar="FILE", help="text to evaluate on")
    parser.add_argument(
        "--parts", nargs="+", choices=["quality", "speed"], default=["quality", "speed"]
    )
    parser.add_argument(
        "--tokens", type=int, default=500_000, metavar="N", help="(500000)"
    )
    parser.add_argument(
        "--epochs", type=float, default=1.0, metavar="N", help="of quality (1)"
    )
    parser.add_argument(
        "--filters-divisor",
        type=int,
        default=1,
        metavar="N",
        help="of N filters leave one, for quality (1)",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="N")
    parser.add_argument(
        "--steps", type=int, default=100, metavar="N", help="of speed, 60 or more (100)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="of speed (3)"
    )
    parser.add_argument("--table", action="store_true", help="run nothing")
    return parser


def measure_quality(work, seeds):
    steps = int(work.settings["epochs"] * work.tokens) // (BATCH * UNROLL)
    for seed in seeds:
        for who in (BILM, OURS):
            # The last of its lines.
            if work.is_done(part="quality", who=who, seed=seed, start=ZERO):
                continue
            name = f"quality-{who}-{seed}"
            points = work.points(name)
            if who == OURS:
                train_ours(work, "quality", steps, seed, name, AI2_STREAMS)
            elif not points.exists():
                train_peer(work, who, "quality", steps, seed, name)
            key = {"part": "quality", "who": who, "seed": seed, "steps": steps}
            states = LAST if who == OURS else STATES
            for start, facts in [
                (TRAINING, evaluate_from_training(work, name, states)),
                (ZERO, evaluate(work, name)),
            ]:
                work.add(**key, start=start, **facts)


def measure_speed(work, rounds):
    steps = work.settings["speed_steps"]
    for number in range(1, rounds + 1):
        for i, who in enumerate(WAYS):
            if work.is_done(part="speed", who=who, round=number):
                continue
            name = f"speed-{i}-{number}"
            shutil.rmtree(work.run(name), ignore_errors=True)
            if who in PEERS:
                facts = train_peer(work, who, "speed", steps, number, name)
            else:
                facts = train_ours(work, "speed", steps, number, name, SPECIAL[who])
            speed = tokens_per_second(json.loads(work.points(name).read_text()))
            work.add(part="speed", who=who, round=number, tokens_per_s=speed, **facts)
            shutil.rmtree(work.run(name))


def tokens_per_second(points):
    """The speed from the first point after the warm-up to the last one."""
    counted = [point for point in points if point[0] >= WARM_UP]
    (first, start), (last, end) = counted[0], counted[-1]
    return round((last - first) * BATCH * UNROLL / (end - start), 1)


def print_tables(results):
    """Print what there is; returns whether all targets are met."""
    perplexity = {}
    for start in (ZERO, TRAINING):
        lines, perplexity[start] = quality_table(results, start)
        if lines:
            print("\n".join([f"Read from {start}:", "", *lines, ""]))
    speeds, ratios = speed_table(results)
    print("\n".join(speeds))
    if speeds:
        rounds = [result for result in results if result["part"] == "speed"]
        busiest = max(result["other_cores"] for result in rounds)
        print(f"\nAt most {busiest} cores were busy with something else meanwhile.")
    found = list(verdicts(perplexity, ratios))
    for held, text in found:
        print("met   " if held else "MISSED", text)
    return all(held for held, _ in found)


def main():
    parser = build_parser()
    args = parser.parse_args()
    names = ("train", "heldout", "tokens", "epochs", "filters_divisor")
    settings = {name: getattr(args, name) for name in names}
    work = Work(args.work.resolve(), settings | {"speed_steps": args.steps})
    if not args.table:
        if not args.train or not args.heldout:
            parser.error("--train and --heldout are needed unless --table is given")
        if args.steps < 3 * WARM_UP:
            parser.error(f"--steps: expected {3 * WARM_UP} or more, found {args.steps}")
        # The program that runs is ended with this one.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        work.prepare()
        for peer in [BILM] if args.parts == ["quality"] else PEERS:
            run_peer(peer, ["-c", f"import {PEERS[peer][0]}"], work.log(peer))
        if "quality" in args.parts:
            measure_quality(work, args.seeds)
        if "speed" in args.parts:
            measure_speed(work, args.rounds)
    results = work.read()
    if not results:
        sys.exit(f"{work.results}: expected results, found none.")
    return 0 if print_tables(results) else 1


if __name__ == "__main__":
    sys.exit(main())
