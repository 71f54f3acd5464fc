"""Vectors of many sentences, a bounded number of words at a time."""

import functools
from collections.abc import Iterable, Iterator

import keras
import numpy as np
from keras import ops

from keras_elmo.elmo_layer import ElmoLayer
from keras_elmo.text.characters import as_words, pad_sentences
from keras_elmo.token_memory import TokenMemory

LAYERS = ("all", "top", "average", "mix")
BATCH_TOKENS = 2048
REMEMBERED_WORDS = 32_768
_READ_AHEAD = 64  # batches, whose sentences are sorted by length


def embed_sentences(
    elmo: ElmoLayer,
    sentences: Iterable[list[str]],
    layers: str = "all",
    batch_tokens: int = BATCH_TOKENS,
    remembered_words: int = REMEMBERED_WORDS,
) -> Iterator[np.ndarray]:
    """The vectors of each sentence, in order, as they are asked for.

    Each sentence is embedded by itself, from the zero state; neither the layer's
    dropout nor its own state takes part. Sentences are read ahead by 64 batches and
    computed with others of about their length, so that little padding is; of those
    batches the vectors are kept until their turn comes (131,072 words, which with all
    layers of AI2's `original` are 1.6 GB). A sentence longer than a batch
    is read in windows, with the state carried from one to the next: the same vectors.
    The token vector of a word is kept for the batches that follow; once there are too
    many words, all are forgotten. While the iterator is in use, the layer's weights
    may not change.

    Needs Keras' TensorFlow backend.

    Args:
        elmo: The layer.
        sentences: Lists of words.
        layers: What to give of n words. `"all"`: shape `(L + 1, n, 2 * P)`. Of shape
            `(n, 2 * P)` are `"top"`, the highest layer; `"average"`, the mean of the
            layers; `"mix"`, the layer's first mix. A mix with `do_layer_norm` depends
            on which sentences share a batch.
        batch_tokens: Words, padding included, that are computed at a time.
        remembered_words: Distinct words whose token vectors are kept (with AI2's
            `original` 64 MB); 0: each batch is computed by itself.

    Returns:
        Iterator over float32 arrays.

    Raises:
        ValueError: An unknown `layers`, `batch_tokens` below 1, `remembered_words`
            below 0, or another backend; when it is read, a sentence that is a string,
            or a word that is none.

    >>> sentences = [["so", "it", "goes"], [], ["a", "word"]]
    >>> [vectors.shape for vectors in embed_sentences(elmo, sentences)]
    [(3, 3, 256), (3, 0, 256), (3, 2, 256)]
    """
    embedder = SentenceEmbedder(elmo, layers, batch_tokens, remembered_words)
    return _in_order(embedder.embed(sentences))


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
        self,
        elmo: ElmoLayer,
        layers: str = "all",
        batch_tokens: int = BATCH_TOKENS,
        remembered_words: int = REMEMBERED_WORDS,
    ):
        if layers not in LAYERS:
            raise ValueError(f"layers: expected one of {LAYERS}, received {layers!r}.")
        if batch_tokens < 1:
            raise ValueError(
                f"batch_tokens: expected a number above 0, received {batch_tokens}."
            )
        if remembered_words < 0:
            raise ValueError(
                "remembered_words: expected a number of 0 or more, received "
                f"{remembered_words}."
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
        self.remembered_words = remembered_words
        # What is looked up by its number anyway is not worth it.
        self._may_remember = remembered_words > 0 and elmo.reads_characters

    def embed(self, sentences: Iterable[list[str]]) -> Iterator[list]:
        """Lists of pairs: the number of a sentence, from 0, and its vectors.

        A list is a batch, and batches come in no order.
        """
        # Of this call alone: the layer may be trained before the next one.
        memory = TokenMemory(lambda w: self._encode(w), self.remembered_words)
        start = functools.cache(lambda: self._start(memory.boundaries()))
        remembers = False
        numbered = (
            (number, as_words("embed_sentences", number, words))
            for number, words in enumerate(sentences)
        )
        for group in _groups(numbered, _READ_AHEAD * self.batch_tokens):
            batches = list(_batches(group, self.batch_tokens))
            # Of a single batch nothing comes up again, and one graph takes less time.
            remembers |= self._may_remember and len(batches) > 1
            for batch in batches:
                numbers, rows = zip(*batch, strict=True)
                if len(rows[0]) > self.batch_tokens:
                    found = self._embed_windows(rows[0], memory, start())
                elif remembers:
                    lengths = np.array([len(words) for words in rows], np.int32)
                    tokens = memory.look_up(rows)
                    found = self._batch_of_tokens(tokens, lengths, start())
                else:
                    found = self._batch(*pad_sentences(rows))
                yield list(zip(numbers, _by_row(found.numpy(), rows), strict=True))

    def _embed_windows(self, words, memory, start):
        """The vectors of one row by windows: few words are computed at a time."""
        halves = []
        for number, ordered in enumerate((words, words[::-1])):
            state, parts = start[number], []
            for first in range(0, len(ordered), self.batch_tokens):
                tokens = memory.look_up([ordered[first : first + self.batch_tokens]])
                layers, state = self._windows[number](tokens, state)
                parts.append(layers.numpy())
            halves.append(np.concatenate(parts, axis=1))
        every = np.concatenate([halves[0], halves[1][:, ::-1]], axis=-1)
        return self._chosen(every[None], np.ones((1, len(words)), "bool"))

    @functools.cached_property
    def _batch(self):
        """The vectors of sentences, each from the zero state."""
        import tensorflow as tf

        # Sorted by length, sentences may not see a state of those before.
        def batch(words, lengths):
            reading = self.elmo.reader.read(words, lengths)
            return self._chosen(*self.elmo.word_layers.from_zero(reading))

        words = tf.TensorSpec((None, None), tf.string)
        return _concrete(batch, words, tf.TensorSpec((None,), tf.int32))

    @functools.cached_property
    def _encode(self):
        """Token vectors of a row of words, behind those of the boundaries."""
        import tensorflow as tf

        def encode(words):
            # "" is a word too.
            reading = self.elmo.reader.read(words, tf.shape(words)[1:])
            places = tf.concat([[0, 1], reading.places[0]], axis=0)
            return tf.gather(self.elmo.word_layers.encode(reading), places)

        return _concrete(encode, tf.TensorSpec((1, None), tf.string))

    @functools.cached_property
    def _start(self):
        """The states from which sentences start, of the boundaries' vectors."""
        return _concrete(self.elmo.word_layers.start, self._tokens_spec(2))

    @functools.cached_property
    def _batch_of_tokens(self):
        """As `_batch`, of words that are encoded already."""
        import tensorflow as tf

        def batch(tokens, lengths, start):
            layers = self.elmo.word_layers.of_tokens(tokens, lengths, start)
            return self._chosen(*layers)

        lengths = tf.TensorSpec((None,), tf.int32)
        specs = self._tokens_spec(None, None), lengths, self._state_specs()
        return _concrete(batch, *specs)

    @functools.cached_property
    def _windows(self):
        """A direction's layers of a part of a row, and the state behind it."""
        import tensorflow as tf

        def window(stack, tokens, state):
            layers, state = stack(tokens, initial_state=state)
            return tf.concat([tokens, *layers], axis=0), state

        # The last window of a sentence may have any length.
        return [
            tf.function(
                functools.partial(window, stack),
                input_signature=(self._tokens_spec(1, None), state),
                autograph=False,
            )
            for stack, state in zip(self._stacks(), self._state_specs(), strict=True)
        ]

    def _stacks(self):
        return self.elmo.bilm.forward_stack, self.elmo.bilm.backward_stack

    def _tokens_spec(self, *shape):
        import tensorflow as tf

        size = self.elmo.bilm.direction_dim
        return tf.TensorSpec((*shape, size), self._encode.output_dtypes)

    def _state_specs(self):
        import tensorflow as tf

        return [
            keras.tree.map_structure(
                lambda zeros: tf.TensorSpec(zeros.shape, zeros.dtype),
                stack.get_initial_state(1),
            )
            for stack in self._stacks()
        ]

    def _chosen(self, every, real):
        """Of all layers `(batch, L + 1, time, 2 * P)` what is asked for, in float32."""
        if self.layers == "mix":
            every = self.elmo.mixes[0](every, mask=real)
        elif self.layers == "top":
            every = every[:, -1]
        every = ops.cast(every, "float32")
        return ops.mean(every, axis=1) if self.layers == "average" else every


def _by_row(vectors, rows):
    """The vectors of each row, without padding."""
    if len(rows) == 1:
        return [vectors[0]]
    # The time axis is the last but one, with all layers or one. Copied, for a view
    # would keep the whole batch.
    return [
        array[..., : len(words), :].copy()
        for array, words in zip(vectors, rows, strict=True)
    ]


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
