"""An `ElmoLayer` from AI2's pair of files, and back."""

import os

from keras_elmo.ai2.files import read_layers
from keras_elmo.ai2.hdf5_file import new_hdf5
from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.text.vocabulary import read_vocabulary


def load_ai2(
    options_file: str | os.PathLike,
    weights_file: str | os.PathLike,
    *,
    embedding_file: str | os.PathLike | None = None,
    vocabulary_file: str | os.PathLike | None = None,
    **layer_arguments,
) -> ElmoLayer:
    """Load a biLM from AI2's files, those of bilm-tf, AllenNLP and simple_elmo.

    Args:
        options_file: `options.json`; 261 or 262 characters in it are the same model.
        weights_file: `lm_weights.hdf5`.
        embedding_file: HDF5 with a data set `embedding`, the vectors of a vocabulary's
            words, to be looked up instead of spelling them.
        vocabulary_file: The vocabulary, one word a line, for word input.
        **layer_arguments: Arguments of `ElmoLayer`.

    Returns:
        A built layer; its mix, which the files do not have, is the plain mean.

    Raises:
        FormatError: The file, the entry, what was expected and what was found.
        OSError: A file cannot be opened.
        ValueError: Word input without `vocabulary_file`.

    >>> elmo = keras_elmo.load_ai2("my_elmo/options.json", "my_elmo/lm_weights.hdf5")
    >>> elmo(np.array([["Hello", "world"]])).shape
    TensorShape([1, 2, 256])
    """
    dtype = layer_arguments.get("dtype")
    stored = read_layers(
        options_file, weights_file, embedding_file, vocabulary_file, dtype
    )
    elmo = ElmoLayer(**(stored | layer_arguments))
    elmo.build(None)
    return elmo


def save_ai2(elmo: ElmoLayer, directory: str | os.PathLike):
    """Write encoder and biLM as AI2's `options.json` and `lm_weights.hdf5`.

    bilm-tf, AllenNLP and simple_elmo read them. The mixes have no place there; see
    `ElmoLayer.save_to_preset`. For word input `vocab.txt` is written beside them.

    Args:
        elmo: A built layer.
        directory: Made if absent; files of these names are replaced.

    Raises:
        ValueError: A layer without weights, or with another kind of token encoder.

    >>> keras_elmo.save_ai2(elmo, "my_elmo")
    >>> sorted(os.listdir("my_elmo"))
    ['lm_weights.hdf5', 'options.json']
    """
    elmo.write_ai2(directory)


def save_token_embeddings(
    elmo: ElmoLayer, vocabulary_file: str | os.PathLike, path: str | os.PathLike
):
    """Write the token vectors of a vocabulary's words, as bilm-tf's function does.

    With its vocabulary file the result is `load_ai2`'s `embedding_file`: a model that
    looks words up, and has one vector for all that are not listed. To look words up and
    spell the others, see `ElmoLayer.cache_tokens`.

    Args:
        elmo: A layer that spells words.
        vocabulary_file: One word a line, `<S>`, `</S>` and `<UNK>` among them.
        path: The HDF5 file, with a data set `embedding` `(words, P)`; it appears whole
            or not at all.

    Raises:
        FormatError: The vocabulary's line, what was expected and what was found.
        OSError: A file cannot be opened or written.
        ValueError: A layer with a vocabulary.

    Source: `dump_token_embeddings` in bilm-tf `bilm/model.py`.

    >>> with open("words.txt", "w") as file:
    ...     _ = file.write("<S>\\n</S>\\n<UNK>\\ncat\\n")
    >>> keras_elmo.save_token_embeddings(elmo, "words.txt", "words.hdf5")
    """
    if not elmo.reads_characters:
        raise ValueError(
            "save_token_embeddings: expected a layer that spells words, received one "
            "with a vocabulary."
        )
    words = read_vocabulary(vocabulary_file).words
    vectors = elmo.token_vectors(words)
    with new_hdf5(path) as file:
        file.create_dataset("embedding", data=vectors, track_times=False)
