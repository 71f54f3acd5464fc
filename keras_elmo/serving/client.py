"""A client of TensorFlow Serving for ELMo models; it needs grpcio and the protos."""

import itertools
import time
from collections.abc import Iterator

import grpc
import numpy as np
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from keras_elmo.serving.base_client import MAX_WORDS, BaseClient, signature_for
from keras_elmo.serving.connection import Attempts, Readiness, ServingError
from keras_elmo.serving.embedding import Document, Embedding, check_outputs
from keras_elmo.serving.in_flight import in_order
from keras_elmo.serving.requests import read_metadata, read_statuses
from keras_elmo.serving.sentences import Splitter, check_sentences, split
from keras_elmo.serving.tensors import decode

__all__ = ["ElmoClient", "ServingError"]


class ElmoClient(BaseClient):
    """Ask a model server for ELMo vectors, or for what a model around an ELMo gives.

    It works with `ModelServer` and with TensorFlow Serving. Threads may share it. A
    request that is answered UNAVAILABLE is sent again, as nothing else is.

    A sentence is a list of words, sent to the signature `tokens`, or a string, sent to
    `default`, which splits it at white space. `signature="text"` sends strings to be
    tokenized by the model, where it was exported with `text=True`.

    Args:
        address: str, `"HOST:PORT"` of the server's gRPC port.
        model_name: Name under which the server has the model.
        version: int, or None for the version that the server thinks newest.
        timeout: Seconds for each request, its repetitions included.
        retries: How often a request is sent again at most.
        concurrency: How many requests of one call are under way at the same time.
        tls_ca: PEM file with the certificates to trust. None: no encryption.
        tls_key: PEM file with the client's private key, where the server asks for it.
        tls_cert: PEM file with the client's certificate, beside `tls_key`.
        tls_server_name: The name in the server's certificate, where it is not the
            address's.

    Raises:
        FormatError: if a PEM file does not hold what it should.
        OSError: if one can not be read.
        ValueError: if an argument makes no sense.

    Example:

    >>> with ElmoClient(server.address, "elmo_tiny_en") as client:
    ...     vectors = client.embed(["The cat sat .", "Hello"])
    """

    def predict(self, inputs: dict, signature_name: str = "", outputs=()) -> dict:
        """Call a signature of the model.

        Args:
            inputs: Arrays or nested lists by input name. Python's integers are
                sent as int32, its floats as float32.
            signature_name: Empty means `serving_default`.
            outputs: Names of the outputs to return; empty means all.

        Returns:
            dict of NumPy arrays by output name; strings are `bytes`.

        Raises:
            ServingError: if the server is away or refuses the request.
            ValueError: if an input is no array.

        >>> client.predict({"strings": ["a b", "c"]}, "default", ["lengths"])
        {'lengths': array([2, 1], dtype=int32)}
        """
        request = self._model.predict_request(inputs, signature_name, outputs)
        response = self._call(self._stub.Predict, request)
        return {name: decode(proto) for name, proto in response.outputs.items()}

    def embed(
        self,
        sentences,
        output="elmo",
        *,
        signature: str | None = None,
        batch_size: int = 64,
        max_words: int = MAX_WORDS,
    ) -> list:
        """Compute the vectors of sentences, or any other output of the model.

        Args:
            sentences: Iterable of str, or of lists of words.
            output: Which output to return; or a list of names.
            signature: The signature to ask; by default `tokens` for words, `default`
                for str.
            batch_size: Most sentences in one request. A server may refuse more than
                its `max_batch_size`.
            max_words: Most words in one request, each sentence counted as long as the
                longest; it bounds the reply. A longer sentence goes alone.

        Returns:
            List with one array for each sentence: `(words, ...)` for an output with
            one entry a word, without padding, else `(...)`. Strings, such as labels,
            are str. With a list of outputs, one dict of arrays for each sentence.

        Raises:
            ServingError: if the server is away or refuses a request.
            ValueError: if `sentences` is neither of the two kinds of list.

        >>> [array.shape for array in client.embed([["a", "b"], ["c"]])]
        [(2, 32), (1, 32)]
        """
        return list(
            self.embed_iter(
                sentences,
                output,
                signature=signature,
                batch_size=batch_size,
                max_words=max_words,
            )
        )

    def embed_iter(
        self,
        sentences,
        output="elmo",
        *,
        signature: str | None = None,
        batch_size: int = 64,
        max_words: int = MAX_WORDS,
    ) -> Iterator:
        """As `embed`, one result after the other, for what memory does not hold.

        Sentences are taken as they are needed. In memory are those of two requests for
        each that is under way, or their replies.

        Args:
            sentences: As in `embed`.
            output: As in `embed`.
            signature: As in `embed`.
            batch_size: As in `embed`.
            max_words: As in `embed`.

        Yields:
            What `embed` has in its list.

        Raises:
            ServingError: if the server is away or refuses a request.
            ValueError: if `sentences` is neither of the two kinds of list.

        >>> sum(len(array) for array in client.embed_iter("a b" for _ in range(1000)))
        2000
        """
        check_sentences(sentences)
        check_outputs(output)
        batches = split(sentences, Splitter(batch_size, max_words))
        return self._embed(batches, output, signature)

    def embed_document(self, sentences, output="elmo") -> list:
        """Compute the vectors of a document, as a stateful `ElmoLayer` does.

        Each sentence starts from the LSTM states that the one before it left, the
        first from zero. A request holds one sentence; they go one after the other, to
        one version of the model.

        Args:
            sentences: Iterable of lists of words, or of str, split at white space.
            output: Which output to return; or a list of names.

        Returns:
            As `embed`.

        Raises:
            ServingError: if the server is away or refuses a request, or the model has
                no signature `stateful`.
            ValueError: if `sentences` is neither of the two kinds of list.
        """
        return list(self.embed_document_iter(sentences, output))

    def embed_document_iter(self, sentences, output="elmo") -> Iterator:
        """As `embed_document`, one result after the other, for streams.

        The next sentence is taken when the next result is asked for.

        Args:
            sentences: As in `embed_document`.
            output: As in `embed_document`.

        Yields:
            What `embed_document` has in its list.

        Raises:
            ServingError: as in `embed_document`.
            ValueError: as in `embed_document`.
        """
        check_sentences(sentences)
        check_outputs(output)
        return self._embed_document(split(sentences, Splitter(1, 1)), output)

    def classify(
        self, sentences, *, signature: str = "classify", batch_size: int = 64
    ) -> list[list[tuple[str, float]]]:
        """Ask a classifier for the scores of the classes of sentences.

        Args:
            sentences: Iterable of lists of words, or of str, split at white space.
            signature: The signature to ask.
            batch_size: Most sentences in one request.

        Returns:
            For each sentence a list of `(label, score)`; labels are "" where the
            model was exported without.

        Raises:
            ServingError: if the server is away or refuses a request, or the model is
                no classifier.
            ValueError: if `sentences` is neither of the two kinds of list.
        """
        check_sentences(sentences)

        def ask(batch, calls):
            request = self._model.classify_request(batch, signature)
            response = self._call(self._stub.Classify, request, calls)
            return self._model.read_classes(batch, response)

        batches = split(sentences, Splitter(batch_size, MAX_WORDS))
        return [pairs for rows in self._in_order(ask, batches) for pairs in rows]

    def regress(
        self, sentences, *, signature: str = "regress", batch_size: int = 64
    ) -> np.ndarray:
        """Ask a model with one number a sentence for these.

        Args:
            sentences: Iterable of lists of words, or of str, split at white space.
            signature: The signature to ask.
            batch_size: Most sentences in one request.

        Returns:
            float32 array `(sentences,)`.

        Raises:
            ServingError: if the server is away or refuses a request, or the model has
                no such signature.
            ValueError: if `sentences` is neither of the two kinds of list.
        """
        check_sentences(sentences)

        def ask(batch, calls):
            request = self._model.regress_request(batch, signature)
            response = self._call(self._stub.Regress, request, calls)
            return self._model.read_values(batch, response)

        batches = split(sentences, Splitter(batch_size, MAX_WORDS))
        rows = itertools.chain.from_iterable(self._in_order(ask, batches))
        return np.fromiter(rows, np.float32)

    def metadata(self) -> dict:
        """List the model's signatures.

        Returns:
            dict: `{signature: {"inputs": {name: {"dtype", "shape"}}, "outputs":
            ...}}`. A shape is a list with None for a free size, or None if even
            the rank is free.

        Raises:
            ServingError: if the server is away or does not have the model.

        >>> client.metadata()["default"]["inputs"]
        {'strings': {'dtype': 'string', 'shape': [None]}}
        """
        request = self._model.metadata_request()
        response = self._call(self._stub.GetModelMetadata, request)
        self._signatures = read_metadata(response)
        return self._signatures

    def status(self) -> list[dict]:
        """List the versions of the model that the server knows of.

        Returns:
            list of `{"version": int, "state": str, "error": str}`, the newest version
            first. States are START, LOADING, AVAILABLE, UNLOADING and END; the error
            says why a version did not load.

        Raises:
            ServingError: if the server is away or does not know the model.
        """
        request = self._model.status_request()
        return read_statuses(self._call(self._models.GetModelStatus, request))

    def wait_until_ready(self, timeout: float = 60.0) -> int:
        """Wait for the server to be there and to have loaded the model.

        Args:
            timeout: Seconds.

        Returns:
            The newest version that answers; with `version`, that one.

        Raises:
            ServingError: if none does in time, or the server refuses to say.
        """
        readiness = Readiness(self._model, timeout)
        while True:
            request = self._model.status_request()
            try:
                response = self._models.GetModelStatus(
                    request, timeout=readiness.remaining()
                )
            except grpc.RpcError as error:
                readiness.failed(error)
            else:
                version = readiness.answered(read_statuses(response))
                if version is not None:
                    return version
            time.sleep(readiness.next_wait())

    def close(self):
        """Close the connection."""
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _connect(self):
        self._channel = self._open(grpc)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def _embed(self, batches, output, signature):
        first = next(batches, None)
        if first is None:
            return  # Nothing asked is nothing sent, not even for the metadata.
        name = signature or signature_for(first[0])
        job = Embedding(self._model, name, self._signature(name, output), output)

        def ask(batch, calls):
            request = job.request(batch)
            return job.rows(batch, self._call(self._stub.Predict, request, calls))

        for rows in self._in_order(ask, itertools.chain([first], batches)):
            yield from rows

    def _embed_document(self, batches, output):
        job = None
        for batch in batches:
            if job is None:
                signature = self._signature("stateful", output)
                job = Document(self._model, "stateful", signature, output)
            response = self._call(self._stub.Predict, job.request(batch))
            yield from job.rows(batch, response)

    def _signature(self, name, output):
        if not self._knows(name, output):
            self.metadata()
        return self._pick(name)

    def _in_order(self, ask, batches):
        return in_order(ask, batches, self.concurrency)

    def _call(self, method, request, calls=None):
        run = calls.run if calls else _run
        sleep = calls.sleep if calls else time.sleep
        attempts = Attempts(self.timeout, self.retries)
        while True:
            try:
                return run(method, request, attempts.remaining())
            except grpc.RpcError as error:
                wait = attempts.wait_after(error.code())
                if wait is None or sleep(wait):
                    raise self._model.refusal(error) from error


def _run(method, request, timeout):
    return method(request, timeout=timeout)
