# SPDX-License-Identifier: BSD-2-Clause
"""The binlog reader against what real servers write and say of it (SHOW BINLOG EVENTS).

`mha-node events` prints what the reader sees; a workload as nasty as a server lets it be is compared event by
event: type, position, size, GTID, and where transactions begin and end.
"""
import os
import re
from collections import Counter

import pymysql
import pytest

from . import Lab
from .conftest import WANTED

BIG = 3  # MB in one row
OPTIONS = {"max_allowed_packet": "256M", "binlog_checksum": "CRC32"}

SETUP = """
CREATE DATABASE shop;
CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200), b LONGBLOB, d DATETIME(3)) ENGINE=InnoDB;
CREATE TABLE shop.m (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200), b LONGBLOB) ENGINE=MyISAM;
CREATE TABLE shop.log (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB;
CREATE TRIGGER shop.tr AFTER INSERT ON shop.t FOR EACH ROW INSERT INTO shop.log (v) VALUES (NEW.v);
CREATE PROCEDURE shop.p() INSERT INTO shop.t (v) VALUES (CONCAT('proc', RAND()));
ALTER TABLE shop.t ADD COLUMN x INT DEFAULT 7, ADD INDEX (v);
CREATE TABLE `shop`.`strange ``name'` (`c 1` INT);
CREATE VIEW shop.vw AS SELECT id FROM shop.t;
CREATE TABLE shop.types (a TINYINT, b SMALLINT, c MEDIUMINT, d INT, e BIGINT UNSIGNED, f FLOAT, g DOUBLE, h DECIMAL(1,0),
  i DECIMAL(10,2), j DECIMAL(65,30), k DECIMAL(9,9), l DATE, m TIME, n TIME(1), o TIME(6), p DATETIME, q DATETIME(3),
  r TIMESTAMP(5) NULL, s YEAR, t CHAR(3), u CHAR(255), v VARCHAR(10), w VARCHAR(300), x BINARY(5), y VARBINARY(400),
  z TINYBLOB, aa BLOB, ab MEDIUMTEXT, ac LONGTEXT, ad ENUM('a','b'), ae SET('a','b','c'), af BIT(1), ag BIT(13), ah BIT(64),
  id INT PRIMARY KEY AUTO_INCREMENT) CHARACTER SET utf8;
CREATE TABLE shop.geo (g GEOMETRY);
CREATE USER u1@localhost;
GRANT SELECT ON shop.* TO u1@localhost
"""

# Run in ROW, and where there are others in STATEMENT and MIXED format.
WORK = """
INSERT INTO shop.t (v, d) VALUES ('one', NOW());
BEGIN; INSERT INTO shop.t (v) VALUES ('a'), ('b'), ('c'); UPDATE shop.t SET v = CONCAT(v, 'x') WHERE v < 'c'; DELETE FROM shop.t WHERE v = 'c'; COMMIT;
BEGIN; INSERT INTO shop.t (v) VALUES ('gone'); ROLLBACK;
BEGIN; INSERT INTO shop.t (v) VALUES ('half'); INSERT INTO shop.m (v) VALUES ('stays'); ROLLBACK;
BEGIN; INSERT INTO shop.t (v) VALUES ('s1'); SAVEPOINT s; INSERT INTO shop.m (v) VALUES ('s2'); INSERT INTO shop.t (v) VALUES ('s3'); ROLLBACK TO s; INSERT INTO shop.t (v) VALUES ('s4'); COMMIT;
INSERT INTO shop.m (v) VALUES ('myisam');
UPDATE shop.m SET v = 'myisam2' WHERE v = 'myisam';
INSERT INTO shop.t (v) VALUES (RAND());
SET @a = 'variable';
INSERT INTO shop.t (v) VALUES (@a);
INSERT INTO shop.t (v) SELECT CONCAT(v, LAST_INSERT_ID()) FROM shop.t LIMIT 5;
CALL shop.p();
CREATE TEMPORARY TABLE shop.tmp (i INT);
INSERT INTO shop.tmp VALUES (1), (2);
INSERT INTO shop.t (v) SELECT i FROM shop.tmp;
DROP TEMPORARY TABLE shop.tmp;
INSERT INTO shop.t (v) VALUES (REPEAT('long', 40));
TRUNCATE TABLE shop.log;
LOAD DATA INFILE '{csv}' INTO TABLE shop.t FIELDS TERMINATED BY ',' (v, x);
INSERT INTO shop.m (b) VALUES (REPEAT('0123456789abcdef', {big} * 65536));
FLUSH TABLES;
DROP TABLE IF EXISTS shop.nothere;
DELETE FROM shop.m WHERE LENGTH(b) > 1000000;
INSERT INTO shop.types VALUES (1,2,3,4,5,6,7,8,9,10,0.1,NOW(),NOW(),NOW(),NOW(),NOW(),NOW(),NOW(),2026,'abc',REPEAT('u',200),
  'v',REPEAT('w',300),'x','y','z',REPEAT('aa',500),REPEAT('ab',5000),'ac','b','a,c',1,77,88,NULL);
INSERT INTO shop.geo VALUES (ST_GEOMFROMTEXT('POINT(1 2)')), (NULL), (ST_GEOMFROMTEXT('LINESTRING(1 2, 3 4)'));
INSERT INTO shop.types (u, aa) VALUES (NULL, 'x'), ('y', NULL), (NULL, NULL), (REPEAT('z', 255), '');
UPDATE shop.types SET v = CONCAT('v', id), n = NULL, j = -id / 7;
DELETE FROM shop.types WHERE id % 2 = 0;
UPDATE shop.t SET x = x + 1
"""
XA = """
XA START 'x1'; INSERT INTO shop.t (v) VALUES ('xa1'); XA END 'x1'; XA PREPARE 'x1'; XA COMMIT 'x1';
XA START 'x2', 'branch', 7; INSERT INTO shop.t (v) VALUES ('xa2'); XA END 'x2', 'branch', 7; XA PREPARE 'x2', 'branch', 7; XA ROLLBACK 'x2', 'branch', 7;
XA START 'x3'; INSERT INTO shop.t (v) VALUES ('xa3'); XA END 'x3'; XA COMMIT 'x3' ONE PHASE
"""
# What only some know; a statement that a flavour refuses is left out.
EXTRA = {
    "my97": """
SET binlog_rows_query_log_events=1; INSERT INTO shop.t (v) VALUES ('rows_query');
SET binlog_row_value_options='PARTIAL_JSON'; CREATE TABLE shop.j (id INT PRIMARY KEY, j JSON);
INSERT INTO shop.j VALUES (1, JSON_OBJECT('a', REPEAT('x', 300), 'b', 2)); UPDATE shop.j SET j = JSON_SET(j, '$.b', 3);
SET GLOBAL binlog_row_metadata=FULL; UPDATE shop.t SET v='meta' LIMIT 1;
CREATE TABLE shop.ctas AS SELECT * FROM shop.t;
CREATE TABLE shop.more (v VECTOR(3)); INSERT INTO shop.more VALUES (TO_VECTOR('[1,2,3]')), (NULL);
SET GTID_NEXT='AUTOMATIC:backup'; INSERT INTO shop.t (v) VALUES ('tagged'); CREATE TABLE shop.tagged (i INT);
SET GTID_NEXT='AUTOMATIC:a_much_longer_tag_of_32_chars_xx'; INSERT INTO shop.t (v) VALUES ('tagged2');
SET GTID_NEXT='AUTOMATIC';
SET binlog_transaction_compression=1;
BEGIN; INSERT INTO shop.t (v) VALUES (REPEAT('compressed', 19)); UPDATE shop.t SET v = CONCAT(v, 'z') LIMIT 100; COMMIT;
INSERT INTO shop.t (v) SELECT REPEAT('zip', 50) FROM shop.t;
INSERT INTO shop.t (b) SELECT RANDOM_BYTES(1024) FROM information_schema.columns LIMIT 1000;
CREATE TABLE shop.ctas2 AS SELECT * FROM shop.t LIMIT 10;
SET binlog_transaction_compression=0
""",
    "my56": "SET binlog_rows_query_log_events=1; INSERT INTO shop.t (v) VALUES ('rows_query')",
    "ma": """
CREATE SEQUENCE shop.s; SELECT NEXTVAL(shop.s); INSERT INTO shop.t (v) VALUES (NEXTVAL(shop.s));
CREATE OR REPLACE TABLE shop.ctas AS SELECT * FROM shop.t;
SET gtid_domain_id=7; INSERT INTO shop.t (v) VALUES ('domain 7'); CREATE TABLE shop.d7 (i INT); SET gtid_domain_id=0;
SET GLOBAL binlog_row_metadata=FULL; UPDATE shop.t SET v='meta' LIMIT 1;
SET SESSION binlog_alter_two_phase=1; ALTER TABLE shop.t ADD COLUMN y INT; SET SESSION binlog_alter_two_phase=0;
CREATE TABLE shop.v (i INT) WITH SYSTEM VERSIONING; INSERT INTO shop.v VALUES (1); UPDATE shop.v SET i=2;
CREATE TABLE shop.more (i INET6, u UUID, c TEXT COMPRESSED, d VARCHAR(2000) COMPRESSED);
INSERT INTO shop.more VALUES ('::1', UUID(), REPEAT('c', 1000), REPEAT('d', 1000)), (NULL, NULL, NULL, 'e');
SET skip_replication=1; INSERT INTO shop.t (v) VALUES ('skipped'); SET skip_replication=0;
SET GLOBAL log_bin_compress_min_len=10; SET GLOBAL log_bin_compress=1;
INSERT INTO shop.t (v) VALUES (REPEAT('compressed', 19)); UPDATE shop.t SET v = CONCAT(LEFT(v, 100), 'z') LIMIT 100;
CREATE TABLE shop.compressed_ddl (i INT COMMENT 'a comment that is long enough to be worth it');
XA START 'a long name of an xa transaction'; INSERT INTO shop.t (v) VALUES ('xac'); XA END 'a long name of an xa transaction';
XA PREPARE 'a long name of an xa transaction'; XA COMMIT 'a long name of an xa transaction';
SET binlog_format=STATEMENT; INSERT INTO shop.t (v) VALUES (REPEAT('statement that is compressed', 3)); SET binlog_format=ROW;
SET GLOBAL log_bin_compress=0
""",
}


def run(session, text, lenient=False):
    with session.cursor() as c:
        for q in filter(None, (q.strip() for q in text.split(";"))):
            try:
                c.execute(q)
                c.fetchall()
            except pymysql.Error:
                if not lenient:
                    raise


def nasty(server):
    """All of it, over several files, with and without checksums."""
    csv = server.path("in.csv")
    csv.write_text("".join(f"line{i},{i}\n" for i in range(2000)))
    csv.chmod(0o644)
    s = server.connect(read_timeout=120)
    run(s, SETUP)
    formats = ["ROW"] if server.flavour.family == "my97" else ["ROW", "STATEMENT", "MIXED"]
    for f in formats:
        run(s, f"SET binlog_format={f}", lenient=True)
        run(s, WORK.format(csv=f"{server.data}/in.csv", big=BIG), lenient=True)
        run(s, XA)
        run(s, "FLUSH BINARY LOGS")
    run(s, "SET binlog_format=ROW", lenient=True)
    run(s, EXTRA[server.flavour.family], lenient=True)
    run(s, "SET GLOBAL binlog_checksum=NONE")
    run(s, WORK.format(csv=f"{server.data}/in.csv", big=BIG), lenient=True)
    run(s, EXTRA[server.flavour.family], lenient=True)
    run(s, "SET GLOBAL binlog_checksum=CRC32; INSERT INTO shop.t (v) VALUES ('end')")
    s.close()


@pytest.fixture(scope="module", params=[f"{f}-{m}" for f in WANTED for m in ("gtid", "pos")])
def servers(request):
    """A master after the workload, and its slave; in position mode the slave's own logs have no checksums."""
    flavour, mode = request.param.split("-")
    with Lab.open() as lab:
        c = lab.cluster(flavour, 2, mode=mode, options=OPTIONS)
        if mode == "pos":
            c[1].sql("SET GLOBAL binlog_checksum=NONE")
            c[1].sql("FLUSH RELAY LOGS")
        nasty(c[0])
        c[1].caught_up(60)
        yield c


class Seen:
    """A line of `mha-node events`."""

    def __init__(self, line):
        offset, end, size, self.type, server, self.place, self.info = line.split("\t")
        self.inner = offset.startswith("+")
        self.offset, self.end, self.size, self.server = int(offset), int(end), int(size), int(server)

    def __repr__(self):
        return f"{self.offset}..{self.end} {self.type} {self.place} {self.info}"


def events(server, path, stdin=False):
    """What the reader sees in a file, and its last line's word for the end."""
    argv = ["sh", "-c", 'mha-node events - <"$1"', "sh", path] if stdin else ["mha-node", "events", path]
    r = server.host.run(argv, timeout=60)
    assert r.rc == 0, r.err
    *lines, last = r.out.splitlines()
    assert last.split("\t")[2] == "end"
    return [Seen(line) for line in lines]


def logs(server, prefix):
    index = server.path(prefix + ".index").read_text().split()
    return [os.path.join(server.data, os.path.basename(f)) for f in index]


def shown(server, path):
    with server.connect(read_timeout=120) as c, c.cursor() as cur:
        cur.execute(f"SHOW BINLOG EVENTS IN '{os.path.basename(path)}'")
        return [row[1:] for row in cur.fetchall()]


def as_shown(ours):
    """Events inside of a payload are shown as of no length at its end."""
    for e in ours:
        if not e.inner:
            payload = e
        yield (payload.end, e.type, e.server, payload.end) if e.inner else (e.offset, e.type, e.server, e.end)


def gtid_shown(info):
    """Out of "SET @@SESSION.GTID_NEXT= 'uuid:7'", "BEGIN GTID 0-1-7", "GTID 0-1-7 cid=3"."""
    return re.search(r"(?:GTID_NEXT= '|GTID )([-:\w]+)", info)[1]


def test_events_agree_with_the_server(servers):
    master = servers[0]
    for path in logs(master, "mysql-bin"):
        ours, theirs = events(master, path), shown(master, path)
        for mine, row in zip(as_shown(ours), theirs):
            assert mine == row[:4]
        assert len(ours) == len(theirs)
        outer = [e for e in ours if not e.inner]
        for e, following in zip(outer, outer[1:]):
            assert e.offset + e.size == following.offset
            # MariaDB 11 writes no positions inside of a transaction.
            assert e.end == following.offset or (e.end == 0 and e.place == "inside" and master.flavour.mariadb)
        for e, row in zip(ours, theirs):
            if "tid" in e.type and e.type not in ("Previous_gtids", "Gtid_list"):
                assert e.info == gtid_shown(row[4])
            if e.type in ("Previous_gtids", "Gtid_list"):
                assert e.info == re.sub(r"[\s\[\]]", "", row[4])


def test_workload_was_nasty(servers):
    """Guards the other tests: a flavour that stops writing some kind of event must not pass in silence."""
    master = servers[0]
    seen = {e.type for path in logs(master, "mysql-bin") for e in events(master, path)}
    want = {"Query", "Xid", "Table_map", "Rotate", "Format_desc"}
    want |= {
        "my56": {"Write_rows", "Update_rows", "Delete_rows", "Intvar", "RAND", "User var", "Begin_load_query",
                 "Execute_load_query", "Rows_query"},
        "my97": {"Write_rows", "Update_rows", "Delete_rows", "Transaction_payload", "XA_prepare",
                 "Update_rows_partial", "Rows_query"},
        "ma": {"Write_rows_v1", "Update_rows_v1", "Delete_rows_v1", "Intvar", "RAND", "User var", "Annotate_rows",
               "Begin_load_query", "Execute_load_query", "Gtid", "Gtid_list", "Query_compressed", "XA_prepare",
               "Write_rows_compressed_v1", "Update_rows_compressed_v1"},
    }[master.flavour.family]
    if master.flavour.family == "my97":
        want |= {"Gtid", "Gtid_tagged_log_event"} if master.mode == "gtid" else {"Anonymous_Gtid"}
    assert want <= seen, want - seen
    assert len(logs(master, "mysql-bin")) >= 4


def test_transactions_begin_and_end_where_they_should(servers):
    """With GTIDs each transaction begins with one; without, BEGIN must open and commits must close."""
    master = servers[0]
    count = 0
    for path in logs(master, "mysql-bin"):
        outer = [e for e in events(master, path) if not e.inner]
        has_gtids = any(e.type in ("Gtid", "Anonymous_Gtid") for e in outer)
        inside = False
        for e in outer:
            assert inside == (e.place in ("inside", "last")) or e.place == "-", e
            inside = e.place in ("first", "inside") or (inside and e.place == "-")
            count += e.place in ("last", "only")
            leads = e.type in ("Gtid", "Anonymous_Gtid", "Gtid_tagged_log_event")
            if has_gtids:
                assert leads == (e.place == "first") and e.place != "only", e
            if e.info == "BEGIN" and not has_gtids:
                assert e.place == "first", e
            if e.type in ("Xid", "XA_prepare") or e.info in ("COMMIT", "ROLLBACK"):
                assert e.place == "last", e
        assert not inside
    assert count > 30


def test_relay_logs_agree_with_the_binlogs(servers):
    """Every event of the master, in the same order, with its end in the master's coordinates."""
    master, slave = servers

    def essence(e):
        """MariaDB's slaves write compressed events plain."""
        return e.end, e.type.replace("_compressed", ""), e.place, e.info

    def of_master(server, prefix):
        found = [e for path in logs(server, prefix) for e in events(server, path)]
        return [e for e in found if e.server == master.server_id and e.place != "-"]

    want, got = of_master(master, "mysql-bin"), of_master(slave, "relay-bin")
    assert list(map(essence, got)) == list(map(essence, want))
    for g, w in zip(got, want):
        assert g.size - w.size in (0, 4, -4) or "compressed" in w.type  # 4: checksums are the relay log's affair
    assert len(logs(slave, "relay-bin")) > 3


def test_mysqlbinlog_sees_the_same_offsets(servers):
    master = servers[0]
    program = {"ma": "mariadb-binlog", "my97": "mysqlbinlog", "my56": None}[master.flavour.family]
    if not program:
        pytest.skip("this flavour comes without mysqlbinlog")
    for path in logs(master, "mysql-bin"):
        r = master.host.run(["sh", "-c", f"{program} --no-defaults {path} | grep '^# at '"], timeout=60)
        theirs = {int(line.split()[2]) for line in r.out.splitlines()}
        ours = {e.offset for e in events(master, path) if not e.inner}
        assert ours <= theirs


def test_rows_are_counted(servers):
    """As mysqlbinlog prints them, one "### INSERT INTO" or the like for each."""
    master = servers[0]
    program = {"ma": "mariadb-binlog", "my97": "mysqlbinlog", "my56": "mariadb-binlog"}[master.flavour.family]
    total = 0
    for path in logs(master, "mysql-bin"):
        script = f"{program} --no-defaults -v --base64-output=decode-rows {path} | grep -aE '^### (INSERT|UPDATE|DELETE)'"
        r = master.host.run(["sh", "-c", script], timeout=60)
        theirs = Counter(re.sub(r"[`]", "", line.split(maxsplit=2)[2].replace("INTO ", "").replace("FROM ", ""))
                         for line in r.out.splitlines())
        ours = Counter()
        for e in events(master, path):
            if "rows" in e.type.lower() and " rows of " in f" {e.info}":
                assert e.info[0].isdigit() or e.size > 256 * 1024, e
                n, table = re.fullmatch(r"(?:(\d+) )?rows of (.+?)(?:, end of statement)?", e.info).groups()
                # Not counted: events beyond the window, which hold one large row here.
                ours[table] += int(n) if n else 1
        assert ours["shop.geo"] % 3 == 0  # mysqlbinlog cannot print these
        del ours["shop.geo"], theirs["shop.geo"]
        assert ours == theirs
        total += sum(ours.values())
    assert total > 2000


def test_a_pipe_is_as_good_as_a_file(servers):
    master = servers[0]
    path = logs(master, "mysql-bin")[0]
    assert list(map(str, events(master, path, stdin=True))) == list(map(str, events(master, path)))


@pytest.mark.slow
def test_rows_of_100_mb_need_no_memory(flavour):
    with Lab.open() as lab:
        server = lab.cluster(flavour, 1, options=OPTIONS)[0]
        server.sql("CREATE DATABASE shop")
        server.sql("CREATE TABLE shop.m (id INT, b LONGBLOB) ENGINE=MyISAM")
        server.sql("INSERT INTO shop.m VALUES (1, REPEAT('0123456789abcdef', 100 * 65536))")
        server.sql("DELETE FROM shop.m")
        path = logs(server, "mysql-bin")[0]
        r = server.host.run(["sh", "-c", f"ulimit -v 32768; exec mha-node events {path}"], timeout=60)
        assert r.rc == 0, r.err
        ours = [Seen(line) for line in r.out.splitlines()[:-1]]
        assert list(as_shown(ours)) == [row[:4] for row in shown(server, path)]
        assert len([e for e in ours if e.size > 100e6]) == 2


def refused(server):
    server.sql("CREATE DATABASE secret")
    r = server.host.run(["mha-node", "events", logs(server, "mysql-bin")[-1]])
    assert r.rc == 1
    assert "encrypted" in r.err and "only its own server can read it" in r.err
    assert "secret" not in r.out


def test_encrypted_mariadb_is_refused():
    with Lab.open() as lab:
        server = lab.cluster("ma118", 1)[0]
        keys = server.host.write("/srv/keys", "1;" + "ab" * 32 + "\n")
        server.restart(plugin_load_add="file_key_management", file_key_management_filename=keys, encrypt_binlog=1)
        refused(server)


KEYRING = """
mkdir /srv/over && mount -t tmpfs none /srv/over && mkdir /srv/over/up /srv/over/scratch
mount -t overlay none -o lowerdir=$1,upperdir=/srv/over/up,workdir=/srv/over/scratch $1
echo '{"components": "file://component_keyring_file"}' >$1/sbin/mysqld.my
echo '{"path": "/srv/mysql3306/keyring", "read_only": false}' >$1/lib/mysql/plugin/component_keyring_file.cnf
install -o 3306 -g 3306 -m 640 /dev/null /srv/mysql3306/keyring
"""


def test_encrypted_mysql_is_refused():
    with Lab.open() as lab:
        server = lab.cluster("my97", 1)[0]
        server.host.run(["sh", "-ec", KEYRING, "sh", server.flavour.base], check=True)
        server.restart(binlog_encryption=1)
        refused(server)
