"""Train in processes that are killed, until one ends by itself.

    python -m tests.pretraining.killed_run RUN KILLS SEED CHANGES

KILLS processes are killed after a random time of training, every other one while it
writes a checkpoint. CHANGES are those of `small_runs.start`, as JSON. Prints the step
of the last checkpoint after each kill.
"""

import json
import os
import pathlib
import random
import signal
import sys
import time

from keras_elmo.ai2.run_checkpoint import read_stored
from tests.pretraining import small_runs


def main(run, kills, seed, changes):
    run, rng, seen = pathlib.Path(run), random.Random(int(seed)), []
    for number in range(int(kills)):
        child = forked(run, json.loads(changes))
        wait_for(run / "last.npz", child)
        if number % 2:
            wait_for_a_part(run, child)
        else:
            time.sleep(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        seen.append(read_stored(run / "last.npz")[1]["step"])
    _, status = os.waitpid(forked(run, json.loads(changes)), 0)
    print(json.dumps(seen))
    return os.waitstatus_to_exitcode(status)


def forked(run, changes):
    """A process that trains; it begins with all modules imported."""
    child = os.fork()
    if not child:
        with small_runs.quick():
            small_runs.train(run, **changes)
        os._exit(0)
    return child


def wait_for(path, child):
    """Wait until a file is there, and newer than when the waiting began."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    while alive(child) and not (path.exists() and path.stat().st_mtime_ns > before):
        time.sleep(0.001)


def wait_for_a_part(run, child):
    while alive(child) and not list(run.glob("last.npz.*.part")):
        pass


def alive(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
