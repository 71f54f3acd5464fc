"""The sizes of AI2's models and of ours, as AI2's options say them."""

import copy
import os
from typing import Any

from keras_elmo.ai2.options import check_options, read_options
from keras_elmo.errors import FormatError

_AI2_FILTERS = [[1, 32], [2, 32], [3, 64], [4, 128], [5, 256], [6, 512], [7, 1024]]


def _options(dim, projection_dim, n_highway, filters):
    return {
        "lstm": {
            "dim": dim,
            "projection_dim": projection_dim,
            "n_layers": 2,
            "cell_clip": 3,
            "proj_clip": 3,
            "use_skip_connections": True,
        },
        "char_cnn": {
            "activation": "relu",
            "embedding": {"dim": 16},
            "filters": filters,
            "max_characters_per_token": 50,
            "n_characters": 262,
            "n_highway": n_highway,
        },
    }


CONFIGS = {
    "tiny": _options(512, 128, 1, _AI2_FILTERS[:5]),
    "small": _options(1024, 128, 1, _AI2_FILTERS),
    "medium": _options(2048, 256, 1, _AI2_FILTERS),
    "original": _options(4096, 512, 2, _AI2_FILTERS),
}


def find_config(name_or_file: str) -> dict[str, Any]:
    """The options of a named size, or of an options file.

    Raises:
        FormatError: Neither, or a file that is not an options file.

    >>> find_config("tiny")["lstm"]["dim"]
    512
    """
    if name_or_file in CONFIGS:
        return check_options(copy.deepcopy(CONFIGS[name_or_file]), name_or_file)
    if not os.path.exists(name_or_file):
        raise FormatError(
            f"{name_or_file}: expected one of {', '.join(CONFIGS)}, or an options "
            "file, found neither."
        )
    return read_options(name_or_file)
