# SPDX-License-Identifier: BSD-2-Clause
"""A dead master, and every row of it: what clients write, what disks do to it, and slaves that are not as they should be."""
import os
import threading
import time

import pytest

from . import fault, validate
from .mhad import Mhad
from .test_failover import count, cut_off, done, rows, show, start
from .util import LabError, until

WORKERS = {"my56": "slave_parallel_workers", "my97": "replica_parallel_workers", "ma": "slave_parallel_threads"}

# ---- what clients write -------------------------------------------------------------------------
# Each part makes tables of its own (the number is {k}) and changes those of the part before ({j}).
COMMON = """
SET time_zone='+03:00', foreign_key_checks=0, auto_increment_increment=3;
CREATE TABLE shop.r{k} (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(300) CHARACTER SET utf8, d DATETIME(3), ts TIMESTAMP(3) NULL,
    n DECIMAL(40,10), f DOUBLE, b LONGBLOB, e ENUM('COMMIT','ROLLBACK'), y BIT(9)) ENGINE=InnoDB;
CREATE TABLE shop.log{k} (v TEXT) ENGINE=InnoDB;
CREATE TABLE shop.`commit{k}` (`begin` INT PRIMARY KEY, `rollback` TEXT, `xid` INT) ENGINE=InnoDB;
SET @s='häßlich COMMIT', @i=-5, @u=18446744073709551615, @d=CAST(-12345678901234567890.0987654321 AS DECIMAL(40,10)), @n=NULL;
INSERT INTO shop.r{k} (v, d, ts, n, f, e, y) VALUES (@s, NOW(3), NOW(3), @d, 1e-3, 'COMMIT', b'101'), ('ROLLBACK', NULL, NULL, 0, -1, 'ROLLBACK', 1);
INSERT INTO shop.r{k} (v) VALUES ('COMMIT'), ('ROLLBACK'), ('BEGIN'), ('commit/*!*/'), ('ROLLBACK /* added by mysqlbinlog */'), ('# at 4');
INSERT INTO shop.r{k} (v) VALUES ('DELIMITER /*!*/'), ('\\n\\0\\Z\\'" \\\\'), ('SET @@SESSION.GTID_NEXT= AUTOMATIC'), ('XA END x'), (CONCAT(@i, @u, IFNULL(@n, 'null')));
INSERT INTO shop.commit{k} VALUES (1, 'COMMIT', 2), (2, 'ROLLBACK', 1), (3, 'BEGIN', 0);
INSERT INTO shop.r{k} (v) VALUES (RAND()), (RAND());
INSERT INTO shop.r{k} (v) SELECT CONCAT(LAST_INSERT_ID(), v) FROM shop.r{k} ORDER BY id LIMIT 3;
CREATE TRIGGER shop.tr{k} AFTER INSERT ON shop.r{k} FOR EACH ROW INSERT INTO shop.log{k} (v) VALUES (CONCAT('ROLLBACK ', NEW.id));
CREATE PROCEDURE shop.pr{k}() BEGIN INSERT INTO shop.r{k} (v) VALUES ('proc') ; UPDATE shop.log{k} SET v = CONCAT(v, 'COMMIT') ; END;
CREATE FUNCTION shop.fn{k}(a INT) RETURNS INT DETERMINISTIC RETURN a * {k};
CREATE VIEW shop.v{k} AS SELECT id, v FROM shop.r{k};
CREATE EVENT shop.ev{k} ON SCHEDULE AT '2037-01-01 00:00:00' DO INSERT INTO shop.r{k} (v) VALUES ('event');
CALL shop.pr{k}();
INSERT INTO shop.r{k} (v, n) VALUES ('with trigger', shop.fn{k}(7));
BEGIN; INSERT INTO shop.r{k} (v) VALUES ('a'); SAVEPOINT s; INSERT INTO shop.r{k} (v) VALUES ('never'); ROLLBACK TO s; INSERT INTO shop.r{k} (v) VALUES ('c'); COMMIT;
BEGIN; INSERT INTO shop.r{k} (v) VALUES ('never at all'); ROLLBACK;
SET NAMES latin1; INSERT INTO shop.r{k} (v) VALUES ('latin'); SET NAMES utf8;
CREATE TABLE shop.like{k} LIKE shop.r{k}; INSERT INTO shop.like{k} SELECT * FROM shop.r{k} ORDER BY id; TRUNCATE TABLE shop.like{k};
LOAD DATA INFILE '{file}' INTO TABLE shop.log{k} (v);
FLUSH BINARY LOGS;
INSERT INTO shop.r{k} (b) VALUES (REPEAT('0123456789abcdef', 40000));
ALTER TABLE shop.r{k} ADD COLUMN w INT NOT NULL DEFAULT 7, ADD INDEX (d);
UPDATE shop.r{k} SET v = CONCAT(v, '!'), w = id ORDER BY id LIMIT 4;
DELETE FROM shop.r{k} ORDER BY id LIMIT 1;
CREATE DATABASE `näme{k}`; CREATE TABLE `näme{k}`.`te st` (i INT PRIMARY KEY); INSERT INTO `näme{k}`.`te st` VALUES (1), (2);
XA START 'x{k}'; INSERT INTO shop.r{k} (v) VALUES ('xa'); XA END 'x{k}'; XA PREPARE 'x{k}'; XA COMMIT 'x{k}';
XA START 'y{k}', 'branch', 7; INSERT INTO shop.r{k} (v) VALUES ('never: xa'); XA END 'y{k}', 'branch', 7; XA PREPARE 'y{k}', 'branch', 7; XA ROLLBACK 'y{k}', 'branch', 7;
XA START 'z{k}'; INSERT INTO shop.r{k} (v) VALUES ('one phase'); XA END 'z{k}'; XA COMMIT 'z{k}' ONE PHASE;
ANALYZE TABLE shop.r{k}; OPTIMIZE TABLE shop.log{k};
INSERT INTO shop.t (v) VALUES ('part {k}')
"""
CHANGES = """
UPDATE shop.r{j} SET v = REVERSE(v) WHERE v IS NOT NULL ORDER BY id; DELETE FROM shop.r{j} ORDER BY id DESC LIMIT 1;
RENAME TABLE shop.log{j} TO shop.old{j}; ALTER TABLE shop.old{j} ADD COLUMN late INT DEFAULT {k};
DROP TRIGGER shop.tr{j}; INSERT INTO shop.r{j} (v) VALUES ('without trigger'); DROP DATABASE `näme{j}`; DROP TABLE shop.commit{j}
"""
# Between two parts, so that a slave may be cut off in between: MySQL 5.6 does not log it before the end.
XA_SPANS = "XA START 'span{k}'; INSERT INTO shop.r{k} (v) VALUES ('spans'); XA END 'span{k}'; XA PREPARE 'span{k}'"
# Not where GTIDs forbid them.  By GTID the last are left out: in statement format MariaDB itself brings
# no row of it from one slave to the next.
ROLLED_BACK = "BEGIN; INSERT INTO shop.r{k} (v) VALUES ('never: mixed'); INSERT INTO shop.my{k} (v) VALUES ('stays'); ROLLBACK"
LOOSE = """
CREATE TABLE shop.my{k} (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT) ENGINE=MyISAM;
INSERT INTO shop.my{k} (v) VALUES ('COMMIT'), ('ROLLBACK');
BEGIN; INSERT INTO shop.r{k} (v) VALUES ('mixed'); INSERT INTO shop.my{k} (v) VALUES ('mixed'); COMMIT;
CREATE TEMPORARY TABLE shop.tmp (i INT PRIMARY KEY, v TEXT); INSERT INTO shop.tmp VALUES (1, 'COMMIT'), (2, 'b'); INSERT INTO shop.r{k} (v) SELECT v FROM shop.tmp ORDER BY i;
BEGIN; UPDATE shop.tmp SET v = 'two'; INSERT INTO shop.r{k} (v) SELECT v FROM shop.tmp ORDER BY i; COMMIT; DROP TEMPORARY TABLE shop.tmp;
CREATE TABLE shop.ctas{k} AS SELECT id, v FROM shop.r{k}
"""
MARIADB = """
SET binlog_format=MIXED; CREATE SEQUENCE shop.s{k} START WITH 10 INCREMENT BY 5 CACHE 3; SELECT NEXTVAL(shop.s{k}); SELECT NEXTVAL(shop.s{k});
CREATE TABLE shop.seq{k} (id INT PRIMARY KEY DEFAULT (NEXT VALUE FOR shop.s{k}), v TEXT) ENGINE=InnoDB; INSERT INTO shop.seq{k} (v) VALUES ('a'), ('b'), ('c'), ('d');
SELECT SETVAL(shop.s{k}, 1000); INSERT INTO shop.seq{k} (v) VALUES ('behind');
CREATE OR REPLACE TABLE shop.seq{k}b (id INT PRIMARY KEY) ENGINE=Aria; CREATE OR REPLACE TABLE shop.seq{k}b (id INT PRIMARY KEY, v TEXT) ENGINE=InnoDB;
INSERT INTO shop.seq{k}b VALUES (1, 'COMMIT') ON DUPLICATE KEY UPDATE v = 'ROLLBACK';
SET binlog_alter_two_phase=1; ALTER TABLE shop.seq{k}b ADD COLUMN x INT DEFAULT 3; SET binlog_alter_two_phase=0;
SET GLOBAL log_bin_compress_min_len=10; SET GLOBAL log_bin_compress=1;
UPDATE shop.r{k} SET v = CONCAT(v, REPEAT(' ROLLBACK', 10)) ORDER BY id LIMIT 10; INSERT INTO shop.r{k} (v) VALUES (REPEAT('COMMIT ', 40)); SET GLOBAL log_bin_compress=0;
SET binlog_row_image=MINIMAL; UPDATE shop.r{k} SET v = 'minimal' ORDER BY id LIMIT 1; SET binlog_row_image=FULL;
SET gtid_domain_id=7; INSERT INTO shop.t (v) VALUES ('domain 7'); SET gtid_domain_id=0
"""
MY97 = """
SET binlog_transaction_compression=1; UPDATE shop.r{k} SET v = CONCAT(v, ' COMMIT') WHERE id > 3; INSERT INTO shop.r{k} (b) VALUES (REPEAT('x', 3000000)); DELETE FROM shop.r{k} LIMIT 1;
BEGIN; INSERT INTO shop.r{k} (v) VALUES ('squeezed'); SAVEPOINT s; INSERT INTO shop.r{k} (v) VALUES ('never'); ROLLBACK TO s; COMMIT; SET binlog_transaction_compression=0;
CREATE TABLE shop.atomic{k} AS SELECT id, v FROM shop.r{k};
CREATE TABLE shop.json{k} (id INT PRIMARY KEY, j JSON, g VARCHAR(50) AS (j->>'$.a') STORED); SET binlog_row_value_options=PARTIAL_JSON;
INSERT INTO shop.json{k} (id, j) VALUES (1, JSON_OBJECT('a', 'COMMIT', 'b', REPEAT('y', 5000))), (2, '[]'); UPDATE shop.json{k} SET j = JSON_SET(j, '$.a', 'ROLLBACK');
ALTER TABLE shop.json{k} ADD COLUMN now INT DEFAULT 4, ALGORITHM=INSTANT; SET binlog_row_image=MINIMAL; UPDATE shop.r{k} SET v = 'minimal' ORDER BY id LIMIT 1; SET binlog_row_image=FULL
"""
MY97_GTID = "SET gtid_next='AUTOMATIC:tagged'; INSERT INTO shop.t (v) VALUES ('tagged'); SET gtid_next='AUTOMATIC'"


def statements_of(server, k):
    flavour, loose = server.flavour, server.flavour.mariadb or server.mode == "pos"
    text = COMMON
    if k > 1:
        text = ("XA COMMIT 'span{j}';" if flavour.family != "my56" else "") + COMMON + ";" + CHANGES
    if loose:
        text += ";" + LOOSE + (";" + ROLLED_BACK if server.mode == "pos" else "")
    if flavour.mariadb:
        text += ";" + MARIADB
    if flavour.family == "my97":
        text += ";" + MY97 + (";" + MY97_GTID if server.mode == "gtid" else "")
    if flavour.family != "my56":
        text += ";" + XA_SPANS
    text = text.replace("{k}", str(k)).replace("{j}", str(k - 1)).replace("{file}", f"{server.data}/in.csv")
    return [q.strip() for q in text.split(";") if q.strip()]


def nasty(server, k):
    """One part of what clients do, in one session; the format of the binlog goes round."""
    form = ["STATEMENT", "MIXED", "ROW"][k % 3]
    server.path("in.csv").write_text("COMMIT\nROLLBACK\n")
    server.path("in.csv").chmod(0o644)
    with server.connect(read_timeout=60, charset="utf8", database="shop") as s, s.cursor() as c:
        if server.flavour.family != "my97":
            c.execute(f"SET binlog_format={form}")
        body = None
        for q in statements_of(server, k):
            if q.startswith("CREATE PROCEDURE") or body:  # its semicolons are inside of it
                body = f"{body}; {q}" if body else q
                if q != "END":
                    continue
                q, body = body, None
            c.execute(q)


def contents(server):
    """All that replication has to bring: rows, sequences, and what is made of statements."""
    found = {t: server.sql(f"CHECKSUM TABLE {t}")[0][1] for t in validate.tables(server) if not t.startswith(("`labdata`", "`mhad`"))}
    for kind, of in (("ROUTINE_NAME", "ROUTINES WHERE routine_schema='shop'"), ("TRIGGER_NAME", "TRIGGERS WHERE trigger_schema='shop'"),
                     ("EVENT_NAME", "EVENTS WHERE event_schema='shop'"), ("TABLE_NAME", "VIEWS WHERE table_schema='shop'"),
                     ("SCHEMA_NAME", "SCHEMATA")):
        found[kind] = sorted({r[0] for r in server.sql(f"SELECT {kind} FROM information_schema.{of}")} - {"mhad"})
    if server.flavour.mariadb:
        for (s,) in server.sql("SELECT table_name FROM information_schema.tables WHERE table_type='SEQUENCE' AND table_schema='shop'"):
            found[s] = server.sql(f"SELECT next_not_cached_value, cycle_count FROM shop.{s}")
    return found


def differ(one, other):
    return {k: (one.get(k), other.get(k)) for k in {**one, **other} if one.get(k) != other.get(k)}


def same(servers, want):
    for s in servers:
        assert not differ(want, contents(s)), f"{s}: {differ(want, contents(s))}"


def goes_on(new, slaves, k):
    """The new master takes all kinds of writes, and its slaves follow without an error."""
    if new.flavour.family != "my56":
        left = [r[3].decode() if isinstance(r[3], bytes) else r[3] for r in new.sql("XA RECOVER")]
        assert left == [f"span{k - 1}"], f"prepared by a client, and neither committed nor rolled back: {left}"
    nasty(new, k)
    for s in slaves:
        s.caught_up(60)
        assert s.replicating(), s.status()
    same(slaves, contents(new))


@pytest.mark.parametrize("disk", ["disk", "no disk", "no master"])
def test_nasty(lab, flavour, mode, disk):
    """Three slaves at different points of all kinds of writes; one has relay logs that it has not applied.

    "no disk": what the newest slave has received is what there is.  "no master": and that one may not be it.
    """
    workers = WORKERS["ma" if flavour.startswith("ma") else flavour]
    each = {"db3": {"no_master": 1}} if disk == "no master" else {}
    fo = start(lab, flavour, mode, 4, conf={"each": each}, options={"event_scheduler": 1, "innodb_file_per_table": 1})
    db1, db2, db3, db4 = fo.cluster
    for s in (db3, db4):
        s.stop_slave()
        s.set(**{workers: 4})
        s.start_slave()
    db4.set(relay_log_purge=1)
    nasty(db1, 1)
    fo.cluster.caught_up(60)
    cut_off(db4)
    db2.stop_slave("SQL_THREAD")
    nasty(db1, 2)
    until("db2 has received it", lambda: (db2.status()["Master_Log_File"], db2.status()["Read_Master_Log_Pos"]) == db1.position(), 30)
    cut_off(db2)
    nasty(db1, 3)
    db3.caught_up(60)
    cut_off(db3)
    received = contents(db1)
    same([db3], received)
    nasty(db1, 4)
    want = contents(db1) if disk == "disk" else received
    db1.kill()
    if disk != "disk":
        db1.host.off()
    r = done(fo.switch(timeout=100))
    record = fo.report()
    print(show(record))
    new, others = (db2, [db3, db4]) if disk == "no master" else (db3, [db2, db4])
    assert record["new_master"].startswith(new.name + "("), record["new_master"]
    assert bool(record["lost"]) == (disk != "disk"), str(r)
    validate.everything(new, others)
    same([new, *others], want)
    goes_on(new, others, 5 if disk == "disk" else 4)


# ---- how much -----------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hundred_thousand_rows(lab, flavour, mode):
    """Receivers stopped; 100,000 transactions lie in the dead master's binlog alone."""
    fo = start(lab, flavour, mode)
    db1, db2, db3 = fo.cluster
    fo.cluster.caught_up()
    cut_off(db2, db3)
    rows(db1, 100_000, "tail")
    db1.kill()
    since = time.monotonic()
    done(fo.switch(timeout=600))
    took = time.monotonic() - since
    record = fo.report()
    print(f"{flavour} {mode}: 100,000 transactions, open after {record['opened_ms'] / 1000:.1f} s, all slaves after {took:.1f} s")
    print(show(record))
    validate.follow(db2, [db3], 300)
    validate.everything(db2, [db3])
    assert count(db2, "tail") == 100_000 and record["saved"]["transactions"] == 100_000


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("how", ["tail", "in flight"])
def test_huge_transaction(lab, flavour, mode, how):
    """One transaction of 1 GB: only in the dead master's log; or on its way to the slaves, half of it, when the master dies."""
    mariadb = flavour.startswith("ma")
    options = {"innodb_buffer_pool_size": "64M", "max_allowed_packet": "64M", "max_binlog_cache_size": "4G", "max_binlog_size": "1G"}
    if flavour == "my56":
        options.update(innodb_file_format="Barracuda", innodb_file_per_table=1, innodb_log_file_size="512M")
    if mariadb:
        options["innodb_read_only_compressed"] = 0
    fo = start(lab, flavour, mode, 3, options=options, disk="6G", conf={"check_repl_delay": 0})  # 100 MB are too much for MHA
    db1, db2, db3 = fo.cluster
    db1.sql("CREATE TABLE shop.big (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8")
    rows(db1, 5, "all")
    fo.cluster.caught_up()
    size = sum(f.stat().st_size for f in db1.binlogs())
    relay = lambda s: sum(f.stat().st_size for f in s.path().glob("relay-bin.0*"))
    before = relay(db2)
    if how == "tail":
        cut_off(db2, db3)
    with db1.connect(read_timeout=600) as s, s.cursor() as c:
        c.execute("BEGIN")
        for _ in range(1024):
            c.execute("INSERT INTO shop.big (b) VALUES (REPEAT('0123456789abcdef', 65536))")
        commit = threading.Thread(target=lambda: c.execute("COMMIT"))
        commit.start()
        if how == "in flight":
            until("half of it is there", lambda: relay(db2) > before + 300_000_000, 120, every=0.005)
            db1.freeze()
            cut_off(db2, db3)
            db1.thaw()
        commit.join()
    assert sum(f.stat().st_size for f in db1.binlogs()) > size + 1_000_000_000
    if how == "in flight":
        assert relay(db2) < before + 1_000_000_000
    db1.kill()
    since = time.monotonic()
    done(fo.switch(timeout=600))
    took = time.monotonic() - since
    record = fo.report()
    print(f"{flavour} {mode}: 1 GB {how}, open after {record['opened_ms'] / 1000:.1f} s, all slaves after {took:.1f} s")
    print(show(record))
    validate.follow(db2, [db3], 120)
    assert db2.one("SELECT COUNT(*) FROM shop.big") == db3.one("SELECT COUNT(*) FROM shop.big") == 1024
    validate.everything(db2, [db3])


# ---- files that end badly -----------------------------------------------------------------------
@pytest.mark.parametrize("how", ["between events", "zeros", "nothing whole"])
def test_bad_end(lab, flavour, mode, how):
    """Cut exactly between two events of a transaction; a file that ends in zeros; and all that is new is torn: named."""
    fo = start(lab, flavour, mode)
    db1, db2, db3 = fo.cluster
    fo.cluster.caught_up()
    cut_off(db2, db3)
    n = 0 if how == "nothing whole" else 10
    rows(db1, n, "tail")
    whole = db1.position()[1]
    with db1.connect() as s, s.cursor() as c:
        c.execute("BEGIN")
        for i in range(20):
            c.execute("INSERT INTO shop.t (v) VALUES (%s)", (f"torn {i} ".ljust(190, "x"),))
        c.execute("COMMIT")
    ends = [e["End_log_pos"] for e in db1._named(f"SHOW BINLOG EVENTS IN '{db1.position()[0]}' FROM {whole}")]
    assert len(ends) > 5
    db1.kill()
    log = db1.binlogs()[-1]
    with open(log, "r+b") as f:
        f.truncate(ends[-3] if how != "nothing whole" else ends[-1] - 3)
        if how == "zeros":
            f.truncate(log.stat().st_size + 5000)
    done(fo.switch())
    record = fo.report()
    validate.everything(db2, [db3])
    assert count(db2, "tail") == n and count(db2, "torn") == 0
    named = [x for x in record["notes"] if "is left out" in x]
    assert len(named) == 1 and f"behind {log.name}:{whole}" in named[0] and "a transaction that does not end" in named[0], record["notes"]
    assert named[0] in record["report"]
    if mode == "gtid":
        assert "-" in named[0].partition("does not end")[2], named


# ---- power loss ---------------------------------------------------------------------------------
def three_points(lab, flavour, mode, **how):
    """db4 has received "all", db2 "two" and half of "one", db3 all of it; "none" has nobody."""
    fo = start(lab, flavour, mode, 4, **how)
    db1, db2, db3, db4 = fo.cluster
    rows(db1, 20, "all")
    fo.cluster.caught_up()
    cut_off(db4)
    rows(db1, 20, "two")
    db2.caught_up(), db3.caught_up()
    cut_off(db2)
    rows(db1, 10, "one")
    fo.half = db1.position()[1]
    rows(db1, 10, "one")
    db3.caught_up()
    return fo


@pytest.mark.parametrize("newest", ["newest wins", "no master"])
def test_binlog_lost_its_end(lab, flavour, mode, newest):
    """The dead master's binlog ends before what a slave has received: nothing that any slave received is lost."""
    fo = three_points(lab, flavour, mode, conf={"each": {"db3": {"no_master": int(newest == "no master")}}})
    db1, db2, db3, db4 = fo.cluster
    cut_off(db3)
    rows(db1, 5, "none")
    db1.kill()
    os.truncate(db1.binlogs()[-1], fo.half)
    done(fo.switch())
    record = fo.report()
    new, others = (db3, [db2, db4]) if newest == "newest wins" else (db2, [db3, db4])
    assert record["new_master"].startswith(new.name + "(")
    assert any("rewound" in n for n in record["notes"]) and "rewound" in record["report"], record["notes"]
    validate.everything(new, others)
    assert [count(new, t) for t in ("all", "two", "one", "none")] == [20, 20, 20, 0]


@pytest.mark.parametrize("went_back", ["all of it", "InnoDB"])
def test_power_loss(lab, flavour, mode, went_back):
    """The machine crashes and its disk has an older state.  It is back at once, writable, and is not taken for what it was:
    `rewound` leads to a failover; and where its binlog is all there nobody is fooled after the failover.
    """
    cluster = lab.cluster(flavour, 3, mode=mode, options={"innodb_file_per_table": 1})
    db1, db2, db3 = cluster
    db1.script("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB")
    rows(db1, 20, "kept")
    cluster.caught_up()
    copy = db1.snapshot()
    rows(db1, 30, "received")
    cluster.caught_up()
    mhad = Mhad(lab)
    mhad.use(cluster, auto_failover=True, fence="best_effort", latest_priority=False, failover_on="rewound")
    with mhad.start().watching():
        mhad.ask("pause", cluster="app1")
        if went_back == "InnoDB":
            cut_off(db2, db3)
            rows(db1, 7, "tail")
        db1.kill()
        db1.restore_snapshot(copy, keep=("mysql-bin",) if went_back == "InnoDB" else ())
        if went_back == "all of it":
            db1.start()
        mhad.ask("resume", cluster="app1")
        try:
            until("a new master", lambda: not (mhad.status()["master"] or "db1").startswith("db1"), 30)
        except LabError as e:
            raise LabError(f"{e}\n{mhad.tell()}\n{mhad.proc.err}") from None
        mhad.until("healthy", "monitoring", within=20)
        new = db2 if mhad.status()["master"].startswith("db2") else db3
        other = db3 if new is db2 else db2
        entry = [e for e in mhad.ask("history", cluster="app1")["entries"] if e["what"] == "failover"]
        assert entry, mhad.tell()
        validate.everything(new, [other])
        assert count(new, "received") == 30 and count(new, "tail") == (7 if went_back == "InnoDB" else 0)
        if went_back == "all of it":
            assert "rewound" in mhad.proc.err
        db1.host.run(["mha-node", "release", f"--port={db1.port}"])
        if not db1.running:
            db1.start()
        until("the old master was made read-only", lambda: db1.variable("read_only") == 1, 10)
        until("it is told", lambda: "the old master db1" in mhad.proc.err, 5)
        assert mhad.status()["master"].startswith(new.name) and not db1.status().get("Slave_IO_Running") == "Yes"
        assert not [r for r in mhad.status()["replicas"] if "db1" in str(r) and r["state"] == "up"], mhad.status()


# ---- other sources ------------------------------------------------------------------------------
def collect(host, master, folder):
    """A binlog server: mysqlbinlog that writes down what the master sends, for ever."""
    host.path(folder).mkdir(parents=True, exist_ok=True)
    program = master.flavour.client("mysqlbinlog") or "/usr/bin/mariadb-binlog"
    argv = [program, "--no-defaults", "--read-from-remote-server", "--raw", "--stop-never", f"--host={master.addr}", f"--port={master.port}",
            "--user=repl", "--password=repl-pw", f"--result-file={folder}/"]
    if master.flavour.family == "my97":
        argv.append("--get-server-public-key")
    return host.start([*argv, master.binlogs()[0].name])


@pytest.mark.parametrize("behind", ["ahead of all", "behind the newest"])
def test_binlog_server(lab, flavour, mode, behind):
    """The dead master's host is gone; a binlog server has what no slave has, another one less, a third cannot be read."""
    fo = start(lab, flavour, mode, 4)
    db1, db2, db3, db4 = fo.cluster
    one, two, three = lab.host_all(["w1", "w2", "w3"])
    text = fo.cluster.conf_text(latest_priority=0, each={"db3": {"no_master": 1}})
    for i, host in enumerate((one, two, three), 1):
        text += f"\n[binlog{i}]\nhostname={host.name}\nmaster_binlog_dir=/var/tmp/copies\n"
    fo.cluster.write_conf(text)
    collectors = [collect(h, db1, "/var/tmp/copies") for h in (one, two)]
    has = lambda host, row: any(row in f.read_bytes() for f in host.path("/var/tmp/copies").glob("mysql-bin.*"))
    rows(db1, 20, "all")
    fo.cluster.caught_up()
    until("the first has it", lambda: has(one, b"all 19"), 20)
    collectors[0].destroy()
    cut_off(db2, db4)
    db1.sql("FLUSH BINARY LOGS")
    rows(db1, 20, "first")
    db3.caught_up()
    cut_off(db3)
    if behind == "behind the newest":
        collectors[1].destroy()
    rows(db1, 20, "second")
    db1.sql("FLUSH BINARY LOGS")  # else the end may stand in a buffer of mysqlbinlog
    if behind == "ahead of all":
        until("the second has it", lambda: has(two, b"second 19"), 20)
        collectors[1].destroy()
    db1.host.off()
    done(fo.switch())
    record = fo.report()
    print(show(record))
    assert any("binlog server w3" in n for n in record["notes"]), record["notes"]
    validate.everything(db2, [db3, db4])
    assert [count(db2, t) for t in ("all", "first", "second")] == [20, 20, 20 if behind == "ahead of all" else 0]


# ---- slaves that are not as they should be ------------------------------------------------------
@pytest.mark.parametrize("disk", ["disk", "no disk"])
def test_odd_slaves(lab, flavour, mode, disk):
    """The newest has applied nothing for a while, one is late on purpose, one has a transaction of its own."""
    fo = start(lab, flavour, mode, 4)
    db1, db2, db3, db4 = fo.cluster
    rows(db1, 10, "all")
    fo.cluster.caught_up()
    f = db3.flavour
    db4.set(read_only=0)
    with db4.connect() as s, s.cursor() as c:
        if f.mariadb and mode == "gtid":  # in the master's domain its replication would stop at once
            c.execute("SET gtid_domain_id=9")
        for q in ("CREATE DATABASE own", "CREATE TABLE own.t (id INT PRIMARY KEY)", "INSERT INTO own.t VALUES (1)"):
            c.execute(q)
    db4.set(read_only=1)
    db2.stop_slave("SQL_THREAD")
    db3.stop_slave()
    db3.sql(f"{f.change} TO {f.master}_DELAY=3600")
    db3.start_slave()
    rows(db1, 10, "unapplied")
    db4.caught_up()
    cut_off(db4)
    end = lambda s: (s.status()["Master_Log_File"], s.status()["Read_Master_Log_Pos"])
    until("db3 has received it", lambda: end(db3) == db1.position(), 10)
    cut_off(db3)
    rows(db1, 10, "newest")
    until("db2 has received it", lambda: end(db2) == db1.position(), 10)
    cut_off(db2)
    rows(db1, 10, "none")
    db1.kill()
    if disk == "no disk":
        db1.host.off()
    r = done(fo.switch())
    record = fo.report()
    print(show(record))
    assert record["new_master"].startswith("db2("), str(r)
    kept = 10 if disk == "disk" else 0
    assert [count(db2, t) for t in ("all", "unapplied", "newest", "none")] == [10, 10, 10, kept]
    assert db3.master() is db2 and db3.status()["SQL_Delay"] in (3600, "3600")
    validate.follow(db2, [db4])
    assert db4.one("SELECT COUNT(*) FROM own.t") == 1 and contents(db4) != contents(db2)
    db3.stop_slave()
    db3.sql(f"{f.change} TO {f.master}_DELAY=0")
    db3.start_slave()
    validate.follow(db2, [db3])
    same([db3], contents(db2))
    if mode == "gtid" and not f.mariadb:
        plan = str(record["slaves"])
        assert "errant" in plan or "of its own" in plan, plan


@pytest.mark.parametrize("recovery", [0, 1])
def test_slave_restarts_in_the_middle(lab, flavour, mode, recovery):
    """The newest slave's server restarts with relay logs that it has not applied, after it was counted on."""
    fo = start(lab, flavour, mode, 4, options={"relay_log_recovery": recovery})
    db1, db2, db3, db4 = fo.cluster
    rows(db1, 10, "all")
    fo.cluster.caught_up()
    cut_off(db3, db4)
    db2.stop_slave("SQL_THREAD")
    rows(db1, 10, "unapplied")
    until("db2 has received it", lambda: db2.status()["Read_Master_Log_Pos"] == db1.position()[1], 10)
    cut_off(db2)
    rows(db1, 10, "none")
    db1.kill()
    p = fo.switch(env={"MHAD_FAILPOINT": "latest:act=sleep:4000"}, wait=False)
    until("the freeze is over", lambda: fo.journal().read_text().count('"freeze"') > 1, 10)
    db2.kill()
    db2.start()
    r = p.wait(60)
    assert r.rc in (0, 10), str(r)
    record = fo.report()
    new = next(s for s in (db2, db3, db4) if record["new_master"].startswith(s.name + "("))
    others = [s for s in (db2, db3, db4) if s is not new and s.name + "(" not in " ".join(n for n in record["notes"] if "set aside" in n)]
    assert len(others) == 2 or r.rc == 10, str(r)
    validate.everything(new, others)
    assert [count(new, t) for t in ("all", "unapplied", "none")] == [10, 10, 10]
    if recovery:
        assert any("relay_log_recovery" in n for n in record["notes"]), record["notes"]


@pytest.mark.parametrize("disk", ["disk", "no disk"])
def test_gaps(lab, flavour, mode, disk):
    """The newest slave crashed while its parallel applier had done later transactions and not earlier ones."""
    if flavour != "my56":
        pytest.skip("it commits in order, MySQL 9.7 if not told otherwise")
    options = {WORKERS[flavour]: 4, "relay_log_recovery": 0, "skip_slave_start": True}
    fo = start(lab, flavour, mode, 3)
    db1, db2, db3 = fo.cluster
    db1.script("CREATE DATABASE a; CREATE TABLE a.t (id INT PRIMARY KEY) ENGINE=InnoDB; CREATE DATABASE b; CREATE TABLE b.t (id INT PRIMARY KEY) ENGINE=InnoDB;"
               "INSERT INTO a.t VALUES (100)")
    fo.cluster.caught_up()
    cut_off(db3)
    db2.restart(**options)
    db2.start_slave()
    db1.script("INSERT INTO a.t VALUES (50); INSERT INTO b.t VALUES (50)")
    db2.caught_up()
    blocker = db2.connect(read_timeout=60)
    with blocker.cursor() as c:
        c.execute("BEGIN")
        c.execute("SELECT * FROM a.t FOR UPDATE")
        until("it replicates", db2.replicating, 10)
        for n in range(3):
            for base in "ab":
                db1.sql(f"INSERT INTO {base}.t VALUES ({n})")
        until("later ones are done", lambda: db2.one("SELECT COUNT(*) FROM b.t") == 4, 10)
        until("it has received all", lambda: db2.status()["Read_Master_Log_Pos"] == db1.position()[1], 10)
        assert db2.one("SELECT COUNT(*) FROM a.t") == 2
        db2.kill()
    db2.start()
    rows(db1, 5, "none")
    db1.kill()
    if disk == "no disk":
        db1.host.off()
    done(fo.switch())
    record = fo.report()
    print(show(record))
    assert record["new_master"].startswith("db2(")
    validate.everything(db2, [db3])
    assert [db2.one(f"SELECT COUNT(*) FROM {x}.t") for x in "ab"] == [5, 4] and count(db2, "none") == (5 if disk == "disk" else 0)


@pytest.mark.parametrize("disk", ["disk", "no disk"])
def test_only_the_end_of_a_log_lies_between(lab, flavour, mode, disk):
    """By position the new master is behind the others, and lacks no transaction."""
    fo = start(lab, flavour, mode, 4, conf={"each": {"db2": {"no_master": 1}, "db4": {"no_master": 1}}})
    db1, db2, db3, db4 = fo.cluster
    rows(db1, 10, "all")
    fo.cluster.caught_up()
    cut_off(db3)
    db1.sql("FLUSH BINARY LOGS"), db1.sql("FLUSH BINARY LOGS")
    end = lambda s: (s.status()["Relay_Master_Log_File"], s.status()["Exec_Master_Log_Pos"])
    until("the others stand at its end", lambda: end(db2) == end(db4) == db1.position(), 10)
    cut_off(db2, db4)
    db1.kill()
    if disk == "no disk":
        db1.host.off()
    done(fo.switch())
    validate.everything(db3, [db2, db4])
    assert count(db3, "all") == 10


@pytest.mark.parametrize("looked", ["looked at", "not looked at"])
def test_says_less_than_it_has(lab, flavour, mode, looked):
    """The newest slave crashed and names an older place than its relay logs hold; the master's host is gone.

    Where its relay logs can be read, all have what they hold.  Where not, it is not pointed at a master that has less.
    """
    if mode == "gtid":
        pytest.skip("by GTID relay logs are thrown away, or read again, at the start")
    if flavour == "my97":
        pytest.skip("it looks into its relay logs when it starts")
    fo = start(lab, flavour, mode, 3, options={"relay_log_recovery": 0, "skip_slave_start": True}, conf={"each": {"db2": {"no_master": 1}}})
    db1, db2, db3 = fo.cluster
    rows(db1, 10, "all")
    fo.cluster.caught_up()
    cut_off(db3)
    db2.stop_slave("SQL_THREAD")
    info = db2.path("master.info").read_bytes() if db2.flavour.mariadb else None
    rows(db1, 10, "newest")
    place = lambda: (db2.status()["Master_Log_File"], db2.status()["Read_Master_Log_Pos"])
    until("db2 has received it", lambda: place() == db1.position(), 10)
    received = place()
    db1.kill()
    db1.host.off()
    db2.kill()
    if info:  # MariaDB writes it for each event, and nothing but a power loss takes it back
        db2.path("master.info").write_bytes(info)
    db2.start()
    assert place() < received
    if looked == "looked at":
        done(fo.switch())
        record = fo.report()
        assert any("it has crashed" in n and f":{received[1]}" in n for n in record["notes"]), record["notes"]
        validate.everything(db3, [db2])
        assert [count(db3, t) for t in ("all", "newest")] == [10, 10]
        return
    with fault.sshd_stopped(db2.host):
        r = done(fo.switch(), rc=10)
    record = fo.report()
    told = [n for n in record["notes"] if "set aside" in n]
    assert len(told) == 1 and "db2(" in told[0] and f"it has executed up to {received[0]}:{received[1]}, the new master up to " in told[0], record["notes"]
    assert "mhactl rejoin db2 app1" in told[0] and "db2(10.77.0.12:3306): ERROR: it has executed up to" in record["report"], record["report"]
    assert db2.master() is not db3 and [count(s, "newest") for s in (db2, db3)] == [10, 0]
    validate.everything(db3, [])


@pytest.mark.parametrize("format", ["STATEMENT", "MIXED"])
def test_temporary_table_spans(lab, flavour, mode, format):
    """A client's temporary table lives while slaves are cut off, and is used in what comes from the dead master's disk."""
    if flavour == "my97" or (flavour, mode) == ("my56", "gtid"):
        pytest.skip("its binlog does not have temporary tables")
    if mode == "gtid":
        pytest.skip("a slave that logs rows leaves GTIDs of temporary tables out, and in strict mode no slave may ask for them")
    fo = start(lab, flavour, mode)
    db1, db2, db3 = fo.cluster
    with db1.connect(read_timeout=60) as s, s.cursor() as c:
        c.execute(f"SET binlog_format={format}")
        c.execute("CREATE TEMPORARY TABLE shop.tmp (v VARCHAR(200))")
        c.execute("INSERT INTO shop.tmp VALUES ('tail 1'), ('tail 2')")
        fo.cluster.caught_up()
        cut_off(db2)
        c.execute("UPDATE shop.tmp SET v = CONCAT(v, ' changed')")
        db3.caught_up()
        cut_off(db3)
        c.execute("INSERT INTO shop.t (v) SELECT v FROM shop.tmp ORDER BY v")
        want = contents(db1)
        db1.kill()
    done(fo.switch())
    new = db3 if fo.report()["new_master"].startswith("db3(") else db2
    validate.everything(new, [db2 if new is db3 else db3])
    same([db2, db3], want)
