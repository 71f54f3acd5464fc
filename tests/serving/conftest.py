"""A toy model with the signatures of an exported ElmoLayer, and a server of it."""

import time

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from keras_elmo.serving import BatchingParameters, ElmoClient, ModelServer

WIDTH = 16


def eventually(condition, seconds=60):
    """Wait until a function without arguments returns something true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)
    return found


def vectors_of(tokens, lengths):
    """Vectors of words that depend on nothing but the word."""
    steps = tf.shape(tokens)[1]
    tf.debugging.assert_less_equal(
        tf.reduce_max(lengths), steps, message="sequence_len is larger than time"
    )
    mask = tf.sequence_mask(lengths, steps, tf.float32)[:, :, None]
    number = tf.strings.to_hash_bucket_fast(tokens, 1000)
    base = tf.cast(number, tf.float32)[:, :, None] / 1000
    word_emb = mask * base * tf.range(1.0, WIDTH + 1)  # (B, T, P)
    layer = tf.concat([word_emb, -word_emb], -1)  # (B, T, 2P)
    count = tf.maximum(tf.cast(lengths, tf.float32), 1.0)[:, None]
    return {
        "word_emb": word_emb,
        "lstm_outputs1": layer,
        "lstm_outputs2": 2 * layer,
        "elmo": 3 * layer,
        "default": tf.reduce_sum(3 * layer, 1) / count,
        "lengths": lengths,
    }


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, "strings")])
def default(strings):
    words = tf.strings.split(strings)
    lengths = tf.cast(words.row_lengths(), tf.int32)
    return vectors_of(words.to_tensor(""), lengths)


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None], tf.string, "tokens"),
        tf.TensorSpec([None], tf.int32, "sequence_len"),
    ]
)
def tokens(tokens, sequence_len):
    return vectors_of(tokens, sequence_len)


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, "strings")])
def read_file(strings):
    return {"content": tf.io.read_file(strings[0])[None]}


@tf.function(input_signature=[tf.TensorSpec([None], tf.string, "inputs")])
def judge(inputs):
    """The sentence's number of words, as a score and as a value."""
    spec = {"tokens": tf.io.VarLenFeature(tf.string)}
    words = tf.RaggedTensor.from_sparse(tf.io.parse_example(inputs, spec)["tokens"])
    count = tf.cast(words.row_lengths(), tf.float32)
    classes = tf.tile([["short", "long"]], [tf.size(inputs), 1])
    scores = tf.stack([-count, count], axis=1)
    return {"classes": classes, "scores": scores, "outputs": count}


def only(*names):
    """`judge` with these outputs alone."""

    @tf.function(input_signature=judge.input_signature)
    def part(inputs):
        results = judge(inputs)
        return {name: results[name] for name in names}

    return part


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory):
    module = tf.Module()
    module.unused = tf.Variable(1.0)  # so that there is something to restore
    signatures = {
        "default": default,
        "serving_default": default,
        "tokens": tokens,
        "read_file": read_file,
    }
    base = tmp_path_factory.mktemp("models") / "toy"
    tf.saved_model.save(module, str(base / "1"), signatures=signatures)
    return base


@pytest.fixture(scope="session")
def judge_folder(tmp_path_factory):
    """The toy with signatures for Classify and Regress too."""
    signatures = {
        "serving_default": default,
        "tokens": tokens,
        "classify": only("classes", "scores"),
        "scores": only("scores"),
        "regress": only("outputs"),
    }
    base = tmp_path_factory.mktemp("models") / "toy"
    tf.saved_model.save(tf.Module(), str(base / "1"), signatures=signatures)
    return base


@pytest.fixture(scope="session")
def server(base_folder):
    with ModelServer(base_folder, port=0) as server:
        yield server


@pytest.fixture(scope="session")
def channel(server):
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.address, options=options) as channel:
        yield channel


@pytest.fixture(scope="session")
def stub(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


BATCHING = BatchingParameters(
    max_batch_size=8,
    batch_timeout_micros=1000,
    max_enqueued_batches=100,
    num_batch_threads=2,
    allowed_batch_sizes=(2, 4, 8),
    pad_variable_length_inputs=True,
)


@pytest.fixture(scope="session", params=[None, BATCHING], ids=["single", "batching"])
def limited_server(judge_folder, request):
    """Takes messages of up to 1 MiB, with batching and without."""
    with ModelServer(
        judge_folder, port=0, batching=request.param, max_message_bytes=2**20
    ) as server:
        yield server


@pytest.fixture(scope="session")
def client(server):
    with ElmoClient(server.address, "toy") as client:
        yield client
