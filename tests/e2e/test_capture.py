# SPDX-License-Identifier: Apache-2.0
"""`sluicegate capture` and `run --sidecar --capture` in network namespaces: what is led to the
sidecar and what is not, and that an application is not cut off when the sidecar ends.

Where a sidecar only has to be reached, a stub stands for it that says which address was dialled."""

import signal
import socket
import subprocess
import sys
import threading

import pytest
from harness.gateway import Gateway, binary
from harness.netns import Network, why_not
from harness.patience import DEADLINE_S, wait_until
from harness.upstream import Upstream

pytestmark = pytest.mark.skipif(bool(why_not("nft")), reason=why_not("nft") or "-")

OUTBOUND, INBOUND = 15001, 15006
STUB_OUTBOUND, STUB_INBOUND = 16001, 16006
APP, OUTSIDE = "10.244.1.5", "203.0.113.10"
SOL_IP, SOL_IPV6, ORIGINAL_DST, SO_MARK, IP_TRANSPARENT, IPV6_TRANSPARENT = 0, 41, 80, 36, 19, 75
TCP_REPAIR = 19
MODES = ("redirect", "tproxy")


# -- who answers --


def converse(conn):
    """Says every line back."""
    with conn.sock.makefile("rb") as lines:
        for line in lines:
            conn.sock.sendall(line)


def direct(conn):
    conn.sock.sendall(f"direct {conn.upstream.name}\n".encode())
    converse(conn)


def original_destination(sock):
    if sock.family == socket.AF_INET6:
        data = sock.getsockopt(SOL_IPV6, ORIGINAL_DST, 28)
        return f"{socket.inet_ntop(socket.AF_INET6, data[8:24])} {int.from_bytes(data[2:4], 'big')}"
    data = sock.getsockopt(SOL_IP, ORIGINAL_DST, 16)
    return f"{socket.inet_ntop(socket.AF_INET, data[4:8])} {int.from_bytes(data[2:4], 'big')}"


def of_redirect(conn):
    conn.sock.sendall(f"{conn.upstream.name} {original_destination(conn.sock)}\n".encode())
    converse(conn)


def of_tproxy(conn):
    address, port = conn.sock.getsockname()[:2]
    peer = conn.sock.getpeername()[0]
    conn.sock.sendall(f"{conn.upstream.name} {address} {port} from {peer}\n".encode())
    converse(conn)


def listen_transparent(ns, host, port):
    with ns:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(SOL_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(SOL_IPV6, IPV6_TRANSPARENT, 1)
        else:
            sock.setsockopt(SOL_IP, IP_TRANSPARENT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(64)
    return sock


def forget(sock):
    """Ends it without telling the other end."""
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.close()


class World:
    """An application's namespace and one outside, and who answers there."""

    def __init__(self, network):
        self.network, self.app, self.outside = network, network.app, network.outside
        self.servers = []
        for host in (self.outside.address, self.outside.address6):
            for port in (53, 80, 8080):
                self.add(direct, "outside", self.outside.listen(port, host))
        for host in (self.app.address, self.app.address6, "127.0.0.1"):
            for port in (80, 8080, 15021):
                self.add(direct, "application", self.app.listen(port, host))

    def add(self, serve, name, listener):
        self.servers.append(Upstream(serve, name=name, listener=listener))

    def add_stub(self, mode="redirect", outbound=OUTBOUND, inbound=INBOUND):
        for host in ("0.0.0.0", "::"):
            for name, port in (("outbound", outbound), ("inbound", inbound)):
                if mode == "tproxy":
                    self.add(of_tproxy, name, listen_transparent(self.app, host, port))
                else:
                    self.add(of_redirect, name, self.app.listen(port, host))

    def close(self):
        for one in self.servers:
            one.close()
        failures = [x for one in self.servers for x in one.failures]
        assert not failures, failures

    def capture(self, *args, check=True, ns=None):
        return (ns or self.app).run(binary(), "capture", *args, check=check)

    def rules(self, *args):
        return self.app.run("nft", "--stateless", *args, "list", "ruleset").stdout

    def ip_rules(self):
        return [self.app.run("ip", family, "rule").stdout for family in ("-4", "-6")]

    def routes(self):
        return [self.app.run("ip", family, "route", "show", "table", "all").stdout
                for family in ("-4", "-6")]


@pytest.fixture
def world(tmp_path):
    with Network(tmp_path, app=APP, outside=OUTSIDE) as network:
        made = World(network)
        yield made
        made.close()


class Talk:
    """A connection that is kept."""

    def __init__(self, ns, host, port, mark=None, timeout=DEADLINE_S):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with ns:
            self.sock = socket.socket(family)
        self.sock.settimeout(timeout)
        if mark is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        try:
            self.sock.connect((host, port))
        except OSError:
            self.sock.close()
            raise
        self.lines = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.sock.close()

    def read(self):
        return self.lines.readline().decode().rstrip("\n")

    def say(self, text):
        """What comes back."""
        self.sock.sendall(f"{text}\n".encode())
        return self.read()


def ask(ns, host, port, **options):
    """Who answers there; "refused", "closed" when nobody does."""
    try:
        with Talk(ns, host, port, **options) as talk:
            return talk.read() or "closed"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "closed"


def is_refused(ns, host, port):
    """Asked of a listener that is being closed: who comes just then may get no word at all."""
    try:
        return ask(ns, host, port, timeout=DEADLINE_S / 10) == "refused"
    except TimeoutError:
        return False


ASK = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
print(sock.makefile().readline(), end="")
"""


def ask_as(ns, uid, gid, host, port):
    return ns.run("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", sys.executable,
                  "-c", ASK, host, port).stdout.strip()


# -- rules come and go --


@pytest.mark.parametrize("mode", MODES)
def test_up_twice_is_up_once_and_down_takes_everything_away(world, mode):
    world.app.run("nft", "add table inet other { chain c { tcp dport 1 accept; }; }")
    before = world.rules(), world.ip_rules(), world.routes()
    world.capture("up", "--mode", mode)
    once = world.rules(), world.ip_rules(), world.routes()
    assert once[0] != before[0]
    assert (once[1:] == before[1:]) == (mode == "redirect")
    world.capture("up", "--mode", mode)
    assert (world.rules(), world.ip_rules(), world.routes()) == once
    world.capture("down")
    assert (world.rules(), world.ip_rules(), world.routes()) == before
    world.capture("down")
    assert (world.rules(), world.ip_rules(), world.routes()) == before


def test_up_with_other_options_replaces_the_rules(world):
    before = world.ip_rules(), world.routes()
    world.capture("up", "--mode", "tproxy", "--exclude-cidrs", "192.0.2.0/24")
    assert "192.0.2.0/24" in world.rules()
    world.capture("up", "--fail", "closed", "--exclude-cidrs", "198.51.100.0/24,198.51.100.1")
    rules = world.rules()
    assert "192.0.2.0/24" not in rules and "tproxy" not in rules and "alive" not in rules
    assert "ip daddr 198.51.100.0/24 return" in rules
    assert (world.ip_rules(), world.routes()) == before


@pytest.mark.parametrize("half", ["nft delete table inet sluicegate_capture",
                                  "ip rule del fwmark 0x53a", "ip -6 rule del fwmark 0x53a",
                                  "ip route flush table 15001", "ip -6 route flush table 15001"])
def test_down_removes_what_is_half_there(world, half):
    before = world.rules(), world.ip_rules(), world.routes()
    world.capture("up", "--mode", "tproxy")
    world.app.run(*half.split())
    world.capture("down")
    assert (world.rules(), world.ip_rules(), world.routes()) == before


@pytest.mark.parametrize("options", [(), ("--mode", "tproxy"), ("--fail", "closed")])
def test_print_shows_what_up_sets_and_needs_no_privilege(world, options):
    printed = world.app.run("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all",
                            binary(), "capture", "print", *options).stdout
    assert world.rules() == ""
    world.app.run("nft", "-f", "-", input=printed)
    by_nft = world.rules()
    world.capture("down")
    world.capture("up", *options)
    assert world.rules() == by_nft


def test_without_privilege_it_says_what_is_missing(world):
    for action in ("up", "down", "status"):
        done = world.app.run("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all",
                             binary(), "capture", action, check=False)
        assert done.returncode == 1
        assert done.stderr == ("sluicegate capture: nftables may be changed with the capability "
                               "NET_ADMIN alone\n")


def test_up_says_what_it_did_and_status_what_is_in_force(world):
    assert world.capture("status").stdout == "No rules are set up; connections pass directly.\n"
    said = world.capture("up").stdout
    assert said.startswith("New TCP connections of this network namespace go to port 15001 "
                           "(outbound) and 15006 (inbound) by redirect while a sidecar")
    status = world.capture("status").stdout
    assert status.startswith("Set up, not in force: no sidecar has said lately")
    assert "table inet sluicegate_capture {" in status
    said = world.capture("up", "--fail", "closed", "--include-inbound-ports", "none").stdout
    assert said.endswith("go to port 15001 (outbound) by redirect from now on; while no sidecar "
                         "listens there they are refused (--fail closed).\n")
    status = world.capture("status").stdout
    assert status.startswith("In force, whether a sidecar listens or not (--fail closed).\n")


def test_when_the_loopback_device_is_down_nothing_is_left_behind(world):
    world.app.run("ip", "link", "set", "lo", "down")
    before = world.rules(), world.ip_rules()
    done = world.capture("up", "--mode", "tproxy", check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("(the loopback device is down)\n")
    assert (world.rules(), world.ip_rules()) == before
    world.app.run("ip", "link", "set", "lo", "up")


# -- what is captured --


@pytest.fixture(scope="module", params=MODES)
def captured(request, tmp_path_factory):
    """A world with a stub, for tests that change nothing but the rules."""
    with Network(tmp_path_factory.mktemp("captured"), app=APP, outside=OUTSIDE) as network:
        made = World(network)
        made.mode = request.param
        made.add_stub(made.mode)
        made.up = lambda *args: made.capture("up", "--mode", made.mode, "--fail", "closed", *args)
        yield made
        made.close()


def dialled(world, name, host, port, client=None):
    """What the stub says of such a connection."""
    from_client = f" from {client}" if world.mode == "tproxy" else ""
    return f"{name} {host} {port}{from_client}"


def test_the_way_out_is_captured_and_its_destination_kept(captured):
    captured.up()
    out, app = captured.outside, captured.app
    assert ask(app, out.address, 8080) == dialled(captured, "outbound", out.address, 8080, app.address)
    assert ask(app, out.address6, 80) == dialled(captured, "outbound", out.address6, 80, app.address6)
    # Also where nobody listens, or where there is nobody.
    assert ask(app, "198.51.100.7", 9) == dialled(captured, "outbound", "198.51.100.7", 9, app.address)
    with Talk(app, out.address, 8080) as talk:
        talk.read()
        for i in range(50):
            text = f"{i}" * 1000
            assert talk.say(text) == text


def test_the_way_in_is_captured_and_its_destination_kept(captured):
    captured.up()
    out, app = captured.outside, captured.app
    assert ask(out, app.address, 8080) == dialled(captured, "inbound", app.address, 8080, out.address)
    assert ask(out, app.address6, 80) == dialled(captured, "inbound", app.address6, 80, out.address6)
    assert ask(out, app.address, 15021) == "direct application"


def test_what_stays_within_the_namespace_is_not_captured(captured):
    captured.up()
    for host in ("127.0.0.1", captured.app.address, captured.app.address6):
        assert ask(captured.app, host, 8080) == "direct application"


def test_names_are_asked_for_directly_unless_their_port_is_named(captured):
    captured.up()
    assert ask(captured.app, captured.outside.address, 53) == "direct outside"
    captured.up("--include-outbound-ports", "53")
    assert ask(captured.app, captured.outside.address, 53).startswith("outbound ")


def test_the_sidecars_own_connections_are_not_captured(captured):
    host = captured.outside.address
    captured.up()
    assert ask(captured.app, host, 8080, mark=0x539) == "direct outside"
    assert ask(captured.app, host, 8080, mark=0x538).startswith("outbound ")
    assert ask_as(captured.app, 1337, 5, host, 8080) == "direct outside"
    assert ask_as(captured.app, 1338, 1337, host, 8080).startswith("outbound ")
    captured.up("--upstream-mark", "7", "--uid", "20,21", "--gid", "1337")
    assert ask(captured.app, host, 8080, mark=7) == "direct outside"
    assert ask(captured.app, host, 8080, mark=0x539).startswith("outbound ")
    assert ask_as(captured.app, 21, 5, host, 8080) == "direct outside"
    assert ask_as(captured.app, 1338, 1337, captured.outside.address6, 8080) == "direct outside"
    assert ask_as(captured.app, 1337, 5, host, 8080).startswith("outbound ")


OUT4, OUT6 = OUTSIDE, "fd00:2::5"


@pytest.mark.parametrize("options, is_captured", [
    (("--exclude-cidrs", "203.0.113.0/24"), {(OUT4, 80): False, (OUT6, 80): True}),
    (("--exclude-cidrs", "fd00::/8,198.51.100.0/24"), {(OUT4, 80): True, (OUT6, 80): False}),
    (("--include-cidrs", "203.0.113.10"), {(OUT4, 80): True, (OUT6, 80): False}),
    (("--include-cidrs", "0.0.0.0/0", "--exclude-cidrs", "203.0.113.8/29"),
     {(OUT4, 80): False, (OUT6, 80): False}),
    (("--include-cidrs", "::/0"), {(OUT4, 80): False, (OUT6, 80): True}),
    (("--exclude-outbound-ports", "80"), {(OUT4, 80): False, (OUT6, 80): False, (OUT4, 8080): True}),
    (("--include-cidrs", "none", "--include-outbound-ports", "80"),
     {(OUT4, 80): True, (OUT6, 80): True, (OUT4, 8080): False}),
    (("--exclude-cidrs", "203.0.113.0/24", "--include-outbound-ports", "80"),
     {(OUT4, 80): True, (OUT4, 8080): False, (OUT6, 8080): True}),
    (("--exclude-outbound-ports", "80", "--include-outbound-ports", "80"),
     {(OUT4, 80): False, (OUT4, 8080): True}),
    (("--outbound-port", "0"), {(OUT4, 80): False, (OUT6, 80): False}),
], ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_destinations_are_chosen_by_address_and_port(captured, options, is_captured):
    captured.up(*options)
    for (host, port), wanted in is_captured.items():
        answer = ask(captured.app, host, port)
        assert answer.startswith("outbound " if wanted else "direct outside"), (host, port, answer)


@pytest.mark.parametrize("options, is_captured", [
    (("--include-inbound-ports", "80"), {80: True, 8080: False}),
    (("--exclude-inbound-ports", "80"), {80: False, 8080: True}),
    (("--include-inbound-ports", "80,8080", "--exclude-inbound-ports", "8080"), {80: True, 8080: False}),
    (("--include-inbound-ports", "none"), {80: False, 8080: False}),
    (("--inbound-port", "0"), {80: False, 8080: False}),
], ids=lambda x: " ".join(x) if isinstance(x, tuple) else "")
def test_inbound_ports_are_chosen(captured, options, is_captured):
    captured.up(*options)
    for port, wanted in is_captured.items():
        for host in (captured.app.address, captured.app.address6):
            answer = ask(captured.outside, host, port)
            assert answer.startswith("inbound " if wanted else "direct application"), (port, answer)


# -- connections that are open when rules change --


@pytest.mark.parametrize("mode", MODES)
def test_a_connection_stays_what_it_was_when_the_rules_come(world, mode):
    world.add_stub(mode)
    with Talk(world.app, OUTSIDE, 8080) as out, Talk(world.outside, APP, 8080) as into:
        assert (out.read(), into.read()) == ("direct outside", "direct application")
        world.capture("up", "--mode", mode, "--fail", "closed")
        assert ask(world.app, OUTSIDE, 8080).startswith("outbound ")
        assert (out.say("still here"), into.say("still here")) == ("still here", "still here")


@pytest.mark.parametrize("mode", MODES)
def test_a_captured_connection_stays_captured_when_rules_are_replaced(world, mode):
    world.add_stub(mode)
    world.capture("up", "--mode", mode, "--fail", "closed")
    with Talk(world.app, OUTSIDE, 8080) as out, Talk(world.outside, APP, 8080) as into:
        assert out.read().startswith("outbound ") and into.read().startswith("inbound ")
        world.capture("up", "--mode", mode, "--fail", "closed", "--exclude-cidrs", "203.0.113.0/24",
                      "--include-inbound-ports", "none")
        assert ask(world.app, OUTSIDE, 8080) == "direct outside"
        assert ask(world.outside, APP, 8080) == "direct application"
        assert (out.say("still here"), into.say("still here")) == ("still here", "still here")


# -- while no sidecar runs --


@pytest.fixture
def sidecar(tmp_path):
    """Starts sidecars. `ends`: killed by the test; nothing is asked of them then."""
    started = []

    def start(world, *args, ends=False, **options):
        folder = tmp_path / f"sidecar-{len(started)}"
        folder.mkdir()
        one = Gateway(folder, "--sidecar", *args, ports=(), bind="::", netns=world.app, **options)
        one.ends = ends
        started.append(one)
        return one.start()

    yield start
    for one in started:
        if one.ends:
            one.kill()
            one.check_log()
        else:
            one.finish()


@pytest.mark.parametrize("mode", MODES)
def test_rules_that_fail_closed_hold_without_a_sidecar(world, mode):
    world.capture("up", "--mode", mode, "--fail", "closed")
    for out, into in ((OUT4, world.app.address), (OUT6, world.app.address6)):
        assert ask(world.app, out, 8080) == "refused"
        assert ask(world.outside, into, 8080) == "refused"
    assert ask(world.app, OUTSIDE, 53) == "direct outside"


@pytest.mark.parametrize("mode", MODES)
def test_who_is_connected_hears_that_nobody_is_there_any_more(world, mode):
    """Of a captured connection whose sidecar ended without a word."""
    world.capture("up", "--mode", mode, "--fail", "closed")
    if mode == "tproxy":
        out, into = (listen_transparent(world.app, "0.0.0.0", x) for x in (OUTBOUND, INBOUND))
    else:
        out, into = (world.app.listen(x, "0.0.0.0") for x in (OUTBOUND, INBOUND))
    with Talk(world.app, OUTSIDE, 8080) as one, Talk(world.outside, APP, 8080) as other:
        for listener in (out, into):
            sock, _ = listener.accept()
            listener.close()
            forget(sock)
        for talk in (one, other):
            with pytest.raises(ConnectionResetError):
                talk.say("x")


@pytest.mark.parametrize("mode", MODES)
def test_rules_that_fail_open_follow_the_sidecar(world, sidecar, mode):
    """Nothing is captured before it is there, nor soon after it was killed; what was captured
    while it lived stays so."""
    world.add_stub(mode, STUB_OUTBOUND, STUB_INBOUND)
    world.capture("up", "--mode", mode, "--outbound-port", STUB_OUTBOUND,
                  "--inbound-port", STUB_INBOUND)
    assert ask(world.app, OUTSIDE, 8080) == "direct outside"
    assert ask(world.outside, APP, 8080) == "direct application"
    one = sidecar(world, ends=True)
    for out in (OUT4, OUT6):
        assert ask(world.app, out, 8080).startswith("outbound ")
    assert ask(world.outside, APP, 8080).startswith("inbound ")
    assert world.capture("status").stdout.startswith("In force: a sidecar is alive (--fail open).\n")
    with Talk(world.app, OUTSIDE, 8080) as talk:
        assert talk.read().startswith("outbound ")
        one.kill()
        wait_until(lambda: ask(world.app, OUT4, 8080) == "direct outside", "passes directly")
        wait_until(lambda: ask(world.outside, APP, 8080) == "direct application", "passes directly")
        wait_until(lambda: ask(world.app, OUT6, 8080) == "direct outside", "passes directly")
        assert talk.say("still captured") == "still captured"


def test_nothing_passes_by_while_the_sidecar_lives(world, sidecar):
    """Signs of life are renewed without a gap, also when rules are replaced meanwhile."""
    world.add_stub("redirect", STUB_OUTBOUND, STUB_INBOUND)
    up = ("up", "--fail-open-after", "2s", "--outbound-port", STUB_OUTBOUND,
          "--inbound-port", STUB_INBOUND)
    world.capture(*up)
    sidecar(world)
    answers, is_over = set(), threading.Event()

    def keep_asking():
        while not is_over.is_set():
            answers.add(ask(world.app, OUTSIDE, 8080))

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        beats = world.app.start("nft", "monitor", stdout=subprocess.PIPE)
        seen = 0
        for line in beats.stdout: # three beats: longer than elements live
            seen += b"add element" in line
            if seen == 2:
                world.capture(*up)
            if seen >= 6:
                break
        beats.terminate()
        beats.stdout.close()
    finally:
        is_over.set()
        thread.join()
    assert answers == {f"outbound {OUTSIDE} 8080"}


def test_a_sidecar_that_ends_lets_connections_pass_at_once(world, sidecar):
    world.add_stub("redirect", STUB_OUTBOUND, STUB_INBOUND)
    world.capture("up", "--fail-open-after", "1h", "--outbound-port", STUB_OUTBOUND,
                  "--inbound-port", STUB_INBOUND)
    one = sidecar(world)
    assert ask(world.app, OUTSIDE, 8080).startswith("outbound ")
    one.signal(signal.SIGTERM)
    one.wait_exit()
    assert ask(world.app, OUTSIDE, 8080) == "direct outside"
    assert ask(world.outside, APP, 8080) == "direct application"


def test_a_sidecar_without_privilege_says_so_once(world, tmp_path):
    world.capture("up")
    folder = tmp_path / "manifests"
    folder.mkdir()
    process = world.app.start("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all",
                              binary(), "run", "--sidecar", "-f", folder, "--log-level", "debug",
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("sluicegate: ready"):
            break
    process.terminate()
    lines += process.stderr.readlines()
    assert process.wait(DEADLINE_S) == 0
    warnings = [x for x in lines if "capture:" in x]
    assert len(warnings) == 1, lines
    assert "without the capability NET_ADMIN no sign of life can be given" in warnings[0]
    assert ask(world.app, OUTSIDE, 8080) == "direct outside"


# -- rules that a sidecar holds --


def test_held_rules_exclude_others(world, sidecar):
    """Neither takes the other's rules away, and each says why."""
    one = sidecar(world, "--capture")
    rules = world.rules()
    for action in ("up", "down"):
        done = world.capture(action, check=False)
        assert done.returncode == 1
        assert f"are held by a running `sluicegate run --capture` (netlink port " in done.stderr
    assert world.rules() == rules
    assert world.capture("status").stdout.startswith("In force, held by a running sidecar (netlink")
    one.signal(signal.SIGTERM)
    one.wait_exit()
    assert world.rules() == ""
    world.capture("up")
    rules = world.rules()
    other = world.app.run(binary(), "run", "--sidecar", "--capture", "-f", one.folder, check=False)
    assert other.returncode == 1
    assert "--capture: rules of `sluicegate capture up` are there already" in other.stderr
    assert world.rules() == rules


def test_capture_without_privilege_is_refused(world, tmp_path):
    done = world.app.run("setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all",
                         binary(), "run", "--sidecar", "--capture", "-f", tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("sluicegate: --capture: nftables may be changed with the "
                                  "capability NET_ADMIN alone; without --capture")


@pytest.mark.parametrize("mode", MODES)
def test_an_application_is_not_cut_off_when_the_sidecar_is_killed(world, sidecar, mode):
    one = sidecar(world, "--capture", "--capture-mode", mode, "--outbound-policy", "REGISTRY_ONLY",
                  ends=True)
    for out in (OUT4, OUT6):
        assert ask(world.app, out, 8080) != "direct outside"
    one.kill()
    for out in (OUT4, OUT6):
        assert ask(world.app, out, 8080) == "direct outside"
    assert ask(world.outside, APP, 8080) == "direct application"
    assert world.rules() == ""
    # What is left of policy routing does nothing, and the next sidecar takes it over.
    assert ("15001" in world.ip_rules()[0]) == (mode == "tproxy")
    again = sidecar(world, "--capture", "--capture-mode", mode)
    again.signal(signal.SIGTERM)
    again.wait_exit()
    assert world.rules() == "" and "15001" not in "".join(world.ip_rules() + world.routes())


def open_connections(one):
    return one.metric("sluicegate_downstream_connections_active")


@pytest.mark.parametrize("mode", MODES)
def test_who_is_connected_hears_of_the_sidecars_violent_end(world, sidecar, mode):
    """The rules go after the process's connections, so that their ends reach the application."""
    one = sidecar(world, "--capture", "--capture-mode", mode, ends=True)
    with Talk(world.app, OUTSIDE, 8080) as out, Talk(world.outside, APP, 8080) as into:
        assert (out.read(), into.read()) == ("direct outside", "direct application")
        assert open_connections(one) == 2
        one.kill()
        for talk in (out, into):
            try:
                assert talk.read() == ""
            except ConnectionResetError:
                pass


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_held", [True, False], ids=["held", "fail-open"])
def test_a_drain_serves_what_is_captured_and_captures_nothing_more(world, sidecar, mode, is_held):
    if is_held:
        one = sidecar(world, "--capture", "--capture-mode", mode)
    else:
        world.capture("up", "--mode", mode)
        one = sidecar(world, "--capture-mode", mode)
    with Talk(world.app, OUTSIDE, 8080) as out, Talk(world.outside, APP, 8080) as into:
        assert (out.read(), into.read()) == ("direct outside", "direct application")
        assert open_connections(one) == 2
        one.signal(signal.SIGTERM)
        one.log.wait_for("SIGTERM: draining")
        wait_until(lambda: is_refused(world.app, APP, OUTBOUND), "the listener is closed")
        for _ in range(3):
            assert ask(world.app, OUTSIDE, 8080) == "direct outside"
            assert ask(world.outside, APP, 8080) == "direct application"
            assert open_connections(one) == 2
            assert (out.say("still served"), into.say("still served")) == ("still served",) * 2
    one.wait_exit()
    assert (world.rules() == "") == is_held
