# SPDX-License-Identifier: BSD-2-Clause
"""What mhad makes of each trouble: which it calls by its name and leaves alone, and what it calls death, how soon.

One cluster of a flavour serves all its troubles, one after the other; a test that fails takes it down with it.
"""
import contextlib
import json
import os
import re
import signal
import threading
import time
from dataclasses import dataclass

import pytest

from . import fault
from .conftest import WANTED
from .flavour import flavour as find_flavour
from .mhad import Mhad, native
from .stage import DEADLY, Stage, undone
from .util import LabError, until

BOTH = ("corroborated", "mha")
FULL = bool(os.environ.get("MHAD_FULL"))
INTERVAL = 1.0
SLACK = 0.15
FUNCTIONS = {}  # by their names


# ---- which troubles, where ------------------------------------------------------------------------
ALL = ("my97", "my56", "ma1011", "ma118")


@dataclass(frozen=True)
class Case:
    name: str
    flavours: tuple
    policies: tuple
    quick: tuple  # (flavour, policy) of those that are not slow
    semisync: bool = False


TABLE = []


def trouble(*quick, on=ALL[:3], policies=BOTH[:1], **kw):
    """`quick` says what is not slow: "my97", or "my97 mha"."""
    def note(fn):
        pairs = tuple((d.split()[0], (d.split() + [BOTH[0]])[1]) for d in quick)
        FUNCTIONS[fn.__name__] = fn
        TABLE.append(Case(fn.__name__, on, policies, pairs, **kw))
        return fn
    return note


def cases():
    """By cluster, so that each is raised once."""
    for semisync in (False, True):
        for f in (f for f in ALL if f in WANTED):
            for c in (c for c in TABLE if c.semisync == semisync and f in c.flavours):
                for p in c.policies:
                    yield pytest.param((f, semisync), p, c.name, id=f"{f}-{p}-{c.name}",
                                       marks=() if (f, p) in c.quick else pytest.mark.slow)


@pytest.fixture(scope="module")
def stages():
    """One at a time."""
    up = {}

    def get(key):
        kept = up.get(key)
        if kept and not kept.spoiled:
            return kept
        for old in up.values():
            old.close()
        up.clear()
        find_flavour(key[0]).template()
        up[key] = Stage(key[0], semisync=key[1])
        return up[key]

    yield get
    for old in up.values():
        old.close()


# ---- never a failover: the network -----------------------------------------------------------------
@trouble("my97", "ma1011 mha", on=ALL, policies=BOTH)
def manager_cut_from_master(s):
    """The manager's host and the master cannot talk; all others can."""
    with s.watched(), s.unharmed():
        with fault.cut(s.mgr, s.master.host):
            s.stays("manager_cut")


@trouble("my56 mha", on=ALL, policies=BOTH)
def manager_cut_from_all(s):
    """The manager's host is alone."""
    with s.watched(), s.unharmed():
        with fault.isolated(s.mgr):
            s.stays("manager_cut")


@trouble("my56", policies=BOTH)
def split_view(s):
    """A cut leaves the master, a slave and a witness on the far side."""
    near, far = [s.mgr, s.slaves[1].host, s.w2], [s.master.host, s.slaves[0].host, s.w1]
    with s.watched(witnesses="root@w1, root@w2"), s.unharmed():
        with fault.cut(near, far):
            s.stays("split_view")
            assert s.slaves[0].host.name in s.mhad.status()["why"]


@contextlib.contextmanager
def quick_heartbeats(slaves):
    """A heartbeat every two seconds; else a silent cut is seen after a minute."""
    def change(seconds):
        for slave in slaves:
            f = slave.flavour
            slave.stop_slave()
            slave.sql(f"{f.change} TO {f.master}_HEARTBEAT_PERIOD={seconds}")
            slave.start_slave()
    change(2)
    yield
    change(30)


@trouble("ma1011", on=ALL)
def replicas_cut(s):
    """The slaves cannot reach the master, in silence; the manager can."""
    with quick_heartbeats(s.slaves), s.watched(), s.unharmed():
        until("heartbeats were seen", lambda: all(r["heard_ms"] is not None for r in s.mhad.status()["replicas"]))
        with fault.cut(s.master.host, [x.host for x in s.slaves]):
            s.stays("replication_cut")


@trouble()
def replicas_rejected(s):
    """The slaves are turned away by a packet filter before the master."""
    with s.watched(), s.unharmed():
        with contextlib.ExitStack() as rules:
            for slave in s.slaves:
                rules.enter_context(fault.rejected(s.master.host, s.master.port, slave.host))
                slave.stop_slave("IO_THREAD")
                slave.start_slave("IO_THREAD")
            s.stays("replication_cut")


@trouble("my97 mha", policies=BOTH)
def loss_to_master(s):
    """What the manager sends to the master is lost."""
    with s.watched(), s.unharmed():
        with fault.one_way(s.mgr, s.master.host):
            s.stays("manager_cut")


@trouble("my56", policies=BOTH)
def loss_from_master(s):
    """What the master sends to the manager is lost."""
    with s.watched(), s.unharmed():
        with fault.one_way(s.master.host, s.mgr):
            s.stays("manager_cut")


# ---- never a failover: a server that lives ----------------------------------------------------------
@trouble("my97", on=ALL)
def out_of_connections(s):
    """max_connections are taken, and mhad's session is ended."""
    with s.watched(), s.unharmed():
        with fault.crowded(s.master):
            fault.end_sessions(s.master)
            s.stays("saturated")


@trouble(policies=BOTH)
def out_of_connections_for_each_ping(s):
    """max_connections are taken; ping_type is CONNECT."""
    with s.watched(ping_type="CONNECT"), s.unharmed():
        with fault.crowded(s.master):
            s.stays("saturated")


@trouble("ma1011", on=("my97", "ma1011", "ma118"))
def account_locked(s):
    """The account is locked, everywhere since that replicates, and its session ended."""
    with s.watched(), s.unharmed():
        with fault.account_locked(s.master):
            fault.end_sessions(s.master)
            s.stays("refusing")


@trouble("my56", on=ALL)
def password_changed(s):
    """The account has another password, and its session is ended."""
    with s.watched(), s.unharmed():
        with fault.password_changed(s.master):
            fault.end_sessions(s.master)
            s.stays("refusing")


@trouble("my97", on=ALL)
def datadir_full(s):
    """Nothing can be written to the data directory."""
    with s.watched(), s.unharmed():
        with fault.disk_full(s.master):
            s.stays("disk_full")


@trouble()
def datadir_full_under_load(s):
    """Nothing can be written to the data directory, and somebody tries.  A server may end itself then."""
    with s.watched(auto_failover=False) as mhad:
        with s.load().wait(20), fault.disk_full(s.master):
            mhad.until(("disk_full", "process_dead"))
            end, dead = time.monotonic() + 6, False
            while time.monotonic() < end and not dead:
                dead = mhad.status()["verdict"] in DEADLY
                time.sleep(0.1)
            if dead:
                until("the server has ended itself, as mhad says", lambda: not s.master.running, 5)
            s.says("process_dead" if dead else "disk_full")
            s.tell("the server has ended itself" if dead else "the server lives")
        s.master.kill()  # what waits for space may wait for another minute
        s.master.start()
        s.well()


@trouble("my56", policies=BOTH)
def stalled_two_seconds(s):
    """It stands still for two seconds, again and again, at any moment of the interval."""
    with s.watched(), s.unharmed():
        for _ in range(3):
            with fault.frozen(s.master):
                time.sleep(2)
            s.mhad.until("healthy", "monitoring")
            time.sleep(0.37)


@trouble("ma1011", policies=BOTH)
def restart_in_grace(s):
    """Killed under load, it comes back and recovers within restart_grace."""
    with s.watched(restart_grace="30s"), s.unharmed():
        with s.load().wait(20):
            s.master.kill()
            s.stays("restarting", 4)
            s.master.start()
            s.well()


@trouble("my97", on=("my97", "ma1011"), policies=BOTH, semisync=True)
def acks_withheld(s):
    """Commits wait for a semi-sync acknowledgement that no slave sends."""
    with s.watched(), s.unharmed():
        with contextlib.ExitStack() as stopped, s.load().wait(5):
            for slave in s.slaves:
                stopped.enter_context(fault.receiver_stopped(slave))
            s.stays("ack_starved")


# ---- never a failover: the manager -------------------------------------------------------------------
def stop_mhad(s, seconds):
    with s.watched(), s.unharmed():
        s.mhad.proc.kill(signal.SIGSTOP)
        time.sleep(seconds)
        s.mhad.proc.kill(signal.SIGCONT)
        until("it says so", lambda: "stood still for" in s.mhad.proc.err, 5)
        assert any("stood still" in e["text"] for e in s.mhad.why()["evidence"]), s.mhad.tell()
        s.says("healthy")


@trouble("my97")
def mhad_stopped(s):
    """mhad stood still for eight seconds."""
    stop_mhad(s, 8)


@trouble(on=("my97", "ma1011"), policies=BOTH)
def mhad_stopped_for_a_minute(s):
    """mhad stood still for a minute."""
    stop_mhad(s, 60)


@trouble("my56", policies=BOTH)
def clock_set(s):
    """The wall clock of mhad is set by an hour, to and fro."""
    wall, hour = fault.WallClock(s.mgr), 3600
    with s.watched(env=wall.env), s.unharmed():
        for i, to in enumerate((hour, -hour, 0)):
            wall.set(to)
            until("it is noted", lambda: s.mhad.proc.err.count("the wall clock was set by") == i + 1, 5)
            s.stays("healthy", 2.5)
        assert re.findall("clock was set by ([-+][0-9.]+) s", s.mhad.proc.err) == ["+3600.0", "-7200.0", "+3600.0"]
        with fault.cut(s.mgr, s.master.host):
            wall.set(hour)
            s.stays("manager_cut", 3)
            wall.set(0)
            s.stays("manager_cut", 3)


FLEET = 10


@contextlib.contextmanager
def fleet(s):
    """Ten clusters: each server has an address of its own for each of them."""
    text, names = native(s.cluster, advisory_lock=False, detection=s.detection), []
    for i in range(FLEET):
        mine = text
        for k, server in enumerate(s.cluster):
            addr = f"10.77.0.{200 + i * 3 + k}"
            s.lab.switch.ip(f"addr add {addr}/24 dev eth0", pid=server.host.pid)
            mine = mine.replace(f'hostname = "{server.host.name}"', f'hostname = "{addr}"')
        names.append(f"c{i}")
        s.mgr.write(f"/etc/mhad/clusters.d/c{i}.conf", mine, 0o600)
    try:
        yield names
    finally:
        for i, name in enumerate(names):
            s.mgr.remove(f"/etc/mhad/clusters.d/{name}.conf")
            for k, server in enumerate(s.cluster):
                s.lab.switch.ip(f"addr del 10.77.0.{200 + i * 3 + k}/24 dev eth0", pid=server.host.pid)


@trouble("ma1011", on=("my97", "ma1011"), policies=BOTH)
def ten_clusters_at_once(s):
    """Ten unrelated clusters fall silent within one second."""
    s.mgr.run(["sh", "-c", "rm -rf /var/lib/mhad/* /etc/mhad/clusters.d/*"], check=True)
    s.mhad = mhad = Mhad(s.lab)
    before = s.face()
    with fleet(s) as names, mhad.start():
        for n in names:
            mhad.watching(n)
        with fault.isolated(s.mgr):
            until("all are held", lambda: all(mhad.status(n)["verdict"] == "manager_ill" for n in names), 8)
            s.says("manager_ill", names[3])
            assert "clusters fell silent at once" in mhad.status(names[0])["why"]
            # Held for tilt_hold, 10 s; then it is seen that all is silent.
            for n in names:
                mhad.until("manager_cut", name=n, within=20)
        for n in names:
            mhad.until("healthy", "monitoring", name=n, within=60)
            undone(mhad, n)
    assert s.face() == before


# ---- death --------------------------------------------------------------------------------------------
def death(s, verdict, since, within=12.0):
    """How long after `since` it was known, and looked at again and decided."""
    why = s.mhad.until(verdict, "blocked", within=within)
    assert "manual" in [g["name"] for g in why["gates"] if g["blocks"]]
    s.says(verdict)
    return s.mhad.instant(why, "verdict", verdict) - since, s.mhad.instant(why, "state", "confirming -> dead") - since


def deaths(s, fault_of, verdict, times=3 if FULL else 1, before=lambda: None, **settings):
    """(known, decided) after each of several faults.  auto_failover is off: what counts is the verdict."""
    took = []
    for i in range(times):
        with s.watched(auto_failover=False, **settings):
            time.sleep(0.21 * i)  # at other moments of the interval
            before()
            since = time.monotonic()
            with fault_of():
                took.append(death(s, verdict, since))
            s.well()
    known, decided = zip(*took)
    s.tell(f"{verdict} known after {figures(known)} ms, decided after {figures(decided)} ms")
    return known, decided


def figures(seconds):
    return ", ".join(f"{1000 * t:.0f}" for t in seconds)


def in_time(s, known, decided, least, most):
    """`most` is what is promised, and MHA decides with the fourth failure, one interval apart.

    A machine that does other things too is late, but of several times not each by much; the figures are printed.
    """
    if s.detection == "mha":
        assert min(decided) > least - SLACK
        known, most = decided, 5 * INTERVAL
    assert max(known) < most + 3 * INTERVAL and (len(known) == 1 or min(known) < most + 3 * SLACK)


class Bystander:
    """When do others see that the server's sessions end?  A process that is killed needs time to be gone."""

    def __init__(self, s):
        self.sock, self.at = s.w2.socket(), None
        self.sock.settimeout(8)
        self.sock.connect((s.master.addr, s.master.port))
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self):
        with self.sock, contextlib.suppress(ConnectionError):
            while self.sock.recv(4096):
                pass
        self.at = time.monotonic()


@trouble("my97", "ma1011 mha", on=ALL, policies=BOTH)
def killed_under_load(s):
    """kill -9 under load."""
    ends = []

    @contextlib.contextmanager
    def killed():
        seen, since = Bystander(s), time.monotonic()
        with fault.killed(s.master):
            seen.thread.join()
            ends.append(seen.at - since)
            yield
    with s.load() as load:
        known, decided = deaths(s, killed, "process_dead", 5 if FULL else 3, before=lambda: load.wait(20))
    s.tell(f"the server's sessions ended after {figures(ends)} ms")
    in_time(s, known, decided, 3 * INTERVAL, 0.1 + min(ends))


@trouble("my97", on=ALL, policies=BOTH)
def frozen(s):
    """SIGSTOP."""
    in_time(s, *deaths(s, lambda: fault.frozen(s.master), "hung"), 3.5 * INTERVAL, 3 * INTERVAL + 0.1)


@trouble("my56 mha", policies=BOTH)
def powered_off(s):
    """No RST, no answer to ARP."""
    in_time(s, *deaths(s, lambda: fault.off(s.master.host), "host_dead"), 3.5 * INTERVAL, 3.0)


@trouble("my97", policies=BOTH)
def link_down(s):
    """The master's cable is out."""
    in_time(s, *deaths(s, lambda: fault.unplugged(s.master.host), "host_dead"), 3.5 * INTERVAL, 3.0)


# ---- witnesses ------------------------------------------------------------------------------------------
@trouble("ma1011 mha", policies=BOTH)
def witness_off_too(s):
    """A witness is powered off together with the master: it does not block."""
    @contextlib.contextmanager
    def both():
        with fault.off(s.w1), fault.off(s.master.host):
            yield
    in_time(s, *deaths(s, both, "host_dead", witnesses="root@w1, root@w2"), 3.5 * INTERVAL, 3.0)


@contextlib.contextmanager
def node_program(host, body):
    """mha-node on that host is this shell script."""
    place = "/opt/mhad/bin/mha-node"
    real = os.readlink(host.path(place))
    host.remove(place)
    host.script(place, body)
    try:
        yield
    finally:
        host.remove(place)
        host.path(place).symlink_to(real)


def lies(result):
    """It answers only the question whether it reaches the master, and that always with the same."""
    answer = json.dumps({"address": "10.77.0.11", "port": 3306, "result": result, "ms": 1})
    return f"""[ "$1" = reach ] || exit 127\necho '{answer}'\n"""


@trouble("ma1011", policies=BOTH)
def witness_lies_that_it_lives(s):
    """The master is off, and one witness goes on to see it: it does not decide."""
    with node_program(s.w1, lies("greeting")):
        known = deaths(s, lambda: fault.off(s.master.host), "host_dead", witnesses="root@w1")
        assert any(t.startswith("sees") for t in s.lines("witness")), s.evidence
    in_time(s, *known, 3.5 * INTERVAL, 3.0)


@trouble("my97", policies=BOTH)
def witness_lies_that_it_is_dead(s):
    """The manager is cut from the master, and one witness finds it refused: it does not decide."""
    with node_program(s.w1, lies("refused")), s.watched(witnesses="root@w1"), s.unharmed():
        with fault.cut(s.mgr, s.master.host):
            s.stays("manager_cut")
            assert any(t.startswith("cannot") for t in s.lines("witness")), s.mhad.tell()


@contextlib.contextmanager
def ill(s):
    """One witness turns the manager's key away, the other's mha-node talks nonsense."""
    with fault.sshd_refusing(s.w1), node_program(s.w2, "echo nonsense"):
        yield


@trouble("my56", policies=BOTH)
def witnesses_ill(s):
    """Neither of two witnesses can look: a master that lives is left alone, one that is off is dead."""
    with ill(s):
        with s.watched(witnesses="root@w1, root@w2"), s.unharmed():
            with fault.cut(s.mgr, s.master.host):
                s.stays("manager_cut")
        known = deaths(s, lambda: fault.off(s.master.host), "host_dead", witnesses="root@w1, root@w2")
        assert s.lines("witness") and all(t.startswith("ill") for t in s.lines("witness")), s.evidence
    in_time(s, *known, 3.5 * INTERVAL, 3.0)


# ---- all of them ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("on, detection, name", cases())
def test_verdict(stages, capsys, on, detection, name):
    """See the function of that name."""
    s = stages(on)
    s.detection, s.name, s.spoiled = detection, name, True
    s.about = FUNCTIONS[name].__doc__

    def tell(text):
        with capsys.disabled():
            print(f"\n{s.flavour} {detection} {name}: {text}", end="", flush=True)
    s.tell = tell
    try:
        FUNCTIONS[name](s)
        s.spoiled = False
    except LabError as e:
        log = s.mhad.proc.err if s.mhad else ""
        raise LabError(f"{e}\n{log[-4000:]}") from None
