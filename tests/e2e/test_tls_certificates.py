# SPDX-License-Identifier: Apache-2.0
"""Certificates: which one a name is shown, what becomes of broken ones, and of changed ones."""

import ssl
import subprocess
import threading

import pytest
from harness.certificates import Authority, blind_context, is_shown, leaf_of, secret, tls_secret
from harness.manifests import (documents, gateway_of, https_route, ingress, path, route, server,
                               service, simple, virtual_service)
from harness.patience import DEADLINE_S, wait_until
from harness.upstream import answering

HTTPS = {"ports": (80, 443)}
REFUSED = (ssl.SSLError, ConnectionResetError, EOFError)


def ask(served, context, sni="test.example", host=None, target="/"):
    with served.tls_client(context, sni) as client:
        return client.request("GET", target, host=host or sni)


def common_name(served, sni, **options):
    with served.tls_client(blind_context(**options), sni) as client:
        return leaf_of(client).subject.rfc4514_string()


def is_refused(served, context, sni="test.example"):
    """A TLS 1.3 client learns of the refusal with the first answer."""
    try:
        with served.tls_client(context, sni) as client:
            client.send_head("GET", "/", host=sni)
            answer = client.read_response()
    except REFUSED:
        return True
    raise AssertionError(answer)


# -- by name --

def test_a_request_over_tls_is_served(gateway, upstream, authority, pair):
    backend = upstream()
    served = gateway(https_route(backend, pair=pair), **HTTPS)
    for version, word in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        context = authority.client_context("http/1.1", minimum=version, maximum=version)
        with served.tls_client(context) as client:
            assert client.sock.version() == word and client.alpn == "http/1.1"
            for _ in range(3):
                assert client.request("GET", "/").status == 200
                assert backend.next_request().get("x-forwarded-proto") == "https"
    assert served.get("/").status == 200
    assert backend.next_request().get("x-forwarded-proto") == "http"


def test_alpn_prefers_h2_and_takes_what_the_client_can(gateway, upstream, authority, pair):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    for offered, chosen in ((("h2", "http/1.1"), "h2"), (("http/1.1", "h2"), "h2"),
                            (("http/1.1",), "http/1.1"), ((), None)):
        with served.tls_client(authority.client_context(*offered)) as client:
            assert client.alpn == chosen, offered


def test_the_name_chooses_the_certificate(gateway, upstream, authority):
    names = {"exact": "a.example", "wild": "*.b.example", "deeper": "*.deep.b.example",
             "of-any": "any.example"}
    pairs = {k: authority.issue(v, common_name=k) for k, v in names.items()}
    servers = [server("a.example", tls=simple("exact")), server("*.b.example", tls=simple("wild")),
               server("*.deep.b.example", tls=simple("deeper")), server("*", tls=simple("of-any"))]
    served = gateway(documents(
        service("test", upstream()), *[tls_secret(k, p) for k, p in pairs.items()],
        gateway_of("gateway", *servers), virtual_service("test", "*", route("test"))),
        ports=(443,))
    for sni, name in (("a.example", "exact"), ("A.EXAMPLE", "exact"), ("x.b.example", "wild"),
                      ("x.y.b.example", "wild"), ("x.deep.b.example", "deeper"),
                      ("b.example", "of-any"), ("else.example", "of-any"), ("", "of-any")):
        assert common_name(served, sni) == f"CN={name}", sni
    assert ask(served, authority.client_context(), "a.example").status == 200


def test_an_unknown_name_is_refused_where_no_server_takes_any(gateway, upstream, authority, pair):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    for sni in ("else.example", "test.example.else", ""):
        assert is_refused(served, blind_context(), sni)
    assert ask(served, authority.client_context()).status == 200


def test_host_must_fit_the_server_that_the_name_chose(gateway, upstream, authority):
    """Istio: each HTTPS server has virtual hosts of its own."""
    one, two = authority.issue("one.example"), authority.issue("two.example")
    served = gateway(documents(
        service("test", upstream()), tls_secret("one", one), tls_secret("two", two),
        gateway_of("gateway", server("one.example", tls=simple("one")),
                   server("two.example", tls=simple("two"))),
        virtual_service("one", "one.example", route("test")),
        virtual_service("two", "two.example", route("test"))), ports=(443,))
    context = authority.client_context()
    assert ask(served, context, "one.example").status == 200
    assert ask(served, context, "two.example").status == 200
    assert ask(served, context, "one.example", host="two.example").status == 404


def test_ingress_hosts_have_the_certificates_of_their_tls_section(gateway, upstream, authority):
    a, wild = authority.issue("a.example"), authority.issue("*.b.example")
    rules = [(host, path("/", "test")) for host in ("a.example", "*.b.example", "bare.example")]
    served = gateway(documents(
        service("test", upstream()), tls_secret("a", a, "default"), tls_secret("b", wild, "default"),
        ingress("test", *rules, tls=[{"hosts": ["a.example"], "secretName": "a"},
                                     {"hosts": ["*.b.example"], "secretName": "b"}])),
        ports=(80, 443))
    trusting, blind = authority.client_context(), blind_context()
    for sni in ("a.example", "x.b.example"):
        assert ask(served, trusting, sni).status == 200
    # One without a certificate is served under the gateway's own; Host alone routes.
    for sni in ("bare.example", "else.example", ""):
        with served.tls_client(blind, sni) as client:
            assert not is_shown(client, a) and not is_shown(client, wild)
            assert client.request("GET", "/", host="bare.example").status == 200
    assert ask(served, trusting, "a.example", host="x.b.example").status == 200


def test_rsa_and_ecdsa_side_by_side(gateway, upstream, authority):
    kinds = {kind: authority.issue("test.example", kind=kind) for kind in ("rsa", "ecdsa")}
    served = gateway(documents(
        service("test", upstream()), *[tls_secret(k, p) for k, p in kinds.items()],
        gateway_of("gateway", server("test.example", tls={
            "mode": "SIMPLE", "credentialNames": ["rsa", "ecdsa"]})),
        virtual_service("test", "test.example", route("test"))), ports=(443,))
    for kind, ciphers in (("rsa", "ECDHE-RSA-AES128-GCM-SHA256"),
                          ("ecdsa", "ECDHE-ECDSA-AES128-GCM-SHA256")):
        context = authority.client_context(maximum=ssl.TLSVersion.TLSv1_2, ciphers=ciphers)
        with served.tls_client(context) as client:
            assert is_shown(client, kinds[kind])
            assert client.request("GET", "/").status == 200
    with served.tls_client(authority.client_context()) as client:
        assert is_shown(client, kinds["ecdsa"])


# -- changes --

def test_a_new_certificate_is_live_and_drops_no_connection(gateway, upstream, authority):
    """Under load: open connections stay, new ones get the new certificate."""
    pairs = [authority.issue("test.example") for _ in range(6)]
    served = gateway({"all.yaml": https_route(upstream(), pair=pairs[0]), "more.yaml": ""}, **HTTPS)
    context = authority.client_context()
    stop, failures, counts = threading.Event(), [], []

    def load(keeps):
        done = 0
        try:
            while not stop.is_set():
                with served.tls_client(context) as client:
                    while True:
                        answer = client.request("GET", f"/{done}")
                        assert answer.status == 200 and answer.get("connection") is None
                        done += 1
                        if not keeps or stop.is_set():
                            break
        except BaseException as failure:  # noqa: BLE001 - asserted below
            failures.append(failure)
        counts.append(done)

    threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    backend = served.folder / "all.yaml"
    old = served.tls_client(context)
    try:
        for before, after in zip(pairs, pairs[1:]):
            text = backend.read_text()
            served.change(lambda t=text, b=before, a=after: served.write(
                "all.yaml", t.replace(json_of(b), json_of(a))))

            def is_new(pair=after):
                with served.tls_client(context) as client:
                    return is_shown(client, pair)

            wait_until(is_new, "the new certificate is shown")
        assert is_shown(old, pairs[0]) and old.request("GET", "/").status == 200
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        old.close()
    assert not failures, failures[0]
    assert min(counts) > 0


def json_of(pair):
    """The document of the certificate as https_route writes it."""
    return documents(tls_secret("test-cert", pair)).strip()


def test_a_certificate_that_breaks_live_stays_as_it_was(gateway, upstream, authority, pair):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    served.expected_errors = [r"all\.yaml"]
    context = authority.client_context()
    text = (served.folder / "all.yaml").read_text()
    broken = documents(secret("test-cert", kind="kubernetes.io/tls", tls_crt="no PEM at all",
                              tls_key=pair.key_pem)).strip()
    served.change(lambda: served.write("all.yaml", text.replace(json_of(pair), broken)))
    for _ in range(4):
        with served.tls_client(context) as client:
            assert is_shown(client, pair) and client.request("GET", "/").status == 200


def bad_secrets(authority):
    good, other = authority.issue("bad.example"), authority.issue("other.example")
    return {
        "no-pem": dict(tls_crt="no PEM", tls_key=good.key_pem),
        "no-key": dict(tls_crt=good.pem, tls_key="no PEM"),
        "mismatch": dict(tls_crt=good.pem, tls_key=other.key_pem),
        "no-secret": None,
    }


@pytest.mark.parametrize("which", ["no-pem", "no-key", "mismatch", "no-secret"])
def test_a_broken_certificate_harms_its_host_alone(gateway, upstream, authority, pair, which):
    data = bad_secrets(authority)[which]
    served = gateway(documents(
        service("test", upstream()), tls_secret("good", pair),
        *([secret("bad", kind="kubernetes.io/tls", **data)] if data else []),
        gateway_of("gateway", server("test.example", tls=simple("good")),
                   server("bad.example", tls=simple("bad"))),
        virtual_service("test", "test.example", route("test")),
        virtual_service("bad", "bad.example", route("test"))), ports=(443,))
    served.expected_errors = [r"all\.yaml"]
    assert "all.yaml" in served.log.text()
    assert ask(served, authority.client_context()).status == 200
    assert is_refused(served, blind_context(), "bad.example")
    # Its Secret comes, or is mended: the host is served.
    good = authority.issue("bad.example")
    text = documents(tls_secret("bad", good))
    if data:
        whole = (served.folder / "all.yaml").read_text()
        old = documents(secret("bad", kind="kubernetes.io/tls", **data)).strip()
        served.change(lambda: served.write("all.yaml", whole.replace(old, text.strip())))
    else:
        served.change(lambda: served.write("bad.yaml", text))
    wait_until(lambda: not_refused(served, authority.client_context(), "bad.example"), "it is mended")


def not_refused(served, context, sni):
    try:
        return ask(served, context, sni).status == 200
    except REFUSED:
        return False


def test_a_broken_certificate_of_an_ingress_leaves_the_default_one(gateway, upstream, authority):
    a, other = authority.issue("a.example"), authority.issue("b.example")
    served = gateway(documents(
        service("test", upstream()), tls_secret("a", a, "default"),
        secret("b", "default", kind="kubernetes.io/tls", tls_crt=other.pem, tls_key=a.key_pem),
        ingress("test", ("a.example", path("/", "test")), ("b.example", path("/", "test")),
                tls=[{"hosts": ["a.example"], "secretName": "a"},
                     {"hosts": ["b.example"], "secretName": "b"}])), ports=(80, 443))
    served.expected_errors = [r"all\.yaml"]
    assert ask(served, authority.client_context(), "a.example").status == 200
    with served.tls_client(blind_context(), "b.example") as client:
        assert not is_shown(client, other) and not is_shown(client, a)
        assert client.request("GET", "/", host="b.example").status == 200


def test_an_expired_certificate_is_told_of_and_harms_its_host_alone(gateway, upstream, authority, pair):
    expired = authority.issue("old.example", expired=True)
    served = gateway(documents(
        service("test", upstream()), tls_secret("good", pair), tls_secret("old", expired),
        gateway_of("gateway", server("test.example", tls=simple("good")),
                   server("old.example", tls=simple("old"))),
        virtual_service("test", "test.example", route("test")),
        virtual_service("old", "old.example", route("test"))), ports=(443,))
    served.expected_errors = [r"all\.yaml"]
    served.log.wait_for(r"all\.yaml:.*expired")
    context = authority.client_context()
    assert ask(served, context).status == 200
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        ask(served, context, "old.example")


# -- what is agreed upon --

def test_versions_and_ciphers_are_as_configured(gateway, upstream, authority, pair):
    v = ssl.TLSVersion
    cases = {
        "new.example": dict(minProtocolVersion="TLSV1_3"),
        "old.example": dict(maxProtocolVersion="TLSV1_2"),
        "cipher.example": dict(cipherSuites=["ECDHE-ECDSA-AES256-GCM-SHA384"],
                               maxProtocolVersion="TLSV1_2"),
    }
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", authority.issue(*cases)),
        gateway_of("gateway", *[server(host, tls=simple("cert", **more))
                                for host, more in cases.items()]),
        virtual_service("test", "*", route("test"))), ports=(443,))

    def agreed(sni, **options):
        try:
            with served.tls_client(authority.client_context(**options), sni) as client:
                assert client.request("GET", "/", host=sni).status == 200
                return client.sock.version()
        except REFUSED:
            return None

    assert agreed("new.example") == "TLSv1.3"
    assert agreed("new.example", maximum=v.TLSv1_2) is None
    assert agreed("old.example") == "TLSv1.2"
    assert agreed("old.example", minimum=v.TLSv1_3) is None
    assert agreed("cipher.example", ciphers="ECDHE-ECDSA-AES256-GCM-SHA384") == "TLSv1.2"
    assert agreed("cipher.example", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256") is None


def test_old_versions_are_refused_by_default(gateway, upstream, pair):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    for version in ("-tls1", "-tls1_1"):
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{served.tls_port}", "-servername",
             "test.example", version, "-cipher", "DEFAULT@SECLEVEL=0"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode != 0 and "Cipher is (NONE)" in done.stdout, done


def test_a_staple_is_sent_with_the_certificate(gateway, upstream, authority, pair):
    staple = authority.staple(pair)
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", pair, **{"tls.ocsp-staple": staple}),
        gateway_of("gateway", server("test.example", tls=simple("cert"))),
        virtual_service("test", "test.example", route("test"))), ports=(443,))
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{served.tls_port}", "-servername",
         "test.example", "-status"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=DEADLINE_S)
    assert "OCSP Response Status: successful" in done.stdout, done.stdout
    assert "Cert Status: good" in done.stdout


# -- redirects --

def test_https_redirect_of_a_gateway(gateway, upstream, pair):
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", pair),
        gateway_of("gateway",
                   server("test.example", port=80, protocol="HTTP", tls={"httpsRedirect": True}),
                   server("test.example", tls=simple("cert"))),
        virtual_service("test", "test.example", route("test"))), **HTTPS)
    answer = served.get("/a/b?c=d")
    assert (answer.status, answer["location"]) == (301, "https://test.example/a/b?c=d")
    assert ask(served, blind_context()).status == 200


def test_ssl_redirect_of_an_ingress(gateway, upstream, authority):
    cert = authority.issue("a.example", "off.example")
    section = [{"hosts": ["a.example", "off.example"], "secretName": "cert"}]
    served = gateway(documents(
        service("test", upstream()), tls_secret("cert", cert, "default"),
        ingress("on", ("a.example", path("/", "test")), ("bare.example", path("/", "test")),
                tls=section),
        ingress("off", ("off.example", path("/", "test")), tls=section,
                annotations={"ssl-redirect": "false"}),
        ingress("forced", ("forced.example", path("/", "test")),
                annotations={"force-ssl-redirect": "true"})), **HTTPS)
    answer = served.get("/a/b?c=d", host="a.example")
    assert (answer.status, answer["location"]) == (308, "https://a.example/a/b?c=d")
    assert served.get("/", host="bare.example").status == 200
    assert served.get("/", host="off.example").status == 200
    assert served.get("/x", host="forced.example").status == 308
    assert ask(served, authority.client_context(), "a.example").status == 200
    assert ask(served, blind_context(), "forced.example").status == 200


# -- ends and edges of a connection --

def test_an_end_is_said_with_close_notify(gateway, upstream, authority, pair):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with served.tls_client(authority.client_context(maximum=version)) as client:
            answer = client.request("GET", "/", headers={"Connection": "close"})
            assert answer.status == 200 and client.at_eof()


def test_a_body_that_ends_with_the_connection_ends_with_close_notify(gateway, upstream, authority, pair):
    def serve(conn):
        conn.read_request()
        conn.send("HTTP/1.0 200 OK\r\n\r\n" + "x" * 100_000)

    served = gateway(https_route(upstream(serve), pair=pair), **HTTPS)
    with served.tls_client(authority.client_context()) as client:
        client.send_head("GET", "/", version="HTTP/1.0")
        assert len(client.read_response().body) == 100_000  # a cut one would raise SSLEOFError


def test_large_bodies_pass_both_ways(gateway, upstream, authority, pair):
    body = bytes(range(256)) * 20_000
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    backend = upstream(answering(raw))
    served = gateway(https_route(backend, pair=pair), **HTTPS)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with served.tls_client(authority.client_context(maximum=version)) as client:
            for _ in range(2):
                assert client.request("POST", "/", body=body).body == body
                assert backend.next_request().body == body


def test_plain_text_on_a_tls_port_is_refused_and_harms_nothing(gateway, upstream, authority, pair):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    for garbage in (b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 100,
                    b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff", b"\0" * 20_000, b"\x80\x2e\x01\x03\x01"):
        with served.client(served.tls_port) as client:
            client.send(garbage)
            client.end_sending()
            try:
                client.read_all()
            except ConnectionResetError:
                pass
    assert ask(served, authority.client_context()).status == 200


def test_clients_that_leave_in_a_handshake_leave_nothing_behind(gateway, upstream, authority, pair):
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    half = authority.client_context().wrap_bio(incoming, outgoing, server_hostname="test.example")
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    hello = outgoing.read()
    for cut in (0, 1, 5, 6, 50, len(hello) - 1, len(hello)):
        for ends in ("close", "reset"):
            client = served.client(served.tls_port)
            client.send(hello[:cut])
            getattr(client, ends)()
    assert ask(served, authority.client_context()).status == 200


def test_a_foreign_authority_is_not_trusted_by_these_tests(gateway, upstream, pair):
    """That the others can fail."""
    served = gateway(https_route(upstream(), pair=pair), **HTTPS)
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(served, Authority("Foreign").client_context())
