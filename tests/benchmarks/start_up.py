"""How long it takes to import and to start, and how much memory to load a model.

    python -m tests.benchmarks.start_up [--model FOLDER] [--rounds N]

In turn, `--rounds` times, each by a process of its own: `import keras`, the same with
`import keras_elmo`, and `keras-elmo --help`; whole processes, medians, in brackets the
least and the largest. FOLDER has `options.json` and `lm_weights.hdf5`: the most memory
that loading takes above that of the imports, beside the size of the weights' file.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

PROGRAMS = {
    "import keras": ["-c", "import keras"],
    "import keras, keras_elmo": ["-c", "import keras, keras_elmo"],
    "keras-elmo --help": ["-m", "keras_elmo", "--help"],
}
SILENT = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
LOADING = """
import json, sys
import keras
from keras_elmo import load_ai2

def peak():
    with open("/proc/self/status") as file:
        facts = dict(line.split(":", 1) for line in file)
    return int(facts["VmHWM"].split()[0]) * 1024

keras.ops.convert_to_numpy(keras.ops.zeros(1) + 1)
before = peak()
elmo = load_ai2(*sys.argv[1:])
print(json.dumps(peak() - before))
"""


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", metavar="FOLDER", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="(9)")
    return parser


def timed(arguments):
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, **SILENT)
    return time.perf_counter() - started


def main():
    args = build_parser().parse_args()
    for arguments in PROGRAMS.values():
        timed(arguments)
    rounds = [
        {name: timed(arguments) for name, arguments in PROGRAMS.items()}
        for _ in range(args.rounds)
    ]
    print("| program | seconds | more than `import keras` |")
    print("| --- " * 3 + "|")
    for name in PROGRAMS:
        seconds = [found[name] for found in rounds]
        more = statistics.median(f[name] - f["import keras"] for f in rounds)
        print(
            f"| `{name}` | {statistics.median(seconds):.2f} "
            f"[{min(seconds):.2f}, {max(seconds):.2f}] | {more:+.2f} |"
        )
    if args.model:
        weights = args.model / "lm_weights.hdf5"
        told = subprocess.run(
            [sys.executable, "-c", LOADING, args.model / "options.json", weights],
            check=True,
            stdout=subprocess.PIPE,
        )
        size = weights.stat().st_size
        above = json.loads(told.stdout)
        print(
            f"\nLoading {size / 2**20:,.0f} MiB: {above / 2**20:,.0f} MiB above the "
            f"imports, {above / size:.2f} times the file."
        )


if __name__ == "__main__":
    main()
