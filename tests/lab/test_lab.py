# SPDX-License-Identifier: BSD-2-Clause
"""The lab tests itself: what it raises works, what it breaks is broken, and is whole again after."""
import os
import signal
import socket
import subprocess
import time

import pymysql
import pytest

from . import fault, ssh, validate
from .flavour import ACCOUNTS
from .lab import RUN, Lab, labs
from .util import PYTHON, REPO, LabError, until

SIMPLE = "ma1011"  # where the flavour does not matter


@pytest.fixture
def pair(lab):
    """A master and a slave of the quickest flavour, a witness."""
    lab.host("w1")
    return lab.cluster(SIMPLE, 2)


def fill(server, count=5):
    server.script("CREATE DATABASE IF NOT EXISTS t;"
                  "CREATE TABLE IF NOT EXISTS t.a (i INT PRIMARY KEY AUTO_INCREMENT)")
    for _ in range(count):
        server.sql("INSERT INTO t.a VALUES (NULL)")


def count(server):
    return server.one("SELECT COUNT(*) FROM t.a")


def errno(call):
    """The error number with which a MySQL call ends, None if it succeeds."""
    try:
        call()
    except pymysql.MySQLError as e:
        return e.args[0]
    except TimeoutError:
        return "timeout"


# ---- what it raises -----------------------------------------------------------------------------
def test_replication(lab, flavour, mode):
    """Three servers replicate; every account logs in over the network; mysqld is no root."""
    db1, db2, db3 = cluster = lab.cluster(flavour, 3, mode=mode)
    fill(db1)
    cluster.caught_up()
    validate.follow(db1, [db2, db3])
    validate.one_history(db1, [db2, db3])
    validate.same_data(cluster)
    validate.one_writable(cluster, db1)
    assert count(db3) == 5
    for user in ACCOUNTS:
        db2.login_from(lab.manager, user).close()
    assert os.stat(f"/proc/{db1.pid}").st_uid == 3306
    assert db1.host.run(["mysql", "-S", db1.sock, "-NBe", "SELECT @@hostname"]).out == "db1\n"
    if mode == "pos" and not db1.flavour.mariadb:
        assert db1.variable("gtid_mode") == "OFF"


def test_validators_catch_differences(lab, flavour):
    """A row of its own on a slave is seen in the data, and in the history."""
    db1, db2 = lab.cluster(flavour, 2)
    fill(db1)
    db2.caught_up()
    db2.sql("INSERT INTO t.a VALUES (100)")
    with pytest.raises(AssertionError, match="differ in t.a"):
        validate.same_data([db1, db2])
    with pytest.raises(AssertionError, match="db2"):
        validate.one_history(db1, [db2])
    db2.set(read_only=0)
    with pytest.raises(AssertionError, match="db2: read_only is 0"):
        validate.one_writable([db1, db2], db1)


@pytest.mark.parametrize("shape, chain", [
    ("tiers", {"db2": "db1", "db3": "db1", "db4": "db3"}), ("cascade", {"db2": "db1", "db3": "db2", "db4": "db3"}),
    ("dual", {"db1": "db2", "db2": "db1", "db3": "db1", "db4": "db1"}),
    ("extra", {"db2": "db1", "db3": "db1", "db4": "db1"}),
    ("onehost", {"db1:3307": "db1", "db1:3308": "db1", "db1:3309": "db1"})])
def test_shapes(lab, shape, chain):
    cluster = lab.cluster(SIMPLE, 4, shape=shape)
    fill(cluster.master)
    cluster.caught_up()
    assert {s.name: m.name for s in cluster if (m := s.master())} == chain
    assert count(cluster[3]) == 5
    assert lab.manager.read(cluster.conf).count("hostname=") == (3 if shape == "extra" else 4)


def test_second_source(lab, flavour):
    db1, db2, db3 = lab.cluster(flavour, 3, shape="multisource")
    fill(db1)
    db3.script("CREATE DATABASE u; CREATE TABLE u.b (i INT)")
    db2.caught_up()
    lab.until("the second source's table arrives", lambda: db2.sql("SHOW TABLES FROM u"))
    assert count(db2) == 5 and db2.replicating("extra")


def test_semisync(lab, flavour):
    """Commits are acknowledged, and wait when nobody acknowledges."""
    db1, db2 = lab.cluster(flavour, 2, semisync=True)
    word = "master" if db1.flavour.mariadb else "source"
    clients = f"SHOW STATUS LIKE 'Rpl_semi_sync_{word}_clients'"
    lab.until("a slave acknowledges", lambda: int(db1.sql(clients)[0][1]) == 1)
    fill(db1)
    assert int(db1.sql(f"SHOW STATUS LIKE 'Rpl_semi_sync_{word}_yes_tx'")[0][1]) >= 5
    with fault.receiver_stopped(db2), db1.connect(read_timeout=1) as c:
        assert errno(lambda: c.cursor().execute("INSERT INTO t.a VALUES (NULL)")) == 2013


def test_ssh(lab):
    """Manager and all database hosts log in to all, with every kind of key; hosts have their own disks."""
    hosts = [lab.manager, *lab.host_all(["db1", "db2"])]
    for a in hosts:
        for b in hosts:
            assert a.ssh(b, "hostname").out == b.name + "\n"
    for kind in ssh.KINDS:
        lab.manager.ssh(hosts[1], "true", "-i", f"/root/.ssh/id_{kind}", "-o", "IdentitiesOnly=yes", check=True)
    hosts[1].run(["sh", "-c", "touch /root/mine /var/tmp/mine /etc/mhad/mine /tmp/mine"], check=True)
    assert hosts[2].run(["ls", "/root", "/var/tmp", "/etc/mhad", "/tmp"]).out.count("mine") == 0
    assert not os.path.exists("/var/tmp/mine")


def test_programs_are_linked(lab, tmp_path, monkeypatch):
    for name in ("mha-node", "mhactl"):
        (tmp_path / name).write_text("#!/bin/sh\necho this is $0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("MHAD_BIN", str(tmp_path))
    db1, db2 = lab.host_all(["db1", "db2"])
    assert db2.ssh(db1, "mha-node").out == "this is /opt/mhad/bin/mha-node\n"
    assert db1.run(["sh", "-c", "command -v mhactl"]).rc != 0, "a database host needs no mhactl"


def test_run(lab):
    r = lab.manager.run(["sh", "-c", "echo out; echo err >&2; cat; exit 3"], input="in\n")
    assert (r.rc, r.out, r.err) == (3, "out\nin\n", "err\n")
    assert lab.manager.run(["sh", "-c", "sleep 600 & echo gone"], timeout=5).out == "gone\n"
    with pytest.raises(LabError, match="not finished after 0.3 s"):
        lab.manager.run(["sleep", "600"], timeout=0.3)
    p = lab.manager.start(["sleep", "600"])
    p.kill()
    assert p.wait(5).rc == -signal.SIGKILL


# ---- servers and hosts --------------------------------------------------------------------------
def test_server_faults(lab, flavour):
    """Killed, frozen, full: each bites, and its undoing makes the server work again."""
    db1, db2 = lab.cluster(flavour, 2, disk="300M")
    fill(db1)
    with fault.killed(db1):
        assert lab.manager.tcp(db1.addr, db1.port) == "refused"
        assert not db1.running
    assert count(db1) == 5
    with fault.frozen(db1):
        assert lab.manager.tcp(db1.addr, db1.port) == "open"
        assert errno(lambda: db1.login_from(lab.manager, timeout=0.5)) in (2003, 2013, "timeout")
    db1.login_from(lab.manager).close()
    with fault.out_of_connections(db2):
        assert errno(lambda: db2.login_from(lab.manager, "app")) == 1040
    lab.until("logins work again", lambda: errno(lambda: db2.login_from(lab.manager, "app").close()) is None)
    big = "CREATE TABLE t.big (PRIMARY KEY (i)) AS SELECT 1 AS i, REPEAT('x', 1000000) AS b"
    with fault.disk_full(db1):
        with db1.connect(read_timeout=1) as c:
            assert errno(lambda: c.cursor().execute(big)) is not None
        assert db1.one("SELECT 1") == 1
    db1.kill()  # rather than wait until it looks at its disk again
    db1.start()
    fill(db1)
    db2.caught_up(30)


def test_supervised_server_comes_back(lab):
    db1, = lab.cluster(SIMPLE, 1)
    db1.stop()
    db1.supervise()
    before = db1.pid
    db1.kill()
    lab.until("the supervisor starts it again", lambda: db1.running and db1.pid != before, 10)


def test_lagging_slave(pair):
    db1, db2 = pair
    with fault.lagging(db2, 30):
        fill(db1)
        assert int(db2.status()["SQL_Delay"]) == 30
        assert not db2.sql("SHOW DATABASES LIKE 't'")
    db2.caught_up(5)
    with fault.applier_stopped(db2):
        assert db2.status()["Slave_SQL_Running"] == "No"
    assert pair.lab.until("it replicates", db2.replicating)


def test_power(pair):
    """A host without power answers nothing, not even ARP; booted again it has its disk."""
    db1, db2 = pair
    fill(db1)
    db1.host.run(["touch", "/root/kept", "/tmp/lost"], check=True)
    with fault.off(db1.host):
        assert db1.lab.manager.tcp(db1.addr, 3306, 4) == "unreachable"
        assert not db1.running
    assert count(db1) == 5
    assert db1.host.path("/root/kept").exists() and not db1.host.path("/tmp/lost").exists()
    pair.lab.until("replication is back", db2.replicating)


def test_sshd_faults(pair):
    mgr, host = pair.lab.manager, pair[0].host
    with fault.sshd_stopped(host):
        assert mgr.tcp(host.addr, 22) == "refused"
    assert mgr.ssh(host, "true").rc == 0
    with fault.sshd_silent(host):
        assert mgr.tcp(host.addr, 22) == "open"
        assert "banner" in mgr.ssh(host, "true", "-o", "ConnectTimeout=1").err
    assert mgr.ssh(host, "true").rc == 0
    with fault.sshd_refusing(host):
        assert "Permission denied" in mgr.ssh(host, "true").err
    assert mgr.ssh(host, "true").rc == 0
    pin = ("-oUserKnownHostsFile=/root/known", "-oStrictHostKeyChecking=accept-new")
    assert mgr.ssh(host, "true", *pin).rc == 0
    with fault.new_host_keys(host):
        assert "IDENTIFICATION HAS CHANGED" in mgr.ssh(host, "true", "-oLogLevel=INFO", *pin).err
    assert mgr.ssh(host, "true", *pin).rc == 0


def test_power_loss_variants(lab, flavour):
    """The dead master's binlog is shorter than its slave's; its InnoDB is an earlier one."""
    db1, db2 = lab.cluster(flavour, 2, mode="pos")
    fill(db1)
    copy = db1.snapshot()
    end = db1.position()
    fill(db1)
    db2.caught_up()
    db1.kill()
    size = db1.binlogs()[-1].stat().st_size
    with fault.binlog_shortened(db1, 40):
        assert db1.binlogs()[-1].stat().st_size == size - 40
    assert db1.binlogs()[-1].stat().st_size == size
    with fault.data_rewound(db1, copy):
        db1.start()
        assert count(db1) == 5 and db1.position()[0] >= end[0]
    db1.start()
    assert count(db1) == 10


# ---- network ------------------------------------------------------------------------------------
def reach(a, b, port=3306):
    return a.tcp(b.addr, port, 0.4)


def test_cuts(pair):
    lab, (db1, db2) = pair.lab, pair
    mgr, w1 = lab.manager, lab.hosts["w1"]
    assert reach(mgr, db1) == reach(w1, db1) == reach(db2.host, db1) == "open"
    with fault.cut(mgr, db1.host):
        assert reach(mgr, db1) == "silent" and reach(w1, db1) == "open"
    with fault.cut([mgr, w1], [db1.host, db2.host], "tcp dport 3306"):
        assert reach(mgr, db1) == "silent" and reach(w1, db2) == "silent"
        assert reach(mgr, db1, 22) == "open" and reach(db2.host, db1) == "open"
    with fault.one_way(db1.host, mgr):
        assert reach(mgr, db1) == "silent" and reach(db2.host, db1) == "open"
    with fault.isolated(db1.host):
        assert reach(mgr, db1) == reach(db2.host, db1) == "silent" and reach(mgr, db2) == "open"
    with fault.unplugged(db1.host):
        assert reach(mgr, db1) == "silent"
        assert "NO-CARRIER" in db1.host.run(["ip", "link", "show", "eth0"]).out
    with fault.rejected(db1.host, 3306, mgr):
        assert reach(mgr, db1) == "refused" and reach(w1, db1) == "open"
    assert reach(mgr, db1) == "open"
    lab.until("replication is back", db2.replicating)


def test_packet_loss(pair):
    mgr, host = pair.lab.manager, pair[0].host

    def arrived():
        counter = "/sys/class/net/eth0/statistics/rx_packets"
        before = int(host.read(counter))
        with mgr.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _ in range(300):
                s.sendto(b"x", (host.addr, 9))
        return int(host.read(counter)) - before

    arrived()  # so that no ARP question gets lost
    with fault.loss(mgr, host, 50):
        assert 60 < arrived() < 250
    assert arrived() >= 300


def test_bad_peers(pair):
    """A port that accepts and says nothing; a proxy that stalls, closes or resets in mid-result."""
    lab, (db1, db2) = pair.lab, pair
    mgr = lab.manager
    ask = lambda: db1.login_from(mgr, timeout=0.6).cursor().execute("SELECT REPEAT('x', 100000)")
    with fault.silent(db1.host, 3306, mgr):
        assert reach(mgr, db1) == "open"
        assert errno(ask) in (2003, 2013, "timeout")
        assert errno(lambda: db1.login_from(db2.host).close()) is None
    with fault.proxied(db1):
        assert errno(ask) is None
    for then in ("stall", "close", "reset"):
        with fault.proxied(db1, after=20000, then=then):
            began = time.monotonic()
            assert errno(ask) is not None
            assert (time.monotonic() - began > 0.5) == (then == "stall")
    with fault.proxied(db1, delay=0.1):
        began = time.monotonic()
        assert errno(ask) is None
        assert time.monotonic() - began > 0.3
    assert errno(ask) is None
    assert not [p for p, argv in db1.host.processes() if "plug.py" in " ".join(argv)]


def test_vip(pair):
    lab, a, b = pair.lab, pair[0].host, pair[1].host
    assert lab.vip.answers() == []
    lab.vip.put(a)
    validate.vip_on(lab, a)
    lab.vip.put(b)
    assert lab.vip.answers() == [a, b], "both hold it, both answer"
    lab.vip.drop(a)
    validate.vip_on(lab, b)
    b.off()
    assert lab.vip.answers() == []


# ---- hooks --------------------------------------------------------------------------------------
def test_hooks(lab):
    mgr = lab.manager
    kinds = ("ok", "fail", "slow", "noisy", "killed")
    rc = {k: mgr.run([fault.hook(mgr, "h", k, 0.2), k], timeout=5).rc for k in kinds}
    assert rc == {"ok": 0, "fail": 1, "slow": 0, "noisy": 0, "killed": -signal.SIGKILL}
    assert fault.hook_calls(mgr) == [f"h {k}" for k in rc]
    deaf = mgr.start([fault.hook(mgr, "h", "deaf")])
    until("it runs", lambda: len(fault.hook_calls(mgr)) == 6)
    time.sleep(0.1)
    deaf.kill(signal.SIGTERM)
    with pytest.raises(LabError, match="not finished"):
        deaf.wait(0.5)


# ---- writer and validators ----------------------------------------------------------------------
def test_writer_and_validators(lab, flavour, mode):
    """A switch by hand under load loses nothing; a row that is taken away is missed, and so on."""
    db1, db2, db3 = cluster = lab.cluster(flavour, 3, mode=mode)
    lab.vip.put(db1.host)
    writer = lab.writer(rows=3).wait(30, db1)
    opened = switch_by_hand(lab, db1, db2, db3)
    writer.wait(30, db2)
    validate.everything(db2, [db1, db3], writer, db1, opened, vip=True)
    assert 0 < writer.outage() < 10

    acknowledged = sorted(writer.acknowledged())
    if db1.flavour.family == "my97":
        db1.set(super_read_only=0)
    for s in cluster:
        s.sql("SET sql_log_bin = 0")
        s.sql("DELETE FROM labdata.w WHERE id = %s", acknowledged[7])
        s.forget()
    with pytest.raises(AssertionError, match=f"missing on db2: {acknowledged[7]}$"):
        validate.rows(writer, db2)
    validate.rows(writer, db2, lost=[acknowledged[7]])
    with pytest.raises(AssertionError, match="called lost, but present"):
        validate.rows(writer, db2, lost=acknowledged[7:9])
    with pytest.raises(AssertionError, match="db1 acknowledged rows after"):
        validate.closed(db1, opened - 1, writer)
    db2.sql("INSERT INTO labdata.w VALUES (%s, 1, 0, '')", acknowledged[-1] + 5000)
    with pytest.raises(AssertionError, match="nobody wrote"):
        validate.rows(writer, db2, lost=[acknowledged[7]])


def switch_by_hand(lab, old, new, other):
    """What a careful person would type; returns when the new master opened."""
    lab.vip.drop(old.host)
    if old.flavour.family == "my97":
        old.sql("SET GLOBAL super_read_only = 1")
    else:
        old.sql("FLUSH TABLES WITH READ LOCK")
        old.set(read_only=1)
    for s in (new, other):
        s.caught_up()
    at = new.position()
    new.reset_slave()
    other.reset_slave()
    opened = time.monotonic()
    new.set(read_only=0)
    lab.vip.put(new.host)
    if old.flavour.family != "my97":
        old.sql("UNLOCK TABLES")
    if old.flavour.mariadb and old.mode == "gtid":
        old.sql("SET GLOBAL gtid_slave_pos = @@gtid_current_pos")
    for s in (old, other):
        s.follow(new, at)
    return opened


# ---- nothing stays behind -----------------------------------------------------------------------
DRIVER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from lab import Lab
with Lab.open(f"driver{os.getpid()}") as lab:  # a name that nobody takes again
    lab.cluster("ma1011", 2)
    lab.writer(lab.servers["db1"]).wait(5)
    print(lab.name, lab.keeper_pid, lab.pid, *[h.pid for h in lab.hosts.values()],
          *[s.pid for s in lab.servers.values()], flush=True)
    time.sleep(600)
"""


def driver():
    """A process with a lab of its own: (process, lab's name, keeper's pid, the pids in the lab)."""
    # SIGINT is ignored where we were started in the background; the driver must not inherit that.
    p = subprocess.Popen([PYTHON, "-c", DRIVER, str(REPO / "tests")], stdout=subprocess.PIPE, text=True,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    name, keeper, *pids = p.stdout.readline().split()
    return p, name, int(keeper), [int(x) for x in pids]


def left(name, pids):
    """What is still there of a lab."""
    names = [n for n in os.listdir("/run/netns") if n.startswith(name + "-")]
    return names + [p for p in pids if os.path.exists(f"/proc/{p}")] + [d for d in [RUN / name] if d.exists()]


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_driver(sig):
    p, name, keeper, pids = driver()
    assert len(left(name, pids)) == 3 + len(pids) + 1
    p.send_signal(sig)
    p.wait(20)
    until("all is gone", lambda: not left(name, [keeper, *pids]), 10)


def test_dead_keeper_is_swept(lab):
    """Even with keeper and driver both killed no process stays, and the next lab removes the names."""
    p, name, keeper, pids = driver()
    os.kill(p.pid, signal.SIGSTOP)
    os.kill(keeper, signal.SIGKILL)
    until("no process is left", lambda: not [x for x in pids if os.path.exists(f"/proc/{x}")], 10)
    p.kill()
    p.wait()
    assert name not in labs()
    with Lab.open():
        assert not left(name, [])
        assert lab.name in labs(), "a living lab is not swept"
    assert lab.manager.run(["true"]).rc == 0


def test_labs_side_by_side(pair):
    """Two labs with the same addresses do not see each other; a second process can attach to one."""
    db1, db2 = pair
    fill(db1)
    with Lab.open() as other:
        o1, o2 = other.cluster(SIMPLE, 2)
        assert o1.addr == db1.addr and not o1.sql("SHOW DATABASES LIKE 't'")
        same = Lab.attach(pair.lab.name)
        assert count(same.servers["db1"]) == 5
        assert same.clusters[0].master.name == "db1"
        o1.host.off()
    assert count(db1) == 5 and db2.replicating()


def test_commands(tmp_path):
    """up, sh, fault and down."""
    here, name = REPO / "tests/lab", f"cmd{os.getpid()}"
    run = lambda *a: subprocess.run([str(here / a[0]), *a[1:]], capture_output=True, text=True, timeout=60)
    try:
        up = run("up", SIMPLE, "2", "--name", name, "--vip")
        assert up.returncode == 0 and "vip   10.77.0.100  on db1" in up.stdout, up.stderr
        assert run("sh", name, "db2", "hostname").stdout == "db2\n"
        assert run("fault", name, "kill", "db1").returncode == 0
        assert "db1" in (state := run("fault", name, "show").stdout) and "down" in state
        assert run("fault", name, "start", "db1").returncode == 0
        assert run("fault", name, "cut", "mgr", "db1").returncode == 0
        ping = ["python3", "-c", "import socket; socket.create_connection(('db1', 22), 0.5)"]
        assert run("sh", name, "mgr", *ping).returncode != 0
        assert run("fault", name, "heal").returncode == 0
        assert run("sh", name, "mgr", *ping).returncode == 0
    finally:
        down = run("down", name)
    assert down.returncode == 0 and not left(name, []), down.stderr
