"""Vectors of a whole text, written as an HDF5 file in AllenNLP's layout."""

import errno
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

import h5py
import keras

from keras_elmo.ai2.hdf5_file import new_hdf5
from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.errors import FormatError
from keras_elmo.text.characters import pad_sentences

LAYERS = ("all", "top", "average", "mix")
SENTENCE_TO_INDEX = "sentence_to_index"
_GROUP = 64  # batches that are read ahead and sorted by length
_USUAL_WORDS = 64  # of a sentence; with longer ones fewer make a batch
_RAW_LINES = 256  # that are tokenised at a time


def embed_file(
    elmo: ElmoLayer,
    sentences: Iterable[list[str]],
    out_path: str | os.PathLike,
    layers: str = "all",
    batch: int = 32,
    progress: Callable[[int, int], None] = lambda sentences, tokens: None,
) -> dict[str, Any]:
    """Write the vectors of sentences to an HDF5 file, as AllenNLP's command does.

    The file has a float32 data set a sentence, named by its number from 0. A sentence
    without words has one too, of no words. Each sentence is embedded by itself, from
    the zero state. `sentence_to_index` holds one string, a JSON object from a sentence,
    its words joined by blanks, to its number as a string; of sentences that are the
    same, to that of the last.

    Sentences are read as they are needed. What is kept of all of them is
    `sentence_to_index`. Needs Keras' TensorFlow backend.

    Args:
        elmo: The layer. Neither its dropout nor its state takes part.
        sentences: Lists of words.
        out_path: The file; it appears whole or not at all.
        layers: What to write of n words. `"all"`: shape `(L + 1, n, 2 * P)`. Of shape
            `(n, 2 * P)` are `"top"`, the highest layer; `"average"`, the mean of the
            layers; `"mix"`, the layer's first mix. A mix with `do_layer_norm` depends
            on which sentences share a batch.
        batch: Sentences that are embedded at a time; fewer where they are long.
        progress: Called after each batch with the sentences and tokens done so far.

    Returns:
        `sentences`, `tokens`, `layers`, `width` (of a vector), `seconds`,
        `tokens_per_second`, and `peak_memory_mib` of the whole process (None where the
        system does not tell).

    Raises:
        OSError: The file cannot be written.
        ValueError: An unknown `layers`, a `batch` below 1, or another backend.

    >>> facts = embed_file(elmo, [["so", "it", "goes"], []], "out.hdf5")
    >>> with h5py.File("out.hdf5") as file:
    ...     print(file["0"].shape, file["1"].shape, file["sentence_to_index"][0])
    (3, 3, 256) (3, 0, 256) b'{"so it goes": "0", "": "1"}'
    """
    if layers not in LAYERS:
        raise ValueError(
            f"embed_file: expected layers in {LAYERS}, received {layers!r}."
        )
    if batch < 1:
        raise ValueError(f"embed_file: expected batch >= 1, received {batch}.")
    if os.path.isdir(out_path):  # or it would turn out at the very end
        raise IsADirectoryError(
            errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(out_path)
        )
    started = time.perf_counter()
    embed = _compile(elmo, layers)
    index, done, tokens = {}, 0, 0
    with new_hdf5(out_path) as file:
        for group in _groups(enumerate(sentences), batch):
            index.update((" ".join(words), str(number)) for number, words in group)
            for part in _batches(group, batch):
                padded = pad_sentences([words for _, words in part])
                vectors = embed(*padded).numpy()
                for (number, words), array in zip(part, vectors, strict=True):
                    # The time axis is the last but one, with all layers or one.
                    data = array[..., : len(words), :]
                    file.create_dataset(str(number), data=data, track_times=False)
                done += len(part)
                tokens += int(padded[1].sum())
                file.raise_errors()
                progress(done, tokens)
        stored = file.create_dataset(
            SENTENCE_TO_INDEX, (1,), h5py.string_dtype(), track_times=False
        )
        stored[0] = json.dumps(index)
    seconds = time.perf_counter() - started
    return {
        "sentences": done,
        "tokens": tokens,
        "layers": layers,
        "width": 2 * elmo.bilm.direction_dim,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "peak_memory_mib": _peak_memory_mib(),
    }


def read_lines(
    file: BinaryIO, raw: bool = False, errors: str = "strict"
) -> Iterator[list[str]]:
    """The sentences of a text, one a line, blank lines too, as they are asked for.

    Args:
        file: Opened for reading bytes, of UTF-8. Only "\\n" ends a line.
        raw: Tokenise each line (`keras_elmo.text.tokenize`) instead of splitting it at
            white space.
        errors: `"strict"`, or `"replace"` to read U+FFFD for what is not UTF-8.

    Raises:
        FormatError: Not UTF-8; file and line are named.

    >>> list(read_lines(io.BytesIO(b"so it goes\\n\\n")))
    [['so', 'it', 'goes'], []]
    """
    lines = _decoded(file, errors)
    if not raw:
        yield from (line.split() for line in lines)
        return
    from keras_elmo.text.raw_text import tokenize

    while block := list(itertools.islice(lines, _RAW_LINES)):
        words, lengths, *_ = (tensor.numpy() for tensor in tokenize(block))
        for row, length in zip(words, lengths, strict=True):
            yield [word.decode("utf-8") for word in row[:length]]


def _decoded(file, errors):
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8", errors)
        except UnicodeDecodeError as error:
            raise FormatError(
                f"{getattr(file, 'name', 'text')}: line {number}: expected UTF-8, "
                f"found: {error}."
            ) from error


def _compile(elmo, layers):
    """A function of padded words and lengths, traced once for all their shapes."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "embed_file: expected Keras' TensorFlow backend (words are spelled in its "
            f"graph), this is {keras.backend.backend()}."
        )
    import tensorflow as tf

    if not elmo.built:
        elmo.build(None)

    def embed(words, lengths):
        # Sorted by length, sentences may not see a state of those before.
        every, real, _ = elmo.stateless_layers(words, lengths)  # (B, L + 1, T, 2 * P)
        if layers == "mix":
            every = elmo.mixes[0](every, mask=real)
        elif layers == "top":
            every = every[:, -1]
        every = tf.cast(every, tf.float32)
        return tf.reduce_mean(every, axis=1) if layers == "average" else every

    signature = [
        tf.TensorSpec((None, None), tf.string),
        tf.TensorSpec((None,), tf.int32),
    ]
    compiled = tf.function(embed, input_signature=signature, autograph=False)
    # Of itself TensorFlow warns where functions like this are made for several files.
    return compiled.get_concrete_function()


def _groups(numbered, batch):
    """Lists of neighbours, bounded in sentences and in words."""
    group, words = [], 0
    for item in numbered:
        group.append(item)
        words += len(item[1])
        if len(group) == _GROUP * batch or words >= _GROUP * batch * _USUAL_WORDS:
            yield group
            group, words = [], 0
    if group:
        yield group


def _batches(group, batch):
    """Lists of about equal length, bounded in sentences and in words with padding."""
    part = []
    for item in sorted(group, key=lambda item: len(item[1])):
        words = (len(part) + 1) * len(item[1])
        if part and (len(part) == batch or words > batch * _USUAL_WORDS):
            yield part
            part = []
        part.append(item)
    yield part


def _peak_memory_mib():
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
