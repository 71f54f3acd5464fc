"""Raw text to words inside a TensorFlow graph, punctuation apart, offsets kept."""

from typing import NamedTuple

import keras
import tensorflow as tf
import tensorflow_text

from keras_elmo.text.tokenize_layer import Tokenize

# What stands apart in a run of one script: a number, dots, dashes, or any one mark.
_APART = r"[0-9]+(?:[.,:][0-9]+)*|\.{2,}|-{2,}|[\p{P}\p{S}]"
_SPACE = r"[\s\p{Z}]+"


class Tokens(NamedTuple):
    """Words of a batch of texts, padded to the longest.

    Attributes:
        words: string `(batch, time)`, padded with "".
        lengths: int32 `(batch,)`: words of each text.
        starts, ends: int64 `(batch, time)`: the bytes `text[start:end]` are the word,
            0 at padding.
    """

    words: tf.Tensor
    lengths: tf.Tensor
    starts: tf.Tensor
    ends: tf.Tensor


def tokenize(texts) -> Tokens:
    """Split raw texts at white space and around punctuation.

    A word is a run of letters of one script, a number (`3.14` is one), a run of dots or
    of dashes, or any other single mark: `don't` gives `don`, `'`, `t`. Usable eagerly,
    in `tf.data`, in a TensorFlow function and on Keras tensors; `elmo(tokens.words,
    lengths=tokens.lengths)` takes the result.

    Args:
        texts: Strings, UTF-8: a list, an array, a tensor or a Keras tensor of shape
            `(batch,)`.

    Returns:
        `Tokens`.

    Raises:
        ValueError: `texts` is one string, or has not one axis.

    >>> tokens = tokenize(["Read it.", "Now!"])
    >>> tokens.words.numpy().tolist()
    [[b'Read', b'it', b'.'], [b'Now', b'!', b'']]
    >>> tokens.ends.numpy().tolist()
    [[4, 7, 8], [3, 4, 0]]

    Source: `UnicodeScriptTokenizer` and `regex_split_with_offsets` of tensorflow-text.
    """
    if keras.backend.is_keras_tensor(texts):
        return Tokens(*Tokenize()(texts))
    texts = tf.convert_to_tensor(texts, tf.string)
    if texts.shape.rank != 1:
        raise ValueError(
            f"tokenize: expected texts of shape (batch,), received {texts.shape}."
        )
    # Digits, marks and blanks are of one script: `($5) 6` is one run. Without its
    # blanks the tokenizer would make `19992000` of `1999 2000`.
    tokenizer = tensorflow_text.UnicodeScriptTokenizer(keep_whitespace=True)
    runs, run_starts, _ = tokenizer.tokenize_with_offsets(texts)
    parts, starts, ends = tensorflow_text.regex_split_with_offsets(
        runs.flat_values, f"{_SPACE}|{_APART}", keep_delim_regex_pattern=_APART
    )
    offsets = run_starts.flat_values[:, None]
    words, starts, ends = (
        runs.with_flat_values(part).merge_dims(1, 2)
        for part in (parts, starts + offsets, ends + offsets)
    )
    lengths = tf.cast(words.row_lengths(), tf.int32)
    return Tokens(words.to_tensor(""), lengths, starts.to_tensor(0), ends.to_tensor(0))
