"""Which versions are served: follows the base folder, as TensorFlow Serving does.

The newest version is served. Another one takes its place only once it has loaded, so
that there is always one to answer. What disappears from the folder is no longer served,
but where the folder itself can not be read everything stays as it is.
"""

import contextlib
import logging
import os
import threading
import time

import grpc
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from keras_elmo.errors import FormatError
from keras_elmo.saved_model.version_folders import version_folders

_LOG = logging.getLogger(__name__)


class Versions:
    """The versions of one model.

    Args:
        base_folder: The model's base folder.
        load: Function that makes a model of a version folder. A model has `close`.
        poll_seconds: Time between two looks at the folder.
        load_retries: How often a load that failed is tried again.
        load_retry_seconds: Time between these.

    >>> with Versions("models/elmo_tiny_en", LoadedModel) as versions:
    ...     versions.newest
    1
    """

    def __init__(
        self,
        base_folder: str | os.PathLike,
        load,
        *,
        poll_seconds: float = 1.0,
        load_retries: int = 5,
        load_retry_seconds: float = 60.0,
    ):
        self.base_folder = base_folder
        self.poll_seconds = poll_seconds
        self.load_retries = load_retries
        self.load_retry_seconds = load_retry_seconds
        self._load = load
        self._changed = threading.Condition()
        self._models = {}  # that are available, by number
        self._users = {}  # requests under way, by number
        self._states = {}  # number: (state, code, text), of those that are gone too
        self._wanted = None
        self._failures = 0
        self._try_at = 0.0
        self._readable = True
        self._stopping = threading.Event()
        self._thread = None

    @property
    def newest(self) -> int | None:
        """The highest version that is available."""
        with self._changed:
            return max(self._models, default=None)

    def start(self):
        """Load the newest version, and follow the folder from now on.

        Raises:
            FormatError: if there is no version, or it does not load.
            OSError: if there is no folder.
        """
        folders = version_folders(self.base_folder)
        if not folders:
            found = ", ".join(sorted(os.listdir(self.base_folder))) or "nothing"
            raise FormatError(
                f"{os.fspath(self.base_folder)}: expected a version folder, named by "
                f"an integer, found: {found}."
            )
        self._wanted = max(folders)
        self._make_available(self._wanted, folders[self._wanted])
        self._stopping.clear()
        self._thread = threading.Thread(target=self._follow, name="poll", daemon=True)
        self._thread.start()

    def stop(self):
        """Follow the folder no more; unload once no request is under way."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        self._thread = None
        for number in list(self._models):
            self._unload(number)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stop()

    @contextlib.contextmanager
    def lease(self, number: int | None = None):
        """Keep a version from being unloaded for the time of a `with` block.

        Args:
            number: The version; None is the newest.

        Returns:
            Context manager of the version's number and model; None and None where
            there is no such version, or not any more, or not yet.
        """
        with self._changed:
            if number is None:
                number = max(self._models, default=None)
            model = self._models.get(number)
            if model is not None:
                self._users[number] += 1
        if model is None:
            yield None, None
            return
        try:
            yield number, model
        finally:
            with self._changed:
                self._users[number] -= 1
                self._changed.notify_all()

    def statuses(self) -> list[ModelVersionStatus]:
        """The state of each version seen so far, the highest first."""
        with self._changed:
            states = sorted(self._states.items(), reverse=True)
        result = []
        for number, (state, code, text) in states:
            status = ModelVersionStatus(version=number, state=state)
            status.status.error_code = code
            status.status.error_message = text
            result.append(status)
        return result

    def _follow(self):
        while not self._stopping.wait(self.poll_seconds):
            self._poll()

    def _poll(self):
        try:
            folders = version_folders(self.base_folder)
        except OSError as error:
            if self._readable:
                _LOG.warning("%s: can not be read: %s", self.base_folder, error)
            self._readable = False
            return
        self._readable = True
        self._aim_at(max(folders, default=None))
        if self._may_load():
            try:
                self._make_available(self._wanted, folders[self._wanted])
            except Exception as error:  # Of whatever kind: the old version is better.
                self._note_failure(error)
        if self._wanted is None or self._wanted in self._models:
            for number in set(self._models) - {self._wanted}:
                self._unload(number)

    def _aim_at(self, number):
        if number == self._wanted:
            return
        if number is None:
            _LOG.warning("%s: no versions are left.", self.base_folder)
        state, code, text = self._states.get(self._wanted, (None, 0, ""))
        if state == ModelVersionStatus.LOADING:  # It has failed, and is given up.
            self._set_state(self._wanted, ModelVersionStatus.END, code, text)
        self._wanted, self._failures, self._try_at = number, 0, 0.0

    def _may_load(self):
        return (
            self._wanted is not None
            and self._wanted not in self._models
            and self._failures <= self.load_retries
            and time.monotonic() >= self._try_at
        )

    def _make_available(self, number, folder):
        self._set_state(number, ModelVersionStatus.LOADING)
        model = self._load(folder)
        with self._changed:
            self._models[number] = model
            self._users[number] = 0
            self._set_state(number, ModelVersionStatus.AVAILABLE)

    def _note_failure(self, error):
        self._failures += 1
        self._try_at = time.monotonic() + self.load_retry_seconds
        _LOG.warning("%s", error)
        known = isinstance(error, FormatError)
        code = grpc.StatusCode.INVALID_ARGUMENT if known else grpc.StatusCode.UNKNOWN
        over = self._failures > self.load_retries
        state = ModelVersionStatus.END if over else ModelVersionStatus.LOADING
        self._set_state(self._wanted, state, code.value[0], str(error))

    def _unload(self, number):
        with self._changed:
            model = self._models.pop(number)
            self._set_state(number, ModelVersionStatus.UNLOADING)
            self._changed.wait_for(lambda: not self._users[number])
            del self._users[number]
        model.close()
        self._set_state(number, ModelVersionStatus.END)

    def _set_state(self, number, state, code=0, text=""):
        with self._changed:
            self._states[number] = (state, code, text)
            self._changed.notify_all()
