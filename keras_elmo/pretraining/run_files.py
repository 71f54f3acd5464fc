"""What a training run leaves in its folder, and how a language model is read back.

`options.json` and `lm_weights.hdf5` are AI2's and hold the biLM; `softmax.hdf5`
(`softmax/W`, `softmax/b`) and `vocab.txt` are what makes a language model of it.
"""

import os
from typing import Any

from keras_elmo.ai2 import weights as ai2_weights
from keras_elmo.ai2.options import (
    bilm_arguments,
    encoder_arguments,
    options_of,
    read_options,
)
from keras_elmo.atomic import write_json
from keras_elmo.errors import FormatError
from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.text.vocabulary import Vocabulary, read_vocabulary, write_vocabulary

OPTIONS, WEIGHTS = "options.json", "lm_weights.hdf5"
SOFTMAX, VOCABULARY = "softmax.hdf5", "vocab.txt"


def new_language_model(
    options: dict[str, Any], vocabulary_size: int, unroll: bool, dtype: str = "float32"
) -> LanguageModel:
    """A built language model with fresh weights.

    Args:
        options: Checked options of AI2's, with character input.
        vocabulary_size: Words that can be predicted.
        unroll: Whether its LSTMs write their loops out.
        dtype: Keras dtype policy of encoder and LSTMs, such as `"mixed_bfloat16"`;
            the softmax is always float32.
    """
    encoder = CharacterEncoder(**encoder_arguments(options), dtype=dtype)
    bilm = BiLM(**bilm_arguments(options), unroll=unroll, dtype=dtype)
    model = LanguageModel(encoder, bilm, vocabulary_size, dtype="float32")
    model.build()
    return model


def save_language_model(
    model: LanguageModel, vocabulary: Vocabulary, max_chars: int, folder: str
):
    """Write the four files; each appears whole or not at all."""
    os.makedirs(folder, exist_ok=True)
    options = options_of(model.bilm, model.encoder, max_chars)
    write_json(os.path.join(folder, OPTIONS), options)
    write_vocabulary(os.path.join(folder, VOCABULARY), vocabulary.words)
    ai2_weights.write_weights(
        os.path.join(folder, SOFTMAX), list(_softmax_entries(model))
    )
    ai2_weights.write_weights(os.path.join(folder, WEIGHTS), _bilm_entries(model))


def load_language_model(
    folder: str, vocabulary_file: str | None = None, unroll: bool = True
) -> tuple[LanguageModel, Vocabulary, int]:
    """Read a language model from the folder of a training run.

    Args:
        folder: Holds the four files.
        vocabulary_file: Another vocabulary file than the folder's own.
        unroll: See `new_language_model`.

    Returns:
        The model, its vocabulary, and the characters a word.

    Raises:
        FormatError: What is missing or odd, by file and entry.
    """
    for name in (OPTIONS, WEIGHTS, SOFTMAX, *([] if vocabulary_file else [VOCABULARY])):
        if not os.path.exists(os.path.join(folder, name)):
            raise FormatError(
                f"{folder}: expected {name} (a language model has a softmax and a "
                "vocabulary beside AI2's two files), found no such file."
            )
    options_file = os.path.join(folder, OPTIONS)
    options = read_options(options_file)
    if "char_cnn" not in options:
        raise FormatError(
            f"{options_file}: char_cnn: expected an object, found nothing."
        )
    vocabulary = read_vocabulary(vocabulary_file or os.path.join(folder, VOCABULARY))
    model = new_language_model(options, len(vocabulary), unroll)
    ai2_weights.read_weights(os.path.join(folder, WEIGHTS), _bilm_entries(model))
    ai2_weights.read_weights(os.path.join(folder, SOFTMAX), _softmax_entries(model))
    return model, vocabulary, options["char_cnn"]["max_characters_per_token"]


def _bilm_entries(model):
    return [
        *ai2_weights.encoder_entries(model.encoder),
        *ai2_weights.bilm_entries(model.bilm),
    ]


def _softmax_entries(model):
    for name, variable in [("W", model.softmax_kernel), ("b", model.softmax_bias)]:
        yield ai2_weights.Entry(
            f"softmax/{name}",
            tuple(variable.shape),
            [variable],
            "words in the vocabulary, lstm.projection_dim",
        )
