# SPDX-License-Identifier: BSD-2-Clause
"""Slaves change their sources under load: by position and by GTID, up, down and back; killed in the middle, and refused."""
import json
import random
import threading
import time

import pytest

from . import fault, validate
from .flavour import flavour as find_flavour
from .mhad import Mhad
from .test_repl import OPTIONS, options

SETUP = """
CREATE DATABASE shop;
CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB;
CREATE TABLE shop.count (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB;
INSERT INTO shop.count VALUES (1, 0), (2, 0), (3, 0)
"""
STEPS = "read check lock stop level prove point resume follow roles".split()


class Load:
    """Writes to the master every few milliseconds that show each transaction that is skipped or done twice."""

    def __init__(self, master, pause=0.002):
        self.master, self.pause, self.done, self.error = master, pause, 0, None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            with self.master.connect(read_timeout=30) as s, s.cursor() as c:
                while not self.ending.is_set():
                    c.execute("BEGIN")
                    c.execute(f"INSERT INTO shop.t (v) VALUES ('row {self.done}'), ('{'x' * random.randrange(150)}')")
                    c.execute(f"UPDATE shop.count SET n = n + 1 WHERE id <= {1 + self.done % 3}")
                    c.execute("COMMIT")
                    if self.done % 200 == 199:
                        c.execute("DELETE FROM shop.t ORDER BY id LIMIT 50")
                    if self.done % 500 == 250:
                        c.execute("FLUSH LOCAL BINARY LOGS")
                    self.done += 1
                    time.sleep(self.pause)
        except Exception as e:  # told where the test waits
            self.error = e

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(40)
        assert not self.error and self.done > 5, f"{self.error}, after {self.done} transactions"


class Moves:
    def __init__(self, lab, cluster):
        self.lab, self.cluster, self.conf = lab, cluster, cluster.conf

    def ctl(self, *args, rc=0, timeout=60, **kw):
        r = self.lab.manager.run(["mhactl", *args, f"--conf={self.conf}"], timeout=timeout, **kw)
        assert rc is None or r.rc == rc, str(r)
        return r

    def move(self, slave, master, *args, **kw):
        return self.ctl("move", slave.name, f"--below={master.name}", *args, **kw)

    def flatten(self, *args, **kw):
        return self.ctl("flatten", *args, **kw)

    def journal(self):
        return self.lab.manager.path(f"/var/lib/mhad/{self.cluster.name}/move/journal")


def start(lab, flavour, mode="pos", servers=5, shape="branches", semisync=True, **how):
    cluster = lab.cluster(flavour, servers, mode=mode, shape=shape,
                          semisync=semisync and find_flavour(flavour).semisync, **how)
    cluster[0].script(SETUP)
    cluster.caught_up()
    return Moves(lab, cluster)


def clients(server):
    """Who acknowledges to it."""
    word = "master" if server.flavour.mariadb else "source"
    rows = server.sql(f"SHOW STATUS LIKE 'Rpl_semi_sync_{word}_clients'")
    return int(rows[0][1]) if rows else 0


def below(cluster):
    """{slave: its source}, all replicating."""
    for s in cluster.slaves:
        st = s.status()
        assert s.replicating() and st["Last_SQL_Errno"] in (0, "0") and st["Last_IO_Errno"] in (0, "0"), f"{s}: {st}"
    return {s.name: s.master().name for s in cluster.slaves}


def equal(cluster, within=20):
    """All have what the master has, row by row, and no error."""
    master = cluster.master
    for s in cluster.slaves:
        chain, top = [], s
        while top is not master:
            chain.append(top)
            top = top.master()
        for x in reversed(chain):
            x.caught_up(within)
    validate.one_history(master, cluster.slaves)
    tables = ("shop.t", "shop.count")
    want = {t: master.sql(f"SELECT * FROM {t} ORDER BY id") for t in tables}
    for s in cluster.slaves:
        for t in tables:
            assert s.sql(f"SELECT * FROM {t} ORDER BY id") == want[t], f"{t} differs on {s}"
    return below(cluster)


STAR = {f"db{i}": "db1" for i in range(2, 6)}
BRANCHES = {"db2": "db1", "db3": "db1", "db4": "db2", "db5": "db3"}


def round_trip(m):
    """The cascade becomes a star, and a cascade again."""
    db1, db2, db3, db4, db5 = m.cluster
    m.flatten()
    assert below(m.cluster) == STAR
    if m.cluster.semisync:
        m.lab.until("four acknowledge", lambda: clients(db1) == 4)
    m.move(db4, db2)
    m.move(db5, db3)
    assert below(m.cluster) == BRANCHES


def cascade(lab, flavour, mode, rounds, **how):
    m = start(lab, flavour, mode, **how)
    with Load(m.cluster.master):
        for _ in range(rounds):
            round_trip(m)
            assert below(m.cluster) == BRANCHES
        m.flatten()
        time.sleep(0.3)
    assert equal(m.cluster) == STAR
    if m.cluster.semisync:
        assert clients(m.cluster.master) == 4
    assert not m.journal().exists()


def test_cascade(lab, flavour, mode):
    """One master, two slaves, one slave under each, writes every few milliseconds: a star, a cascade, a star."""
    cascade(lab, flavour, mode, 2)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_cascade_twenty_times(lab, flavour, mode):
    cascade(lab, flavour, mode, 20)


@pytest.mark.slow
def test_cascade_of_statements(lab, flavour):
    """What is repeated gives no error here, only other numbers."""
    cascade(lab, flavour, "pos", 3, options={"binlog_format": "STATEMENT"})


PARALLEL = {"my56": "slave_parallel_workers", "my97": "replica_parallel_workers", "ma": "slave_parallel_threads"}


@pytest.mark.slow
def test_cascade_in_parallel(lab, flavour):
    """Parallel appliers; MySQL's commit out of order."""
    f = find_flavour(flavour)
    options = {PARALLEL[f.family]: 4}
    if flavour == "my97":
        options["replica_preserve_commit_order"] = 0
    cascade(lab, flavour, "pos", 3, options=options)


@pytest.mark.slow
def test_three_tiers(lab, flavour, mode):
    """db1 <- db2 <- db3 <- db4: flat, and each one back below the one before it."""
    m = start(lab, flavour, mode, servers=4, shape="cascade")
    db1, db2, db3, db4 = m.cluster
    with Load(db1):
        for _ in range(3):
            m.flatten()
            assert below(m.cluster) == {"db2": "db1", "db3": "db1", "db4": "db1"}
            m.move(db3, db2)
            m.move(db4, db3)
            assert below(m.cluster) == {"db2": "db1", "db3": "db2", "db4": "db3"}
        m.move(db4, db1)
        m.move(db4, db3)
        time.sleep(0.2)
    equal(m.cluster)


def test_plan_changes_nothing(lab):
    m = start(lab, "ma1011")
    plan = json.loads(m.ctl("plan", "flatten", "--json").out)
    assert not plan["would_be_refused"]
    assert [(x["child"][:3], x["from"][:3], x["to"][:3], x["how"]) for x in plan["moves"]] \
        == [("db4", "db2", "db1", "up"), ("db5", "db3", "db1", "up")]
    plan = json.loads(m.ctl("plan", "move", "db4", "--below=db3", "--json").out)
    assert [(x["from"][:3], x["to"][:3], x["how"]) for x in plan["moves"]] == [("db2", "db1", "up"), ("db1", "db3", "down")]
    assert below(m.cluster) == BRANCHES


@pytest.mark.slow
def test_idle_and_rotated(lab, flavour):
    """Nobody writes, and the newest binlogs hold no transaction yet: on the old source, the new one, all."""
    m = start(lab, flavour, servers=4)
    db1, db2, db3, db4 = m.cluster
    for rotated in ((db2,), (db1,), (db3,), m.cluster, ()):
        for s in rotated:
            s.sql("FLUSH LOCAL BINARY LOGS")
        m.move(db4, db1, "--max_wait=5")
        for s in rotated:
            s.sql("FLUSH LOCAL BINARY LOGS")
        m.move(db4, db3, "--max_wait=5")
        m.move(db4, db2, "--max_wait=5")
    db1.sql("INSERT INTO shop.t (v) VALUES ('last')")
    assert equal(m.cluster)["db4"] == "db2"


@pytest.mark.slow
def test_options_stay(lab, flavour, mode):
    """All that CHANGE can set stays as it was, on the way up and down again."""
    m = start(lab, flavour, mode, servers=4)
    db1, db2, _, db4 = m.cluster
    db4.stop_slave()
    db4.sql(f"{db4.flavour.change} TO {OPTIONS[flavour].replace('DELAY=1', 'DELAY=0').replace('%', db4.flavour.master)}"
            if flavour != "my97" else "CHANGE REPLICATION SOURCE TO SOURCE_HEARTBEAT_PERIOD=3.5, SOURCE_RETRY_COUNT=77, "
            "SOURCE_CONNECT_RETRY=5, REQUIRE_ROW_FORMAT=1, SOURCE_COMPRESSION_ALGORITHMS='zstd,uncompressed'")
    db4.start_slave()
    lab.until("it replicates", db4.replicating)
    was = options(db4)
    m.flatten()
    assert options(db4) == was
    m.move(db4, db2)
    assert options(db4) == was
    equal(m.cluster)


# ---- killed, and taken up ---------------------------------------------------------------------------------------------
def killed_and_taken_up(lab, flavour, mode, step, where, way):
    m = start(lab, flavour, mode, servers=4)
    db1, db2, db3, db4 = m.cluster
    to = db1 if way == "up" else db3
    if way == "down":
        m.move(db4, db1)
    with Load(db1):
        first = m.move(db4, to, rc=None, env={"MHAD_FAILPOINT": f"{step}:{where}=kill"})
        if first.rc == 0:
            pytest.skip("there is no such step on this way")
        assert first.rc in (-9, 137), str(first)
        time.sleep(0.2)
        m.move(db4, to)
        time.sleep(0.2)
    got = equal(m.cluster)
    assert got == {"db2": "db1", "db3": "db1", "db4": to.name}, got
    assert not m.journal().exists()


@pytest.mark.parametrize("where", ["begin", "act", "verify", "end"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("way", ["up", "down"])
def test_move_killed_at(lab, mode, way, step, where):
    killed_and_taken_up(lab, "ma1011", mode, step, where, way)


@pytest.mark.parametrize("where", ["act", "end"])
@pytest.mark.parametrize("step", ["stop", "level", "point", "resume", "follow"])
@pytest.mark.parametrize("way", ["up", "down"])
def test_move_killed_at_on_all(lab, flavour, way, step, where):
    if flavour == "ma1011":
        pytest.skip("has it all in test_move_killed_at")
    killed_and_taken_up(lab, flavour, "pos", step, where, way)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS[3:-1])
@pytest.mark.parametrize("way", ["up", "down"])
def test_failed_and_undone(lab, flavour, mode, way, step):
    """A step that fails leaves the tree as it was, and all replicate."""
    m = start(lab, flavour, mode, servers=4)
    db1, db2, db3, db4 = m.cluster
    to = db1 if way == "up" else db3
    if way == "down":
        m.move(db4, db1)
    was = below(m.cluster)
    with Load(db1):
        m.move(db4, to, rc=1, env={"MHAD_FAILPOINT": f"{step}:act=error"})
        time.sleep(0.2)
        assert below(m.cluster) == was
        m.move(db4, to)
        time.sleep(0.2)
    assert equal(m.cluster)["db4"] == to.name


@pytest.mark.slow
def test_new_source_turns_it_away(lab, flavour):
    """Pointed and started, but it cannot log in: back where it was, with nothing lost."""
    m = start(lab, flavour, servers=4)
    db1, db2, db3, db4 = m.cluster
    db1.sql("SET sql_log_bin=0")
    db1.sql("RENAME USER repl@'%' TO gone@'%'")
    with Load(db1):
        r = m.move(db4, db1, rc=1, timeout=90)
        assert "was not moved" in r.err and "(undone)" in r.err, str(r)
        db1.sql("RENAME USER gone@'%' TO repl@'%'")
        db1.forget()
        time.sleep(0.3)
    assert equal(m.cluster)["db4"] == "db2"


# ---- refused ----------------------------------------------------------------------------------------------------------
REFUSED = {
    "applier stopped": (lambda m: m.cluster[1].stop_slave("SQL_THREAD"), "does not replicate"),
    "receiver of the slave stopped": (lambda m: m.cluster[3].stop_slave("IO_THREAD"), "does not replicate"),
    "no log_slave_updates": (lambda m: restarted(m.cluster[1], log_slave_updates=0), "log_slave_updates"),
    "filter": (lambda m: restarted(m.cluster[1], replicate_ignore_table="shop.nothing"), "filters what it replicates"),
    "statements only": (lambda m: m.cluster[3].set(binlog_format="STATEMENT"), "statements only"),
    "dead": (lambda m: m.cluster[1].kill(), "answer"),
}


def restarted(server, **options):
    server.restart(**options)
    server.start_slave()
    server.lab.until("all replicate again", lambda: all(s.replicating() for s in server.lab.clusters[0].slaves))


QUICK = "applier stopped", "filter"


@pytest.mark.parametrize("why", [w if w in QUICK else pytest.param(w, marks=pytest.mark.slow) for w in REFUSED])
def test_refused(lab, why):
    m = start(lab, "ma1011", servers=4)
    _, db2, _, db4 = m.cluster
    breaks, words = REFUSED[why]
    breaks(m)
    before = {s.name: s.status() for s in (db2, db4) if s.running}
    for args in (("plan", "flatten"), ("flatten",), ("move", "db4", "--below=db1")):
        r = m.ctl(*args, rc=5)
        assert words in r.out + r.err, str(r)
    for s in (db2, db4):
        if s.running:
            now = s.status()
            assert all(now[k] == before[s.name][k] for k in ("Slave_IO_Running", "Slave_SQL_Running", "Master_Host"))


def test_forced(lab):
    """A tier that the file does not know of; and a slave that clients may write to is only warned of."""
    m = start(lab, "ma1011", servers=4)
    _, db2, db3, db4 = m.cluster
    r = m.move(db3, db2, rc=5)
    assert "multi_tier_slave" in r.err and "--force" in r.err
    m.move(db3, db2, "--force")
    assert db3.master() is db2
    db2.set(read_only=0)
    r = m.flatten()
    assert "clients may write to db2" in r.err and below(m.cluster) == {"db2": "db1", "db3": "db1", "db4": "db1"}


@pytest.mark.slow
def test_not_in_time(lab):
    """The slave does not come to the end of what its source wrote: the source goes on, nothing is moved."""
    m = start(lab, "my97", servers=4)
    db1, db2, _, db4 = m.cluster
    with db4.connect() as s, s.cursor() as c:
        c.execute("LOCK TABLES shop.t READ")
        with Load(db1):
            r = m.move(db4, db1, "--max_wait=2", "--json", rc=None)
            assert r.rc in (1, 5), str(r)
            assert db2.replicating()
    assert equal(m.cluster)["db4"] == "db2"


def test_temporary_tables(lab):
    """Made by statements, open on the slaves: the move is undone; gone, it works."""
    m = start(lab, "ma1011", servers=4, options={"binlog_format": "STATEMENT"})
    db1, db2, _, db4 = m.cluster
    with db1.connect() as s, s.cursor() as c:
        c.execute("CREATE TEMPORARY TABLE shop.mine (id INT)")
        c.execute("INSERT INTO shop.mine VALUES (1)")
        c.execute("INSERT INTO shop.t (v) SELECT 'from mine' FROM shop.mine")
        m.cluster.caught_up()
        r = m.move(db4, db1, rc=1)
        assert "temporary table" in r.err, str(r)
        assert below(m.cluster)["db4"] == "db2"
    m.lab.until("they are gone", lambda: not int(db4.sql("SHOW STATUS LIKE 'Slave_open_temp_tables'")[0][1]))
    m.move(db4, db1)
    assert equal(m.cluster)["db4"] == "db1"


@pytest.mark.slow
@pytest.mark.parametrize("args", [("db1", "--below=db2"), ("db2", "--below=db4"), ("db4", "--below=db4"), ("db9", "--below=db1")])
def test_no_such_way(lab, args):
    m = start(lab, "ma1011", servers=4, semisync=False)
    r = m.ctl("move", *args, rc=None)
    assert r.rc in (2, 5) and below(m.cluster)["db4"] == "db2", str(r)


# ---- beside a running mhad --------------------------------------------------------------------------------------------
def test_beside_mhad(lab):
    """mhad watches all the time: nothing is misread, and it knows the new tree at once."""
    m = start(lab, "ma1011")
    mhad = Mhad(lab)
    m.conf = mhad.use(m.cluster, mha=True)
    with mhad.start().watching(), Load(m.cluster.master):
        for _ in range(3):
            round_trip(m)
            assert mhad.status()["verdict"] == "healthy"
        m.flatten()
        assert not [e for e in mhad.ask("history", cluster="app1")["entries"] if e["what"] in ("state", "alarm")]
        assert len([e for e in mhad.ask("history", cluster="app1")["entries"] if e["what"] == "move"]) == 14
        lab.until("it has read the tree", lambda: "nothing in the topology" in str(mhad.why()["gates"]))


@pytest.mark.slow
def test_failover_after_a_killed_move(lab, flavour):
    """What a killed move has left standing still does not stand in the way of a failover; then it is cleared up."""
    m = start(lab, flavour, servers=4)
    db1, db2, db3, db4 = m.cluster
    with Load(db1):
        m.move(db4, db1, rc=None, env={"MHAD_FAILPOINT": "prove:end=kill"})
        assert not db2.replicating()
    db1.kill()
    r = lab.manager.run(["masterha_master_switch", "--master_state=dead", f"--conf={m.conf}", "--dead_master_host=db1",
                         "--dead_master_port=3306", "--interactive=0", "--new_master_host=db3"], timeout=60)
    assert r.rc == 0, str(r)
    assert db2.master() is db3
    m.ctl("flatten", rc=None, timeout=90)
    lab.until("all go on", lambda: db2.replicating() and db4.replicating())


# ---- double masters ---------------------------------------------------------------------------------------------------
def test_ring(lab, flavour, mode):
    """Closed under load: nothing is done twice, what the other one writes arrives; and opened again."""
    m = start(lab, flavour, mode, servers=3, shape="star", semisync=False)
    db1, db2, db3 = m.cluster
    topology = lambda: json.loads(m.ctl("topology", "--json", rc=None).out)
    assert m.ctl("ring", "close", rc=2).err.count("--with")
    db2.set(read_only=0)
    assert "clients may write" in m.ctl("ring", "close", "--with=db2", rc=5).err
    db2.set(read_only=1)
    with Load(db1):
        m.ctl("ring", "close", "--with=db2")
        assert db1.master() is db2 and db1.replicating()
        m.ctl("ring", "close", "--with=db2")
        time.sleep(0.5)
    assert equal(m.cluster) == {"db2": "db1", "db3": "db1"} and db1.replicating()
    seen = topology()
    assert [s["role"] for s in seen["servers"]] == ["master", "co-master", "slave"]
    assert [f["code"] for f in seen["findings"] if f["code"] in ("ring-broken", "auto-increment")] == ["auto-increment"]
    for i, s in enumerate((db1, db2), 1):
        s.set(auto_increment_increment=2, auto_increment_offset=i)
    db1.stop_slave("SQL_THREAD")
    assert [f["code"] for f in topology()["findings"] if f["code"] in ("ring-broken", "auto-increment")] == ["ring-broken"]
    db1.start_slave("SQL_THREAD")
    db2.sql("INSERT INTO shop.t (v) VALUES ('from the other one')")
    for s in (db1, db3):
        lab.until(f"{s} has it", lambda s=s: s.one("SELECT COUNT(*) FROM shop.t WHERE v LIKE 'from%'") == 1)
    m.ctl("ring", "open")
    assert not db1.status() and equal(m.cluster) == {"db2": "db1", "db3": "db1"}
