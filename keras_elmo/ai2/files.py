"""AI2's pair of files as layers with weights, and back."""

import os
from collections.abc import Mapping
from typing import Any

import keras

from keras_elmo.ai2 import weights
from keras_elmo.ai2.options import (
    bilm_arguments,
    encoder_arguments,
    options_of,
    read_options,
)
from keras_elmo.atomic import write_json
from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.layers.initial_values import not_drawn
from keras_elmo.text.characters import DEFAULT_MAX_CHARS
from keras_elmo.text.vocabulary import read_vocabulary, write_vocabulary

OPTIONS, WEIGHTS, VOCABULARY = "options.json", "lm_weights.hdf5", "vocab.txt"
SOFTMAX = "softmax.hdf5"  # not AI2's: what our training runs leave beside these
_ENCODER_NAMES = ("char_embed", "CNN", "embedding")


def read_layers(
    options_file: str | os.PathLike,
    weights_file: str | os.PathLike,
    embedding_file: str | os.PathLike | None = None,
    vocabulary_file: str | os.PathLike | None = None,
    dtype: Any = None,
) -> dict[str, Any]:
    """Read AI2's files into layers.

    Args:
        options_file: `options.json`.
        weights_file: `lm_weights.hdf5`.
        embedding_file: HDF5 with `embedding`, a vector for each word of the
            vocabulary, to be read in place of characters.
        vocabulary_file: The words of that, one a line.
        dtype: Keras dtype policy of the layers.

    Returns:
        `token_encoder`, `bilm`, `vocabulary` and `max_chars_per_token`, arguments of
        `ElmoLayer`.

    Raises:
        FormatError: The file, the entry, what was expected and what was found.
        OSError: A file cannot be opened.
        ValueError: Word input without a vocabulary.
    """
    options = read_options(options_file)
    if "char_cnn" in options and embedding_file is None:
        layers = _character_layers(options, dtype)
        weights.read_weights(weights_file, _entries(layers))
        return layers
    layers = _word_layers(options, vocabulary_file, dtype)
    weights.read_weights(
        weights_file, weights.bilm_entries(layers["bilm"]), _ENCODER_NAMES
    )
    weights.read_weights(
        embedding_file or weights_file,
        weights.embedding_entries(layers["token_encoder"]),
        ignored=() if embedding_file else ("RNN_",),
    )
    return layers


def checkpoint_layers(
    path: str,
    options: dict[str, Any],
    arrays: Mapping[str, Any],
    vocabulary_file: str | os.PathLike | None = None,
    dtype: Any = None,
) -> dict[str, Any]:
    """As `read_layers`, from what a checkpoint of a training holds.

    Args:
        path: What errors call it.
        options: Checked options of AI2's.
        arrays: Weights by AI2's names; the softmax among them is not used.
        vocabulary_file, dtype: See there.

    Raises:
        FormatError: The entry, what was expected and what was found.
        ValueError: Word input without a vocabulary.
    """
    if "char_cnn" in options:
        layers = _character_layers(options, dtype)
    else:
        layers = _word_layers(options, vocabulary_file, dtype)
    weights.assign_entries(path, arrays, _entries(layers), ignored=("softmax/",))
    return layers


def _character_layers(options, dtype):
    with not_drawn():
        encoder = CharacterEncoder(**encoder_arguments(options), dtype=dtype)
        encoder.build((None, None, None))
        bilm = _bilm(options, dtype)
    return {
        "token_encoder": encoder,
        "bilm": bilm,
        "vocabulary": None,
        "max_chars_per_token": options["char_cnn"]["max_characters_per_token"],
    }


def _word_layers(options, vocabulary_file, dtype):
    if vocabulary_file is None:
        raise ValueError(
            "vocabulary_file: expected a file for word input (it says which rows are "
            "<S>, </S> and <UNK>), received None."
        )
    words = read_vocabulary(vocabulary_file).words
    with not_drawn():
        bilm = _bilm(options, dtype)
        encoder = keras.layers.Embedding(
            len(words) + 1, bilm.direction_dim, "zeros", dtype=dtype
        )
        encoder.build((None, None))
    return {
        "token_encoder": encoder,
        "bilm": bilm,
        "vocabulary": words,
        "max_chars_per_token": DEFAULT_MAX_CHARS,
    }


def _bilm(options, dtype):
    bilm = BiLM(**bilm_arguments(options), dtype=dtype)
    bilm.build((None, None, bilm.direction_dim))
    return bilm


def _entries(layers):
    encoder = layers["token_encoder"]
    if layers["vocabulary"] is None:
        yield from weights.encoder_entries(encoder)
    else:
        yield from weights.embedding_entries(encoder)
    yield from weights.bilm_entries(layers["bilm"])


def write_layers(
    directory: str | os.PathLike,
    token_encoder: keras.layers.Layer,
    bilm: BiLM,
    vocabulary: list[str] | None,
    max_chars_per_token: int,
    dtype: str = "float32",
):
    """Write layers as `options.json` and `lm_weights.hdf5`, and perhaps `vocab.txt`.

    Args:
        directory: Made if absent; files of these names are replaced, whole.
        token_encoder, bilm, vocabulary, max_chars_per_token: As of `ElmoLayer`.
        dtype: `"float32"` or `"float16"`.

    Raises:
        ValueError: Layers that AI2's files cannot describe.
    """
    if vocabulary is None and not isinstance(token_encoder, CharacterEncoder):
        raise ValueError(
            "token_encoder: expected a CharacterEncoder (AI2's files describe no "
            f"other), received {type(token_encoder).__name__}."
        )
    os.makedirs(directory, exist_ok=True)
    if vocabulary is None:
        options = options_of(bilm, token_encoder, max_chars_per_token)
        entries = weights.encoder_entries(token_encoder)
    else:
        options = options_of(bilm, None, max_chars_per_token)
        entries = weights.embedding_entries(token_encoder)
        write_vocabulary(os.path.join(directory, VOCABULARY), vocabulary)
    weights.write_weights(
        os.path.join(directory, WEIGHTS),
        [*entries, *weights.bilm_entries(bilm)],
        dtype,
    )
    write_json(os.path.join(directory, OPTIONS), options)
