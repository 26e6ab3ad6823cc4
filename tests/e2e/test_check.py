# SPDX-License-Identifier: Apache-2.0
"""check, dump, version, help: what an operator sees before anything is served."""

import json
import re

import pytest
from harness.gateway import ROOT, run_command
from harness.manifests import documents, gateway, ingress, one_route, path, service

GOOD = one_route(("10.0.0.1", 80))
DIAGNOSTIC = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): "
                        r"(?P<level>error|warning|note)\[(?P<code>[a-z0-9-]+)\] (?P<text>.+)$")


def check(tmp_path, text, *options):
    (tmp_path / "in.yaml").write_text(text)
    result = run_command("check", "-f", tmp_path / "in.yaml", *options)
    return result, [m for m in map(DIAGNOSTIC.match, result.stdout.splitlines()) if m]


def test_what_is_clean_prints_nothing_and_exits_0(tmp_path):
    result, found = check(tmp_path, GOOD)
    assert (result.returncode, found, result.stdout) == (0, [], "")


def test_the_quickstart_is_clean():
    result = run_command("check", "-f", ROOT / "examples/quickstart")
    assert (result.returncode, result.stdout) == (0, "")


def examples():
    """Folders, or where these hold folders, each of those with the files beside it."""
    for folder in sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir()):
        ways = sorted(p for p in folder.iterdir() if p.is_dir())
        for way in ways:
            yield [*sorted(folder.glob("*.yaml")), way]
        if not ways:
            yield [folder]


@pytest.mark.parametrize("paths", examples(), ids=lambda paths: paths[-1].name)
def test_every_example_has_no_error(paths):
    result = run_command("check", *[word for path in paths for word in ("-f", path)])
    assert result.returncode == 0, result.stdout


BROKEN = """\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
spec:
  rules:
  - http:
      paths:
      - path: /a
        pathType: Prefixx
        backend:
          service:
            name: web
            port:
              number: 80
      - path: /b
        pathType: Prefix
        backed:
          service: {name: web, port: {number: 80}}
"""


def test_a_mistake_is_named_with_its_place_its_field_and_what_is_allowed(tmp_path):
    result, found = check(tmp_path, BROKEN)
    assert result.returncode == 1
    wrong = [m for m in found if "pathType" in m["text"]]
    assert len(wrong) == 1, result.stdout
    assert (wrong[0]["line"], wrong[0]["column"], wrong[0]["level"]) == ("10", "19", "error")
    assert "spec.rules[0].http.paths[0].pathType" in wrong[0]["text"]
    for allowed in ("Prefixx", "Exact", "Prefix", "ImplementationSpecific"):
        assert allowed in wrong[0]["text"]


def test_an_unknown_field_is_named_with_the_nearest(tmp_path):
    result, found = check(tmp_path, BROKEN)
    unknown = [m for m in found if m["code"] == "unknown-field"]
    assert len(unknown) == 1 and unknown[0]["line"] == "18", result.stdout
    assert "backed" in unknown[0]["text"] and "backend" in result.stdout


def test_broken_yaml_is_named_with_its_place(tmp_path):
    result, found = check(tmp_path, "a: 1\nb: [1,\nc: }\n")
    assert result.returncode == 1
    assert found[0]["code"] == "yaml-syntax" and int(found[0]["line"]) in (2, 3)


def test_warnings_alone_exit_0(tmp_path):
    text = documents(json.dumps({**json.loads(GOOD.split("\n---\n")[0]), "unknown": 1}))
    result, found = check(tmp_path, text)
    assert result.returncode == 0 and found[0]["level"] == "warning"


def test_a_dangling_service_is_reported(tmp_path):
    _, found = check(tmp_path, documents(
        service("web-app"), ingress("web", ("web.example", path("/", "web-ap")))))
    assert any("web-ap" in m["text"] and "web-app" in m[0] for m in found)


def test_a_gateway_nobody_binds_is_reported(tmp_path):
    _, found = check(tmp_path, documents(gateway("lonely", "a.example")))
    assert any("lonely" in m["text"] for m in found)


def test_two_ingresses_with_one_path_name_the_owner(tmp_path):
    _, found = check(tmp_path, documents(
        service("web", ("10.0.0.1", 80)),
        ingress("first", ("web.example", path("/", "web"))),
        ingress("second", ("web.example", path("/", "web")))))
    text = " ".join(m["text"] for m in found)
    assert "first" in text and "second" in text


def test_json_output_is_json(tmp_path):
    (tmp_path / "in.yaml").write_text(BROKEN)
    result = run_command("check", "--json", "-f", tmp_path)
    found = json.loads(result.stdout)
    found = found if isinstance(found, list) else found["diagnostics"]
    assert any(d["line"] == 10 and d["column"] == 19 and d["level"] == "error" for d in found)


@pytest.mark.parametrize("argv", [
    [], ["nonsense"], ["check", "--no-such-option"], ["check", "--port-map", "x"],
    ["run", "--workers", "-1"]])
def test_a_wrong_command_line_exits_2_and_says_why(argv):
    result = run_command(*argv)
    assert result.returncode == 2 and result.stderr.strip()


def test_a_misspelt_option_is_corrected():
    result = run_command("check", "--lables", "a=b")
    assert result.returncode == 2 and "--labels" in result.stderr


def test_a_missing_folder_is_an_error(tmp_path):
    result = run_command("check", "-f", tmp_path / "none")
    assert result.returncode == 1 and "none" in result.stdout + result.stderr


def test_dump_shows_the_same_text_each_time(tmp_path):
    (tmp_path / "in.yaml").write_text(GOOD)
    first = run_command("dump", "-f", tmp_path)
    assert first.returncode == 0
    assert "test.example" in first.stdout and "10.0.0.1:80" in first.stdout
    assert first.stdout == run_command("dump", "-f", tmp_path).stdout


def test_dump_as_json_holds_the_same_facts(tmp_path):
    (tmp_path / "in.yaml").write_text(GOOD)
    facts = json.loads(run_command("dump", "--json", "-f", tmp_path).stdout)
    text = json.dumps(facts)
    assert "test.example" in text and "outbound|80||test.default.svc.cluster.local" in text


def test_version_and_help_exit_0():
    assert re.search(r"\d+\.\d+\.\d+", run_command("version").stdout)
    assert "check" in run_command("help").stdout
    assert "--port-map" in run_command("help", "run").stdout


def test_a_privileged_port_names_the_option(tmp_path):
    (tmp_path / "in.yaml").write_text(GOOD)
    unprivileged = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                    "--inh-caps=-all", "--bounding-set=-all"]
    import os
    import subprocess

    from harness.gateway import binary
    first = int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read())
    if first <= 80 or os.geteuid() != 0:
        pytest.skip("needs root and privileged ports")
    for parent in [tmp_path, *tmp_path.parents]:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    result = subprocess.run(
        [*unprivileged, binary(), "run", "-f", str(tmp_path), "--bind", "127.0.0.1",
         "--admin", "none"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "--port-map" in result.stderr


def test_manifests_come_from_standard_input_too():
    result = run_command("dump", "-f", "-", input=GOOD)
    assert result.returncode == 0 and "10.0.0.1:80" in result.stdout


def test_labels_choose_the_gateways(tmp_path):
    (tmp_path / "in.yaml").write_text(GOOD)
    ours = run_command("dump", "-f", tmp_path, "--labels", "istio=ingressgateway,app=x")
    others = run_command("dump", "-f", tmp_path, "--labels", "istio=egressgateway")
    assert "test.example" in ours.stdout and "test.example" not in others.stdout
