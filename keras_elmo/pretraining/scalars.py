"""The log of a run as TensorBoard's scalars."""

import importlib.util
import os
import shutil
from typing import Any

_TAGS = {
    "loss": "training/loss in nats",
    "sampled_perplexity": "training/sampled perplexity",
    "training_perplexity": "training/perplexity",
    "gradient_norm": "training/gradient norm",
    "clipped_cells": "training/share of clipped cells",
    "learning_rate": "training/learning rate",
}
_HELDOUT_TAGS = {
    "forward": "heldout/perplexity forward",
    "backward": "heldout/perplexity backward",
}


def require_tensorboard():
    """Do nothing where the package is installed.

    Raises:
        ModuleNotFoundError: It is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ModuleNotFoundError(
            "tensorboard: expected the package, found none; "
            "pip install 'keras_elmo[tensorboard]' brings it."
        )


class Scalars:
    """Event files in a folder, made anew from the log each time that a run goes on.

    So they never hold the steps twice that a killed run took twice.

    Args:
        folder: Where; what is in it is removed.
        entries: The log so far.
    """

    def __init__(self, folder: str | os.PathLike, entries: list[dict[str, Any]]):
        from tensorboard.summary import Writer

        shutil.rmtree(folder, ignore_errors=True)
        self._writer = Writer(os.fspath(folder))
        for entry in entries:
            self.add(entry)

    def add(self, entry: dict[str, Any]):
        """Add a line of the log."""
        values = {tag: entry[key] for key, tag in _TAGS.items()}
        if entry["heldout"]:
            values |= {tag: entry["heldout"][key] for key, tag in _HELDOUT_TAGS.items()}
        for tag, value in values.items():
            if value is not None:
                self._writer.add_scalar(tag, value, entry["step"])
        self._writer.flush()
