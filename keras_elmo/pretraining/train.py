"""Pre-training and fine-tuning: text in, a biLM in AI2's files out."""

import contextlib
import dataclasses
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

from keras_elmo.ai2.options import options_of
from keras_elmo.errors import FormatError
from keras_elmo.pretraining.corpus import count_corpus, find_shards, read_sentences
from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.pretraining.loop import TrainingLoop
from keras_elmo.pretraining.memory import (
    check_memory,
    memory_available,
    memory_needed,
)
from keras_elmo.pretraining.model_files import (
    OPTIONS,
    VOCABULARY,
    check_same_words,
    weights_digest,
)
from keras_elmo.pretraining.run_folder import LAST, RUN, RunFolder
from keras_elmo.pretraining.sampling import check_order
from keras_elmo.pretraining.scalars import require_tensorboard
from keras_elmo.pretraining.settings import FINE_TUNING, Progress, TrainingSettings
from keras_elmo.text.vocabulary import Vocabulary, read_vocabulary, write_vocabulary


def pretrain(
    train: str,
    heldout: str,
    vocabulary_file: str,
    options: dict[str, Any],
    run: str | os.PathLike,
    settings: TrainingSettings | None = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
) -> Iterator[Progress]:
    """Train a biLM, or go on with it; the work is done as the result is iterated over.

    A run that was stopped at any moment, and is started again with the same
    arguments, ends with the same weights, bit for bit on the same machine (on a GPU
    with deterministic operations switched on).

    Args:
        train: Pattern of the training shards, tokenised, one sentence a line.
        heldout: Held-out text, for validation.
        vocabulary_file: Words to predict, by falling frequency.
        options: Checked options of AI2's.
        run: Folder of the run. New, or begun with the same arguments; a finished one
            is left as it is, and nothing is yielded.
        settings: See there.
        stopped: Asked after each step; where it says so, a checkpoint is written and
            the iteration ends.
        tensorboard: Whether to write `run`/tensorboard too, from the same numbers as
            the log (extra `tensorboard`).

    Yields:
        `Progress`: at step 0, every 20 steps, and after each validation.

    Raises:
        FormatError: A vocabulary or text that is not one, a vocabulary that does not
            fit into memory, or a run that began with other arguments.
        BlockingIOError: Another process trains in `run`.
        FileExistsError: `run` holds a model that is no training run.
        FloatingPointError: Loss or gradients are no longer finite numbers; the last
            checkpoint stays.
        OSError: A file cannot be read or written; the last checkpoint stays.
    """
    settings = settings or TrainingSettings()
    vocabulary = read_vocabulary(vocabulary_file)
    yield from _train(
        train, heldout, vocabulary, options, run, settings, None, stopped, tensorboard
    )


def finetune(
    model: LanguageModel,
    train: str,
    heldout: str,
    run: str | os.PathLike,
    settings: TrainingSettings | None = None,
    *,
    stopped: Callable[[], bool] = lambda: False,
    tensorboard: bool = False,
) -> Iterator[Progress]:
    """Train a language model further, on other text; see `pretrain`.

    The vocabulary stays the model's, and the model itself as it is: the result is in
    `run`. Default settings are `FINE_TUNING`: one epoch, 32 rows, Adam. With Adagrad a
    model of bilm's goes on with bilm's own accumulators.

    Yields:
        As `pretrain`, and first, from a new run, the held-out perplexity at step 0.
    """
    encoder = model.encoder if model.reads_characters else None
    options = options_of(model.bilm, encoder, model.max_chars)
    settings = dataclasses.replace(
        settings or FINE_TUNING,
        share_embedding_softmax=model.share_embedding_softmax,
    )
    yield from _train(
        train,
        heldout,
        model.vocabulary,
        options,
        run,
        settings,
        model,
        stopped,
        tensorboard,
    )


def _train(
    train, heldout, vocabulary, options, run, settings, start, stopped, tensorboard
):
    # The rest of AI2's options says how AI2 trained, which the settings say here.
    options = {key: options[key] for key in ("lstm", "char_cnn") if key in options}
    shards = find_shards(train)
    if settings.share_embedding_softmax and "char_cnn" in options:
        raise FormatError(
            "share_embedding_softmax: expected options without char_cnn (word input), "
            "received characters."
        )
    if settings.negatives >= len(vocabulary):
        raise FormatError(
            "negatives: expected fewer than the words of the vocabulary, "
            f"{len(vocabulary)}, received {settings.negatives}."
        )
    sentences = read_sentences([heldout], settings.errors)
    validation = list(itertools.islice(sentences, settings.heldout_sentences))
    if not validation:
        raise FormatError(f"{heldout}: expected sentences, found none.")
    if tensorboard:
        require_tensorboard()  # before the text is counted
    folder = RunFolder(run)
    identity = _identity(settings, options, vocabulary, shards, heldout, start)
    with folder.locked():
        if all(map(folder.has, (RUN, LAST, VOCABULARY))):  # a run of that vocabulary
            check_same_words(vocabulary, folder.file(VOCABULARY))
        facts = folder.begin(identity)
        if facts is not None and folder.has(OPTIONS):
            return
        needed = _memory_needed(settings, options, vocabulary)
        check_memory(vocabulary, needed, memory_available())
        if facts is None:
            counts = count_corpus(shards, vocabulary, settings.errors, stopped)
            if counts is None:
                return
            if not counts.sentences:
                raise FormatError(f"{train}: expected sentences, found none.")
            if settings.negatives and start is None:
                check_order(vocabulary, counts.occurrences)
            facts = counts.facts()
            write_vocabulary(folder.file(VOCABULARY), vocabulary.words)
            folder.keep(identity, facts)
        loop = TrainingLoop(
            folder, settings, options, vocabulary, shards, validation, facts["tokens"]
        )
        with contextlib.closing(loop.run(start, stopped, tensorboard)) as progress:
            yield from progress


def _memory_needed(settings, options, vocabulary):
    positions = settings.batch // settings.parts * settings.unroll
    return memory_needed(
        options,
        len(vocabulary),
        settings.optimizer,
        settings.share_embedding_softmax,
        0 if settings.negatives else positions,
    )


def _identity(settings, options, vocabulary: Vocabulary, shards, heldout, start):
    """What decides the weights of a run."""
    chosen = dataclasses.asdict(settings)
    del chosen["checkpoint_every"]
    words = "\n".join(vocabulary.words).encode("utf-8")
    identity = {
        "settings": chosen,
        "options": options,
        "vocabulary": {
            "words": len(vocabulary),
            "sha256": hashlib.sha256(words).hexdigest(),
        },
        "shards": [_name_and_size(path) for path in shards],
        "heldout": _name_and_size(heldout),
    }
    return identity if start is None else identity | {"model": weights_digest(start)}


def _name_and_size(path):
    return f"{os.path.basename(path)}, {os.path.getsize(path)} bytes"
