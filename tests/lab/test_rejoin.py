# SPDX-License-Identifier: BSD-2-Clause
"""A returned old master, or a new server, becomes a slave of the master that there is now."""
import json
import os

import pytest

from . import fault
from .flavour import flavour as find_flavour
from .mhad import Mhad
from .util import until

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


@pytest.mark.parametrize("n", [1, 100, 10000])
def test_flashback(lab, flavour, mode, n):
    """Rows inserted, changed and deleted by itself are taken back, and it follows as if it had never done that."""
    x = Rejoin(lab, flavour, mode)
    x.db1.sql("INSERT INTO shop.big VALUES (1, REPEAT('q', 60000), 12.345, NOW()), (2, NULL, NULL, NULL)")
    x.db2.caught_up(), x.db3.caught_up()
    x.fail_over()
    own_rows(x.db1, n)
    x.db1.script("""UPDATE shop.t SET v=CONCAT(v, '!') ORDER BY id DESC; UPDATE shop.t SET id=id+100000 WHERE id>15;
                    DELETE FROM shop.t WHERE id<5; UPDATE shop.big SET b=NULL, d=1 WHERE id=1; DELETE FROM shop.big""")
    r = x.rejoin("--errant=flashback")
    assert r.json["result"] == "success" and lab.manager.path(r.json["saved"]).exists(), str(r)
    x.check()
    assert not x.db1.sql("SELECT 1 FROM information_schema.tables WHERE table_name='rejoin_marks'")


@pytest.mark.slow
def test_no_flashback(lab):
    """Statements, and images that are not whole, cannot be taken back."""
    x = Rejoin(lab, "my97", "gtid").fail_over()
    x.db1.script("SET GLOBAL read_only=0; SET SESSION binlog_row_image=MINIMAL; UPDATE shop.t SET v='x' WHERE id=1")
    refused(x, "not whole", "--errant=flashback")
    x.db1.script("CREATE TABLE shop.own (id INT PRIMARY KEY)")
    refused(x, "statements cannot be taken back", "--errant=flashback")


# ---- who it is ----------------------------------------------------------------------------------
@pytest.mark.slow
def test_wrong_identity(lab, mode):
    """Another's server_id or server_uuid, none at all, rows that could not be logged, the master itself."""
    x = Rejoin(lab, "my97", mode).fail_over(server_id=1306)
    refused(x, "has the server_id 1306 of db3(")
    x.db1.restart(server_id=1106, binlog_format="STATEMENT")
    refused(x, "binlog_format=STATEMENT")
    x.db1.restart(binlog_format=None)
    x.db1.set(server_id=0)
    refused(x, "has server_id 0")
    x.db1.stop()
    own, theirs = x.db1.path("auto.cnf"), x.db3.path("auto.cnf")
    own.write_bytes(theirs.read_bytes())
    x.db1.start()
    refused(x, "has the server_uuid")
    x.db1.stop()
    own.unlink()
    x.db1.start()
    x.rejoin()
    x.check()
    r = x.rejoin(rc=5, host="db2")
    assert "a master is no slave's place" in r.err, str(r)


@pytest.mark.slow
def test_gtid_mode_differs(lab):
    x = Rejoin(lab, "my97", "gtid").fail_over(gtid_mode="OFF_PERMISSIVE", enforce_gtid_consistency="ON")
    refused(x, "gtid_mode is OFF_PERMISSIVE")


@pytest.mark.slow
def test_unknown_place(lab, flavour):
    """Without GTIDs and without mha-node, or with logs that were purged, nothing is guessed."""
    x = Rejoin(lab, flavour, "pos").fail_over()
    with fault.sshd_stopped(x.db1.host):
        refused(x, "cannot be proven")
    x.db2.sql("FLUSH LOCAL BINARY LOGS")
    rows(x.db2, 3, "more")
    x.db2.sql(f"PURGE BINARY LOGS TO '{x.db2.position()[0]}'")
    refused(x, "no transaction in its binlogs is found there")


@pytest.mark.slow
def test_rewound(lab, flavour, mode):
    """Its log has lost its end, which others received: what is gone would never come back."""
    x = Rejoin(lab, flavour, mode)
    x.db1.stop()
    copy = x.db1.snapshot()
    x.db1.start()
    rows(x.db1, 5, "lost")
    x.db2.caught_up(), x.db3.caught_up()
    x.fail_over()
    x.db1.stop()
    x.db1.restore_snapshot(copy, keep=("auto.cnf",))
    x.db1.start()
    r = refused(x, "lost" if mode == "pos" else "leave")
    assert "--clone" in r.out


# ---- a copy -------------------------------------------------------------------------------------
MYSQL = """#!/bin/sh
first=$1
shift
exec /opt/lab/my97/bin/{} "$first" --plugin-dir=/opt/lab/my97/root/usr/lib/mysql/plugin "$@"
"""


def with_programs(x):
    """The client programs that fit these servers, on the manager host.  5.6 has none of its own: 9.7's know it, too."""
    for tool, name in (("mysqldump", "mariadb-dump"), ("mysql", "mariadb")):
        flavour = x.cluster.flavour
        if flavour.name == "my56":
            find_flavour("my97").template()
            x.lab.manager.script("/usr/local/bin/" + tool, MYSQL.format(tool))
            continue
        link = x.lab.manager.path("/usr/local/bin/" + (name if flavour.mariadb else tool))
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(flavour.client(tool))
    return x


def wipe(server):
    """A new server in the place of the old one."""
    server.stop()
    for f in server.path().iterdir():
        server.host.run(["rm", "-rf", f"{server.data}/{f.name}"])
    server._fill(server.flavour.template() / "data")
    server.start()


@pytest.mark.slow
def test_empty_server(lab, flavour, mode):
    """With GTIDs and all binlogs there it just follows; else it becomes a copy of the slave."""
    x = with_programs(Rejoin(lab, flavour, mode, 4)).fail_over()
    db4 = x.cluster[3]
    wipe(db4)
    if mode == "gtid":
        x.rejoin(host="db4")
    else:
        refused(x, "cannot be proven", host="db4", server=x.db1)
        r = x.rejoin("--clone", host="db4")
        assert r.json["donor"].startswith("db3(")
    x.check(db4, x.db3)


def test_history_is_purged(lab, flavour, mode):
    """Error 1236 is seen before it comes; a dump from the slave replaces the data, what was its own is saved."""
    x = with_programs(Rejoin(lab, flavour, mode)).fail_over()
    own_rows(x.db1, 3)
    rows(x.db2, 3, "gone")
    x.db3.caught_up()
    x.db2.sql("FLUSH LOCAL BINARY LOGS")
    x.db2.sql(f"PURGE BINARY LOGS TO '{x.db2.position()[0]}'")
    r = x.rejoin(rc=5)
    assert x.db1.one("SELECT COUNT(*) FROM shop.t WHERE v LIKE 'own%'") == 3
    r = x.rejoin("--by-dump")
    assert r.json["result"] == "success" and r.json["donor"].startswith("db3("), str(r)
    if mode == "gtid":
        assert r.json["errant"]["count"] == 3 and lab.manager.path(r.json["saved"]).exists()
    x.check()
    assert not [f for f in lab.manager.path("/var/lib/mhad/app1/rejoin").iterdir() if f.name.endswith(".cnf")]
    assert x.db3.replicating()


@pytest.mark.slow
def test_clone_plugin(lab):
    """MySQL's own way; the server is started again by its supervisor."""
    x = Rejoin(lab, "my97", "gtid").fail_over()
    own_rows(x.db1, 50)
    x.db1.stop()
    x.db1.supervise()
    r = x.rejoin("--clone", timeout=110)
    assert r.json["result"] == "success" and r.json["errant"]["count"] == 50, str(r)
    assert lab.manager.path(r.json["saved"]).stat().st_size > 1000
    x.check()


@pytest.mark.slow
def test_donor(lab):
    """The only healthy server is no donor unless it is named; nothing was dropped before that was said."""
    x = Rejoin(lab, "ma1011", "gtid", 2).fail_over()
    own_rows(x.db1, 1)
    refused(x, "the only healthy server", "--clone")
    x.rejoin("--clone", "--donor=db2")
    x.check()


# ---- mariadb-backup ------------------------------------------------------------------------------
def needs_purged(x):
    """What db1 lacks is gone from the master, and it has transactions of its own."""
    own_rows(x.db1, 3)
    rows(x.db2, 3, "gone")
    x.db2.sql("CREATE TABLE shop.aria (id INT PRIMARY KEY) ENGINE=Aria")
    x.db2.sql("INSERT INTO shop.aria VALUES (1), (2)")
    x.db3.caught_up()
    x.db2.sql("FLUSH LOCAL BINARY LOGS")
    x.db2.sql(f"PURGE BINARY LOGS TO '{x.db2.position()[0]}'")
    return x


def is_clean(server):
    assert not [f.name for f in server.path().iterdir() if f.name.startswith(".mhad")]
    assert not [p for p, argv in server.host.processes() if "backup" in argv[0] or "mbstream" in argv[0]]
    return True


def owners(server):
    """Of the data directory and all in it: whom it belongs to, and whether others may read it."""
    files = [server.path(), *server.path().rglob("*")]
    return {(f.stat().st_uid, f.stat().st_gid, f.stat().st_mode & 0o007) for f in files if f.is_file() or f.is_dir()}


@pytest.mark.slow
@pytest.mark.parametrize("donor", ["db3", "db2"])
def test_backup(lab, mode, donor):
    """Purged history: the files of a slave, or of the master, take the place of what it had, which is saved."""
    x = needs_purged(Rejoin(lab, "ma1011", mode).fail_over())
    before = x.db1.pid
    r = x.rejoin("--clone", f"--donor={donor}")
    assert r.json["result"] == "success" and r.json["donor"].startswith(donor + "("), str(r)
    assert "by backup" in r.err, r.err
    assert x.db1.pid not in (None, before)
    x.check()
    assert x.db1.sql("SELECT id FROM shop.aria ORDER BY id") == [(1,), (2,)] and x.db1.variable("read_only") == 1
    assert owners(x.db1) <= owners(x.db2)
    assert is_clean(x.db1) and is_clean(x.cluster[int(donor[2]) - 1])
    assert not list(x.lab.hosts[donor].path("/tmp").glob("mhad-backup*"))
    if mode == "gtid":
        assert r.json["errant"]["count"] == 3 and lab.manager.path(r.json["saved"]).exists()


@pytest.mark.slow
def test_backup_of_an_empty_server(lab, mode):
    x = Rejoin(lab, "ma1011", mode, 4).fail_over()
    db4 = x.cluster[3]
    wipe(db4)
    r = x.rejoin("--by-backup", host="db4")
    assert "by backup" in r.err, r.err
    assert db4.one("SELECT COUNT(*) FROM shop.t") >= 40
    x.check(db4, x.db3)
    assert is_clean(db4)


@pytest.mark.slow
def test_backup_is_refused(lab):
    """No room, or tables elsewhere: said before anything is touched, and the dump is what is left."""
    x = with_programs(needs_purged(Rejoin(lab, "ma1011", "gtid").fail_over()))
    disk = x.db1.path("ib_buffer")
    with open(disk, "wb") as f:
        free = os.statvfs(x.db1.path()).f_bavail * 4096
        os.posix_fallocate(f.fileno(), 0, free - (10 << 20))
    refused(x, "MB free, and the copy takes", "--by-backup")
    disk.unlink()
    x.lab.hosts["db3"].script("/usr/local/bin/mariadb-backup", "#!/bin/sh\nexit 1\n")
    x.lab.hosts["db3"].script("/usr/local/bin/mariabackup", "#!/bin/sh\nexit 1\n")
    refused(x, "this host has no mariadb-backup", "--by-backup")
    r = x.rejoin("--clone")
    assert "by dump" in r.err, r.err
    x.check()


@pytest.mark.slow
def test_backup_that_does_not_start(lab):
    """What the server had is put back, and it runs with that again."""
    x = needs_purged(Rejoin(lab, "ma1011", "gtid").fail_over())
    had = data(x.db1)
    broken = '#!/bin/sh\n/usr/bin/mariadb-backup "$@" || exit\nfor d; do case $d in --target-dir=*) t=${d#*=};; esac; done\n'
    x.db1.host.script("/usr/local/bin/mariadb-backup", broken + 'case $1 in --prepare) echo >"$t/ibdata1";; esac\n')
    r = x.rejoin("--by-backup", rc=None)
    assert r.rc != 0 and "was put back" in r.err, str(r)
    assert data(x.db1) == had and x.db1.variable("server_id") == x.db1.server_id and is_clean(x.db1)
    x.db1.host.run(["rm", "/usr/local/bin/mariadb-backup"])
    x.rejoin("--by-backup")
    x.check()
    assert is_clean(x.db1)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["begin", "act", "verify", "end"])
def test_backup_and_mhad_killed(lab, mode, when):
    x = needs_purged(Rejoin(lab, "ma1011", mode).fail_over())
    killed(x, f"provision:{when}", "--by-backup")
    assert is_clean(x.db1)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["backup", "prepare", "swap"])
def test_backup_killed(lab, mode, when):
    """Ended while it copies, while it prepares, while it has the server stopped: the same command ends it."""
    x = needs_purged(Rejoin(lab, "ma1011", mode).fail_over())
    had, pid = data(x.db1), x.db1.pid
    host = x.db3.host if when == "backup" else x.db1.host
    word = {"backup": "--backup", "prepare": "--prepare", "swap": "--none"}[when]
    slow = f'#!/bin/sh\ncase $1 in {word}) sleep 5;; esac\nexec /usr/bin/mariadb-backup "$@"\n'
    host.script("/usr/local/bin/mariadb-backup", slow)
    p = lab.manager.start(["mhactl", "rejoin", "--yes", f"--conf={x.cluster.conf}", "db1", "--by-backup"])
    seen = {"backup": lambda: any(word in argv for _, argv in host.processes()),
            "prepare": lambda: any(word in argv for _, argv in host.processes()), "swap": lambda: x.db1.pid != pid}[when]
    until("it is there", seen, 30)
    p.kill()
    p.wait()
    if when == "swap":
        until("it runs again", lambda: x.db1.running, 30)
        x.db1.wait()
    else:
        until("nothing is left of it", lambda: x.db1.pid == pid and not x.db1.path(".mhad-copy").exists(), 15)
        assert data(x.db1) == had
    host.run(["rm", "/usr/local/bin/mariadb-backup"])
    assert x.rejoin("--by-backup").json["result"] == "success"
    x.check()
    assert is_clean(x.db1)


# ---- killed, and run again ----------------------------------------------------------------------
CLEAN = [f"{s}:{w}" for s in ("read", "check", "compare", "decide", "close", "follow", "catch_up") for w in ("act", "end")]
SPECIAL = [f"{s}:{w}" for s in ("save", "inject", "flashback", "provision", "reset") for w in ("begin", "act", "verify", "end")]


def killed(x, point, *args):
    """Whatever was there is found, and the same command ends it."""
    first = x.rejoin(*args, env={"MHAD_FAILPOINT": f"{point}=kill"}, rc=None)
    assert first.rc in (-9, 137), str(first)
    r = x.rejoin(*args)
    assert r.json["result"] == "success", str(r)
    assert not x.lab.manager.path("/var/lib/mhad/app1/rejoin/journal").exists()
    x.check()


@pytest.mark.parametrize("point", CLEAN)
def test_rejoin_killed(lab, flavour, mode, point):
    killed(Rejoin(lab, flavour, mode).fail_over(), point)


@pytest.mark.parametrize("point", SPECIAL)
def test_rejoin_killed_with_errant(lab, flavour, mode, point):
    x = with_programs(Rejoin(lab, flavour, mode)).fail_over()
    step, args = point.split(":")[0], ["--errant=inject"]
    x.db1.sql("SET GLOBAL read_only=0")
    x.db1.sql("FLUSH TABLES shop.t")
    if (step == "inject" and (mode == "pos" or x.cluster.flavour.mariadb)) or (
            step == "reset" and (mode == "pos" or not x.cluster.flavour.mariadb)):
        pytest.skip("has no such step")
    if step in ("provision", "flashback"):
        own_rows(x.db1, 2)
        args = ["--by-dump"] if step == "provision" else ["--errant=flashback"]
    killed(x, point, *args)


# ---- by mhad itself -----------------------------------------------------------------------------
def returned(lab, flavour, mode, settings, n):
    """mhad has failed over; the old master comes back, writable, with so many rows of its own."""
    x = Rejoin(lab, flavour, mode)
    x.mhad = Mhad(lab)
    x.mhad.use(x.cluster, auto_failover=True, fence="best_effort", latest_priority=False, **settings)
    x.mhad.start().watching()
    x.db1.kill()
    until("db2 is the master", lambda: x.mhad.status()["master"].startswith("db2"), 20)
    x.mhad.until("healthy", "monitoring", within=15)
    rows(x.db2, 10, "after")
    x.release()
    if n:
        with fault.one_way(x.db1.host, lab.manager):
            x.db1.start()
            own_rows(x.db1, n)
    else:
        x.db1.start()
    return x


def told(x, what):
    return [e["text"] for e in x.mhad.ask("history", cluster="app1")["entries"] if e["what"] == what]


def test_auto_rejoin(lab, flavour, mode):
    x = returned(lab, flavour, mode, {"auto_rejoin": "clean"}, 0)
    with x.mhad:
        until("it is a slave", lambda: x.db1.master() is x.db2 and x.db1.replicating(), 20)
        until("it is told", lambda: any("success" in t for t in told(x, "rejoin")), 10)
        x.check()
        assert x.db1.variable("read_only") == 1


@pytest.mark.slow
def test_auto_rejoin_is_not_for_all(lab):
    """What has rows of its own is left to a person; and without the setting all are."""
    x = returned(lab, "ma1011", "gtid", {"auto_rejoin": "clean"}, 2)
    with x.mhad:
        until("it is told", lambda: any("2 transactions" in t for t in told(x, "rejoin")), 20)
        assert not x.db1.status() and x.db1.variable("read_only") == 1


@pytest.mark.slow
def test_never_by_itself(lab):
    x = returned(lab, "ma1011", "pos", {}, 0)
    with x.mhad:
        until("it is closed", lambda: told(x, "old-master"), 10)
        assert not told(x, "rejoin") and not x.db1.status()


# ---- double masters -----------------------------------------------------------------------------
def pair(lab, flavour, mode, servers=3, marked=("db1", "db2"), **how):
    x = Rejoin(lab, flavour, mode, servers, shape="dual", **how)
    x.cluster.write_conf(each={s: {"double_master": 1} for s in marked})
    return x


def ring_is_whole(x):
    return x.db2.master() is x.db1 and x.db2.replicating()


def goes_round(x):
    """The ring is whole: what the other one writes arrives, and all is equal."""
    assert ring_is_whole(x), x.db2.status()
    x.db1.script("SET GLOBAL read_only=0; INSERT INTO shop.t (v) VALUES ('from the other one'); SET GLOBAL read_only=1")
    x.lab.until("it arrives", lambda: x.db2.one("SELECT COUNT(*) FROM shop.t WHERE v LIKE 'from%'") == 1)
    x.check()


def report_of(x):
    return json.loads(x.lab.manager.run(["mhactl", "report", "--json", "app1"]).out)["report"]


@pytest.mark.parametrize("starts", ["by itself", "not"])
def test_ring_is_closed_again(lab, flavour, mode, starts):
    """The old master may follow the new one as soon as it is back: then its GTIDs alone prove that nothing is its own."""
    x = pair(lab, flavour, mode).fail_over(**({} if starts == "by itself" else {"skip_slave_start": True}))
    assert not x.db2.status() and "mhactl rejoin db1 closes the ring, too" in report_of(x)
    proven = mode == "gtid" or starts == "not"
    x.db1.set(read_only=1)
    if starts == "by itself":
        lab.until("it follows", lambda: x.db1.replicating())
    r = x.rejoin(rc=0 if proven else 10)
    if proven:
        goes_round(x)
        assert x.rejoin().json["already"]
    else:
        assert "stays open" in r.out + r.err and not x.db2.status(), str(r)


@pytest.mark.slow
def test_nothing_of_its_own_comes_through(lab, flavour, mode):
    """It took writes before it was closed: the ring stays open, and the new master has none of them."""
    x = pair(lab, flavour, mode).fail_over()
    lab.until("it follows", lambda: x.db1.replicating())
    x.db1.sql("CREATE DATABASE odd")
    x.db1.set(read_only=1)
    r = x.rejoin(rc=10)
    assert "stays open" in r.out + r.err and not x.db2.status(), str(r)
    assert not x.db2.sql("SHOW DATABASES LIKE 'odd'")


@pytest.mark.slow
@pytest.mark.parametrize("point", ["ring:act", "ring:end", "catch_up:end"])
def test_ring_killed_at(lab, mode, point):
    x = pair(lab, "ma1011", mode).fail_over(skip_slave_start=True)
    x.rejoin(rc=None, env={"MHAD_FAILPOINT": f"{point}=kill"})
    x.rejoin()
    goes_round(x)


@pytest.mark.slow
@pytest.mark.parametrize("marked", [(), ("db1",)])
def test_ring_stays_open(lab, flavour, mode, marked):
    """As without the setting: a person closes it."""
    x = pair(lab, flavour, mode, marked=marked).fail_over(skip_slave_start=True)
    x.rejoin()
    assert not x.db2.status()
    x.check()
    x.lab.manager.run(["mhactl", "ring", "close", "--yes", "--with=db1", f"--conf={x.cluster.conf}"])
    goes_round(x)


@pytest.mark.slow
def test_another_than_the_other_half(lab, flavour, mode):
    """The other half follows the new master like all slaves, the ring stays open, and the report says so."""
    x = pair(lab, flavour, mode)
    x.cluster.write_conf(each={"db1": {"double_master": 1}, "db2": {"double_master": 1, "no_master": 1}})
    x.db1.kill()
    r = lab.manager.run(["masterha_master_switch", "--master_state=dead", f"--conf={x.cluster.conf}",
                         "--dead_master_host=db1", "--dead_master_port=3306", "--interactive=0"], timeout=60)
    assert r.rc == 0 and x.db2.master() is x.db3 and x.db2.replicating() and not x.db3.status(), str(r)
    assert "is open: db3" in report_of(x) and "mhactl switch --to=db2" in report_of(x)
    x.release()
    x.db1.start(skip_slave_start=True)
    x.rejoin()
    assert x.db1.master() is x.db3 and not x.db3.status()


@pytest.mark.slow
@pytest.mark.parametrize("marked", [False, True])
def test_auto_rejoin_closes_the_ring(lab, flavour, mode, marked):
    """mhad has seen the ring: its report tells of it in any case; it is closed only where that is asked for."""
    x = Rejoin(lab, flavour, mode, shape="dual")
    x.mhad = Mhad(lab)
    each = {s: {"double_master": 1} for s in ("db1", "db2")} if marked else {}
    x.mhad.use(x.cluster, mha=True, each=each, auto_rejoin="clean", latest_priority=0)
    x.mhad.start().watching()
    x.db1.kill()
    until("db2 is the master", lambda: x.mhad.status()["master"].startswith("db2"), 20)
    x.mhad.until("healthy", "monitoring", within=15)
    assert ("mhad does so by itself" if marked else "then mhactl ring close --with=db1") in report_of(x)
    rows(x.db2, 10, "after")
    x.release()
    with x.mhad:
        x.db1.start(skip_slave_start=True)
        if marked:
            until("the ring is whole", lambda: ring_is_whole(x), 30)
        until("it is a slave", lambda: x.db1.master() is x.db2 and x.db1.replicating(), 20)
        until("it is told", lambda: any("success" in t for t in told(x, "rejoin")), 10)
        if marked:
            goes_round(x)
        else:
            assert not x.db2.status()
