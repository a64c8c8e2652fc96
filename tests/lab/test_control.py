# SPDX-License-Identifier: BSD-2-Clause
"""The control socket of a real mhad: what operators ask and order, and what nobody can do to it."""
import json
import re
import socket
import time

import pytest

from . import fault

SOCKET = "/run/mhad/control"


@pytest.fixture
def shop(lab):
    """A cluster of three, watched by an mhad with both groups; `shop.mhad` is the process."""
    cluster = lab.cluster("ma1011", 3)
    mgr = lab.manager
    mgr.write("/etc/group", mgr.read("/etc/group") + "mhad-read:x:990:\nmhad-admin:x:991:\n")
    mgr.write("/etc/mhad/clusters.d/shop.cnf", cluster.conf_text(default={"ping_interval": 1, "auto_failover": 0}), 0o600)
    cluster.mhad = mgr.start(["mhad"])
    lab.until("all is well", lambda: ctl(cluster, "status", rc=None).rc == 0, within=20)
    yield cluster
    cluster.mhad.destroy()


def ctl(cluster, *words, rc=0, as_user=None):
    run = ["setpriv", f"--reuid={as_user[0]}", f"--regid={as_user[1]}", "--clear-groups"] if as_user else []
    r = cluster.lab.manager.run([*run, "mhactl", *words])
    assert rc is None or r.rc == rc, f"{r.rc}: {r.out}{r.err}"
    return r


def status(cluster):
    r = ctl(cluster, "status", "--json", rc=None)
    return json.loads(r.out)["clusters"][0]


def history(cluster):
    """Without what time alone does."""
    return [e for e in json.loads(ctl(cluster, "history", "shop", "--json").out)["entries"]]


class Raw:
    """A client that keeps no rules."""

    def __init__(self, cluster):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(10)
        self.s.connect(str(cluster.lab.manager.path(SOCKET)))
        self.file = self.s.makefile("rb")
        assert json.loads(self.file.readline())["protocol"] == 1

    def send(self, data):
        try:
            self.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def line(self):
        try:
            return json.loads(self.file.readline() or "null")
        except ConnectionResetError:
            return None

    def ask(self, verb, **args):
        self.send(json.dumps({"id": 1, "verb": verb, "args": args}).encode() + b"\n")
        return self.line()

    def close(self):
        self.file.close()
        self.s.close()


def test_a_day_of_an_operator(shop):
    """Look, ask why, pause, resume, look back."""
    out = ctl(shop, "status").out
    assert re.search(r"^shop +monitoring +healthy +db1\(", out, re.M) and " 2/2 " in out
    assert re.search(r"^ +db2\(.* up .*Yes +Yes", ctl(shop, "status", "shop").out, re.M)
    why = ctl(shop, "why", "shop").out
    assert "verdict healthy" in why and "Would mhad fail over now?  no: " in why and "Evidence" in why

    ctl(shop, "pause", "shop", "--for=30m", "--reason=a new \"disk\"")
    assert "paused for 29 min" in (out := ctl(shop, "status", rc=1).out) and 'root: a new "disk"' in out
    assert status(shop)["paused"]["by"] == "root"
    assert re.search(r"blocks +paused", ctl(shop, "why", "shop").out)
    assert re.search(r"paus\w+ .*root", shop.mhad.err)
    ctl(shop, "resume", "shop")
    ctl(shop, "status")
    assert "nothing to lift" in ctl(shop, "ack", "shop", "--reason=looked at it").out.lower()
    what = [(e["what"], e["by"]) for e in history(shop)]
    assert ("pause", "root") in what and ("resume", "root") in what
    for words in (["why", "shpo"], ["pause", "shpo"], ["resume", "shpo"], ["ack", "shpo", "--reason=x"], ["history", "shpo"]):
        assert "did you mean shop?" in ctl(shop, *words, rc=1).err


def test_a_pause_outlives_mhad(shop):
    ctl(shop, "pause", "--all", "--reason=night shift")
    shop.mhad.kill()
    shop.mhad.wait()
    assert "systemctl start mhad" in ctl(shop, "status", rc=4).err, "a socket that nobody listens on is left behind"
    shop.mhad = shop.lab.manager.start(["mhad"])
    shop.lab.until("it is there", lambda: ctl(shop, "status", rc=None).rc == 1)
    assert status(shop)["paused"]["reason"] == "night shift" and status(shop)["paused"]["by"] == "root"


def test_reload(shop):
    ctl(shop, "reload")
    conf = shop.lab.manager.read("/etc/mhad/clusters.d/shop.cnf")
    shop.lab.manager.write("/etc/mhad/clusters.d/shop.cnf", conf + "pign_interval=1\n", 0o600)
    assert "pign_interval" in ctl(shop, "reload", rc=1).out
    assert "pign_interval" in ctl(shop, "status", rc=1).out and status(shop)["verdict"] == "healthy"
    shop.lab.manager.write("/etc/mhad/clusters.d/shop.cnf", conf, 0o600)
    ctl(shop, "reload")
    ctl(shop, "status")


def test_the_dead_are_named(shop):
    with fault.killed(shop[0]):
        shop.lab.until("it is told", lambda: status(shop)["verdict"] == "process_dead", within=30)
        assert re.search(r"^shop: .*process", ctl(shop, "status", rc=1).out, re.M)
        ctl(shop, "why", "shop", "--ring", "--save=/root/ring.json")
        ring = json.loads(shop.lab.manager.read("/root/ring.json"))
        assert "process_dead" in {p["verdict"]["code"] for p in ring["pictures"]}


def test_others_are_shown_out(shop):
    """Nobody without a group; readers only read; admins may all."""
    nobody, reader, admin = (65534, 65534), (65534, 990), (65534, 991)
    before = history(shop)
    for words in (["status"], ["why", "shop"], ["pause", "shop"], ["reload"]):
        r = ctl(shop, *words, rc=4, as_user=nobody)
        assert "does not talk to nobody" in r.err and "mhad-read" in r.err
    ctl(shop, "status", as_user=reader)
    ctl(shop, "why", "shop", as_user=reader)
    ctl(shop, "history", "shop", as_user=reader)
    for words in (["pause", "shop"], ["resume", "shop"], ["reload"], ["ack", "shop", "--reason=x"]):
        r = ctl(shop, *words, rc=4, as_user=reader)
        assert "not allowed for nobody" in r.err and "mhad-admin" in r.err
    assert history(shop) == before and status(shop)["paused"] is None
    ctl(shop, "pause", "shop", as_user=admin)
    assert status(shop)["paused"]["by"] == "nobody"


MALFORMED = [
    b"\n", b"pause\n", b"GET / HTTP/1.0\r\n", b"\x00" * 100 + b"\n", b"\xff\xfe{}\n", b"[" * 5000 + b"\n",
    b'{"id":1,"verb":"pause","args":{"cluster":"shop"}\n',
    b'{"id":1,"verb":"pause","args":{"cluster":"shop"},"verb":"pause"}\n',
    b'{"id":1,"verb":"pause","args":{"cluster":"shop","cluster":"shop"}}\n',
    b'{"id":1,"verb":"pause","args":{"cluster":"shop\\u0000"}}\n',
    b'{"id":1,"verb":"pause","args":{"cluster":"shop","for_mss":1}}\n',
    b'{"id":1,"verb":"pause","args":{"cluster":"shop","for_ms":"1"}}\n',
    b'{"id":1,"verb":"pause","args":{"cluster":["shop"]}}\n',
    b'{"id":1,"verb":"pause","args":{"cluster":"../../shop"}}\n',
    b'{"id":1,"verb":"pause","args":{}}\n', b'{"id":1,"verb":"pause"}\n',
    b'{"id":1,"verb":"pause","args":{"all":true,"cluster":"shop"}}\n',
    b'{"id":1,"verb":"PAUSE","args":{"cluster":"shop"}}\n', b'{"verb":"pause","args":{"cluster":"shop"}}\n',
    b'{"id":1,"verb":"history","args":{"cluster":"shop","limit":1e99}}\n',
    b'{"id":1,"verb":"history","args":{"cluster":"../shop"}}\n',
    b'{"id":1,"verb":"ack","args":{"cluster":"shop","reason":{}}}\n',
]


def test_what_is_malformed_changes_nothing(shop):
    before = history(shop)
    raw = Raw(shop)
    for line in MALFORMED:
        raw.send(line)
        answer = raw.line()
        assert answer and answer["ok"] is False and answer["error"]["text"], line
    raw.send(b'{"id":1,"verb":"pause","args":{"cluster":"shop"},"x":"' + b"y" * 100000 + b'"}\n')
    assert "too long" in raw.line()["error"]["text"] and raw.line() is None
    half = Raw(shop)
    half.send(b'{"id":1,"verb":"pause","args":{"cluster":"shop"}}')
    half.close()
    assert status(shop)["paused"] is None and history(shop) == before
    ctl(shop, "status")
    assert shop.mhad.running and "BUG" not in shop.mhad.err


def test_nobody_stalls_it(shop):
    """Half lines, deaf readers, floods and crowds: the master is still looked at, and others are answered."""
    crowd = [Raw(shop) for _ in range(40)]
    for i, raw in enumerate(crowd[:20]):
        raw.send(b'{"id":1,"verb":"sta' if i % 2 else b" ")
    lines = b'{"id":1,"verb":"why","args":{"cluster":"shop"}}\n' * 300
    for raw in crowd[20:]:
        raw.s.setblocking(False)
    worst, end = 0, time.monotonic() + 8
    while time.monotonic() < end:
        for raw in crowd[20:]:
            try:
                raw.s.send(lines)
            except OSError:
                pass  # its queue is full, or it was cut off
        begin = time.monotonic()
        quick = Raw(shop)
        seen = quick.ask("status")["value"]["clusters"][0]
        quick.close()
        worst = max(worst, time.monotonic() - begin)
        assert seen["verdict"] == "healthy" and seen["state"] == "monitoring"
        assert seen["last_good_ms"] < 3000, "the master is looked at every second"
    assert worst < 1, f"an answer took {worst:.2f} s"
    resident = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{shop.mhad.pid}/status").read())[1])
    assert resident < 150_000, f"{resident} kB"
    for raw in crowd:
        raw.close()
    many = []
    try:
        for _ in range(100):
            many.append(Raw(shop))
        last = many[-1].line()
        assert "takes no more" in last["error"]["text"]
    finally:
        for raw in many:
            raw.close()
    shop.lab.until("there is room again", lambda: ctl(shop, "status", rc=None).rc == 0)
    assert shop.mhad.running and not any(e["what"] in ("pause", "verdict", "alarm") for e in history(shop))
