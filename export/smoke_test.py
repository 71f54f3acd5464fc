"""Ask a running model server a little of everything, and say what held.

    python export/smoke_test.py 127.0.0.1:8500 elmo_tiny_en

Needs grpcio, tensorflow-serving-api and numpy alone, not keras_elmo. Works with a stock
TensorFlow Serving and with `keras-elmo serve`. Prints one line a check; exit code 0 if
all held, else 1. It never sends an empty tensor: by its source, that can end a stock
server that batches.
"""

import argparse
import sys

import grpc
import numpy as np
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

SENTENCES = ["", "Word", "Größe 日本 naïve 🙂", "a" * 60, "The cat sat on the mat ."]
SHORT, LONG = "A bank .", "The river ran past a bank " * 8
PREDICT = "tensorflow/serving/predict"
FIELDS = {
    types_pb2.DT_FLOAT: ("float_val", np.float32),
    types_pb2.DT_INT32: ("int_val", np.int32),
    types_pb2.DT_INT64: ("int64_val", np.int64),
}


class Server:
    """Calls of one model on one server, with plain arrays in and out."""

    def __init__(self, channel, model, timeout):
        self.model = model
        self.timeout = timeout
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(channel)

    def send(self, method, request, signature=""):
        request.model_spec.name = request.model_spec.name or self.model
        request.model_spec.signature_name = signature
        return method.future(request, timeout=self.timeout)

    def start(self, signature, inputs, outputs=()):
        request = predict_pb2.PredictRequest(output_filter=outputs)
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(encode(values))
        return self.send(self.predictions.Predict, request, signature)

    def predict(self, signature, inputs, outputs=()):
        return decode_all(self.start(signature, inputs, outputs).result())

    def signatures(self):
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            metadata_field=["signature_def"]
        )
        reply = self.send(self.predictions.GetModelMetadata, request).result()
        found = get_model_metadata_pb2.SignatureDefMap()
        reply.metadata["signature_def"].Unpack(found)
        return {
            name: signature
            for name, signature in sorted(found.signature_def.items())
            if not name.startswith("__")
        }


def encode(values):
    array = np.asarray(values)
    proto = tensor_pb2.TensorProto()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype.kind == "U":
        proto.dtype = types_pb2.DT_STRING
        proto.string_val.extend(text.encode() for text in array.flat)
    else:
        integers = array.dtype.kind == "i"
        proto.dtype = types_pb2.DT_INT32 if integers else types_pb2.DT_FLOAT
        proto.tensor_content = array.astype("i4" if integers else "f4").tobytes()
    return proto


def decode_all(reply):
    return {name: decode(proto) for name, proto in reply.outputs.items()}


def decode(proto):
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.dtype == types_pb2.DT_STRING:
        return np.array(list(proto.string_val), object).reshape(shape)
    field, dtype = FIELDS[proto.dtype]
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    values = np.array(getattr(proto, field), dtype)
    # A list that is too short means that its last value repeats.
    return values.reshape(shape) if len(values) > 1 else np.broadcast_to(values, shape)


def spell(word, size=50):
    """AI2's ids of the characters of a word."""
    ids = [258, *word.encode()[: size - 2], 259]
    return [i + 1 for i in ids + [260] * (size - len(ids))]


def inputs_for(signature, sentences):
    """A value for each input of a signature, or None if one is of an unknown kind."""
    words = [sentence.split() for sentence in sentences]
    lengths = [len(row) for row in words]
    time = max(1, *lengths)
    rows = len(sentences)
    padded = [row + [""] * (time - len(row)) for row in words]  # (B, T)
    inputs = {}
    for name, info in signature.inputs.items():
        sizes = [dim.size for dim in info.tensor_shape.dim]
        if info.dtype == types_pb2.DT_STRING and len(sizes) == 1:
            inputs[name] = np.array(sentences)
        elif info.dtype == types_pb2.DT_STRING and len(sizes) == 2:
            inputs[name] = np.array(padded)
        elif name.startswith("state_"):
            inputs[name] = np.zeros([rows, *sizes[1:]])
        elif name == "char_ids":
            pad = [0] * sizes[2]
            inputs[name] = np.array(
                [[spell(w, sizes[2]) if w else pad for w in row] for row in padded]
            )
        elif name == "word_ids":
            inputs[name] = np.ones([rows, time], int)
        elif info.dtype == types_pb2.DT_INT32 and len(sizes) == 1:
            inputs[name] = np.array(lengths)
        else:
            return None
    return inputs


def check(held, text):
    if not held:
        raise AssertionError(text)


def check_outputs(signature, outputs, lengths):
    check(
        set(outputs) == set(signature.outputs),
        f"outputs {sorted(outputs)}, metadata says {sorted(signature.outputs)}",
    )
    for name, array in outputs.items():
        check(len(array) == len(lengths), f"{name}: {len(array)} rows")
        if array.dtype.kind == "f":
            # Of no words Keras' own mean, in a model around an ELMo, is 0 / 0.
            some = np.array(lengths) > 0
            check(np.isfinite(array[some]).all(), f"{name}: not finite")
        if array.ndim == 3 and array.dtype.kind == "f" and "lengths" in outputs:
            for row, length in zip(array, outputs["lengths"], strict=True):
                check(not row[length:].any(), f"{name}: not zero past the length")
    if "lengths" in outputs and "text" not in signature.inputs:
        found = outputs["lengths"].tolist()
        check(found == lengths, f"lengths {found}, expected {lengths}")


def status(server):
    request = get_model_status_pb2.GetModelStatusRequest()
    reply = server.send(server.models.GetModelStatus, request).result()
    states = {version.version: version.state for version in reply.model_version_status}
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    check(available in states.values(), f"states by version: {states}")
    versions = [version for version, state in states.items() if state == available]
    return f"available: {', '.join(map(str, sorted(versions)))}"


def metadata(server):
    found = server.signatures()
    check("serving_default" in found, f"no serving_default in {list(found)}")
    return ", ".join(found)


def answers(server, name, signature):
    lengths = [len(sentence.split()) for sentence in SENTENCES]
    if signature.method_name != PREDICT:
        return example_answers(server, name, signature)
    inputs = inputs_for(signature, SENTENCES)
    if inputs is None:
        return f"not called: inputs {', '.join(sorted(signature.inputs))}"
    outputs = server.predict(name, inputs)
    check_outputs(signature, outputs, lengths)
    return ", ".join(f"{key} {value.shape}" for key, value in sorted(outputs.items()))


def example_answers(server, name, signature):
    classify = signature.method_name.endswith("/classify")
    if classify:
        request, method = classification_pb2.ClassificationRequest(), "Classify"
    else:
        request, method = regression_pb2.RegressionRequest(), "Regress"
    for sentence in SENTENCES:
        example = example_pb2.Example()
        words = [word.encode() for word in sentence.split()]
        example.features.feature["tokens"].bytes_list.value.extend(words)
        request.input.example_list.examples.append(example)
    result = server.send(getattr(server.predictions, method), request, name).result()
    rows = result.result.classifications if classify else result.result.regressions
    check(len(rows) == len(SENTENCES), f"{len(rows)} results")
    return f"{method}: {len(rows)} results"


def padding(server, name, signature, tolerance):
    """A short sentence beside a long one is answered as it is alone."""

    def ask(sentences):
        return server.start(name, inputs_for(signature, sentences))

    def vectors(reply, row):
        outputs = decode_all(reply)
        length = len(SHORT.split())
        return {
            key: value[row, :length] if value.ndim == 3 else value[row]
            for key, value in outputs.items()
            if value.dtype.kind == "f" and not key.startswith("state_")
        }

    alone = vectors(ask([SHORT]).result(), 0)
    found = [vectors(ask([LONG, SHORT, ""]).result(), 1)]
    replies = [ask([SHORT if i % 2 else LONG]) for i in range(32)]
    found += [vectors(reply.result(), 0) for reply in replies[1::2]]
    worst = max(
        float(np.abs(other[key] - alone[key]).max()) for other in found for key in alone
    )
    check(
        worst <= tolerance, f"differs by {worst:.1e}, at most {tolerance:.0e} is right"
    )
    return f"largest difference {worst:.1e}"


def refusals(server, signatures):
    """What is wrong is refused, each with its code."""
    name = "serving_default"
    right = inputs_for(signatures[name], [SHORT])
    check(right is not None, f"{name} has inputs of an unknown kind")
    codes = grpc.StatusCode
    wrong = {
        "no input": (codes.INVALID_ARGUMENT, name, {}, ()),
        "rank": (
            codes.INVALID_ARGUMENT,
            name,
            {key: value[..., None] for key, value in right.items()},
            (),
        ),
        "dtype": (
            codes.INVALID_ARGUMENT,
            name,
            {key: np.ones(value.shape) for key, value in right.items()},
            (),
        ),
        "output": (codes.INVALID_ARGUMENT, name, right, ["no such output"]),
        "signature": (codes.FAILED_PRECONDITION, "no such signature", right, ()),
    }
    for what, (code, signature, inputs, outputs) in wrong.items():
        error = server.start(signature, inputs, outputs).exception()
        found = error.code() if error else codes.OK
        check(found == code, f"wrong {what}: {found.name}, expected {code.name}")
    server.predict(name, right)
    return f"{len(wrong)} bad requests, and the server answers on"


def channel_to(args):
    options = [("grpc.max_receive_message_length", -1)]  # gRPC's own limit is 4 MiB.
    if not (args.ca or args.cert):
        return grpc.insecure_channel(args.address, options=options)
    pems = []
    for path in (args.ca, args.key, args.cert):
        if path is None:
            pems.append(None)
        else:
            with open(path, "rb") as file:
                pems.append(file.read())
    credentials = grpc.ssl_channel_credentials(*pems)
    return grpc.secure_channel(args.address, credentials, options=options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("address", metavar="ADDRESS", help="HOST:PORT of gRPC")
    parser.add_argument("model", metavar="MODEL", help="the model's name")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds each (60)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        help="how far a vector may be from itself in another batch (1e-4)",
    )
    parser.add_argument("--ca", metavar="PEM", help="trust this certificate; TLS")
    parser.add_argument("--cert", metavar="PEM", help="the client's own certificate")
    parser.add_argument("--key", metavar="PEM", help="its key")
    args = parser.parse_args()
    failed = 0

    def report(name, function, *arguments):
        nonlocal failed
        try:
            print(f"ok    {name}: {function(*arguments)}", flush=True)
        except (AssertionError, grpc.RpcError, ValueError, KeyError) as error:
            failed += 1
            text = (
                f"{error.code().name}: {error.details()}"
                if hasattr(error, "details")
                else f"{error}"
            )
            print(f"WRONG {name}: {' '.join(text.split())}", flush=True)

    with channel_to(args) as channel:
        server = Server(channel, args.model, args.timeout)
        report("status", status, server)
        report("metadata", metadata, server)
        try:
            signatures = server.signatures()
        except grpc.RpcError:
            signatures = {}  # "metadata" has said why.
        for name, signature in signatures.items():
            report(f"signature {name}", answers, server, name, signature)
        for name, signature in signatures.items():
            inputs = inputs_for(signature, [SHORT])
            if signature.method_name == PREDICT and inputs is not None:
                report(
                    f"padding {name}", padding, server, name, signature, args.tolerance
                )
        if "serving_default" in signatures:
            report("refusals", refusals, server, signatures)
    print(f"{failed} of the checks failed" if failed else "all checks held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
