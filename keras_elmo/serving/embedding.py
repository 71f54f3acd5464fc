"""One way to ask for outputs of sentences: its requests, and their answers cut."""

import numpy as np

from keras_elmo.serving.requests import Model
from keras_elmo.serving.sentences import is_raw, to_bytes, words_of
from keras_elmo.serving.tensors import decode, encode, encode_strings

_STATE = ("state_h", "state_c")


def check_outputs(output) -> list[str]:
    """The names of the outputs that are asked for.

    Args:
        output: str, or sequence of str.

    Raises:
        ValueError: if there is none, or one is no str.

    >>> check_outputs("elmo"), check_outputs(["elmo", "lengths"])
    (['elmo'], ['elmo', 'lengths'])
    """
    names = [output] if isinstance(output, str) else list(output)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(
            f"output: expected a name or a list of names, received {output!r}."
        )
    return names


def is_per_word(signature: dict, output: str) -> bool:
    """Whether axis 1 of an output is words: the signature leaves its size open.

    What is one for each sentence, such as scores of classes, has fixed sizes.

    Args:
        signature: A signature's entry in the model's metadata.
        output: The output's name.

    >>> shapes = {"elmo": [None, None, 1024], "scores": [None, 2]}
    >>> outputs = {name: {"shape": shape} for name, shape in shapes.items()}
    >>> [is_per_word({"outputs": outputs}, name) for name in ("elmo", "scores")]
    [True, False]
    """
    shape = signature["outputs"].get(output, {}).get("shape")
    return shape is not None and len(shape) > 1 and shape[1] is None


class Embedding:
    """A signature that takes sentences, and the outputs that are asked for.

    Args:
        model: `Model`.
        name: The signature's name.
        signature: Its entry in the model's metadata.
        output: str or sequence of str.

    Raises:
        ServingError: if the signature does not take sentences, or does not say how
            long they are.
    """

    state = ()  # Inputs beside the words.

    def __init__(self, model: Model, name: str, signature: dict, output):
        self.model = model
        self.name = name
        self.signature = signature
        self.single = isinstance(output, str)
        self.outputs = check_outputs(output)
        self.per_word = {n for n in self.outputs if is_per_word(signature, n)}
        self.raw_input = self._raw_input()
        self.needed = {*self.outputs}
        if self.raw_input and self.per_word:
            if "lengths" not in signature["outputs"]:
                raise model.error(
                    f"signature {name}: expected an output lengths, by which "
                    f"{', '.join(sorted(self.per_word))} can be cut, found: "
                    f"{', '.join(sorted(signature['outputs']))}; ask for lists of words"
                )
            self.needed.add("lengths")

    def request(self, sentences):
        """The `PredictRequest` for sentences of one kind.

        Raises:
            ValueError: if the signature takes the other kind.
        """
        if is_raw(sentences[0]) != bool(self.raw_input):
            kinds = ["lists of words", "str"]
            raise ValueError(
                f"sentences: expected {kinds[bool(self.raw_input)]} for the signature "
                f"{self.name!r}, received {kinds[not self.raw_input]}."
            )
        outputs = sorted({*self.needed, *self.state})
        request = self.model.predict_request({}, self.name, outputs)
        if self.raw_input:
            strings = [to_bytes(sentence) for sentence in sentences]
            request.inputs[self.raw_input].CopyFrom(
                encode_strings(strings, (len(strings),))
            )
        else:
            self._add_words(request, [words_of(sentence) for sentence in sentences])
        return request

    def rows(self, sentences, response) -> list:
        """What a `PredictResponse` says of each sentence, without any padding.

        Args:
            sentences: Those of the request.
            response: The message.

        Returns:
            A list with one entry a sentence: an array where one output was asked for,
            else a dict of arrays. Strings are str.

        Raises:
            ServingError: if the answer does not fit the question.
        """
        arrays = {}
        for name in self.needed:
            if name not in response.outputs:
                raise self.model.error(f"the reply has no output {name}")
            try:
                arrays[name] = decode(response.outputs[name])
            except ValueError as error:
                raise self.model.error(f"the reply's {name}: {error}") from error
            # A scalar has no rows at all.
            count = len(arrays[name]) if arrays[name].ndim else 0
            self.model.check_count(sentences, count, name)
        # A reply may be longer than the longest sentence: a server that merges
        # requests answers each at the length of the longest of all of them.
        lengths = arrays.get("lengths", ()) if self.raw_input else map(len, sentences)
        lengths = list(lengths)
        cut = {name: self._cut(name, arrays[name], lengths) for name in self.outputs}
        if self.single:
            return cut[self.outputs[0]]
        return [
            dict(zip(cut, row, strict=True)) for row in zip(*cut.values(), strict=True)
        ]

    def _cut(self, name, array, lengths):
        if name in self.per_word:
            if array.ndim < 2 or array.shape[1] < max(lengths):
                raise self.model.error(
                    f"the reply's {name}: expected {max(lengths)} words or more, found "
                    f"shape {array.shape}"
                )
            # Copies, for a view would keep the whole reply in memory.
            rows = [r[:n].copy() for r, n in zip(array, lengths, strict=True)]
        else:
            rows = [row.copy() if array.ndim > 1 else row for row in array]
        return [_to_text(row) for row in rows] if array.dtype == object else rows

    def _raw_input(self):
        """The name of the input for strings; "" where the input is words."""
        inputs = self.signature["inputs"]
        if set(inputs) == {"tokens", "sequence_len", *self.state}:
            return ""
        if len(inputs) == 1 and not self.state:
            ((name, info),) = inputs.items()
            if info["dtype"] == "string" and info["shape"] in ([None], None):
                return name
        raise self.model.error(
            f"signature {self.name}: expected the input tokens with "
            f"{', '.join(['sequence_len', *self.state])}, or strings, found: "
            f"{', '.join(sorted(inputs))}"
        )

    def _add_words(self, request, rows):
        lengths = [len(words) for words in rows]
        time = max(1, *lengths)  # No server takes a tensor without elements.
        flat = []
        for words in rows:
            flat += [to_bytes(word) for word in words]
            flat += [b""] * (time - len(words))
        request.inputs["tokens"].CopyFrom(encode_strings(flat, (len(rows), time)))
        dtype = self.signature["inputs"]["sequence_len"]["dtype"]
        request.inputs["sequence_len"].CopyFrom(encode(np.array(lengths, dtype)))


class Document(Embedding):
    """As `Embedding`, one sentence a request, each from the state that the last left.

    The state starts at zero. It is the client's: a server keeps none.
    """

    state = _STATE

    def __init__(self, model: Model, name: str, signature: dict, output):
        super().__init__(
            Model(model.address, model.name, model.version), name, signature, output
        )
        self._values = {}
        for name_ in _STATE:
            info = signature["inputs"][name_]
            shape = info["shape"] or [None, None]
            if None in shape[1:]:
                raise model.error(
                    f"signature {name}: expected an input {name_} of known sizes but "
                    f"the first, found: {shape}"
                )
            self._values[name_] = encode(np.zeros([1, *shape[1:]], info["dtype"]))

    def request(self, sentences):
        """The `PredictRequest` for a list of one sentence, with the state so far."""
        request = super().request([words_of(sentence) for sentence in sentences])
        for name, value in self._values.items():
            request.inputs[name].CopyFrom(value)
        return request

    def rows(self, sentences, response) -> list:
        """As `Embedding.rows`; keeps the state for the next request."""
        rows = super().rows([words_of(sentence) for sentence in sentences], response)
        for name in _STATE:
            if name not in response.outputs:
                raise self.model.error(f"the reply has no output {name}")
            self._values[name] = response.outputs[name]
        # Another version's state would mean nothing to this one.
        if response.model_spec.HasField("version"):
            self.model.version = response.model_spec.version.value
        return rows


def _to_text(row):
    if not isinstance(row, np.ndarray):
        return row.decode("utf-8", "surrogateescape")
    texts = [value.decode("utf-8", "surrogateescape") for value in row.flat]
    out = np.empty(len(texts), object)
    out[:] = texts
    return out.reshape(row.shape)
