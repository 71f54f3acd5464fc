"""AI2's `options.json`, and the keyword arguments of our layers that say the same."""

import json
import os
from typing import Any

from keras_elmo.errors import FormatError
from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.char_cnn import ACTIVATIONS
from keras_elmo.layers.character_encoder import CharacterEncoder

# What training asks for and what inference asks for: the same model either way.
_N_CHARACTERS = (261, 262)


def read_options(path: str | os.PathLike) -> dict[str, Any]:
    """Read and check an options file of AI2's.

    Args:
        path: An `options.json`, of training or of inference.

    Returns:
        The file's content, all of it; keys that say nothing of the model's form
        (`dropout`, `n_epochs`, ...) are kept and not looked at.

    Raises:
        FormatError: The entry, what was expected and what was found.
        OSError: The file cannot be opened.

    >>> read_options("no/such/options.json")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no/such/options.json'
    """
    with open(path, encoding="utf-8") as file:
        try:
            options = json.load(file)
        except ValueError as error:
            raise FormatError(f"{path}: expected JSON, found: {error}.") from error
    return check_options(options, path)


def check_options(options: Any, path: str | os.PathLike) -> dict[str, Any]:
    """Check parsed options; `path` is what errors call them. See `read_options`.

    >>> check_options({"lstm": {}}, "options.json")
    Traceback (most recent call last):
    keras_elmo.errors.FormatError: options.json: lstm.dim: expected an int >= 1, \
found nothing.
    """
    check = _Checker(path)
    check.mapping(options, "the file")
    lstm = check.mapping(options.get("lstm"), "lstm")
    for key in ("dim", "projection_dim", "n_layers"):
        check.count(lstm.get(key), f"lstm.{key}", 1)
    if lstm["projection_dim"] > lstm["dim"]:
        check.fail("lstm.projection_dim", f"at most lstm.dim, {lstm['dim']}", lstm)
    for key in ("cell_clip", "proj_clip"):
        if lstm.get(key) is not None:
            check.number_above_zero(lstm[key], f"lstm.{key}")
    if not isinstance(lstm.get("use_skip_connections", False), bool):
        check.fail("lstm.use_skip_connections", "true or false", lstm)
    if options.get("bidirectional", True) is not True:
        check.fail("bidirectional", "true (a biLM has both directions)", options)
    if "char_cnn" in options:
        _check_char_cnn(check, options["char_cnn"], lstm["projection_dim"])
    return options


def _check_char_cnn(check, char_cnn, projection_dim):
    check.mapping(char_cnn, "char_cnn")
    embedding = check.mapping(char_cnn.get("embedding"), "char_cnn.embedding")
    check.count(embedding.get("dim"), "char_cnn.embedding.dim", 1)
    check.count(
        char_cnn.get("max_characters_per_token"), "char_cnn.max_characters_per_token", 3
    )
    check.count(char_cnn.get("n_highway") or 0, "char_cnn.n_highway", 0)
    if char_cnn.get("n_characters", 262) not in _N_CHARACTERS:
        check.fail("char_cnn.n_characters", "261 or 262", char_cnn)
    if char_cnn.get("activation") not in ACTIVATIONS:
        check.fail("char_cnn.activation", '"relu" or "tanh"', char_cnn)
    filters = char_cnn.get("filters")
    if not isinstance(filters, list) or not filters:
        check.fail("char_cnn.filters", "a list of [width, count]", char_cnn)
    for i, pair in enumerate(filters):
        name = f"char_cnn.filters[{i}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise FormatError(
                f"{check.path}: {name}: expected [width, count], found {pair!r}."
            )
        for number in pair:
            check.count(number, name, 1)
        if pair[0] > char_cnn["max_characters_per_token"]:
            raise FormatError(
                f"{check.path}: {name}: expected a width of at most "
                f"max_characters_per_token, {char_cnn['max_characters_per_token']}, "
                f"found {pair[0]}."
            )
    total = sum(count for _, count in filters)
    if total < projection_dim:
        raise FormatError(
            f"{check.path}: char_cnn.filters: expected {projection_dim} or more "
            f"filters in all (lstm.projection_dim), found {total}."
        )


class _Checker:
    """Raises `FormatError` that name the file and the entry."""

    def __init__(self, path):
        self.path = path

    def fail(self, name, expected, parent):
        key = name.rpartition(".")[2]
        found = repr(parent[key]) if key in parent else "nothing"
        raise FormatError(f"{self.path}: {name}: expected {expected}, found {found}.")

    def mapping(self, value, name):
        if not isinstance(value, dict):
            found = "nothing" if value is None else repr(value)
            raise FormatError(
                f"{self.path}: {name}: expected a JSON object, found {found}."
            )
        return value

    def count(self, value, name, least):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            found = "nothing" if value is None else repr(value)
            raise FormatError(
                f"{self.path}: {name}: expected an int >= {least}, found {found}."
            )

    def number_above_zero(self, value, name):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise FormatError(
                f"{self.path}: {name}: expected a number above 0, found {value!r}."
            )


def bilm_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of the `BiLM` that checked options describe.

    >>> bilm_arguments({"lstm": {"dim": 8, "projection_dim": 8, "n_layers": 1}})
    {'units': 8, 'projection_dim': None, 'num_layers': 1, 'cell_clip': None, \
'proj_clip': None, 'skip_connections': False}
    """
    lstm = options["lstm"]
    projected = lstm["projection_dim"] < lstm["dim"]
    return {
        "units": lstm["dim"],
        "projection_dim": lstm["projection_dim"] if projected else None,
        "num_layers": lstm["n_layers"],
        "cell_clip": lstm.get("cell_clip"),
        "proj_clip": lstm.get("proj_clip"),
        "skip_connections": lstm.get("use_skip_connections", False),
    }


def encoder_arguments(options: dict[str, Any]) -> dict[str, Any] | None:
    """The keyword arguments of the `CharacterEncoder`, None for word input.

    >>> encoder_arguments({"lstm": {"dim": 8, "projection_dim": 8, "n_layers": 1}})
    """
    if "char_cnn" not in options:
        return None
    char_cnn = options["char_cnn"]
    return {
        "filters": char_cnn["filters"],
        "projection_dim": options["lstm"]["projection_dim"],
        "num_highway": char_cnn.get("n_highway") or 0,
        "embedding_dim": char_cnn["embedding"]["dim"],
        "activation": char_cnn["activation"],
    }


def options_of(
    bilm: BiLM, encoder: CharacterEncoder | None, max_chars: int
) -> dict[str, Any]:
    """The options that describe these layers, for inference.

    Args:
        bilm: The biLM.
        encoder: The character encoder; None for word input.
        max_chars: Characters a word.

    >>> options_of(keras_elmo.BiLM(8, None), None, 50)["lstm"]["projection_dim"]
    8
    """
    lstm = {
        "dim": bilm.units,
        "projection_dim": bilm.direction_dim,
        "n_layers": bilm.num_layers,
        "use_skip_connections": bilm.skip_connections,
    }
    for key in ("cell_clip", "proj_clip"):
        if getattr(bilm, key) is not None:
            lstm[key] = getattr(bilm, key)
    if encoder is None:
        return {"lstm": lstm}
    return {
        "lstm": lstm,
        "char_cnn": {
            "activation": encoder.activation,
            "embedding": {"dim": encoder.embedding_dim},
            "filters": [list(pair) for pair in encoder.filters],
            "max_characters_per_token": max_chars,
            "n_characters": 262,
            "n_highway": encoder.num_highway,
        },
    }
