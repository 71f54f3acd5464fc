"""A model's base folder as a server reads it: versions and their graphs."""

import os
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from keras_elmo.errors import FormatError


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


def read_meta_graph(folder: Path):
    """Read the graph of a SavedModel from its file.

    Args:
        folder: Version folder.

    Returns:
        `MetaGraphDef`, with `signature_def` by name, those for TensorFlow's own use
        included.

    Raises:
        FormatError: if the folder holds no SavedModel for serving.

    >>> meta_graph = read_meta_graph(Path("models/elmo_tiny_en/1"))
    >>> "default" in meta_graph.signature_def
    True
    """
    path = folder / "saved_model.pb"
    if not path.is_file():
        found = ", ".join(sorted(os.listdir(folder))) or "nothing"
        raise FormatError(f"{folder}: expected saved_model.pb, found: {found}.")
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise FormatError(f"{path}: expected a SavedModel, found: {error}.") from error
    for graph in saved_model.meta_graphs:
        if list(graph.meta_info_def.tags) == ["serve"]:
            return graph
    found = [list(graph.meta_info_def.tags) for graph in saved_model.meta_graphs]
    raise FormatError(f'{path}: expected a graph with the tag "serve", found: {found}.')


def _is_version(name):
    return name.isascii() and name.isdigit() and int(name) < 2**63
