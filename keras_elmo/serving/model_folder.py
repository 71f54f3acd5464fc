"""A model's base folder as a server reads it."""

import os
from pathlib import Path


def version_folders(base_folder: str | os.PathLike) -> dict[int, Path]:
    """Find the versions in a model's base folder.

    Args:
        base_folder: Folder. Children whose whole name is an integer count.

    Returns:
        Version folders by number.

    Raises:
        OSError: if the folder is missing.

    >>> version_folders("models/elmo_tiny_en")
    {1: PosixPath('models/elmo_tiny_en/1')}
    """
    folders = {
        int(child.name): child
        for child in sorted(Path(base_folder).iterdir())
        if _is_version(child.name) and child.is_dir()
    }
    os.stat(base_folder)  # Moved away meanwhile, it would seem to be empty.
    return folders


def _is_version(name):
    return name.isascii() and name.isdigit() and int(name) < 2**63
