"""The folder of a training run: who trains in it, what, and how far."""

import contextlib
import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

from keras_elmo.ai2.files import OPTIONS
from keras_elmo.ai2.run_checkpoint import BEST, LAST, RUN
from keras_elmo.atomic import write_json, written_beside
from keras_elmo.errors import FormatError

LOG, LOCK = "log.jsonl", "lock"
_OTHERS = (OPTIONS, LAST, BEST)  # what a folder has that is no new one
_SHOWN = 5  # differences of a list


class RunFolder:
    """Paths, lock, identity and log of a training run.

    Args:
        path: The folder; made by `locked` if absent.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)

    def file(self, name: str) -> str:
        """The path of a file in the folder."""
        return os.path.join(self.path, name)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return os.path.exists(self.file(name))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the folder.

        The system lets go of the lock when the process ends, however it ends. Files
        that a killed process left half written are removed.

        Raises:
            BlockingIOError: Another process trains here.
        """
        os.makedirs(self.path, exist_ok=True)
        with open(self.file(LOCK), "a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise BlockingIOError(
                    f"{self.path}: expected a run in which nothing trains, found that "
                    f"process {lock.read().strip() or 'unknown'} does."
                ) from error
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            for name in os.listdir(self.path):
                if name.endswith(".part"):
                    os.remove(self.file(name))
            yield

    def begin(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Say what is to be trained here.

        Args:
            identity: What decides the weights, as JSON can hold it.

        Returns:
            What `keep` stored when the run began, where it has begun, else None.

        Raises:
            FormatError: The run that began here is another one; each difference is
                named.
            FileExistsError: There is a model here that no run of ours made.
        """
        path = self.file(RUN)
        if not self.has(RUN):
            for name in filter(self.has, _OTHERS):
                raise FileExistsError(
                    f"{self.path}: expected a new folder or a training run, found "
                    f"{name} without {RUN}."
                )
            return None
        try:
            with open(path, encoding="utf-8") as file:
                stored = json.load(file)
            began, facts = stored["identity"], stored["facts"]
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{path}: expected the description of a run, found: {error}."
            ) from error
        found = list(_differences(began, json.loads(json.dumps(identity))))
        if found and not any(map(self.has, _OTHERS)):
            return None  # nothing was trained with them
        if found:
            raise FormatError(
                f"{self.path}: expected the arguments that this run began with, found "
                f"{'; '.join(found)}. Another folder makes another run."
            )
        return facts

    def keep(self, identity: dict[str, Any], facts: dict[str, Any]):
        """Store what is trained here, and facts that were costly to find."""
        write_json(self.file(RUN), {"identity": identity, "facts": facts})

    def facts(self) -> dict[str, Any]:
        """What `keep` stored; nothing where no run has begun."""
        if not self.has(RUN):
            return {}
        with open(self.file(RUN), encoding="utf-8") as file:
            return json.load(file)["facts"]

    def log(self, entry: dict[str, Any]):
        """Add a line to the log."""
        try:
            with open(self.file(LOG), "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:  # a full disk names no file
            raise OSError(error.errno, error.strerror, self.file(LOG)) from error

    def entries(self) -> list[dict[str, Any]]:
        """The lines of the log; one that a killed process left half written is not.

        Raises:
            FormatError: A line that is not one of a log.
        """
        if not self.has(LOG):
            return []
        with open(self.file(LOG), encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if line.endswith("\n")]
        return [self._entry(line, number) for number, line in enumerate(lines, 1)]

    def _entry(self, line, number):
        try:
            entry = json.loads(line)
            int(entry["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(
                f"{self.file(LOG)}: line {number}: expected a JSON object with a step, "
                f"found {line.strip()[:40]!r}."
            ) from error
        return entry

    def cut_log(self, step: int) -> list[dict[str, Any]]:
        """Leave out what was logged at `step` or later, and return the rest."""
        kept = [entry for entry in self.entries() if entry["step"] < step]
        with (
            written_beside(self.file(LOG)) as beside,
            open(beside, "w", encoding="utf-8") as file,
        ):
            file.writelines(json.dumps(entry) + "\n" for entry in kept)
        return kept

    def keep_best(self):
        """Make the last checkpoint the best one too, without a copy where it can."""
        with written_beside(self.file(BEST)) as beside:
            try:
                os.link(self.file(LAST), beside)
            except OSError:  # some file systems have no links
                shutil.copyfile(self.file(LAST), beside)


def _differences(began, now, name=""):
    """What is another value now, for each the path to it, the new one, the old one."""
    if isinstance(began, dict) and isinstance(now, dict):
        for key in sorted({*began, *now}):
            inner = f"{name}.{key}" if name else key
            yield from _differences(began.get(key), now.get(key), inner)
    elif isinstance(began, list) and isinstance(now, list):
        yield from _list_differences(began, now, name)
    elif began != now and name == "model":
        yield "another model, whose weights are not those that it began with"
    elif began != now:
        yield f"{name} {json.dumps(now)} (it began with {json.dumps(began)})"


def _list_differences(began, now, name):
    old, new = (Counter(map(json.dumps, items)) for items in (began, now))
    for items, what in ((old - new, "without"), (new - old, "with")):
        items = list(items.elements())
        yield from (f"{name} {what} {item}" for item in items[:_SHOWN])
        if len(items) > _SHOWN:
            yield f"{name} {what} {len(items) - _SHOWN} more"
    if old == new and began != now:
        yield f"{name} in another order"
