"""How likely a language model finds the words of a sentence, and words for a gap."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np

from keras_elmo.pretraining.evaluate import BATCH, positions_that_fit
from keras_elmo.pretraining.language_model import LanguageModel
from keras_elmo.pretraining.windows import (
    BACKWARD,
    FORWARD,
    row_windows,
    text_windows,
)
from keras_elmo.text.characters import as_words
from keras_elmo.text.vocabulary import SPECIALS


@dataclasses.dataclass
class SentenceScore:
    """Natural logarithms of the probabilities of a sentence's words.

    Attributes:
        words: The n words.
        unknown: For each word whether it is not in the vocabulary; then it is scored
            as `<UNK>`.
        forward: float32 `(n + 1,)`: each word after those before it, and at last the
            end, `</S>`, after all of them.
        backward: float32 `(n + 1,)`: each word before those behind it, and at last the
            beginning, `<S>`, before all of them.
    """

    words: list[str]
    unknown: list[bool]
    forward: np.ndarray
    backward: np.ndarray

    @property
    def forward_total(self) -> float:
        """The whole sentence's, from left to right, its end counted."""
        return float(self.forward.sum(dtype=np.float64))

    @property
    def backward_total(self) -> float:
        """The whole sentence's, from right to left, its beginning counted."""
        return float(self.backward.sum(dtype=np.float64))


@dataclasses.dataclass
class Substitute:
    """A word for a gap, and natural logarithms of how likely it is there.

    Attributes:
        word: The word.
        forward: Its log-probability after the words before the gap.
        backward: Its log-probability before the words behind the gap.
        both: The logarithm of the product of both probabilities, divided by the sum
            of these products over the vocabulary.
    """

    word: str
    forward: float
    backward: float
    both: float


def score_sentences(
    model: LanguageModel, sentences: Iterable[Sequence[str]], batch: int = BATCH
) -> Iterator[SentenceScore]:
    """As `LanguageModel.score`, of text of any size, which is read as it is needed.

    Args:
        model: A built language model.
        sentences: Lists of words.
        batch: Sentences that are read side by side.

    Yields:
        `SentenceScore`, in the order of the text.

    Raises:
        ValueError: A sentence that is a string, or a word that is none.
    """
    begun = collections.deque()  # in the order of the text, losses as far as read
    open_in_row = [None] * batch
    taken = collections.deque()

    def noted():
        for number, sentence in enumerate(sentences):
            words = as_words("LanguageModel.score", number, sentence)
            taken.append(words)
            yield words

    states = model.get_initial_state(batch)
    unroll = positions_that_fit(model, batch)
    for window in text_windows(noted(), model.reader, batch, unroll):
        losses, states = model.compiled_forward(window.arrays(), states)
        for row in range(batch):
            length = int(window.weights[FORWARD, row].sum())
            starts = np.flatnonzero(window.starts[FORWARD, row])
            rest, *others = np.split(losses[:, row, :length], starts, axis=1)
            if rest.size:
                open_in_row[row][1].append(rest)
            for piece in others:
                # Rows take sentences in this order, see `windows`.
                open_in_row[row] = taken.popleft(), [piece]
                begun.append(open_in_row[row])
        while begun and _is_read(*begun[0]):
            yield _score(model, *begun.popleft())


def _is_read(words, pieces):
    return sum(piece.shape[1] for piece in pieces) > len(words)


def _score(model, words, pieces):
    forward, backward = -np.concatenate(pieces, axis=1)
    vocabulary, n = model.vocabulary, len(words)
    return SentenceScore(
        words,
        [vocabulary.id(word) == vocabulary.unknown for word in words],
        forward,
        np.append(backward[:n][::-1], backward[n]),
    )


def find_substitutes(
    model: LanguageModel, words: Sequence[str], count: int = 10, gap: str = "_"
) -> list[Substitute]:
    """See `LanguageModel.substitutes`."""
    if isinstance(words, (str, bytes)):
        raise ValueError(
            "LanguageModel.substitutes: expected a list of words, received the string "
            f"{words!r}."
        )
    words = list(words)
    if words.count(gap) != 1:
        raise ValueError(
            f"LanguageModel.substitutes: expected one gap, {gap!r}, among the words, "
            f"received {words.count(gap)} in {words}."
        )
    if count < 1:
        raise ValueError(
            f"LanguageModel.substitutes: expected count >= 1, received {count}."
        )
    place = words.index(gap)
    left, right = words[:place], words[place + 1 :]
    unroll = max(len(left), len(right)) + 1
    (window,) = row_windows([[left], [right]], model.reader, unroll)
    # What follows the left side, and what the right side follows.
    logs = keras.ops.convert_to_numpy(
        model.log_probabilities(
            window.arrays(), model.get_initial_state(2), [len(left), len(right)]
        )
    ).astype(np.float64)
    forward, backward = logs[FORWARD, 0], logs[BACKWARD, 1]
    both = forward + backward
    both -= np.logaddexp.reduce(both)
    likeliest = np.argsort(-both, kind="stable")
    names = [model.vocabulary.words[i] for i in likeliest[: count + len(SPECIALS)]]
    return [
        Substitute(name, float(forward[i]), float(backward[i]), float(both[i]))
        for name, i in zip(names, likeliest, strict=False)
        if name not in SPECIALS
    ][:count]
