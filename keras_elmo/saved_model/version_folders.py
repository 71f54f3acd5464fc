"""The versions in a model's base folder, as TensorFlow Serving sees them."""

import os
from pathlib import Path

HIGHEST_VERSION = 2**63 - 1


def version_folders(base_folder: str | os.PathLike) -> dict[int, Path]:
    """Find the versions in a model's base folder.

    Args:
        base_folder: Folder. Children whose whole name is an integer below 2**63 count.

    Returns:
        Version folders by number.

    Raises:
        OSError: if the folder is missing.

    >>> version_folders("models/tiny")
    {1: PosixPath('models/tiny/1')}
    """
    folders = {
        int(child.name): child
        for child in sorted(Path(base_folder).iterdir())
        if _is_version(child.name) and child.is_dir()
    }
    os.stat(base_folder)  # Moved away meanwhile, it would seem to be empty.
    return folders


def _is_version(name):
    return name.isascii() and name.isdigit() and int(name) <= HIGHEST_VERSION
