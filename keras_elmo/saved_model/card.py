"""The README in an export: what it answers to, and what made it."""

import os
from collections.abc import Mapping

import keras
import tensorflow as tf

from keras_elmo._version import __version__

_TEXT = """
`text` splits raw text by ops of tensorflow-text. TensorFlow Serving has them; a
TensorFlow without tensorflow-text loads none of this export.
"""
_ELMO = """
Beyond a sentence's `lengths` there are zeros. `sequence_len` alone says where a row of
`tokens` or ids ends, not what stands behind. A row of ids with one that the model does
not know is answered with NaN. `stateful` starts from states of zeros; give it back the
states that it returned to go on with the same texts.
"""
_TAGGER = """
Beyond a sentence's `lengths`, outputs with a time axis hold zeros or "". `sequence_len`
alone says where a row of `tokens` ends, not what stands behind. `inputs` are serialised
`tf.Example`s with a feature `tokens`, the words.
"""


def write_card(
    folder: str, model_name: str, source: str, signatures: Mapping, is_elmo: bool
):
    """Write `README.md` into a version folder.

    Args:
        folder: Version folder.
        model_name: The model's name.
        source: What was exported.
        signatures: `SignatureDef`s by name.
        is_elmo: Whether the signatures are those of an ElmoLayer.
    """
    variables = os.path.join(folder, "variables", "variables.data-00000-of-00001")
    lines = [
        f"# {model_name}, version of a SavedModel for TensorFlow Serving",
        "",
        f"- exported from: {source}",
        f"- by keras_elmo {__version__}, TensorFlow {tf.__version__}, "
        f"Keras {keras.__version__}",
        f"- variables: {os.path.getsize(variables):,} bytes",
        "",
        "| signature | inputs | outputs |",
        "| --- | --- | --- |",
        *(
            f"| `{name}` | {_tensors(entry.inputs)} | {_tensors(entry.outputs)} |"
            for name, entry in sorted(signatures.items())
        ),
    ]
    text = "\n".join(lines) + "\n" + (_ELMO if is_elmo else _TAGGER)
    if "text" in signatures:
        text += _TEXT
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
        file.write(text)


def _tensors(infos):
    return ", ".join(_tensor(name, info) for name, info in sorted(infos.items()))


def _tensor(name, info):
    sizes = ["?" if d.size < 0 else str(d.size) for d in info.tensor_shape.dim]
    return f"`{name}` {tf.dtypes.as_dtype(info.dtype).name} [{', '.join(sizes)}]"
