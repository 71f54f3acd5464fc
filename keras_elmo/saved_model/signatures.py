"""What an exported model answers to: its signatures, as functions of tensors.

Names of signatures, inputs and outputs are those of TF-Hub's ELMo (google/elmo).
"""

import keras
import tensorflow as tf

from keras_elmo.elmo_layer import ElmoLayer

DEFAULT = "serving_default"


def elmo_signatures(
    elmo: ElmoLayer,
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The signatures of a layer alone: raw sentences, and sentences in words.

    `default`, which is `serving_default` too, has the input `strings` `(batch,)`, split
    at white space. `tokens` has `tokens` `(batch, time)` and `sequence_len`
    `(batch,)`, which alone decides what is padding, whatever the strings there are.

    Outputs of both: `word_emb` `(batch, time, P)`, `lstm_outputs1` and on, `elmo`
    `(batch, time, 2 * P)`, `default` `(batch, 2 * P)`, the mean over the words, all
    float32 and zero at padding; and `lengths` int32 `(batch,)`. Further mixes of the
    layer are `elmo_2` and on.

    Args:
        elmo: A built layer. A stateful one is exported without its state.
    """

    def embed(words, lengths):
        # The layers once, whatever the number of mixes; never the state.
        layers, real = elmo.stateless_layers(words, lengths)
        width = layers.shape[-1] // 2
        outputs = {"word_emb": layers[:, 0, :, :width], "lengths": lengths}
        for i in range(1, layers.shape[1]):
            outputs[f"lstm_outputs{i}"] = layers[:, i]
        for i, mix in enumerate(elmo.mixes):
            name = "elmo" if i == 0 else f"elmo_{i + 1}"
            mixed = tf.cast(mix(layers, mask=real), tf.float32)
            outputs[name] = mixed * tf.cast(real, tf.float32)[:, :, None]
        count = tf.cast(tf.maximum(lengths, 1), tf.float32)[:, None]
        outputs["default"] = tf.reduce_sum(outputs["elmo"], axis=1) / count
        return {
            name: value if name == "lengths" else tf.cast(value, tf.float32)
            for name, value in outputs.items()
        }

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, name="strings")],
        autograph=False,
    )
    def default(strings):
        strings = tf.ensure_shape(strings, [None])
        words = tf.strings.split(strings)
        lengths = tf.cast(words.row_lengths(), tf.int32)
        return embed(words.to_tensor(""), lengths)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.string, name="tokens"),
            tf.TensorSpec([None], tf.int32, name="sequence_len"),
        ],
        autograph=False,
    )
    def tokens(tokens, sequence_len):
        tokens = tf.ensure_shape(tokens, [None, None])
        sequence_len = tf.ensure_shape(sequence_len, [None])
        same = tf.debugging.assert_equal(
            tf.shape(tokens)[0],
            tf.shape(sequence_len)[0],
            "tokens and sequence_len: expected the same number of rows.",
        )
        with tf.control_dependencies([same]):
            lengths = tf.clip_by_value(sequence_len, 0, tf.shape(tokens)[1])
        return embed(tokens, lengths)

    return {"default": default, "tokens": tokens, DEFAULT: default}


def model_signatures(model: keras.Model) -> dict:
    """The one signature of a functional model, `serving_default`.

    Inputs and outputs go by their keys where the model has dicts of them, else by the
    names of its inputs and of the layers that give its outputs.

    Args:
        model: A functional or Sequential model.

    Raises:
        ValueError: Another kind of model.
    """
    if isinstance(model, keras.Sequential):
        inputs, outputs = model.inputs[0], model.outputs[0]
    elif getattr(model, "inputs", None):
        inputs, outputs = model.input, model.output
    else:
        raise ValueError(
            "export_saved_model: expected a functional or Sequential model, whose "
            f"inputs are known, received {type(model).__name__}."
        )
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in _named(inputs, lambda tensor: tensor.name)
    ]
    output_names = [name for name, _ in _named(outputs, _producer)]

    @tf.function(input_signature=specs, autograph=False)
    def serve(*tensors):
        checked = [
            tf.ensure_shape(tensor, spec.shape)
            for tensor, spec in zip(tensors, specs, strict=True)
        ]
        results = model(keras.tree.pack_sequence_as(inputs, checked))
        return dict(zip(output_names, keras.tree.flatten(results), strict=True))

    return {DEFAULT: serve}


def _named(structure, name_of):
    if isinstance(structure, dict):
        return sorted(structure.items())  # the order of `keras.tree.flatten`
    return [(name_of(tensor), tensor) for tensor in keras.tree.flatten(structure)]


def _producer(tensor):
    operation, _, index = tensor._keras_history
    return operation.name if index == 0 else f"{operation.name}_{index + 1}"
