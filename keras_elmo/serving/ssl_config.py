"""Certificates of the server: the stock server's SSLConfig."""

import os

import grpc

from keras_elmo.errors import FormatError
from keras_elmo.serving.text_config import message_class, read_text_config

_MESSAGE = message_class(
    "SSLConfig",
    {
        "server_key": "string",
        "server_cert": "string",
        "custom_ca": "string",
        "client_verify": "bool",
    },
)


def read_ssl_config(path: str | os.PathLike) -> grpc.ServerCredentials:
    """Read the file that the stock server takes as `--ssl_config_file`.

    Args:
        path: A text file with `server_key`, `server_cert`, `custom_ca` (PEM text, not
            paths) and `client_verify`, which asks clients for a certificate too.

    Returns:
        `grpc.ServerCredentials`.

    Raises:
        FormatError: if the file is no such text, or key or certificate are missing.
        OSError: if the file can not be read.

    >>> read_ssl_config("nowhere.pbtxt")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.pbtxt'
    """
    message = read_text_config(path, _MESSAGE)
    needed = ["server_key", "server_cert"]
    if message.client_verify:
        needed.append("custom_ca")  # Or no client's certificate could be checked.
    for name in needed:
        if "-----BEGIN" not in getattr(message, name):
            raise FormatError(
                f"{os.fspath(path)}: {name}: expected PEM text (-----BEGIN ...), found "
                f"{len(getattr(message, name))} other characters."
            )
    return grpc.ssl_server_credentials(
        [(message.server_key.encode(), message.server_cert.encode())],
        root_certificates=message.custom_ca.encode() or None,
        require_client_auth=message.client_verify,
    )
