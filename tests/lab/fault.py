# SPDX-License-Identifier: BSD-2-Clause
"""What can break.  Each fault is a context manager that undoes itself, also when the test fails.

Undoing puts the cause right, not what it led to: a server that was fenced meanwhile stays fenced.
What a test wants to stay broken it does itself: server.kill(), host.off().
"""
import contextlib
import os
import shutil
import struct

import pymysql

from . import ssh
from .fetch import cache
from .flavour import ACCOUNTS
from .util import HERE, PYTHON, LabError, Unavailable, sh, until

PLUG_PORT = 13300


# ---- servers ----------------------------------------------------------------------------------
@contextlib.contextmanager
def killed(server):
    """kill -9; started again afterwards."""
    server.kill()
    try:
        yield
    finally:
        if server.host.on and not server.running:
            server.start()


@contextlib.contextmanager
def frozen(server):
    """SIGSTOP: the kernel still accepts connections, nobody answers."""
    server.freeze()
    try:
        yield
    finally:
        if server.running:
            server.thaw()


@contextlib.contextmanager
def applier_stopped(server):
    server.stop_slave("SQL_THREAD")
    try:
        yield
    finally:
        server.start_slave("SQL_THREAD")


@contextlib.contextmanager
def receiver_stopped(server):
    server.stop_slave("IO_THREAD")
    try:
        yield
    finally:
        server.start_slave("IO_THREAD")


@contextlib.contextmanager
def lagging(server, seconds):
    """Applies everything that many seconds late."""
    _delay(server, seconds)
    try:
        yield
    finally:
        _delay(server, 0)


def _delay(server, seconds):
    f = server.flavour
    server.stop_slave()
    server.sql(f"{f.change} TO {f.master}_DELAY={seconds}")
    server.start_slave()


@contextlib.contextmanager
def out_of_connections(server):
    """All max_connections taken by idle sessions: the next login is error 1040."""
    held = []
    try:
        with contextlib.suppress(pymysql.OperationalError):
            for _ in range(server.variable("max_connections") + 5):
                held.append(server.connect("app", password="app-pw"))
        yield
    finally:
        for c in held:
            c._force_close()


@contextlib.contextmanager
def crowded(server):
    """Out of connections, and so far beyond the limit that no reserved slot and no session that ends helps."""
    most = server.variable("max_connections")
    with out_of_connections(server):
        server.set(max_connections=most // 2)
        try:
            yield
        finally:
            server.set(max_connections=most)


def end_sessions(server, user="mha"):
    """KILL what that account has open."""
    for (i,) in server.sql("SELECT id FROM information_schema.processlist WHERE user=%s", user):
        with contextlib.suppress(pymysql.OperationalError):  # it was quicker
            server.sql(f"KILL {i}")


@contextlib.contextmanager
def password_changed(server, user="mha"):
    """The account has another password; its sessions go on.  Slaves follow, as with any statement."""
    def change(password):
        if server.flavour.name == "my56":
            server.sql(f"SET PASSWORD FOR '{user}'@'%%' = PASSWORD(%s)", password)
        else:
            server.sql(f"ALTER USER '{user}'@'%%' IDENTIFIED BY %s", password)
    change("another")
    try:
        yield
    finally:
        change(ACCOUNTS[user])


@contextlib.contextmanager
def account_locked(server, user="mha"):
    """Nobody logs in with it any more; its sessions go on.  MySQL 5.6 has no such thing."""
    server.sql(f"ALTER USER '{user}'@'%' ACCOUNT LOCK")
    try:
        yield
    finally:
        server.sql(f"ALTER USER '{user}'@'%' ACCOUNT UNLOCK")


# ---- hosts ------------------------------------------------------------------------------------
@contextlib.contextmanager
def off(host):
    """Power off: no process, no answer to ARP.  Afterwards it boots and its servers start."""
    ran = [s for s in host.lab.servers_on(host) if s.running]
    host.off()
    try:
        yield
    finally:
        if not host.on:
            host.boot()
            for s in ran:
                s.launch()
            for s in ran:
                s.wait()


@contextlib.contextmanager
def disk_full(server, leave=0):
    """No more than `leave` bytes can be written to its data directory."""
    at = f"{server.host.disk}{server.data}"

    def resize(size):
        sh("nsenter", "-t", server.lab.pid, "-m", "mount", "-o", f"remount,size={size}", at)

    def shrink():  # fails when the server has written something since we looked
        now = os.statvfs(server.path())
        resize((now.f_blocks - now.f_bfree) * now.f_frsize + leave)
        return True

    whole = os.statvfs(server.path())
    until(f"the disk of {server} is full", shrink, 5)
    try:
        yield
    finally:
        resize(whole.f_blocks * whole.f_frsize)


@contextlib.contextmanager
def sshd_stopped(host, sessions=True):
    """Port 22 is refused; with sessions, open ones are cut too."""
    ssh.stop(host, sessions)
    try:
        yield
    finally:
        if host.on:
            ssh.start(host)


@contextlib.contextmanager
def sshd_silent(host):
    """Port 22 accepts and the banner never comes.  Sessions that are open go on."""
    with silent(host, 22):
        yield


@contextlib.contextmanager
def sshd_refusing(host):
    """Nobody's key is good any more."""
    keys = host.read("/root/.ssh/authorized_keys")
    host.write("/root/.ssh/authorized_keys", "", 0o600)
    try:
        yield
    finally:
        host.write("/root/.ssh/authorized_keys", keys, 0o600)


@contextlib.contextmanager
def new_host_keys(host):
    """It is another machine now: sshd has other host keys.  Sessions that are open go on."""
    def change(owner):
        ssh.stop(host, sessions=False)
        ssh.host_keys(host, cache(), owner)
        ssh.start(host)
    change("stranger")
    try:
        yield
    finally:
        if host.on:
            change(host.name)


class WallClock:
    """A wall clock that one program of a host lives by: start it with `env`, then set()."""

    def __init__(self, host):
        if not shutil.which("cc"):
            raise Unavailable("no C compiler: nothing can set one program's wall clock")
        self.file = host.path("/srv/wallclock")
        self.set(0)
        library = host.path("/usr/local/lib/wallclock.so")
        library.parent.mkdir(parents=True, exist_ok=True)
        sh("cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, HERE / "wallclock.c")
        self.env = {"LD_PRELOAD": "/usr/local/lib/wallclock.so", "WALLCLOCK": "/srv/wallclock"}

    def set(self, seconds):
        """So many seconds away from what it is."""
        mode = "r+b" if self.file.exists() else "wb"
        with open(self.file, mode) as f:
            f.write(struct.pack("=q", seconds))


# ---- network ----------------------------------------------------------------------------------
@contextlib.contextmanager
def unplugged(host):
    """The cable is out: no carrier."""
    host.lab.switch.link(host.name, False)
    try:
        yield
    finally:
        if host.on:
            host.lab.switch.link(host.name, True)


@contextlib.contextmanager
def ruled(switch, hook, *texts, pid=None):
    """nftables rules, see net.Switch.rule()."""
    with contextlib.ExitStack() as undo:
        for t in texts:
            undo.callback(switch.rule(hook, t, pid))
        yield


def _names(hosts):
    hosts = [hosts] if hasattr(hosts, "name") else list(hosts)
    return hosts[0].lab.switch, "{ " + ", ".join(f'"{h.name}"' for h in hosts) + " }"


def one_way(source, target, match=""):
    """Frames from source to target vanish in the switch, ARP included.

    Both are a host or several.  `match` narrows it down in nft's words: "tcp dport 3306", "ether
    type ip" (ARP passes then).
    """
    switch, s = _names(source)
    return ruled(switch, "forward", f"iifname {s} oifname {_names(target)[1]} {match} drop")


@contextlib.contextmanager
def cut(one, other, match=""):
    """Nothing passes between them, in silence."""
    with one_way(one, other, match), one_way(other, one, match):
        yield


def isolated(host):
    """Cut off from everybody, with the carrier still there."""
    return ruled(host.lab.switch, "forward", f'iifname "{host.name}" drop', f'oifname "{host.name}" drop')


def loss(one, other, percent):
    """That share of the frames is lost, each way."""
    switch, a = _names(one)
    b = _names(other)[1]
    dice = f"numgen random mod 100 < {percent} drop"
    return ruled(switch, "forward", f"iifname {a} oifname {b} {dice}", f"iifname {b} oifname {a} {dice}")


def rejected(host, port, source=None):
    """The port answers with a TCP reset, to everybody or to one source host."""
    who = f"ip saddr {source.addr} " if source else ""
    return ruled(host.lab.switch, "input", f"{who}tcp dport {port} reject with tcp reset", pid=host.pid)


@contextlib.contextmanager
def _plugged(host, port, source, *plug):
    """New connections to the port go to plug.py instead."""
    switch = host.lab.switch
    door = PLUG_PORT + switch.rules % 100
    proc = host.start([PYTHON, str(HERE / "plug.py"), plug[0], str(door), *map(str, plug[1:])])
    try:
        until("the plug is ready", lambda: "ready" in proc.out, 5)
        who = f"ip saddr {source.addr} " if source else ""
        with ruled(switch, "prerouting", f"{who}tcp dport {port} redirect to :{door}", pid=host.pid):
            yield
    finally:
        proc.destroy()


def silent(host, port, source=None):
    """New connections to the port are accepted and meet silence.  Open ones go on."""
    return _plugged(host, port, source, "silent")


def proxied(server, after=-1, then="stall", delay=0, source=None):
    """New connections go through a proxy that stalls, closes or resets after so many bytes from
    the server, or that only slows down: seconds per chunk and direction."""
    if then not in ("stall", "close", "reset"):
        raise LabError(f"a proxy can stall, close or reset, not {then!r}")
    return _plugged(server.host, server.port, source, "proxy", server.port, after, then, delay)


# ---- power loss -------------------------------------------------------------------------------
@contextlib.contextmanager
def binlog_shortened(server, size):
    """The last `size` bytes of a dead server's last binlog never reached its disk."""
    file = server.binlogs()[-1]
    if server.running:
        raise LabError(f"{server} runs")
    whole = file.read_bytes()
    if size >= len(whole):
        raise LabError(f"{file.name} has only {len(whole)} bytes")
    os.truncate(file, len(whole) - size)
    try:
        yield
    finally:
        if not server.running:
            with open(file, "r+b") as f:
                f.write(whole)


@contextlib.contextmanager
def data_rewound(server, copy, keep=()):
    """A dead server's data directory is an earlier snapshot() of it.

    keep=("mysql-bin",): only InnoDB went back, the binlog is all there; keep=("ib", "#innodb",
    "labdata", "undo"): the other way round.
    """
    now = server.snapshot("now")
    try:
        server.restore_snapshot(copy, keep)
        yield
    finally:
        if server.running:
            server.kill()
        server.restore_snapshot(now)
        shutil.rmtree(now)


# ---- hooks ------------------------------------------------------------------------------------
HOOKS = {
    "ok": "exit 0",
    "fail": "echo 'hook: refused' >&2; exit 1",
    "slow": "sleep {seconds}; exit 0",
    "hang": "exec sleep 86400",
    "deaf": "trap '' TERM INT HUP; while :; do sleep 1; done",
    "noisy": "yes 'hook: so much to say' | head -c 5000000; exit 0",
    "leaves a child": "sleep 86400 & exit 0",
    "killed": "kill -9 $$",
}
HOOK_LOG = "/var/log/masterha/hooks.log"


def hook(host, name, kind="ok", seconds=3):
    """A hook script on the host that notes its arguments and then behaves as told; its path."""
    host.path("/var/log/masterha").mkdir(parents=True, exist_ok=True)
    body = f'echo "{name} $*" >>{HOOK_LOG}\n' + HOOKS[kind].format(seconds=seconds) + "\n"
    return host.script(f"/usr/local/bin/{name}", body)


def hook_calls(host):
    """The lines that hooks have noted."""
    p = host.path(HOOK_LOG)
    return p.read_text().splitlines() if p.exists() else []
