# SPDX-License-Identifier: Apache-2.0
"""Client certificates: asked for, verified, pinned, revoked, and told to the upstream."""

import re
import ssl
import urllib.parse

import pytest
from harness.certificates import Authority, blind_context, secret, tls_secret
from harness.manifests import (documents, gateway_of, ingress, path, route, server, service,
                               virtual_service)

REFUSED = (ssl.SSLError, ConnectionResetError, EOFError)
SPIFFE = "spiffe://cluster.local/ns/shop/sa/web"


class Site:
    """One server with these TLS settings; `cert` is its Secret, `cert-cacert` its authority's."""

    def __init__(self, gateway, upstream, authority, pair, cacert=None, **tls):
        self.authority = authority
        self.backend = upstream()
        self.served = gateway(documents(
            service("test", self.backend), tls_secret("cert", pair),
            secret("cert-cacert", **(cacert or {"ca_crt": authority.pem})),
            gateway_of("gateway", server("test.example", tls={
                "mode": "MUTUAL", "credentialName": "cert", **tls})),
            virtual_service("test", "test.example", route("test"))), ports=(443,))

    def ask(self, client=None, headers=(), **options):
        """Status, or None where the handshake is refused."""
        context = self.authority.client_context(client=client, **options)
        try:
            with self.served.tls_client(context) as connection:
                return connection.request("GET", "/", headers=headers).status
        except REFUSED:
            return None


@pytest.fixture
def site(gateway, upstream, authority, pair):
    return lambda **tls: Site(gateway, upstream, authority, pair, **tls)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_mutual_needs_a_certificate_of_the_authority(site, authority, version):
    one = site(mode="MUTUAL")
    options = {"minimum": version, "maximum": version}
    assert one.ask(authority.issue_client("me"), **options) == 200
    assert one.ask(**options) is None
    assert one.ask(Authority("Foreign").issue_client("me"), **options) is None
    assert one.ask(authority.issue_client("me", expired=True), **options) is None
    assert one.ask(authority.issue("me"), **options) is None  # one for servers


def test_optional_mutual_takes_none_but_no_wrong_one(site, authority):
    one = site(mode="OPTIONAL_MUTUAL")
    assert one.ask(authority.issue_client("me")) == 200
    assert one.ask() == 200
    assert one.ask(Authority("Foreign").issue_client("me")) is None


def test_simple_asks_for_none(site, authority):
    one = site(mode="SIMPLE")
    assert one.ask() == 200
    assert one.ask(Authority("Foreign").issue_client("me")) == 200  # is never sent


def test_the_authority_may_lie_in_the_secret_itself(gateway, upstream, authority, pair):
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", pair, ca_crt=authority.pem),
        gateway_of("gateway", server("test.example", tls={
            "mode": "MUTUAL", "credentialName": "cert"})),
        virtual_service("test", "test.example", route("test"))), ports=(443,))
    with served.tls_client(authority.client_context(client=authority.issue_client("me"))) as client:
        assert client.request("GET", "/").status == 200
    with pytest.raises(REFUSED), served.tls_client(authority.client_context()) as client:
        client.request("GET", "/")


def test_files_may_take_the_place_of_secrets(gateway, upstream, authority, pair, tmp_path):
    certificate, key = pair.save(tmp_path)
    (tmp_path / "ca.crt").write_text(authority.pem)
    served = gateway(documents(
        service("test", upstream()),
        gateway_of("gateway", server("test.example", tls={
            "mode": "MUTUAL", "serverCertificate": str(certificate), "privateKey": str(key),
            "caCertificates": str(tmp_path / "ca.crt")})),
        virtual_service("test", "test.example", route("test"))), ports=(443,))
    with served.tls_client(authority.client_context(client=authority.issue_client("me"))) as client:
        assert client.request("GET", "/").status == 200
    with pytest.raises(REFUSED), served.tls_client(authority.client_context()) as client:
        client.request("GET", "/")


@pytest.mark.parametrize("names, is_let_in", [
    ((SPIFFE,), True), (("web.shop.example",), True), (("x.example", SPIFFE), True),
    ((SPIFFE + "x",), False), (("shop.example",), False), (("10.0.0.1",), False)])
def test_subject_alt_names_are_a_list_of_who_may_enter(site, authority, names, is_let_in):
    one = site(subjectAltNames=[SPIFFE, "web.shop.example"])
    assert one.ask(authority.issue_client(*names)) == (200 if is_let_in else None)


def test_pins(site, authority):
    mine, other = authority.issue_client("me"), authority.issue_client("me")
    colons = ":".join(re.findall("..", mine.sha256.upper()))
    for pins in ({"verifyCertificateSpki": [mine.spki]}, {"verifyCertificateHash": [mine.sha256]},
                 {"verifyCertificateHash": [colons]},
                 {"verifyCertificateSpki": [other.spki], "verifyCertificateHash": [mine.sha256]}):
        one = site(**pins)
        assert one.ask(mine) == 200, pins
        assert one.ask(authority.issue_client("else")) is None, pins


def test_a_revoked_certificate_is_refused(site, authority):
    good, revoked = authority.issue_client("good"), authority.issue_client("revoked")
    one = site(cacert={"ca_crt": authority.pem, "ca_crl": authority.revoke(revoked)})
    assert one.ask(good) == 200
    assert one.ask(revoked) is None


def test_no_session_brings_in_who_has_no_certificate(site, authority):
    """A ticket of a server without client certificates is worth nothing at one with them."""
    one = site(mode="MUTUAL")
    context = authority.client_context(maximum=ssl.TLSVersion.TLSv1_2,
                                       client=authority.issue_client("me"))
    with one.served.tls_client(context) as client:
        assert client.request("GET", "/").status == 200
        session = client.sock.session
    with one.served.tls_client(context, session=session) as client:
        assert client.request("GET", "/").status == 200


# -- what the upstream is told --

def xfcc(one, *args, **options):
    assert one.ask(*args, **options) == 200
    return one.backend.next_request().all("x-forwarded-client-cert")


def test_the_upstream_is_told_who_was_verified(site, authority):
    one = site(mode="OPTIONAL_MUTUAL")
    me = authority.issue_client(SPIFFE, "web.shop.example", common_name="web")
    (value,) = xfcc(one, me)
    parts = dict(part.split("=", 1) for part in re.findall(r'(?:[^;"]|"[^"]*")+', value))
    assert parts["Hash"] == me.sha256
    assert parts["Subject"] == '"CN=web"'
    assert parts["URI"] == SPIFFE
    assert parts["DNS"] == "web.shop.example"
    if "Cert" in parts:
        assert urllib.parse.unquote(parts["Cert"].strip('"')).strip() == me.pem.strip()


def test_what_a_client_claims_to_be_is_dropped(site, authority):
    one = site(mode="OPTIONAL_MUTUAL")
    forged = [("X-Forwarded-Client-Cert", f"Hash=00;URI={SPIFFE}")]
    assert xfcc(one, headers=forged) == []
    (value,) = xfcc(one, authority.issue_client("me"), headers=forged)
    assert SPIFFE not in value


# -- ingress-nginx --

def ingress_site(gateway, upstream, pair, authority, **annotations):
    backend = upstream()
    served = gateway(documents(
        service("test", backend), tls_secret("cert", pair, "default"),
        secret("clients", "default", ca_crt=authority.pem),
        ingress("test", ("test.example", path("/", "test")),
                tls=[{"hosts": ["test.example"], "secretName": "cert"}],
                annotations={"auth-tls-secret": "default/clients",
                             **{k.replace("_", "-"): v for k, v in annotations.items()}})),
        ports=(80, 443))
    return served, backend


def ingress_ask(served, authority, client=None, headers=()):
    with served.tls_client(authority.client_context(client=client)) as connection:
        return connection.request("GET", "/", headers=headers)


def test_auth_tls_lets_in_whom_its_authority_signed(gateway, upstream, authority, pair):
    served, backend = ingress_site(gateway, upstream, pair, authority)
    me = authority.issue_client("me.example", common_name="me")
    forged = [("ssl-client-verify", "SUCCESS"), ("ssl-client-subject-dn", "CN=root"),
              ("SSL_Client_Subject_DN", "CN=root"), ("ssl-client_cert", "x"),
              ("x_forwarded_client_cert", "Hash=x"), ("x_real_ip", "10.0.0.1"), ("my_own", "stays")]
    assert ingress_ask(served, authority, me, forged).status == 200
    request = backend.next_request()
    assert request.all("ssl-client-verify") == ["SUCCESS"]
    assert request.all("ssl-client-subject-dn") == ["CN=me"]
    assert request.all("ssl-client-issuer-dn") == ["CN=Test Authority"]
    assert request.all("ssl-client-cert") == []
    names = [name for name, _ in request.headers if "_" in name]
    assert names == ["my_own"]
    for stranger in (None, Authority("Foreign").issue_client("me")):
        with pytest.raises(REFUSED):
            ingress_ask(served, authority, stranger)


def test_auth_tls_optional(gateway, upstream, authority, pair):
    served, backend = ingress_site(gateway, upstream, pair, authority,
                                   auth_tls_verify_client="optional",
                                   auth_tls_pass_certificate_to_upstream="true")
    me = authority.issue_client("me.example")
    assert ingress_ask(served, authority, me).status == 200
    request = backend.next_request()
    assert urllib.parse.unquote(request.get("ssl-client-cert")).strip() == me.pem.strip()
    assert ingress_ask(served, authority).status == 200
    assert backend.next_request().all("ssl-client-verify") == ["NONE"]
    with pytest.raises(REFUSED):
        ingress_ask(served, authority, Authority("Foreign").issue_client("me"))


def test_auth_tls_optional_no_ca_tells_and_lets_all_in(gateway, upstream, authority, pair):
    served, backend = ingress_site(gateway, upstream, pair, authority,
                                   auth_tls_verify_client="optional_no_ca")
    assert ingress_ask(served, authority, Authority("Foreign").issue_client("me")).status == 200
    assert backend.next_request().get("ssl-client-verify").startswith("FAILED")


def test_auth_tls_without_its_secret_refuses_all(gateway, upstream, authority, pair):
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", pair, "default"),
        ingress("test", ("test.example", path("/", "test")),
                tls=[{"hosts": ["test.example"], "secretName": "cert"}],
                annotations={"auth-tls-secret": "default/missing"})), ports=(80, 443))
    served.expected_errors = [r"all\.yaml"]
    with served.tls_client(blind_context()) as client:
        assert client.request("GET", "/").status == 403
