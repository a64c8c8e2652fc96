# SPDX-License-Identifier: BSD-2-Clause
"""daemon/ssh.h against a real sshd, both transports through the same list.

build/tools/ssh opens one session and obeys lines.  It and the sshd share a network namespace (own
loopback) and see another ~/.ssh; no database server is needed.
"""
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from .util import Unavailable, sh, until

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")).parent / "tools/ssh"
SLACK = 2000  # ms; generous, the machine may be busy
PORT = 2022
SSHD = """\
Port {port}
ListenAddress 127.0.0.1
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile {dir}/authorized
MaxSessions 30
RekeyLimit 30M
"""


class Session:
    """One run of the tool."""

    def __init__(self, box, args, env):
        self.proc = subprocess.Popen(box.inside(TOOL, *args), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     env={
                                         **os.environ, "TMPDIR": str(box.tmp), "LSAN_OPTIONS":
                                         f"print_suppressions=0:suppressions={box.leaks}", **env})
        self.opened = self.answer()
        self.transport = self.opened.get("transport")

    def answer(self):
        line = self.proc.stdout.readline()
        assert line, f"the tool ended: {self.proc.wait()}"
        return json.loads(line)

    def send(self, *words):
        self.proc.stdin.write(" ".join(map(str, words)) + "\n")
        self.proc.stdin.flush()

    def __call__(self, *words):
        self.send(*words)
        return self.answer()

    def run(self, command, ms=20000):
        return self("exec", ms, command)

    def close(self):
        """End it; its exit status (a sanitizer may have its say in it)."""
        self.proc.stdin.close()
        return self.proc.wait(timeout=10)


class Box:
    """A namespace with an sshd, client keys and a ~/.ssh of its own."""

    def __init__(self, directory):
        self.dir = directory
        self.tmp, self.home = directory / "tmp", directory / "ssh"
        self.known = directory / "known_hosts"
        # libssh2 1.10 itself forgets some bytes at an ECDSA login and with new keys.
        self.leaks = directory / "leaks"
        self.leaks.write_text("leak:libssh2.so\nleak:libcrypto.so\n")
        self.sshd = None
        for d in (self.tmp, self.home):
            d.mkdir(mode=0o700)
        for kind in ("ed25519", "ecdsa", "rsa"):
            for name in (f"host_{kind}", f"key_{kind}"):
                self.make_key(name, kind)
        self.make_key("host_other", "ed25519")
        self.make_key("key_locked", "ed25519", "a secret")
        self.make_key("key_stranger", "ed25519")
        self.let_in("ed25519", "ecdsa", "rsa", "locked")
        Path("/root/.ssh").mkdir(mode=0o700, exist_ok=True)
        self.keeper = subprocess.Popen(
            ["unshare", "-mn", "sh", "-c", "ip link set lo up; mount --bind \"$1\" /root/.ssh; mount -t tmpfs none /run;"
             "mkdir /run/sshd; echo ready; exec sleep infinity", "sh", self.home], stdout=subprocess.PIPE, text=True)
        if self.keeper.stdout.readline() != "ready\n":
            raise Unavailable("cannot make namespaces")

    def make_key(self, name, kind, passphrase=""):
        sh("ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", self.dir / name)

    def let_in(self, *names):
        (self.dir / "authorized").write_text("".join((self.dir / f"key_{n}.pub").read_text() for n in names))

    def inside(self, *argv):
        return ["nsenter", "-t", str(self.keeper.pid), "-m", "-n", *map(str, argv)]

    def start(self, hosts=("ed25519", "ecdsa", "rsa")):
        self.stop()
        config = self.dir / "sshd_config"
        config.write_text(SSHD.format(port=PORT, dir=self.dir) + "".join(f"HostKey {self.dir}/host_{h}\n" for h in hosts))
        self.sshd = subprocess.Popen(self.inside("/usr/sbin/sshd", "-D", "-e", "-f", config),
                                     stderr=open(self.dir / "sshd.log", "a"))
        until("sshd listens", lambda: subprocess.run(
            self.inside("bash", "-c", f": </dev/tcp/127.0.0.1/{PORT}"), stderr=subprocess.DEVNULL).returncode == 0)

    def descendants(self, pid=None):
        """Processes of the sshd, the outermost first."""
        out = sh("pgrep", "-P", pid or self.sshd.pid, check=False).split()
        return [p for child in out for p in (int(child), *self.descendants(child))]

    def runs(self, name):
        return any(Path(f"/proc/{p}/comm").read_text() == name + "\n" for p in self.descendants())

    def stop(self):
        if self.sshd:
            for pid in [*self.descendants(), self.sshd.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.sshd.wait()
        self.sshd = None

    def end(self):
        self.stop()
        self.keeper.kill()
        self.keeper.wait()

    @contextlib.contextmanager
    def open(self, transport="auto", key="key_ed25519", env=None, **more):
        args = {"port": PORT, "known_hosts": self.known, "host_keys": "accept-new", "transport": transport,
                "host_key_name": "db1", **more}
        if key:
            args["key"] = self.dir / key
        s = Session(self, [f"{k}={v}" for k, v in args.items()], env or {})
        try:
            yield s
            if s.transport and s.proc.poll() is None:
                assert s.close() == 0
        finally:
            s.proc.kill()
            s.proc.wait()

    def failing(self, **args):
        """The error of a session that must not come to be."""
        with self.open(**args) as s:
            assert not s.transport, s.opened
            return s.opened


@pytest.fixture(scope="module")
def the_box():
    if os.geteuid():
        raise Unavailable("the lab needs root: it makes namespaces and mounts")
    with tempfile.TemporaryDirectory(prefix="mhad-ssh-", dir="/tmp") as d:
        box = Box(Path(d))
        try:
            yield box
        finally:
            box.end()


@pytest.fixture
def box(the_box):
    the_box.known.unlink(missing_ok=True)
    for f in the_box.home.iterdir():
        f.unlink()
    the_box.let_in("ed25519", "ecdsa", "rsa", "locked")
    the_box.start()
    yield the_box
    until("nothing is left behind", lambda: not list(the_box.tmp.iterdir()), 5)


@pytest.fixture(params=["libssh2", "openssh"])
def transport(request):
    return request.param


def rsa_by_libssh2(box):
    """A libssh2 that signs as today's servers want does not need the other transport."""
    with box.open("libssh2", key="key_rsa") as s:
        return s.transport == "libssh2"


# ---- login -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_key_kinds(box, kind):
    """Each kind of key logs in; RSA falls to ssh(1) by itself where libssh2 is too old."""
    by_lib = kind != "rsa" or rsa_by_libssh2(box)
    with box.open(key=f"key_{kind}") as s:
        assert s.transport == ("libssh2" if by_lib else "openssh"), s.opened
        assert s.run("echo here")["out"] == "here\n"
    with box.open("openssh", key=f"key_{kind}") as s:
        assert s.run("echo here")["out"] == "here\n"
    if not by_lib:
        e = box.failing(transport="libssh2", key=f"key_{kind}")
        assert e["kind"] == "refused" and "RSA" in e["text"] and "ed25519" in e["hint"]


def test_default_keys(box, transport):
    """Without a key in the configuration: what lies in ~/.ssh."""
    e = box.failing(transport=transport, key=None)
    assert e["kind"] in ("config", "refused") and e["hint"], e
    shutil.copy(box.dir / "key_stranger", box.home / "id_ed25519")
    shutil.copy(box.dir / "key_ecdsa", box.home / "id_ecdsa")
    with box.open(transport, key=None) as s:
        assert s.run("exit 5")["status"] == 5


def test_default_rsa_key_only(box):
    """Only an RSA key, found late: the second transport takes over."""
    shutil.copy(box.dir / "key_rsa", box.home / "id_rsa")
    with box.open(key=None) as s:
        assert s.run("exit 5")["status"] == 5


@contextlib.contextmanager
def agent(box, *keys):
    sock = box.dir / "agent"
    p = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    try:
        until("the agent listens", sock.exists)
        env = {"SSH_AUTH_SOCK": str(sock)}
        for k in keys:
            askpass = box.dir / "askpass"
            askpass.write_text("#!/bin/sh\necho 'a secret'\n")
            askpass.chmod(0o700)
            sh("ssh-add", "-q", box.dir / k, env={**os.environ, **env, "SSH_ASKPASS": str(askpass),
                                                   "SSH_ASKPASS_REQUIRE": "force"})
        yield env
    finally:
        p.kill()
        p.wait()
        sock.unlink(missing_ok=True)


def test_agent(box, transport):
    with agent(box, "key_stranger", "key_ecdsa") as env, box.open(transport, key=None, env=env) as s:
        assert s.run("echo by agent")["out"] == "by agent\n"


def test_agent_rsa(box):
    with agent(box, "key_rsa") as env, box.open(key=None, env=env) as s:
        assert s.run("echo by agent")["out"] == "by agent\n"


def test_locked_key(box, transport):
    """A passphrase is never asked for; an agent that holds the key serves."""
    e = box.failing(transport=transport, key="key_locked")
    assert e["kind"] == "config" and "passphrase" in e["text"] and "ssh-add" in e["hint"], e
    with agent(box, "key_locked") as env, box.open(transport, key="key_locked", env=env) as s:
        assert s.run("exit 6")["status"] == 6


def test_refused_key(box, transport):
    e = box.failing(transport=transport, key="key_stranger")
    assert e["kind"] == "refused" and e["host"] == "host", e
    assert f"add {box.dir}/key_stranger.pub to ~root/.ssh/authorized_keys on host" == e["hint"]
    box.let_in("stranger")
    with box.open(transport, key="key_stranger") as s:
        assert s.transport == transport


def test_bad_key_files(box, transport):
    bad = box.dir / "key_bad"
    bad.write_text("no key\n")
    bad.chmod(0o600)
    assert box.failing(transport=transport, key="key_bad")["kind"] == "config"
    assert box.failing(transport=transport, key="key_missing")["kind"] == "config"
    shutil.copy(box.dir / "key_ed25519", bad)
    bad.chmod(0o644)
    e = box.failing(transport=transport, key="key_bad")
    assert e["kind"] == "config" and "key_bad" in e["text"], e


# ---- host keys -------------------------------------------------------------------------------------

def test_strict_and_the_hint(box, transport):
    """An unknown host is refused; what the hint says to type makes it known."""
    e = box.failing(transport=transport, host_keys="strict")
    assert e["kind"] == "refused" and "[db1]:2022" in e["text"] and str(box.known) in e["text"], e
    subprocess.run(box.inside("sh", "-c", e["hint"].split("then: ")[1]), check=True, stderr=subprocess.DEVNULL)
    with box.open(transport, host_keys="strict") as s:
        assert s.transport == transport


def test_changed_key(box, transport):
    """Pinned at first sight by one transport, checked by both; a change is refused and the way out works."""
    with box.open(transport) as s:
        assert s.transport == transport
    pinned = box.known.read_text()
    assert len(pinned.splitlines()) == 1 and box.known.stat().st_mode & 0o777 == 0o600
    for t in ("libssh2", "openssh"):
        with box.open(t, host_keys="strict") as s:
            assert s.transport == t
    box.start(hosts=["other"])
    e = box.failing(transport=transport)
    assert e["kind"] == "refused" and "CHANGED" in e["text"], e
    assert box.known.read_text() == pinned
    subprocess.run(["sh", "-c", "ssh-keygen -q -R" + e["hint"].split("ssh-keygen -R")[1].split(", then")[0]], check=True,
                   capture_output=True)
    with box.open(transport) as s:
        assert s.transport == transport


def test_changed_line_is_named(box):
    box.known.write_text("# mine\n[db1]:2022 " + (box.dir / "host_other.pub").read_text())
    e = box.failing(transport="libssh2")
    assert f"{box.known} line 2" in e["text"], e
    assert f"{box.known}:2" in box.failing(transport="openssh")["text"]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_known_kind_is_asked_for(box, kind):
    """The server has three host keys, known_hosts one: that is not a changed key."""
    box.known.write_text(f"[db1]:2022 {(box.dir / f'host_{kind}.pub').read_text()}")
    sh("ssh-keygen", "-q", "-H", "-f", box.known)
    with box.open(host_keys="strict") as s:
        assert s.run("exit 3")["status"] == 3
        if kind != "rsa":
            assert s.transport == "libssh2"
    with box.open("openssh", host_keys="strict") as s:
        assert s.transport == "openssh"


def test_revoked(box, transport):
    box.known.write_text("".join(f"@revoked * {(box.dir / f'host_{k}.pub').read_text()}" for k in ("ed25519", "ecdsa", "rsa")))
    e = box.failing(transport=transport)
    assert e["kind"] in ("refused", "unreachable") and e["text"], e


def test_many_meet_a_new_host(box):
    """Several processes at once pin one line."""
    with contextlib.ExitStack() as stack:
        threads = [threading.Thread(target=lambda: stack.enter_context(box.open("libssh2"))) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert len(box.known.read_text().splitlines()) == 1


# ---- choice of the transport -------------------------------------------------------------------------

def test_options_choose_ssh(box):
    with box.open(key=None, options=f"-o 'IdentityFile={box.dir}/key_ecdsa' -o IdentitiesOnly=yes") as s:
        assert s.transport == "openssh"
        assert s.run("exit 4")["status"] == 4
    e = box.failing(options="-o NoSuchOption=1")
    assert e["kind"] == "config" and "NoSuchOption" in e["text"].replace("nosuchoption", "NoSuchOption"), e
    e = box.failing(options="-i $HOME/key")
    assert e["kind"] == "config" and "without a shell" in e["hint"], e


@pytest.mark.parametrize("name", ["127.0.0.1", "db1"])
def test_config_chooses_ssh(box, name):
    """~/.ssh/config counts when it says something about this host, by address or by name."""
    config = box.home / "config"
    config.write_text("Host elsewhere\n  IdentityFile /nowhere\n")
    with box.open() as s:
        assert s.transport == "libssh2"
    config.write_text(f"Host {name}\n  IdentityFile {box.dir}/key_ecdsa\n")
    with box.open(key=None) as s:
        assert s.transport == "openssh"
        assert s.run("exit 4")["status"] == 4


# ---- hosts that do not answer ------------------------------------------------------------------------

def test_port_closed(box, transport):
    box.stop()
    e = box.failing(transport=transport)
    assert e["kind"] == "unreachable" and "Connection refused" in e["text"] and e["ms"] < SLACK, e


@pytest.mark.parametrize("banner", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n"])
def test_port_without_sshd(box, transport, banner):
    """It accepts and says nothing, or something else."""
    box.stop()
    p = subprocess.Popen(box.inside("python3", "-c", f"""
import socket, time
s = socket.create_server(("127.0.0.1", {PORT}))
print("ready", flush=True)
held = []
while True:
    held.append(s.accept()[0])
    held[-1].sendall({banner!r})
"""), stdout=subprocess.PIPE)
    try:
        p.stdout.readline()
        e = box.failing(transport=transport, deadline=700)
        assert e["kind"] == "unreachable" and e["ms"] < 700 + SLACK, e
    finally:
        p.kill()
        p.wait()


def test_silent_host(box, transport):
    """Packets vanish: the connect itself is bounded."""
    subprocess.run(box.inside("ip", "addr", "add", "10.99.0.1/24", "dev", "lo"), check=True)
    subprocess.run(box.inside("ip", "neigh", "flush", "all"), check=False)
    subprocess.run(box.inside("nft", "add table inet t; add chain inet t i { type filter hook input priority 0; };"
                              "add rule inet t i ip daddr 10.99.0.1 drop"), check=True)
    try:
        e = box.failing(transport=transport, address="10.99.0.1", deadline=600)
        assert e["kind"] == "unreachable" and 500 < e["ms"] < 600 + SLACK, e
    finally:
        subprocess.run(box.inside("nft", "delete table inet t"), check=True)
        subprocess.run(box.inside("ip", "addr", "del", "10.99.0.1/24", "dev", "lo"), check=True)


def test_frozen_in_the_middle(box, transport):
    """A stopped host costs the deadline, never more; closing does not wait for it."""
    with box.open(transport) as s:
        s.send("exec", 1000, "sleep 20; echo never")
        until("the command runs", lambda: box.runs("sleep"))
        pids = box.descendants()
        for p in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGSTOP)
        r = s.answer()
        assert r["kind"] == "lost" and 900 < r["ms"] < 1000 + SLACK, r
        r = s("alive", 500)
        assert r["alive"] is False and r["ms"] < 500 + SLACK, r
        assert s("exec", 500, "true")["kind"] == "lost"
        assert s.close() == 0
        for p in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(p, signal.SIGCONT)


def test_frozen_and_back(box, transport):
    """Late is not broken: the session goes on when the host does."""
    with box.open(transport) as s:
        assert s.run("sleep 1; echo late", ms=300)["kind"] == "lost"
        assert s.run("echo fine")["out"] == "fine\n"
        assert s("alive", 5000)["alive"] is True


def test_cut_in_the_middle(box, transport):
    with box.open(transport) as s:
        s.send("exec", 10000, "sleep 30")
        until("the command runs", lambda: box.runs("sleep"))
        box.stop()
        r = s.answer()
        assert r["kind"] == "lost" and r["ms"] < 5000, r
        r = s.run("true")
        assert r["kind"] == "lost" and r["ms"] < SLACK, r
        assert s("alive", 1000)["alive"] is False


def test_our_death_leaves_nothing(box):
    """kill -9 of the program ends its ssh processes and their folder."""
    with box.open("openssh") as s:
        assert list(box.tmp.iterdir())
        s.proc.kill()
        s.proc.wait()
        until("the folder is gone", lambda: not list(box.tmp.iterdir()), 5)
        until("the host's side has ended", lambda: not box.descendants(), 5)


# ---- commands and streams ----------------------------------------------------------------------------

def test_status_and_streams(box, transport):
    with box.open(transport) as s:
        r = s.run("echo out; echo err >&2; exit 7")
        assert (r["status"], r["out"], r["err"]) == (7, "out\n", "err\n")
        assert s.run("kill -9 $$")["status"] == (-1 if transport == "libssh2" else 255)
        assert s.run("exit 255")["status"] == 255
        r = s("ok", 5000, "echo some words >&2; exit 3")
        assert (r["kind"], r["code"], r["text"]) == ("remote", 3, "exit status 3: some words")
        r = s("ok", 5000, "echo fine")
        assert (r["status"], r["out"]) == (0, "fine\n")
        r = s.run("echo \"it's \\\"quoted\\\"\" '$HOME' \\$x")
        assert r["out"] == "it's \"quoted\" $HOME $x\n"


def test_collected_output_is_bounded(box, transport):
    with box.open(transport) as s:
        r = s.run("head -c 300000 /dev/zero | tr '\\0' a; { head -c 300000 /dev/zero | tr '\\0' b; printf end; } >&2")
        assert (r["status"], r["out_len"], r["err_len"]) == (0, 65536, 65536)
        assert r["err"].endswith("bbbend")


def test_input(box, transport):
    with box.open(transport) as s:
        assert s("feed", 20000, 5000000, "wc -c")["out"] == "5000000\n"
        assert s("feed", 20000, 0, "wc -c")["out"] == "0\n"
        assert s("feed", 20000, 10000000, "head -c 5 >/dev/null; exit 3")["status"] == 3
        assert s.run("echo fine")["out"] == "fine\n"


def test_a_hundred_megabytes(box, transport):
    """There and back through `cat` at once, with new keys agreed on in between."""
    src, dst = box.dir / "big", box.dir / "back"
    block = os.urandom(1 << 20)
    with open(src, "wb") as f:
        for i in range(100):
            f.write(hashlib.md5(bytes([i])).digest() + block)
    with box.open(transport) as s:
        r = s("pump", 100000, src, dst, "cat")
        assert r.get("status") == 0, r
        assert hashlib.md5(src.read_bytes()).digest() == hashlib.md5(dst.read_bytes()).digest()
        assert s.run("echo fine")["out"] == "fine\n"
    src.unlink()
    dst.unlink()


def test_twenty_channels(box, transport):
    with box.open(transport) as s:
        r = s("many", 30000, 20, "echo $$; sleep 0.3; head -c 100000 /dev/zero | tr '\\0' x; echo; echo end")
        assert r.get("status") == 0, r
        outs = [o.split("\n") for o in r["outs"]]
        assert all(o[1] == "x" * 100000 and o[2] == "end" for o in outs)
        assert len({o[0] for o in outs}) == 20


def test_too_many_channels(box, transport):
    """MaxSessions is an answer, not a broken session."""
    with box.open(transport) as s:
        r = s("many", 20000, 31, "sleep 1; echo x")
        assert r["kind"] == "refused" and "MaxSessions" in r["hint"], r
        until("channels are free again", lambda: s.run("echo fine").get("out") == "fine\n")
        assert s("alive", 5000)["alive"] is True
