# SPDX-License-Identifier: Apache-2.0
"""What goes wrong outside, and what of it a client sees: name servers that are gone, slow or wrong,
upstreams that close, reset, or show a certificate that is none of theirs.

    client -> gateway -> "one" on 127.0.0.2:PORT, "two" on 127.0.0.3:PORT
                 |
               relay -> dnsmasq
"""

import json
import random
import threading

import pytest
from harness.egress import (HOST, ONE, TWO, Load, becomes, by_dns, static, tls_rule, to_port,
                            way_out, who)
from harness.manifests import service_entry
from harness.name_server import DOMAIN, Relay
from harness.patience import DEADLINE_S, PATIENCE, wait_until


@pytest.fixture
def names(name_server):
    """A name server that knows HOST as ONE, behind a relay."""
    server = name_server({HOST: [ONE]})
    server.relay = Relay(server)
    yield server
    server.relay.close()


# -- name servers --

def test_a_name_server_that_is_down_at_the_start(gateway, names, both):
    names.stop()
    served = gateway(way_out(by_dns(both())), "--dns-server", names.address)
    with served.client() as client:
        assert who(client) == 503
        assert served.access_log.wait_for(r'"GET / HTTP/1.1" 503 (UH|DF) ')
        names.start()
        becomes("one", client)


@pytest.mark.parametrize("manner", ["drop", "servfail"])
def test_old_addresses_serve_while_names_fail(gateway, names, both, manner):
    served = gateway(way_out(by_dns(both())), "--dns-server", names.relay.address)
    with served.client() as client:
        becomes("one", client)
        with Load(served) as load:
            names.relay.set(manner)
            before = names.relay.questions
            wait_until(lambda: names.relay.questions >= before + 2, "it asked in vain")
            load.goes_on()
            names.change({HOST: [TWO]})
            names.relay.set("pass")
            becomes("two", client)


def test_a_name_that_is_taken_away_and_comes_back(gateway, names, both):
    served = gateway(way_out(by_dns(both())), "--dns-server", names.address)
    with served.client() as client:
        becomes("one", client)
        with Load(served) as load:
            names.change({})
            names.wait_for_queries(HOST)  # the first of two was answered: NXDOMAIN
            load.goes_on()
            names.change({HOST: [TWO]})
            becomes("two", client)


def test_a_slow_name_server_holds_up_nobody_else(gateway, names, both):
    names.change({HOST: [ONE], f"slow.{DOMAIN}": [TWO]})
    port = both()
    slow = service_entry("slow", f"slow.{DOMAIN}", ports=to_port(port))
    served = gateway(way_out(static(port, ONE), slow, rules=[
        {"match": [{"uri": {"prefix": "/slow"}}],
         "route": [{"destination": {"host": f"slow.{DOMAIN}"}}]}]), "--dns-server", hold(names))
    with served.client() as client, Load(served) as load:
        wait_until(lambda: names.relay.held, "the slow name is asked for")
        load.goes_on()
        assert who(client) == "one"
        names.relay.set("pass")
        becomes("two", client, "/slow")


def hold(names):
    names.relay.set("hold")
    return names.relay.address


def test_addresses_change_under_load(gateway, names, both):
    served = gateway(way_out(by_dns(both())), "--dns-server", names.address)
    with served.client() as client:
        becomes("one", client)
        with Load(served, is_kept=(True, True, False)) as load:
            for addresses, expected in (([TWO], "two"), ([ONE], "one"), ([ONE, TWO], "two"),
                                        ([TWO], "two")):
                names.change({HOST: addresses})
                becomes(expected, client)
                load.goes_on()


# -- connections that die --

def closing_at_random(seed):
    """Closes after some answers, at once or a moment later, as a server does whose idle limit nobody
    knows."""
    chance, lock = random.Random(seed), threading.Lock()

    def serve(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            conn.answer(200, json.dumps({"name": "flaky"}))
            with lock:
                pause = chance.choice([None, None, 0, 0.0005, 0.002])
            if pause is not None:
                threading.Event().wait(pause)
                return

    return serve


@pytest.mark.parametrize("is_secured", [False, True])
def test_idle_connections_closed_at_random_fail_no_get(gateway, upstream, authority, tmp_path,
                                                       is_secured):
    (tmp_path / "ca.pem").write_text(authority.pem)
    context = authority.server_context(authority.issue(HOST)) if is_secured else None
    backend = upstream(closing_at_random(1), tls=context)
    served = gateway(way_out(
        static(backend.port, backend.host),
        *([tls_rule(mode="SIMPLE", caCertificates=str(tmp_path / "ca.pem"))] if is_secured else [])))
    chance = random.Random(2)
    with served.client() as client:
        for _ in range(300):
            assert who(client) == "flaky"
            threading.Event().wait(chance.choice([0, 0, 0.0005, 0.002]))
    assert backend.accepted > 20


def once_then(action):
    """Answers the first request of a connection; of the next one, once read, becomes `action`. Other
    connections are served."""
    def serve(conn):
        while True:
            request = conn.read_request()
            if request is None:
                return
            if request.target == "/die" and not getattr(conn.upstream, "has_died", False):
                conn.upstream.has_died = True
                return action(conn)
            conn.answer(200, json.dumps({"name": conn.number}))

    return serve


DEATHS = {"closed": lambda conn: None, "reset": lambda conn: conn.reset()}


@pytest.mark.parametrize("death", DEATHS)
def test_a_get_on_a_pooled_connection_that_dies_is_asked_again(gateway, upstream, death):
    backend = upstream(once_then(DEATHS[death]))
    served = gateway(way_out(static(backend.port, backend.host)), "--access-log-format",
                     "%REQ(:PATH)% %RESPONSE_CODE% %RETRY_REASON%", workers=1)
    with served.client() as client:
        first = who(client)
        assert who(client, "/die") != first
    assert served.access_log.wait_for("^/die 200 GET_is_idempotent$")
    seen = [backend.next_request().target for _ in range(3)]
    assert seen == ["/", "/die", "/die"] and backend.requests.empty()


@pytest.mark.parametrize("death", DEATHS)
def test_a_post_that_was_sent_is_not_repeated(gateway, upstream, death):
    backend = upstream(once_then(DEATHS[death]))
    served = gateway(way_out(static(backend.port, backend.host)), workers=1)
    with served.client() as client:
        who(client)
        answer = client.request("POST", "/die", host=HOST, body=b"pay 100")
        assert answer.status == 503, answer
        assert served.access_log.wait_for(
            '"POST /die HTTP/1.1" 503 U[CR] upstream_reset.*not_retried:_POST_was_sent')
        assert isinstance(who(client), int)
    seen = [backend.next_request().target for _ in range(3)]
    assert seen == ["/", "/die", "/"] and backend.requests.empty()


@pytest.mark.parametrize("death", DEATHS)
def test_a_response_that_is_cut_stays_cut(gateway, upstream, death):
    def cut(conn):
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + "x" * 1000)
        if death == "reset":
            # The bytes first: a reset throws away what was not delivered.
            started.wait(DEADLINE_S)
            conn.reset()

    started = threading.Event()
    backend = upstream(once_then(cut))
    served = gateway(way_out(static(backend.port, backend.host)), workers=1)
    with served.client() as client:
        client.send_head("GET", "/die", host=HOST)
        assert client.read_head().status == 200
        started.set()
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_exactly(100000)
    assert served.access_log.wait_for(
        r'"GET /die HTTP/1.1" 200 U[CR] upstream_reset_after_response_started')
    with served.client() as client:
        assert isinstance(who(client), int)
    assert [backend.next_request().target for _ in range(2)] == ["/die", "/"]


def test_an_upstream_that_is_restarted(gateway, upstream):
    """Pooled connections die with it. In between 503, afterwards nothing fails."""
    first = upstream(name="first")
    served = gateway(way_out(static(first.port, first.host)))
    clients = [served.client() for _ in range(4)]
    for client in clients:
        assert who(client) == "first"
    first.close()
    for client in clients:
        answer = client.request("GET", "/", host=HOST)
        assert answer.status == 503 and "upstream connect error" in answer.text, answer
    assert served.access_log.wait_for(r'"GET / HTTP/1.1" 503 UF\S* .*connection_failure', count=4)
    upstream(name="second", host=first.host, port=first.port)
    for client in clients:
        assert who(client) == "second"
        client.close()


# -- certificates --

class Secured:
    """An upstream over TLS whose certificate can be replaced: what it has told stays told, new
    handshakes see the new one. `has_tickets`: sessions can be resumed."""

    def __init__(self, gateway, upstream, authority, folder, pair, has_tickets):
        self.context = authority.server_context(pair)
        if not has_tickets:
            self.context.num_tickets = 0  # a resumed session shows no certificate
        self.backend = upstream(tls=self.context, name="secured")
        (folder / "ca.pem").write_text(authority.pem)
        self.served = gateway(way_out(
            static(self.backend.port, self.backend.host),
            tls_rule(mode="SIMPLE", caCertificates=str(folder / "ca.pem"))))

    def show(self, pair):
        pair.load_into(self.context)


@pytest.fixture
def secured(gateway, upstream, authority, tmp_path):
    def start(pair, has_tickets=False):
        return Secured(gateway, upstream, authority, tmp_path, pair, has_tickets)
    return start


@pytest.mark.parametrize("names, options, reason", [
    ([HOST], {"expired": True}, "expired"),
    (["another.example"], {}, "other names"),
])
def test_a_certificate_that_goes_wrong(secured, authority, names, options, reason):
    secured = secured(authority.issue(HOST))
    served = secured.served
    with served.client() as client:
        assert who(client) == "secured"
        secured.show(authority.issue(*names, **options))
        assert who(client) == "secured"  # the connection that was checked before lives on
        secured.backend.close_connections()

        def is_refused():
            return who(client) == 503
        wait_until(is_refused, "a new connection is refused")
        line = served.access_log.wait_for(r'"GET / HTTP/1.1" 503 UF.*')[0].group(0)
        assert "certificate" in line and reason in line, line
        before = secured.backend.requests.qsize()
        assert who(client) == 503 and secured.backend.requests.qsize() == before
        secured.show(authority.issue(HOST))
        becomes("secured", client)


def test_a_session_does_not_outlive_the_certificate(secured, authority):
    """Resumption spares the check of the certificate: only while that is valid."""
    secured = secured(authority.issue(HOST, ends_in_s=2 + PATIENCE), has_tickets=True)
    served = secured.served
    with served.client() as client:
        assert who(client) == "secured"

        def is_refused():
            secured.backend.close_connections()
            return who(client) == 503 and "certificate has expired" in served.access_log.text()
        wait_until(is_refused, "the certificate has expired")


def test_plain_http_where_tls_is_expected(gateway, upstream, authority, tmp_path):
    def refuse(conn):
        conn.fill()
        conn.answer(400, reason="Bad Request")

    backend = upstream(refuse)
    (tmp_path / "ca.pem").write_text(authority.pem)
    served = gateway(way_out(static(backend.port, backend.host),
                             tls_rule(mode="SIMPLE", caCertificates=str(tmp_path / "ca.pem"))))
    with served.client() as client:
        assert who(client) == 503
    assert served.access_log.wait_for(r'"GET / HTTP/1.1" 503 UF.*')
