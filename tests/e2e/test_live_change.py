# SPDX-License-Identifier: Apache-2.0
"""Saving a file changes what is served, at once, and harms no request in flight."""

import json
import os
import shutil
import threading

import pytest
from harness.gateway import Gateway, free_port
from harness.manifests import (documents, gateway as istio_gateway, ingress, one_route, path,
                               route, service, virtual_service)
from harness.patience import wait_until

HOST = "test.example"
CHANGED = r"info config: generation (\d+)"
CHANGES = int(os.environ.get("SLUICEGATE_TEST_CHANGES", "1000"))


def to(name, path="/"):
    """A VirtualService that sends `path` to this Service."""
    return documents(virtual_service("test", HOST, route(name, match=[{"uri": {"prefix": path}}])))


@pytest.fixture
def served(gateway, upstream):
    return gateway({
        "services.yaml": documents(service("one", upstream(name="one")),
                                   service("two", upstream(name="two")),
                                   istio_gateway("gateway", HOST)),
        "route.yaml": to("one"),
    })


def who(served, target="/"):
    answer = served.get(target)
    return json.loads(answer.body)["name"] if answer.status == 200 else answer.status


def becomes(expected, ask):
    """Each worker takes a change up at its next turn, so a request may just be faster than that."""
    wait_until(lambda: ask() == expected, f"the answer is {expected}")


def test_a_save_by_rename_is_live(served):
    assert who(served) == "one"
    served.change(lambda: served.write("route.yaml", to("two")))
    becomes("two", lambda: who(served))


def test_a_save_in_place_is_live(served):
    served.change(lambda: (served.folder / "route.yaml").write_text(to("two")))
    becomes("two", lambda: who(served))


def test_a_new_file_and_its_end_are_live(served):
    other = to("two").replace(HOST, "other.example").replace('"name": "test"', '"name": "other"')
    served.change(lambda: served.write("more.yaml", documents(
        istio_gateway("more", "other.example"),
        other.replace('["gateway"]', '["more"]'))))
    becomes(200, lambda: served.get("/", host="other.example").status)
    served.change(lambda: (served.folder / "more.yaml").unlink())
    becomes(404, lambda: served.get("/", host="other.example").status)
    assert who(served) == "one"


def test_a_half_written_file_changes_nothing_until_it_is_whole(served):
    text = to("two")
    path = served.folder / "route.yaml"
    with open(path, "w") as file:
        file.write(text[:40])
        file.flush()
        for _ in range(20):
            assert who(served) == "one"
        mark = served.log.mark()
        file.write(text[40:])
    served.log.wait_for(CHANGED, start=mark)
    wait_until(lambda: who(served) == "two", "the whole file is live")


def test_a_file_cut_by_a_slow_writer_is_served_as_it_was_until_it_is_closed(served):
    """`slow-program > route.yaml`: the shell cuts the file, the program writes when it pleases."""
    text = to("two")
    statuses = []
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            statuses.append(served.get("/").status)

    client = threading.Thread(target=ask)
    client.start()
    try:
        with open(served.folder / "route.yaml", "w") as file:
            # Another change goes live meanwhile; so the cut file has been in the gateway's eyes.
            served.change(lambda: served.write("other.yaml", documents(service("three"))))
            assert who(served) == "one"
            file.write(text[:40])
            file.flush()
            served.change(lambda: (served.folder / "other.yaml").unlink())
            assert who(served) == "one"
            file.write(text[40:])
            file.flush()
            served.change(lambda: served.write("other.yaml", documents(service("four"))))
            assert who(served) == "one"
            mark = served.log.mark()
        served.log.wait_for(CHANGED, start=mark)
        becomes("two", lambda: who(served))
    finally:
        stop.set()
        client.join()
    assert statuses and set(statuses) == {200}


def test_a_broken_object_keeps_its_last_good_version_and_others_go_live(served):
    broken = json.dumps(json.loads(to("two"))).replace('"hosts"', '"hosts": 5, "x"')
    served.expected_errors = [r"route\.yaml"]
    extra = to("two", "/extra").replace('"name": "test"', '"name": "a-extra"')
    served.change(lambda: served.write("route.yaml", documents(broken, extra)))
    becomes("two", lambda: who(served, "/extra"))
    assert who(served) == "one"
    assert "kept-last-good" in served.log.text() and "route.yaml:" in served.log.text()
    served.change(lambda: served.write("route.yaml", to("two")))
    becomes("two", lambda: who(served))


def guarded(condition, target="one"):
    """/admin is refused, the rest goes to `target`."""
    return documents(virtual_service(
        "test", HOST, {"match": [{"uri": condition}], "directResponse": {"status": 403}},
        route(target)))


def is_kept(served, text, code):
    """Saves a version that stays out, as it is to: the log names its mistake."""
    mark = served.log.mark()
    served.change(lambda: served.write("route.yaml", text))
    served.log.wait_for(rf"route\.yaml:\d+:\d+: error\[{code}\]", start=mark)
    return "kept-last-good" in served.log.text()


def test_a_virtual_service_with_a_broken_regex_keeps_its_last_good_version(served):
    served.expected_errors = [r"route\.yaml"]
    served.change(lambda: served.write("route.yaml", guarded({"regex": "/admin.*"})))
    becomes(403, lambda: who(served, "/admin"))
    for broken in ("/admin(.*", "/admin(?!x).*"):
        assert is_kept(served, guarded({"regex": broken}, "two"), "regex-invalid")
        assert [who(served, x) for x in ("/admin", "/")] == [403, "one"]
    served.change(lambda: served.write("route.yaml", guarded({"regex": "/root.*"}, "two")))
    becomes("two", lambda: who(served, "/admin"))
    assert who(served, "/root") == 403


def test_an_ingress_with_a_refused_annotation_keeps_its_last_good_version(gateway, upstream):
    def at(where, name, **annotations):
        return documents(ingress("test", (HOST, path(where, name)), annotations={
            k.replace("_", "-"): v for k, v in annotations.items()}))

    served = gateway({"services.yaml": documents(service("one", upstream(name="one")),
                                                 service("two", upstream(name="two"))),
                      "route.yaml": at("/", "one")})
    served.expected_errors = [r"route\.yaml"]
    assert who(served) == "one"
    assert is_kept(served, at("/", "two", configuration_snippet="deny all;"), "annotation-refused")
    assert who(served) == "one"
    assert is_kept(served, at("/a(.*)", "two"), "strict-path")
    assert who(served) == "one"
    served.change(lambda: served.write("route.yaml", at("/", "two")))
    becomes("two", lambda: who(served))


def test_a_rule_that_is_broken_from_the_start_answers_503_and_lets_nothing_past(gateway, upstream):
    served = gateway({
        "all.yaml": documents(
            service("one", upstream(name="one")), istio_gateway("gateway", HOST),
            virtual_service("test", HOST,
                            {"match": [{"uri": {"prefix": "/admin"}}],
                             "directResponse": {"status": 1000}}, route("one")))})
    served.expected_errors = [r"all\.yaml"]
    answer = served.get("/admin/x")
    assert answer.status == 503 and answer.text == "route configuration is invalid (route_invalid)\n"
    assert who(served) == "one"


def test_a_file_that_is_no_yaml_keeps_what_it_had(served):
    served.expected_errors = [r"route\.yaml"]
    mark = served.log.mark()
    served.write("route.yaml", "a: [1,\n}")
    served.log.wait_for(r"route\.yaml:\d+:\d+: error\[yaml-syntax\]", start=mark)
    assert who(served) == "one"


def test_a_configmap_swap_is_live(gateway, upstream, tmp_path):
    folder = tmp_path / "mounted"
    first = folder / "..2026_01_01"
    first.mkdir(parents=True)
    (first / "all.yaml").write_text(documents(
        service("one", upstream(name="one")), service("two", upstream(name="two")),
        istio_gateway("gateway", HOST)))
    (first / "route.yaml").write_text(to("one"))
    (folder / "..data").symlink_to(first.name)
    for name in ("all.yaml", "route.yaml"):
        (folder / name).symlink_to(f"..data/{name}")
    with Gateway(folder) as served:
        assert who(served) == "one"

        def swap():
            second = folder / "..2026_01_02"
            shutil.copytree(first, second)
            (second / "route.yaml").write_text(to("two"))
            (folder / "..data_tmp").symlink_to(second.name)
            (folder / "..data_tmp").rename(folder / "..data")
            shutil.rmtree(first)

        served.change(swap)
        becomes("two", lambda: who(served))


def test_a_deleted_folder_takes_its_objects_away_and_may_come_back(served):
    text = (served.folder / "route.yaml").read_text()
    sub = served.folder / "team"
    served.change(lambda: (sub.mkdir(), (sub / "route.yaml").write_text(
        text.replace('"name": "test"', '"name": "team"').replace('"/"', '"/team"')),
        (served.folder / "route.yaml").unlink()))
    wait_until(lambda: who(served, "/team") == "one" and who(served) == 404, "only the folder's")
    served.change(lambda: shutil.rmtree(sub))
    wait_until(lambda: who(served, "/team") == 404, "the folder's route is gone")
    served.change(lambda: (sub.mkdir(), (sub / "route.yaml").write_text(text)))
    wait_until(lambda: who(served) == "one", "it is back")


def test_a_request_ends_under_the_route_it_began_with(gateway, upstream):
    arrived, proceed = threading.Event(), threading.Event()

    def slow(conn):
        conn.read_request()
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        arrived.set()
        assert proceed.wait(60)
        conn.send("after")

    served = gateway(one_route(upstream(slow)))
    with served.client() as client:
        client.send_head("GET", "/")
        assert arrived.wait(30)
        served.change(lambda: served.write("all.yaml", documents(
            istio_gateway("gateway", HOST),
            virtual_service("test", HOST, {"directResponse": {"status": 410}}))))
        becomes(410, lambda: served.get("/").status)
        proceed.set()
        answer = client.read_response()
        assert (answer.status, answer.text) == (200, "firstafter")


def test_endpoints_come_and_go_without_a_failed_request(gateway, upstream):
    one, two = upstream(name="one"), upstream(name="two")
    served = gateway(one_route(one))
    with served.client() as client:
        for backends, names in (([one, two], {"one", "two"}), ([two], {"two"}), ([one], {"one"})):
            served.change(lambda b=backends: served.write("all.yaml", one_route(*b)))

            def seen():
                return {json.loads(client.request("GET", "/").body)["name"] for _ in range(60)}

            becomes(names, seen)


def test_a_listener_comes_and_goes(gateway, upstream):
    backend = upstream()
    opened = free_port()
    served = gateway(one_route(backend), "--port-map", f"30007={opened}")
    node_port = service("node", backend, type="NodePort", ports=[{"port": 80, "nodePort": 30007}])
    served.change(lambda: served.write("node.yaml", documents(node_port)))
    with served.client(opened) as client:
        assert client.request("GET", "/").status == 200
    served.change(lambda: (served.folder / "node.yaml").unlink())

    def is_refused():
        try:
            served.client(opened).close()
            return False
        except ConnectionRefusedError:
            return True

    wait_until(is_refused, "the port is closed")


def test_changes_under_load_fail_no_request_and_close_no_connection(gateway, upstream):
    one, two = upstream(name="one"), upstream(name="two")
    filler = [x for i in range(50) for x in (
        service(f"filler-{i}"), virtual_service(f"filler-{i}", f"f{i}.example", route(f"filler-{i}")))]
    served = gateway({"all.yaml": one_route(one, two), "filler.yaml": documents(*filler)})
    stop, failures, counts = threading.Event(), [], []

    def load():
        done = 0
        try:
            with served.client() as client:
                while not stop.is_set():
                    answer = client.request("GET", f"/{done}")
                    assert answer.status == 200 and answer.get("connection") is None, answer
                    done += 1
        except BaseException as failure:  # noqa: BLE001 - asserted below
            failures.append(failure)
        counts.append(done)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    resident = []
    try:
        for i in range(CHANGES):
            backends = [(one, two), (one,), (two,)][i % 3]
            text = one_route(*backends, timeout=f"{i + 1}s", name=f"change-{i}")
            served.change(lambda t=text: served.write("all.yaml", t))
            if i in (CHANGES // 4, CHANGES - 1):
                resident.append(served.resident_kib())
            if failures:
                break
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    assert min(counts) > 0
    sanitized = os.environ.get("SLUICEGATE_TEST_PATIENCE", "1") != "1"
    assert sanitized or resident[1] - resident[0] < 2048, resident
