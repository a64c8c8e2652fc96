# SPDX-License-Identifier: BSD-2-Clause
"""A returned old master, or a new server, becomes a slave of the master that there is now."""
import json
import re

import pytest

from . import fault, validate

TABLES = """CREATE DATABASE shop;
CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB;
CREATE TABLE shop.big (id INT PRIMARY KEY, b MEDIUMBLOB, d DECIMAL(10,3), n DATETIME) ENGINE=InnoDB"""


def looked(server, file=None):
    """What `mha-node look` says of its binlogs: (mark, kind, gtid) of each transaction."""
    file = file or server.binlogs()[0].name
    r = server.host.run(["mha-node", "look", f"--start_file={file}", f"--binlog_dir={server.data}", "--json"])
    assert r.rc == 0, str(r)
    rows = [line.split(" ", 6) for line in r.out.splitlines() if line.startswith("T ")]
    return [(x[1], x[5], x[6].split("\t")[0], json.loads(x[6].split("\t")[1])) for x in rows]


def many_kinds(server):
    """Transactions of many kinds: rows, statements, DDL, temporary tables, blobs."""
    server.script(TABLES)
    server.script("""INSERT INTO shop.t (v) VALUES ('a'), ('b'); INSERT INTO shop.t (v) VALUES ('c');
    BEGIN; INSERT INTO shop.t (v) SELECT REPEAT('x', 150) FROM shop.t; UPDATE shop.t SET v=CONCAT(v, '!'); COMMIT;
    INSERT INTO shop.big VALUES (1, REPEAT('q', 600000), 12.345, NOW());
    FLUSH TABLES;
    BEGIN; DELETE FROM shop.t WHERE id=2; DELETE FROM shop.big; COMMIT""")
    for _ in range(8):
        server.sql("INSERT INTO shop.t (v) SELECT v FROM shop.t LIMIT 200")
    with server.connect() as s, s.cursor() as c:
        c.execute("SET SESSION binlog_format=STATEMENT")
        for q in ("SET @x='u'", "INSERT INTO shop.t (v) VALUES (@x)", "UPDATE shop.t SET v='s' WHERE id=1"):
            c.execute(q)


@pytest.mark.slow
def test_a_transaction_is_known_again(lab, flavour, mode):
    """The marks of a master's transactions are those of its slave's, whatever they are."""
    db1, db2 = cluster = lab.cluster(flavour, 2, mode=mode)
    many_kinds(db1)
    cluster.caught_up()
    ours, theirs = looked(db1), looked(db2)
    odd = [(a, b) for a, b in zip(ours, theirs) if a[0] != b[0] and a[1] + b[1] != "sr"]  # a slave may log statements as rows
    assert len(ours) == len(theirs) and not odd, "\n".join(map(str, odd))
    assert len({x[0] for x in ours}) == len(ours) > 15
    assert any("FLUSH" in str(x[3]) and x[1] == "a" for x in ours)


# ---- scenes -------------------------------------------------------------------------------------
class Rejoin:
    """A cluster whose db1 was the master until db2 took over; db3 follows that one."""

    def __init__(self, lab, flavour, mode, servers=3, **how):
        self.lab, self.mode = lab, mode
        self.cluster = lab.cluster(flavour, servers, mode=mode, **how)
        self.db1, self.db2, self.db3 = (*self.cluster, None)[:3]
        self.cluster.write_conf()
        self.db1.script(TABLES)
        rows(self.db1, 20, "before")
        self.cluster.caught_up()

    def fail_over(self, **options):
        """db1 is killed and replaced, by the command; it is started again afterwards."""
        self.db1.kill()
        r = self.lab.manager.run(["masterha_master_switch", "--master_state=dead", f"--conf={self.cluster.conf}",
                                  "--dead_master_host=db1", "--dead_master_port=3306", "--interactive=0"], timeout=60)
        assert r.rc == 0, str(r)
        rows(self.db2, 20, "after")
        self.release()
        self.db1.start(**options)
        return self

    def release(self):
        """What the fence holds down may start again."""
        self.db1.host.run(["mha-node", "release", "--port=3306"])

    def rejoin(self, *args, rc=0, env=None, host="db1", timeout=90):
        r = self.lab.manager.run(["mhactl", "rejoin", "--yes", "--json", f"--conf={self.cluster.conf}", host, *args],
                                 env=env or {}, timeout=timeout)
        assert rc is None or r.rc == rc, str(r)
        r.json = json.loads(r.out) if r.out.strip().startswith("{") else None
        return r

    def check(self, *servers):
        """All rows of all tables are the same, and all replicate."""
        servers = servers or [s for s in (self.db1, self.db3) if s]
        rows(self.db2, 5, "last")
        for s in servers:
            assert s.master() is self.db2 and s.replicating(), s.status()
            s.caught_up()
            assert data(s) == data(self.db2), s
        return self


def rows(server, n, tag="row"):
    """So many transactions of one row each."""
    with server.connect(read_timeout=60) as s, s.cursor() as c:
        for i in range(n):
            c.execute("INSERT INTO shop.t (v) VALUES (%s)", (f"{tag} {i}",))


def data(server):
    return [server.sql(f"SELECT * FROM shop.{t} ORDER BY id") for t in ("t", "big")]


def own_rows(server, n):
    """Writes on a returned master, as a client that did not hear of anything does them."""
    server.script("SET GLOBAL read_only=0")
    rows(server, n, "own")


def state(s):
    """What a refusal must leave alone."""
    return (s.position(), s.gtids(), s.status().get("Master_Host"), s.variable("read_only"), data(s))


def refused(x, text, *args, host="db1", server=None):
    server = server or x.db1
    before = state(server), state(x.db2)
    r = x.rejoin(*args, rc=5, host=host)
    assert text in r.err + r.out, str(r)
    assert (state(server), state(x.db2)) == before
    assert not x.lab.manager.path("/var/lib/mhad/app1/rejoin/journal").exists()
    return r


# ---- a clean old master -------------------------------------------------------------------------
def test_clean_old_master(lab, flavour, mode):
    x = Rejoin(lab, flavour, mode).fail_over()
    plan = lab.manager.run(["mhactl", "plan", "rejoin", "--json", f"--conf={x.cluster.conf}", "db1"])
    assert plan.rc == 0 and json.loads(plan.out)["errant"]["count"] == 0, str(plan)
    r = x.rejoin()
    assert r.json["result"] == "success" and r.json["errant"]["count"] == 0 and not r.json["doubt"], str(r)
    x.check()
    assert x.db1.variable("read_only") == 1
    again = x.rejoin()
    assert again.json["already"] and again.json["result"] == "success"


@pytest.mark.parametrize("n", [1, 100, 10000])
def test_errant_transactions(lab, flavour, mode, n):
    """They are counted, shown and refused; a copy replaces them, and they are saved before."""
    x = Rejoin(lab, flavour, mode).fail_over()
    own_rows(x.db1, n)
    x.db1.sql("UPDATE shop.t SET v='changed' WHERE id=1")
    r = refused(x, f"{n + 1} transactions")
    e = r.json["errant"]
    assert e["count"] == n + 1 and e["known"] and not e["change_no_rows"]
    assert e["tables"] == {"shop.t": {"transactions": n + 1, "insert": n, "update": 1, "delete": 0}}
    assert 0 < e["first_time"] <= e["last_time"] and len(e["transactions"]) == n + 1
    refused(x, "change rows", "--errant=inject")


def test_errant_that_change_nothing(lab, flavour, mode):
    """FLUSH and the like, logged on the returned master: shown to change no rows, and let be."""
    x = Rejoin(lab, flavour, mode).fail_over()
    x.db1.sql("SET GLOBAL read_only=0")
    for _ in range(3):
        x.db1.sql("FLUSH TABLES shop.t")
    r = refused(x, "3 transactions")
    assert r.json["errant"]["change_no_rows"]
    r = x.rejoin("--errant=inject")
    assert r.json["result"] == "success" and r.json["saved"], str(r)
    assert lab.manager.path(r.json["saved"]).stat().st_size > 100
    x.check()
