# SPDX-License-Identifier: BSD-2-Clause
"""mha-node probe: what a host tells about the server of one port."""
import contextlib
import json
import os
import statistics
import time

import pytest

from . import Lab, fault
from .conftest import WANTED
from .util import sh

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture(scope="module", params=WANTED)
def pair(request):
    """Two servers on one host, ports 3306 and 3307."""
    with Lab.open() as lab:
        yield lab.cluster(request.param, 2, mode="pos", shape="onehost")


@pytest.fixture(scope="module")
def host():
    """A host without any server."""
    with Lab.open() as lab:
        yield lab.host("db1")


def probe(host, *options, port=3306, prefix=()):
    r = host.run([*prefix, "mha-node", "probe", f"--port={port}", *options])
    assert r.rc == 0, r
    return json.loads(r.out)


def own_pid(server):
    """As its host counts."""
    status = open(f"/proc/{server.pid}/status").read()
    return int(next(l for l in status.splitlines() if l.startswith("NSpid:")).split()[-1])


def test_each_port_has_its_own_server(pair):
    for server in pair:
        p = probe(server.host, port=server.port)
        assert p["found"] == "yes" and p["unseen"] == [], p
        assert p["process"]["pid"] == own_pid(server)
        assert p["process"]["known_by"] == "listening socket"
        assert p["process"]["state"] in "SRD" and p["process"]["threads"] > 5
        assert p["process"]["uid"] == 3306
        assert 0 < p["process"]["age_s"] < 600
        assert p["listening"] and {s["port"] for s in p["sockets"]} == {server.port}
        assert p["datadir"] == server.data
        assert p["write_test"]["result"] == "ok", p
        assert 0 < p["disk"]["available_bytes"] <= p["disk"]["total_bytes"] and not p["disk"]["read_only"]
        assert p["host"]["name"] == "db1" and len(p["host"]["boot_id"]) == 36 and len(p["host"]["load"]) == 3
    assert not [f for f in pair[0].path().iterdir() if f.name.startswith(".mha-node")]


def test_fast(pair):
    took = [probe(pair[0].host)["took_ms"] for _ in range(20)]
    # `make bench` has the figures; this only says that nothing waits for anything.
    assert statistics.median(took) < 1000, took


def test_killed_and_started_again(pair):
    one, other = pair
    before = probe(one.host)
    one.kill()
    p = probe(one.host)
    assert (p["found"], p["process"], p["listening"], p["unseen"]) == ("no", None, False, []), p
    p = probe(one.host, f"--datadir={one.data}")
    assert p["found"] == "no" and p["datadir"] == one.data and p["write_test"]["result"] == "ok", p
    assert probe(other.host, port=other.port)["found"] == "yes"
    one.start()
    after = probe(one.host)
    assert after["found"] == "yes" and after["process"]["start_ticks"] > before["process"]["start_ticks"]
    assert after["host"]["boot_id"] == before["host"]["boot_id"]


def test_frozen(pair):
    """The kernel goes on accepting connections for it: state and queue tell."""
    server = pair[0]
    with fault.frozen(server):
        with contextlib.ExitStack() as open_ones:
            for _ in range(3):
                s = open_ones.enter_context(server.host.socket())
                s.settimeout(1)
                s.connect((server.addr, server.port))
            p = probe(server.host)
        assert p["found"] == "yes" and p["process"]["state"] == "T" and p["listening"]
        assert max(s["accept_queue"] for s in p["sockets"]) >= 3, p


def test_disk_full(pair):
    server = pair[0]
    with fault.disk_full(server):
        assert probe(server.host)["write_test"]["result"] == "full"
    assert probe(server.host)["write_test"]["result"] == "ok"


def test_without_rights(pair):
    """Whoever cannot look says so."""
    server = pair[0]
    p = probe(server.host, prefix=NOBODY)
    assert p["found"] in ("yes", "unknown"), p
    assert p["found"] == "yes" or p["unseen"]
    server.host.run(["chmod", "600", server.cnf], check=True)
    try:
        p = probe(server.host, prefix=NOBODY)
        assert p["found"] == "unknown" and p["process"] is None and p["unseen"], p
        with fault.killed(server):
            p = probe(server.host, prefix=NOBODY)
            assert p["found"] == "no" or p["unseen"], p
    finally:
        server.host.run(["chmod", "644", server.cnf], check=True)


def test_a_stranger_on_the_port(host):
    code = "import socket, time; s = socket.create_server(('', 3306)); print('up', flush=True); time.sleep(60)"
    stranger = host.start(["/usr/bin/python3", "-c", code])
    try:
        host.lab.until("it listens", lambda: "up" in stranger.out)
        p = probe(host)
        assert p["found"] == "no" and p["listening"] and p["stranger"]["name"].startswith("python3"), p
    finally:
        stranger.destroy()


def test_only_the_name_of_a_server(host):
    """A program that is called mysqld, and even says the port, is none."""
    false = host.start(["bash", "-c", "exec -a /usr/sbin/mysqld bash -c 'sleep 60; :' mysqld --port=3306"])
    try:
        host.lab.until("it is called so", lambda: "mysqld" in open(f"/proc/{false.pid}/cmdline").read())
        assert probe(host)["found"] == "no" and false.running
    finally:
        false.destroy()


def test_folder_that_takes_no_writes(host):
    host.run(["mkdir", "-p", "/srv/ro"], check=True)
    host.run(["mount", "-t", "tmpfs", "-o", "ro", "none", "/srv/ro"], check=True)
    try:
        p = probe(host, "--datadir=/srv/ro")
        assert p["write_test"]["result"] == "read_only" and p["disk"]["read_only"], p
    finally:
        host.run(["umount", "/srv/ro"], check=True)
    p = probe(host, "--write-test-dir=/nowhere")
    assert p["write_test"]["result"] == "error" and "No such file" in p["write_test"]["error"]
    host.run(["rmdir", "/var/lib/mysql"], check=True)
    p = probe(host)
    assert p["write_test"]["result"] == "untried" and p["datadir"] is p["disk"] is None, p


def test_writes_as_the_owner(host):
    """Blocks that only root may use are no help to the server: a full disk is full as it sees it."""
    host.run(["sh", "-c", "mkdir -p /srv/own && chown mysql /srv/own && chmod 500 /srv/own"], check=True)
    assert probe(host, "--datadir=/srv/own")["write_test"]["result"] == "denied"


@contextlib.contextmanager
def frozen_disk(host):
    """A file system on which every write waits, uninterruptible, for as long as the block runs."""
    host.run(["sh", "-ec", "mkdir -p /srv/stuck; truncate -s 16M /srv/disk.img; mkfs.ext4 -q /srv/disk.img;"
              "mount -o loop /srv/disk.img /srv/stuck; fsfreeze -f /srv/stuck"], check=True)
    try:
        yield "/srv/stuck"
    finally:
        host.run(["fsfreeze", "-u", "/srv/stuck"], check=True)
        host.lab.until("nobody uses it", lambda: host.run(["umount", "/srv/stuck"]).rc == 0)


def stuck_processes(host):
    return [p for p, argv in host.processes() if argv[:2] == ["mha-node", "probe"]]


def test_stuck_disk(host):
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("no loop devices")
    with frozen_disk(host) as folder:
        began = time.monotonic()
        p = probe(host, f"--write-test-dir={folder}", "--timeout=300")
        assert p["write_test"]["result"] == "timeout" and p["host"]["name"] == "db1", p
        assert time.monotonic() - began < 2
        stuck = stuck_processes(host)
        assert len(stuck) == 1 and sh("ps", "-o", "stat=", "-p", stuck[0])[0] == "D"
        p = probe(host, f"--write-test-dir={folder}", "--timeout=100")
        assert p["write_test"]["result"] == "busy"
        host.lab.until("one test waits, and no more", lambda: stuck_processes(host) == stuck)
    assert not stuck_processes(host)


def test_wrong_command_lines(host):
    for options in ([], ["--port=0"], ["--port=x"], ["--port=3306", "--timeout=0"], ["--port=3306", "word"]):
        r = host.run(["mha-node", "probe", *options])
        assert r.rc == 1 and r.err.strip() and not r.out.strip().startswith("{"), r
