"""All measurements of speed, one after the other, as one page.

    export KERAS_ELMO_BILM_PYTHON=venv-bilm/bin/python
    export KERAS_ELMO_SIMPLE_ELMO_PYTHON=venv-simple-elmo/bin/python
    export KERAS_ELMO_MINILM_PYTHON=venv-minilm/bin/python
    python -m tests.benchmarks WORK --text heldout.txt --train 'train-*.txt.gz'

Some two hours on two cores, which should have nothing else to do. What is measured is
kept in WORK, and the same command goes on where it was stopped; the page is
WORK/speed.md. The exit code is 1 if a target is missed.
"""

import argparse
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys

PACKAGES = ("tensorflow", "keras", "numpy")


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", metavar="WORK", type=pathlib.Path, help="a folder")
    parser.add_argument("--text", metavar="FILE", required=True, help="tokenised")
    parser.add_argument("--train", metavar="PATTERN", required=True, help="shards")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(3)")
    parser.add_argument(
        "--plot", metavar="FILE.png", help="inference as a picture (extra `plot`)"
    )
    return parser


def machine():
    """The computer and the versions, as a line."""
    with open("/proc/cpuinfo") as file:
        facts = dict(line.split(":", 1) for line in file if ":" in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    flags = [f for f in ("avx2", "avx512f", "amx_tile") if f in facts["flags"].split()]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return (
        f"{len(os.sched_getaffinity(0))} cores of {facts['model name']} "
        f"({', '.join(flags)}); Python {platform.python_version()}, "
        f"{', '.join(versions)}."
    )


def parts(args):
    """Each heading with the arguments of its script."""
    rounds = ["--rounds", str(args.rounds)]
    plot = ["--plot", args.plot] if args.plot else []
    inference = [str(args.work / "inference"), args.text, args.train]
    training = [str(args.work / "training"), "--train", args.train]
    return {
        "Inference": ["inference_speed", *inference, *rounds, *plot],
        "Training": [
            *["pretraining_side_by_side", *training, "--heldout", args.text],
            *["--parts", "speed", *rounds],
        ],
        "The processor's ceiling": ["ceiling_share", args.text],
        "Growth": ["growth", args.train],
    }


def main():
    args = build_parser().parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    page, held = ["# Speed", "", machine()], True
    for heading, (script, *arguments) in parts(args).items():
        kept = args.work / f"{script}.txt"
        if not kept.exists():
            done = subprocess.run(
                [sys.executable, "-m", f"tests.benchmarks.{script}", *arguments],
                stdout=subprocess.PIPE,
                text=True,
            )
            # Where it could not measure, it has said why.
            if done.returncode and "MISSED" not in done.stdout:
                return done.returncode
            kept.write_text(done.stdout)
        found = kept.read_text()
        held = held and "MISSED" not in found
        page += ["", f"## {heading}", "", found.rstrip()]
    text = "\n".join(page) + "\n"
    (args.work / "speed.md").write_text(text)
    print(text)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
