"""Load on a model server: requests in a closed or an open loop, and a report."""

import asyncio
import collections
import itertools
import os
import time
from collections.abc import Sequence

import grpc
import numpy as np
from tensorflow_serving.apis import predict_pb2

from keras_elmo.serving.connection import ServingError, channel_arguments
from keras_elmo.serving.load_report import LoadReport
from keras_elmo.serving.tensors import encode

_METHOD = "/tensorflow.serving.PredictionService/Predict"


def run_load(
    address: str,
    model_name: str,
    sentences: Sequence[str],
    *,
    signature_name: str = "default",
    outputs: Sequence[str] = ("elmo",),
    version: int | None = None,
    batch: int = 1,
    concurrency: int | None = None,
    rate: float | None = None,
    duration: float | None = None,
    requests: int | None = None,
    warmup: int = 1,
    timeout: float = 60.0,
    tls_ca: str | os.PathLike | None = None,
    tls_key: str | os.PathLike | None = None,
    tls_cert: str | os.PathLike | None = None,
) -> LoadReport:
    """Send Predict requests to a model server, and measure its answers.

    Closed loop: so many requests are in flight, a new one as soon as one is answered.
    Open loop: a request is due every `1 / rate` seconds, whatever became of those
    before it, and its latency counts from then: a server that stalls is charged for
    all who would have waited. Replies are received whole but not decoded, for client
    and server often share a processor.

    Args:
        address: `"HOST:PORT"` of the server's gRPC port.
        model_name: Name under which the server has the model.
        sentences: Sentences, words parted by white space; taken in order, again from
            the first after the last.
        signature_name: `"default"` or `"serving_default"`, which take strings, or
            `"tokens"`.
        outputs: Names of the outputs to ask for; empty means all.
        version: int, or None for the version that the server thinks newest.
        batch: Number of sentences in one request.
        concurrency: Requests in flight; closed loop. 1 unless a rate is given.
        rate: Requests a second; open loop.
        duration: Seconds in which requests are sent; those in flight are awaited.
        requests: Number of requests; where both are given, the first to end it does.
        warmup: Requests that are sent before and not counted.
        timeout: Deadline of each request in seconds; also of connecting.
        tls_ca: PEM file with the certificates to trust; makes it TLS.
        tls_key: PEM file with the client's key, where the server asks for one.
        tls_cert: PEM file with its certificate.

    Returns:
        A `LoadReport`. Failed requests are counted in it by code, none is sent twice.

    Raises:
        ServingError: if no connection is made.
        OSError: if a file can not be read.
        ValueError: if an argument is of no use.

    >>> report = run_load(
    ...     server.address, server.model_name, ["The cat sat ."], requests=5
    ... )
    >>> report.answered, report.sentences, report.tokens, report.errors
    (5, 5, 20, {})
    """
    if concurrency is None and rate is None:
        concurrency = 1
    _check(sentences, batch, concurrency, rate, duration, requests, timeout)
    payloads = _payloads(sentences, batch, model_name, version, signature_name, outputs)
    settings = channel_arguments(tls_ca, tls_key, tls_cert, None)
    load = _Load(payloads, timeout)
    asyncio.run(
        load.run(address, settings, warmup, concurrency, rate, duration, requests)
    )
    order = np.argsort(load.started, kind="stable")
    return LoadReport(
        setup={
            "address": address,
            "model": model_name,
            "signature": signature_name,
            "outputs": ",".join(outputs) or "all",
            "batch": batch,
            **({"rate": rate} if rate else {"concurrency": concurrency}),
        },
        seconds=load.seconds,
        answered=len(load.started),
        sentences=load.sentences,
        tokens=load.tokens,
        reply_bytes=load.reply_bytes,
        started_s=np.array(load.started)[order],
        latency_ms=1000 * np.array(load.latency)[order],
        errors=dict(load.errors),
    )


class _Load:
    """One run: its requests, and what has come of them so far."""

    def __init__(self, payloads, timeout):
        self.payloads = payloads
        self.timeout = timeout
        self._forget()

    def _forget(self):
        self.started, self.latency = [], []
        self.sentences = self.tokens = self.reply_bytes = 0
        self.errors = collections.Counter()
        self.seconds = 0.0

    async def run(
        self, address, settings, warmup, concurrency, rate, duration, requests
    ):
        credentials, options = settings
        if credentials is None:
            channel = grpc.aio.insecure_channel(address, options=options)
        else:
            channel = grpc.aio.secure_channel(address, credentials, options=options)
        async with channel:
            try:
                await asyncio.wait_for(channel.channel_ready(), self.timeout)
            except TimeoutError as error:
                raise ServingError(
                    f"{address}: no connection within {self.timeout} s.",
                    grpc.StatusCode.UNAVAILABLE,
                ) from error
            # Without a (de)serializer, bytes go out and come in as they are.
            call = channel.unary_unary(_METHOD)
            if warmup:
                await self._closed_loop(call, concurrency or 1, None, warmup)
                self._forget()
            if rate is None:
                await self._closed_loop(call, concurrency, duration, requests)
            else:
                await self._open_loop(call, rate, duration, requests)

    async def _closed_loop(self, call, concurrency, duration, requests):
        begin = time.perf_counter()
        numbers = iter(range(requests)) if requests else itertools.count()

        async def keep_one_in_flight():
            for number in numbers:
                now = time.perf_counter()
                if duration is not None and now - begin >= duration:
                    return
                await self._send(call, number, now, begin)

        await asyncio.gather(*(keep_one_in_flight() for _ in range(concurrency)))
        self.seconds = time.perf_counter() - begin

    async def _open_loop(self, call, rate, duration, requests):
        begin = time.perf_counter()
        in_flight = set()
        for number in range(requests) if requests else itertools.count():
            if duration is not None and number / rate >= duration:
                break
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self._send(call, number, due, begin))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
        await asyncio.gather(*in_flight)
        self.seconds = time.perf_counter() - begin

    async def _send(self, call, number, due, begin):
        payload, sentences, tokens = self.payloads[number % len(self.payloads)]
        try:
            reply = await call(payload, timeout=self.timeout)
        except grpc.aio.AioRpcError as error:
            self.errors[error.code().name] += 1
            return
        self.started.append(due - begin)
        self.latency.append(time.perf_counter() - due)
        self.sentences += sentences
        self.tokens += tokens
        self.reply_bytes += len(reply)


def _check(sentences, batch, concurrency, rate, duration, requests, timeout):
    if isinstance(sentences, str | bytes) or not len(sentences):
        raise ValueError("run_load: expected a list of sentences, received none.")
    if concurrency is not None and rate is not None:
        raise ValueError("run_load: expected a concurrency or a rate, received both.")
    if duration is None and requests is None:
        raise ValueError("run_load: expected a duration or a number of requests.")
    sizes = {"batch": batch, "concurrency": concurrency, "requests": requests}
    for name, value in sizes.items():
        if value is not None and value < 1:
            raise ValueError(f"run_load: expected {name} >= 1, received {value}.")
    times = {"rate": rate, "duration": duration, "timeout": timeout}
    for name, value in times.items():
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"run_load: expected {name} > 0, received {value}.")


def _payloads(sentences, batch, model_name, version, signature_name, outputs):
    """All requests, each as bytes, with its number of sentences and of words."""
    if signature_name not in ("default", "serving_default", "tokens"):
        raise ValueError(
            "run_load: expected the signature default, serving_default or tokens, "
            f"received {signature_name}."
        )
    payloads = []
    for start in range(0, len(sentences), batch):
        rows = sentences[start : start + batch]
        words = [sentence.split() for sentence in rows]
        lengths = [len(row) for row in words]
        if signature_name == "tokens":
            time = max(1, *lengths)  # No server takes a tensor without elements.
            padded = [row + [""] * (time - len(row)) for row in words]  # (B, T)
            inputs = {"tokens": padded, "sequence_len": lengths}
        else:
            inputs = {"strings": list(rows)}
        request = predict_pb2.PredictRequest(
            inputs={name: encode(values) for name, values in inputs.items()},
            output_filter=outputs,
        )
        request.model_spec.name = model_name
        request.model_spec.signature_name = signature_name
        if version is not None:
            request.model_spec.version.value = version
        payloads.append((request.SerializeToString(), len(rows), sum(lengths)))
    return payloads
