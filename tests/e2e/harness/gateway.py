# SPDX-License-Identifier: Apache-2.0
"""The real binary on a folder of YAML, and what must hold of it after every test."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

from .client import Client
from .http2 import Client2
from .patience import DEADLINE_S, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
SANITIZER = re.compile(
    r"ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:|"
    r"SUMMARY: \w+Sanitizer|CHECK failed"
)
PIPE_ENDS_KEPT = 32  # that a worker may keep for its next large bodies
LOG_LINE = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]+Z (\w+) ")


def binary():
    named = os.environ.get("SLUICEGATE")
    if named:
        return named
    for folder in ("build-release", "build", "build-asan"):
        path = ROOT / folder / "src/cli/sluicegate"
        if path.exists():
            return str(path)
    raise RuntimeError("no binary: build one (make build) or name it in SLUICEGATE")


class Lines:
    """The lines of a pipe, collected by a thread; waiting for one needs no polling."""

    def __init__(self, pipe):
        self.lines = []
        self.is_closed = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self.thread.start()

    def _read(self, pipe):
        for line in pipe:
            with self.changed:
                self.lines.append(line.decode(errors="backslashreplace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    def wait_for(self, pattern, start=0, seconds=DEADLINE_S, count=1):
        """The match objects of the first `count` lines from `start` on that `pattern` is found in."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                found = [m for m in (re.search(pattern, x) for x in self.lines[start:]) if m]
                if len(found) >= count:
                    return found[:count]
                left = end - time.monotonic()
                if self.is_closed or left <= 0:
                    text = "\n".join(self.lines[start:][-40:])
                    raise AssertionError(f"{len(found)} of {count} lines with /{pattern}/ in:\n{text}")
                self.changed.wait(left)

    def mark(self):
        with self.changed:
            return len(self.lines)

    def text(self):
        with self.changed:
            return "\n".join(self.lines)


class Gateway:
    """A running gateway. Use it as a context manager: leaving checks how it ended.

    Every port a manifest names is opened on a port that the kernel picks; `port` is the first HTTP
    listener's, `tls_port` the first TLS listener's, `tcp_ports` those of TCP and NodePorts.
    `netns`: the Namespace it lives in; there manifests may have the ports that they name (ports=()).
    `bind` None: the program's default.
    """

    def __init__(self, folder, *args, ports=(80,), workers=2, env=None, access_log="-",
                 bind="127.0.0.1", netns=None):
        self.folder = pathlib.Path(folder)
        self.workers = workers
        self.netns = netns
        self.args = ["--bind", bind] if bind else []
        self.args += ["--workers", str(workers), "--admin", "127.0.0.1:0"]
        for port in ports:
            self.args += ["--port-map", f"{port}=0"]
        if access_log is not None:
            self.args += ["--access-log", access_log]
        self.args += [str(arg) for arg in args]
        self.env = env or {}
        self.expected_errors = []  # patterns of error lines that the test provokes
        self.process = None
        self.exit_status = None
        self.checks_descriptors = True

    # -- life --

    def start(self, until_ready=True):
        env = dict(os.environ)
        env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        env.setdefault("TSAN_OPTIONS", "halt_on_error=0")
        env.update(self.env)
        argv = ["setpriv", "--pdeathsig", "KILL", binary(), "run", "-f", str(self.folder)]
        with self.within():
            self.process = subprocess.Popen(
                argv + self.args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env=env,
            )
        self.log = Lines(self.process.stderr)
        self.access_log = Lines(self.process.stdout)
        if until_ready:
            self.read_ports(self.log.wait_for(r"^sluicegate: ready: ?(.*)")[0].group(1))
            self.admin_port = int(self.log.wait_for(r"admin.*127\.0\.0\.1:(\d+)")[0].group(1))
            self.descriptors_at_rest = self.descriptors()
            self.pipes_at_rest = self.pipes()
        return self

    def within(self):
        return self.netns or contextlib.nullcontext()

    def read_ports(self, text):
        listeners = re.findall(r"(\w+) ([\d.]+|\[[0-9a-f:]+\]):(\d+)", text)
        self.http_ports = [int(port) for kind, _, port in listeners if kind == "http"]
        self.tcp_ports = [int(port) for kind, _, port in listeners if kind == "tcp"]
        self.tls_ports = [int(port) for kind, _, port in listeners if kind == "https"]
        self.port = self.http_ports[0] if self.http_ports else None
        self.tls_port = self.tls_ports[0] if self.tls_ports else None

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.finish()
        elif self.process:
            self.kill()
            print("--- the gateway's log\n" + self.log.text())
            print("--- access log, last lines\n" + "\n".join(self.access_log.lines[-20:]))

    def kill(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, seconds=DEADLINE_S):
        self.exit_status = self.process.wait(seconds)
        self.log.thread.join(5)
        self.access_log.thread.join(5)
        return self.exit_status

    def finish(self):
        """What must hold when a test is over: nothing left over, a clean end, a clean log."""
        try:
            if self.process.poll() is None:
                self.check_at_rest()
                self.signal(signal.SIGTERM)
                self.wait_exit()
            elif self.exit_status is None:
                self.wait_exit()
        finally:
            self.kill()
        self.check_log()
        assert self.exit_status == 0, f"exit status {self.exit_status}\n{self.log.text()}"

    def check_at_rest(self):
        for gauge in ("sluicegate_downstream_connections_active", "sluicegate_requests_active",
                      "sluicegate_tunnels_active"):
            wait_until(lambda name=gauge: self.metric(name) == 0, f"{gauge} is 0 again")
        if self.checks_descriptors:
            def as_before():
                kept = self.metric("sluicegate_upstream_connections_active")
                return self.descriptors() <= self.descriptors_at_rest + kept
            wait_until(as_before, f"descriptors as at the start ({self.descriptors_at_rest})")
            assert self.pipes() <= self.pipes_at_rest + self.workers * PIPE_ENDS_KEPT

    def check_log(self):
        text = self.log.text()
        assert not SANITIZER.search(text), text
        for line in self.log.lines:
            level = LOG_LINE.match(line)
            if level and level.group(1) == "error":
                assert any(re.search(x, line) for x in self.expected_errors), f"unexpected: {line}"

    def _links(self):
        """What the open descriptors stand for; one may be closed while we look."""
        folder = f"/proc/{self.process.pid}/fd"
        for name in os.listdir(folder):
            try:
                yield os.readlink(f"{folder}/{name}")
            except OSError:
                pass

    def descriptors(self):
        """Open descriptors but for pipes, a few of which a worker keeps for later."""
        return sum(not x.startswith("pipe:") for x in self._links())

    def pipes(self):
        return sum(x.startswith("pipe:") for x in self._links())

    def resident_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def cpu_s(self):
        """Seconds of processor time it has used."""
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        user, system = text.rsplit(")", 1)[1].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    # -- what it tells --

    def admin(self, path):
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        with self.within(), urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()

    def metrics(self):
        found = {}
        for line in self.admin("/metrics").splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
        return found

    def metric(self, name):
        metrics = self.metrics()
        assert name in metrics, f"no metric {name}"
        return metrics[name]

    def config(self):
        return json.loads(self.admin("/config_dump"))

    # -- changing its folder --

    def write(self, name, text):
        """Saves a file as an editor does: beside it, then renamed over it."""
        path = self.folder / name
        beside = self.folder / f".{name}.new"
        beside.write_text(text)
        beside.rename(path)

    def change(self, action, pattern=r"info config: generation (\d+)", seconds=DEADLINE_S):
        """Does `action` and waits until the log says that its effect is live."""
        mark = self.log.mark()
        action()
        return self.log.wait_for(pattern, start=mark, seconds=seconds)[0]

    # -- asking it --

    def client(self, port=None, **options):
        with self.within():
            return Client(port or self.port, **options)

    def tls_client(self, context, sni="test.example", **options):
        with self.within():
            return Client(self.tls_port, tls=context, sni=sni, **options)

    def h2_client(self, context=None, port=None, **options):
        """Over TLS with a context (of ALPN h2), else with prior knowledge."""
        with self.within():
            return Client2(port or (self.tls_port if context else self.port), tls=context, **options)

    def get(self, target="/", host="test.example", **options):
        with self.client() as client:
            return client.request("GET", target, host=host, **options)

    def request(self, method, target="/", host="test.example", **options):
        with self.client() as client:
            return client.request(method, target, host=host, **options)


def run_command(*args, **options):
    """sluicegate check, dump, ... to its end; stdout and stderr as text."""
    return subprocess.run([binary(), *[str(a) for a in args]], capture_output=True, text=True,
                          timeout=DEADLINE_S, **options)


def free_port(host="127.0.0.1"):
    """A port that was free a moment ago, below the range the kernel gives to clients."""
    for _ in range(200):
        port = 10000 + int.from_bytes(os.urandom(2), "big") % 20000
        with socket.socket() as s:
            try:
                s.bind((host, port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")
