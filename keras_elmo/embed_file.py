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

from keras_elmo.ai2.hdf5_file import new_hdf5
from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.embedding import BATCH_TOKENS, SentenceEmbedder
from keras_elmo.errors import FormatError

SENTENCE_TO_INDEX = "sentence_to_index"
_RAW_LINES = 256  # that are tokenised at a time


def embed_file(
    elmo: ElmoLayer,
    sentences: Iterable[list[str]],
    out_path: str | os.PathLike,
    layers: str = "all",
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int, int], None] = lambda sentences, tokens: None,
) -> dict[str, Any]:
    """Write the vectors of sentences to an HDF5 file, as AllenNLP's command does.

    The file has a float32 data set a sentence, named by its number from 0. A sentence
    without words has one too, of no words. Each sentence is embedded by itself, from
    the zero state. `sentence_to_index` holds one string, a JSON object from a sentence,
    its words joined by blanks, to its number as a string; of sentences that are the
    same, to that of the last.

    Sentences are read and computed as by `embed_sentences`. What is kept of all of
    them is `sentence_to_index`.

    Args:
        elmo: The layer. Neither its dropout nor its state takes part.
        sentences: Lists of words.
        out_path: The file; it appears whole or not at all.
        layers, batch_tokens: As of `embed_sentences`.
        progress: Called after each batch with the sentences and tokens done so far.

    Returns:
        `sentences`, `tokens`, `layers`, `width` (of a vector), `seconds`,
        `tokens_per_second`, and `peak_memory_mib` of the whole process (None where the
        system does not tell).

    Raises:
        OSError: The file cannot be written.
        ValueError: What `embed_sentences` refuses.

    >>> facts = embed_file(elmo, [["so", "it", "goes"], []], "out.hdf5")
    >>> with h5py.File("out.hdf5") as file:
    ...     print(file["0"].shape, file["1"].shape, file["sentence_to_index"][0])
    (3, 3, 256) (3, 0, 256) b'{"so it goes": "0", "": "1"}'
    """
    if os.path.isdir(out_path):  # or it would turn out at the very end
        raise IsADirectoryError(
            errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(out_path)
        )
    started = time.perf_counter()
    embedder = SentenceEmbedder(elmo, layers, batch_tokens)
    index, done, tokens = {}, 0, 0
    with new_hdf5(out_path) as file:
        for batch in embedder.embed(_indexed(sentences, index)):
            for number, vectors in batch:
                file.create_dataset(str(number), data=vectors, track_times=False)
                done += 1
                tokens += vectors.shape[-2]
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


def _indexed(sentences, index):
    for number, words in enumerate(sentences):
        index[" ".join(words)] = str(number)
        yield words


def _peak_memory_mib():
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
