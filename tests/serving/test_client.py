"""The client against a server, compared with a call by the bare stubs."""

import pickle

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from keras_elmo.serving import ElmoClient, ServingError

SENTENCES = ["the cat sat", "hello", "", "a b"]


def by_stub(stub, inputs, signature_name=""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "toy"
    request.model_spec.signature_name = signature_name
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    outputs = stub.Predict(request, timeout=30).outputs
    return {name: tf.make_ndarray(proto) for name, proto in outputs.items()}


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_predict_returns_what_the_stubs_return(client, stub):
    inputs = {"tokens": [["a", "b"], ["c", ""]], "sequence_len": [2, 1]}
    actual = client.predict(inputs, "tokens")
    expected = by_stub(stub, inputs, "tokens")
    assert set(actual) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value)
        assert actual[name].dtype == value.dtype
    only = client.predict(inputs, "tokens", ["lengths"])
    assert set(only) == {"lengths"}


@pytest.mark.parametrize("output", ["elmo", "word_emb", "lstm_outputs2"])
def test_embed_cuts_each_sentence_to_its_length(client, stub, output):
    reply = by_stub(stub, {"strings": SENTENCES})[output]
    expected = [reply[0, :3], reply[1, :1], reply[2, :0], reply[3, :2]]
    assert_same(client.embed(SENTENCES, output), expected)


def test_embed_takes_lists_of_words(client):
    expected = client.embed(SENTENCES)
    words = [sentence.split() for sentence in SENTENCES]
    assert_same(client.embed(words), expected)
    assert_same(client.embed([tuple(w) for w in words]), expected)
    assert_same(client.embed([np.array(w, str) for w in words]), expected)


def test_embed_returns_sentence_vectors_and_lengths_whole(client, stub):
    reply = by_stub(stub, {"strings": SENTENCES})
    assert_same(client.embed(SENTENCES, "default"), reply["default"])
    assert_same(client.embed(SENTENCES, "lengths"), [3, 1, 0, 2])


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_the_batch_size_changes_no_vector(client, batch_size):
    expected = client.embed(SENTENCES)
    assert_same(client.embed(SENTENCES, batch_size=batch_size), expected)


def test_nothing_asked_is_nothing_sent():
    with ElmoClient("127.0.0.1:1", "toy") as client:
        assert client.embed([]) == []


def test_sentences_without_words_have_no_vectors(client):
    assert [v.shape for v in client.embed([[], []])] == [(0, 32), (0, 32)]
    assert [v.shape for v in client.embed([""])] == [(0, 32)]


@pytest.mark.parametrize(
    "sentences, message",
    [("a cat", "received one string"), (["a", ["b"]], "received both")],
)
def test_embed_rejects_what_is_no_list_of_sentences(client, sentences, message):
    with pytest.raises(ValueError, match=message):
        client.embed(sentences)


def test_metadata_lists_signatures_without_internal_ones(client):
    found = client.metadata()
    assert sorted(found) == ["default", "read_file", "serving_default", "tokens"]
    assert found["tokens"]["inputs"] == {
        "sequence_len": {"dtype": "int32", "shape": [None]},
        "tokens": {"dtype": "string", "shape": [None, None]},
    }
    elmo = found["default"]["outputs"]["elmo"]
    assert elmo == {"dtype": "float32", "shape": [None, None, 32]}


def test_a_refusal_names_address_model_and_reason(server):
    with ElmoClient(server.address, "nobody", version=3) as client:
        for call in (client.metadata, lambda: client.embed(["a"])):
            with pytest.raises(ServingError) as caught:
                call()
            text = "Servable not found for request: Specific(nobody, 3)"
            assert caught.value.code == grpc.StatusCode.NOT_FOUND
            assert caught.value.details == text
            where = f"{server.address}, model nobody: NOT_FOUND: "
            assert str(caught.value) == where + text


def test_a_server_that_is_away_is_an_os_error_of_one_line():
    with ElmoClient("127.0.0.1:1", "toy", timeout=5) as client:
        with pytest.raises(OSError, match="127.0.0.1:1, model toy: UNAVAILABLE") as e:
            client.embed(["a"])
    assert "\n" not in str(e.value)


def test_the_error_survives_pickling():
    error = ServingError("text", grpc.StatusCode.NOT_FOUND, "details")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.code, copy.details) == ("text", error.code, "details")
