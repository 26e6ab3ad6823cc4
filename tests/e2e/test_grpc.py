# SPDX-License-Identifier: Apache-2.0
"""gRPC with its real client and server; what the gateway itself answers; gRPC-Web."""

import base64
import concurrent.futures
import queue
import struct
import threading

import pytest
from harness.certificates import tls_secret
from harness.manifests import (documents, gateway_of, route, server, service, simple,
                               virtual_service)
from harness.patience import DEADLINE_S

grpc = pytest.importorskip("grpc")

MIB = 1 << 20
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Shop(grpc.GenericRpcHandler):
    """Messages are bytes as they are; the method's name says what is done."""

    def __init__(self):
        self.started, self.cancelled = queue.Queue(), queue.Queue()
        self.metadata = queue.Queue()

    def service(self, call):
        kinds = {"Echo": grpc.unary_unary_rpc_method_handler, "Split": grpc.unary_stream_rpc_method_handler,
                 "Join": grpc.stream_unary_rpc_method_handler,
                 "Chat": grpc.stream_stream_rpc_method_handler}
        name = call.method.rsplit("/", 1)[1]
        if name in kinds:
            return kinds[name](getattr(self, name.lower()))
        if name in ("Fail", "Wait"):
            return grpc.unary_unary_rpc_method_handler(getattr(self, name.lower()))
        return None

    def echo(self, request, context):
        self.metadata.put(dict(context.invocation_metadata()))
        context.send_initial_metadata([("x-head", "1"), ("x-head-bin", b"\0\xff")])
        context.set_trailing_metadata([("x-tail", "2")])
        return request

    def split(self, request, context):
        for i in range(100):
            yield b"%d:" % i + request

    def join(self, requests, context):
        return b"".join(requests)

    def chat(self, requests, context):
        for request in requests:
            yield b"re: " + request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not \u00e4 today")

    def wait(self, request, context):
        done = threading.Event()
        context.add_callback(done.set)
        self.started.put(True)
        done.wait(DEADLINE_S)
        self.cancelled.put(True)
        return b""


@pytest.fixture(scope="module")
def shop():
    handler = Shop()
    pool = concurrent.futures.ThreadPoolExecutor(32)
    one = grpc.server(pool, [handler], options=UNLIMITED)
    handler.port = one.add_insecure_port("127.0.0.1:0")
    one.start()
    yield handler
    one.stop(None).wait(DEADLINE_S)
    pool.shutdown()


def manifests(backend, pair, protocol="HTTP", *more, app_protocol="grpc", **rule):
    return documents(
        service("test", *backend, app_protocol=app_protocol), tls_secret("cert", pair),
        gateway_of("gateway", server("test.example", port=80, protocol=protocol),
                   server("test.example", tls=simple("cert"))),
        virtual_service("test", "test.example", route("test", **rule)), *more)


class Channel:
    def __init__(self, served, authority=None, host="test.example"):
        options = UNLIMITED + [("grpc.enable_retries", 0)]
        if authority:
            self.channel = grpc.secure_channel(
                f"127.0.0.1:{served.tls_port}", grpc.ssl_channel_credentials(authority.pem.encode()),
                options + [("grpc.ssl_target_name_override", host)])
        else:
            self.channel = grpc.insecure_channel(f"127.0.0.1:{served.port}",
                                                 options + [("grpc.default_authority", host)])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def unary(self, name, data=b"", **options):
        return self.channel.unary_unary(f"/shop.Shop/{name}").with_call(
            data, timeout=options.pop("timeout", DEADLINE_S), **options)

    def code(self, name, data=b"", **options):
        with pytest.raises(grpc.RpcError) as failed:
            self.unary(name, data, **options)
        return failed.value.code(), failed.value.details()


@pytest.fixture(params=["plain", "tls"])
def channel(request, gateway, authority, pair, shop):
    served = gateway(manifests([("127.0.0.1", shop.port)], pair), ports=(80, 443))
    with Channel(served, authority if request.param == "tls" else None) as one:
        one.served, one.shop = served, shop
        yield one


# -- calls of every kind --

def test_unary(channel):
    while not channel.shop.metadata.empty():
        channel.shop.metadata.get()
    for data in (b"", b"hello", b"x" * MIB):
        answer, call = channel.unary("Echo", data, metadata=[("x-mine", "3"), ("x-bin", b"\1\2")])
        assert answer == data
        assert dict(call.initial_metadata())["x-head"] == "1"
        assert dict(call.initial_metadata())["x-head-bin"] == b"\0\xff"
        assert dict(call.trailing_metadata())["x-tail"] == "2"
        seen = channel.shop.metadata.get(timeout=DEADLINE_S)
        assert seen["x-mine"] == "3" and seen["x-bin"] == b"\1\2"


def test_server_streaming(channel):
    many = channel.channel.unary_stream("/shop.Shop/Split")(b"x" * 5000, timeout=DEADLINE_S)
    assert [x.split(b":")[0] for x in many] == [b"%d" % i for i in range(100)]


def test_client_streaming(channel):
    parts = [b"%d" % i * 1000 for i in range(100)]
    joined = channel.channel.stream_unary("/shop.Shop/Join")(iter(parts), timeout=DEADLINE_S)
    assert joined == b"".join(parts)


def test_both_ways_in_turns(channel):
    """Each message waits for the answer to the one before: nothing may be held back."""
    said = queue.Queue()
    answers = channel.channel.stream_stream("/shop.Shop/Chat")(iter(said.get, None), timeout=DEADLINE_S)
    for i in range(20):
        said.put(b"%d" % i)
        assert next(answers) == b"re: %d" % i
    said.put(None)
    assert list(answers) == []


def test_large_messages(channel):
    data = bytes(range(256)) * (4 * MIB // 256)
    assert channel.unary("Echo", data)[0] == data


def test_many_calls_at_once(channel):
    call = channel.channel.unary_unary("/shop.Shop/Echo")
    asked = [call.future(b"%d" % i, timeout=DEADLINE_S) for i in range(200)]
    assert [x.result() for x in asked] == [b"%d" % i for i in range(200)]


# -- failures --

def test_a_status_of_the_server(channel):
    """Trailers only: one HEADERS frame with everything."""
    assert channel.code("Fail") == (grpc.StatusCode.FAILED_PRECONDITION, "not \u00e4 today")
    assert channel.code("Nothing")[0] == grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_reaches_the_server(channel):
    assert channel.code("Wait", timeout=0.2)[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    assert channel.shop.cancelled.get(timeout=DEADLINE_S)


def test_a_cancelled_call_is_cancelled_at_the_server(channel):
    while not channel.shop.started.empty():
        channel.shop.started.get()
    call = channel.channel.unary_unary("/shop.Shop/Wait").future(b"", timeout=DEADLINE_S)
    assert channel.shop.started.get(timeout=DEADLINE_S)
    call.cancel()
    assert channel.shop.cancelled.get(timeout=DEADLINE_S)


def test_the_status_is_logged(gateway, pair, shop):
    served = gateway(
        manifests([("127.0.0.1", shop.port)], pair), "--access-log-format",
        "%REQ(:PATH)% %RESPONSE_CODE% %GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)%"
        " %GRPC_STATUS_NUMBER%\n", ports=(80, 443))
    with Channel(served) as one:
        one.unary("Echo")
        one.code("Fail")
    served.access_log.wait_for(r"^/shop.Shop/Echo 200 OK OK 0$")
    served.access_log.wait_for(r"^/shop.Shop/Fail 200 FailedPrecondition FAILED_PRECONDITION 9$")


# -- what the gateway answers itself --

def test_no_route_is_unimplemented(gateway, pair, shop):
    served = gateway(manifests([("127.0.0.1", shop.port)], pair), ports=(80, 443))
    with Channel(served, host="nobody.example") as one:
        assert one.code("Echo")[0] == grpc.StatusCode.UNIMPLEMENTED


def test_no_endpoint_is_unavailable(gateway, pair):
    served = gateway(manifests([], pair), ports=(80, 443))
    with Channel(served) as one:
        code, details = one.code("Echo")
        assert code == grpc.StatusCode.UNAVAILABLE and "no healthy upstream" in details


def test_a_refused_connection_is_unavailable(gateway, upstream, pair):
    gone = upstream()
    gone.close()
    served = gateway(manifests([gone], pair), ports=(80, 443))
    with Channel(served) as one:
        code, details = one.code("Echo")
        assert code == grpc.StatusCode.UNAVAILABLE and "upstream connect error" in details


def test_a_timeout_of_the_route_is_unavailable(gateway, pair, shop):
    served = gateway(manifests([("127.0.0.1", shop.port)], pair, timeout="200ms"), ports=(80, 443))
    with Channel(served) as one:
        code, _ = one.code("Wait")
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert shop.cancelled.get(timeout=DEADLINE_S)


def test_a_direct_response_is_a_status(gateway, pair, shop):
    text = documents(
        gateway_of("gateway", server("test.example", port=80, protocol="HTTP")),
        virtual_service("test", "test.example", {"directResponse": {
            "status": 403, "body": {"string": "not for you"}}}))
    served = gateway(text)
    with served.h2_client() as client:
        answer = client.request("POST", "/shop.Shop/Echo", headers=[
            ("content-type", "application/grpc"), ("te", "trailers")], body=b"\0\0\0\0\0")
        assert answer.status == 200 and answer["grpc-status"] == "7"
        assert answer["grpc-message"].replace("%20", " ") == "not for you"
        assert answer["content-type"].startswith("application/grpc") and answer.body == b""
        assert client.request("GET", "/").status == 403


# -- gRPC-Web: browsers, which see no trailers --

WEB = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"


def framed(data, flag=0):
    return struct.pack(">BI", flag, len(data)) + data


def unframed(data):
    out = []
    while data:
        flag, size = struct.unpack(">BI", data[:5])
        out.append((flag, data[5:5 + size]))
        assert len(out[-1][1]) == size
        data = data[5 + size:]
    return out


def decoded(text):
    """base64 that may be padded within."""
    return b"".join(base64.b64decode(text[i:i + 4]) for i in range(0, len(text), 4))


@pytest.fixture
def web(gateway, pair, shop):
    return gateway(manifests([("127.0.0.1", shop.port)], pair, "GRPC-WEB"), ports=(80, 443))


def trailers_of(data):
    return dict(line.split(":", 1) for line in data.decode().lower().split("\r\n") if line)


@pytest.mark.parametrize("version", ["h1", "h2"])
@pytest.mark.parametrize("kind", [WEB, TEXT, "application/grpc-web", "application/grpc-web-text"])
def test_grpc_web(web, version, kind):
    is_text = "text" in kind
    with (web.h2_client() if version == "h2" else web.client()) as client:
        for data in (b"hello", b"x" * 100_000):
            body = framed(data)
            answer = client.request("POST", "/shop.Shop/Echo", headers=[
                ("content-type", kind), ("x-grpc-web", "1")],
                body=base64.b64encode(body) if is_text else body)
            assert answer.status == 200 and answer["content-type"].startswith(kind.split("+")[0])
            frames = unframed(decoded(answer.body) if is_text else answer.body)
            assert [x[0] for x in frames] == [0, 0x80] and frames[0][1] == data
            trailers = trailers_of(frames[1][1])
            assert trailers["grpc-status"].strip() == "0" and trailers["x-tail"].strip() == "2"
            assert answer.trailers == [] and answer["x-head"] == "1"


@pytest.mark.parametrize("kind", [WEB, TEXT])
def test_grpc_web_streams_come_as_they_are_made(web, kind):
    with web.h2_client() as client:
        body = framed(b"x" * 100)
        answer = client.request("POST", "/shop.Shop/Split", headers=[("content-type", kind)],
                                body=base64.b64encode(body) if kind == TEXT else body)
        frames = unframed(decoded(answer.body) if kind == TEXT else answer.body)
        assert len(frames) == 101 and frames[99][1].startswith(b"99:") and frames[100][0] == 0x80


@pytest.mark.parametrize("kind", [WEB, TEXT])
def test_grpc_web_failures(web, kind):
    with web.client() as client:
        body = framed(b"")
        answer = client.request("POST", "/shop.Shop/Fail", headers=[("content-type", kind)],
                                body=base64.b64encode(body) if kind == TEXT else body)
        assert answer.status == 200
        status = answer.get("grpc-status")
        if status is None:
            frames = unframed(decoded(answer.body) if kind == TEXT else answer.body)
            status = trailers_of(frames[-1][1])["grpc-status"].strip()
        assert status == "9"


def test_grpc_web_text_that_is_no_base64_is_refused(web):
    with web.h2_client() as client:
        answer = client.request("POST", "/shop.Shop/Echo", headers=[("content-type", TEXT)],
                                body=b"!!!! not base64 !!!!")
        assert answer.reset is not None or answer.status == 400 or answer.get("grpc-status") not in (
            None, "0")
        assert client.request("GET", "/", host="nobody.example").status == 404
