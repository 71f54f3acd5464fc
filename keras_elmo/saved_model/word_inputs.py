"""The ways in which words reach an exported model, whatever it makes of them.

A server that batches fills up short requests with the first element of each tensor, so
where a row ends is never read off its words.
"""

import inspect
import keyword
from collections.abc import Callable, Sequence

import tensorflow as tf

DEFAULT = "serving_default"

# From words (batch, time), lengths (batch,) and further tensors by name to outputs.
Answer = Callable[[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]], dict[str, tf.Tensor]]

STRINGS = tf.TensorSpec([None], tf.string, name="strings")
TOKENS = tf.TensorSpec([None, None], tf.string, name="tokens")
SEQUENCE_LEN = tf.TensorSpec([None], tf.int32, name="sequence_len")
TEXT = tf.TensorSpec([None], tf.string, name="text")


def word_signatures(
    answer: Answer, text: bool = False, further: Sequence[tf.TensorSpec] = ()
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The signatures `default`, `serving_default`, `tokens` and, on request, `text`.

    `default` takes `strings` `(batch,)`, split at white space; `tokens` takes `tokens`
    `(batch, time)` and `sequence_len` `(batch,)`; `text` takes `text` `(batch,)`, to be
    split around punctuation too, and adds the outputs `words`, `starts` and `ends`
    `(batch, time)`, byte offsets.

    Args:
        answer: What the model makes of words.
        text: Whether there is a `text`. Its ops are tensorflow-text's.
        further: Inputs beside the words, the same in all signatures.
    """

    # Traced and stored once, whatever the number of signatures.
    answer = tf.function(
        answer,
        input_signature=[
            tf.TensorSpec([None, None], tf.string),
            tf.TensorSpec([None], tf.int32),
            {spec.name: spec for spec in further},
        ],
        autograph=False,
    )

    def default(strings, **others):
        return answer(*split(strings), others)

    def tokens(tokens, sequence_len, **others):
        return answer(tokens, cut_lengths(sequence_len, tokens), others)

    def raw_text(text, **others):
        from keras_elmo.text.raw_text import tokenize

        found = tokenize(text)
        outputs = answer(found.words, found.lengths, others)
        return outputs | {
            "words": found.words,
            "starts": found.starts,
            "ends": found.ends,
        }

    signatures = {
        "default": signature(default, [STRINGS, *further]),
        "tokens": signature(tokens, [TOKENS, SEQUENCE_LEN, *further]),
    }
    signatures[DEFAULT] = signatures["default"]
    if text:
        signatures["text"] = signature(raw_text, [TEXT, *further])
    return signatures


def signature(
    function: Callable[..., dict[str, tf.Tensor]], specs: Sequence[tf.TensorSpec]
) -> tf.types.experimental.GenericFunction:
    """A function of named tensors that checks their ranks and numbers of rows.

    Args:
        function: Takes a tensor for each spec, by its name.
        specs: Each with a name and a first axis of any size.

    >>> double = signature(lambda x: {"y": 2 * x}, [tf.TensorSpec([None], name="x")])
    >>> double(tf.constant([1.0, 2.0]))["y"].numpy()
    array([2., 4.], dtype=float32)
    """
    names = [spec.name for spec in specs]

    def checked(*tensors):
        tensors = [
            tf.ensure_shape(tensor, spec.shape)
            for tensor, spec in zip(tensors, specs, strict=True)
        ]
        rows = [tf.shape(tensor)[0] for tensor in tensors]
        same = [
            tf.debugging.assert_equal(
                rows[0], n, f"{names[0]} and {name}: expected the same number of rows."
            )
            for name, n in zip(names[1:], rows[1:], strict=True)
        ]
        with tf.control_dependencies(same):
            tensors = [tf.identity(tensor) for tensor in tensors]
        return function(**dict(zip(names, tensors, strict=True)))

    if all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
        # So that it can be called by these names.
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in names]
        checked.__signature__ = inspect.Signature(parameters)
    return tf.function(checked, input_signature=specs, autograph=False)


def split(strings):
    """Words `(batch, time)`, at least one column, and lengths `(batch,)` of sentences.

    >>> split(tf.constant(["a  b", ""]))[0].numpy().tolist()
    [[b'a', b'b'], [b'', b'']]
    """
    return dense(tf.strings.split(strings))


def dense(words):
    """The same of a ragged tensor of words."""
    lengths = tf.cast(words.row_lengths(), tf.int32)
    words = words.to_tensor("")
    # Not every layer behind the words takes a time axis of no steps.
    rows, time = tf.unstack(tf.shape(words))
    return tf.concat([words, tf.fill([rows, tf.maximum(1 - time, 0)], "")], 1), lengths


def cut_lengths(sequence_len, tokens):
    """Lengths within 0 and the number of columns of `tokens`.

    >>> cut_lengths(tf.constant([5, -1]), tf.constant([["a"], ["b"]])).numpy()
    array([1, 0], dtype=int32)
    """
    return tf.clip_by_value(sequence_len, 0, tf.shape(tokens)[1])
