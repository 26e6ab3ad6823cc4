# SPDX-License-Identifier: Apache-2.0
"""The moment when records leave OpenSSL, and what follows: both kinds of --tls-records."""

import hashlib
import os
import re
import select
import socket
import ssl
import subprocess

import pytest
from harness.manifests import https_route
from harness.patience import DEADLINE_S

HTTPS = {"ports": (80, 443)}
REQUEST = b"GET / HTTP/1.1\r\nhost: test.example\r\n\r\n"
LAST_REQUEST = b"GET / HTTP/1.1\r\nhost: test.example\r\nconnection: close\r\n\r\n"
BODY = os.urandom(3 << 20)


@pytest.fixture(params=["own", "openssl"])
def records(request):
    return request.param


def returning(conn):
    """Answers with the body that it got."""
    while (request := conn.read_request()) is not None:
        conn.answer(200, request.body)


@pytest.fixture
def served(gateway, upstream, pair, records):
    return gateway(https_route(upstream(returning), pair=pair), "--tls-records", records, **HTTPS)


class Memory:
    """A client whose records wait until they are told to go."""

    def __init__(self, served, context):
        self.came, self.goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.came, self.goes, server_hostname="test.example")
        self.sock = socket.create_connection(("127.0.0.1", served.tls_port), timeout=DEADLINE_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def until(self, step, send):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                send(self.goes.read())
                data = self.sock.recv(65536)
                if not data:
                    raise EOFError("closed by the gateway")
                self.came.write(data)

    def read_answer(self):
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.until(lambda: self.tls.read(65536), self.sock.sendall)
        return got


def dribble(sock):
    def send(data):
        for i in range(len(data)):
            sock.sendall(data[i:i + 1])
    return send


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_data_may_come_in_one_piece_with_finished(served, authority, version):
    client = Memory(served, authority.client_context(minimum=version, maximum=version))
    client.until(client.tls.do_handshake, client.sock.sendall)
    for _ in range(3):
        client.tls.write(REQUEST)
    client.sock.sendall(client.goes.read())  # Finished (TLS 1.3) and three requests
    got = b""
    while got.count(b"200 OK") < 3:
        got += client.until(lambda: client.tls.read(65536), client.sock.sendall)
    client.sock.close()


def test_bytes_that_come_one_by_one(served, authority):
    client = Memory(served, authority.client_context())
    send = dribble(client.sock)
    client.until(client.tls.do_handshake, send)
    client.tls.write(REQUEST)
    send(client.goes.read())
    assert client.read_answer().startswith(b"HTTP/1.1 200")
    client.sock.close()


def test_close_notify_in_one_piece_with_finished_and_data(served, authority):
    client = Memory(served, authority.client_context())
    client.until(client.tls.do_handshake, client.sock.sendall)
    client.tls.write(LAST_REQUEST)
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    client.sock.sendall(client.goes.read())
    client.sock.shutdown(socket.SHUT_WR)
    while data := client.sock.recv(65536):
        client.came.write(data)
    client.sock.close()
    assert client.tls.read(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("cipher", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                    "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"])
def test_large_bodies_go_both_ways(served, authority, tmp_path, cipher):
    """curl's OpenSSL on the other side, with two requests on a connection."""
    (tmp_path / "body").write_bytes(BODY)
    (tmp_path / "ca.pem").write_text(authority.pem)
    option = ["--tls13-ciphers", cipher] if cipher.startswith("TLS_") else [
        "--tls-max", "1.2", "--ciphers", cipher]
    url = f"https://test.example:{served.tls_port}/"
    done = subprocess.run(
        ["curl", "-sS", "--cacert", tmp_path / "ca.pem", "--resolve",
         f"test.example:{served.tls_port}:127.0.0.1", *option, "-T", tmp_path / "body",
         "-T", tmp_path / "body", "-o", tmp_path / "a", "-o", tmp_path / "b", url + "1", url + "2"],
        timeout=DEADLINE_S, capture_output=True)
    assert done.returncode == 0, done
    for name in "ab":
        assert hashlib.sha256((tmp_path / name).read_bytes()).digest() == hashlib.sha256(BODY).digest()


def s_client(served, authority, tmp_path, sent, *options):
    (tmp_path / "ca.pem").write_text(authority.pem)
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{served.tls_port}", "-servername",
         "test.example", "-CAfile", tmp_path / "ca.pem", "-verify_return_error", *map(str, options)],
        input=sent, capture_output=True, timeout=DEADLINE_S)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def converse(served, authority, tmp_path, *turns, options=()):
    """Commands of s_client stand alone in what it reads at a time; an answer ends each turn."""
    (tmp_path / "ca.pem").write_text(authority.pem)
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{served.tls_port}", "-servername",
         "test.example", "-CAfile", tmp_path / "ca.pem", "-verify_return_error", *options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    seen = b""
    try:
        for sent, wanted in turns:
            process.stdin.write(sent)
            process.stdin.flush()
            at = len(seen)
            while not re.search(wanted, seen[at:]):
                is_ready, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
                data = os.read(process.stdout.fileno(), 65536) if is_ready else b""
                assert data, seen.decode(errors="replace")
                seen += data
    finally:
        process.kill()
        process.communicate()
    return seen.decode(errors="replace")


def test_key_updates_of_the_client(served, authority, tmp_path):
    turns = [(b"", b"(?i)verify return code: 0")]
    for _ in range(5):
        turns += [(REQUEST, b"200 OK"), (b"k\n", b"KEYUPDATE"), (REQUEST, b"200 OK"),
                  (b"K\n", b"KEYUPDATE")]
    converse(served, authority, tmp_path, *turns, (REQUEST, b"200 OK"), options=["-tls1_3"])


@pytest.mark.parametrize("options", [
    ["-groups", "P-384"], ["-groups", "X448:P-384"],  # the second is asked to try again
    ["-tls1_2"], ["-no_ticket"], ["-allow_no_dhe_kex"], ["-no_middlebox"],
    ["-maxfraglen", "512"], ["-maxfraglen", "4096"], ["-record_padding", "512"]])
def test_handshakes_of_all_kinds(served, authority, tmp_path, options):
    seen = converse(served, authority, tmp_path, (b"", b"(?i)verify return code: 0"),
                    (REQUEST, b"200 OK"), (REQUEST, b"200 OK"), options=options)
    assert "error" not in seen.lower(), seen


def test_early_data_is_never_taken(served, authority, tmp_path):
    first = s_client(served, authority, tmp_path, LAST_REQUEST, "-tls1_3", "-ign_eof",
                     "-sess_out", tmp_path / "session")
    assert "200 OK" in first and "Max Early Data: 0" in first
    (tmp_path / "early").write_bytes(LAST_REQUEST)
    again = s_client(served, authority, tmp_path, LAST_REQUEST, "-tls1_3", "-ign_eof",
                     "-sess_in", tmp_path / "session", "-early_data", tmp_path / "early")
    assert "Reused, TLSv1.3" in again and "Early data was not sent" in again, again


def test_a_client_cannot_renegotiate(served, authority, tmp_path):
    seen = converse(served, authority, tmp_path, (b"", b"(?i)verify return code: 0"),
                    (b"R\n", b"(?i)no.renegotiation|closed|error"), options=["-tls1_2"])
    assert "RENEGOTIATING" in seen
