"""A served model made of NumPy, which does what a test of a client tells it."""

import contextlib
import re
import threading
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from keras_elmo.serving.tensors import decode, encode

WIDTH = 3
BIG = 1_500_000  # 6 MB of float32, above gRPC's own limit of 4 MiB
FLOAT, INT32, INT64, STRING = (
    types_pb2.DT_FLOAT,
    types_pb2.DT_INT32,
    types_pb2.DT_INT64,
    types_pb2.DT_STRING,
)
_WORDS = {"tokens": (STRING, [-1, -1]), "sequence_len": (INT32, [-1])}
_STATE = {
    "state_h": (FLOAT, [-1, 2, 1, WIDTH]),
    "state_c": (FLOAT, [-1, 2, 1, WIDTH]),
}
_OUTPUTS = {
    "elmo": (FLOAT, [-1, -1, WIDTH]),
    "labels": (STRING, [-1, -1]),
    "scores": (FLOAT, [-1, 2]),
    "kind": (STRING, [-1]),
    "big": (FLOAT, [-1, BIG]),
    "lengths": (INT32, [-1]),
}
_OFFSETS = {
    "words": (STRING, [-1, -1]),
    "starts": (INT64, [-1, -1]),
    "ends": (INT64, [-1, -1]),
}
SIGNATURES = {
    "default": ({"strings": (STRING, [-1])}, _OUTPUTS),
    "tokens": (_WORDS, _OUTPUTS),
    "text": ({"text": (STRING, [-1])}, _OUTPUTS | _OFFSETS),
    "stateful": (_WORDS | _STATE, _OUTPUTS | _STATE),
    "no_lengths": ({"strings": (STRING, [-1])}, {"elmo": (FLOAT, [-1, -1, WIDTH])}),
    "pixels": ({"pixels": (FLOAT, [-1, 4])}, {"elmo": (FLOAT, [-1, -1, WIDTH])}),
    "__internal": ({}, {}),
}


def vector(word):
    """The vector of a word, given as bytes."""
    return np.float32([zlib.crc32(word + bytes([i])) % 1000 for i in range(WIDTH)])


def vectors(words):
    """The vectors of a sentence."""
    return np.array([vector(w) for w in words], np.float32).reshape(-1, WIDTH)


def label(word):
    return b"LONG" if len(word) > 3 else b"SHORT"


def scores(words):
    return np.float32([len(words), sum(map(len, words))])


class ToyService(
    prediction_service_pb2_grpc.PredictionServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Counts, delays and refuses what it gets, as its attributes say."""

    def __init__(self):
        self.requests = []  # all calls but those for metadata and status
        self.metadata_calls = 0
        self.longer_by = 0  # how much longer than asked a reply is
        self.failures = deque()  # codes, one for each of the next calls
        self.before = lambda request: None
        self.change = lambda response: response
        self.statuses = [(1, "AVAILABLE", "")]
        self.signatures = dict(SIGNATURES)
        self._lock = threading.Lock()

    def Predict(self, request, context):
        self._receive(request, context)
        inputs = {name: decode(proto) for name, proto in request.inputs.items()}
        arrays = self._compute(request.model_spec.signature_name, inputs)
        names = request.output_filter or sorted(arrays)
        response = predict_pb2.PredictResponse(
            outputs={n: encode(arrays[n], as_list=True) for n in names if n in arrays}
        )
        response.model_spec.version.value = 7
        return self.change(response)

    def Classify(self, request, context):
        self._receive(request, context)
        response = classification_pb2.ClassificationResponse()
        for words in _words_of_examples(request):
            classes = response.result.classifications.add()
            for name, score in zip(("few", "long"), scores(words), strict=True):
                classes.classes.add(label=name, score=score)
        return self.change(response)

    def Regress(self, request, context):
        self._receive(request, context)
        response = regression_pb2.RegressionResponse()
        for words in _words_of_examples(request):
            response.result.regressions.add(value=len(words) / 2)
        return self.change(response)

    def GetModelMetadata(self, request, context):
        self.metadata_calls += 1
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, (inputs, outputs) in self.signatures.items():
            signature = meta_graph_pb2.SignatureDef()
            for tensors, infos in (
                (inputs, signature.inputs),
                (outputs, signature.outputs),
            ):
                for key, (dtype, shape) in tensors.items():
                    infos[key].dtype = dtype
                    infos[key].tensor_shape.SetInParent()
                    for size in shape:
                        infos[key].tensor_shape.dim.add(size=size)
            found.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(found)
        return response

    def GetModelStatus(self, request, context):
        self._fail(context)
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, state, error in self.statuses:
            entry = response.model_version_status.add(version=version, state=state)
            entry.status.error_message = error
        return response

    def _receive(self, request, context):
        with self._lock:
            self.requests.append(request)
        self.before(request)
        self._fail(context)

    def _fail(self, context):
        with self._lock:
            code = self.failures.popleft() if self.failures else None
        if code is not None:
            context.abort(code, f"told to be\n{code.name}")

    def _compute(self, name, inputs):
        arrays = {}
        if name in ("default", "no_lengths"):
            rows = [text.split() for text in inputs["strings"]]
        elif name == "text":
            found = [list(re.finditer(rb"\w+|[^\w\s]", t)) for t in inputs["text"]]
            rows = [[m.group() for m in row] for row in found]
            arrays["words"] = self._padded(rows, b"")
            for key, side in (("starts", 0), ("ends", 1)):
                spans = [[m.span()[side] for m in row] for row in found]
                arrays[key] = self._padded(spans, -1).astype(np.int64)
        else:
            # Words past a length are those that a server may fill in.
            lengths = inputs["sequence_len"]
            rows = [list(r[:n]) for r, n in zip(inputs["tokens"], lengths, strict=True)]
        arrays["elmo"] = self._padded([list(vectors(r)) for r in rows], [-99] * WIDTH)
        if name == "stateful":
            arrays |= run_state(rows, inputs["state_h"], inputs["state_c"], arrays)
        arrays["labels"] = self._padded([list(map(label, r)) for r in rows], b"PAD")
        arrays["scores"] = np.array([scores(r) for r in rows])
        arrays["kind"] = np.array(
            [b"one" if len(r) == 1 else b"more" for r in rows], "O"
        )
        arrays["big"] = np.zeros((len(rows), BIG), np.float32)
        arrays["lengths"] = np.array([len(r) for r in rows], np.int32)
        if name == "no_lengths":
            del arrays["lengths"]
        return arrays

    def _padded(self, rows, fill):
        """Rows at one length, with what nobody should see behind the shorter ones."""
        time = max(map(len, rows)) + self.longer_by
        kind = object if isinstance(fill, bytes) else np.float32
        filled = [[*row, *[fill] * (time - len(row))] for row in rows]
        shape = (len(rows), time, *np.shape(fill))
        return np.array(filled, kind).reshape(shape)


def run_state(rows, state_h, state_c, arrays):
    """A toy recurrence: the state counts words and sentences."""
    count = np.array([len(r) for r in rows], np.float32)[:, None, None, None]
    elmo = arrays["elmo"] + state_h[:, :1, 0] + 100 * state_c[:, 1:, 0]
    return {"elmo": elmo, "state_h": state_h + count, "state_c": state_c + 1}


def _words_of_examples(request):
    examples = request.input.example_list.examples
    return [e.features.feature["tokens"].bytes_list.value for e in examples]


@contextlib.contextmanager
def serving(service, credentials=None, port=0):
    """Serve on 127.0.0.1; gives the address."""
    options = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.so_reuseport", 0),
    ]
    pool = ThreadPoolExecutor(16)
    server = grpc.server(pool, options=options)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(service, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(service, server)
    address = f"127.0.0.1:{port}"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        pool.shutdown()
