"""The requests of the soak test: right ones with their answers, and wrong ones."""

import grpc
import numpy as np
from tensorflow_serving.apis import predict_pb2

from keras_elmo.serving.tensors import decode, encode
from keras_elmo.text.characters import batch_to_ids

FILTERS = (["elmo"], ["elmo", "lengths"], ["word_emb", "default"], None)
ODD_WORDS = ("a" * 60, "Größe", "日本", "🙂", "ﬁ", "l'été")
# One float32 differs by so much between a request alone and one in a batch.
TOLERANCE = 2e-5


class Right:
    """A request, and the outputs that each version of the model gives it alone."""

    def __init__(self, model, signature_name, inputs, outputs, versions):
        outputs = outputs or sorted(versions[1].signatures[signature_name].outputs)
        self.request = build(model, signature_name, inputs, outputs)
        self.name = f"{signature_name} {'+'.join(outputs)}"
        self.expected = {
            version: in_process.function(signature_name, outputs)(**inputs)
            for version, in_process in versions.items()
        }

    def fault(self, reply):
        """What is wrong with a reply, or None."""
        expected = self.expected.get(reply.model_spec.version.value)
        if expected is None:
            return f"{self.name}: of a version {reply.model_spec.version.value}"
        if set(reply.outputs) != set(expected):
            return f"{self.name}: outputs {sorted(reply.outputs)}"
        for name, right in expected.items():
            found = decode(reply.outputs[name])
            if found.ndim == 3:
                # In a batch, a reply is as long as the longest sentence there.
                if found[:, right.shape[1] :].any():
                    return f"{self.name}: {name}: not zero past its end"
                found = found[:, : right.shape[1]]
            if found.shape != right.shape:
                return f"{self.name}: {name}: {found.shape}, expected {right.shape}"
            difference = np.abs(found - right).max(initial=0)
            if not difference <= TOLERANCE:
                return f"{self.name}: {name}: differs by {difference:.1e}"
        return None


def build(model, signature_name, inputs, outputs=(), version=None):
    request = predict_pb2.PredictRequest(
        inputs={name: encode(values) for name, values in inputs.items()},
        output_filter=outputs,
    )
    request.model_spec.name = model
    request.model_spec.signature_name = signature_name
    if version is not None:
        request.model_spec.version.value = version
    return request


def right_requests(model, sentences, versions, count, seed=0):
    """Requests of random shape to all signatures, zero-word rows among them."""
    rng = np.random.default_rng(seed)
    names = sorted(set(versions[1].signatures) - {"text"})
    found = []
    for i in range(count):
        rows = [row_of(rng, sentences) for _ in range(rng.integers(1, 5))]
        name = names[i % len(names)]
        outputs = FILTERS[rng.integers(len(FILTERS))]
        inputs = inputs_of(rng, versions[1].signatures[name], rows)
        found.append(Right(model, name, inputs, outputs, versions))
    return found


def row_of(rng, sentences):
    kind = rng.random()
    if kind < 0.1:
        return []
    words = sentences[rng.integers(len(sentences))].split()
    words = words[: rng.integers(1, 41)]
    if kind < 0.4:
        words[rng.integers(len(words))] = ODD_WORDS[rng.integers(len(ODD_WORDS))]
    return words


def inputs_of(rng, signature, rows):
    """Arrays for a signature; its extra rows and columns say nothing."""
    lengths = np.array([len(row) for row in rows], np.int32)
    if "strings" in signature.inputs:
        return {"strings": np.array([" ".join(row).encode() for row in rows], object)}
    time = max(1, lengths.max()) + rng.integers(3)
    tokens = [[*row, *["x"] * (time - len(row))] for row in rows]  # (B, T)
    inputs = {"sequence_len": lengths}
    if "tokens" in signature.inputs:
        inputs["tokens"] = np.array(
            [[w.encode() for w in row] for row in tokens], object
        )
    if "char_ids" in signature.inputs:
        inputs["char_ids"] = batch_to_ids(tokens)
    for name in ("state_h", "state_c"):
        if name in signature.inputs:
            sizes = [dim.size for dim in signature.inputs[name].tensor_shape.dim]
            shape = [len(rows), *sizes[1:]]
            inputs[name] = 0.1 * rng.standard_normal(shape).astype(np.float32)
    return inputs


def wrong_requests(model, max_message_bytes):
    """{what is wrong: (the request, the status code that is right)}."""
    codes = grpc.StatusCode
    strings = {"strings": ["a b", "c"]}
    tokens = {"tokens": [["a", "b"]], "sequence_len": [2]}
    broken = build(model, "default", strings)  # two values
    broken.inputs["strings"].tensor_shape.dim[0].size = 1
    not_utf8 = build(model, "default", {"strings": [b"\xff\xfe"]})
    nameless = build("", "default", strings)
    huge = {"strings": ["a" * max_message_bytes]}
    bad = codes.INVALID_ARGUMENT
    return {
        "dtype": (build(model, "default", {"strings": [1.0, 2.0]}), bad),
        "rank": (build(model, "default", {"strings": [["a"]]}), bad),
        "rows": (build(model, "tokens", tokens | {"sequence_len": [2, 2]}), bad),
        "missing input": (build(model, "tokens", {"tokens": [["a"]]}), bad),
        "other input": (build(model, "default", {"words": ["a"]}), bad),
        "further input": (build(model, "tokens", tokens | strings), bad),
        "output": (build(model, "default", strings, ["no such"]), bad),
        "output twice": (build(model, "default", strings, ["elmo", "elmo"]), bad),
        "no rows": (build(model, "default", {"strings": np.zeros([0], object)}), bad),
        "no time": (
            build(
                model,
                "tokens",
                {"tokens": np.zeros([2, 0], object), "sequence_len": [0, 0]},
            ),
            bad,
        ),
        "tensor": (broken, bad),
        "no model name": (nameless, bad),
        "model": (build("other", "default", strings), codes.NOT_FOUND),
        "version": (build(model, "default", strings, version=77), codes.NOT_FOUND),
        "signature": (build(model, "no such", strings), codes.FAILED_PRECONDITION),
        "oversize": (build(model, "default", huge), codes.RESOURCE_EXHAUSTED),
        "bytes that are no UTF-8": (not_utf8, None),  # words are bytes: an answer
    }
