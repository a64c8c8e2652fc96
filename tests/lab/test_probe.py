# SPDX-License-Identifier: BSD-2-Clause
"""The daemon's ping of a master and its view of a replica, against real servers that break for real.

build/tools/probe pings or polls and prints one line of JSON for each thing that it is told.
"""
import contextlib
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pymysql
import pytest

from . import Lab, fault
from .flavour import FLAVOURS
from .util import until

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")).parent / "tools/probe"
WITH_TLS = ("my97", "ma118")
SLACK = 80  # ms; a deadline is met to about 20, but the machine may be busy


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000


class Tool:
    """The tool at work on a lab's manager host."""

    def __init__(self, server, settings, user="mha", password=None, addr=None):
        host = server.lab.manager
        tool = host.path("/root/probe-tool")
        if not tool.exists():
            shutil.copy(TOOL, tool)
        self.proc = host.start(["/root/probe-tool", addr or server.addr, server.port, user, settings],
                               env={"DB_PASSWORD": password or user + "-pw"})
        self.seen = 0

    def lines(self, what=None):
        every = [json.loads(line) for line in self.proc.out.splitlines(keepends=True) if line.endswith("\n")]
        return [x for x in every if what in (None, x["what"])]

    def wait(self, test, what="report", within=10, since=0):
        """The first line that begins after an instant and passes the test."""
        def find():
            assert self.proc.running or self.proc.wait(1).rc == 0, self.proc.err
            return next((x for x in self.lines(what) if x.get("begun", x["now"]) >= since and test(x)), None)
        return until(f"a {what or 'line'} that fits, after {[(x.get('how'), x.get('layer')) for x in self.lines()[-4:]]}",
                     find, within, every=0.005)


@contextlib.contextmanager
def tool(server, settings="tls=off,interval=200,timeout=300", **kw):
    """It goes on until the end of the block."""
    t = Tool(server, settings + ",count=1000000", **kw)
    try:
        yield t
    finally:
        t.proc.destroy()


def once(server, settings="tls=off", **kw):
    t = Tool(server, settings + ",count=1", **kw)
    r = t.proc.wait(20)
    assert r.rc == 0, r
    return t.lines("report")[0]


def is_(report, how, *layers):
    assert report["how"] == how and report["layer"] in layers, report
    assert report["ok"] == (how == "fine")


@pytest.fixture(scope="module", params=FLAVOURS)
def pair(request):
    with Lab.open() as lab:
        yield lab.cluster(request.param, 2)


@pytest.fixture
def db1(pair):
    if not pair[0].running:
        pair[0].start()
    return pair[0]


@pytest.fixture
def db2(pair):
    return pair[1]


# ---- a master that is well --------------------------------------------------------------------
@pytest.mark.parametrize("tls", ["off", "preferred"])
def test_good(db1, tls):
    r = once(db1, f"tls={tls}")
    is_(r, "fine", "read")
    assert r["server_id"] == db1.server_id and r["version"] == db1.one("SELECT VERSION()")
    assert r["uuid"] == ("" if db1.flavour.mariadb else db1.variable("server_uuid"))
    assert r["is_super"] == 2 and r["read_only"] == (2 if db1.variable("read_only") else 1)
    up = int(db1.sql("SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1])
    assert abs(now() - up * 1000 - r["started"]) < 2500
    assert r["begun"] <= r["ended"] <= r["heard"] + 1


def test_sessions_are_kept(db1):
    with tool(db1, "tls=preferred,interval=100,timeout=300") as t:
        until("ten pings", lambda: len(t.lines("report")) >= 10, 10)
        seen = t.lines("report")
        assert {x["how"] for x in seen} == {"fine"} and len({x["id"] for x in seen}) == 1
        timeout = db1.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID=%s", seen[0]["id"])[0][0]
        assert timeout == 1


@pytest.mark.parametrize("settings", ["tls=off", "tls=preferred"])
def test_insert(db1, db2, settings):
    before = db1.position()
    is_(once(db1, settings + ",type=INSERT"), "fine", "write")
    assert db1.position() != before
    db2.caught_up()
    assert abs(db2.one("SELECT val FROM infra.chk_masterha WHERE `key`=1") - time.time()) < 5


def test_connect(db1):
    """A new session each time, gone half an interval later, and the lock with it."""
    lock = "SELECT IS_USED_LOCK('MHA_Master_High_Availability_Monitor')"
    with tool(db1, "tls=off,type=CONNECT,interval=600,timeout=500,lock=1") as t:
        r = t.wait(lambda x: x["ok"] and x["lock_held"])
        assert db1.one(lock) == r["id"]
        until("the session has ended", lambda: db1.one(lock) is None, 2)
        again = t.wait(lambda x: x["ok"] and x["lock_held"], since=r["begun"] + 1)
        assert again["id"] != r["id"] and again["connected"]
        assert not t.lines("cut")


def test_tls_logins_do_not_stall_the_loop(pair, db1):
    if db1.flavour.name not in WITH_TLS:
        pytest.skip("this server has no certificate")
    with tool(db1, "tls=required,type=CONNECT,interval=50,timeout=1000") as t:
        until("twenty logins", lambda: len(t.lines("report")) >= 20, 20)
        seen = t.lines("report")
    assert {x["how"] for x in seen} == {"fine"}
    assert sorted(x["stall"] for x in seen)[len(seen) // 2] <= 20, [x["stall"] for x in seen]


# ---- and one that is not ----------------------------------------------------------------------
class Witness:
    """Another client of the server, which tells when the kernel ended its connection: a large process takes its time
    to die."""

    def __init__(self, server):
        self.sock = server.host.lab.manager.socket()
        self.sock.settimeout(20)
        self.sock.connect((server.addr, server.port))
        self.sock.recv(4096)
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        with contextlib.suppress(OSError):
            self.sock.recv(4096)
        self.ended = now()
        self.sock.close()

    def wait(self):
        self.thread.join()
        return self.ended


def test_killed(db1):
    """The EOF of a killed server is seen at once; then nobody listens; then it comes back."""
    took = []
    for _ in range(3):
        with tool(db1, "tls=off,interval=500,timeout=400") as t:
            t.wait(lambda x: x["ok"])
            witness, pid = Witness(db1), db1.pid
            killed = now()
            os.kill(pid, signal.SIGKILL)
            seen = t.wait(lambda x: x["what"] == "cut" or (x["how"] == "cut" and x["now"] > killed), None)
            took.append(abs(seen.get("instant", seen.get("ended")) - witness.wait()))
            db1.kill()  # waits for its end
            is_(t.wait(lambda x: x["layer"] == "nothing", since=killed), "refused", "nothing")
            back = now()
            db1.start()
            r = t.wait(lambda x: x["ok"], since=back)
            assert r["connected"] and r["started"] > killed - 2000
        if took[-1] < 50:
            break
    assert min(took) < 50, took


def test_frozen(db1):
    """Accepted, but silent; deadlines are exact."""
    with tool(db1) as t:
        t.wait(lambda x: x["ok"])
        with fault.frozen(db1):
            frozen = now()
            r = t.wait(lambda x: not x["ok"], since=frozen)
            is_(r, "late", "login")
            assert 299 <= r["ended"] - r["begun"] < 300 + SLACK
            assert r["heard"] <= frozen + 1
            r = t.wait(lambda x: x["layer"] == "tcp", since=frozen)
            is_(r, "late", "tcp")
            assert 299 <= r["ended"] - r["begun"] < 300 + SLACK
            assert not t.lines("cut")
        t.wait(lambda x: x["ok"], since=now())


def test_unplugged(db1):
    with tool(db1) as t:
        t.wait(lambda x: x["ok"])
        with fault.unplugged(db1.host):
            cut = now()
            is_(t.wait(lambda x: not x["ok"], since=cut), "late", "login")
            r = t.wait(lambda x: x["layer"] == "nothing", since=cut)
            is_(r, "late", "nothing")
            assert 299 <= r["ended"] - r["begun"] < 300 + SLACK
        t.wait(lambda x: x["ok"], since=now())


def test_no_such_host(db1):
    is_(once(db1, "tls=off,timeout=8000", addr="10.77.0.29"), "unreachable", "nothing")


def test_port_rejected(db1):
    with tool(db1) as t, fault.rejected(db1.host, db1.port):
        is_(t.wait(lambda x: x["layer"] == "nothing"), "refused", "nothing")


@pytest.mark.parametrize("tls", ["off", "preferred", "required"])
def test_too_many_connections(db1, tls):
    """Alive, whatever the library makes of it when TLS is wanted."""
    if tls == "required" and db1.flavour.name not in WITH_TLS:
        pytest.skip("this server has no certificate")
    with fault.out_of_connections(db1):
        r = once(db1, f"tls={tls}", user="app")
    is_(r, "alive", "greeting")
    assert r["code"] == 1040 and r["kind"] == "refused"


def test_wrong_password(db1):
    r = once(db1, password="wrong")
    is_(r, "alive", "greeting")
    assert r["code"] == 1045


def test_silent_port(db1):
    with fault.silent(db1.host, db1.port):
        is_(once(db1, "tls=preferred,timeout=300"), "late", "tcp")


@pytest.mark.parametrize("after,layer", [(0, "tcp"), (30, "greeting")])
@pytest.mark.parametrize("then,how", [("stall", "late"), ("close", "cut"), ("reset", "cut")])
def test_by_layers(db1, after, layer, then, how):
    with fault.proxied(db1, after, then):
        # A reset throws away what has not been read yet.
        is_(once(db1, "tls=off,timeout=300"), how, layer, *(["tcp"] if then == "reset" else []))


def test_disk_full(db1):
    """It reads and writes no more: an error, or no answer.  Some servers rather end (binlog_error_action, InnoDB)."""
    if not db1.sql("SHOW DATABASES LIKE 'infra'"):
        is_(once(db1, "tls=off,type=INSERT"), "fine", "write")
    with tool(db1, "tls=off,type=INSERT,interval=300,timeout=500") as t:
        t.wait(lambda x: x["ok"])
        with fault.disk_full(db1):
            full = now()
            t.wait(lambda x: (x["layer"] == "read" and x["how"] in ("error", "late")) or not db1.running,
                   since=full, within=20)
    db1.kill()


def test_read_only(db1):
    db1.sql("CREATE DATABASE IF NOT EXISTS infra")
    db1.sql("CREATE USER plain@'%' IDENTIFIED BY 'plain-pw'")
    db1.sql("GRANT ALL ON infra.* TO plain@'%'")
    was = db1.variable("read_only")
    try:
        db1.sql("SET GLOBAL read_only=0")
        is_(once(db1, "tls=off,type=INSERT", user="plain"), "fine", "write")
        db1.sql("SET GLOBAL read_only=1")
        r = once(db1, "tls=off,type=INSERT", user="plain")
        is_(r, "error", "read")
        assert r["code"] == 1290 and r["is_super"] == 1 and r["read_only"] == 2
    finally:
        db1.sql("SET GLOBAL read_only=0")
        db1.sql("DROP USER plain@'%'")
        db1.sql(f"SET GLOBAL read_only={int(was)}")


# ---- the lock ---------------------------------------------------------------------------------
def test_lock(db1):
    """Who holds it is named; freed, it is taken; a new session takes it again."""
    holder = db1.connect()
    with holder.cursor() as c:
        c.execute("SELECT GET_LOCK('MHA_Master_High_Availability_Monitor', 0)")
        assert c.fetchone()[0] == 1
    with tool(db1, "tls=off,interval=200,timeout=500,lock=1") as t:
        r = t.wait(lambda x: True)
        is_(r, "locked", "read")
        assert r["holder"] == f"root@localhost connection {holder.thread_id()}" and not r["lock_is_ours"]
        holder.close()
        r = t.wait(lambda x: x["ok"])
        assert r["lock_held"] and db1.one("SELECT IS_USED_LOCK('MHA_Master_High_Availability_Monitor')") == r["id"]
        db1.sql(f"KILL {r['id']}")
        assert t.wait(lambda x: True, "cut")["kind"] == "lost"
        again = t.wait(lambda x: x["ok"] and x["id"] != r["id"])
        assert again["lock_held"] and again["connected"]


@pytest.mark.parametrize("flavour", ["ma1011", "my97"])
def test_waiting_for_acknowledgements(lab, flavour):
    db1, db2 = lab.cluster(flavour, 2, semisync=True)
    with tool(db1, "tls=off,interval=200,timeout=1000,facts=1") as t:
        until("the slave acknowledges", lambda: (t.lines("facts") or [{}])[-1].get("clients") == 1, 10)
        f = t.lines("facts")[-1]
        assert f["enabled"] == f["on"] == 2 and f["wait_count"] == 1 and f["timeout_ms"] > 0
        assert f["wait_sessions"] == f["waiting_threads"] == 0
        timeout = "rpl_semi_sync_" + ("master" if db1.flavour.mariadb else "source") + "_timeout"
        db1.set(**{timeout: 30000})
        conn = db1.connect(read_timeout=60)
        with fault.frozen(db2):
            def write():
                with contextlib.suppress(pymysql.Error), conn.cursor() as c:
                    c.execute("CREATE DATABASE starved")
            writer = threading.Thread(target=write)
            writer.start()
            until("it waits", lambda: t.lines("facts")[-1].get("wait_sessions") == 1, 10)
            assert t.lines("facts")[-1]["waiting_threads"] == 1
            assert t.lines("report")[-1]["ok"]
        writer.join(20)
        assert not writer.is_alive()
        until("it waits no more", lambda: t.lines("facts")[-1].get("wait_sessions") == 0, 10)


# ---- replicas ---------------------------------------------------------------------------------
def test_replica_hears(db1, db2):
    """What arrived is known, and between which instants; silence is silence, whatever IO_Running says."""
    f = db2.flavour
    db2.stop_slave()
    db2.sql(f"{f.change} TO {f.master}_HEARTBEAT_PERIOD=0.5")
    db2.start_slave()
    until("it replicates", db2.replicating, 10)
    with tool(db2, "tls=preferred,replica=1,interval=100,timeout=500") as t:
        v = t.wait(lambda x: x["up"], "view")["channels"][0]
        s = db2.status()
        assert (v["source_host"], v["source_port"]) == (s["Master_Host"], int(s["Master_Port"]))
        assert v["source_server_id"] == db1.server_id and v["heartbeat_ms"] == 500
        assert v["source_uuid"] == (s.get("Master_UUID") or "")
        assert v["io"] and v["sql"] and v["read_file"] == s["Master_Log_File"]
        idle = now()
        heard = t.wait(lambda x: x["channels"] and x["channels"][0]["between"] >= idle, "view")["channels"][0]
        assert heard["heartbeats"] > 0 and idle <= heard["between"] < heard["heard_at"] <= now()
        written = now()
        db1.sql("CREATE DATABASE IF NOT EXISTS heard")
        db1.sql("DROP DATABASE heard")
        t.wait(lambda x: x["channels"][0]["between"] >= written - 150 and x["channels"][0]["heard_at"] > written, "view")
        with fault.frozen(db1):
            frozen = now()
            time.sleep(1.5)
            last = t.lines("view")[-1]
            assert last["up"] and last["channels"][0]["io"], last  # it believes in its source
            assert last["channels"][0]["between"] <= frozen
        t.wait(lambda x: x["channels"][0]["between"] > frozen + 1500, "view")
        killed = now()
        db1.kill()
        v = t.wait(lambda x: x["channels"][0]["io_errno"], "view")["channels"][0]
        assert not v["io"] and v["io_errno"] in (2003, 2013) and v["io_error_seen"] >= killed and v["between"] < now()
        db1.start()


def test_replica_dies(db2):
    with tool(db2, "tls=off,replica=1,interval=300,timeout=300") as t:
        t.wait(lambda x: x["up"] and x["channels"], "view")
        time.sleep(1)
        with fault.killed(db2):
            killed = now()
            v = t.wait(lambda x: not x["up"], "view")
            assert v["kind"] == "unreachable" and killed - 300 <= v["silent_since"] < killed + 200
        t.wait(lambda x: x["up"] and not x["silent_since"] and x["now"] > killed, "view", within=20)
        with fault.frozen(db2):
            frozen = now()
            v = t.wait(lambda x: not x["up"] and x["now"] > frozen, "view")
            assert frozen - 350 <= v["silent_since"] and v["channels"]


def test_replica_that_refuses(db2):
    r = Tool(db2, "tls=off,replica=1,count=1", password="wrong")
    assert r.proc.wait(20).rc == 0
    v = r.lines("view")[0]
    assert not v["up"] and v["refuses"] and v["code"] == 1045 and not v["silent_since"]
