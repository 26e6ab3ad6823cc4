# SPDX-License-Identifier: Apache-2.0
"""Certificates of every kind a test needs, the Secrets that carry them, and what a TLS peer is
told: `Authority` signs, `Pair` is a chain with its key."""

import base64
import datetime
import functools
import hashlib
import ipaddress
import pathlib
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)


@functools.lru_cache(maxsize=None)
def rsa_key(number=0):
    """Costly to make: shared by all who ask for the same number."""
    return rsa.generate_private_key(65537, 2048)


def new_key(kind="ecdsa"):
    return rsa_key() if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def pem_of_key(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


def named(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def alternative(name):
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Pair:
    def __init__(self, certificate, key, chain=()):
        self.certificate, self.key = certificate, key
        self.pem = "".join(c.public_bytes(serialization.Encoding.PEM).decode()
                           for c in (certificate, *chain))
        self.key_pem = pem_of_key(key)

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def sha256(self):
        return hashlib.sha256(self.der).hexdigest()

    @property
    def spki(self):
        """As `verifyCertificateSpki` takes it."""
        spki = self.key.public_key().public_bytes(serialization.Encoding.DER,
                                                  serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(spki).digest()).decode()

    def load_into(self, context):
        """Python's ssl only reads files."""
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(self.pem + self.key_pem)
            file.flush()
            context.load_cert_chain(file.name)

    def save(self, folder, name="pair"):
        """(certificate file, key file), for programs."""
        folder = pathlib.Path(folder)
        (folder / f"{name}.crt").write_text(self.pem)
        (folder / f"{name}.key").write_text(self.key_pem)
        return folder / f"{name}.crt", folder / f"{name}.key"


class Authority:
    def __init__(self, name="Test Authority"):
        self.name = named(name)
        self.key = new_key()
        self.certificate = (
            self._builder(self.name, self.key, 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False),
                           critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
            .sign(self.key, hashes.SHA256()))
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _builder(self, subject, key, life, begin=None):
        begin = begin or now() - DAY
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(begin).not_valid_after(begin + life))

    def issue(self, *names, kind="ecdsa", key=None, common_name=None, expired=False, ends_in_s=None,
              usage=ExtendedKeyUsageOID.SERVER_AUTH):
        """A leaf for these DNS names, addresses or URIs; the first one is also its common name."""
        key = key or new_key(kind)
        begin = now() - 60 * DAY if expired else None
        if ends_in_s is not None:
            begin = now() - 30 * DAY + datetime.timedelta(seconds=ends_in_s)
        builder = self._builder(named(common_name or names[0]), key, 30 * DAY, begin)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([alternative(n) for n in names]), critical=False)
        builder = (builder
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       self.key.public_key()), critical=False))
        return Pair(builder.sign(self.key, hashes.SHA256()), key)

    def issue_client(self, *names, **options):
        return self.issue(*names, usage=ExtendedKeyUsageOID.CLIENT_AUTH, **options)

    def revoke(self, *pairs):
        """A CRL in PEM that names them."""
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.name)
                   .last_update(now() - DAY).next_update(now() + 30 * DAY))
        for pair in pairs:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(pair.certificate.serial_number)
                .revocation_date(now() - DAY).build())
        crl = builder.sign(self.key, hashes.SHA256())
        return crl.public_bytes(serialization.Encoding.PEM).decode()

    def staple(self, pair):
        """An OCSP response in DER: the certificate is good."""
        return (ocsp.OCSPResponseBuilder()
                .add_response(pair.certificate, self.certificate, hashes.SHA1(),
                              ocsp.OCSPCertStatus.GOOD, now() - DAY, now() + 30 * DAY, None, None)
                .responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate)
                .sign(self.key, hashes.SHA256())
                .public_bytes(serialization.Encoding.DER))

    # -- what peers are told --

    def client_context(self, *alpn, client=None, minimum=None, maximum=None, ciphers=None):
        """A client that trusts this authority alone, and verifies the host's name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pem)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client:
            client.load_into(context)
        if ciphers:
            context.set_ciphers(ciphers)
        if minimum:
            context.minimum_version = minimum
        if maximum:
            context.maximum_version = maximum
        return context

    def server_context(self, pair, *alpn, asks_client=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair.load_into(context)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if asks_client:
            context.load_verify_locations(cadata=self.pem)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def blind_context(*alpn, maximum=None):
    """A client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if maximum:
        context.maximum_version = maximum
    return context


# -- Secrets --

def secret(name, namespace="istio-system", kind="Opaque", **data):
    """Values are texts or bytes; keys are written with `_` for `.`: tls_crt."""
    def encode(value):
        return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()

    return {"apiVersion": "v1", "kind": "Secret", "type": kind,
            "metadata": {"name": name, "namespace": namespace},
            "data": {key.replace("_", "."): encode(value) for key, value in data.items()}}


def tls_secret(name, pair, namespace="istio-system", **more):
    return secret(name, namespace, kind="kubernetes.io/tls", tls_crt=pair.pem, tls_key=pair.key_pem,
                  **more)


def leaf_of(client):
    """The certificate that a client's TLS socket was shown."""
    return x509.load_der_x509_certificate(client.sock.getpeercert(binary_form=True))


def is_shown(client, pair):
    return client.sock.getpeercert(binary_form=True) == pair.der
