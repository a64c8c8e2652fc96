# SPDX-License-Identifier: BSD-2-Clause
"""The manager's warm sessions with hosts, and hosts as witnesses."""
import json
import os
import signal
import time
import zlib

import pytest

from . import Lab, fault
from .linkdrv import Driver
from .util import until

QUICK = {"ping_ms": 300, "silence_ms": 700, "open_ms": 2000}


@pytest.fixture(scope="module")
def cluster():
    """A master and a slave, a witness, and some binlog to move about."""
    with Lab.open() as lab:
        db1, db2 = lab.cluster("ma1011", 2, mode="pos")
        lab.host("w1")
        db1.script("CREATE DATABASE s; CREATE TABLE s.t (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB)")
        for _ in range(12):
            db1.sql("INSERT INTO s.t (b) VALUES (REPEAT('x', 1000000))")
        yield db1, db2, lab.hosts["w1"]


@pytest.fixture
def mgr(cluster):
    return cluster[0].lab.manager


@pytest.fixture
def links(mgr):
    with Driver(mgr) as d:
        yield d


def save_args(db):
    return json.dumps({"start_file": "mysql-bin.000001", "start_pos": 4, "binlog_dir": db.data, "output_file": "-"},
                      separators=(",", ":"))


# ---- reach ----------------------------------------------------------------------------------------
def reach(host, server, *more, ms=1500, address=None):
    r = host.run(["mha-node", "reach", f"--host={address or server.addr}", f"--port={server.port}", f"--timeout_ms={ms}", *more])
    return json.loads(r.out) if r.rc == 0 else r


def test_reach(cluster):
    db1, _, w1 = cluster
    r = reach(w1, db1, "--mysql")
    assert r["result"] == "greeting" and "MariaDB" in r["text"] and r["ms"] < 500 and r["address"] == db1.addr
    assert reach(w1, db1)["result"] == "open"
    assert reach(w1, db1, "--mysql", address="db1")["result"] == "greeting"
    with fault.frozen(db1):
        r = reach(w1, db1, "--mysql", ms=400)
        assert r["result"] == "open" and 350 < r["ms"] < 1000
    with fault.rejected(db1.host, db1.port):
        r = reach(w1, db1, "--mysql")
        assert r["result"] == "refused" and "refused" in r["text"].lower() and r["errno"]
    with fault.isolated(db1.host):
        r = reach(w1, db1, "--mysql", ms=400)
        assert r["result"] == "timeout" and r["ms"] < 1000
    r = reach(w1, db1, "--mysql", ms=9000, address="10.77.0.99")
    assert r["result"] == "unreachable" and "route" in r["text"].lower()
    assert reach(w1, db1, "--mysql", f"--from={w1.addr}")["result"] == "greeting"
    for wrong, why in ((["--from=10.99.99.99"], "10.99.99.99"), (["--host=no-such-host.invalid"], "not known"),
                       (["--host=x;y"], "not a host"), (["--port=0"], "port")):
        r = reach(w1, db1, "--mysql", *wrong)
        assert r.rc == 1 and why in r.err and not r.out, r


def test_reach_says_what_the_server_says(cluster):
    db1, _, w1 = cluster
    most = db1.variable("max_connections")
    try:
        db1.sql("SET GLOBAL max_connections=10")
        held = []
        for _ in range(30):
            held.append(w1.start(["bash", "-c", f"exec 3<>/dev/tcp/{db1.addr}/{db1.port}; sleep 20"]))
            r = reach(w1, db1, "--mysql")
            if r["result"] == "error":
                break
        assert r["result"] == "error" and r["code"] == 1040 and "Too many connections" in r["text"], r
    finally:
        for p in held:
            p.destroy()
        until("a connection is free again", lambda: reach(w1, db1, "--mysql")["result"] == "greeting", 10)
        db1.sql(f"SET GLOBAL max_connections={most}")


def test_reach_costs_a_living_server_something(lab, flavour):
    """Each one counts as given up before login: after max_connect_errors the host is shut out, and that is told."""
    db1 = lab.cluster(flavour, 1, mode="pos", options={"skip-name-resolve": None, "host_cache_size": 128, "max_connect_errors": 5})[0]
    w1 = lab.host("w1")
    seen = [reach(w1, db1, "--mysql") for _ in range(8)]
    assert [r["result"] for r in seen[:5]] == ["greeting"] * 5, seen
    assert seen[-1]["result"] == "error" and seen[-1]["code"] == 1129, seen


# ---- life of a link -------------------------------------------------------------------------------
@pytest.mark.parametrize("transport", ["libssh2", "openssh"])
def test_up_and_calls(cluster, links, transport):
    db1 = cluster[0]
    up = links.link(1, db1.host, **({"transport": "openssh"} if transport == "openssh" else {}))
    assert up["has_node"] and up["version"] and up["transport"] == transport and not up["err"]
    a = links.call(1, "probe", port=3306)
    assert a["status"] == 0 and a["value"]["port"] == 3306 and not a["err"]
    a = links.call(1, "frobnicate")
    assert a["status"] == 1 and a["err"]["kind"] == "config" and "unknown verb" in a["err"]["text"]
    assert "db1" in a["err"]["host"]
    a = links.exec(1, "echo out; echo err >&2; exit 3")
    assert (a["status"], a["out"], a["err_out"], a["err"]) == (3, "out\n", "err\n", None)
    a = links.call(1, "reach", host=db1.addr, port=3306, mysql=True)
    assert a["value"]["result"] == "greeting"
    tags = [links.begin(1, "reach", host=db1.addr, port=3306) for _ in range(16)]
    tags += [links.begin(1, "probe", port=3306) for _ in range(34)]
    answers = [links.answer(t) for t in tags]
    assert all(a["status"] == 0 for a in answers), "more than the node takes at a time wait here"
    assert links.view(1)["heard_ms"] < 3000


def test_fifty_at_once(cluster, links):
    """More than the node takes at a time wait here, and all are answered."""
    links.link(1, cluster[0].host)
    tags = [links.begin(1, "probe", port=3306, ms=15000) for _ in range(50)]
    assert all(links.answer(t)["status"] == 0 for t in tags)
    tags = [links.tag() for _ in range(50)]
    for t in tags:
        links("exec", 1, t, 15000, "sleep 0.1; echo", t)
    assert [links.answer(t)["out"] for t in tags] == [t + "\n" for t in tags]


def test_call_latency(cluster, links):
    db1 = cluster[0]
    links.link(1, db1.host)
    links("bench", 1, 300, 5000, "reach", json.dumps({"host": "127.0.0.1", "port": 22}, separators=(",", ":")))
    b = links.wait(lambda x: x["ev"] == "bench", 60)
    print("\nlink call over a warm session:", b)
    assert b["n"] == 300 and b["median_us"] < 50000


def test_without_node(cluster, links, mgr):
    """UP, commands work, the reason is there; as soon as it is installed, a new connection finds it."""
    w1 = cluster[2]
    w1.path("/opt/mhad/bin").rename(w1.path("/opt/mhad/away"))
    try:
        up = links.link(1, w1)
        assert not up["has_node"] and up["err"]["kind"] == "precondition" and "127" in up["err"]["text"]
        assert links.exec(1, "echo here")["out"] == "here\n"
        a = links.call(1, "probe", port=3306)
        assert a["status"] == -1 and a["err"]["kind"] == "precondition"
    finally:
        w1.path("/opt/mhad/away").rename(w1.path("/opt/mhad/bin"))
    links("free", 1)
    assert links.link(2, w1)["has_node"]


def test_noise_before_the_session(cluster, links):
    """What a login shell says does not matter."""
    w1 = cluster[2]
    w1.write("/root/.bashrc", "echo 'Welcome to this host'\necho more >&2\n")
    try:
        assert links.link(1, w1)["has_node"] and links.call(1, "reach", host="127.0.0.1", port=22)["status"] == 0
    finally:
        w1.remove("/root/.bashrc")


def test_sshd_killed_and_back(cluster, links):
    w1 = cluster[2]
    links.link(1, w1, **QUICK)
    with fault.sshd_stopped(w1):
        down = links.state(1, "down")
        assert down["why"] == "refused" and down["err"]["kind"] in ("lost", "unreachable")
        since = links.mark()
        a = links.call(1, "probe", port=3306)
        assert a["err"]["kind"] == "unreachable" and a["ms"] < 1500
        assert links.view(1)["heard_ms"] < 2000, "its kernel answers"
    links("wake", 1)
    links.state(1, "up", since=since)
    assert links.call(1, "probe", port=3306)["status"] == 0


def test_host_off_and_back(cluster, links):
    w1 = cluster[2]
    links.link(1, w1, **QUICK)
    with fault.off(w1):
        began = time.monotonic()
        down = links.state(1, "down", why="silent")
        assert down["at"] - began < 2.5 and down["err"]["kind"] == "lost"
        tag = links.begin(1, "probe", port=3306, ms=600)
        assert links.answer(tag)["err"]["kind"] == "unreachable"
        v = links.view(1)
        assert v["state"] == "down" and v["why"] == "silent" and v["heard_ms"] > 500
        since = links.mark()
    links.state(1, "up", within=40, since=since)


def test_changed_host_key(cluster, links):
    w1 = cluster[2]
    links.link(1, w1, **QUICK)
    since = links.mark()
    with fault.new_host_keys(w1):
        ssh_sessions_end(w1)
        down = links.state(1, "down", why="host key", since=since)
        assert "CHANGED" in down["err"]["text"] and "ssh-keygen" in down["err"]["hint"]
        a = links.call(1, "probe", port=3306)
        assert a["err"]["kind"] == "refused" and "CHANGED" in a["err"]["text"]
        since = links.mark()
    links("wake", 1)
    links.state(1, "up", since=since)


def ssh_sessions_end(host):
    for pid, argv in host.processes():
        if argv[0].startswith("sshd") and "[listener]" not in argv[0]:
            host.signal(pid, signal.SIGKILL)


@pytest.mark.parametrize("transport", ["libssh2", "openssh"])
def test_other_ways_to_be_down(cluster, links, transport):
    w1 = cluster[2]
    more = {**QUICK, **({"transport": transport} if transport == "openssh" else {})}
    with fault.sshd_refusing(w1):
        down = links.link(1, w1, "down", **more)
        assert down["why"] == "login" and down["err"]["hint"]
    with fault.sshd_silent(w1):
        down = links.link(2, w1, None, port=22, key="/root/.ssh/id_ecdsa", **more)
        down = links.state(2, "down", within=15)
        assert down["why"] == "stalled" and links.view(2)["heard_ms"] >= 0
    if transport == "libssh2":  # ssh(1) has other keys to try
        assert links.link(3, w1, "down", key="/root/.ssh/none", **more)["why"] == "ours"
    links("link", 4, "address=10.77.0.99", *(f"{k}={v}" for k, v in more.items()))
    down = links.state(4, "down", within=15)
    assert down["why"] == "silent" and links.view(4)["heard_ms"] == -1


def test_silent_in_the_middle_of_a_call(cluster, links):
    """The deadline is kept to, and the loop with it."""
    w1 = cluster[2]
    links.link(1, w1)
    with fault.isolated(w1):
        tag = links.begin(1, "probe", port=3306, ms=700)
        a = links.answer(tag)
        assert a["err"]["kind"] == "lost" and 650 < a["ms"] < 1000
        a = links.exec(1, "true", ms=500)
        assert a["err"]["kind"] == "lost" and a["ms"] < 800
        links.state(1, "down", why="silent")
        since = links.mark()
    links("wake", 1)
    links.state(1, "up", since=since, within=20)
    began = time.monotonic()
    a = links.exec(1, "sleep 30", ms=400)
    assert a["err"]["kind"] == "lost" and time.monotonic() - began < 2


def test_cancel(cluster, links):
    db1 = cluster[0]
    links.link(1, db1.host)
    tag = links.begin(1, "reach", host="10.77.0.99", port=1, timeout_ms=60000, ms=60000)
    links("cancel", tag)
    assert links.call(1, "probe", port=3306)["status"] == 0
    assert not [x for x in links.seen if x.get("tag") == tag]
    for _ in range(40):  # they are told to end over there too, or the node would refuse soon
        links("cancel", links.begin(1, "reach", host="10.77.0.99", port=1, timeout_ms=60000, ms=60000))
    until("the node has room again", lambda: links.call(1, "probe", port=3306)["status"] == 0, 5)


def test_freed_in_every_state(cluster, mgr):
    """Nothing waits for a thread, and all threads end."""
    w1 = cluster[2]
    with Driver(mgr) as d:
        d.link(1, w1)
        d.begin(1, "reach", host="10.77.0.99", port=1, timeout_ms=60000, ms=60000)
        d("exec", 1, "x", 60000, "sleep 60")
        d("link", 2, "address=10.77.0.99", "open_ms=60000")
        with fault.sshd_silent(w1):
            d("link", 3, f"address={w1.addr}", "key=/root/.ssh/id_ecdsa", "open_ms=60000")
            d("link", 4, f"address={w1.addr}", "transport=openssh", "key=/root/.ssh/id_rsa", "open_ms=60000")
            time.sleep(0.5)
            began = time.monotonic()
            for i in (1, 2, 3, 4):
                d("free", i)
            d.link(5, cluster[0].host)
            assert time.monotonic() - began < 3
            until("their threads have ended", lambda: d.threads() <= 3, 8)


def test_one_connection_for_two_servers(cluster, links):
    w1 = cluster[2]
    links.link(1, w1)
    n = links.threads()
    links("link", 2, f"address={w1.addr}", "host=w1")
    assert links.view(2)["state"] == "up" and links.threads() == n
    links("free", 1)
    assert links.call(2, "probe", port=3306)["status"] == 0


def test_room(cluster, mgr):
    """Two at once: the most important are open; a question makes room, and a new master too."""
    db1, db2, w1 = cluster
    with Driver(mgr, room=2) as d:
        d.link(1, db1.host, priority=0)
        d.link(2, db2.host, priority=1)
        d.link(3, w1, None, priority=2)
        time.sleep(0.3)
        v = d.view(3)
        assert v["state"] == "opening" and v["waits"]
        since = d.mark()
        a = d.call(3, "probe", port=3306)
        assert a["status"] == 0
        d.state(2, "opening", since=since)
        d.state(2, "up", since=since)  # its turn again
        assert d.view(1)["state"] == "up"
        since = d.mark()
        d("priority", 3, 0)
        d.state(3, "up", since=since)
        assert d.view(2)["waits"] and d.view(1)["state"] == "up"
        d("free", 1)
        d.state(2, "up", since=since)


def test_the_manager_slept(cluster, links):
    """Stopped for longer than silence takes: nobody is called silent for it."""
    w1 = cluster[2]
    links.link(1, w1, **QUICK)
    time.sleep(0.5)
    since = links.mark()
    pid = links._pid()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(pid, signal.SIGCONT)
    links.proc.send_signal(signal.SIGCONT)  # nsenter stops along with its child
    time.sleep(1)
    assert not [x for x in links.seen[since:] if x["ev"] == "state"]
    assert links.call(1, "probe", port=3306)["status"] == 0


# ---- streams --------------------------------------------------------------------------------------
def streamed(links, *words, within=60):
    return links.answer(str(words[2] if words[0] != "copy" else words[3]), within, ev="work")


def test_save_into_a_sink(cluster, links, mgr):
    db1 = cluster[0]
    links.link(1, db1.host)
    links("save", 1, "a", 30000, save_args(db1), "/var/tmp/saved")
    w = links.answer("a", 60, ev="work")
    assert w["status"] == 0 and not w["err"] and w["bytes"] > 12e6, w
    got = mgr.path("/var/tmp/saved").read_bytes()
    assert len(got) == w["bytes"] and zlib.crc32(got) == w["crc"] and got.startswith(b"\xfebin")
    r = db1.host.run(["mha-node", "save", "--start_file=mysql-bin.000001", "--start_pos=4", f"--binlog_dir={db1.data}",
                      "--output_file=/var/tmp/direct"])
    assert r.rc == 0 and got.startswith(db1.host.path("/var/tmp/direct").read_bytes()[:len(got)])


def test_from_host_to_host(cluster, links):
    """save there, filter here: all goes through the manager; filter gives back nothing of what is no text."""
    db1, db2, w1 = cluster
    links.link(1, db1.host)
    links.link(2, w1)
    links("copy", 1, 2, "c", 30000, save_args(db1), "apply", json.dumps({"apply_files": "-", "slave_host": "127.0.0.1"}))
    w = links.answer("c", 60, ev="work")
    assert w["err"] and w["err"]["kind"] in ("remote", "lost", "configuration", "unreachable", "precondition"), w


def test_feed(cluster, links):
    """Many windows into a verb that reads all of it."""
    w1 = cluster[2]
    links.link(1, w1)
    links("feed", 1, "f", 30000, 8000000, "filter", "{}")
    w = links.answer("f", 60, ev="work")
    assert w["status"] == 0 and not w["err"] and w["bytes"] == 8000000, w


def test_stream_errors(cluster, links):
    db1, db2, w1 = cluster
    links.link(1, db1.host, **QUICK)
    links.link(2, w1, **QUICK)
    bad = save_args(db1).replace("000001", "000999")
    links("save", 1, "a", 5000, bad)
    w = links.answer("a", ev="work")
    assert w["err"]["kind"] == "precondition" and w["status"] != 0 and w["bytes"] == 0
    links("feed", 2, "b", 5000, 8000000, "probe", '{"port":3306}')
    w = links.answer("b", ev="work")
    assert w["err"] and w["bytes"] < 8000000, "it takes no input"
    with fault.isolated(w1):
        began = time.monotonic()
        links("feed", 2, "d", 60000, 80000000, "filter", "{}")
        w = links.answer("d", ev="work")
        assert w["err"]["kind"] in ("lost", "unreachable") and time.monotonic() - began < 5
    links("feed", 1, "e", 60000, 8000000000, "filter", "{}")
    time.sleep(0.3)
    links("free", 1)
    assert links.answer("e", ev="work")["err"]["kind"] in ("lost", "canceled")


# ---- witnesses ------------------------------------------------------------------------------------
def words(asked):
    return {a["name"].split("@")[1].split("(")[0]: a["word"] for a in asked["answers"]}


@pytest.fixture
def witnesses(cluster, links):
    db1, db2, w1 = cluster
    for i, (host, kind) in enumerate(((db1.host, "slave"), (db2.host, "slave"), (w1, "extra"))):
        links.link(i, host, **QUICK)
        links("witness", i, kind)
    return links


def test_witnesses(cluster, witnesses):
    db1, db2, w1 = cluster
    a = witnesses.ask(db1.addr, 3306)
    assert words(a) == {"db1": "sees", "db2": "sees", "w1": "sees"} and a["ms"] < 1500
    assert [x["on_target"] for x in a["answers"]] == [True, False, False]
    assert all(x["how"] == "mha-node" and x["reach"] == "greeting" and not x["silent"] for x in a["answers"])
    with fault.frozen(db1):
        a = witnesses.ask(db1.addr, 3306, 1500)
        assert words(a) == {"db1": "cannot", "db2": "cannot", "w1": "cannot"}
        assert {x["reach"] for x in a["answers"]} == {"open"} and a["ms"] < 1600
    with fault.rejected(db1.host, 3306):
        a = witnesses.ask(db1.addr, 3306)
        assert [x["reach"] for x in a["answers"][1:]] == ["refused"] * 2
    with fault.cut(db1.host, db2.host):
        a = witnesses.ask(db1.addr, 3306, 1500)
        assert words(a)["db2"] == "cannot" and words(a)["w1"] == "sees"


def test_a_witness_goes_with_the_master(cluster, witnesses):
    """Ill is not cannot: one that fell silent is told from one that says no."""
    db1, db2, w1 = cluster
    with fault.isolated(w1):
        a = witnesses.ask(db1.addr, 3306, 1500)
        w = a["answers"][2]
        assert w["word"] == "ill" and w["silent"] and w["ms"] == -1 and a["ms"] < 1700, w
        assert words(a)["db2"] == "sees"
        each = [x["answer"]["name"] for x in witnesses.seen if x["ev"] == "each"]
        assert len(each) == 3 and "w1" in each[-1], "the quick ones are not held up"
    with fault.sshd_stopped(w1):
        a = witnesses.ask(db1.addr, 3306, 1500)
        w = a["answers"][2]
        assert w["word"] == "ill" and not w["silent"] and w["detail"], w


NC = """#!/usr/bin/python3
# What the line needs of OpenBSD's nc, which is not on every machine.
import os, socket, sys
words = [w for w in sys.argv[1:] if w != "-v"]
wait, host, port = int(words[1]), words[2], words[3]
def say(*w):
    if "-v" in sys.argv:
        print(*w, file=sys.stderr)
try:
    s = socket.create_connection((host, int(port)), wait)
    say(f"Connection to {host} {port} port [tcp/*] succeeded!")
    s.settimeout(wait)
    os.write(1, s.recv(4096))
except TimeoutError:
    say(f"nc: connect to {host} port {port} (tcp) timed out: Operation now in progress")
    sys.exit(1)
except OSError as e:
    say(f"nc: connect to {host} port {port} (tcp) failed: {e.strerror}")
    sys.exit(1)
"""
HOW = {"bash": [], "perl": ["bash"], "nc": ["bash", "perl"]}


@pytest.mark.parametrize("how", HOW)
def test_witness_without_node(cluster, links, how):
    """By what the host has; the answers are the same."""
    db1, db2, w1 = cluster
    w1.path("/opt/mhad/bin").rename(w1.path("/opt/mhad/away"))
    hidden = []
    try:
        for name in HOW[how]:
            for d in ("/usr/bin/", "/bin/"):
                p = w1.path(d + name)
                if p.exists() and not p.is_symlink():
                    q = p.with_name(name + ".away")
                    p.rename(q)
                    hidden.append((q, p))
        w1.run(["sed", "-i", "1s,/bin/bash,/bin/sh,", "/etc/passwd"], check=True)
        if how == "nc":
            w1.script("/usr/local/bin/nc", NC)
        assert not links.link(1, w1, **QUICK)["has_node"]
        links("witness", 1, "extra")

        def one(ms=2500):
            return links.ask(db1.addr, 3306, ms)["answers"][0]
        a = one()
        assert (a["word"], a["how"], a["reach"]) == ("sees", how, "greeting"), a
        with fault.frozen(db1):
            a = one()
            assert (a["word"], a["reach"]) == ("cannot", "open"), a
        with fault.rejected(db1.host, 3306):
            a = one()
            assert (a["word"], a["reach"]) == ("cannot", "refused"), a
        with fault.isolated(db1.host):
            a = one()
            assert a["word"] == "cannot" and a["reach"] in ("timeout", "unreachable"), a
    finally:
        w1.run(["sed", "-i", "1s,/bin/sh,/bin/bash,", "/etc/passwd"])
        for q, p in hidden:
            q.rename(p)
        w1.remove("/usr/local/bin/nc")
        w1.path("/opt/mhad/away").rename(w1.path("/opt/mhad/bin"))


def test_the_purse(cluster, links):
    """A living server is not asked without end; then the last answer comes, marked as old."""
    db1, _, w1 = cluster
    links.link(1, w1, **QUICK)
    links("witness", 1, "extra")
    answers = [links.ask(db1.addr, 3306)["answers"][0] for _ in range(34)]
    assert [a["is_old"] for a in answers] == [False] * 30 + [True] * 4
    assert all(a["word"] == "sees" for a in answers)
