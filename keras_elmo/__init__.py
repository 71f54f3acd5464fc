"""ELMo for Keras 3: contextual word vectors from a bidirectional language model."""

import os
import sys

from keras_elmo._version import __version__


def _is_command() -> bool:
    """Whether this process is `keras-elmo` or `python -m keras_elmo`."""
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    return program in ("keras-elmo", "keras-elmo.exe", "keras-elmo-script.py") or (
        program == "-m" and "keras_elmo" in sys.orig_argv
    )


# As a library all layers are imported at once, because `keras.models.load_model` finds
# only classes that have been. The command reads its arguments before it imports Keras:
# `--help` is fast, and TensorFlow's start-up lines can be held back.
if not _is_command():
    from keras_elmo.ai2_pair import load_ai2, save_ai2, save_token_embeddings
    from keras_elmo.elmo_layer import ElmoLayer
    from keras_elmo.embedding import embed_sentences
    from keras_elmo.errors import FormatError
    from keras_elmo.layers.bilm import BiLM
    from keras_elmo.layers.char_cnn import CharCNN
    from keras_elmo.layers.character_encoder import CharacterEncoder
    from keras_elmo.layers.highway import Highway
    from keras_elmo.layers.projected_lstm import ProjectedLSTM
    from keras_elmo.layers.scalar_mix import ScalarMix
    from keras_elmo.pretraining.language_model import LanguageModel
    from keras_elmo.pretraining.model_files import (
        load_bilm_checkpoint,
        load_language_model,
    )
    from keras_elmo.text.characters import batch_to_ids, pad_sentences

__all__ = [
    "BiLM",
    "CharCNN",
    "CharacterEncoder",
    "ElmoLayer",
    "FormatError",
    "Highway",
    "LanguageModel",
    "ProjectedLSTM",
    "ScalarMix",
    "__version__",
    "batch_to_ids",
    "embed_sentences",
    "export_saved_model",
    "load_ai2",
    "load_bilm_checkpoint",
    "load_language_model",
    "pad_sentences",
    "save_ai2",
    "save_token_embeddings",
]


def __getattr__(name):
    # The one public name that needs TensorFlow itself and not just Keras.
    if name == "export_saved_model":
        from keras_elmo.saved_model.writer import export_saved_model

        return export_saved_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
