"""What an exported Keras model around an ElmoLayer answers to."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from keras_elmo.saved_model.labels import read_labels
from keras_elmo.saved_model.model_tensors import ModelTensors, describe
from keras_elmo.saved_model.word_inputs import (
    DEFAULT,
    dense,
    signature,
    word_signatures,
)

EXAMPLES = tf.TensorSpec([None], tf.string, name="inputs")
INPUT_NAMES = {"strings", "tokens", "sequence_len", "text", "inputs"}
OUTPUT_NAMES = {"lengths", "words", "starts", "ends"}


def model_signatures(
    model: keras.Model,
    text: bool = False,
    labels: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The signatures of a functional model.

    A model whose words come in by one string input `(batch, time)`, with or without
    their lengths, an input that goes to an ElmoLayer as such, has `default` (which is
    `serving_default` too), `tokens` and, on request, `text`, see `word_signatures`;
    other inputs keep their names beside these.
    Outputs go by the model's own names, see `ModelTensors`, and `lengths`. An output
    with a time axis of any size is zero, or "", at padding. What padding does within
    is the model's affair: a layer that does not heed Keras' mask makes an answer depend
    on the sentences beside it.

    Without other inputs there is `classify`, if one output has a row of scores a
    sentence, and `regress`, if one has a number a sentence; both read `inputs`
    `(batch,)`, serialised `tf.Example`s with a feature `tokens`, the words.

    Other models have `serving_default` alone, with their own inputs.

    Args:
        model: A functional or Sequential model.
        text: Whether there is a signature `text`.
        labels: Names of the classes of the one output with as many on its last axis
            (or with one, the probability of the second of two); for several outputs, a
            mapping from their names. Adds an output `labels`, or `NAME_labels`, with
            the likeliest class's name.

    Raises:
        ValueError: Another kind of model, one whose tensors have no batch axis of any
            size, names that two tensors would have, or labels that fit no output.
    """
    tensors = ModelTensors(model)
    named_classes = read_labels(labels, tensors.outputs)

    def run(inputs):
        outputs = tensors.run(inputs)
        for label in named_classes:
            outputs[label.name] = label.likeliest(outputs[label.output])
        return outputs

    if tensors.words is None:
        if text:
            raise ValueError(
                "export_saved_model: expected a model with one string input "
                "(batch, time), of any time, for text=True, received inputs "
                f"{describe(tensors.inputs)}."
            )
        return {DEFAULT: signature(lambda **own: run(own), _specs(tensors.inputs))}

    further = {
        name: tensor
        for name, tensor in tensors.inputs.items()
        if name not in (tensors.words, tensors.lengths)
    }
    _check_names(further, [*tensors.outputs, *(label.name for label in named_classes)])
    per_word = {name for name, t in tensors.outputs.items() if t.shape[1:2] == (None,)}
    per_word |= {label.name for label in named_classes if label.output in per_word}

    def answer(words, lengths, others):
        real = tf.sequence_mask(lengths, tf.shape(words)[1])
        # A model without lengths reads off its words where they end.
        inputs = {tensors.words: tf.where(real, words, ""), **others}
        if tensors.lengths is not None:
            dtype = tensors.inputs[tensors.lengths].dtype
            inputs[tensors.lengths] = tf.cast(lengths, dtype)
        outputs = run(inputs)
        for name in per_word:
            outputs[name] = _blank(name, outputs[name], real)
        return outputs | {"lengths": lengths}

    signatures = word_signatures(answer, text, _specs(further))
    if not further:
        classes = {label.output: label.classes for label in named_classes}
        signatures |= _example_signatures(answer, tensors.outputs, classes)
    return signatures


def _specs(tensors):
    return [tf.TensorSpec(t.shape, t.dtype, name=name) for name, t in tensors.items()]


def _check_names(further, outputs):
    taken = INPUT_NAMES.intersection(further) | OUTPUT_NAMES.intersection(outputs)
    if taken:
        raise ValueError(
            "export_saved_model: expected other names of inputs and outputs than those "
            f"that the signatures use, received {', '.join(sorted(taken))}."
        )


def _blank(name, value, real):
    """Zeros, or "", at padding."""
    as_many = tf.debugging.assert_equal(
        tf.shape(value)[1],
        tf.shape(real)[1],
        f"output {name}: expected one entry a word, for its axis 1 has no fixed size.",
    )
    ones = [1] * (value.shape.rank - 2)
    mask = tf.reshape(real, tf.concat([tf.shape(real), ones], axis=0))
    with tf.control_dependencies([as_many]):
        return tf.where(mask, value, tf.zeros((), value.dtype))


def _example_signatures(answer, outputs, classes):
    """`classify` and `regress`, each where the model has one output for it."""

    def answer_examples(inputs, output):
        features = {"tokens": tf.io.RaggedFeature(tf.string)}
        words = tf.io.parse_example(inputs, features)["tokens"]
        return tf.cast(answer(*dense(words), {})[output], tf.float32)

    floats = {n: tuple(t.shape[1:]) for n, t in outputs.items() if "float" in t.dtype}
    scores = [
        name
        for name, shape in floats.items()
        if len(shape) == 1 and shape != (None,) and (shape != (1,) or name in classes)
    ]
    numbers = [
        name
        for name, shape in floats.items()
        if shape in ((), (1,)) and name not in scores
    ]

    def classify(inputs):
        values = answer_examples(inputs, scores[0])
        if values.shape[-1] == 1:
            values = tf.concat([1 - values, values], axis=-1)
        if scores[0] not in classes:
            return {"scores": values}
        names = tf.constant([classes[scores[0]]])
        return {"scores": values, "classes": tf.tile(names, [tf.shape(values)[0], 1])}

    def regress(inputs):
        return {"outputs": tf.reshape(answer_examples(inputs, numbers[0]), [-1])}

    signatures = {}
    if len(scores) == 1:
        signatures["classify"] = signature(classify, [EXAMPLES])
    if len(numbers) == 1:
        signatures["regress"] = signature(regress, [EXAMPLES])
    return signatures
