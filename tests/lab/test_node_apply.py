# SPDX-License-Identifier: BSD-2-Clause
"""mha-node's apply: what a dead master's disk still has comes to a slave, by both appliers, whatever happens meanwhile."""
import signal
import threading
import time

import pytest

SETUP = """
CREATE DATABASE shop;
CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200), n INT NOT NULL DEFAULT 0) ENGINE=InnoDB;
CREATE TABLE shop.count (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB;
INSERT INTO shop.count VALUES (1, 0)
"""
WORKERS = {"my56": "slave_parallel_workers", "my97": "replica_parallel_workers", "ma": "slave_parallel_threads"}
RELAY_POINTS = ("stopped", "written", "made", "indexed", "flushed", "changed", "filled", "started", "applied")
SQL_POINTS = ("before-commit", "after-commit", "applied")


def work(master, count):
    """Transactions that show if one is applied twice or not at all."""
    with master.connect(read_timeout=120) as s, s.cursor() as c:
        for i in range(count):
            c.execute("BEGIN")
            c.execute(f"INSERT INTO shop.t (v) VALUES ('row {i}'), ('second {i}')")
            c.execute("UPDATE shop.count SET n = n + 1")
            c.execute("COMMIT")


def more_work(master):
    """DDL, a transaction of several statements, another file, what the flavour has of its own."""
    master.script("""CREATE TABLE shop.c (id INT PRIMARY KEY, v TEXT) ENGINE=InnoDB;
        BEGIN; INSERT INTO shop.c SELECT id, REPEAT(v, 100) FROM shop.t LIMIT 50; UPDATE shop.t SET v = REVERSE(v) LIMIT 30; COMMIT;
        FLUSH BINARY LOGS; UPDATE shop.count SET n = n * 2 + 1; ALTER TABLE shop.t ADD COLUMN w INT NOT NULL DEFAULT 7;
        INSERT INTO shop.t (v) VALUES ('after alter'); DELETE FROM shop.t LIMIT 1""")
    with master.connect() as s, s.cursor() as c:
        if master.flavour.mariadb:
            c.execute("SET gtid_domain_id=7")
        elif master.flavour.family == "my97" and master.mode == "gtid":
            c.execute("SET gtid_next='AUTOMATIC:tagged'")
        c.execute("INSERT INTO shop.t (v) VALUES ('last')")


def data(server):
    """Checksums of all tables that are not the server's own."""
    tables = server.sql("SELECT table_schema, table_name FROM information_schema.tables "
                        "WHERE table_type='BASE TABLE' AND table_schema NOT IN "
                        "('mysql', 'sys', 'performance_schema', 'information_schema', 'labdata') ORDER BY 1, 2")
    return [(f"{s}.{t}", server.sql(f"CHECKSUM TABLE `{s}`.`{t}`")[0][1]) for s, t in tables]


def start(lab, flavour, mode, servers, options=None):
    cluster = lab.cluster(flavour, servers, mode=mode, options=options or {})
    cluster[0].script(SETUP)
    cluster.caught_up()
    return cluster


def cut_off(slave, unapplied=True):
    """The slave stops, with relay logs that it has not applied."""
    if unapplied:
        slave.stop_slave("SQL_THREAD")
        master = slave.master()
        work(master, 3)
        end = master.position()
        slave.lab.until("received", lambda: (slave.status()["Master_Log_File"], slave.status()["Read_Master_Log_Pos"]) == end)
    slave.stop_slave("IO_THREAD")


def save(master, slave, name="tail", at=None):
    """The dead master's tail behind what the slave has executed, brought to the slave's host."""
    s = slave.status()
    file, pos = at or (s["Relay_Master_Log_File"], s["Exec_Master_Log_Pos"])
    master.host.run(["save_binary_logs", "--command=save", f"--start_file={file}", f"--start_pos={pos}",
                     f"--binlog_dir={master.data}", f"--output_file=/var/tmp/{name}", "--manager_version=0.58"], check=True)
    return bring(master, slave, name)


def bring(from_server, to, name):
    to.host.path("/var/tmp/" + name).write_bytes(from_server.host.path("/var/tmp/" + name).read_bytes())
    return "/var/tmp/" + name


def command(slave, files, *options):
    """The manager's command line."""
    return ["apply_diff_relay_logs", "--command=apply", "--slave_user=mha", f"--slave_host={slave.host.name}",
            f"--slave_ip={slave.addr}", f"--slave_port={slave.port}", f"--apply_files={files}", "--workdir=/var/log/masterha/app1",
            f"--target_version={slave.one('SELECT VERSION()')}", "--timestamp=20261120010203", "--handle_raw_binlog=1",
            "--disable_log_bin=0", "--manager_version=0.58", "--slave_pass=mha-pw", *options]


def apply(slave, files, *options, timeout=60, **kw):
    return slave.host.run(command(slave, files, *options), timeout=timeout, **kw)


def same(slave, reference):
    assert data(slave) == data(reference)
    if not slave.flavour.mariadb:
        assert slave.gtids() == reference.gtids()
        return
    assert sorted(slave.variable("gtid_slave_pos").split(",")) == sorted(reference.variable("gtid_slave_pos").split(","))
    assert slave.variable("gtid_binlog_pos") == reference.variable("gtid_binlog_pos")


def goes_on(master, *slaves):
    """Replication from a new master works."""
    master.stop_slave()
    for s in slaves:
        s.follow(master)
    master.sql("INSERT INTO shop.t (v) VALUES ('from the new master')")
    for s in slaves:
        s.caught_up()
        assert s.replicating()
        assert data(s) == data(master)


@pytest.mark.parametrize("count", [1, 1000, pytest.param(100000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_difference(lab, flavour, mode, count):
    """Several files, relay logs not applied yet, parallel appliers: by both appliers the same as by replication."""
    db1, db2, db3, db4 = cluster = start(lab, flavour, mode, 4)
    name = WORKERS[db2.flavour.family]
    db2.stop_slave()
    db2.sql(f"SET GLOBAL {name}=4")
    db2.start_slave()
    for s in (db2, db3):
        cut_off(s)
    work(db1, count)
    more_work(db1)
    db4.caught_up(within=900)
    db4.stop_slave("IO_THREAD")
    db1.kill()
    for slave, applier in ((db2, "relay"), (db3, "sql")):
        file = save(db1, slave)
        r = apply(slave, file, "--applier=" + applier, timeout=900)
        assert r.rc == 0, r.out + r.err
        assert "Applying log files succeeded." in r.out and " 0 were there already" in r.out
        print(f"{flavour} {mode} {applier} {count}: {r.seconds:.2f} s")
        same(slave, db4)
        r = apply(slave, file, "--applier=" + applier, timeout=900)
        assert r.rc == 0 and "  0 transactions applied" in r.out, r.out + r.err
        same(slave, db4)
        s = slave.status()
        assert (s["Slave_IO_Running"], s["Slave_SQL_Running"]) == ("No", "No")
        if mode == "gtid":
            assert s.get("Using_Gtid", "Slave_Pos") == "Slave_Pos" and s.get("Auto_Position", 1) == 1
    goes_on(db4, db2, db3)


RICH = """
SET time_zone='+03:00', sql_mode='ANSI_QUOTES', foreign_key_checks=0, auto_increment_increment=3;
USE shop;
CREATE TABLE rich (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200) CHARACTER SET utf8, d DATETIME(3), ts TIMESTAMP(3) NULL, n DECIMAL(40,10), f DOUBLE, b LONGBLOB) ENGINE=InnoDB;
CREATE DATABASE "näme"; USE "näme"; CREATE TABLE t (i INT); INSERT INTO t VALUES (1);
USE shop;
SET @s='häßlich', @i=-5, @u=18446744073709551615, @d=CAST(-12345678901234567890.0987654321 AS DECIMAL(40,10)), @r=1e-3, @n=NULL, @e=CAST(0.5 AS DECIMAL(3,3));
INSERT INTO rich (v, d, ts, n, f) VALUES (@s, NOW(3), NOW(3), @d, @r);
INSERT INTO rich (v, n) VALUES (CONCAT(@i, '/', @u, '/', IFNULL(@n, 'null'), '/', @e), @e);
INSERT INTO rich (v) VALUES (RAND()), (RAND()), (UUID());
INSERT INTO rich (v) SELECT CONCAT(LAST_INSERT_ID(), v) FROM rich LIMIT 3;
BEGIN; INSERT INTO rich (v) VALUES ('a'); SAVEPOINT s; INSERT INTO rich (v) VALUES ('b'); ROLLBACK TO s; INSERT INTO rich (v) VALUES ('c'); COMMIT;
CREATE TRIGGER tr AFTER INSERT ON rich FOR EACH ROW UPDATE shop.count SET n = n + 1;
INSERT INTO rich (v) VALUES ('with trigger');
CREATE PROCEDURE pr() INSERT INTO rich (v) VALUES (CONCAT('proc', CONNECTION_ID() > 0));
CALL pr(); DROP PROCEDURE pr;
SET character_set_client=latin1, character_set_connection=latin1; INSERT INTO rich (v) VALUES ('latin'); SET NAMES utf8;
CREATE TEMPORARY TABLE tmp (i INT); INSERT INTO tmp VALUES (1), (2); INSERT INTO rich (v) SELECT i FROM tmp; DROP TEMPORARY TABLE tmp;
CREATE TABLE ctas AS SELECT id, v FROM rich;
TRUNCATE TABLE ctas;
INSERT INTO rich (b) VALUES (REPEAT('0123456789abcdef', 40000));
UPDATE rich SET v = CONCAT(v, '!') ORDER BY id LIMIT 4;
DELETE FROM rich ORDER BY id LIMIT 1
"""
XA = """
XA START 'x1'; INSERT INTO shop.rich (v) VALUES ('xa1'); XA END 'x1'; XA PREPARE 'x1'; XA COMMIT 'x1';
XA START 'x2', 'branch', 7; INSERT INTO shop.rich (v) VALUES ('xa2'); XA END 'x2', 'branch', 7; XA PREPARE 'x2', 'branch', 7; XA ROLLBACK 'x2', 'branch', 7;
XA START 'x3'; INSERT INTO shop.rich (v) VALUES ('xa3'); XA END 'x3'; XA COMMIT 'x3' ONE PHASE
"""


def statements(server, text):
    with server.connect(read_timeout=60) as s, s.cursor() as c:
        for q in filter(None, (q.strip() for q in text.split(";"))):
            c.execute(q)


def test_rich_events(lab, flavour, mode):
    """Statement and row format, all kinds of variables, compression, XA: both appliers make of it what replication does."""
    db1, db2, db3, db4 = start(lab, flavour, mode, 4)
    for s in (db2, db3):
        cut_off(s)
    formats = ["ROW"] if flavour == "my97" else ["STATEMENT", "MIXED", "ROW"]
    gtid56 = flavour == "my56" and mode == "gtid"  # its GTIDs allow neither temporary tables nor CREATE ... SELECT
    for f in formats:
        without = ["tmp"] if gtid56 else []
        without += ["ctas"] if gtid56 or (db1.flavour.mariadb and f == "ROW") else []
        text = ";".join(q for q in RICH.split(";") if not any(w in q for w in without))
        statements(db1, ("" if flavour == "my97" else f"SET binlog_format={f};") + text)
        statements(db1, XA)
        if f != "ROW":
            statements(db1, "DROP TABLE shop.rich; DROP DATABASE `näme`; DROP TABLE IF EXISTS shop.ctas")
    if flavour == "my97":
        statements(db1, "SET binlog_transaction_compression=1; UPDATE shop.rich SET v = REVERSE(v); INSERT INTO shop.rich (b) "
                        "VALUES (REPEAT('x', 3000000)); DELETE FROM shop.rich LIMIT 1")
    elif db1.flavour.mariadb:
        statements(db1, "SET GLOBAL log_bin_compress_min_len=10; SET GLOBAL log_bin_compress=1; UPDATE shop.rich SET v = REVERSE(v); "
                        "SET binlog_format=STATEMENT; INSERT INTO shop.rich (v) VALUES (REPEAT('statement', 20)); SET GLOBAL log_bin_compress=0")
    db4.caught_up(60)
    db4.stop_slave("IO_THREAD")
    db1.kill()
    for slave, applier in ((db2, "relay"), (db3, "sql")):
        r = apply(slave, save(db1, slave), "--applier=" + applier)
        assert r.rc == 0, r.out + r.err
        same(slave, db4)
    goes_on(db4, db2, db3)


@pytest.mark.parametrize("what", ["LOAD DATA", "CREATE TABLE"])
def test_more_than_statements(lab, what):
    """LOAD DATA in statement format, and what MariaDB's clients cannot have in one transaction: only by the server itself."""
    db1, db2, db3 = start(lab, "ma1011", "gtid", 3)
    cut_off(db2, unapplied=False)
    db1.path("in.csv").write_text("one\ntwo\n")
    db1.path("in.csv").chmod(0o644)
    db1.sql("INSERT INTO shop.t (v) VALUES ('before')")
    statements(db1, {"LOAD DATA": f"SET binlog_format=STATEMENT; LOAD DATA INFILE '{db1.data}/in.csv' INTO TABLE shop.t (v)",
                     "CREATE TABLE": "CREATE TABLE shop.copy AS SELECT * FROM shop.t"}[what])
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file = save(db1, db2)
    r = apply(db2, file, "--applier=sql")
    assert r.rc == 22 and what in r.err and "--applier=relay" in r.err and "0-1106-6" in r.err, r.out + r.err
    r = apply(db2, file)
    assert r.rc == 0, r.out + r.err
    same(db2, db3)


@pytest.mark.parametrize("applier", ["relay", "sql"])
def test_killed_anywhere(lab, flavour, mode, applier):
    """kill -9 at each step, then at random moments: run to its end afterwards, the result is the same."""
    db1, db2, db3 = start(lab, flavour, mode, 3)
    cut_off(db2)
    work(db1, 300)
    more_work(db1)
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file = save(db1, db2)
    killed = 0
    for point in RELAY_POINTS[:-2] if applier == "relay" else SQL_POINTS[:-1] * 3:
        r = apply(db2, file, "--applier=" + applier, env={"MHA_NODE_FAILPOINT": point})
        assert r.rc in (-9, 137), (point, r.rc, r.out + r.err)
        killed += 1
    for i in range(20):
        p = db2.host.start(command(db2, file, "--applier=" + applier))
        p.pid
        time.sleep(0.002 * i * (3 if flavour in ("my97", "ma118") else 1))
        p.kill()
        killed += p.wait(60).rc != 0
    for point in RELAY_POINTS[-2:] if applier == "relay" else SQL_POINTS[-1:]:
        apply(db2, file, "--applier=" + applier, env={"MHA_NODE_FAILPOINT": point})
    assert killed > 8
    r = apply(db2, file, "--applier=" + applier)
    assert r.rc == 0, r.out + r.err
    same(db2, db3)
    assert not [f.name for f in db2.path().iterdir() if f.name.startswith("mha-node-")]
    goes_on(db3, db2)


@pytest.mark.parametrize("point,how", [("flushed", "kill"), ("changed", "kill"), ("filled", "stop"), ("started", "kill")])
@pytest.mark.parametrize("recovery", [0, 1])
def test_server_restarted(lab, flavour, mode, point, how, recovery):
    """The slave's server goes away between hand-over and start; with relay_log_recovery it drops what it was given."""
    workers = WORKERS["ma" if flavour.startswith("ma") else flavour]
    db1, db2, db3 = start(lab, flavour, mode, 3, {"relay_log_recovery": recovery, workers: 2})
    cut_off(db2)
    work(db1, 50)
    if (flavour, point) != ("my56", "started"):  # whose ALTER TABLE leaves a table behind that is in the way of the next
        more_work(db1)
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file = save(db1, db2)
    p = db2.host.start(command(db2, file, "--applier=relay"), env={"MHA_NODE_FAILPOINT": point + ":stop"})
    lab.until("it stands at the point", lambda: "T" in open(f"/proc/{p.pid}/stat").read().rpartition(")")[2].split()[0])
    getattr(db2, how)()
    p.kill(signal.SIGCONT)
    db2.start()
    r = p.wait(60)
    if flavour == "my56" and point == "started" and recovery and r.rc:  # where the gaps are it does not know any more
        assert r.rc == 22 and "relay_log_recovery=0" in r.err, r.out + r.err
        db2.restart(relay_log_recovery=0)
        r = apply(db2, file)
    assert r.rc == 0, r.out + r.err
    same(db2, db3)
    goes_on(db3, db2)


def half_received(master, slave):
    """The link breaks inside of a transaction: its first half stands in the slave's relay log."""
    lab, relay = slave.lab, slave.path(slave.path("relay-bin.index").read_text().split()[-1].rpartition("/")[2])
    before = relay.stat().st_size
    session = master.connect(read_timeout=60)
    with session.cursor() as c:
        c.execute("BEGIN")
        for i in range(40):
            c.execute(f"INSERT INTO shop.big (id, b) VALUES ({i}, REPEAT('{i % 10}', 800000))")
        c.execute("UPDATE shop.count SET n = n + 1")
        committer = threading.Thread(target=c.execute, args=("COMMIT",))
        committer.start()
        lab.until("half of it is there", lambda: relay.stat().st_size > before + 2_000_000, every=0.001)
        master.freeze()
        slave.stop_slave("IO_THREAD")
        master.thaw()
        committer.join()
    session.close()
    assert relay.stat().st_size < before + 32_000_000


BIG = "CREATE TABLE shop.big (id INT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB"


def test_half_received(lab, flavour, mode):
    """The applier stands in a transaction of which only half was received: no waiting for the rest.

    A parallel one of 5.6 cannot be kept from waiting a minute.
    """
    workers = 0 if flavour == "my56" else 2
    db1, db2, db3 = cluster = start(lab, flavour, mode, 3, {WORKERS["ma" if flavour.startswith("ma") else flavour]: workers})
    db1.sql(BIG)
    cluster.caught_up()
    half_received(db1, db2)
    work(db1, 20)
    db3.caught_up(60)
    db3.stop_slave("IO_THREAD")
    db1.kill()
    lab.until("whole transactions are applied", lambda: db2.status()["Slave_SQL_Running"] == "Yes")
    file = save(db1, db2)
    r = apply(db2, file, "--applier=relay")
    assert r.rc == 0, r.out + r.err
    assert r.seconds < 15
    same(db2, db3)
    goes_on(db3, db2)


def test_parts_of_a_manager(lab, flavour):
    """MHA's three files: from its own relay log, cut inside of a transaction, and the master's rest from there on."""
    db1, db2, db3 = cluster = start(lab, flavour, "pos", 3)
    db1.sql(BIG)
    cluster.caught_up()
    half_received(db1, db2)
    work(db1, 20)
    more_work(db1)
    db3.caught_up(60)
    db3.stop_slave("IO_THREAD")
    db1.kill()
    s = db2.status()
    if flavour == "my97":  # its STOP would wait a minute for the rest of the transaction
        lab.until("it has read all", lambda: db2.status()["Relay_Log_Pos"] == s["Relay_Log_Pos"])
    db2.host.run(["save_binary_logs", "--command=save", f"--start_file={s['Relay_Log_File']}", f"--start_pos={s['Relay_Log_Pos']}",
                  f"--binlog_dir={db2.data}", "--output_file=/var/tmp/exec_to_read", "--manager_version=0.58"], check=True)
    file = save(db1, db2, "rest", (s["Master_Log_File"], s["Read_Master_Log_Pos"]))
    r = apply(db2, file)
    assert r.rc == 22 and "the next transaction" in r.err, r.out + r.err
    r = apply(db2, "/var/tmp/exec_to_read," + file)
    assert r.rc == 0, r.out + r.err
    same(db2, db3)
    goes_on(db3, db2)


@pytest.mark.parametrize("applier", ["relay", "sql"])
def test_error_names_the_transaction(lab, flavour, mode, applier):
    """A row that is in the way: the server's words, and which transaction; without it the same command goes on."""
    db1, db2, db3 = start(lab, flavour, mode, 3)
    cut_off(db2, unapplied=False)
    work(db1, 5)
    db1.sql("INSERT INTO shop.t (id, v) VALUES (5000, 'in the way')")
    work(db1, 5)
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file = save(db1, db2)
    with db2.connect() as s, s.cursor() as c:
        c.execute("SET sql_log_bin=0")
        c.execute("INSERT INTO shop.t (id, v) VALUES (5000, 'stranger')")
    r = apply(db2, file, "--applier=" + applier)
    assert r.rc == 22, r.out + r.err
    assert "FATAL: applying log files failed" in r.err and "5000" in r.err, r.err
    assert applier == "sql" or "error 1062" in r.err, r.err
    assert "mysql-bin.00000" in r.err
    if mode == "gtid":
        assert (db3.gtids().partition("-")[0] + "-") in r.err
    with db2.connect() as s, s.cursor() as c:
        c.execute("SET sql_log_bin=0")
        c.execute("DELETE FROM shop.t WHERE id=5000")
    r = apply(db2, file, "--applier=" + applier)
    assert r.rc == 0, r.out + r.err
    same(db2, db3)
    goes_on(db3, db2)


def test_settings_come_back(lab, flavour, mode):
    """Delay, relay_log_purge, semi-sync without an acknowledger and what forbids to name relay logs: out of the way, and back."""
    db1, db2, db3 = cluster = lab.cluster(flavour, 3, mode=mode, semisync=flavour != "my56")
    db1.script(SETUP)
    cluster.caught_up()
    my97, ma = db2.flavour.family == "my97", db2.flavour.mariadb
    db2.stop_slave()
    source = "SOURCE" if my97 else "MASTER"
    db2.sql(f"{db2.flavour.change} TO {source}_DELAY=1000")
    strict = my97 and mode == "gtid"
    if strict:
        db2.sql("CHANGE REPLICATION SOURCE TO REQUIRE_ROW_FORMAT=1, GTID_ONLY=1, SOURCE_CONNECTION_AUTO_FAILOVER=1")
    db2.sql("SET GLOBAL relay_log_purge=1")
    semi = "rpl_semi_sync_source" if my97 else "rpl_semi_sync_master"
    if flavour != "my56":
        db2.sql(f"SET GLOBAL {semi}_timeout=3600000")
        db2.sql(f"SET GLOBAL {semi}_enabled=1")
    if my97:
        db2.sql("SET GLOBAL super_read_only=1")
    db2.start_slave()
    work(db1, 3)
    lab.until("received", lambda: db2.status()["Read_Master_Log_Pos"] == db1.position()[1])
    db2.stop_slave("IO_THREAD")
    work(db1, 30)
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file = save(db1, db2) if not strict else save(db1, db2, at=("mysql-bin.000001", 4))
    r = apply(db2, file)
    assert r.rc == 0, r.out + r.err
    same(db2, db3)
    assert db2.status()["SQL_Delay"] == 1000
    assert db2.variable("relay_log_purge") == 1
    assert [f.name for f in db2.path().iterdir() if f.name.endswith(".mha-aside")]
    if flavour != "my56":
        assert db2.variable(semi + "_enabled") == 1
    if my97:
        assert db2.variable("super_read_only") == 1
    if strict:
        row = db2._named("SELECT * FROM performance_schema.replication_connection_configuration")[0]
        assert str(row["GTID_ONLY"]) in ("1", "YES") and str(row["SOURCE_CONNECTION_AUTO_FAILOVER"]) == "1"
    db2.sql(f"{db2.flavour.change} TO {source}_DELAY=0")
    if flavour != "my56":
        db2.sql(f"SET GLOBAL {semi}_enabled=0")
        db3.sql(f"SET GLOBAL {semi}_enabled=0")
    if strict:
        db2.sql("CHANGE REPLICATION SOURCE TO GTID_ONLY=0, SOURCE_CONNECTION_AUTO_FAILOVER=0")
    goes_on(db3, db2)


@pytest.mark.parametrize("applier", ["relay", "sql"])
@pytest.mark.parametrize("channel", ["", "extra"])
def test_one_channel_of_several(lab, flavour, mode, applier, channel):
    """A slave of two masters: one dies, the other's replication is not touched."""
    db1, db2, db3, db4 = cluster = lab.cluster(flavour, 4, mode=mode, shape="multisource")
    db1.script(SETUP)
    db4.script("CREATE DATABASE other; CREATE TABLE other.o (id INT PRIMARY KEY); INSERT INTO other.o VALUES (1)")
    lab.until("both are there", lambda: len(data(db2)) == 3 and db2.one("SELECT COUNT(*) FROM other.o") == 1)
    dead, lives = (db4, db1) if channel else (db1, db4)
    verb, suffix = db2.flavour.channel(channel)
    if not db2.flavour.mariadb:
        suffix = f" FOR CHANNEL '{channel}'"
    db2.sql(f"STOP {db2.flavour.slave}{verb} IO_THREAD{suffix}")
    if channel:
        db4.script("INSERT INTO other.o VALUES (2); INSERT INTO other.o VALUES (3)")
    else:
        work(db1, 10)
    want = data(dead)
    s = db2.status(channel)
    dead.kill()
    file = save(dead, db2, at=(s["Relay_Master_Log_File"], s["Exec_Master_Log_Pos"]))
    r = apply(db2, file, "--applier=" + applier, *(["--channel=extra"] if channel else []))
    if applier == "sql" and mode == "gtid" and db2.flavour.mariadb:
        assert r.rc == 1 and "gtid_slave_pos cannot be set" in r.err, r.out + r.err
        return
    assert r.rc == 0, r.out + r.err
    assert set(want) <= set(data(db2))
    other = db2.status("" if channel else "extra")
    assert (other["Slave_IO_Running"], other["Slave_SQL_Running"]) == ("Yes", "Yes")
    lives.sql("INSERT INTO other.o VALUES (9)" if not channel else "INSERT INTO shop.t (v) VALUES ('on')")
    lab.until("the other goes on", lambda: set(data(lives)) <= set(data(db2)))


def logged(server, position):
    """What stands in its binlog behind a position: types, and texts of queries."""
    file, pos = position
    return [(row[2], row[5] if row[2] == "Query" else "") for row in server.sql(f"SHOW BINLOG EVENTS IN '{file}' FROM {pos}")]


@pytest.mark.parametrize("killed", [False, True])
def test_not_into_its_binlog(lab, flavour, mode, killed):
    """disable_log_bin: by statements, none of them in the slave's binlog; where that leaves no trace, a kill is not glossed over."""
    db1, db2, db3 = start(lab, flavour, mode, 3)
    cut_off(db2, unapplied=False)
    work(db1, 20)
    more_work(db1)
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file, before = save(db1, db2), db2.position()
    forgets, blind = (flavour, mode) == ("my56", "gtid"), db2.flavour.mariadb or mode == "pos"
    if killed:
        r = apply(db2, file, "--disable_log_bin=1", env={"MHA_NODE_FAILPOINT": "after-commit"})
        assert forgets or r.rc in (-9, 137), r.out + r.err
    r = apply(db2, file, "--disable_log_bin=1")
    if forgets:
        assert r.rc == 1 and "forgets GTIDs" in r.err, r.out + r.err
        assert data(db2) != data(db3)
        return
    if killed and blind:
        for option in ("--disable_log_bin=1", "--disable_log_bin=0"):
            r = apply(db2, file, option)
            assert r.rc == 1 and "what it has done is not known" in r.err, r.out + r.err
        return
    assert r.rc == 0 and "disable_log_bin is asked for" in r.out, r.out + r.err
    assert ("empty transactions" in r.out) == (not blind)
    assert data(db2) == data(db3)
    if db2.flavour.mariadb:
        assert sorted(db2.variable("gtid_slave_pos").split(",")) == sorted(db3.variable("gtid_slave_pos").split(","))
    elif mode == "gtid":
        assert db2.gtids() == db3.gtids()
    r = apply(db2, file, "--disable_log_bin=1")
    assert r.rc == 0 and "  0 transactions applied" in r.out, r.out + r.err
    assert data(db2) == data(db3)
    empty = {("Gtid", ""), ("Gtid_tagged_log_event", ""), ("Query", "BEGIN"), ("Query", "COMMIT")}
    assert set(logged(db2, before)) <= (set() if blind else empty), logged(db2, before)
    goes_on(db3, db2)


def test_not_into_its_binlog_in_the_way(lab, flavour):
    """By position and without binlog, an error in the middle: the same command goes on behind what was done."""
    db1, db2, db3 = start(lab, flavour, "pos", 3)
    cut_off(db2, unapplied=False)
    work(db1, 5)
    db1.sql("INSERT INTO shop.t (id, v) VALUES (5000, 'in the way')")
    work(db1, 5)
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file = save(db1, db2)
    with db2.connect() as s, s.cursor() as c:
        c.execute("SET sql_log_bin=0")
        c.execute("INSERT INTO shop.t (id, v) VALUES (5000, 'stranger')")
    r = apply(db2, file, "--disable_log_bin=1")
    assert r.rc == 22 and "5000" in r.err, r.out + r.err
    with db2.connect() as s, s.cursor() as c:
        c.execute("SET sql_log_bin=0")
        c.execute("DELETE FROM shop.t WHERE id=5000")
    r = apply(db2, file, "--disable_log_bin=1")
    if db2.flavour.mariadb:  # which keeps its GTIDs in its binlog
        assert r.rc == 1 and "what it has done is not known" in r.err, r.out + r.err
        return
    assert r.rc == 0 and "  6 transactions applied" in r.out, r.out + r.err
    assert data(db2) == data(db3)


def test_passwords_and_mistakes(lab):
    """A password by environment, option file or input; what cannot be tried leaves with 1, and nothing changed."""
    db1, db2, db3 = start(lab, "ma1011", "gtid", 3)
    cut_off(db2)
    work(db1, 5)
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file = save(db1, db2)
    line = [w for w in command(db2, file) if not w.startswith("--slave_pass")]
    for bad in ([*line, "--slave_pass=wrong"], [*line, "--slave_pass=mha-pw", "--applier=magic"],
                [*line[:2], "--slave_pass=mha-pw"], [*line, "--slave_pass=mha-pw", "--manager_version=0.53"],
                [*line, "--slave_pass=mha-pw", "--apply_files=/var/tmp/nothing"], [*line, "--slave_pass=mha-pw", "--channel=none"]):
        r = db2.host.run(bad)
        assert r.rc == 1 and r.err.strip(), (bad, r.out + r.err)
    db2.host.write("/var/tmp/garbage", "this is no binlog, whatever its name may be")
    r = db2.host.run([*line, "--slave_pass=mha-pw", "--apply_files=/var/tmp/garbage"])
    assert r.rc == 1 and "/var/tmp/garbage" in r.err
    assert db2.status()["Using_Gtid"] == "Slave_Pos"
    db2.host.write("/root/login.cnf", "[client]\npassword=mha-pw\n", 0o600)
    torn = db2.host.path(file).read_bytes()[:-7]
    db2.host.path("/var/tmp/torn").write_bytes(torn)
    r = db2.host.run([*line, "--apply_files=/var/tmp/torn", "--defaults_file=/root/login.cnf"])
    assert r.rc == 0 and "Cut off" in r.out, r.out + r.err
    r = db2.host.run(line, env={"MHA_NODE_PASSWORD": "mha-pw"})
    assert r.rc == 0 and "  1 transactions applied" in r.out, r.out + r.err
    r = db2.host.run([*line, "--password_stdin", "--json"], input="mha-pw\n")
    assert r.rc == 0 and '"transactions":0' in r.out.replace(" ", ""), r.out + r.err
    same(db2, db3)


def test_not_as_a_relay_log(lab):
    """Without the right to write there, statements are used by themselves."""
    db1, db2, db3 = start(lab, "ma1011", "pos", 3)
    cut_off(db2)
    work(db1, 5)
    db3.caught_up()
    db3.stop_slave("IO_THREAD")
    db1.kill()
    file = save(db1, db2)
    db2.host.run(["sh", "-c", f"chmod 755 {db2.data}; chmod 644 {db2.data}/relay-bin.* {file}; mkdir -m 1777 -p /var/tmp/work"], check=True)
    line = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command(db2, file), "--workdir=/var/tmp/work"]
    r = db2.host.run([*line, "--applier=relay"])
    assert r.rc == 1 and "cannot be made by uid 65534" in r.err, r.out + r.err
    r = db2.host.run(line)
    assert r.rc == 0 and "Not as a relay log" in r.out, r.out + r.err
    same(db2, db3)
