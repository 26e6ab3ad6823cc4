# SPDX-License-Identifier: Apache-2.0
"""The access log: Istio's default line to the letter, JSON, formats of one's own, where it goes."""

import json
import os
import re
import signal

import pytest
from harness.gateway import run_command
from harness.manifests import documents, gateway as istio_gateway, one_route, route, service, \
    virtual_service
from harness.patience import wait_until

HOST = "test.example"
CLUSTER = "outbound|80||test.default.svc.cluster.local"
ADDRESS = r"127\.0\.0\.1:\d+"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DEFAULT = re.compile(
    r"\[(?P<start>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\] "
    r'"(?P<request>\S+ \S+ \S+)" (?P<code>\d+) (?P<flags>\S+) (?P<details>\S+) '
    r'(?P<termination>\S+) "(?P<failure>[^"]*)" (?P<received>\d+) (?P<sent>\d+) (?P<duration>\d+) '
    r'(?P<service_time>-|\d+) "(?P<xff>[^"]*)" "(?P<agent>.*)" "(?P<id>[^"]*)" '
    r'"(?P<authority>[^"]*)" "(?P<host>[^"]*)" (?P<cluster>\S+) (?P<up_local>\S+) '
    r"(?P<down_local>\S+) (?P<down_remote>\S+) (?P<sni>\S+) (?P<route>\S+)")


def the_line(served):
    line = served.access_log.wait_for(r"^.+$")[0].group(0)
    match = DEFAULT.fullmatch(line)
    assert match, line
    return match.groupdict()


def test_the_default_line_of_a_forwarded_request(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend, name="first"))
    served.request("POST", "/status/200?q=1", headers={"User-Agent": "curl/8.5.0"}, body=b"12345")
    seen, line = backend.next_request(), the_line(served)
    assert line["request"] == "POST /status/200?q=1 HTTP/1.1"
    assert (line["code"], line["flags"], line["details"]) == ("200", "-", "via_upstream")
    assert (line["termination"], line["failure"], line["sni"]) == ("-", "-", "-")
    assert line["received"] == "5" and int(line["sent"]) > 100
    assert line["service_time"].isdigit() and int(line["service_time"]) <= int(line["duration"])
    assert (line["xff"], line["agent"]) == ("127.0.0.1", "curl/8.5.0")
    assert re.fullmatch(UUID, line["id"]) and line["id"] == seen.get("x-request-id")
    assert line["authority"] == HOST
    assert (line["host"], line["cluster"]) == (backend.address, CLUSTER)
    assert re.fullmatch(ADDRESS, line["up_local"]) and re.fullmatch(ADDRESS, line["down_remote"])
    assert line["down_local"] == f"127.0.0.1:{served.port}"
    assert line["route"] == "first"


def test_the_default_line_of_an_unmatched_request(gateway):
    served = gateway(one_route())
    answer = served.get("/1status/200", host="nobody.example:80")
    line = the_line(served)
    assert line["request"] == "GET /1status/200 HTTP/1.1"
    assert (line["code"], line["flags"], line["details"]) == ("404", "NR", "route_not_found")
    assert line["sent"] == str(len(answer.body))
    assert (line["service_time"], line["host"], line["cluster"]) == ("-", "-", "-")
    assert (line["up_local"], line["route"], line["agent"]) == ("-", "-", "-")
    assert line["authority"] == "nobody.example:80"


def test_the_path_is_the_one_before_the_rewrite_and_the_host_the_one_after(gateway, upstream):
    served = gateway(documents(
        service("test", upstream()), istio_gateway("gateway", HOST),
        virtual_service("test", HOST, route(
            "test", match=[{"uri": {"prefix": "/old"}}],
            rewrite={"uri": "/new", "authority": "inner.example"}))))
    served.get("/old/x?y=1")
    line = the_line(served)
    assert line["request"] == "GET /old/x?y=1 HTTP/1.1" and line["authority"] == "inner.example"


def test_a_quote_in_a_header_stays_on_its_line(gateway, upstream):
    served = gateway(one_route(upstream()))
    served.get("/", headers={"User-Agent": 'a"b\\c'})
    assert the_line(served)["agent"] == 'a"b\\c'


def test_one_line_a_request_in_their_order(gateway, upstream):
    served = gateway(one_route(upstream()))
    with served.client() as client:
        for i in range(100):
            client.request("GET", f"/{i}")
    lines = served.access_log.wait_for(r'"GET /(\d+) ', count=100)
    assert [int(m.group(1)) for m in lines] == list(range(100))


JSON_KEYS = """start_time route_name method path protocol response_code response_flags
    response_code_details connection_termination_details bytes_received bytes_sent duration
    upstream_service_time x_forwarded_for user_agent request_id authority upstream_host
    upstream_cluster upstream_local_address downstream_local_address downstream_remote_address
    requested_server_name upstream_transport_failure_reason""".split()


def test_json_has_istios_keys_and_types(gateway, upstream):
    backend = upstream()
    served = gateway(one_route(backend), "--access-log-format", "json")
    served.request("POST", "/a?b", headers={"User-Agent": 'q"\\\t\xff'}, body=b"123")
    entry = json.loads(served.access_log.wait_for(r"^\{.*\}$")[0].group(0))
    assert list(entry) == JSON_KEYS
    assert (entry["method"], entry["path"], entry["protocol"]) == ("POST", "/a?b", "HTTP/1.1")
    assert (entry["response_code"], entry["bytes_received"]) == (200, 3)
    assert isinstance(entry["duration"], int)
    assert entry["upstream_host"] == backend.address and entry["upstream_cluster"] == CLUSTER
    assert entry["requested_server_name"] is None and entry["route_name"] is None
    assert entry["user_agent"].startswith('q"\\\t')


def test_a_format_of_ones_own(gateway, upstream):
    served = gateway(one_route(upstream()), "--access-log-format",
                     "%REQ(:METHOD)% %REQ(X-NONE?:PATH):5% %RESPONSE_CODE% "
                     "%START_TIME(%Y)% 100%% %RESP(CONTENT-TYPE)% %UPSTREAM_REQUEST_ATTEMPT_COUNT%")
    served.get("/a-long-path")
    line = served.access_log.wait_for(r"^GET .*")[0].group(0)
    assert re.fullmatch(r"GET /a-lo 200 20\d\d 100% application/json 1", line)


CLOSES = ("%RESPONSE_FLAGS% down=%DOWNSTREAM_DETECTED_CLOSE_TYPE%/%DOWNSTREAM_LOCAL_CLOSE_REASON% "
          "up=%UPSTREAM_DETECTED_CLOSE_TYPE%/%UPSTREAM_LOCAL_CLOSE_REASON%")


def test_how_each_side_was_closed(gateway, upstream):
    served = gateway(one_route(upstream(lambda conn: (conn.read_request(), conn.reset()))),
                     "--access-log-format", CLOSES)
    assert served.get("/").status == 503
    served.access_log.wait_for(r"^U[CR] down=-/- up=RemoteReset/-$")


def test_a_route_timeout_closes_the_upstream_connection(gateway, upstream):
    served = gateway(one_route(upstream(lambda conn: (conn.read_request(), conn.read_all())),
                               timeout="200ms"), "--access-log-format", CLOSES)
    assert served.get("/").status == 504
    served.access_log.wait_for(r"^UT down=-/- up=LocalReset/response_timeout$")


def test_a_json_object_of_ones_own(gateway, upstream):
    served = gateway(one_route(upstream()), "--access-log-format", json.dumps(
        {"code": "%RESPONSE_CODE%", "line": "%REQ(:METHOD)% %REQ(:PATH)%", "none": "%REQ(X-NONE)%"}))
    served.get("/x")
    entry = json.loads(served.access_log.wait_for(r"^\{.*")[0].group(0))
    assert entry == {"code": 200, "line": "GET /x", "none": None}


@pytest.mark.parametrize("text, complaint", [
    ("%NOTHING%", "NOTHING"),
    ("%RESPONSE_COD%", "RESPONSE_CODE"),  # did you mean
    ("%REQ(%", ""),
    ("50% off", ""),
])
def test_a_broken_format_is_refused_at_the_start(tmp_path, text, complaint):
    result = run_command("run", "-f", tmp_path, "--access-log-format", text)
    assert result.returncode in (1, 2)
    assert complaint in result.stderr and "format" in result.stderr


def test_a_file_is_reopened_on_sigusr1(gateway, upstream, tmp_path):
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    served = gateway(one_route(upstream()), access_log=str(path))
    served.get("/before")
    wait_until(lambda: "/before" in path.read_text(), "the first line")
    path.rename(old)
    served.signal(signal.SIGUSR1)
    wait_until(path.exists, "the new file")
    served.get("/after")
    wait_until(lambda: "/after" in path.read_text(), "the line in the new file")
    assert "/after" not in old.read_text()


def test_off_writes_nothing(gateway, upstream):
    served = gateway(one_route(upstream()), access_log="off")
    for _ in range(5):
        assert served.get("/").status == 200
    served.finish()
    assert served.access_log.text() == ""


def test_lines_are_complete_after_the_end(gateway, upstream, tmp_path):
    path = tmp_path / "access.log"
    served = gateway(one_route(upstream()), access_log=str(path))
    with served.client() as client:
        for i in range(500):
            client.request("GET", f"/{i}")
    served.finish()
    lines = path.read_text().splitlines()
    assert len(lines) == 500 and all(DEFAULT.fullmatch(line) for line in lines)


def test_a_log_that_nobody_reads_blocks_no_request(gateway, upstream, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        served = gateway(one_route(upstream()), access_log=str(fifo), workers=1)
        with served.client() as client:
            for _ in range(1000):
                assert client.request("GET", "/" + "x" * 4000).status == 200
            assert served.metric("sluicegate_access_log_lines_total") + \
                served.metric("sluicegate_access_log_dropped_total") >= 1000
        served.finish()
    finally:
        os.close(reader)
