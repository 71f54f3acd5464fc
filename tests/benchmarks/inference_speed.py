"""Inference beside AI2's bilm and simple-elmo: the same weights, text and outputs.

    export KERAS_ELMO_BILM_PYTHON=venv-bilm/bin/python
    export KERAS_ELMO_SIMPLE_ELMO_PYTHON=venv-simple-elmo/bin/python
    export KERAS_ELMO_MINILM_PYTHON=venv-minilm/bin/python
    python -m tests.benchmarks.inference_speed WORK TEXT SHARDS [--works NAME ...]

TEXT has tokenised sentences, one a line; the 50,000 commonest words of SHARDS, a
pattern, are those of the token cache. Strings go in, all layers come out as NumPy
arrays (of all-MiniLM-L6-v2, which is there for the scale, the vectors of its tokens; a
second's words are those of the text). Of each work all programs are started, each in a
process of its own; each embeds a few batches to warm up, and then they embed the text
in turn, `--rounds` times, while the others wait. A ratio is that of a round; figures
are medians, in brackets the least and the largest. The fastest is the one with the
highest median; which one that is stands behind the ratio.

Each work's results are a line of WORK/inference.jsonl as soon as they are known, and
the same command goes on with the next. At the end, or with --table alone, come the
tables; the exit code is 1 if a target is missed.
"""

import argparse
import json
import pathlib
import statistics
import sys

import keras

import keras_elmo
from keras_elmo.ai2.options import bilm_arguments, encoder_arguments
from keras_elmo.pretraining.configs import CONFIGS
from tests.benchmarks.inference_works import (
    BFLOAT16,
    BILM,
    CACHED,
    FLOAT32,
    MEMORY_WORK,
    MINILM,
    MOST_MEMORY,
    RECURRENT,
    SIMPLE_ELMO,
    WORKS,
)
from tests.benchmarks.pretraining_runs import run_ours
from tests.benchmarks.running_program import RunningProgram


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", metavar="WORK", type=pathlib.Path, help="a folder")
    parser.add_argument("text", metavar="TEXT", type=pathlib.Path, nargs="?")
    parser.add_argument("shards", metavar="SHARDS", nargs="?")
    parser.add_argument(
        "--works", nargs="+", choices=WORKS, default=list(WORKS), metavar="NAME"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="(5)")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument(
        "--plot", metavar="FILE.png", help="the table as a picture (extra `plot`)"
    )
    return parser


def model_files(folder, name):
    """Random weights of a named size in AI2's format, made once."""
    model = folder / name
    if not model.exists():
        keras.utils.set_random_seed(0)
        options = CONFIGS[name]
        elmo = keras_elmo.ElmoLayer(
            keras_elmo.CharacterEncoder(**encoder_arguments(options)),
            keras_elmo.BiLM(**bilm_arguments(options)),
        )
        elmo.build(None)
        keras_elmo.save_ai2(elmo, model)
    return {
        "options": str(model / "options.json"),
        "weights": str(model / "lm_weights.hdf5"),
    }


def common_words(folder, shards):
    """The 50,000 commonest words of a text, in a file that is made once."""
    words = folder / "words.txt"
    if not words.exists():
        command = ["-m", "keras_elmo", "vocab", shards, "-o", words, "--size", 50_000]
        run_ours(command, folder / "vocab.log")
    return str(words)


def measure(folder, text, shards, name, rounds):
    """Times of all programs of a work, in turn."""
    work = WORKS[name]
    shared = model_files(folder, work.model) | work.rows | {"text": str(text.resolve())}
    programs, facts = {}, {}
    try:
        for way, spec in work.ways.items():
            if spec.get("cache") == CACHED:
                spec = spec | {"cache": common_words(folder, shards)}
            started = RunningProgram(folder / f"{name}, {way}", shared | spec)
            programs[way], facts[way] = started, started.answer()
        for way in programs:
            facts[way]["seconds"] = []
        for _ in range(rounds):
            for way, program in programs.items():
                told = program.run()
                facts[way]["seconds"].append(told["seconds"])
                facts[way]["peak_mib"] = told["peak_mib"]
    finally:
        for program in programs.values():
            program.end()
    check_vectors(name, facts)
    return {"work": name, "ways": facts}


def check_vectors(name, facts):
    """That the programs compute the same, by the sum over the first batch."""
    expected = facts[WORKS[name].peers[0]]["checksum"]
    for way, told in facts.items():
        known = {BFLOAT16: 1e-2, RECURRENT: 1e-2, MINILM: float("inf")}
        tolerance = known.get(way, 1e-5)
        if abs(told["checksum"] - expected) > tolerance * expected:
            sys.exit(
                f"{name}: {way}: expected vectors whose absolute values sum up to "
                f"{expected}, found {told['checksum']}."
            )


def table(results):
    """Lines of the table, and the ratio of each way that has a target."""
    lines = [
        "| work | program | words/s | times the fastest | expected |",
        "| --- " * 5 + "|",
    ]
    found = []
    for result in results:
        work, facts = WORKS[result["work"]], result["ways"]
        speeds = {
            way: [facts[way]["tokens"] / s for s in facts[way]["seconds"]]
            for way in facts
        }
        for way, speed in speeds.items():
            compared, least = [], work.targets.get(way)
            for group in work.references if way not in work.peers else []:
                fastest = max(group, key=lambda w: statistics.median(speeds[w]))
                ratios = [a / b for a, b in zip(speed, speeds[fastest], strict=True)]
                compared.append(f"{spread(ratios, 2)} ({fastest})")
                if least and group is work.references[0]:
                    middle = statistics.median(ratios)
                    found.append((result["work"], way, middle, least))
            lines.append(
                f"| {result['work']} | {way} | {spread(speed, 0)} "
                f"| {', '.join(compared)} | {least or ''} |"
            )
    return lines, found


def memory_table(results):
    """Lines of the table of memory above the imports, and ours of each peer's."""
    facts = {result["work"]: result["ways"] for result in results}.get(MEMORY_WORK)
    if facts is None:
        return [], []
    above = {
        way: facts[way]["peak_mib"] - facts[way]["imports_mib"]
        for way in (BILM, SIMPLE_ELMO, FLOAT32)
    }
    lines = [
        "| program | MiB above the imports | ours of it | expected at most |",
        "| --- " * 4 + "|",
        f"| {FLOAT32} | {above[FLOAT32]:,.0f} | | |",
    ]
    found = []
    for way, most in MOST_MEMORY.items():
        ratio = above[FLOAT32] / above[way]
        lines.append(f"| {way} | {above[way]:,.0f} | {ratio:.2f} | {most:.2f} |")
        found.append((way, ratio, most))
    return lines, found


def plot(results, path):
    """Words a second of all programs, relative to the fastest peer, as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = []
    for result in results:
        work, facts = WORKS[result["work"]], result["ways"]
        speeds = {
            way: facts[way]["tokens"] / statistics.median(facts[way]["seconds"])
            for way in facts
        }
        fastest = max(speeds[way] for way in work.references[0])
        bars += [
            (f"{result['work']}: {way}", speed / fastest, way in work.peers)
            for way, speed in speeds.items()
        ]
    bars.reverse()
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.22 * len(bars)))
    axes.barh(
        [name for name, *_ in bars],
        [ratio for _, ratio, _ in bars],
        color=["tab:gray" if peer else "tab:blue" for *_, peer in bars],
    )
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("words a second, of the fastest peer's")
    axes.tick_params(axis="y", labelsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def spread(values, digits):
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} [{least:,.{digits}f}, {most:,.{digits}f}]"


def main():
    parser = build_parser()
    args = parser.parse_args()
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    stored = args.work / "inference.jsonl"
    results = []
    if stored.exists():
        results = [json.loads(line) for line in stored.read_text().splitlines()]
    if not args.table:
        if not args.shards:
            parser.error("TEXT and SHARDS are needed unless --table is given")
        for name in args.works:
            if all(result["work"] != name for result in results):
                found = measure(args.work, args.text, args.shards, name, args.rounds)
                results.append(found)
                with open(stored, "a") as file:
                    file.write(json.dumps(found) + "\n")
    lines, found = table(results)
    memory, ratios = memory_table(results)
    print("\n".join([*lines, "", *memory]))
    if args.plot:
        plot(results, args.plot)
    held = True
    for work, way, ratio, least in found:
        held = held and ratio >= least
        met = "met   " if ratio >= least else "MISSED"
        print(f"{met} {work}, {way}: {ratio:.2f}, expected at least {least}")
    for way, ratio, most in ratios:
        held = held and ratio <= most
        met = "met   " if ratio <= most else "MISSED"
        print(f"{met} memory: {ratio:.2f} of {way}'s, expected at most {most:.2f}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
