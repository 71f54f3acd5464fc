"""What `ElmoClient` and `AsyncElmoClient` are made with."""

import os

from keras_elmo.serving.connection import channel_arguments, check_settings
from keras_elmo.serving.requests import Model
from keras_elmo.serving.sentences import is_raw

MAX_WORDS = 8192  # 32 MiB of float32 at AI2's original width, 1024.


class BaseClient:
    """Settings of a client and what it knows of the model; sends nothing.

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
    """

    def __init__(
        self,
        address: str,
        model_name: str,
        *,
        version: int | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        concurrency: int = 4,
        tls_ca: str | os.PathLike | None = None,
        tls_key: str | os.PathLike | None = None,
        tls_cert: str | os.PathLike | None = None,
        tls_server_name: str | None = None,
    ):
        check_settings(timeout, retries, concurrency)
        self.address = address
        self.model_name = model_name
        self.version = version
        self.timeout = timeout
        self.retries = retries
        self.concurrency = concurrency
        self._model = Model(address, model_name, version)
        self._signatures = {}
        self._credentials, self._options = channel_arguments(
            tls_ca, tls_key, tls_cert, tls_server_name
        )
        self._connect()

    def _connect(self):
        raise NotImplementedError

    def _open(self, grpc_module):
        """A channel of `grpc` or of `grpc.aio`."""
        if self._credentials is None:
            return grpc_module.insecure_channel(self.address, self._options)
        return grpc_module.secure_channel(
            self.address, self._credentials, self._options
        )

    def _knows(self, name, output):
        """Whether the metadata, as last fetched, has a signature with these outputs.

        Where it has not, another version of the model may have come since.
        """
        wanted = {output} if isinstance(output, str) else {*output}
        return name in self._signatures and wanted <= set(
            self._signatures[name]["outputs"]
        )

    def _pick(self, name):
        """A signature's entry in the metadata."""
        if name not in self._signatures:
            raise self._model.error(
                f"expected a signature {name}, found: {', '.join(self._signatures)}"
            )
        return self._signatures[name]


def signature_for(sentence) -> str:
    """The signature that takes sentences of this form.

    >>> signature_for("a cat"), signature_for(["a", "cat"])
    ('default', 'tokens')
    """
    return "default" if is_raw(sentence) else "tokens"
