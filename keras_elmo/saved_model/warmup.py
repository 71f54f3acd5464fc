"""Requests that a server runs when it loads an export, before it answers others.

The first requests to a graph are slow. TensorFlow Serving looks for such requests in
`assets.extra/tf_serving_warmup_requests`, and does not load a model that fails one.
"""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from keras_elmo.text.characters import batch_to_ids

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
MOST_RECORDS = 1000  # TensorFlow Serving refuses more.
CLIENT_OUTPUTS = {"default": ("elmo", "lengths"), "tokens": ("elmo",)}
WORDS = ["The", "cat", "sat", "on", "the", "mat", "."]


def write_warmup(
    folder: str, model_name: str, signatures: Mapping, batch_sizes: Sequence[int]
):
    """Write one request for each signature and batch size, and for `ElmoClient`'s.

    A session prepares anew for every other set of outputs, and `ElmoClient` asks for
    no more than it needs.

    Args:
        folder: Version folder.
        model_name: The name under which the model will be served.
        signatures: `SignatureDef`s by name.
        batch_sizes: Numbers of sentences.

    >>> write_warmup("models/tiny/1", "tiny", {"tokens": signatures["tokens"]}, [1, 8])
    >>> len(list(read_warmup("models/tiny/1")))
    3
    """
    path = os.path.join(folder, WARMUP_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        for name, signature in sorted(signatures.items()):
            requests = [(size, ()) for size in batch_sizes]
            if "elmo" in signature.outputs and name in CLIENT_OUTPUTS:
                requests.append((batch_sizes[0], CLIENT_OUTPUTS[name]))
            for size, outputs in requests:
                log = _request(name, signature, size, outputs, model_name)
                writer.write(log.SerializeToString())


def read_warmup(folder: str) -> Iterator[prediction_log_pb2.PredictionLog]:
    """The requests that an export holds, none where it has no such file."""
    path = os.path.join(folder, WARMUP_FILE)
    if os.path.exists(path):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            yield prediction_log_pb2.PredictionLog.FromString(record)


def _request(name, signature, size, outputs, model_name):
    log = prediction_log_pb2.PredictionLog()
    kind = signature.method_name.rpartition("/")[2]  # predict, classify or regress
    request = getattr(log, f"{kind}_log").request
    request.model_spec.name = model_name
    request.model_spec.signature_name = name
    if kind == "predict":
        request.output_filter.extend(outputs)
        for alias, array in example_inputs(signature, size).items():
            request.inputs[alias].CopyFrom(tf.make_tensor_proto(array))
    else:
        tokens = [word.encode() for word in WORDS]
        for _ in range(size):
            example = request.input.example_list.examples.add()
            example.features.feature["tokens"].bytes_list.value.extend(tokens)
    return log


def example_inputs(signature, size: int) -> dict[str, np.ndarray]:
    """Inputs of a signature for so many sentences, by name.

    >>> example_inputs(signatures["default"], 1)["strings"].tolist()
    ['The cat sat on the mat .']
    """
    return {
        alias: _example(alias, info, size) for alias, info in signature.inputs.items()
    }


def _example(alias, info, size):
    """A value of an input, sensible where its name and kind are known."""
    shape = tuple(d.size for d in info.tensor_shape.dim)
    dtype = tf.dtypes.as_dtype(info.dtype)
    kind = (dtype, shape)
    if alias in ("strings", "text") and kind == (tf.string, (-1,)):
        return np.array([" ".join(WORDS)] * size, object)
    if alias == "tokens" and kind == (tf.string, (-1, -1)):
        return np.array([WORDS] * size, object)
    if alias == "char_ids" and dtype == tf.int32 and shape[:2] == (-1, -1):
        return batch_to_ids([WORDS] * size, shape[2])
    if alias == "sequence_len" and kind == (tf.int32, (-1,)):
        return np.full(size, len(WORDS), np.int32)
    shape = [size, *(len(WORDS) if n < 0 else n for n in shape[1:])]
    if dtype == tf.string:
        return np.full(shape, "a", object)
    return np.zeros(shape, dtype.as_numpy_dtype)
