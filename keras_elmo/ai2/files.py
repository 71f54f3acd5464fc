"""AI2's pair of files as layers with weights, and back."""

import os
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
from keras_elmo.text.characters import DEFAULT_MAX_CHARS
from keras_elmo.text.vocabulary import read_vocabulary, write_vocabulary

OPTIONS, WEIGHTS, VOCABULARY = "options.json", "lm_weights.hdf5", "vocab.txt"
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
    encoder_config = encoder_arguments(options)
    bilm = BiLM(**bilm_arguments(options), dtype=dtype)
    bilm.build((None, None, bilm.direction_dim))
    if encoder_config is not None and embedding_file is None:
        encoder = CharacterEncoder(**encoder_config, dtype=dtype)
        encoder.build((None, None, None))
        entries = [*weights.encoder_entries(encoder), *weights.bilm_entries(bilm)]
        weights.read_weights(weights_file, entries)
        max_chars = options["char_cnn"]["max_characters_per_token"]
        return {
            "token_encoder": encoder,
            "bilm": bilm,
            "vocabulary": None,
            "max_chars_per_token": max_chars,
        }
    if vocabulary_file is None:
        raise ValueError(
            "vocabulary_file: expected a file for word input (it says which rows are "
            "<S>, </S> and <UNK>), received None."
        )
    words = read_vocabulary(vocabulary_file).words
    encoder = keras.layers.Embedding(len(words) + 1, bilm.direction_dim, dtype=dtype)
    encoder.build((None, None))
    weights.read_weights(weights_file, weights.bilm_entries(bilm), _ENCODER_NAMES)
    weights.read_weights(
        embedding_file or weights_file,
        weights.embedding_entries(encoder),
        ignored=() if embedding_file else ("RNN_",),
    )
    return {
        "token_encoder": encoder,
        "bilm": bilm,
        "vocabulary": words,
        "max_chars_per_token": DEFAULT_MAX_CHARS,
    }


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
