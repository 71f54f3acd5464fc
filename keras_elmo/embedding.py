"""Vectors of many sentences, a bounded number of words at a time."""

import functools
from collections.abc import Iterable, Iterator

import keras
import numpy as np
from keras import ops

from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.text.characters import pad_sentences

LAYERS = ("all", "top", "average", "mix")
BATCH_TOKENS = 2048
_READ_AHEAD = 64  # batches, whose sentences are sorted by length


def embed_sentences(
    elmo: ElmoLayer,
    sentences: Iterable[list[str]],
    layers: str = "all",
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[np.ndarray]:
    """The vectors of each sentence, in order, as they are asked for.

    Each sentence is embedded by itself, from the zero state; neither the layer's
    dropout nor its own state takes part. Sentences are read ahead by 64 batches and
    computed with others of about their length, so that little padding is; of those
    batches the vectors are kept until their turn comes (131,072 words, which with all
    layers of AI2's `original` are 1.6 GB). A sentence longer than a batch
    is read in windows, with the state carried from one to the next: the same vectors.

    Needs Keras' TensorFlow backend.

    Args:
        elmo: The layer.
        sentences: Lists of words.
        layers: What to give of n words. `"all"`: shape `(L + 1, n, 2 * P)`. Of shape
            `(n, 2 * P)` are `"top"`, the highest layer; `"average"`, the mean of the
            layers; `"mix"`, the layer's first mix. A mix with `do_layer_norm` depends
            on which sentences share a batch.
        batch_tokens: Words, padding included, that are computed at a time.

    Returns:
        Iterator over float32 arrays.

    Raises:
        ValueError: An unknown `layers`, `batch_tokens` below 1, or another backend.

    >>> sentences = [["so", "it", "goes"], [], ["a", "word"]]
    >>> [vectors.shape for vectors in embed_sentences(elmo, sentences)]
    [(3, 3, 256), (3, 0, 256), (3, 2, 256)]
    """
    return _in_order(SentenceEmbedder(elmo, layers, batch_tokens).embed(sentences))


def _in_order(numbered):
    waiting, number = {}, 0
    for batch in numbered:
        waiting.update(batch)
        while number in waiting:
            yield waiting.pop(number)
            number += 1


class SentenceEmbedder:
    """What computes vectors of sentences, batch by batch.

    Args, raises:
        As of `embed_sentences`.

    >>> embedder = SentenceEmbedder(elmo, "top")
    >>> [number for number, _ in next(embedder.embed([["a"], ["a", "word"]]))]
    [1, 0]
    """

    def __init__(
        self, elmo: ElmoLayer, layers: str = "all", batch_tokens: int = BATCH_TOKENS
    ):
        if layers not in LAYERS:
            raise ValueError(f"layers: expected one of {LAYERS}, received {layers!r}.")
        if batch_tokens < 1:
            raise ValueError(
                f"batch_tokens: expected a number above 0, received {batch_tokens}."
            )
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                "embed_sentences: expected Keras' TensorFlow backend (words are "
                f"spelled in its graph), this is {keras.backend.backend()}."
            )
        if not elmo.built:
            elmo.build(None)
        self.elmo = elmo
        self.layers = layers
        self.batch_tokens = batch_tokens
        self._compile()

    def embed(self, sentences: Iterable[list[str]]) -> Iterator[list]:
        """Lists of pairs: the number of a sentence, from 0, and its vectors.

        A list is a batch, and batches come in no order.
        """
        for group in _groups(enumerate(sentences), _READ_AHEAD * self.batch_tokens):
            for batch in _batches(group, self.batch_tokens):
                yield self._embed_batch(batch)

    def _embed_batch(self, batch):
        numbers = [number for number, _ in batch]
        rows = [words for _, words in batch]
        if len(rows[0]) > self.batch_tokens:
            return [(numbers[0], self._embed_long(rows[0]))]
        vectors = self._batch(*pad_sentences(rows)).numpy()
        # The time axis is the last but one, with all layers or one. Copied, for a
        # view would keep the whole batch.
        return [
            (number, array[..., : len(words), :].copy())
            for number, words, array in zip(numbers, rows, vectors, strict=True)
        ]

    def _embed_long(self, words):
        """The vectors of a sentence by windows: few words are computed at a time."""
        halves = []
        for number, ordered in enumerate((words, words[::-1])):
            state, parts = self._start()[number], []
            for first in range(0, len(ordered), self.batch_tokens):
                window = ordered[first : first + self.batch_tokens]
                layers, state = self._windows[number](pad_sentences([window])[0], state)
                parts.append(layers.numpy())
            halves.append(np.concatenate(parts, axis=1))
        every = np.concatenate([halves[0], halves[1][:, ::-1]], axis=-1)
        return self._chosen(every[None], np.ones((1, len(words)), "bool")).numpy()[0]

    def _compile(self):
        import tensorflow as tf

        read, word_layers = self.elmo.reader.read, self.elmo.word_layers
        rows = tf.TensorSpec((None, None), tf.string)

        def batch(words, lengths):
            # Sorted by length, sentences may not see a state of those before.
            return self._chosen(*word_layers.from_zero(read(words, lengths)))

        def start():
            return word_layers.tokens_and_start(read(tf.constant([[""]])))[1]

        def window(stack, words, state):
            length = tf.shape(words)[1:]  # "" is a word too
            tokens, _ = word_layers.tokens_and_start(read(words, length))
            layers, state = stack(tokens, initial_state=state)
            return tf.concat([tokens, *layers], axis=0), state

        lengths = tf.TensorSpec((None,), tf.int32)
        self._batch = _concrete(batch, rows, lengths)
        self._start = tf.function(start, autograph=False)
        # The last window of a sentence may have any length.
        words = tf.TensorSpec((1, None), tf.string)
        self._windows = []
        for stack in (self.elmo.bilm.forward_stack, self.elmo.bilm.backward_stack):
            state = keras.tree.map_structure(
                lambda zeros: tf.TensorSpec(zeros.shape, zeros.dtype),
                stack.get_initial_state(1),
            )
            self._windows.append(
                tf.function(
                    functools.partial(window, stack),
                    input_signature=(words, state),
                    autograph=False,
                )
            )

    def _chosen(self, every, real):
        """Of all layers `(batch, L + 1, time, 2 * P)` what is asked for, in float32."""
        if self.layers == "mix":
            every = self.elmo.mixes[0](every, mask=real)
        elif self.layers == "top":
            every = every[:, -1]
        every = ops.cast(every, "float32")
        return ops.mean(every, axis=1) if self.layers == "average" else every


def _concrete(function, *specs):
    """Traced once for all shapes."""
    import tensorflow as tf

    compiled = tf.function(function, input_signature=specs, autograph=False)
    # Of itself TensorFlow warns where functions like this are made for several files.
    return compiled.get_concrete_function()


def _groups(numbered, tokens):
    """Lists of neighbours of about so many words; of a blank line one counts."""
    group, total = [], 0
    for item in numbered:
        group.append(item)
        total += max(len(item[1]), 1)
        if total >= tokens:
            yield group
            group, total = [], 0
    if group:
        yield group


def _batches(group, tokens):
    """Lists of about equal length, at most so many words with padding, or of one."""
    batch, longest = [], 0
    for item in sorted(group, key=lambda item: -len(item[1])):
        if batch and (len(batch) + 1) * longest > tokens:
            yield batch
            batch = []
        if not batch:
            longest = max(len(item[1]), 1)
        batch.append(item)
    yield batch
