"""Makes the certificates of the tests: an authority, a server and a client under it.

Run by hand, with the package `cryptography`. They hold from 2020 to 2120, so that no
clock is ahead or behind.
"""

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HERE = pathlib.Path(__file__).parent


def named(name):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def certificate(name, key, issuer, issuer_key, *extensions):
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2120, 1, 1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    made = builder.sign(issuer_key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def main():
    authority, authority_key = "keras_elmo tests", ec.generate_private_key(ec.SECP256R1())
    basic = x509.BasicConstraints(ca=True, path_length=None), True
    own = certificate(authority, authority_key, authority, authority_key, basic)
    (HERE / "ca.pem").write_bytes(own)
    here = [x509.DNSName("localhost")]
    here.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(here), False
        signed = certificate(name, key, authority, authority_key, names)
        (HERE / f"{name}.pem").write_bytes(signed)
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (HERE / f"{name}.key").write_bytes(text)


if __name__ == "__main__":
    main()
