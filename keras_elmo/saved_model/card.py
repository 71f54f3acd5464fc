"""The README in an export: what it answers to, and what made it."""

import os
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from keras_elmo._version import __version__

# What is to be said of an export, and the input or output that it is about.
_NOTES = (
    (
        "lengths",
        'Beyond a sentence\'s `lengths` stand zeros, or "", where an output has one '
        "entry a word.",
    ),
    (
        "sequence_len",
        "`sequence_len` alone says where a row ends, not what stands behind it.",
    ),
    (
        "char_ids",
        "A row with an id that is none, below 0 or above 261, is answered with NaN.",
    ),
    (
        "word_ids",
        "A row with an id that is none, below 0 or above the number of words, is "
        "answered with NaN.",
    ),
    (
        "state_h",
        "States are zeros at the start; give back what was returned to go on with the "
        "same texts.",
    ),
    (
        "inputs",
        "`inputs` are serialised `tf.Example`s with a feature `tokens`, the words. One "
        "that is damaged, or whose `tokens` are no bytes, fails all requests of its "
        "batch.",
    ),
    (
        "text",
        "`text` is split by ops of tensorflow-text. TensorFlow Serving has them; a "
        "TensorFlow without tensorflow-text loads none of this export.",
    ),
)
_OWN = (
    "The inputs are the model's own, and where it finds its words' end is its affair: "
    "serve it without `pad_variable_length_inputs`, for a server pads with what is "
    "there."
)
_CHANGED = (
    "Padding changes: {}. A layer of the model does not heed its mask, so that these "
    "depend on the sentences beside in a batch."
)


def write_card(
    folder: str,
    model_name: str,
    source: str,
    signatures: Mapping,
    changed: Sequence[str],
):
    """Write `README.md` into a version folder.

    Args:
        folder: Version folder.
        model_name: The model's name.
        source: What was exported.
        signatures: `SignatureDef`s by name.
        changed: Outputs that padding changes.
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
    known = {
        alias
        for entry in signatures.values()
        for alias in (*entry.inputs, *entry.outputs)
    }
    notes = [note for alias, note in _NOTES if alias in known]
    if "tokens" not in signatures:
        notes = [_OWN]
    if changed:
        notes.append(_CHANGED.format(", ".join(changed)))
    text = "\n".join(lines) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
        file.write(text)


def _tensors(infos):
    return ", ".join(_tensor(name, info) for name, info in sorted(infos.items()))


def _tensor(name, info):
    sizes = ["?" if d.size < 0 else str(d.size) for d in info.tensor_shape.dim]
    return f"`{name}` {tf.dtypes.as_dtype(info.dtype).name} [{', '.join(sizes)}]"
