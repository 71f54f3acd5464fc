"""What an exported ElmoLayer answers to: its signatures, as functions of tensors.

Names of signatures, inputs and outputs are those of TF-Hub's ELMo (google/elmo), where
it has one.
"""

import keras
import tensorflow as tf

from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.layers.char_cnn import NUM_CHARACTERS
from keras_elmo.saved_model.word_inputs import (
    SEQUENCE_LEN,
    TOKENS,
    cut_lengths,
    signature,
    word_signatures,
)
from keras_elmo.text.word_reader import Reading
from keras_elmo.word_layers import without_boundaries

LAYERS = ("all", "mix", "top", "average")
POOLINGS = ("mean", "max", "last")


def elmo_signatures(
    elmo: ElmoLayer,
    text: bool = False,
    layers: str = "all",
    pooling: str = "mean",
    distinct: bool = True,
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The signatures of a layer alone.

    `default` (which is `serving_default` too), `tokens` and `text` are those of
    `word_signatures`. `char_ids` takes `char_ids` `(batch, time, chars)` as of
    `batch_to_ids` and `sequence_len`; of a layer with a vocabulary it is `word_ids`,
    with `word_ids` `(batch, time)`. A row with an id that there is not is answered
    with NaN, for an error would fail all requests of a server's batch. `stateful`
    takes `tokens`, `sequence_len` and the biLM's states: `state_h` `(batch, 2, L, P)`
    and `state_c` `(batch, 2, L, units)`, forward before backward, zeros at the start;
    it returns them as they are after the last step.

    Outputs: `word_emb` `(batch, time, P)`, `lstm_outputs1` and on, `elmo`
    `(batch, time, 2 * P)`, `default` `(batch, 2 * P)`, all float32 and zero at padding;
    and `lengths` int32 `(batch,)`. Further mixes of the layer are `elmo_2` and on.

    Args:
        elmo: A built layer. A stateful one's own state is not exported.
        text: Whether there is a signature `text`.
        layers: `"all"`; or one vector a word, `elmo`, and neither `word_emb` nor
            `lstm_outputs`: `"mix"`, what the layer gives, `"top"`, the highest layer,
            or `"average"`, the mean of all layers.
        pooling: What `default` is of the words' `elmo`: `"mean"`, `"max"` or
            `"last"`, the last word's.
        distinct: Whether a word of ids that comes again is encoded once.
    """

    bilm = elmo.bilm
    name = "char_ids" if elmo.reads_characters else "word_ids"
    sizes = [elmo.max_chars_per_token] if elmo.reads_characters else []
    highest = NUM_CHARACTERS if elmo.reads_characters else len(elmo.vocabulary)
    states = [
        tf.TensorSpec([None, 2, bilm.num_layers, size], tf.float32, name=name)
        for name, size in (("state_h", bilm.direction_dim), ("state_c", bilm.units))
    ]

    def outputs_of(every, real, lengths):
        outputs = {}
        if layers == "all":
            outputs["word_emb"] = every[:, 0, :, : every.shape[-1] // 2]
            for i in range(1, every.shape[1]):
                outputs[f"lstm_outputs{i}"] = every[:, i]
        for name, vectors in _vectors(elmo, every, real, layers):
            outputs[name] = vectors * tf.cast(real, tf.float32)[:, :, None]
        outputs["default"] = _pool(outputs["elmo"], real, lengths, pooling)
        return {n: tf.cast(value, tf.float32) for n, value in outputs.items()}

    reading = [
        tf.TensorSpec([None] * (1 + len(sizes)), tf.int32),
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([None], tf.int32),
        *[tf.TensorSpec([None], tf.int32)] * (elmo.reader.cache is not None),
    ]

    # Traced and stored once, for all signatures but one.
    @tf.function(input_signature=reading, autograph=False)
    def from_zero(*tensors):
        reading = Reading(*tensors)
        every, real = elmo.word_layers.from_zero(reading)
        return outputs_of(every, real, reading.lengths)

    def answer(words, lengths, others):
        reading = elmo.reader.read(words, lengths)
        return from_zero(*_tensors(reading)) | {"lengths": lengths}

    def of_ids(sequence_len, **named):
        (ids,) = named.values()
        lengths = cut_lengths(sequence_len, ids)
        known = (ids >= 0) & (ids <= highest)
        beyond = ~tf.sequence_mask(lengths, tf.shape(ids)[1])
        known |= beyond[:, :, None] if sizes else beyond
        known = tf.reduce_all(known, axis=list(range(1, len(ids.shape))))  # (batch,)
        ids = tf.clip_by_value(ids, 0, highest)
        outputs = from_zero(*_tensors(elmo.reader.read(ids, lengths, distinct)))
        outputs = {n: _nan_where(~known, value) for n, value in outputs.items()}
        return outputs | {"lengths": lengths}

    def stateful(tokens, sequence_len, state_h, state_c):
        reading = elmo.reader.read(tokens, cut_lengths(sequence_len, tokens))
        every, _, words, state = elmo.word_layers.from_state(
            reading, _nest(state_h, state_c, bilm)
        )
        outputs = outputs_of(*without_boundaries(every, words), reading.lengths)
        state_h, state_c = _stack(state)
        outputs |= {"state_h": state_h, "state_c": state_c}
        return outputs | {"lengths": reading.lengths}

    ids = tf.TensorSpec([None, None, *sizes], tf.int32, name=name)
    return word_signatures(answer, text) | {
        name: signature(of_ids, [ids, SEQUENCE_LEN]),
        "stateful": signature(stateful, [TOKENS, SEQUENCE_LEN, *states]),
    }


def _tensors(reading):
    return [tensor for tensor in reading if tensor is not None]


def _vectors(elmo, every, real, layers):
    """One vector a word: names and tensors `(batch, time, 2 * P)`."""
    if layers == "top":
        return [("elmo", tf.cast(every[:, -1], tf.float32))]
    if layers == "average":
        return [("elmo", tf.reduce_mean(tf.cast(every, tf.float32), axis=1))]
    return [
        (
            "elmo" if i == 0 else f"elmo_{i + 1}",
            tf.cast(mix(every, mask=real), tf.float32),
        )
        for i, mix in enumerate(elmo.mixes)
    ]


def _pool(vectors, real, lengths, pooling):
    """One vector a sentence; zeros where it has no words."""
    if pooling == "max":
        candidates = tf.where(real[:, :, None], vectors, vectors.dtype.min)
        highest = tf.reduce_max(candidates, axis=1)
        return tf.where(lengths[:, None] > 0, highest, 0.0)
    if pooling == "last":
        last = tf.one_hot(lengths - 1, tf.shape(vectors)[1])  # of no words: all zeros
        return tf.einsum("bt,btd->bd", last, vectors)
    count = tf.cast(tf.maximum(lengths, 1), tf.float32)[:, None]
    return tf.reduce_sum(vectors, axis=1) / count


def _nan_where(wrong, value):
    shape = [-1] + [1] * (len(value.shape) - 1)
    return tf.where(tf.reshape(wrong, shape), float("nan"), value)


def _nest(state_h, state_c, bilm):
    """`(batch, 2, L, size)` as a biLM takes its states, in the dtypes of its own."""
    zero = bilm.get_initial_state(1)
    flat = [
        tensor[:, direction, layer]
        for direction in range(2)
        for layer in range(bilm.num_layers)
        for tensor in (state_h, state_c)
    ]
    dtypes = [tensor.dtype for tensor in keras.tree.flatten(zero)]
    cast = [tf.cast(tensor, d) for tensor, d in zip(flat, dtypes, strict=True)]
    return keras.tree.pack_sequence_as(zero, cast)


def _stack(state):
    """The other way: a pair of `state_h` and `state_c`."""
    flat = keras.tree.flatten(state)  # by direction, then layer, then h and c
    both = [
        tf.cast(tf.stack(kind, axis=1), tf.float32) for kind in (flat[::2], flat[1::2])
    ]
    return [tf.reshape(x, [-1, 2, len(flat) // 4, x.shape[-1]]) for x in both]
