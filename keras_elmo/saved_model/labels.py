"""Names for the classes that an exported model scores."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_elmo.saved_model.model_tensors import describe


class Labels(NamedTuple):
    """The names of one output's classes.

    Attributes:
        output: Name of the output that scores them on its last axis; where that has a
            size of 1, it is the probability of the second of two.
        name: Name of the output that the likeliest one's name becomes.
        classes: The names.
    """

    output: str
    name: str
    classes: tuple[str, ...]

    def likeliest(self, scores):
        """The name of the class with the highest score: string `(...)`.

        >>> Labels("tags", "labels", ("N", "V")).likeliest(tf.constant([[0.2, 0.8]]))
        <tf.Tensor: shape=(1,), dtype=string, numpy=array([b'V'], dtype=object)>
        """
        if scores.shape[-1] == 1:
            place = tf.cast(scores[..., 0] > 0.5, tf.int32)
        else:
            place = tf.argmax(scores, axis=-1, output_type=tf.int32)
        return tf.gather(tf.constant(self.classes), place)


def read_labels(
    labels: Sequence[str] | Mapping[str, Sequence[str]] | None, outputs: Mapping
) -> list[Labels]:
    """Find the outputs that labels belong to.

    Args:
        labels: Names for the one output that has as many classes; or a mapping from
            names of outputs; or None.
        outputs: Keras tensors by name.

    Raises:
        ValueError: Labels that fit no output, or several, or whose own output has a
            name that is taken.

    >>> tags = keras.KerasTensor((None, None, 2))
    >>> read_labels(["N", "V"], {"tags": tags})
    [Labels(output='tags', name='labels', classes=('N', 'V'))]
    """
    if labels is None:
        return []
    if isinstance(labels, Mapping):
        found = [Labels(n, f"{n}_labels", _names(x)) for n, x in labels.items()]
    else:
        labels = _names(labels)
        fitting = [name for name, t in outputs.items() if _fits(t, len(labels))]
        if len(fitting) != 1:
            raise ValueError(
                f"export_saved_model: expected one output with {len(labels)} classes, "
                f"as many as there are labels, found {len(fitting)} among: "
                f"{describe(outputs)}."
            )
        found = [Labels(fitting[0], "labels", labels)]
    for label in found:
        _check(label, outputs)
    return found


def _names(labels):
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise ValueError(
            f"export_saved_model: expected labels to be a list, received {labels!r}."
        )
    for name in labels:
        if not isinstance(name, str):
            raise ValueError(
                f"export_saved_model: expected labels to be str, received {name!r}."
            )
    return tuple(labels)


def _check(label, outputs):
    if label.output not in outputs:
        raise ValueError(
            f"export_saved_model: expected labels of {', '.join(outputs)}, received "
            f"some of {label.output!r}."
        )
    if not _fits(outputs[label.output], len(label.classes)):
        raise ValueError(
            f"export_saved_model: expected a label for each class of the output "
            f"{describe({label.output: outputs[label.output]})}, received "
            f"{len(label.classes)}."
        )
    if label.name in outputs:
        raise ValueError(
            f"export_saved_model: expected no output named {label.name!r}, which "
            "labels are given as, received one."
        )


def _fits(tensor, count):
    classes = tensor.shape[-1] if len(tensor.shape) > 1 else None
    return "float" in tensor.dtype and (classes == count or (classes, count) == (1, 2))
