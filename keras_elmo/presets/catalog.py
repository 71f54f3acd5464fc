"""The models that ship with the package. Each folder's README.md is its model card."""

import os

_HERE = os.path.dirname(__file__)

PRESETS = {
    "elmo_tiny_en": "English, 3.0 million parameters, vectors of 256, Apache-2.0",
}


def preset_directory(name_or_directory: str | os.PathLike) -> str:
    """The folder of a shipped model by its name, or a folder given as such.

    Raises:
        FileNotFoundError: Neither.

    >>> os.path.basename(preset_directory("elmo_tiny_en"))
    'elmo_tiny_en'
    """
    if name_or_directory in PRESETS:
        return os.path.join(_HERE, name_or_directory)
    if not os.path.isdir(name_or_directory):
        raise FileNotFoundError(
            f"{os.fspath(name_or_directory)}: expected the name of a preset "
            f"({', '.join(PRESETS)}) or a directory, found neither."
        )
    return os.fspath(name_or_directory)
