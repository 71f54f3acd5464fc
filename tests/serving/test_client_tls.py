"""Encryption, and a client that has to prove who it is."""

import asyncio
import shutil
import subprocess

import grpc
import pytest

from keras_elmo.cli import main
from keras_elmo.errors import FormatError
from keras_elmo.serving import ElmoClient, ServingError
from keras_elmo.serving.aio_client import AsyncElmoClient
from tests.serving.toy_service import ToyService, serving

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="certificates are made by openssl"
)
NAME = "elmo.test"  # not the address, which is 127.0.0.1


def make_certificate(folder, name, *, signed_by=None, host=None):
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
    command += ["-subj", f"/CN={name}"]
    if signed_by:
        command += ["-CA", folder / f"{signed_by}.pem"]
        command += ["-CAkey", folder / f"{signed_by}.key"]
    if host:
        command += ["-addext", f"subjectAltName=DNS:{host}"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    make_certificate(folder, "ca")
    make_certificate(folder, "other_ca")
    make_certificate(folder, "server", signed_by="ca", host=NAME)
    make_certificate(folder, "client", signed_by="ca")
    make_certificate(folder, "stranger", signed_by="other_ca")
    return lambda name: folder / name


@pytest.fixture(scope="module", params=["one-sided", "mutual"])
def mutual(request):
    return request.param == "mutual"


@pytest.fixture(scope="module")
def address(pem, mutual):
    credentials = grpc.ssl_server_credentials(
        [(pem("server.key").read_bytes(), pem("server.pem").read_bytes())],
        pem("ca.pem").read_bytes() if mutual else None,
        mutual,
    )
    with serving(ToyService(), credentials) as address:
        yield address


def embed(address, **settings):
    with ElmoClient(address, "toy", retries=0, **settings) as client:
        return client.embed(["a b"])[0].shape


def embed_async(address, **settings):
    async def run():
        async with AsyncElmoClient(address, "toy", retries=0, **settings) as client:
            return (await client.embed(["a b"]))[0].shape

    return asyncio.run(run())


both = pytest.mark.parametrize("ask", [embed, embed_async])


@both
def test_a_known_client_is_answered(address, pem, mutual, ask):
    own = {"tls_key": pem("client.key"), "tls_cert": pem("client.pem")}
    settings = {"tls_ca": pem("ca.pem"), "tls_server_name": NAME}
    assert ask(address, **settings, **own) == (2, 3)
    if mutual:
        with pytest.raises(ServingError, match="UNAVAILABLE"):
            ask(address, **settings)
        own = {"tls_key": pem("stranger.key"), "tls_cert": pem("stranger.pem")}
        with pytest.raises(ServingError, match="UNAVAILABLE"):
            ask(address, **settings, **own)
    else:
        assert ask(address, **settings) == (2, 3)


@both
def test_a_wrong_server_is_not_trusted(address, pem, ask):
    own = {"tls_key": pem("client.key"), "tls_cert": pem("client.pem")}
    for settings in (
        {"tls_ca": pem("other_ca.pem"), "tls_server_name": NAME, **own},
        {"tls_ca": pem("ca.pem"), "tls_server_name": "elmo.elsewhere", **own},
        {"tls_ca": pem("ca.pem"), **own},  # The certificate is not for 127.0.0.1.
        {},
    ):
        with pytest.raises(ServingError, match="UNAVAILABLE"):
            ask(address, **settings)


def test_files_that_do_not_fit_are_named(pem, tmp_path):
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    ca, key, cert = pem("ca.pem"), pem("client.key"), pem("client.pem")
    for kind in (ElmoClient, AsyncElmoClient):
        with pytest.raises(FormatError, match="garbage.pem: expected certificates"):
            kind("127.0.0.1:1", "toy", tls_ca=garbage)
        with pytest.raises(FormatError, match="server.pem, .*client.key: expected a c"):
            kind(
                "127.0.0.1:1", "toy", tls_ca=ca, tls_key=key, tls_cert=pem("server.pem")
            )
        with pytest.raises(FileNotFoundError, match="nowhere"):
            kind("127.0.0.1:1", "toy", tls_ca=tmp_path / "nowhere.pem")
        with pytest.raises(ValueError, match="both or neither, received tls_key alone"):
            kind("127.0.0.1:1", "toy", tls_ca=ca, tls_key=key)
        with pytest.raises(
            ValueError, match="both or neither, received tls_cert alone"
        ):
            kind("127.0.0.1:1", "toy", tls_ca=ca, tls_cert=cert)
        for name in ("tls_key", "tls_cert", "tls_server_name"):
            with pytest.raises(ValueError, match=f"{name}: expected tls_ca"):
                kind("127.0.0.1:1", "toy", **{name: "x"})


def test_an_encrypted_key_is_refused_without_a_question(pem, tmp_path):
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes128", "-passout", "pass:secret"]
    command += ["-in", pem("client.key"), "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(FormatError, match="locked.key: expected .* unencrypted"):
        ElmoClient(
            "127.0.0.1:1",
            "toy",
            tls_ca=pem("ca.pem"),
            tls_key=locked,
            tls_cert=pem("client.pem"),
        )


def test_the_command_asks_by_tls(address, pem, capsys, monkeypatch):
    # Its certificate's name has to be the address's, here that of this computer.
    port = address.rpartition(":")[2]
    files = [f"--tls-ca={pem('ca.pem')}", f"--tls-key={pem('client.key')}"]
    files.append(f"--tls-cert={pem('client.pem')}")
    command = ["query", f"localhost:{port}", "a b", "--model=toy", *files]
    assert main([*command, "--tls-server-name", NAME]) == 0
    assert capsys.readouterr().out.startswith("a b  (2, 3)\n")
    assert main([*command, "--timeout=2"]) == 1
    # UNAVAILABLE, or DEADLINE_EXCEEDED where the last attempt ran out of time.
    assert f"localhost:{port}, model toy: " in capsys.readouterr().err
