"""How a biLM is trained, and what is told while it is."""

import dataclasses
from typing import Any

from keras_elmo.pretraining.names import DTYPES, LEARNING_RATES, SCHEDULES


@dataclasses.dataclass
class TrainingSettings:
    """How a biLM is trained; defaults are AI2's where AI2 has one.

    Attributes:
        epochs: Passes over the shards, may be a fraction.
        batch: Rows.
        unroll: Positions of a window; gradients do not go beyond it.
        negatives: Words drawn for the sampled softmax, for each direction and step;
            0 for the full softmax.
        seed: Decides start weights, order of sentences, negatives and dropout.
        optimizer, learning_rate, schedule: See `new_optimizer`.
        clip_norm: Bound of the gradients' norm over all weights.
        dropout: Of what each LSTM and the softmax reads.
        dtype: Keras dtype policy; with `"mixed_bfloat16"` softmax and cells stay
            float32.
        accumulate: Parts that the rows are computed in, one after the other; an
            update is the same, and takes less memory.
        devices: Among which the rows are divided, GPUs where there are any; an update
            is the same. TensorFlow only.
        carry_over_sentences: AI2's way: do not reset the state at a sentence's start.
            A validation then goes on from the states of training.
        independent_streams: AI2's way: other sentences in the backward direction.
        share_embedding_softmax: See `LanguageModel`.
        validate_every: Steps from one validation to the next.
        heldout_sentences: A validation reads so many, from the file's start.
        checkpoint_every: Steps from one checkpoint to the next; there is also one
            before each validation.
        errors: See `corpus.read_sentences`.

    Raises:
        ValueError: A setting out of its range; it is named.

    >>> TrainingSettings(batch=10, accumulate=3)
    Traceback (most recent call last):
    ValueError: accumulate: expected a divisor of batch, 10, received 3.
    """

    epochs: float = 10.0
    batch: int = 128
    unroll: int = 20
    negatives: int = 8192
    seed: int = 0
    optimizer: str = "adagrad"
    learning_rate: float | None = None
    schedule: str = "constant"
    clip_norm: float = 10.0
    dropout: float = 0.1
    dtype: str = "float32"
    accumulate: int = 1
    devices: int = 1
    carry_over_sentences: bool = False
    independent_streams: bool = False
    share_embedding_softmax: bool = False
    validate_every: int = 500
    heldout_sentences: int = 500
    checkpoint_every: int = 500
    errors: str = "strict"

    def __post_init__(self):
        least = {
            **dict.fromkeys(("batch", "unroll", "accumulate", "devices"), 1),
            **dict.fromkeys(("validate_every", "checkpoint_every"), 1),
            **dict.fromkeys(("heldout_sentences",), 1),
            **dict.fromkeys(("negatives", "seed", "epochs", "dropout"), 0),
        }
        if not self.seed < 2**32:
            self._refuse("seed", "less than 2 ** 32")
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                self._refuse(name, f"at least {bound}")
        if not self.clip_norm > 0:
            self._refuse("clip_norm", "more than 0")
        if not self.dropout < 1:
            self._refuse("dropout", "less than 1")
        if self.batch % self.accumulate:
            self._refuse("accumulate", f"a divisor of batch, {self.batch}")
        if self.batch % self.parts:
            rows = self.batch // self.accumulate
            self._refuse("devices", f"a divisor of batch / accumulate, {rows}")
        for name, choices in {
            "optimizer": LEARNING_RATES,
            "schedule": SCHEDULES,
            "dtype": DTYPES,
            "errors": ("strict", "replace"),
        }.items():
            if getattr(self, name) not in choices:
                self._refuse(name, f"one of {', '.join(choices)}")

    @property
    def parts(self) -> int:
        """Windows that the rows of a step are divided among."""
        return self.accumulate * self.devices

    def _refuse(self, name, expected):
        raise ValueError(
            f"{name}: expected {expected}, received {getattr(self, name)!r}."
        )


# A domain has little text, and many small steps make more of it than few large ones;
# README has figures.
FINE_TUNING = TrainingSettings(epochs=1.0, batch=32, optimizer="adam")


@dataclasses.dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step, steps: Done and to do.
        tokens: Positions done, words and sentence ends.
        tokens_per_second: Since the start or resumption, validation left out; None
            before the first step.
        seconds_left: At that speed.
        loss: Mean of both directions since the report before, in nats; None before
            the first step.
        sampled_perplexity: `exp(loss)` where the softmax is sampled; lower than a
            real perplexity.
        training_perplexity: `exp(loss)` where it is not.
        gradient_norm: Of the last step, before it was bounded.
        clipped_cells: Share of the cells at their bound at the end of the last window;
            None without a bound.
        learning_rate: Of the last step; before the first, its own.
        heldout: What `perplexities` gives on the start of the held-out text, or None
            where this step was not followed by a validation.
    """

    step: int
    steps: int
    tokens: int
    tokens_per_second: float | None
    seconds_left: float | None
    loss: float | None
    sampled_perplexity: float | None
    training_perplexity: float | None
    gradient_norm: float | None
    clipped_cells: float | None
    learning_rate: float
    heldout: dict[str, Any] | None = None
