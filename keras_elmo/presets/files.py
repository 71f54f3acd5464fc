"""A preset's folder: AI2's pair, and `preset.json` with what that cannot say.

`preset.json` holds `arguments`, those of `ElmoLayer`, and `mixes`: for each mix the
raw weight of each layer (none where only the highest is used) and gamma.
"""

import json
import os
from typing import Any

from keras_elmo.ai2.files import OPTIONS, VOCABULARY, WEIGHTS, read_layers
from keras_elmo.atomic import write_json
from keras_elmo.errors import FormatError

PRESET = "preset.json"
# What a preset says of the layer around the biLM. Names, dtypes and states are of a
# use, not of a model.
ARGUMENTS = (
    "num_representations",
    "dropout",
    "do_layer_norm",
    "use_top_only",
    "l2_coef",
    "fine_tune",
    "keep_sentence_boundaries",
)


def read_preset(directory: str, dtype: Any = None) -> tuple[dict, list | None]:
    """Read a preset's folder.

    Args:
        directory: The folder. Without `preset.json` it is a plain pair of AI2's.
        dtype: Keras dtype policy of the layers.

    Returns:
        Arguments for `ElmoLayer`, and for each mix a dict of `raw_weights` and
        `gamma`; None where there is no `preset.json`.

    Raises:
        FormatError: What is missing or odd, by file and entry.
    """
    for name in (OPTIONS, WEIGHTS):
        if not os.path.exists(os.path.join(directory, name)):
            raise FormatError(f"{directory}: expected a file {name}, found none.")
    vocabulary = os.path.join(directory, VOCABULARY)
    arguments = read_layers(
        os.path.join(directory, OPTIONS),
        os.path.join(directory, WEIGHTS),
        vocabulary_file=vocabulary if os.path.exists(vocabulary) else None,
        dtype=dtype,
    )
    path = os.path.join(directory, PRESET)
    if not os.path.exists(path):
        return arguments, None
    preset = _read_json(path)
    stored = preset.get("arguments")
    if not isinstance(stored, dict) or not set(stored) <= set(ARGUMENTS):
        raise FormatError(
            f"{path}: arguments: expected an object with keys among "
            f"{', '.join(ARGUMENTS)}, found {stored!r}."
        )
    mixes = preset.get("mixes")
    layers = arguments["bilm"].num_layers + 1
    _check_mixes(path, mixes, 0 if stored.get("use_top_only") else layers)
    return arguments | stored, mixes


def _read_json(path):
    with open(path, encoding="utf-8") as file:
        try:
            content = json.load(file)
        except ValueError as error:
            raise FormatError(f"{path}: expected JSON, found: {error}.") from error
    if not isinstance(content, dict):
        raise FormatError(f"{path}: expected a JSON object, found {content!r}.")
    return content


def _check_mixes(path, mixes, layers):
    if not isinstance(mixes, list) or not mixes:
        raise FormatError(f"{path}: mixes: expected a list, found {mixes!r}.")
    for i, mix in enumerate(mixes):
        weights = mix.get("raw_weights") if isinstance(mix, dict) else None
        good = isinstance(weights, list) and len(weights) == layers
        numbers = [*weights, mix.get("gamma")] if good else [None]
        if not all(isinstance(x, (int, float)) for x in numbers):
            raise FormatError(
                f"{path}: mixes[{i}]: expected raw_weights, {layers} numbers, and "
                f"gamma, a number, found {mix!r}."
            )


def write_preset_file(directory: str, arguments: dict[str, Any], mixes: list[dict]):
    """Write `preset.json`; `arguments` are those named in `ARGUMENTS`."""
    content = {"arguments": arguments, "mixes": mixes}
    write_json(os.path.join(directory, PRESET), content)
