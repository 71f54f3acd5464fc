"""Pre-training: windows of text in, a biLM in AI2's files out."""

import dataclasses
import itertools
import json
import math
import os
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_elmo.errors import FormatError
from keras_elmo.pretraining.corpus import (
    find_shards,
    read_sentences,
    shuffled,
    windows,
)
from keras_elmo.pretraining.evaluate import as_tensors, perplexities
from keras_elmo.pretraining.run_files import new_language_model, save_language_model
from keras_elmo.pretraining.sampling import LogUniformSampler, sampled_rows
from keras_elmo.text.vocabulary import read_vocabulary

CLIP_NORM = 10.0  # `all_clip_norm_val` of AI2's options
LOG = "log.jsonl"
_REPORT_EVERY = 20
_WARM_UP = 0.02  # of all steps, with the cosine schedule


@dataclasses.dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step, steps: Done and to do.
        tokens: Positions done, words and sentence ends.
        tokens_per_second: Since the start, validation left out.
        loss: Mean of both directions since the report before, in nats, of the
            sampled softmax.
        sampled_perplexity: `exp(loss)`; lower than a real perplexity.
        heldout: What `perplexities` gives on the start of the held-out text, or None
            where this step was not followed by a validation.
    """

    step: int
    steps: int
    tokens: int
    tokens_per_second: float
    loss: float
    sampled_perplexity: float
    heldout: dict[str, Any] | None = None


def pretrain(
    train: str,
    heldout: str,
    vocabulary_file: str,
    options: dict[str, Any],
    run: str,
    *,
    epochs: float = 10.0,
    batch: int = 128,
    unroll: int = 20,
    negatives: int = 8192,
    seed: int = 0,
    optimizer: str = "adagrad",
    learning_rate: float = 0.2,
    schedule: str = "constant",
    dtype: str = "float32",
    validate_every: int = 500,
    heldout_sentences: int = 500,
    carry_over_sentences: bool = False,
) -> Iterator[Progress]:
    """Train a biLM; the work is done as the result is iterated over.

    Both directions read the same sentences. The LSTM state is carried from window to
    window and is zero at each sentence's start. After each validation, and at the
    end, the model is written to `run`.

    Args:
        train: Pattern of the training shards, tokenised, one sentence a line.
        heldout: Held-out text, for validation.
        vocabulary_file: Words to predict, by falling frequency.
        options: Checked options of AI2's with character input.
        run: Folder to make; it must not hold a model yet.
        epochs: Passes over the shards, may be a fraction.
        batch: Rows.
        unroll: Positions of a window; gradients do not go beyond it.
        negatives: Words drawn for the sampled softmax, for each direction and step.
        seed: Decides the start weights, the order of sentences and the negatives.
        optimizer: `"adagrad"` as AI2 (accumulators from 1), or `"adam"`.
        learning_rate: AI2's for Adagrad is 0.2; for Adam 0.002 does well.
        schedule: `"constant"`, or `"cosine"`: a short rise, then down to zero.
        dtype: Keras dtype policy, such as `"mixed_bfloat16"`.
        validate_every: Steps from one validation to the next.
        heldout_sentences: A validation reads so many, from the file's start.
        carry_over_sentences: AI2's way: do not reset the state at a sentence's start.

    Yields:
        `Progress`, every 20 steps and after each validation.

    Raises:
        FormatError: A vocabulary or text that is not one.
        FileExistsError: `run` holds a model already.
        FloatingPointError: The loss is no longer a finite number; what was written
            last stays.
    """
    if os.path.exists(os.path.join(run, "options.json")):
        raise FileExistsError(f"{run}: expected a new folder, found a model in it.")
    shards = find_shards(train)
    vocabulary = read_vocabulary(vocabulary_file)
    sampler = LogUniformSampler(len(vocabulary), negatives, seed)
    max_chars = options["char_cnn"]["max_characters_per_token"]
    validation = list(itertools.islice(read_sentences([heldout]), heldout_sentences))
    per_epoch = sum(len(words) + 1 for words in read_sentences(shards))
    if not per_epoch or not validation:
        raise FormatError(
            f"{train if not per_epoch else heldout}: expected sentences, found none."
        )
    steps = max(1, round(epochs * per_epoch / (batch * unroll)))

    keras.utils.set_random_seed(seed)
    model = new_language_model(options, len(vocabulary), unroll=True, dtype=dtype)
    trainer = _Trainer(
        model,
        _optimizer(optimizer, learning_rate, schedule, steps),
        carry_over_sentences,
    )
    rng = np.random.default_rng(seed)
    endless = itertools.chain.from_iterable(
        shuffled(read_sentences(rng.permutation(shards)), rng)
        for _ in itertools.count()
    )
    widest = model.encoder.char_cnn.widest
    stream = windows(endless, vocabulary, batch, unroll, widest, max_chars)
    states = model.get_initial_state(batch)
    os.makedirs(run, exist_ok=True)
    losses, seconds = [], 0.0
    for step in range(1, steps + 1):
        started = time.perf_counter()
        window = next(stream)
        loss, states = trainer.step(
            as_tensors(window) | sampled_rows(window, sampler, step), states
        )
        losses.append(float(loss))
        seconds += time.perf_counter() - started
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"{run}: step {step}: the loss is {losses[-1]}.")
        validate = step % validate_every == 0 or step == steps
        if not validate and step % _REPORT_EVERY:
            continue
        progress = Progress(
            step=step,
            steps=steps,
            tokens=step * batch * unroll,
            tokens_per_second=step * batch * unroll / seconds,
            loss=float(np.mean(losses)),
            sampled_perplexity=math.exp(np.mean(losses)),
        )
        losses = []
        if validate:
            progress.heldout = perplexities(
                model, vocabulary, validation, max_chars=max_chars
            )
            save_language_model(model, vocabulary, max_chars, run)
        with open(os.path.join(run, LOG), "a", encoding="utf-8") as log:
            log.write(json.dumps(dataclasses.asdict(progress)) + "\n")
        yield progress


class _Trainer:
    """One training step, compiled: losses, gradients, clipping, update."""

    def __init__(self, model, optimizer, carry_over_sentences):
        self.model = model
        self.optimizer = optimizer
        self.carry_over_sentences = carry_over_sentences
        optimizer.build(model.trainable_variables)
        self.step = tf.function(self._step, reduce_retracing=True)

    def _step(self, window, states):
        variables = self.model.trainable_variables
        unroll = window["starts"].shape[1]
        with tf.GradientTape() as tape:
            losses, states = self.model(
                window, states, carry_over_sentences=self.carry_over_sentences
            )
            loss = tf.reduce_mean(losses)
            # bilm's gradients are of the sum over a window, which the bound of their
            # norm, and Adagrad, depend on.
            objective = loss * unroll
        gradients = tape.gradient(objective, [v.value for v in variables])
        gradients, _ = tf.clip_by_global_norm(gradients, CLIP_NORM)
        self.optimizer.apply(gradients, variables)
        return loss, states


def _optimizer(name, learning_rate, schedule, steps):
    if schedule == "cosine":
        warm_up = max(1, round(_WARM_UP * steps))
        learning_rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            max(1, steps - warm_up),
            warmup_target=learning_rate,
            warmup_steps=warm_up,
        )
    elif schedule != "constant":
        raise ValueError(
            'pretrain: expected schedule "constant" or "cosine", '
            f"received {schedule!r}."
        )
    if name == "adagrad":
        return keras.optimizers.Adagrad(learning_rate, initial_accumulator_value=1.0)
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    raise ValueError(
        f'pretrain: expected optimizer "adagrad" or "adam", received {name!r}.'
    )
