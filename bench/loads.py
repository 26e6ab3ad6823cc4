# SPDX-License-Identifier: Apache-2.0
"""Loads: each maker returns a function (program, seconds, core) that runs a load generator on that
core against the program and tells what was done. wrk for HTTP/1.1 in clear, h2load for HTTP/2, and
tlsload (of this folder) where the handshake or the server's name matters."""
import json
import os
import re
import subprocess
import sys

from backend import NAME

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Load:
    """What one run of a load generator came to."""

    def __init__(self, requests, errors, received, handshakes=None, resumed=None):
        self.requests, self.errors, self.received = requests, errors, received
        self.handshakes, self.resumed = handshakes, resumed

    def units(self, unit):
        return self.requests if unit == "request" else self.received / 2**20


def run(command, core):
    done = subprocess.run(["taskset", "-c", str(core)] + command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    if done.stderr:
        print(f"{command[0]} said: {done.stderr.strip()}", file=sys.stderr, flush=True)
    return done.stdout


def size_of(text):
    number, unit = re.fullmatch(r"([\d.]+)([KMGT]?)B?", text).groups()
    return float(number) * SIZES[unit]


def wrk(connections, path="/", script=None, host=NAME):
    def load(program, seconds, core):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Host: {host}"]
        if script:
            command = command[:-2] + ["-s", script]
        address = getattr(program, "address", "127.0.0.1")
        output = run(command + [f"http://{address}:{program.port}{path}"], core)
        requests, received = re.search(r"(\d+) requests in [\d.]+\w+, ([\d.]+\w+) read",
                                       output).groups()
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)",
                           output)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
        count = sum(int(n) for n in errors.groups()) if errors else 0
        return Load(int(requests), count + (int(bad.group(1)) if bad else 0), size_of(received))
    return load


def h2load(clients, streams, path="/", options=(), secure=True):
    """HTTP/2, or with "--h1" among the options HTTP/1.1, over TLS or in clear."""
    def load(program, seconds, core):
        scheme = "https" if secure else "http"
        output = run(["h2load", "-t1", f"-c{clients}", f"-m{streams}", f"-D{seconds}",
                      f"--connect-to=127.0.0.1:{program.port}", *options,
                      f"{scheme}://{NAME}{path}"], core)
        done, failed, errored, timed_out = map(int, re.search(
            r"requests: .* (\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored, (\d+) timeout",
            output).groups())
        good = int(re.search(r"status codes: (\d+) 2xx", output).group(1))
        received = int(re.search(r"traffic: \S+ \((\d+)\) total", output).group(1))
        if not done:
            raise RuntimeError(f"h2load had no answer: {output}")
        return Load(done, max(done - good, failed + errored + timed_out), received)
    return load


def build(folder):
    """Compiles the programs of this folder into the other; to be done before their first use."""
    for name, libraries in (("tlsload", ["-lssl", "-lcrypto"]), ("rareload", ["-lssl", "-lcrypto"]),
                            ("link", [])):
        built[name] = os.path.join(folder, name)
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", built[name],
                        os.path.join(HERE, name + ".c"), *libraries], check=True)


built = {}


def tlsload(mode, connections, path="/"):
    """HTTP/1.1 over TLS 1.3. `full`, `resumed`: a connection a request; or `keepalive`."""
    def load(program, seconds, core):
        done = json.loads(run([built["tlsload"], mode, str(program.port), NAME, path,
                               str(connections), str(seconds)], core))
        got = Load(done["requests"], done["errors"], done["bytes"], done["handshakes"],
                   done["resumed"])
        # The first connection of each client has nothing to resume.
        wrong = {"full": got.resumed, "keepalive": got.resumed,
                 "resumed": max(0, got.handshakes - connections - got.resumed)}[mode]
        if wrong:
            got.errors += wrong
        return got
    return load
