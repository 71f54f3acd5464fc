"""A version as a session, its ops and its warm-up requests."""

import gc
import os
import shutil
import subprocess
import sys
import weakref

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from keras_elmo.errors import FormatError
from keras_elmo.saved_model.warmup import WARMUP_FILE
from keras_elmo.serving.checks import RequestError
from keras_elmo.serving.loaded_model import LoadedModel
from keras_elmo.serving.replay import replay

GOOD = """predict_log { request {
    model_spec { name: "another" version { value: 9 } }
    inputs { key: "strings" value {
        dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "a" } } } }"""
CLASSIFY = """classify_log { request {
    model_spec { name: "toy" signature_name: "classify" }
    input { example_list { examples { features { feature {
        key: "tokens" value { bytes_list { value: "a" } } } } } } } } }"""


@pytest.fixture
def model(base_folder):
    model = LoadedModel(base_folder / "1")
    yield model
    if model._session is not None:
        model.close()


def tensors(model, key, **arrays):
    signature = model.signatures[key]
    feeds = {signature.inputs[name].name: array for name, array in arrays.items()}
    return feeds, {name: info.name for name, info in signature.outputs.items()}


def test_a_version_of_the_session_gives_the_functions_numbers(model, base_folder):
    function = tf.saved_model.load(str(base_folder / "1")).signatures["default"]
    strings = np.array([b"a b c", b"", b"d"], object)
    feeds, outputs = tensors(model, "default", strings=strings)
    results = model.run(feeds, outputs.values())
    for name, expected in function(strings=tf.constant(strings)).items():
        np.testing.assert_array_equal(results[outputs[name]], expected)


def test_the_time_is_limited_and_the_model_lives_on(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "steps")])
    def count(steps):
        done = tf.while_loop(
            lambda i: i < steps[0], lambda i: [i + 1], [tf.constant(0)]
        )
        return {"done": done[0][None]}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"count": count})
    model = LoadedModel(tmp_path)
    feeds, outputs = tensors(model, "count", steps=np.array([2**31 - 1], np.int32))
    with pytest.raises(RequestError) as caught:
        model.run(feeds, outputs.values(), timeout=0.01)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert caught.value.text == "Timed out waiting for notification"
    feeds, _ = tensors(model, "count", steps=np.array([3], np.int32))
    assert model.run(feeds, outputs.values(), 60)[outputs["done"]].tolist() == [3]
    model.close()


def test_a_closed_model_leaves_nothing(base_folder):
    model = LoadedModel(base_folder / "1")
    session, graph = weakref.ref(model._session), weakref.ref(model._session.graph)
    model.close()
    gc.collect()
    assert session() is None and graph() is None


@pytest.mark.slow
def test_ops_of_tensorflow_text_are_found(tmp_path):
    import tensorflow_text

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def split(text):
        words = tensorflow_text.UnicodeScriptTokenizer().tokenize(text)
        return {"words": words.to_tensor("")}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"split": split})
    code = f"""
import sys, pathlib, numpy as np
from keras_elmo.serving.loaded_model import LoadedModel
assert "tensorflow_text" not in sys.modules
model = LoadedModel(pathlib.Path({str(tmp_path)!r}))
signature = model.signatures["split"]
words = signature.outputs["words"].name
feeds = {{signature.inputs["text"].name: np.array([b"Hi, you"], object)}}
print(model.run(feeds, [words])[words].tolist())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "[[b'Hi', b',', b'you']]\n"


@pytest.fixture
def version(judge_folder, tmp_path):
    """A copy of the toy, and a function that writes its warm-up requests."""
    shutil.copytree(judge_folder / "1", tmp_path / "1")
    (tmp_path / "1" / "assets.extra").mkdir()

    def write(*records):
        with tf.io.TFRecordWriter(str(tmp_path / "1" / WARMUP_FILE)) as writer:
            for record in records:
                log = text_format.Parse(record, PredictionLog())
                writer.write(log.SerializeToString())
        return LoadedModel(tmp_path / "1")

    return write


def test_recorded_requests_are_replayed(version, monkeypatch):
    model = version(GOOD, CLASSIFY, GOOD)
    ran = []
    run = model.run
    monkeypatch.setattr(model, "run", lambda *args: ran.append(args) or run(*args))
    assert replay(model) == 3
    assert len(ran) == 3
    model.close()


@pytest.mark.parametrize(
    "records, message",
    [
        (
            (GOOD, GOOD.replace('"strings"', '"words"')),
            "record 2: INVALID_ARGUMENT: Signature input alias: strings",
        ),
        (("session_run_log {}",), "record 1: Unsupported log_type for warmup"),
    ],
)
def test_a_bad_record_fails_the_version(version, records, message):
    model = version(*records)
    with pytest.raises(FormatError, match=message):
        replay(model)
    model.close()


def test_there_may_not_be_too_many(version, monkeypatch):
    monkeypatch.setattr("keras_elmo.serving.replay.MOST_RECORDS", 2)
    model = version(GOOD, GOOD, GOOD)
    with pytest.raises(FormatError, match=r"exceeds the maximum \(2\)"):
        replay(model)
    model.close()


def test_a_damaged_file_is_named(version):
    model = version(GOOD)
    path = model.folder / WARMUP_FILE
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FormatError, match=f"{path}: expected a TFRecord file"):
        replay(model)
    model.close()
