"""A language model as files, and back.

`options.json` and `lm_weights.hdf5` are AI2's and hold the biLM; `softmax.hdf5`
(`softmax/W`, `softmax/b`) and `vocab.txt` are what makes a language model of it.
"""

import hashlib
import itertools
import os
from typing import Any

import keras
import numpy as np

from keras_elmo.ai2 import weights as ai2_weights
from keras_elmo.ai2.checkpoint import has_bilm_checkpoint, read_bilm_checkpoint
from keras_elmo.ai2.files import OPTIONS, SOFTMAX, VOCABULARY, WEIGHTS, write_layers
from keras_elmo.ai2.options import bilm_arguments, encoder_arguments, read_options
from keras_elmo.errors import FormatError
from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.presets.catalog import PRESETS, preset_directory
from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.resolver import read_checkpoint
from keras_elmo.text.characters import DEFAULT_MAX_CHARS
from keras_elmo.text.vocabulary import Vocabulary, read_vocabulary, write_vocabulary


def new_language_model(
    options: dict[str, Any],
    vocabulary: Vocabulary,
    *,
    unroll: bool = True,
    dtype: str = "float32",
    dropout: float = 0.0,
    share_embedding_softmax: bool = False,
) -> LanguageModel:
    """A built language model with fresh weights.

    Args:
        options: Checked options of AI2's; without `char_cnn` words are read by their
            numbers.
        vocabulary: The words that are predicted.
        unroll: Whether its LSTMs write their loops out.
        dtype: Keras dtype policy of encoder and LSTMs, such as `"mixed_bfloat16"`;
            the softmax is always float32.
        dropout: See `BiLM`.
        share_embedding_softmax: See `LanguageModel`.
    """
    arguments = encoder_arguments(options)
    bilm = BiLM(
        **bilm_arguments(options),
        unroll=unroll,
        dtype=dtype,
        dropout=dropout,
        seed=0,  # or dropout on PyTorch would not follow from `seed_dropout`
    )
    if arguments is not None:
        encoder = CharacterEncoder(**arguments, dtype=dtype)
        max_chars = options["char_cnn"]["max_characters_per_token"]
    else:
        encoder = keras.layers.Embedding(
            len(vocabulary) + 1,
            bilm.direction_dim,
            keras.initializers.RandomUniform(-1.0, 1.0),
            dtype=dtype,
        )
        max_chars = DEFAULT_MAX_CHARS
    model = LanguageModel(
        encoder, bilm, vocabulary, max_chars, share_embedding_softmax, dtype="float32"
    )
    model.build()
    return model


def language_model_entries(model: LanguageModel) -> list[ai2_weights.Entry]:
    """All weights of a built language model under the names of AI2's files."""
    return [*_bilm_entries(model), *_softmax_entries(model)]


def save_language_model(
    model: LanguageModel, folder: str | os.PathLike, dtype: str = "float32"
):
    """Write the four files; each appears whole or not at all, the options last.

    Args:
        model: A built model.
        folder: Made if absent; files of these names are replaced.
        dtype: `"float32"`, exact, or `"float16"`, half the size.
    """
    os.makedirs(folder, exist_ok=True)
    softmax = os.path.join(folder, SOFTMAX)
    ai2_weights.write_weights(softmax, list(_softmax_entries(model)), dtype)
    words = model.vocabulary.words
    write_vocabulary(os.path.join(folder, VOCABULARY), words)
    write_layers(
        folder,
        model.encoder,
        model.bilm,
        None if model.reads_characters else words,
        model.max_chars,
        dtype,
    )


def load_language_model(
    source: str | os.PathLike,
    vocabulary_file: str | os.PathLike | None = None,
    unroll: bool = True,
) -> LanguageModel:
    """Read a language model: a biLM with its softmax and its vocabulary.

    Args:
        source: The folder of a training run, finished or not; a run's `.npz`
            checkpoint; a preset's name or folder, with `softmax.hdf5` and `vocab.txt`
            beside AI2's two files; the folder in which bilm-tf trained.
        vocabulary_file: Another vocabulary file than the `vocab.txt` beside the model;
            bilm-tf leaves none.
        unroll: See `new_language_model`.

    Raises:
        FormatError: What is missing or odd, by file and entry.
        OSError: A file cannot be opened.

    >>> load_language_model("no/such/run")
    Traceback (most recent call last):
    FileNotFoundError: no/such/run: expected a language model (a training run's \
folder or .npz checkpoint, a preset, or the folder of bilm-tf's training), found \
nothing of that name.
    """
    source = os.fspath(source)
    checkpoint = read_checkpoint(source)
    if checkpoint is not None:
        return _from_checkpoint(checkpoint, vocabulary_file, unroll)
    return _from_folder(source, vocabulary_file, unroll)


def load_bilm_checkpoint(
    directory: str | os.PathLike, vocabulary_file: str | os.PathLike | None = None
) -> LanguageModel:
    """Read the checkpoint of bilm-tf's training, with Adagrad's accumulators.

    Such as the public one of the 1-billion-word model, which can so be evaluated,
    fine-tuned, and trained further where bilm-tf stopped. Needs TensorFlow.

    Args:
        directory: Holds `model.ckpt-N.*`, perhaps several, and `options.json`.
        vocabulary_file: The vocabulary of the training, one word a line; None for
            `vocab.txt` in the folder.

    Raises:
        FormatError: What is missing or odd, by file and entry.
        OSError: A file cannot be opened.

    >>> load_bilm_checkpoint("no/such/folder", "vocab.txt")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no/such/folder'
    """
    checkpoint = read_bilm_checkpoint(directory)
    return _from_checkpoint(checkpoint, vocabulary_file, unroll=True)


def _from_checkpoint(checkpoint, vocabulary_file, unroll):
    beside = os.path.join(os.path.dirname(checkpoint.path), VOCABULARY)
    if vocabulary_file is None and not os.path.exists(beside):
        raise FormatError(
            f"{checkpoint.path}: expected a vocabulary, {VOCABULARY} beside it or one "
            "that is given (--vocab), found none."
        )
    model = new_language_model(
        checkpoint.options,
        _vocabulary(vocabulary_file, beside),
        unroll=unroll,
        share_embedding_softmax="softmax/W" not in checkpoint.arrays,
    )
    ai2_weights.assign_entries(
        checkpoint.path, checkpoint.arrays, language_model_entries(model)
    )
    model.accumulators = getattr(checkpoint, "accumulators", None) or None
    return model


def _from_folder(source, vocabulary_file, unroll):
    folder = source
    if source in PRESETS and not os.path.isdir(source):
        folder = preset_directory(source)
    _check_form(folder)
    if has_bilm_checkpoint(folder) and not os.path.exists(
        os.path.join(folder, SOFTMAX)
    ):
        # AI2's pair was written beside the checkpoint, and has no softmax.
        return load_bilm_checkpoint(folder, vocabulary_file)
    needed = (OPTIONS, WEIGHTS, SOFTMAX, *([] if vocabulary_file else [VOCABULARY]))
    absent = [n for n in needed if not os.path.exists(os.path.join(folder, n))]
    if absent:
        why = "which a language model has beside AI2's two files"
        if source in PRESETS:
            why = (
                "which are in the repository and not in the installed package: give "
                "the folder keras_elmo/presets of a checkout"
            )
        raise FormatError(
            f"{source}: expected {' and '.join(needed[2:])} ({why}), found no "
            f"{' and no '.join(absent)}."
        )
    options = read_options(os.path.join(folder, OPTIONS))
    softmax = os.path.join(folder, SOFTMAX)
    with ai2_weights.open_hdf5(softmax) as file:
        shared = "softmax/W" not in ai2_weights.data_sets(file)
    model = new_language_model(
        options,
        _vocabulary(vocabulary_file, os.path.join(folder, VOCABULARY)),
        unroll=unroll,
        share_embedding_softmax=shared,
    )
    ai2_weights.read_weights(os.path.join(folder, WEIGHTS), _bilm_entries(model))
    ai2_weights.read_weights(softmax, _softmax_entries(model))
    return model


def _vocabulary(given, beside):
    if given is None:
        return read_vocabulary(beside)
    vocabulary = read_vocabulary(given)
    if os.path.exists(beside):
        check_same_words(vocabulary, beside)
    return vocabulary


def check_same_words(vocabulary: Vocabulary, own_file: str):
    """Refuse another vocabulary than a model's own.

    Args:
        vocabulary: The one that is given.
        own_file: That of the model.

    Raises:
        FormatError: The first line that differs.
    """
    own = read_vocabulary(own_file).words
    pairs = itertools.zip_longest(own, vocabulary.words)
    for number, (trained, given) in enumerate(pairs):
        if trained != given:
            raise FormatError(
                f"{vocabulary.source}: line {vocabulary.line(number)}: expected "
                f"{trained or 'no more words'!r} as in {own_file}, found "
                f"{given or 'no more words'!r}."
            )


def _check_form(source):
    expected = (
        "a language model (a training run's folder or .npz checkpoint, a preset, or "
        "the folder of bilm-tf's training)"
    )
    if os.path.isfile(source) or ("," in source and not os.path.isdir(source)):
        raise FormatError(
            f"{source}: expected {expected}, found another form of model, which has no "
            "softmax."
        )
    if not os.path.isdir(source):
        raise FileNotFoundError(
            f"{source}: expected {expected}, found nothing of that name."
        )


def weights_digest(model: LanguageModel) -> str:
    """SHA-256 of all weights of a language model, in hexadecimal digits."""
    digest = hashlib.sha256()
    for entry in language_model_entries(model):
        digest.update(entry.name.encode("utf-8"))
        digest.update(np.ascontiguousarray(entry.value()).reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _bilm_entries(model):
    encoder_entries = (
        ai2_weights.encoder_entries
        if model.reads_characters
        else ai2_weights.embedding_entries
    )
    return [*encoder_entries(model.encoder), *ai2_weights.bilm_entries(model.bilm)]


def _softmax_entries(model):
    variables = {"b": model.softmax_bias}
    if not model.share_embedding_softmax:
        variables["W"] = model.softmax_kernel
    for name, variable in variables.items():
        yield ai2_weights.Entry(
            f"softmax/{name}",
            tuple(variable.shape),
            [variable],
            "words in the vocabulary, lstm.projection_dim",
        )
