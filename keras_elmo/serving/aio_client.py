"""The client for asyncio: what `ElmoClient` does, in coroutines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
import numpy as np
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from keras_elmo.serving.base_client import MAX_WORDS, BaseClient, signature_for
from keras_elmo.serving.connection import Attempts, Readiness
from keras_elmo.serving.embedding import Document, Embedding, check_outputs
from keras_elmo.serving.in_flight import in_order_async
from keras_elmo.serving.requests import read_metadata, read_statuses
from keras_elmo.serving.sentences import Splitter, check_sentences, split_async
from keras_elmo.serving.tensors import decode


class AsyncElmoClient(BaseClient):
    """Ask a model server for vectors without blocking the event loop.

    All is as with `ElmoClient`, whose docstrings say more; sentences may come from an
    asynchronous iterable, too. A client belongs to the loop in which it is first used.

    Args:
        address: As all the others, as with `ElmoClient`.

    Example:

    >>> async def main():
    ...     async with AsyncElmoClient(server.address, "elmo_tiny_en") as client:
    ...         return await client.embed(["The cat sat .", "Hello"])
    >>> [vectors.shape for vectors in asyncio.run(main())]
    [(4, 32), (1, 32)]
    """

    async def predict(
        self, inputs: dict, signature_name: str = "", outputs=()
    ) -> dict[str, np.ndarray]:
        """As `ElmoClient.predict`.

        Args:
            inputs: Arrays or nested lists by input name.
            signature_name: Empty means `serving_default`.
            outputs: Names of the outputs to return; empty means all.

        Returns:
            dict of NumPy arrays by output name; strings are `bytes`.

        Raises:
            ServingError: if the server is away or refuses the request.
            ValueError: if an input is no array.
        """
        request = self._model.predict_request(inputs, signature_name, outputs)
        response = await self._call("Predict", request)
        return {name: decode(proto) for name, proto in response.outputs.items()}

    async def embed(
        self,
        sentences,
        output="elmo",
        *,
        signature: str | None = None,
        batch_size: int = 64,
        max_words: int = MAX_WORDS,
    ) -> list:
        """As `ElmoClient.embed`.

        Args:
            sentences: Iterable, or asynchronous one, of str, or of lists of words.
            output: Which output to return; or a list of names.
            signature: The signature to ask; by default `tokens` for words, `default`
                for str.
            batch_size: Most sentences in one request.
            max_words: Most words in one request, padding included.

        Returns:
            List with one array, or one dict of arrays, for each sentence.

        Raises:
            ServingError: if the server is away or refuses a request.
            ValueError: if `sentences` is neither of the two kinds of list.
        """
        rows = self.embed_iter(
            sentences,
            output,
            signature=signature,
            batch_size=batch_size,
            max_words=max_words,
        )
        return [row async for row in rows]

    def embed_iter(
        self,
        sentences,
        output="elmo",
        *,
        signature: str | None = None,
        batch_size: int = 64,
        max_words: int = MAX_WORDS,
    ) -> AsyncIterator:
        """As `ElmoClient.embed_iter`; an asynchronous generator.

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
        """
        check_sentences(sentences, also_async=True)
        check_outputs(output)
        batches = split_async(sentences, Splitter(batch_size, max_words))
        return self._embed(batches, output, signature)

    async def embed_document(self, sentences, output="elmo") -> list:
        """As `ElmoClient.embed_document`.

        Args:
            sentences: Iterable, or asynchronous one, of lists of words, or of str.
            output: Which output to return; or a list of names.

        Returns:
            As `embed`.

        Raises:
            ServingError: if the server is away or refuses a request, or the model has
                no signature `stateful`.
            ValueError: if `sentences` is neither of the two kinds of list.
        """
        return [row async for row in self.embed_document_iter(sentences, output)]

    def embed_document_iter(self, sentences, output="elmo") -> AsyncIterator:
        """As `ElmoClient.embed_document_iter`; an asynchronous generator.

        Args:
            sentences: As in `embed_document`.
            output: As in `embed_document`.

        Yields:
            What `embed_document` has in its list.

        Raises:
            ServingError: as in `embed_document`.
            ValueError: as in `embed_document`.
        """
        check_sentences(sentences, also_async=True)
        check_outputs(output)
        return self._embed_document(split_async(sentences, Splitter(1, 1)), output)

    async def classify(
        self, sentences, *, signature: str = "classify", batch_size: int = 64
    ) -> list[list[tuple[str, float]]]:
        """As `ElmoClient.classify`.

        Args:
            sentences: Iterable, or asynchronous one, of lists of words, or of str.
            signature: The signature to ask.
            batch_size: Most sentences in one request.

        Returns:
            For each sentence a list of `(label, score)`.

        Raises:
            ServingError: if the server is away or refuses a request.
            ValueError: if `sentences` is neither of the two kinds of list.
        """
        check_sentences(sentences, also_async=True)

        async def ask(batch):
            request = self._model.classify_request(batch, signature)
            response = await self._call("Classify", request)
            return self._model.read_classes(batch, response)

        batches = split_async(sentences, Splitter(batch_size, MAX_WORDS))
        return [pairs async for rows in self._in_order(ask, batches) for pairs in rows]

    async def regress(
        self, sentences, *, signature: str = "regress", batch_size: int = 64
    ) -> np.ndarray:
        """As `ElmoClient.regress`.

        Args:
            sentences: Iterable, or asynchronous one, of lists of words, or of str.
            signature: The signature to ask.
            batch_size: Most sentences in one request.

        Returns:
            float32 array `(sentences,)`.

        Raises:
            ServingError: if the server is away or refuses a request.
            ValueError: if `sentences` is neither of the two kinds of list.
        """
        check_sentences(sentences, also_async=True)

        async def ask(batch):
            request = self._model.regress_request(batch, signature)
            response = await self._call("Regress", request)
            return self._model.read_values(batch, response)

        batches = split_async(sentences, Splitter(batch_size, MAX_WORDS))
        values = [x async for rows in self._in_order(ask, batches) for x in rows]
        return np.array(values, np.float32)

    async def metadata(self) -> dict:
        """As `ElmoClient.metadata`.

        Returns:
            dict: the inputs and outputs of each signature.

        Raises:
            ServingError: if the server is away or does not have the model.
        """
        request = self._model.metadata_request()
        response = await self._call("GetModelMetadata", request)
        self._signatures = read_metadata(response)
        return self._signatures

    async def status(self) -> list[dict]:
        """As `ElmoClient.status`.

        Returns:
            list of `{"version": int, "state": str, "error": str}`.

        Raises:
            ServingError: if the server is away or does not know the model.
        """
        request = self._model.status_request()
        return read_statuses(await self._call("GetModelStatus", request))

    async def wait_until_ready(self, timeout: float = 60.0) -> int:
        """As `ElmoClient.wait_until_ready`.

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
            method = self._method("GetModelStatus")
            try:
                response = await method(request, timeout=readiness.remaining())
            except grpc.RpcError as error:
                readiness.failed(error)
            else:
                version = readiness.answered(read_statuses(response))
                if version is not None:
                    return version
            await asyncio.sleep(readiness.next_wait())

    async def close(self):
        """Close the connection."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.close()

    def _connect(self):
        self._channel = None  # Made where a loop runs, for it belongs to that loop.

    async def _embed(self, batches, output, signature):
        first = await anext(batches, None)
        if first is None:
            return
        name = signature or signature_for(first[0])
        entry = await self._signature(name, output)
        job = Embedding(self._model, name, entry, output)

        async def ask(batch):
            return job.rows(batch, await self._call("Predict", job.request(batch)))

        # Closed with this generator, and not some time later.
        async with aclosing(self._in_order(ask, _chain(first, batches))) as answers:
            async for rows in answers:
                for row in rows:
                    yield row

    async def _embed_document(self, batches, output):
        job = None
        async for batch in batches:
            if job is None:
                signature = await self._signature("stateful", output)
                job = Document(self._model, "stateful", signature, output)
            response = await self._call("Predict", job.request(batch))
            for row in job.rows(batch, response):
                yield row

    async def _signature(self, name, output):
        if not self._knows(name, output):
            await self.metadata()
        return self._pick(name)

    def _in_order(self, ask, batches):
        return in_order_async(ask, batches, self.concurrency)

    async def _call(self, name, request):
        method = self._method(name)
        attempts = Attempts(self.timeout, self.retries)
        while True:
            try:
                return await method(request, timeout=attempts.remaining())
            except grpc.RpcError as error:
                wait = attempts.wait_after(error.code())
                if wait is None:
                    raise self._model.refusal(error) from error
            await asyncio.sleep(wait)

    def _method(self, name):
        """A method of one of the services."""
        if self._channel is None:
            self._channel = channel = self._open(grpc.aio)
            self._stubs = (
                prediction_service_pb2_grpc.PredictionServiceStub(channel),
                model_service_pb2_grpc.ModelServiceStub(channel),
            )
        return getattr(self._stubs[name == "GetModelStatus"], name)


async def _chain(first, batches):
    yield first
    async for batch in batches:
        yield batch
