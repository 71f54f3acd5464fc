"""The language model that a biLM is trained as: two directions and one softmax."""

import functools
from collections.abc import Iterable, Sequence

import keras
import numpy as np
from keras import ops

from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder
from keras_elmo.pretraining.backend import steps
from keras_elmo.pretraining.windows import WordReader
from keras_elmo.text.characters import DEFAULT_MAX_CHARS
from keras_elmo.text.vocabulary import Vocabulary

_NEVER = -1e30  # the logit of a word that cannot be chosen
_DRAWS = 64  # more than the layers of any model, both directions together


class LanguageModel(keras.layers.Layer):
    """A token encoder, the two stacks of a biLM, and a softmax that both share.

    Each direction reads its own stream left to right (the backward one is text that
    was turned round before), so LSTM states can be carried from window to window.

    Args:
        encoder: `CharacterEncoder`, or `keras.layers.Embedding` with a row for each
            word of the vocabulary behind the padding's, for word input.
        bilm: The biLM.
        vocabulary: The words that are predicted.
        max_chars: Characters a word.
        share_embedding_softmax: bool. Predict with the word embedding's own vectors;
            word input only.

    Call arguments:
        window: Dict of the arrays of a `windows.Window`, and, for the sampled
            softmax, those of `sampled_rows`. Without these the full softmax is taken.
            Character ids may be a list of arrays too, one behind the other, in which
            words have different numbers of characters.
        states: `[forward, backward]` as of `BiLM`, from the window before.
        carry_over_sentences: bool. Keep the state at a sentence's start. Default
            False: the state is zero there, as it is when sentences are embedded one
            by one.
        training: bool. Whether the biLM's dropout acts.

    Returns:
        `(losses, states)`: `losses` float32 of shape `(2, batch, unroll)`, forward
        and backward, in nats; and the states after the window.

    Raises:
        ValueError: `share_embedding_softmax` with character input, or an embedding
            of another size than the vocabulary's.

    Example:

    >>> encoder = CharacterEncoder(projection_dim=8)
    >>> bilm = BiLM(units=16, projection_dim=8)
    >>> vocabulary = Vocabulary(["<S>", "</S>", "<UNK>", "it", "goes"])
    >>> model = LanguageModel(encoder, bilm, vocabulary)
    >>> model.build()
    >>> (score,) = model.score([["so", "it", "goes"]])
    >>> score.forward.shape, score.unknown
    ((4,), [True, False, False])
    >>> sorted(found.word for found in model.substitutes(["so", "_", "goes"]))
    ['goes', 'it']

    Source: `LanguageModel` in bilm-tf `bilm/training.py`.
    """

    def __init__(
        self,
        encoder: CharacterEncoder | keras.layers.Embedding,
        bilm: BiLM,
        vocabulary: Vocabulary,
        max_chars: int = DEFAULT_MAX_CHARS,
        share_embedding_softmax: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.bilm = bilm
        self.vocabulary = vocabulary
        self.max_chars = max_chars
        self.share_embedding_softmax = share_embedding_softmax
        # Adagrad's, by the names of AI2's files, where bilm's own training left them.
        self.accumulators = None
        rows = None if self.reads_characters else encoder.input_dim
        if share_embedding_softmax and self.reads_characters:
            raise ValueError(
                "LanguageModel: expected word input with share_embedding_softmax, "
                "received a character encoder."
            )
        if rows not in (None, len(vocabulary) + 1):
            raise ValueError(
                f"LanguageModel: expected an embedding of {len(vocabulary) + 1} rows "
                f"(the vocabulary's and the padding's), received {rows}."
            )

    @property
    def reads_characters(self) -> bool:
        """Whether words are read as characters, not by their numbers."""
        return isinstance(self.encoder, CharacterEncoder)

    @property
    def reader(self) -> WordReader:
        """How this model reads words."""
        widest = self.encoder.char_cnn.widest if self.reads_characters else 0
        return WordReader(self.vocabulary, widest, self.max_chars)

    def build(self):
        width = self.bilm.direction_dim
        if not self.encoder.built:
            self.encoder.build((None, None, None) if self.reads_characters else (None,))
        if not self.bilm.built:
            self.bilm.build((None, None, width))
        if not self.share_embedding_softmax:
            self.softmax_kernel = self.add_weight(
                (len(self.vocabulary), width),
                initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
                autocast=False,
                name="softmax_kernel",
            )
        self.softmax_bias = self.add_weight(
            (len(self.vocabulary),),
            initializer="zeros",
            autocast=False,
            name="softmax_bias",
        )

    def get_initial_state(self, batch: int):
        """The zero states of `batch` rows."""
        return self.bilm.get_initial_state(batch)

    def seed_dropout(self, seed: int, step: int):
        """Let the dropout of the next call follow from these two numbers alone."""
        if not self.bilm.dropout:
            return
        stacks = (self.bilm.forward_stack, self.bilm.backward_stack)
        for direction, stack in enumerate(stacks):
            # Each draw counts the second number up; PyTorch sees the sum of the two.
            count = step * _DRAWS + direction * (_DRAWS // 2)
            state = [seed % 2**32, count % 2**32]
            stack.seed_generator.state.assign(np.array(state, np.uint32))

    def call(self, window, states, carry_over_sentences=False, training=False):
        tops, new_states = self._read(window, states, carry_over_sentences, training)
        if "rows" in window:
            kernel, bias = self._gather_rows(window["rows"])
            losses = [
                self._sampled_loss(top, window, direction, kernel, bias)
                for direction, top in enumerate(tops)
            ]
        else:
            losses = [
                _chosen_loss(self._logits(top), window["targets"][direction])
                for direction, top in enumerate(tops)
            ]
        return ops.stack(losses), new_states

    def log_probabilities(self, window, states, positions):
        """Natural logarithms of every word's probability at one position a row.

        Args:
            window, states: As of the call.
            positions: int32 `(batch,)`, from 0 to below `unroll`.

        Returns:
            float32 `(2, batch, words in the vocabulary)`, forward and backward.
        """
        tops, _ = self._read(window, states, False, False)
        at = ops.convert_to_tensor(positions, "int32")[:, None, None]
        tops = [ops.take_along_axis(top, at, axis=1)[:, 0] for top in tops]
        return ops.stack([ops.log_softmax(self._logits(top)) for top in tops])

    @functools.cached_property
    def compiled_forward(self):
        """`compiled_forward` of this backend for sentences that start from zero."""
        return steps().compiled_forward(self, carry_over_sentences=False)

    @functools.cached_property
    def compiled_running_forward(self):
        """`compiled_forward` of this backend for running text, the state carried on."""
        return steps().compiled_forward(self, carry_over_sentences=True)

    def score(self, sentences: Iterable[Sequence[str]]) -> list:
        """How likely each word of sentences is, from its left and from its right.

        Each sentence is read from the zero state. A word that the vocabulary does not
        have is scored as `<UNK>`.

        Args:
            sentences: Lists of words, of any length.

        Returns:
            A `scoring.SentenceScore` for each sentence, in their order.

        Raises:
            ValueError: A sentence that is a string, or a word that is none.
        """
        from keras_elmo.pretraining.evaluate import BATCH
        from keras_elmo.pretraining.scoring import score_sentences

        sentences = list(sentences)
        # A power of two, for each number of rows has to be compiled.
        rows = 2 ** max(len(sentences) - 1, 0).bit_length()
        return list(score_sentences(self, sentences, min(rows, BATCH)))

    def substitutes(
        self, words: Sequence[str], count: int = 10, gap: str = "_"
    ) -> list:
        """The likeliest words for the gap in a sentence, from both sides.

        Args:
            words: The sentence; one of its words is `gap`.
            count: How many words; fewer where the vocabulary has fewer.
            gap: What stands for the gap.

        Returns:
            `scoring.Substitute`s, the likeliest first; `<S>`, `</S>` and `<UNK>` are
            never among them.

        Raises:
            ValueError: No gap, or several; a sentence that is a string; `count` below
                1.
        """
        from keras_elmo.pretraining.scoring import find_substitutes

        return find_substitutes(self, words, count, gap)

    def _read(self, window, states, carry_over_sentences, training):
        """Each direction's highest outputs, float32 `(batch, unroll, P)`, and states.

        A word that occurs several times in a window, in either direction, is encoded
        once.
        """
        vectors = self._encode(window["words"])
        tops, new_states = [], []
        stacks = (self.bilm.forward_stack, self.bilm.backward_stack)
        for direction, stack in enumerate(stacks):
            inputs = ops.take(vectors, window["inputs"][direction], axis=0)
            outputs, state = stack(
                inputs,
                initial_state=states[direction],
                reset=None if carry_over_sentences else window["starts"][direction],
                training=training,
            )
            top = stack.drop(outputs[-1], training)
            tops.append(ops.cast(top, "float32"))
            new_states.append(state)
        return tops, new_states

    def _encode(self, words):
        if not self.reads_characters:
            return self.encoder(words)
        groups = words if isinstance(words, list) else [words]
        return self.encoder.of_parts(groups)

    def _logits(self, top):
        kernel = (
            self.encoder.embeddings[1:]
            if self.share_embedding_softmax
            else (self.softmax_kernel)
        )
        return ops.matmul(top, ops.transpose(kernel)) + self.softmax_bias

    def _gather_rows(self, rows):
        # Once for both directions: the fewer rows repeat in a sparse gradient, the
        # less there is to sum.
        if self.share_embedding_softmax:
            kernel = ops.take(self.encoder.embeddings, rows + 1, axis=0)
        else:
            kernel = steps().take_rows(self.softmax_kernel, rows)
        return kernel, steps().take_rows(self.softmax_bias, rows)

    def _sampled_loss(self, top, window, direction, kernel, bias):
        targets, negatives = (window[k][direction] for k in ("true", "negatives"))
        true = ops.sum(top * ops.take(kernel, targets, axis=0), axis=-1)
        true = true + ops.take(bias, targets, axis=0)
        true = true - ops.log(window["true_expected"][direction])
        shift = ops.take(bias, negatives, axis=0)
        shift = shift - ops.log(window["negatives_expected"][direction])
        other = ops.matmul(top, ops.transpose(ops.take(kernel, negatives, axis=0)))
        other = other + shift
        hit = ops.equal(targets[..., None], negatives)
        other = ops.where(hit, _NEVER, other)
        every = ops.logaddexp(true, ops.logsumexp(other, axis=-1))
        return every - true


def _chosen_loss(logits, targets):
    chosen = ops.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return ops.logsumexp(logits, axis=-1) - chosen
