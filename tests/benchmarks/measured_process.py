"""Run a program to its end, and say how long it took and how much memory."""

import os
import pathlib
import subprocess
import sys
import time


def run_measured(command, environment, log, output=None):
    """Run a program; if it fails, this one ends, with what it said last.

    To be called by a small process: before a child becomes the program it has as much
    memory as its parent, and that counts.

    Args:
        command: The program and its arguments.
        environment: All its environment variables.
        log: File to make of its stderr, and of its stdout unless `output` is given.
        output: File to make of its stdout.

    Returns:
        A dict: `seconds`; `peak_mib`, the most resident memory; `own_cores` and
        `other_cores`, how many cores it and all else on the computer kept busy.
    """
    command = [str(part) for part in command]
    print(" ".join(command), file=sys.stderr, flush=True)
    started, busy = time.perf_counter(), _busy_seconds()
    with open(log, "wb") as errors, open(output or os.devnull, "wb") as out:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out if output else errors,
            stderr=errors,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.terminate()
                process.wait()
    seconds = time.perf_counter() - started
    if process.returncode:
        end = pathlib.Path(log).read_text("utf-8", "replace")[-2000:]
        sys.exit(f"{end}\n{log}: {command[0]}: exit status {process.returncode}.")
    own = usage.ru_utime + usage.ru_stime
    others = max(0.0, _busy_seconds() - busy - own)
    return {
        "seconds": round(seconds, 1),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "own_cores": round(own / seconds, 2),
        "other_cores": round(others / seconds, 2),
    }


def _busy_seconds():
    """Seconds that all cores together were not idle, since the computer started."""
    with open("/proc/stat") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = fields
    ticks = user + nice + system + sum(interrupts_and_stolen)
    return ticks / os.sysconf("SC_CLK_TCK")
