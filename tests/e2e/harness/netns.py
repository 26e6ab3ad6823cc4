# SPDX-License-Identifier: Apache-2.0
"""Network namespaces of the test's own, joined by a router:

    app  10.244.1.5 ---+
    gateway 10.244.2.15 ---+--- router (another namespace, forwards)
    outside 203.0.113.10 --+

They have no names and no process: a namespace lives as long as the descriptor that this process
holds, or a process in it. So parallel runs cannot meet, and whatever ends the test ends them.

`with network.app:` moves the calling thread into the namespace: sockets that it opens and programs
that it starts belong there, also after the block. Programs are started by the main thread alone:
they are killed when the thread ends that started them."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import socket
import subprocess
import threading

from .patience import DEADLINE_S, wait_until

CLONE_NEWNET = 0x40000000
ROUTER4, ROUTER6 = "169.254.1.1", "fe80::1"
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

libc = ctypes.CDLL(None, use_errno=True)


def program(name):
    return shutil.which(name, path=PATH)


def checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def in_thread(function):
    """Its result; what it does to its thread ends with it."""
    ret = []

    def run():
        try:
            ret.append((function(), None))
        except BaseException as failure:  # noqa: BLE001 - raised below
            ret.append((None, failure))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, failure = ret[0]
    if failure:
        raise failure
    return value


def current():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def new_namespace():
    """A descriptor of a new one."""
    def make():
        checked(libc.unshare(CLONE_NEWNET), "unshare")
        return current()
    return in_thread(make)


def why_not(*programs):
    """Why namespaces cannot be made here; empty: they can."""
    missing = [name for name in ("ip", "setpriv", "unshare", *programs) if not program(name)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    try:
        os.close(new_namespace())
    except OSError as failure:
        return f"needs root: {failure}"
    return ""


class Namespace:
    """`address`: IPv4, `address6`: IPv6, both reached from all others."""

    def __init__(self, network, name, address, address6):
        self.network, self.name = network, name
        self.address, self.address6 = address, address6
        self.fd = new_namespace()
        self.processes = []
        self.entered = threading.local()

    def __enter__(self):
        stack = self.entered.__dict__.setdefault("stack", [])
        stack.append(current())
        checked(libc.setns(self.fd, CLONE_NEWNET), f"setns {self.name}")
        return self

    def __exit__(self, *_):
        before = self.entered.stack.pop()
        try:
            checked(libc.setns(before, CLONE_NEWNET), "setns")
        finally:
            os.close(before)

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    # -- programs --

    def run(self, *argv, check=True, resolver=None, seconds=DEADLINE_S, **options):
        """To its end; `resolver`: the address in its resolv.conf."""
        with self:
            done = subprocess.run(self._argv(argv, resolver), capture_output=True, text=True,
                                  timeout=seconds, env={**os.environ, "PATH": PATH}, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"{argv}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, *argv, resolver=None, **options):
        """A program that lives until the network is closed."""
        with self:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._argv(argv, resolver)],
                stdin=subprocess.DEVNULL, env={**os.environ, "PATH": PATH}, **options)
        self.processes.append(process)
        return process

    def _argv(self, argv, resolver):
        argv = [str(x) for x in argv]
        if not resolver:
            return argv
        file = pathlib.Path(self.network.folder) / f"resolv-{self.name}.conf"
        file.write_text(f"nameserver {resolver}\noptions timeout:2 attempts:2\n")
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(file), *argv]

    # -- sockets --

    def listen(self, port=0, host=None, backlog=512):
        host = host or self.address
        with self:
            return socket.create_server((host, port), backlog=backlog,
                                        family=socket.AF_INET6 if ":" in host else socket.AF_INET)

    def connect(self, host, port, seconds=DEADLINE_S):
        with self:
            return socket.create_connection((host, port), timeout=seconds)

    def accepts(self, host, port):
        try:
            self.connect(host, port, 1).close()
            return True
        except OSError:
            return False

    def wait_for_port(self, port, host=None):
        host = host or self.address
        wait_until(lambda: self.accepts(host, port), f"{self.name}: {host}:{port} is listened on")

    # -- addresses --

    def add_address(self, address):
        """One more that all others reach."""
        bits, family = ("128", "-6") if ":" in address else ("32", "-4")
        self.run("ip", family, "address", "add", f"{address}/{bits}", "dev", "lo",
                 *(["nodad"] if family == "-6" else []))
        via = self.address6 if family == "-6" else self.address
        self.network.router.run("ip", family, "route", "add", f"{address}/{bits}", "via", via)

    def remove_address(self, address):
        bits, family = ("128", "-6") if ":" in address else ("32", "-4")
        self.network.router.run("ip", family, "route", "del", f"{address}/{bits}")
        self.run("ip", family, "address", "del", f"{address}/{bits}", "dev", "lo")

    def end_processes(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []


class Network:
    """Network(folder, app="10.244.1.5", ...): attributes of these names are Namespaces. A context
    manager; leaving ends every program that was started through it and gives the namespaces up."""

    def __init__(self, folder, **addresses):
        self.folder = folder
        self.namespaces = []
        try:
            self.router = self._add("router", ROUTER4, ROUTER6)
            self._set_up_router()
            for number, (name, address) in enumerate(addresses.items(), 1):
                setattr(self, name, self._add(name, address, f"fd00:{number:x}::5"))
                self._join(getattr(self, name))
        except BaseException:
            self.close()
            raise

    def _add(self, *args):
        self.namespaces.append(Namespace(self, *args))
        return self.namespaces[-1]

    def _set_up_router(self):
        with self.router:
            # Which namespace /proc/sys/net shows is that of the thread that opens it.
            for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                pathlib.Path(f"/proc/sys/net/{name}").write_text("1")
        self.router.run("ip", "link", "set", "lo", "up")
        # A source for its words about what cannot be reached.
        self.router.run("ip", "address", "add", "fd00::1/128", "dev", "lo", "nodad")

    def _join(self, ns):
        def batch(where, *lines):
            where.run("ip", "-batch", "-", input="\n".join(lines) + "\n")

        end = f"to-{ns.name}"[:15]
        self.router.run("ip", "link", "add", end, "type", "veth",
                        "peer", "name", "eth0", "netns", ns.path)
        batch(self.router, f"link set {end} up", f"address add {ROUTER4}/32 dev {end}",
              f"address add {ROUTER6}/64 dev {end} nodad",
              f"route add {ns.address}/32 dev {end}", f"route add {ns.address6}/128 dev {end}")
        batch(ns, "link set lo up", "link set eth0 up", f"address add {ns.address}/32 dev eth0",
              f"address add {ns.address6}/128 dev eth0 nodad",
              f"route add {ROUTER4}/32 dev eth0", f"route add default via {ROUTER4} src {ns.address}",
              f"route add default via {ROUTER6} dev eth0 src {ns.address6}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for ns in self.namespaces:
            ns.end_processes()
        for ns in self.namespaces:
            with contextlib.suppress(OSError):
                os.close(ns.fd)
        self.namespaces = []
