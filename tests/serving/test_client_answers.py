"""What both clients make of answers: cut, in order, decoded; whatever the output."""

import asyncio
import inspect
import queue
import random
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_elmo.serving import ElmoClient, ServingError
from keras_elmo.serving.aio_client import AsyncElmoClient
from tests.serving.toy_service import (
    BIG,
    INT64,
    ToyService,
    label,
    scores,
    serving,
    vectors,
)

WORDS = [["the", "small", "cat"], ["hello"], [], ["a", "b"]]
BYTES = [[word.encode() for word in words] for words in WORDS]
STRINGS = [" ".join(words) for words in WORDS]


@pytest.fixture
def service():
    return ToyService()


class Blocking:
    """The asynchronous client, called as the other one is."""

    def __init__(self, address, **settings):
        self.arguments = address, settings

    def __getattr__(self, name):
        def call(*args, **kwargs):
            async def run():
                address, settings = self.arguments
                async with AsyncElmoClient(address, "toy", **settings) as client:
                    result = getattr(client, name)(*args, **kwargs)
                    if inspect.isasyncgen(result):
                        return [item async for item in result]
                    return await result

            return asyncio.run(run())

        return call


@pytest.fixture(params=["sync", "async"])
def make_client(request, service):
    with serving(service) as address:
        if request.param == "async":
            yield lambda **settings: Blocking(address, **settings)
            return
        clients = []

        def make(**settings):
            clients.append(ElmoClient(address, "toy", **settings))
            return clients[-1]

        yield make
        for client in clients:
            client.close()


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture(scope="module")
def shared():
    """A service and a client for many examples of one test."""
    service = ToyService()
    with serving(service) as address, ElmoClient(address, "toy") as client:
        yield service, client, address


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.text("abcé", min_size=1), max_size=5), max_size=12),
    st.booleans(),
    st.integers(1, 5),
    st.integers(1, 12),
    st.integers(0, 3),
    st.integers(1, 3),
)
def test_answers_are_those_of_each_sentence_alone(
    shared, words, raw, batch_size, max_words, longer_by, concurrency
):
    """However they are split, merged with others' requests, and sent side by side."""
    service, _, address = shared
    service.longer_by = longer_by
    sentences = [" ".join(w) for w in words] if raw else words
    expected = [vectors([word.encode() for word in w]) for w in words]
    arguments = {"batch_size": batch_size, "max_words": max_words}
    with ElmoClient(address, "toy", concurrency=concurrency) as client:
        assert_same(client.embed(sentences, **arguments), expected)
        assert_same(client.embed_iter(iter(sentences), **arguments), expected)
    twin = Blocking(address, concurrency=concurrency)
    assert_same(twin.embed(sentences, **arguments), expected)


def test_several_outputs_come_together(client, service):
    service.longer_by = 2
    names = ["elmo", "labels", "scores", "kind", "lengths"]
    rows = client.embed(WORDS, names)
    for row, words in zip(rows, BYTES, strict=True):
        assert list(row) == names
        np.testing.assert_array_equal(row["elmo"], vectors(words))
        assert row["labels"].tolist() == [label(w).decode() for w in words]
        np.testing.assert_array_equal(row["scores"], scores(words))
        assert row["kind"] == ("one" if len(words) == 1 else "more")
        assert row["lengths"] == len(words)
    assert len(service.requests) == 1
    assert [list(row) for row in client.embed(WORDS, ["kind"])] == [["kind"]] * 4


@pytest.mark.parametrize("sentences", [WORDS, STRINGS], ids=["words", "strings"])
def test_only_words_are_cut(client, sentences):
    """Two scores of a sentence of one word stay two."""
    assert_same(client.embed(sentences, "scores"), [scores(words) for words in BYTES])
    assert client.embed(sentences, "kind") == ["more", "one", "more", "more"]
    labels = client.embed(sentences, "labels")
    assert [row.tolist() for row in labels] == [
        ["SHORT", "LONG", "SHORT"],
        ["LONG"],
        [],
        ["SHORT", "SHORT"],
    ]


def test_raw_text_is_split_by_the_server(client):
    names = ["words", "starts", "ends", "elmo"]
    rows = client.embed(["No, na!", "", "b"], names, signature="text")
    assert [row["words"].tolist() for row in rows] == [
        ["No", ",", "na", "!"],
        [],
        ["b"],
    ]
    assert [row["starts"].tolist() for row in rows] == [[0, 2, 4, 6], [], [0]]
    assert [row["ends"].tolist() for row in rows] == [[2, 3, 6, 7], [], [1]]
    assert_same(
        [row["elmo"] for row in rows][:1], [vectors([b"No", b",", b"na", b"!"])]
    )
    assert rows[0]["starts"].dtype == np.int64


def test_bytes_that_are_no_utf8_come_back(client):
    (row,) = client.embed([b"a\xff"], "words", signature="text")
    assert "".join(row).encode("utf-8", "surrogateescape") == b"a\xff"


def test_results_do_not_keep_the_reply_in_memory(client, service):
    service.longer_by = 100
    assert all(array.base is None for array in client.embed(WORDS))


@pytest.mark.parametrize("sentences", [[], (), iter([])], ids=["list", "tuple", "iter"])
def test_nothing_asked_is_nothing_sent(client, service, sentences):
    assert client.embed(sentences, signature="no such") == []
    assert list(client.embed_document(sentences)) == []
    assert client.classify(sentences) == []
    assert client.regress(sentences).shape == (0,)
    assert service.requests == [] and service.metadata_calls == 0


def test_no_request_is_empty(client, service):
    assert [a.shape for a in client.embed([[], []])] == [(0, 3)] * 2
    assert [a.shape for a in client.embed([""])] == [(0, 3)]
    assert [a.shape for a in client.embed_document([[], []])] == [(0, 3)] * 2
    shapes = [
        [dim.size for dim in proto.tensor_shape.dim]
        for request in service.requests
        for proto in request.inputs.values()
    ]
    assert shapes and all(size > 0 for shape in shapes for size in shape)


def test_words_may_hold_white_space_and_any_bytes(client):
    words = ["New York", b"\xff", "\0", ""]
    expected = vectors([b"New York", b"\xff", b"\0", b""])
    assert_same(client.embed([words]), [expected])
    assert_same(client.embed([np.array(["a b", "c"])]), [vectors([b"a b", b"c"])])


def test_a_reply_may_be_large(client):
    (array,) = client.embed(["a"], "big")
    assert array.shape == (BIG,) and array.nbytes > 4 * 2**20


def test_order_is_kept_whichever_answer_comes_first(make_client, service):
    """Four requests at a time are answered in an order that chance decides."""
    arrived = queue.Queue()
    chance = random.Random(0)

    def before(request):
        mine = threading.Event(), threading.Event()
        arrived.put(mine)
        assert mine[0].wait(30)
        mine[1].set()

    def release():
        for _ in range(10):
            group = [arrived.get(timeout=30) for _ in range(4)]
            chance.shuffle(group)
            for go, gone in group:
                go.set()
                assert gone.wait(30)

    service.before = before
    releaser = threading.Thread(target=release)
    releaser.start()
    words = [[f"w{i}"] * (i % 3) for i in range(80)]
    expected = [vectors([f"w{i}".encode()] * (i % 3)) for i in range(80)]
    found = make_client(concurrency=4).embed(words, batch_size=2)
    releaser.join()
    assert_same(found, expected)
    assert len(service.requests) == 40


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_requests_than_agreed_are_under_way(make_client, service, concurrency):
    lock = threading.Lock()
    full = threading.Event()
    under_way, most = 0, 0

    def before(request):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if under_way == concurrency:
                full.set()
        assert full.wait(30)

    def change(response):
        nonlocal under_way
        with lock:
            under_way -= 1
        return response

    service.before, service.change = before, change
    make_client(concurrency=concurrency).embed([["a"]] * 30, batch_size=1)
    assert most == concurrency


def test_a_corpus_streams(shared):
    """Sentences are not taken long before their answers are."""
    _, _, address = shared
    taken = 0

    def corpus():
        nonlocal taken
        for i in range(400):
            taken += 1
            yield [f"w{i}"]

    with ElmoClient(address, "toy", concurrency=2) as client:
        for i, array in enumerate(client.embed_iter(corpus(), batch_size=5)):
            np.testing.assert_array_equal(array, vectors([b"w%d" % i]))
            assert taken - i <= 5 * (2 * 2 + 1)
    assert taken == 400

    async def run():
        nonlocal taken
        taken = 0

        async def feed():
            for sentence in corpus():
                yield sentence

        async with AsyncElmoClient(address, "toy", concurrency=2) as client:
            i = 0
            async for array in client.embed_iter(feed(), batch_size=5):
                np.testing.assert_array_equal(array, vectors([b"w%d" % i]))
                assert taken - i <= 5 * (2 * 2 + 1)
                i += 1
        assert i == taken == 400

    asyncio.run(run())


def test_a_stream_that_is_left_asks_no_more(shared):
    service, client, _ = shared
    service.requests.clear()
    for _ in client.embed_iter((["a"] for _ in range(10**6)), batch_size=1):
        break
    threads = [t for t in threading.enumerate() if "keras_elmo_client" in t.name]
    assert threads == []
    assert len(service.requests) <= 2 * client.concurrency


def test_the_metadata_is_asked_for_once(shared):
    service, _, address = shared
    with ElmoClient(address, "toy") as client:
        before = service.metadata_calls
        client.embed(WORDS)
        client.embed(STRINGS, "scores")
        assert service.metadata_calls == before + 1


def test_a_new_version_of_the_model_may_bring_a_signature(shared):
    service, _, address = shared
    with ElmoClient(address, "toy") as client:
        kept = service.signatures.pop("text")
        client.embed(WORDS)
        with pytest.raises(ServingError, match="toy: expected a signature text, found"):
            client.embed(STRINGS, signature="text")
        service.signatures["text"] = kept
        assert len(client.embed(STRINGS, signature="text")) == 4


def test_the_dtype_of_lengths_is_the_signatures(client, service):
    inputs, outputs = service.signatures["tokens"]
    inputs = inputs | {"sequence_len": (INT64, [-1])}
    service.signatures["tokens"] = inputs, outputs
    client.embed(WORDS)
    assert service.requests[0].inputs["sequence_len"].dtype == INT64


@pytest.mark.parametrize(
    "sentences, arguments, message",
    [
        ("a cat", {}, "sentences: expected a list of them, received one string"),
        (["a", ["b"]], {}, r"sentences\[1\]: expected sentences that are all str"),
        ([["a"]], {"signature": "default"}, "expected str for the signature 'default'"),
        (["a"], {"signature": "tokens"}, "expected lists of words for the signature"),
        (["a"], {"output": []}, r"output: expected a name .* received \[\]"),
        (["a"], {"output": ["elmo", 5]}, "output: expected a name .* 5"),
        (["a \ud800"], {}, r"expected text that UTF-8 can hold, received 'a \\ud800'"),
        ([["\ud800"]], {}, "sentences: expected text that UTF-8 can hold"),
        (["a"], {"batch_size": 0}, "batch_size: expected an int >= 1, received 0"),
        (["a"], {"max_words": 0}, "max_words: expected an int >= 1, received 0"),
    ],
)
def test_wrong_arguments_are_named(client, service, sentences, arguments, message):
    with pytest.raises(ValueError, match=message):
        client.embed(sentences, **arguments)
    assert service.requests == []


@pytest.mark.parametrize(
    "sentences, signature, message",
    [
        (["a"], "no such", "expected a signature no such, found: default, no_lengths"),
        (["a"], "__internal", "expected a signature __internal, found: default"),
        (["a"], "pixels", "signature pixels: expected the input tokens .* pixels"),
        (["a"], "stateful", "found: sequence_len, state_c, state_h, tokens"),
        (["a"], "no_lengths", "signature no_lengths: expected an output lengths"),
    ],
)
def test_a_model_that_can_not_answer_is_named(client, sentences, signature, message):
    with pytest.raises(ServingError, match=f"127.0.0.1:.*, model toy: .*{message}"):
        client.embed(sentences, signature=signature)


def drop(response):
    del response.outputs["elmo"]
    return response


def break_values(response):
    response.outputs["elmo"].float_val.append(1)
    return response


def lose_a_row(response):
    shape = response.outputs["elmo"].tensor_shape
    shape.dim[0].size -= 1
    del response.outputs["elmo"].float_val[-9:]
    return response


def shorten(response):
    response.outputs["elmo"].tensor_shape.dim[1].size = 1
    response.outputs["elmo"].tensor_shape.dim[2].size *= 3
    return response


@pytest.mark.parametrize(
    "change, message",
    [
        (drop, "the reply has no output elmo"),
        (break_values, "the reply's elmo: TensorProto: expected 36 values"),
        (lose_a_row, "the reply's elmo: expected 4 rows, found 3"),
        (shorten, r"the reply's elmo: expected 3 words or more, .* \(4, 1, 9\)"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error(client, service, change, message):
    service.change = change
    with pytest.raises(ServingError, match=message):
        client.embed(WORDS)
    service.requests.clear()


def reference_of_documents(documents):
    """The toy's recurrence, word by word."""
    h = c = 0
    for words in documents:
        yield vectors(words) + h + 100 * c
        h, c = h + len(words), c + 1


@pytest.mark.parametrize("kind", ["words", "strings"])
def test_a_document_carries_its_state(client, service, kind):
    service.longer_by = 1
    sentences = WORDS if kind == "words" else STRINGS
    expected = list(reference_of_documents(BYTES))
    assert_same(client.embed_document(sentences), expected)
    assert_same(client.embed_document_iter(iter(sentences)), expected)
    rows = client.embed_document(sentences, ["elmo", "lengths"])
    assert_same([row["elmo"] for row in rows], expected)
    assert [row["lengths"] for row in rows] == [3, 1, 0, 2]


def test_a_documents_state_can_be_seen(client):
    rows = client.embed_document(WORDS, ["lengths", "state_h"])
    assert [row["state_h"].shape for row in rows] == [(2, 1, 3)] * 4
    assert [row["state_h"].max() for row in rows] == [3, 4, 4, 6]


def test_a_document_stays_with_one_version(client, service):
    """Another version's state would mean nothing to it."""
    client.embed_document(WORDS)
    assert not service.requests[0].model_spec.HasField("version")
    assert [r.model_spec.version.value for r in service.requests[1:]] == [7, 7, 7]
    client.embed_document(WORDS[:1])
    assert not service.requests[-1].model_spec.HasField("version")


def test_a_document_is_a_stream(shared):
    _, client, _ = shared
    taken = []

    def sentences():
        for words in WORDS:
            taken.append(words)
            yield words

    for number, _ in enumerate(client.embed_document_iter(sentences())):
        assert len(taken) == number + 1


def test_a_model_without_state_says_so(client, service):
    del service.signatures["stateful"]
    with pytest.raises(ServingError, match="expected a signature stateful, found"):
        client.embed_document(WORDS)


@pytest.mark.parametrize("sentences", [WORDS, STRINGS], ids=["words", "strings"])
def test_classes_have_labels_and_scores(client, service, sentences):
    found = client.classify(sentences, batch_size=3)
    expected = [[("few", a), ("long", b)] for a, b in map(scores, BYTES)]
    assert found == expected
    assert [r.model_spec.signature_name for r in service.requests] == ["classify"] * 2


@pytest.mark.parametrize("sentences", [WORDS, STRINGS], ids=["words", "strings"])
def test_a_regression_is_one_number_a_sentence(client, service, sentences):
    found = client.regress(sentences, signature="mine", batch_size=3)
    assert found.dtype == np.float32 and found.tolist() == [1.5, 0.5, 0.0, 1.0]
    assert {r.model_spec.signature_name for r in service.requests} == {"mine"}


def test_results_for_other_sentences_are_an_error(client, service):
    def change(response):
        del response.result.classifications[0]
        return response

    service.change = change
    with pytest.raises(ServingError, match="classifications: expected 4 rows, found 3"):
        client.classify(WORDS)


def test_predict_sends_and_returns_arrays(client):
    inputs = {"tokens": [["a", "b"]], "sequence_len": [2]}
    found = client.predict(inputs, "tokens", ["labels", "lengths"])
    assert found["labels"].tolist() == [[b"SHORT", b"SHORT"]]
    assert found["lengths"].tolist() == [2]


def test_the_version_is_in_every_request(make_client, service):
    client = make_client(version=3)
    client.embed(WORDS)
    client.classify(WORDS)
    client.embed_document(WORDS[:1])
    assert {r.model_spec.version.value for r in service.requests} == {3}
