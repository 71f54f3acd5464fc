"""The training loop: step, checkpoint, validation, and nothing lost between them."""

import contextlib
import dataclasses
import math
import time

import keras
import numpy as np

from keras_elmo.ai2.run_checkpoint import LAST, WEIGHTS_ROOT, read_stored
from keras_elmo.ai2.weights import assign_entries
from keras_elmo.errors import FormatError
from keras_elmo.pretraining.backend import steps as backend_steps
from keras_elmo.pretraining.checkpoint import write_checkpoint
from keras_elmo.pretraining.evaluate import perplexities
from keras_elmo.pretraining.model_files import (
    language_model_entries,
    new_language_model,
    save_language_model,
)
from keras_elmo.pretraining.optimizers import new_optimizer
from keras_elmo.pretraining.prefetch import prefetched
from keras_elmo.pretraining.run_folder import RunFolder
from keras_elmo.pretraining.sampling import LogUniformSampler, sampled_rows
from keras_elmo.pretraining.scalars import Scalars
from keras_elmo.pretraining.settings import Progress, TrainingSettings
from keras_elmo.pretraining.windows import TrainingWindows
from keras_elmo.text.vocabulary import Vocabulary

REPORT_EVERY = 20  # steps
TENSORBOARD = "tensorboard"


class TrainingLoop:
    """A run: its model, its optimizer, where it stands, and the loop around them.

    Args:
        folder: Of the run, locked by the caller.
        settings: How to train.
        options: Checked options of AI2's.
        vocabulary: The words that are predicted.
        shards: Paths of the training text.
        validation: Held-out sentences.
        tokens: Words and sentence ends in the shards.
    """

    def __init__(
        self,
        folder: RunFolder,
        settings: TrainingSettings,
        options: dict,
        vocabulary: Vocabulary,
        shards: list[str],
        validation: list[list[str]],
        tokens: int,
    ):
        self.folder, self.settings, self.options = folder, settings, options
        self.shards, self.validation = shards, validation
        self.per_step = settings.batch * settings.unroll
        self.steps = max(1, round(settings.epochs * tokens / self.per_step))
        keras.utils.set_random_seed(settings.seed)
        backend = backend_steps()
        with backend.strategy_scope(settings.devices):
            self.model = new_language_model(
                options,
                vocabulary,
                dtype=settings.dtype,
                dropout=settings.dropout,
                share_embedding_softmax=settings.share_embedding_softmax,
            )
            self.optimizer = new_optimizer(
                settings.optimizer,
                settings.learning_rate,
                settings.schedule,
                self.steps,
            )
            self.update = backend.TrainingStep(
                self.model,
                self.optimizer,
                settings.clip_norm,
                settings.carry_over_sentences,
            )
        self.rows = settings.batch // settings.parts
        self.states = [
            self.model.get_initial_state(self.rows) for _ in range(settings.parts)
        ]
        self.step, self.losses, self.norm = 0, [], None
        self.best = self.position = self.scalars = None
        self.learning_rate = self._learning_rate()
        self.steps_here, self.seconds_here = 0, 0.0

    def run(self, start, stopped, tensorboard):
        """Begin or go on, and train to the end; see `train.pretrain`."""
        if self.folder.has(LAST):
            self._restore(*read_stored(self.folder.file(LAST)))
        elif start is not None:
            self._start_from(start)
        logged = self.folder.cut_log(self.step)
        if tensorboard:
            self.scalars = Scalars(self.folder.file(TENSORBOARD), logged)
        every = self.settings.checkpoint_every, self.settings.validate_every
        if self.step == 0:
            yield self._progress() if start is None else self._report()
        with contextlib.closing(prefetched(self._windows())) as windows:
            while True:
                if self.step and self._due(REPORT_EVERY, self.settings.validate_every):
                    yield self._report()
                if self.step == self.steps:
                    break
                self._advance(windows)
                stop = stopped()
                if stop or self._due(*every):
                    self._save()
                if stop:
                    yield self._progress()
                    return
        save_language_model(self.model, self.folder.path)

    def _windows(self):
        """What each step reads, and the position after it."""
        settings, words = self.settings, len(self.model.vocabulary)
        sampler = None
        if settings.negatives:
            sampler = LogUniformSampler(words, settings.negatives, settings.seed)
        windows = TrainingWindows(
            self.shards,
            self.model.reader,
            settings.batch,
            settings.unroll,
            settings.parts,
            settings.seed,
            settings.independent_streams,
            self.position,
            settings.errors,
        )
        for step, (parts, position) in enumerate(windows, self.step + 1):
            arrays = [window.arrays() for window in parts]
            if sampler is not None:
                for window, part in zip(parts, arrays, strict=True):
                    part |= sampled_rows(window, sampler, step)
            yield arrays, position

    def _due(self, *intervals):
        return self.step == self.steps or any(self.step % n == 0 for n in intervals)

    def _learning_rate(self):
        # Each of several devices has a copy of it, which float() does not take.
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    def _advance(self, windows):
        """One update."""
        started = time.perf_counter()
        try:
            arrays, self.position = next(windows)
        except (OSError, FormatError):
            self._save()  # nothing is wrong but the text
            raise
        seeds = [
            (self.settings.seed, self.step * len(arrays) + part)
            for part in range(len(arrays))
        ]
        self.learning_rate = self._learning_rate()
        loss, self.norm, self.states = self.update(arrays, self.states, seeds)
        self.step += 1
        if not (math.isfinite(loss) and math.isfinite(self.norm)):
            raise FloatingPointError(
                f"{self.folder.path}: step {self.step}: the loss is {loss}, the "
                f"gradient's norm {self.norm}."
            )
        self.losses.append(loss)
        self.steps_here += 1
        self.seconds_here += time.perf_counter() - started

    def _validate(self):
        if not self.settings.carry_over_sentences:
            return perplexities(self.model, self.validation)
        # From zero states a model that has always had one to go on from is lost.
        rows = min(self.rows, len(self.validation))
        states = keras.tree.map_structure(lambda s: s[:rows], self.states[0])
        return perplexities(
            self.model, self.validation, batch=rows, carry_state=True, states=states
        )

    def _report(self):
        """Log where the run stands, after a validation where one is due."""
        progress = self._progress()
        self.losses = []
        if self._due(self.settings.validate_every):
            progress.heldout = self._validate()
            found = progress.heldout["geometric_mean"]
            if not math.isfinite(found):
                raise FloatingPointError(
                    f"{self.folder.path}: step {self.step}: the held-out perplexity is "
                    f"{found}."
                )
            if self.step and (self.best is None or found < self.best):
                self.best = found
                self.folder.keep_best()
        entry = dataclasses.asdict(progress)
        self.folder.log(entry)
        if self.scalars is not None:
            self.scalars.add(entry)
        return progress

    def _progress(self):
        loss = float(np.mean(self.losses)) if self.losses else None
        perplexity = None if loss is None else math.exp(min(loss, 700.0))
        sampled = bool(self.settings.negatives)
        speed = seconds_left = None
        if self.steps_here:
            speed = self.steps_here * self.per_step / self.seconds_here
            seconds_left = (self.steps - self.step) * self.per_step / speed
        return Progress(
            step=self.step,
            steps=self.steps,
            tokens=self.step * self.per_step,
            tokens_per_second=speed,
            seconds_left=seconds_left,
            loss=loss,
            sampled_perplexity=perplexity if sampled else None,
            training_perplexity=None if sampled else perplexity,
            gradient_norm=self.norm,
            clipped_cells=self._clipped_cells(),
            learning_rate=self.learning_rate,
        )

    def _clipped_cells(self):
        bound = self.model.bilm.cell_clip
        if bound is None:
            return None
        cells = [
            keras.ops.convert_to_numpy(c)
            for part in self.states
            for stack in part
            for _, c in stack
        ]
        return float(np.mean([np.mean(np.abs(c) >= bound) for c in cells]))

    def _start_from(self, start):
        """Take over another model's weights, and bilm's accumulators."""
        entries = language_model_entries(self.model)
        for entry, other in zip(entries, language_model_entries(start), strict=True):
            entry.assign(other.value())
        if self.settings.optimizer == "adagrad" and start.accumulators is not None:
            trained = self.model.trainable_variables
            slots = self.optimizer.variables[-len(trained) :]
            slot_of = {id(v): slot for v, slot in zip(trained, slots, strict=True)}
            of_slots = [
                dataclasses.replace(
                    entry, variables=[slot_of[id(v)] for v in entry.variables]
                )
                for entry in entries
            ]
            assign_entries("Adagrad's accumulators", start.accumulators, of_slots)

    def _save(self):
        """Write the last checkpoint."""
        meta = {
            "step": self.step,
            "steps": self.steps,
            "losses": self.losses,
            "gradient_norm": self.norm,
            "learning_rate": self.learning_rate,
            "best": self.best,
            "position": self.position,
            "options": self.options,
        }
        write_checkpoint(self.folder.file(LAST), self._arrays(), meta)

    def _arrays(self):
        """What a checkpoint holds, one array at a time."""
        for entry in language_model_entries(self.model):
            yield f"weights/{entry.name}", self._finite(entry)
        for i, variable in enumerate(self.optimizer.variables):
            yield f"optimizer/{i}", variable.numpy()
        parts = [keras.tree.flatten(part) for part in self.states]
        for i, rows in enumerate(zip(*parts, strict=True)):
            # Half precision as float32, which has all of its numbers.
            rows = [keras.ops.convert_to_numpy(r).astype("float32") for r in rows]
            yield f"states/{i}", np.concatenate(rows)

    def _finite(self, entry):
        array = entry.value()
        if not np.isfinite(array).all():
            raise FloatingPointError(
                f"{self.folder.path}: step {self.step}: {entry.name} is no longer "
                "finite."
            )
        return array

    def _restore(self, arrays, meta):
        for entry in language_model_entries(self.model):
            entry.assign(np.asarray(arrays[f"{WEIGHTS_ROOT}{entry.name}"]))
        for i, variable in enumerate(self.optimizer.variables):
            variable.assign(np.asarray(arrays[f"optimizer/{i}"]))
        leaves = keras.tree.flatten(self.states[0])
        states = [np.asarray(arrays[f"states/{i}"]) for i in range(len(leaves))]
        for part in range(len(self.states)):
            own = slice(part * self.rows, (part + 1) * self.rows)
            kept = [
                keras.ops.cast(state[own], leaf.dtype)
                for state, leaf in zip(states, leaves, strict=True)
            ]
            self.states[part] = keras.tree.pack_sequence_as(self.states[0], kept)
        self.step, self.losses, self.best = meta["step"], meta["losses"], meta["best"]
        self.norm, self.position = meta["gradient_norm"], meta["position"]
        self.learning_rate = meta["learning_rate"]
