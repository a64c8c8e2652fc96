# SPDX-License-Identifier: BSD-2-Clause
"""mha-node purge (purge_relay_logs): applied relay logs go, and nothing that an applier still needs."""
import os
import signal
import time

import pytest

from . import Lab
from .conftest import WANTED
from .util import until

PURGE = ["purge_relay_logs", "--user=mha", "--password=mha-pw"]
FAILOVER_LOCK = "MHA_Master_High_Availability_Failover"


@pytest.fixture(params=WANTED)
def flav(request):
    return request.param


@pytest.fixture(params=["gtid", "pos"])
def pair(flav, request):
    """A master, and a slave that keeps its relay logs, of which it has several."""
    with Lab.open() as lab:
        cluster = lab.cluster(flav, 2, mode=request.param)
        master, slave = cluster
        slave.set(relay_log_purge=0)
        fill(master, slave)
        cluster.caught_up()
        yield master, slave


@pytest.fixture
def server(flav):
    """The same without modes, for what does not depend on them."""
    with Lab.open() as lab:
        cluster = lab.cluster(flav, 2)
        cluster[1].set(relay_log_purge=0)
        fill(*cluster)
        cluster.caught_up()
        yield cluster[1]


def flush(slave, channel=None):
    mariadb = slave.flavour.mariadb
    name = "" if channel is None else f" '{channel}'" if mariadb else f" FOR CHANNEL '{channel}'"
    slave.sql(f"FLUSH NO_WRITE_TO_BINLOG RELAY LOGS{name}")


def fill(master, slave, files=4, channel=None):
    master.sql("CREATE DATABASE IF NOT EXISTS p")
    master.sql("CREATE TABLE IF NOT EXISTS p.t (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB)")
    for _ in range(files):
        master.sql("INSERT INTO p.t (b) VALUES (REPEAT('x', 100000))")
        flush(slave, channel)


def relay_logs(slave, prefix="relay-bin"):
    index = slave.path(f"{prefix}.index").read_text().split()
    files = sorted(f.name for f in slave.path().glob(f"{prefix}.[0-9]*"))
    assert [os.path.basename(i) for i in index] == files
    return files


def gone(before, after):
    """All but the newest two have gone: the position of a parallel applier may be a file behind when it moves on."""
    return len(before) > 2 and not set(before[:-2]) & set(after) and after[-1] not in before


def rows(server):
    return server.one("SELECT COUNT(*) FROM p.t")


def test_applied_logs_go(pair):
    master, slave = pair
    before, gtids = relay_logs(slave), slave.gtids()
    assert len(before) >= 5
    r = slave.host.run(PURGE)
    assert r.rc == 0, r.out + r.err
    lines = r.out.splitlines()
    assert lines[0].endswith(": purge_relay_logs script started.")
    assert lines[-1].endswith(": All relay log purging operations succeeded.")
    assert f" Opening {slave.data}/{before[0]} .." in lines
    assert gone(before, relay_logs(slave))
    assert str(slave.variable("relay_log_purge")) == "0"
    assert slave.gtids() == gtids, "no transaction of its own"
    fill(master, slave, files=1)
    slave.caught_up()
    assert rows(slave) == rows(master)


def test_stopped_applier_keeps_all(pair):
    """The logs that a stopped SQL thread has not read are there, and are applied later."""
    master, slave = pair
    slave.stop_slave("SQL_THREAD")
    fill(master, slave, files=3)
    at = slave.status()["Relay_Log_File"]
    before = relay_logs(slave)
    r = slave.host.run(PURGE)
    assert r.rc == 0, r.out + r.err
    assert "SQL thread is not running in 1 of 1 channels" in r.out
    assert relay_logs(slave) == before and at in before
    slave.start_slave("SQL_THREAD")
    slave.caught_up()
    assert rows(slave) == rows(master)


def test_lagging_applier_keeps_what_it_needs(server):
    """An applier that waits for a lock in an older file: that file and all behind it stay."""
    slave, master = server, server.master()
    with slave.connect() as c, c.cursor() as cur:
        cur.execute("LOCK TABLES p.t WRITE")
        fill(master, slave, files=3)
        until("it waits", lambda: slave.sql("SELECT 1 FROM information_schema.processlist WHERE state LIKE '%%lock%%'"), 10)
        at, before = slave.status()["Relay_Log_File"], relay_logs(slave)
        r = slave.host.run(PURGE)
        assert r.rc == 0, r.out + r.err
        assert set(f for f in before if f >= at) <= set(relay_logs(slave))
        cur.execute("UNLOCK TABLES")
    slave.caught_up()
    assert rows(slave) == rows(master)


def test_purge_enabled(server):
    server.set(relay_log_purge=1)
    r = server.host.run(PURGE)
    assert r.rc == 0 and " relay_log_purge is enabled. Exit.\n" in r.out
    assert str(server.variable("relay_log_purge")) == "1"
    r = server.host.run([*PURGE, "--disable_relay_log_purge"])
    assert r.rc == 0 and " relay_log_purge is enabled. Disabling..\n" in r.out, r.out + r.err
    assert str(server.variable("relay_log_purge")) == "0"


def test_killed_in_the_middle(server):
    """kill -9 while relay_log_purge is on: it is off again at once."""
    with server.connect() as c, c.cursor() as cur:
        cur.execute("LOCK TABLES p.t WRITE")  # so that it waits its full time
        server.master().sql("INSERT INTO p.t (b) VALUES ('y')")
        for sig in (signal.SIGKILL, signal.SIGTERM):
            p = server.host.start(PURGE)
            until("the setting is on", lambda: str(server.variable("relay_log_purge")) == "1", 10, every=0.005)
            p.kill(sig)
            until("the setting is off again", lambda: str(server.variable("relay_log_purge")) == "0", 2, every=0.005)
            p.wait()
            until("the guard ends", lambda: not guards(server), 5)
        cur.execute("UNLOCK TABLES")
    assert server.host.run(PURGE).rc == 0


def guards(server):
    return [p for p, argv in server.host.processes() if "purge-guard" in argv]


def test_excludes_failover(server):
    """While the failover lock is held nothing is purged; it goes on when the lock is free."""
    before = relay_logs(server)
    with server.connect() as c, c.cursor() as cur:
        cur.execute(f"SELECT GET_LOCK('{FAILOVER_LOCK}', 0)")
        p = server.host.start(PURGE)
        time.sleep(1.5)
        assert p.running and relay_logs(server) == before
        cur.execute(f"SELECT RELEASE_LOCK('{FAILOVER_LOCK}')")
        r = p.wait()
    assert r.rc == 0, r.out + r.err
    assert len(relay_logs(server)) < len(before)


def test_two_at_once(server):
    both = [server.host.start([*PURGE, "--splay=1"]) for _ in range(2)]
    for p in both:
        r = p.wait()
        assert r.rc == 0, r.out + r.err
    assert str(server.variable("relay_log_purge")) == "0"


def test_work_directory_is_relay_directory(server):
    """In MHA's hard-link mode this deleted the server's own files."""
    others = {f.name for f in server.path().iterdir()} - set(relay_logs(server))
    r = server.host.run([*PURGE, f"--workdir={server.data}", "--use_hardlink=1"])
    assert r.rc == 0, r.out + r.err
    assert others <= {f.name for f in server.path().iterdir()}


def test_ways_to_log_in(server):
    host = server.host
    host.write("/root/my.cnf", "[mysqld]\nuser=x\n[client]\nuser = mha\npassword = \"mha-pw\" # ours\n", 0o600)
    for argv, kw in ((["--defaults_file=/root/my.cnf"], {}),
                     (["--user=mha"], {"env": {"MHA_NODE_PASSWORD": "mha-pw"}}),
                     (["--user=mha", "--password_stdin"], {"input": "mha-pw\n"}),
                     (["--defaults_file=/root/my.cnf", f"--host={host.name}"], {}),
                     (["--defaults_file=/root/my.cnf", f"--host={host.addr}", "--port=3306"], {}),
                     (["--user=root", f"--socket={server.sock}"], {})):
        r = host.run(["purge_relay_logs", *argv], **kw)
        assert r.rc == 0, (argv, r.out, r.err)


def test_refusals(server):
    host, lab = server.host, server.lab
    for argv, why in ((["--host=db1"], "must be local address"), (["--host=203.0.113.9"], "must be local address"),
                      (["--password=wrong"], "Access denied"), (["--port=3399"], "3399"),
                      (["--defaults_file=/nowhere"], "/nowhere"), (["--frobnicate"], "unknown option")):
        r = host.run([*PURGE, *argv])
        assert r.rc == 1 and why in r.err, (argv, r.out, r.err)
        assert "wrong" not in r.out + r.err
    r = lab.servers["db1"].host.run(PURGE)
    assert r.rc == 1 and "not defined as replication slave" in r.err
    r = host.run(["purge_relay_logs", "--version"])
    assert (r.rc, r.out) == (0, "purge_relay_logs version 0.58.\n")


@pytest.mark.parametrize("flav", [f for f in WANTED if f != "my56"])
def test_channels(flav):
    """Two masters: applied logs of both channels go; one whose applier stands keeps its own."""
    with Lab.open() as lab:
        cluster = lab.cluster(flav, 3, shape="multisource", mode="pos")
        slave = next(s for s in cluster if len(channels(s)) > 1)
        names = channels(slave)
        slave.set(relay_log_purge=0)
        prefixes = {c: slave.status(c)["Relay_Log_File"].rsplit(".", 1)[0] for c in names}
        for c in names:
            for _ in range(3):
                flush(slave, c)
        until("appliers have moved", lambda: all(
            slave.status(c)["Relay_Log_File"] == relay_logs(slave, prefixes[c])[-1] for c in names), 10)
        before = {c: relay_logs(slave, prefixes[c]) for c in names}
        stop, go = names[0], names[1]
        applier(slave, "STOP", stop)
        r = slave.host.run(PURGE)
        assert r.rc == 0, r.out + r.err
        assert "SQL thread is not running in 1 of 2 channels" in r.out
        assert relay_logs(slave, prefixes[stop]) == before[stop]
        assert gone(before[go], relay_logs(slave, prefixes[go]))
        applier(slave, "START", stop)
        assert slave.host.run(PURGE).rc == 0
        assert gone(before[stop], relay_logs(slave, prefixes[stop]))


def channels(server):
    if server.flavour.mariadb:
        return [r[0] for r in server.sql("SHOW ALL SLAVES STATUS")]
    if server.flavour.family == "my97":
        return [r[0] for r in server.sql("SELECT CHANNEL_NAME FROM performance_schema.replication_connection_configuration")]
    return []


def applier(server, verb, channel):
    if server.flavour.mariadb:
        server.sql(f"{verb} SLAVE '{channel}' SQL_THREAD")
    else:
        server.sql(f"{verb} REPLICA SQL_THREAD FOR CHANNEL '{channel}'")
