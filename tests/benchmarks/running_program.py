"""A program that waits, and runs once each time it is told to."""

import json
import os
import pathlib
import subprocess
import sys

from tests.benchmarks.pretraining_runs import PEERS, environment

SCRIPT = pathlib.Path(__file__).with_name("timed_inference.py")


class RunningProgram:
    """A `timed_inference.py` in a process of its own.

    Args:
        path: Where its SPEC and its log go, as `path`.json and `path`.log.
        spec: SPEC, and `program`.
    """

    def __init__(self, path, spec):
        self.log = pathlib.Path(f"{path}.log")
        given = pathlib.Path(f"{path}.json")
        given.write_text(json.dumps(spec))
        command, variables = _python(spec["program"])
        with open(self.log, "wb") as log:
            self._process = subprocess.Popen(
                [*command, str(SCRIPT), spec["program"], str(given)],
                env=variables,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def run(self):
        """Have it run once, and return its answer."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self):
        """The next line that it writes."""
        line = self._process.stdout.readline()
        if not line:
            said = self.log.read_text("utf-8", "replace")[-2000:]
            sys.exit(f"{said}\n{self.log}: exit status {self._process.wait()}.")
        return json.loads(line)

    def end(self):
        """Let it end."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


MINILM_PYTHON = "KERAS_ELMO_MINILM_PYTHON"


def _python(program):
    if program == "keras_elmo":
        root = str(SCRIPT.parents[2])
        ours = environment(KERAS_BACKEND="tensorflow", PYTHONPATH=root)
        return [sys.executable], ours
    others = [*PEERS.values(), ("minilm", MINILM_PYTHON, {})]
    for module, variable, more in others:
        if module == program:
            python = os.environ.get(variable)
            if not python:
                sys.exit(
                    f"{variable}: expected the path of a Python that has {module}."
                )
            return [python, "-W", "ignore"], environment(**more)
    raise ValueError(program)
