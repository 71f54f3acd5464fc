"""The embedded server under load, with and without batching, beside no server at all.

    python -m tests.benchmarks.serving_load SENTENCES [--models original] [--json]

SENTENCES has one a line, words parted by blanks. Two models are exported: the shipped
preset, and one of AI2's original sizes with random weights. `keras-elmo serve` runs in
a process of its own, the client in this one; both share the cores of this computer.
Asked for is the output `elmo` alone, one sentence a request. "in process" is the same
SavedModel in a Session of this process, without gRPC, on batches of as many sentences
as the server merges, nothing else running. All cells are measured in turn, `--repeats`
times; figures are medians, and in brackets the least and the largest. Ends with code 1
if a target is missed.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import time

import keras
import numpy as np

import keras_elmo
from keras_elmo.ai2.options import bilm_arguments, encoder_arguments
from keras_elmo.pretraining.configs import CONFIGS
from keras_elmo.serving.load_test import run_load
from tests.benchmarks.serving_process import InProcess, served

MODELS = ("elmo_tiny_en", "original")
CONCURRENCIES = (1, 8, 64)
WAYS = ("plain", "batched", "in process")
ORDERS = ("18 to 22 words", "file order")
BATCHING = """
max_batch_size {{ value: {size} }}
batch_timeout_micros {{ value: {micros} }}
max_enqueued_batches {{ value: 64 }}
num_batch_threads {{ value: {threads} }}
pad_variable_length_inputs: true
"""
# The cell with a target, and what its ratios have to be.
TARGET = {
    "model": "original",
    "sentences": ORDERS[0],
    "concurrency": 64,
    "way": "batched",
}
LEAST = {"of_plain": 3.0, "of_in_process": 0.8}


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sentences", metavar="SENTENCES", help="file, one a line")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument(
        "--concurrency", nargs="+", type=int, default=CONCURRENCIES, metavar="N"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each cell (5)")
    parser.add_argument(
        "--seconds", type=float, default=8.0, help="of sending in a cell (8)"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, help="max_batch_size of the server (32)"
    )
    parser.add_argument("--batch-timeout-micros", type=int, default=2000, help="(2000)")
    parser.add_argument("--batch-threads", type=int, default=1, help="(1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def sentences_by_order(path, count=640):
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file]
    lines = [line for line in lines if line]
    short = [line for line in lines if 18 <= len(line.split()) <= 22]
    return {ORDERS[0]: short[:count], ORDERS[1]: lines[:count]}


def export(name, folder):
    keras.utils.set_random_seed(0)
    if name == "original":
        options = CONFIGS["original"]
        encoder = keras_elmo.CharacterEncoder(**encoder_arguments(options))
        bilm = keras_elmo.BiLM(**bilm_arguments(options))
        model = keras_elmo.ElmoLayer(encoder, bilm)
        model.build(None)
    else:
        model = keras_elmo.ElmoLayer.from_preset(name)
    base = os.path.join(folder, name)
    keras_elmo.export_saved_model(model, base)
    return base


def sentences_per_second(function, sentences, batch, seconds):
    """How fast a function of strings is on batches of so many."""
    batches = [
        np.array([s.encode() for s in sentences[i : i + batch]], object)
        for i in range(0, len(sentences) - batch + 1, batch)
    ]
    function(strings=batches[0])
    begin, done = time.perf_counter(), 0
    for strings in itertools.cycle(batches):
        if time.perf_counter() - begin >= seconds:
            return done / (time.perf_counter() - begin)
        done += len(function(strings=strings)["elmo"])


def measure(args, name, base, orders):
    """All cells of a model: {(order, concurrency, way): [facts of a repeat, ...]}."""
    with tempfile.NamedTemporaryFile("w", suffix=".pbtxt") as file:
        file.write(
            BATCHING.format(
                size=args.batch_size,
                micros=args.batch_timeout_micros,
                threads=args.batch_threads,
            )
        )
        file.flush()
        cells = {}
        flags = ("--batching-parameters-file", file.name)
        version = os.path.join(base, "1")
        in_process = InProcess(version).function("default", ["elmo"])
        with served(base) as (plain, _), served(base, *flags) as (batched, _):
            servers = {"plain": plain, "batched": batched}

            def one(way, sentences, concurrency):
                if way in servers:
                    report = run_load(
                        servers[way],
                        name,
                        sentences,
                        concurrency=concurrency,
                        duration=args.seconds,
                        warmup=concurrency,
                    )
                    return report.as_json()
                size = min(concurrency, args.batch_size)
                speed = sentences_per_second(in_process, sentences, size, args.seconds)
                return {"sentences_per_s": speed}

            for _, order, concurrency, way in itertools.product(
                range(args.repeats), orders, args.concurrency, WAYS
            ):
                facts = one(way, orders[order], concurrency)
                cells.setdefault((order, concurrency, way), []).append(facts)
                speed = f"{facts['sentences_per_s']:.1f} sentences/s"
                print(name, order, concurrency, way, speed, file=sys.stderr)
    return cells


def spread(values):
    return [statistics.median(values), min(values), max(values)]


def rows_of(name, cells):
    """One dict a cell and, of ratios, the median over repeats."""
    for (order, concurrency, way), repeats in cells.items():
        row = {"model": name, "sentences": order, "concurrency": concurrency}
        row |= {"way": way, "errors": sum(map(count_errors, repeats))}
        row["sentences_per_s"] = spread([r["sentences_per_s"] for r in repeats])
        if way != "in process":
            row["tokens_per_s"] = spread([r["tokens_per_s"] for r in repeats])
            for percent in ("p50", "p95", "p99"):
                latencies = [r["latency_ms"][percent] for r in repeats]
                row[f"{percent}_ms"] = spread(latencies)
        if way == "batched":
            for other in ("plain", "in process"):
                pairs = zip(repeats, cells[order, concurrency, other], strict=True)
                row[f"of_{other.replace(' ', '_')}"] = spread(
                    [a["sentences_per_s"] / b["sentences_per_s"] for a, b in pairs]
                )
        yield row


def count_errors(facts):
    return sum(facts.get("errors", {}).values())


def verdicts(rows):
    """What was to hold, each with whether it did."""
    errors = sum(row["errors"] for row in rows)
    yield errors == 0, f"{errors} errors, expected none"
    for row in rows:
        if TARGET.items() <= row.items():
            for key, least in LEAST.items():
                found = row[key][0]
                yield found >= least, f"{key}: {found:.2f}, expected {least} at least"


def machine():
    packages = ("tensorflow", "keras", "grpcio", "numpy", "keras_elmo")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def cell(value, digits=1):
    if value is None:
        return ""
    middle, least, largest = (f"{x:.{digits}f}" for x in value)
    return f"{middle} [{least}, {largest}]"


def table(rows):
    heads = ["model", "sentences", "in flight", "way", "sentences/s", "words/s"]
    heads += ["p50 ms", "p95 ms", "p99 ms", "of plain", "of in process"]
    yield "| " + " | ".join(heads) + " |"
    yield "| --- " * len(heads) + "|"
    for row in rows:
        cells = [row["model"], row["sentences"], row["concurrency"], row["way"]]
        cells += [cell(row["sentences_per_s"]), cell(row.get("tokens_per_s"), 0)]
        cells += [cell(row.get(f"{p}_ms")) for p in ("p50", "p95", "p99")]
        cells += [cell(row.get(f"of_{w}"), 2) for w in ("plain", "in_process")]
        yield "| " + " | ".join(map(str, cells)) + " |"


def main():
    args = build_parser().parse_args()
    orders = sentences_by_order(args.sentences)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            base = export(name, folder)
            rows += rows_of(name, measure(args, name, base, orders))
    found = list(verdicts(rows))
    settings = {
        key.replace("_", "-"): getattr(args, key)
        for key in ("batch_size", "batch_timeout_micros", "batch_threads")
    }
    settings |= {"repeats": args.repeats, "seconds": args.seconds}
    if args.json:
        facts = {"machine": machine(), "settings": settings, "rows": rows}
        print(json.dumps(facts | {"verdicts": found}))
    else:
        print("\n".join(table(rows)))
        for facts in (settings, machine()):
            print("  ".join(f"{name} {value}" for name, value in facts.items()))
        for held, text in found:
            print("met   " if held else "MISSED", text)
    return 0 if all(held for held, _ in found) else 1


if __name__ == "__main__":
    sys.exit(main())
