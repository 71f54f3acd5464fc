"""The language model that a biLM is trained as: two directions and one softmax."""

import keras
from keras import ops

from keras_elmo.layers.bilm import BiLM
from keras_elmo.layers.character_encoder import CharacterEncoder

_NEVER = -1e30  # the logit of a word that cannot be chosen


class LanguageModel(keras.layers.Layer):
    """A character encoder, the two stacks of a biLM, and a softmax that both share.

    Each direction reads its own stream left to right (the backward one is text that
    was turned round before), so LSTM states can be carried from window to window.

    Args:
        encoder: The token encoder.
        bilm: The biLM.
        vocabulary_size: Words that can be predicted.

    Call arguments:
        window: Dict of the arrays of a `corpus.Window`, and, for the sampled
            softmax, those of `sampled_rows`. Without these the full softmax is taken.
        states: `[forward, backward]` as of `BiLM`, from the window before.
        carry_over_sentences: bool. Keep the state at a sentence's start. Default
            False: the state is zero there, as it is when sentences are embedded one
            by one.

    Returns:
        `(losses, states)`: `losses` float32 of shape `(2, batch, unroll)`, forward
        and backward, in nats; and the states after the window.

    Source: `LanguageModel` in bilm-tf `bilm/training.py`.
    """

    def __init__(
        self, encoder: CharacterEncoder, bilm: BiLM, vocabulary_size: int, **kwargs
    ):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.bilm = bilm
        self.vocabulary_size = vocabulary_size

    def build(self):
        if not self.encoder.built:
            self.encoder.build((None, None, None))
        width = self.bilm.direction_dim
        if not self.bilm.built:
            self.bilm.build((None, None, width))
        self.softmax_kernel = self.add_weight(
            (self.vocabulary_size, width),
            initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
            autocast=False,
            name="softmax_kernel",
        )
        self.softmax_bias = self.add_weight(
            (self.vocabulary_size,),
            initializer="zeros",
            autocast=False,
            name="softmax_bias",
        )

    def get_initial_state(self, batch: int):
        """The zero states of `batch` rows."""
        return self.bilm.get_initial_state(batch)

    def call(self, window, states, carry_over_sentences=False):
        reset = None if carry_over_sentences else window["starts"]
        vectors = self.encoder(window["characters"][None])[0]
        losses, new_states = [], []
        sampled = self._gather_rows(window["rows"]) if "rows" in window else None
        stacks = (self.bilm.forward_stack, self.bilm.backward_stack)
        for i, name in enumerate(("forward", "backward")):
            inputs = ops.take(vectors, window[f"{name}_inputs"], axis=0)
            outputs, state = stacks[i](inputs, initial_state=states[i], reset=reset)
            top = ops.cast(outputs[-1], "float32")
            if sampled is None:
                losses.append(self._full_loss(top, window[f"{name}_targets"]))
            else:
                losses.append(self._sampled_loss(top, window, name, *sampled))
            new_states.append(state)
        return ops.stack(losses), new_states

    def _full_loss(self, top, targets):
        logits = ops.matmul(top, ops.transpose(self.softmax_kernel)) + self.softmax_bias
        chosen = ops.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return ops.logsumexp(logits, axis=-1) - chosen

    def _gather_rows(self, rows):
        # Once for both directions: in a sparse gradient no row may occur twice, for
        # Keras' optimizers update repeated rows wrongly.
        kernel, bias = self.softmax_kernel, self.softmax_bias
        return ops.take(kernel, rows, axis=0), ops.take(bias, rows, axis=0)

    def _sampled_loss(self, top, window, name, kernel, bias):
        targets, negatives = (window[f"{name}_{k}"] for k in ("true", "negatives"))
        true = ops.sum(top * ops.take(kernel, targets, axis=0), axis=-1)
        true = true + ops.take(bias, targets, axis=0)
        true = true - ops.log(window[f"{name}_true_expected"])
        other = ops.matmul(top, ops.transpose(ops.take(kernel, negatives, axis=0)))
        other = other + ops.take(bias, negatives, axis=0)
        other = other - ops.log(window[f"{name}_negatives_expected"])
        hit = ops.equal(targets[..., None], negatives)
        other = ops.where(hit, _NEVER, other)
        every = ops.logaddexp(true, ops.logsumexp(other, axis=-1))
        return every - true
