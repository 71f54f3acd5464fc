"""Words to ids: plain Python here, in a TensorFlow graph in the modules below."""

from keras_elmo.text.characters import batch_to_ids, pad_sentences, word_to_ids
from keras_elmo.text.tokenize_layer import Tokenize

__all__ = ["Tokenize", "batch_to_ids", "pad_sentences", "tokenize", "word_to_ids"]


def __getattr__(name):
    # tensorflow_text takes seconds to import and is needed for raw text alone.
    if name == "tokenize":
        from keras_elmo.text.raw_text import tokenize

        return tokenize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
