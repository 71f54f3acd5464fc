"""What both clients need to reach a server: options, TLS, errors, the retry rule."""

import os
import random
import ssl
import time

import grpc

from keras_elmo.errors import FormatError

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # gRPC's own limit is 4 MiB.
    ("grpc.max_send_message_length", -1),
    # gRPC itself waits a second before it connects anew, longer than our first retry.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
)
_FIRST_WAIT = 0.1
_LONGEST_WAIT = 5.0


class ServingError(OSError):
    """A model server did not answer, or answered with an error.

    Args:
        message: str. Address, model and what went wrong, in one line.
        code: `grpc.StatusCode`, or None where the answer itself is wrong.
        details: str. The server's own text.

    >>> ServingError("127.0.0.1:8500: down", grpc.StatusCode.UNAVAILABLE).code.name
    'UNAVAILABLE'
    """

    def __init__(self, message: str, code=None, details: str = ""):
        super().__init__(message)
        self.code = code
        self.details = details


class Attempts:
    """When to send one request again: after UNAVAILABLE, for as long as there is time.

    UNAVAILABLE means a full queue or a server that starts or stops; any other refusal
    would come again. The waits double, from 0.1 to 5 seconds, and are shortened at
    random by up to a half, lest all clients of a server come back at the same time.

    Args:
        timeout: Seconds for the request in all, waits and further attempts included.
        retries: Most attempts after the first.

    >>> Attempts(timeout=60, retries=0).wait_after(grpc.StatusCode.UNAVAILABLE)
    """

    def __init__(self, timeout: float, retries: int):
        self._end = time.monotonic() + timeout
        self._retries = retries
        self._wait = _FIRST_WAIT

    def remaining(self) -> float:
        """Seconds that are left, which may be none."""
        return max(0.0, self._end - time.monotonic())

    def wait_after(self, code) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        Args:
            code: `grpc.StatusCode` of the attempt that failed.

        >>> 0.05 <= Attempts(60, 1).wait_after(grpc.StatusCode.UNAVAILABLE) <= 0.1
        True
        """
        wait = self._wait * random.uniform(0.5, 1.0)
        if (
            code != grpc.StatusCode.UNAVAILABLE
            or self._retries < 1
            or wait >= self.remaining()
        ):
            return None
        self._retries -= 1
        self._wait = min(2 * self._wait, _LONGEST_WAIT)
        return wait


class Readiness:
    """What to make of the answers while a server is waited for.

    Args:
        model: `keras_elmo.serving.requests.Model`.
        timeout: Seconds in all.
    """

    # No server yet, no such model yet, a server that is too busy to say.
    _NOT_YET = (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )

    def __init__(self, model, timeout: float):
        check_settings(timeout, 0, 1)
        self._model = model
        self._timeout = timeout
        self._end = time.monotonic() + timeout
        self._wait = 0.05
        self._error = None
        self._found = None

    def remaining(self) -> float:
        """Seconds that are left, which may be none."""
        return max(0.0, self._end - time.monotonic())

    def failed(self, rpc_error):
        """Take an error; raises it where waiting does not help."""
        late = rpc_error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        if late and self._found is not None:
            return  # for the last question there was no time; what came before counts
        self._error = self._model.refusal(rpc_error)
        self._found = f"{rpc_error.code().name}: {rpc_error.details()}"
        if rpc_error.code() not in self._NOT_YET:
            raise self._error

    def answered(self, statuses: list[dict]) -> int | None:
        """Take the model's versions; returns the one that is ready, or None."""
        self._error = None
        self._found = ", ".join(
            f"version {s['version']} {s['state']}{s['error'] and ': ' + s['error']}"
            for s in statuses
        )
        return self._model.ready_version(statuses)

    def next_wait(self) -> float:
        """Seconds to wait; raises `ServingError` where no time is left."""
        if self.remaining() == 0:
            code = self._error and self._error.code
            raise self._model.error(
                f"expected a version AVAILABLE within {self._timeout:g} s, found: "
                f"{self._found or 'no answer'}",
                code,
            )
        wait = min(self._wait, self.remaining())
        self._wait = min(2 * self._wait, 1.0)
        return wait


def channel_arguments(tls_ca, tls_key, tls_cert, tls_server_name):
    """Credentials and options of a channel.

    Args:
        tls_ca: PEM file with the certificates to trust; None: no encryption.
        tls_key: PEM file with the client's private key, for mutual TLS.
        tls_cert: PEM file with the client's certificate.
        tls_server_name: The name in the server's certificate, where it is not the
            address's.

    Returns:
        `grpc.ChannelCredentials` or None, and a list of options.

    Raises:
        FormatError: if a file does not hold what it should.
        OSError: if it can not be read.
        ValueError: if key and certificate, or the trusted certificates, are missing.

    >>> channel_arguments(None, None, None, None)[0]
    """
    options = list(_OPTIONS)
    if tls_ca is None:
        given = {"key": tls_key, "cert": tls_cert, "server_name": tls_server_name}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"tls_{name}: expected tls_ca, the certificates to trust, beside "
                    "it, received none."
                )
        return None, options
    if (tls_key is None) != (tls_cert is None):
        raise ValueError(
            "tls_key, tls_cert: expected both or neither, received "
            f"{'tls_cert' if tls_key is None else 'tls_key'} alone."
        )
    if tls_server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls_server_name))
    # gRPC takes whatever it gets and then fails to connect, without saying why.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca, key, cert = (_read(path) for path in (tls_ca, tls_key, tls_cert))
    try:
        context.load_verify_locations(tls_ca)
    except ssl.SSLError as error:
        raise FormatError(
            f"{os.fspath(tls_ca)}: expected certificates in PEM, found: {error}."
        ) from error
    if tls_key is not None:
        try:
            context.load_cert_chain(tls_cert, tls_key, password="")
        except ssl.SSLError as error:
            raise FormatError(
                f"{os.fspath(tls_cert)}, {os.fspath(tls_key)}: expected a certificate "
                f"and its key, unencrypted, in PEM, found: {error}."
            ) from error
    return grpc.ssl_channel_credentials(ca, key, cert), options


def _read(path):
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def check_settings(timeout, retries, concurrency):
    """Refuse settings of a client that make no sense.

    Args:
        timeout: Seconds, a number > 0.
        retries: int >= 0.
        concurrency: int >= 1.

    Raises:
        ValueError: naming the argument, expected and received.

    >>> check_settings(60.0, 5, 4)
    """
    if not timeout > 0:
        raise ValueError(f"timeout: expected a number > 0, received {timeout!r}.")
    for name, value, least in (
        ("retries", retries, 0),
        ("concurrency", concurrency, 1),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name}: expected an int >= {least}, received {value!r}.")
