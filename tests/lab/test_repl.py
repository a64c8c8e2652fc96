# SPDX-License-Identifier: BSD-2-Clause
"""What a run does with one server, against real servers that break for real.

build/tools/repl does one thing after the other and prints one line of JSON for each.
"""
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pymysql
import pytest

from . import fault
from .flavour import ACCOUNTS

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")).parent / "tools/repl"
WORKERS = {"my56": "slave_parallel_workers", "my97": "replica_parallel_workers", "ma": "slave_parallel_threads"}
BY = {"position": 0, "auto": 1, "slave_pos": 2, "current_pos": 3}
SLACK = 300  # ms beyond a deadline, on a busy machine

SETUP = """
CREATE DATABASE shop;
CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB;
CREATE TABLE shop.count (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB;
CREATE TABLE shop.big (id INT PRIMARY KEY, b LONGBLOB) ENGINE=InnoDB;
INSERT INTO shop.count VALUES (1, 0)
"""


class Repl:
    """The tool with one server.  Calling it gives one answer for each step, the login left out."""

    def __init__(self, server, channel="-", host=None, env=None):
        self.host = host or server.lab.manager
        self.argv = ["/root/repl-tool", server.addr, server.port, channel]
        self.env = {"DB_PASSWORD": ACCOUNTS["mha"], **(env or {})}
        tool = self.host.path("/root/repl-tool")
        if not tool.exists():
            shutil.copy(TOOL, tool)

    def __call__(self, *steps, timeout=90):
        r = self.host.run([*self.argv, *steps], env=self.env, timeout=timeout)
        assert r.rc in (0, 1) and not r.err, f"{r.rc}\n{r.out}\n{r.err}"
        return lines(r.out)[1:]

    def start(self, *steps):
        return self.host.start([*self.argv, *steps], env=self.env)

    def one(self, *steps, **kw):
        """The answer to the last step; all before it were fine."""
        got = self(*steps, **kw)
        assert len(got) == len([s for s in steps if s[0] != "@"]) and all(x["ok"] for x in got[:-1]), got
        return got[-1]

    def do(self, *steps, **kw):
        """As one(), and that was fine, too."""
        got = self.one(*steps, **kw)
        assert got["ok"], str(got)
        return got


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def refused(got, kind, code=None):
    assert not got["ok"] and got["kind"] == kind, str(got)
    assert code is None or got["code"] == code, str(got)
    return got


def start(lab, flavour, mode, servers=3, **kw):
    cluster = lab.cluster(flavour, servers, mode=mode, **kw)
    cluster[0].script(SETUP)
    cluster.caught_up()
    return cluster


def work(master, count=20):
    with master.connect(read_timeout=60) as s, s.cursor() as c:
        for i in range(count):
            c.execute("BEGIN")
            c.execute(f"INSERT INTO shop.t (v) VALUES ('row {i}'), ('second {i}')")
            c.execute("UPDATE shop.count SET n = n + 1")
            c.execute("COMMIT")


def by_of(server):
    if server.mode == "pos":
        return "position"
    return "slave_pos" if server.flavour.mariadb else "auto"


def to(master, at=None, **more):
    """The argument of follow."""
    file, pos = at or master.position()
    place = f",file={file},pos={pos}" if master.mode == "pos" else ""
    return (f"follow:host={master.addr},port={master.port},by={by_of(master)}{place}"
            + "".join(f",{k}={v}" for k, v in more.items()))


def rows(server):
    return server.sql("SELECT * FROM shop.t ORDER BY id"), server.one("SELECT n FROM shop.count")


def goes_on(master, slave):
    work(master, 3)
    slave.lab.until(f"{slave} has what {master} wrote", lambda: rows(slave) == rows(master))


def options(server, channel=None):
    """All that CHANGE can set and the server shows."""
    st, seen = server.status(channel), {}
    for k in st:
        if any(w in k for w in ("SSL", "Delay", "Retry", "Ignore_Server", "Domain", "Using", "Auto_P", "ublic", "User")):
            seen[k] = st[k]
    if server.flavour.family == "my97":
        for table in ("replication_connection_configuration", "replication_applier_configuration"):
            seen.update(server._named(f"SELECT * FROM performance_schema.{table} WHERE channel_name='{channel or ''}'")[0])
        del seen["HOST"]
    elif server.flavour.mariadb:
        every = server._named("SHOW ALL SLAVES STATUS")
        seen["heartbeat"] = next(r for r in every if r["Connection_name"] == (channel or ""))["Slave_heartbeat_period"]
    else:
        seen.update(server._named("SELECT Heartbeat, Retry_count, Ignored_server_ids, User_password FROM mysql.slave_master_info")[0])
    return {k: v for k, v in seen.items() if k not in ("SQL_Remaining_Delay", "Master_Retry_Count")}


def change(server, text):
    """CHANGE with both threads stopped."""
    f = server.flavour
    server.stop_slave()
    server.sql(f"{f.change} TO {text.replace('%', f.master)}")


# ---- looking ------------------------------------------------------------------------------------
def test_look(lab, flavour, mode):
    """One channel, now; and the server's own place, as it says itself."""
    db1, db2 = start(lab, flavour, mode, 2)
    work(db1)
    db2.caught_up()
    seen, own = Repl(db2)("look", "position")
    st = db2.status()
    assert seen["ok"] and seen["is_replica"] and seen["io"] == "Yes" and seen["sql_running"] and seen["channels"] == 1
    assert (seen["source_host"], seen["source_port"], seen["source_user"]) == (db1.addr, 3306, "repl")
    assert (seen["read_file"], seen["read_pos"]) == (st["Master_Log_File"], int(st["Read_Master_Log_Pos"])) == db1.position()
    assert seen["by"] == BY[by_of(db2)] and seen["delay"] == 0 and seen["heartbeat_ms"] > 0
    assert (own["file"], own["pos"]) == db2.position()
    if mode == "gtid":
        assert own["executed"] == db2.gtids()
    seen = Repl(db1).do("look")
    assert not seen["is_replica"] and seen["source_host"] == "" and seen["channels"] == 0


# ---- the road of a failover -----------------------------------------------------------------------
def test_slaves_of_a_dead_master(lab, flavour, mode):
    """Freeze, apply what is there, detach, open, re-point: each twice, since a run may be taken up again."""
    db1, db2, db3 = start(lab, flavour, mode)
    a, b = Repl(db2), Repl(db3)
    for s in (db2, db3):
        s.stop_slave("SQL_THREAD")
    work(db1, 50)
    lab.until("all is received", lambda: all((s.status()["Master_Log_File"], int(s.status()["Read_Master_Log_Pos"]))
                                             == db1.position() for s in (db2, db3)))
    want = rows(db1)
    db1.kill()
    for r in (a, b):
        r.do("purge:0", "stop_io", "stop_io", "start_sql", "start_sql")
        r.do("@deadline:20000", "wait")
    assert rows(db2) == rows(db3) == want
    got, at = a("stop_sql", "look", "position")[1:]
    assert not got["half"] and (got["exec_file"], got["exec_pos"]) == (got["read_file"], got["read_pos"])
    a.do("forget", "forget", "read_only:0", "read_only:0")
    assert not db2.status() and not db2.variable("read_only")
    got = b.do(to(db2, (at["file"], at["pos"])))
    assert got["ms"] < 3000
    again = b.do(to(db2, (at["file"], at["pos"])))
    assert again["ms"] < 1000
    where = f"_LOG_FILE='{at['file']}', P_LOG_POS={at['pos']}" if mode == "pos" else (
        "_USE_GTID=slave_pos" if db2.flavour.mariadb else "_AUTO_POSITION=1")
    change_to = "CHANGE REPLICATION SOURCE TO" if flavour == "my97" else "CHANGE MASTER TO"
    end = " FOR CHANNEL ''" if flavour == "my97" else ""
    assert got["statement"] == (f"{change_to} P_HOST='{db2.addr}', P_PORT=3306, P{where}{end};"
                                .replace("P_", db2.flavour.master + "_"))
    goes_on(db2, db3)
    assert b.do("following:" + to(db2, (at["file"], at["pos"])).partition(":")[2])["ok"]
    refused(b.one("following:" + to(db1, ("x.000001", 4)).partition(":")[2]), "precondition")


OPTIONS = {
    "my56": "%_HEARTBEAT_PERIOD=3.5, %_DELAY=1, %_RETRY_COUNT=77, %_CONNECT_RETRY=5, IGNORE_SERVER_IDS=(99)",
    "my97": "%_HEARTBEAT_PERIOD=3.5, %_DELAY=1, %_RETRY_COUNT=77, %_CONNECT_RETRY=5, %_TLS_VERSION='TLSv1.3', "
            "%_COMPRESSION_ALGORITHMS='zstd,uncompressed', %_ZSTD_COMPRESSION_LEVEL=7, REQUIRE_ROW_FORMAT=1, "
            "PRIVILEGE_CHECKS_USER='applier'@'localhost', REQUIRE_TABLE_PRIMARY_KEY_CHECK=OFF, %_SSL=1",
    "ma1011": "%_HEARTBEAT_PERIOD=3.5, %_DELAY=1, %_CONNECT_RETRY=5, IGNORE_SERVER_IDS=(99)",
    "ma118": "%_HEARTBEAT_PERIOD=3.5, %_DELAY=1, %_CONNECT_RETRY=5, IGNORE_SERVER_IDS=(99), %_SSL=1, "
             "%_SSL_VERIFY_SERVER_CERT=1",
}
MORE = {("my97", "gtid"): ", GTID_ONLY=1, %_CONNECTION_AUTO_FAILOVER=1", ("my97", "pos"): ", IGNORE_SERVER_IDS=(99)",
        ("ma1011", "gtid"): ", IGNORE_DOMAIN_IDS=(8)", ("ma118", "gtid"): ", IGNORE_DOMAIN_IDS=(8)"}


def test_options_are_carried_over(lab, flavour, mode):
    """Nothing of what the channel is set to gets lost with another source, the heartbeat neither; new credentials are used."""
    db1, db2, db3 = start(lab, flavour, mode)
    if flavour == "my97":
        for s in (db2, db3):
            s.script("SET sql_log_bin=0; CREATE USER applier@localhost;"
                     "GRANT REPLICATION_APPLIER, SESSION_VARIABLES_ADMIN ON *.* TO applier@localhost;"
                     "GRANT ALL ON shop.* TO applier@localhost; SET sql_log_bin=1")
    change(db2, OPTIONS[flavour] + MORE.get((flavour, mode), ""))
    db2.start_slave()
    lab.until("it replicates", db2.replicating)
    before = options(db2)
    assert Repl(db2).do("look")["heartbeat_ms"] == 3500
    Repl(db2).do("@deadline:15000", to(db3))
    assert options(db2) == before
    goes_on_from(db3, db2)
    Repl(db2).do("@deadline:15000", to(db3, user="mha", password="mha-pw"))
    after = options(db2)
    assert {k for k in before if before[k] != after[k]} <= {"Master_User", "USER", "User_password"}
    assert db2.status()["Master_User"] == "mha"


def goes_on_from(master, slave):
    """A row that is written to master itself arrives."""
    master.set(read_only=0)
    master.sql("INSERT INTO shop.t (v) VALUES ('own')")
    slave.lab.until("it arrives", lambda: slave.one("SELECT COUNT(*) FROM shop.t WHERE v='own'") == 1)


def test_new_slave_takes_options_of_another(lab, flavour, mode):
    """A server that was no slave becomes one, with what another slave's channel had."""
    db1, db2, db3 = start(lab, flavour, mode)
    db3.reset_slave()
    Repl(db3).do("@deadline:15000", to(db1, user="repl", password="repl-pw", like_heartbeat=2500, get_public_key=1))
    st = Repl(db3).do("look")
    assert (st["heartbeat_ms"], st["delay"], db3.status()["Connect_Retry"]) == (2500, 1, 7)
    goes_on(db1, db3)


def test_mode_changes(lab, flavour):
    """A GTID slave goes by positions, and back: nothing of the old mode is in the way."""
    db1, db2 = start(lab, flavour, "gtid", 2)
    if flavour == "my97":
        change(db2, "REQUIRE_ROW_FORMAT=1, GTID_ONLY=1")
        db2.start_slave()
    file, pos = db1.position()
    Repl(db2).do("@deadline:15000", f"follow:host={db1.addr},port=3306,by=position,file={file},pos={pos}")
    assert Repl(db2).do("look")["by"] == BY["position"]
    goes_on(db1, db2)
    Repl(db2).do("@deadline:15000", to(db1))
    assert Repl(db2).do("look")["by"] == BY[by_of(db2)]
    goes_on(db1, db2)
    if db1.flavour.mariadb:
        Repl(db2).do("@deadline:15000", f"follow:host={db1.addr},port=3306,by=current_pos")
        assert Repl(db2).do("look")["by"] == BY["current_pos"]


def test_position_after_forgetting(lab):
    """5.6 keeps auto-position over RESET SLAVE ALL: positions are taken all the same."""
    db1, db2 = start(lab, "my56", "gtid", 2)
    Repl(db2).do("forget")
    file, pos = db1.position()
    Repl(db2).do(f"follow:host={db1.addr},port=3306,by=position,file={file},pos={pos},user=repl,password=repl-pw")
    goes_on(db1, db2)


def test_several_sources(lab, flavour, mode):
    """One channel of a multi-source slave gets another source; the other one is not touched."""
    cluster = lab.cluster(flavour, 4, mode=mode, shape="multisource")
    db1, db2, db3, db4 = cluster
    db1.script(SETUP)
    cluster.caught_up()
    other = options(db2, "extra"), db2.status("extra")["Master_Host"]
    mine = Repl(db2, "")
    assert mine.do("look")["channels"] == 2
    mine.do("@deadline:20000", "stop_io", "wait", "stop_sql", "start_sql", "flush", to(db3))
    assert db2.status("")["Master_Host"] == db3.addr
    assert (options(db2, "extra"), db2.status("extra")["Master_Host"]) == other and db2.replicating("extra")
    mine.do("forget")
    assert db2.replicating("extra") and mine.do("look")["is_replica"] == 0
    extra = Repl(db2, "extra")
    assert Repl(db2).do("look")["source_host"] == db4.addr  # the only one by now
    extra.do("stop_io", "stop_sql", "forget")
    assert extra.do("look")["channels"] == 0


def test_old_master_becomes_a_slave(lab, flavour, mode):
    """What it wrote itself is part of the history (MariaDB must be told), so it goes on where the new one began."""
    db1, db2 = start(lab, flavour, mode, 2)
    work(db1)
    db2.caught_up()
    Repl(db2).do("stop_io", "wait", "forget", "read_only:0")
    at = db2.position()
    work(db2, 5)
    Repl(db1).do("read_only:1", "@deadline:15000",
                 to(db2, at, user="repl", password="repl-pw", was_source=1, get_public_key=1))
    goes_on(db2, db1)


# ---- what goes wrong with a source ----------------------------------------------------------------
def test_source_turns_it_away(lab, flavour, mode):
    """A wrong password ends it at once, with the server's number; the right one works afterwards."""
    db1, db2, db3 = start(lab, flavour, mode)
    got = Repl(db2).one("@deadline:20000", to(db3, password="wrong"))
    refused(got, "refused", 1045)
    assert "wrong" not in got["text"] and got["ms"] < 10000
    Repl(db2).do("@deadline:15000", to(db3, password="repl-pw"))
    assert db2.replicating()


def test_source_is_not_there(lab, flavour, mode):
    """A source that is off: the deadline, and why it could not."""
    db1, db2, db3 = start(lab, flavour, mode)
    at = db3.position()
    db3.stop()
    got = Repl(db2).one("@deadline:2500", to(db3, at))
    refused(got, "unreachable", 2003)
    assert got["ms"] < 2500 + SLACK
    db3.start()
    Repl(db2).do("@deadline:15000", to(db3, at))


def test_source_is_silent(lab, flavour, mode):
    """A frozen source: nothing but "still connecting" can be said, and stopping the receiver ends in time, too."""
    db1, db2, db3 = start(lab, flavour, mode)
    at = db3.position()
    with fault.frozen(db3):
        got = Repl(db2).one("@deadline:1500", to(db3, at))
        refused(got, "lost")
        assert got["ms"] < 1500 + SLACK
        got = Repl(db2).one("@deadline:4000", "stop_io")
        if flavour == "ma118":  # it hears of nothing while it waits for the greeting
            refused(got, "lost")
            assert got["ms"] < 4000 + SLACK
        else:
            assert got["ok"] and got["ms"] < (3000 if flavour == "my97" else 1000)  # which looks up every 2 s
    Repl(db2).do("@deadline:20000", to(db3, at))


def test_source_wants_the_key(lab):
    """caching_sha2_password without TLS and key is 2061; with the key asked for it works."""
    db1, db2, db3 = start(lab, "my97", "gtid")
    db3.sql("FLUSH PRIVILEGES")  # nobody's login is remembered there
    change(db2, "SOURCE_SSL=0, GET_SOURCE_PUBLIC_KEY=0")
    got = Repl(db2).one("@deadline:10000", to(db3))
    refused(got, "precondition", 2061)
    assert got["ms"] < 5000
    Repl(db2).do("@deadline:15000", to(db3, get_public_key=1))
    assert options(db2)["GET_PUBLIC_KEY"] == "YES"


def test_source_lacks_what_is_needed(lab, flavour, mode):
    """Purged binlogs, or a place that is not there: 1236, whatever the server calls it."""
    db1, db2, db3 = start(lab, flavour, mode)
    db2.stop_slave()
    work(db1)
    db3.caught_up()
    db3.sql("FLUSH BINARY LOGS")
    last = db3.position()
    lab.until("it is purged", lambda: db3.sql(f"PURGE BINARY LOGS TO '{last[0]}'") is not None
              and db3.sql("SHOW BINARY LOGS")[0][0] == last[0])
    at = ("mysql-bin.000001", 4) if mode == "pos" else None
    got = Repl(db2).one("@deadline:10000", to(db3, at))
    refused(got, "precondition", 1236)
    assert got["ms"] < 3000


# ---- appliers -------------------------------------------------------------------------------------
def test_applier_with_an_error(lab, flavour, mode):
    """What stopped it is named by all who need it running."""
    db1, db2 = start(lab, flavour, mode, 2)
    db2.sql("SET sql_log_bin=0")
    db2.sql("INSERT INTO shop.t (id, v) VALUES (1, 'mine')")
    db2.sql("SET sql_log_bin=1")
    work(db1, 1)
    lab.until("it stumbles", lambda: db2.status()["Slave_SQL_Running"] == "No")
    r = Repl(db2)
    r.do("stop_io")
    got = refused(r.one("wait"), "precondition", 1062)
    assert "Duplicate entry" in got["text"], str(got)
    refused(r("start_sql", "wait")[-1], "precondition", 1062)
    at = r.do("look")
    refused(r.one("@deadline:15000", to(db1, (at["exec_file"], at["exec_pos"]))), "precondition", 1062)


def half_received(master, slave):
    """The link breaks inside of a transaction: its first half stands in the slave's relay log."""
    lab, relay = slave.lab, slave.path(slave.path("relay-bin.index").read_text().split()[-1].rpartition("/")[2])
    before = relay.stat().st_size
    with master.connect(read_timeout=60) as session, session.cursor() as c:
        c.execute("BEGIN")
        for i in range(40):
            c.execute(f"INSERT INTO shop.big (id, b) VALUES ({i}, REPEAT('{i % 10}', 800000))")
        committer = threading.Thread(target=c.execute, args=("COMMIT",))
        committer.start()
        lab.until("half of it is there", lambda: relay.stat().st_size > before + 2_000_000, every=0.001)
        master.freeze()
        slave.stop_slave("IO_THREAD")
        master.thaw()
        committer.join()
    assert relay.stat().st_size < before + 32_000_000


@pytest.mark.parametrize("workers", [0, 4])
def test_half_received(lab, flavour, mode, workers):
    """All whole transactions are applied, the half is known as one, and the applier does not wait a minute for the rest."""
    family = "ma" if flavour.startswith("ma") else flavour
    if flavour == "my56" and workers:
        pytest.skip("5.6's parallel applier takes the minute: test_half_received_and_a_stubborn_applier")
    db1, db2, db3 = start(lab, flavour, mode, 3, options={WORKERS[family]: workers})
    work(db1, 200)
    want = rows(db1)
    half_received(db1, db2)
    r = Repl(db2)
    r.do("@deadline:30000", "wait")
    assert rows(db2) == want
    got = r.do("@deadline:30000", "stop_sql")
    assert got["ms"] < 4000, got
    assert db2.status()["Slave_SQL_Running"] == "No" and rows(db2) == want
    at = r.do("@deadline:10000", "look")
    assert at["half"]
    r.do("@deadline:20000", to(db1, (at["exec_file"], at["exec_pos"])))
    lab.until("it goes on", lambda: db2.one("SELECT COUNT(*) FROM shop.big") == 40)
    goes_on(db1, db2)


@pytest.mark.parametrize("workers", [0, 4])
def test_busy_applier(lab, flavour, mode, workers):
    """A transaction that only takes long is not killed by us: the deadline counts, and nothing gets lost or done twice."""
    family = "ma" if flavour.startswith("ma") else flavour
    db1, db2 = start(lab, flavour, mode, 2, options={WORKERS[family]: workers})
    with db2.connect() as s, s.cursor() as c:
        c.execute("BEGIN")
        c.execute("SELECT n FROM shop.count FOR UPDATE")
        work(db1, 3)
        # InnoDB renews this table only for readers that leave it alone for a tenth of a second.
        lab.until("it waits for the row",
                  lambda: db2.one("SELECT COUNT(*) FROM information_schema.innodb_trx") >= 2, every=0.3)
        r = Repl(db2)
        r.do("stop_io")
        refused(r.one("@deadline:700", "wait"), "lost")
        got = r.one("@deadline:1500", "stop_sql")
        if not got["ok"]:
            refused(got, "lost")
            assert got["ms"] < 1500 + SLACK
        c.execute("ROLLBACK")
    got = Repl(db2, "").do("@deadline:20000", "stop_sql", "look")
    Repl(db2).do("@deadline:20000", to(db1, (got["exec_file"], got["exec_pos"])))
    goes_on(db1, db2)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_half_received_and_a_stubborn_applier(lab, mode):
    """5.6 with workers: nothing helps, it is over within the minute, and the deadline counts before."""
    db1, db2 = start(lab, "my56", mode, 2, options={WORKERS["my56"]: 4})
    half_received(db1, db2)
    r = Repl(db2, "")  # 5.6 says nothing of its replication while it stops
    r.do("wait")
    got = refused(r.one("@deadline:3000", "stop_sql"), "lost")
    assert got["ms"] < 3000 + SLACK
    assert r.do("@deadline:80000", "stop_sql", timeout=100)["ms"] < 62000


def test_what_is_known_to_be_whole(lab, flavour, mode):
    """The end as the relay logs have it: waited for, reached or not."""
    db1, db2 = start(lab, flavour, mode, 2)
    work(db1)
    db2.caught_up()
    file, pos = db1.position()
    end = f"wait:{file}:{pos}" if mode == "pos" else "wait:=" + db1.gtids()
    r = Repl(db2)
    refused(r.one("@deadline:1000", end), "precondition")  # it still receives
    r.do("stop_io", end)
    db2.stop_slave("SQL_THREAD")
    if mode == "gtid":
        r.do(end)
    refused(r.one("wait"), "precondition", 0)


def test_delay(lab, flavour, mode):
    """A delayed slave with unapplied transactions: said at once; without its delay it applies them, its relay logs are kept."""
    db1, db2 = start(lab, flavour, mode, 2)
    change(db2, "%_DELAY=3600")
    db2.start_slave()
    work(db1)
    lab.until("all is received", lambda: (db2.status()["Master_Log_File"], int(db2.status()["Read_Master_Log_Pos"])) == db1.position())
    want = rows(db1)
    db1.kill()
    r = Repl(db2)
    refused(r.one("delay:0"), "precondition")  # it receives
    r.do("stop_io")
    lab.until("it waits", lambda: "Waiting until" in db2.status()["Slave_SQL_Running_State"])
    got = refused(r.one("wait"), "precondition")
    assert got["ms"] < 2000 and "delay of 3600" in got["text"]
    r.do("delay:0", "delay:0", "wait")
    assert rows(db2) == want and r.do("look")["delay"] == 0
    r.do("stop_sql", "delay:7")
    assert r.do("look")["delay"] == 7 and db2.status()["Slave_SQL_Running"] == "No"


@pytest.mark.parametrize("flavour", ["ma1011", "ma118"])
def test_relay_logs_survive_the_start(lab, flavour):
    """MariaDB in GTID mode deletes them when both threads were stopped: not when we start the applier."""
    db1, db2 = start(lab, flavour, "gtid", 2)
    db2.stop_slave("SQL_THREAD")
    work(db1)
    lab.until("all is received", lambda: int(db2.status()["Read_Master_Log_Pos"]) == db1.position()[1])
    want = rows(db1)
    db2.stop_slave("IO_THREAD")
    db1.kill()
    Repl(db2).do("start_sql", "wait")
    assert rows(db2) == want


def test_gaps(lab, mode):
    """5.6's parallel applier, killed in the middle: gaps are filled, and with GTIDs CHANGE does without."""
    db1, db2, db3 = start(lab, "my56", mode, 3, options={"slave_parallel_workers": 4})
    for i in range(4):
        db1.script(f"CREATE DATABASE d{i}; CREATE TABLE d{i}.t (id INT PRIMARY KEY) ENGINE=InnoDB")
    db2.caught_up()
    with db2.connect() as s, s.cursor() as c:
        c.execute("BEGIN")
        c.execute("INSERT INTO d0.t VALUES (1)")  # its worker waits for this
        for i in range(10):
            for d in range(4):
                db1.sql(f"INSERT INTO d{d}.t VALUES ({i + 1})")
        lab.until("the others go on", lambda: db2.one("SELECT COUNT(*) FROM d3.t") == 10)
        db2.kill()
    db2.start(skip_slave_start=True)
    r = Repl(db2)
    if mode == "pos":
        r.do("@deadline:20000", "gaps")
    at = r.do("look")
    r.do("@deadline:20000", to(db1, (at["exec_file"], at["exec_pos"])))
    db2.caught_up()
    assert [db2.one(f"SELECT COUNT(*) FROM d{d}.t") for d in range(4)] == [10] * 4


def test_statements_of_a_client(lab):
    """MariaDB: what a client's session applied counts for gtid_slave_pos, what the server wrote itself does not."""
    db1, db2, db3 = start(lab, "ma1011", "gtid")
    Repl(db2).do("stop_io", "wait", "stop_sql")
    work(db1, 5)
    db3.caught_up()
    # Applied under the source's identity, as statements of a client are.
    seq = int(db2.variable("gtid_slave_pos").split("-")[2])
    with db2.connect() as s, s.cursor() as c:
        for i in range(5):
            c.execute(f"SET gtid_domain_id=0, server_id={db1.variable('server_id')}, gtid_seq_no={seq + 1 + i}")
            c.execute("BEGIN")
            c.execute(f"INSERT INTO shop.t (v) VALUES ('row {i}'), ('second {i}')")
            c.execute("UPDATE shop.count SET n = n + 1")
            c.execute("COMMIT")
        c.execute("SET gtid_domain_id=9, server_id=@@GLOBAL.server_id")
        c.execute("CREATE DATABASE mine")
    assert rows(db2) == rows(db1)
    Repl(db2).do("@deadline:15000", to(db3))
    assert db3.variable("gtid_slave_pos") in db2.variable("gtid_slave_pos").split(",")
    goes_on_from(db3, db2)


# ---- servers that do not answer -------------------------------------------------------------------
STEPS = ("look", "position", "stop_io", "start_io", "stop_sql", "start_sql", "wait", "flush", "purge:1", "forget", "read_only:1",
         "is_read_only", "kill", "lock_tables", "semisync:11", "events", "enable_events", "token:shop", "set_token:shop:1")


def all_stopped(server):
    tasks = Path(f"/proc/{server.pid}/task").iterdir()
    return all((t / "stat").read_text().rpartition(")")[2].split()[0] == "T" for t in tasks)


def test_frozen_server(lab, flavour):
    """Nothing outlives its deadline, and the same session's next step logs in anew when the server is back."""
    db1, db2 = start(lab, flavour, "gtid", 2)
    for step in STEPS:
        run = Repl(db2).start("@tell:/root/there", "@wait:/root/go", "@deadline:400", step, "@tell:/root/done", "@wait:/root/back",
                              "@deadline:5000", "look")
        lab.until("it has logged in", lambda: lab.manager.path("/root/there").exists(), every=0.005)
        with fault.frozen(db2):
            lab.until("all of it stands still", lambda: all_stopped(db2), every=0.002)
            lab.manager.path("/root/go").touch()
            lab.until(f"{step} ends", lambda: lab.manager.path("/root/done").exists(), every=0.005)
        lab.manager.path("/root/back").touch()
        run.wait(20)
        _, got, look = lines(run.out)
        assert not got["ok"] and got["kind"] in ("lost", "unreachable", "precondition"), got
        assert 350 < got["ms"] < 400 + SLACK, got
        assert look["ok"] and look["is_replica"], look
        for f in ("there", "go", "done", "back"):
            lab.manager.path(f"/root/{f}").unlink()


def test_login(lab, flavour):
    """Nobody there; nobody who answers; a wrong password."""
    db1 = lab.cluster(flavour, 1)[0]
    r = Repl(db1)
    run = lambda **env: lines(lab.manager.run(r.argv[:3] + ["-"], env={**r.env, **env}).out)[0]
    refused(run(DB_PASSWORD="wrong"), "refused", 1045)
    with fault.frozen(db1):
        refused(run(), "unreachable")
    db1.kill()
    refused(run(), "unreachable")


def test_session_is_killed(lab, flavour):
    """A session that somebody ends is opened again."""
    db1, db2 = start(lab, flavour, "gtid", 2)
    run = Repl(db2).start("look", "@tell:/root/there", "@wait:/root/go", "look", "stop_io")
    lab.until("it is idle", lambda: lab.manager.path("/root/there").exists(), every=0.005)
    for i, in db2.sql("SELECT id FROM information_schema.processlist WHERE user='mha'"):
        db2.sql(f"KILL {i}")
    lab.manager.path("/root/go").touch()
    assert run.wait(20).rc == 0, run.out


# ---- writes ---------------------------------------------------------------------------------------
def test_read_only(lab, flavour):
    """On is as much as the server can, off is off; both twice."""
    db1 = lab.cluster(flavour, 1)[0]
    r = Repl(db1)
    r.do("read_only:1", "read_only:1")
    got = r.do("is_read_only")
    assert got["on"] and got["super"] == (flavour == "my97")
    with pytest.raises(pymysql.Error):
        db1.login_from(lab.manager, "app").cursor().execute("CREATE TABLE labdata.x (i INT)")
    r.do("read_only:0", "read_only:0")
    got = r.do("is_read_only")
    assert not got["on"] and not got["super"]


@pytest.mark.parametrize("flavour", ["my97", "ma1011", "ma118"])
def test_read_only_and_a_commit_that_waits(lab, flavour):
    """A commit that waits for an acknowledgement that never comes holds it up: the deadline counts."""
    db1, db2 = start(lab, flavour, "gtid", 2, semisync=True)
    db1.set(**{("rpl_semi_sync_source_timeout" if flavour == "my97" else "rpl_semi_sync_master_timeout"): 30000})
    db1.sql("INSERT INTO shop.t (v) VALUES ('acknowledged')")
    db2.stop_slave("IO_THREAD")
    load = db1.login_from(lab.manager, "mha", timeout=60)
    writer = threading.Thread(target=lambda: _quietly(load, "INSERT INTO shop.t (v) VALUES ('waits')"))
    writer.start()
    lab.until("it waits", lambda: "Waiting for semi-sync" in str(db1.sql("SHOW PROCESSLIST")))
    got = Repl(db1).one("@deadline:1500", "read_only:1")
    if not got["ok"]:  # AFTER_COMMIT flavours do not wait
        refused(got, "lost")
    assert got["ms"] < 1500 + SLACK
    if flavour == "my97":
        assert not got["ok"]
    db2.start_slave("IO_THREAD")
    writer.join(40)
    Repl(db1).do("@deadline:10000", "read_only:1")


def _quietly(session, sql):
    try:
        session.cursor().execute(sql)
    except pymysql.Error:
        pass


def test_clients(lab, flavour):
    """Ordinary sessions go; replication, we and who is spared stay."""
    db1, db2 = start(lab, flavour, "gtid", 2)
    db1.forget()
    apps = [db1.login_from(lab.manager, "app") for _ in range(5)]
    spared = db1.login_from(lab.manager, "repl")
    busy = db1.login_from(lab.manager, "app", timeout=60)
    sleeper = threading.Thread(target=lambda: _quietly(busy, "SELECT SLEEP(50)"))
    sleeper.start()
    lab.until("it sleeps", lambda: "SLEEP" in str(db1.sql("SHOW PROCESSLIST")))
    db1.forget()
    got = Repl(db1).do("kill:repl")
    assert got["killed"] == 6 and got["left"] == 0 and got["ms"] < 3000
    sleeper.join(10)
    for c in apps:
        with pytest.raises(pymysql.Error):
            c.cursor().execute("SELECT 1")
    spared.cursor().execute("SELECT 1")
    goes_on(db1, db2)
    assert db2.replicating()
    db1.forget()
    assert Repl(db1).do("kill:repl")["killed"] == 0


def test_table_lock(lab, flavour):
    """Nobody writes while it is held, and it ends with the session."""
    db1 = lab.cluster(flavour, 1)[0]
    db1.script(SETUP)
    c = db1.connect(read_timeout=1)
    run = Repl(db1).start("lock_tables", "lock_tables", "@tell:/root/there", "@wait:/root/go", "unlock_tables", "unlock_tables")
    lab.until("it is locked", lambda: lab.manager.path("/root/there").exists())
    with pytest.raises(pymysql.Error):
        c.cursor().execute("INSERT INTO shop.t (v) VALUES ('x')")
    lab.manager.path("/root/go").touch()
    assert run.wait(20).rc == 0, run.out
    db1.sql("INSERT INTO shop.t (v) VALUES ('y')")
    Repl(db1).do("lock_tables")
    db1.sql("INSERT INTO shop.t (v) VALUES ('z')")


# ---- roles ----------------------------------------------------------------------------------------
def test_semisync(lab, flavour):
    """Both sides, each for itself; a server without the plug-ins is left alone."""
    if flavour == "my56":
        db1 = lab.cluster(flavour, 1)[0]
        r = Repl(db1)
        r.do("semisync:11", "semisync_wait:2")
        got = r.do("is_semisync")
        assert (got["source"], got["replica"]) == ("unknown", "unknown")
        return
    db1, db2 = start(lab, flavour, "gtid", 2, semisync=True)
    r = Repl(db2)
    got = r.do("is_semisync")
    assert (got["source"], got["replica"]) == ("no", "yes")
    r.do("semisync:1-", "semisync:10", "semisync_wait:2", "semisync_wait:2")
    got = r.do("is_semisync")
    assert (got["source"], got["replica"]) == ("yes", "no")
    if flavour == "my97":
        assert db2.variable("rpl_semi_sync_source_wait_for_replica_count") == 2


def test_events(lab, flavour):
    """The master's events sleep on a slave; on the new master they are awake, their owners are the same."""
    db1, db2 = start(lab, flavour, "gtid", 2)
    db1.sql("CREATE DEFINER=app@`%` EVENT shop.tick ON SCHEDULE EVERY 1 DAY DO INSERT INTO shop.t (v) VALUES ('tick')")
    db1.sql("CREATE DEFINER=app@`%` EVENT shop.`od``d` ON SCHEDULE EVERY 1 DAY DO SELECT 1")
    db1.sql("CREATE EVENT shop.off ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1")
    db2.caught_up()
    state = lambda: db2.sql("SELECT event_name, status, definer FROM information_schema.events ORDER BY 1")
    asleep = {s for _, s, _ in state()}  # "off", too: it cannot be told from the others
    assert asleep == {"REPLICA_SIDE_DISABLED" if flavour == "my97" else "SLAVESIDE_DISABLED"}
    r, ran = Repl(db2), Repl(db1).do("events")["names"]
    assert sorted(ran) == ["`shop`.`od``d`", "`shop`.`tick`"]
    if flavour == "my97":
        db2.set(super_read_only=1)
        refused(r.one("enable_events"), "sql", 1290)
    r.do("stop_io", "wait", "forget", "read_only:0")
    for left, name in ((2, ran[0]), (1, ran[1])):
        got = r.do("enable_events:" + name)
        assert (got["n"], got["left"]) == (1, left)
    assert r.do("enable_events:" + ran[0])["n"] == 0
    now = state()
    assert r.do("enable_events")["n"] == 1
    assert [(n, s if n != "off" else "DISABLED", d) for n, s, d in now] == [("od`d", "ENABLED", "app@%"), ("off", "DISABLED", "root@localhost"), ("tick", "ENABLED", "app@%")]


def test_token(lab, flavour):
    """It grows, comes to the slaves, and is never lowered; absent is fine, a read-only server is not written to."""
    db1, db2 = start(lab, flavour, "gtid", 2)
    a, b = Repl(db1), Repl(db2)
    assert a.do("token:shop")["token"] == 0
    a.do("set_token:shop:7", "set_token:shop:7", "set_token:o'ther:3")
    refused(a.one("set_token:shop:6"), "precondition", 1)
    a.do("set_token:shop:8")
    db2.caught_up()
    assert [b.do(f"token:{c}")["token"] for c in ("shop", "o'ther", "none")] == [8, 3, 0]
    gtids = db2.gtids()
    refused(b.one("set_token:shop:9"), "precondition", 0)
    assert db2.gtids() == gtids
    assert a.do("@deadline:5000", "token:shop")["token"] == 8


def test_locks(lab, flavour):
    """One holder, who is named; free when he lets go or his session ends."""
    db1 = lab.cluster(flavour, 1)[0]
    run = Repl(db1).start("lock:0", "@tell:/root/there", "@wait:/root/go", "held")
    lab.until("it is taken", lambda: lab.manager.path("/root/there").exists())
    got = refused(Repl(db1).one("lock:300"), "precondition")
    holder = db1.one("SELECT IS_USED_LOCK('MHA_Master_High_Availability_Failover')")
    assert got["code"] == holder and "mha" in got["text"] and 250 < got["ms"] < 300 + SLACK
    db1.sql(f"KILL {holder}")
    lab.manager.path("/root/go").touch()
    run.wait(20)
    assert not lines(run.out)[-1]["ok"]
    Repl(db1).do("lock:0", "held", "unlock", "lock:0", "held")


def test_relay_logs(lab, flavour, mode):
    """Rotated without a transaction of its own; purging off and on."""
    db1, db2 = start(lab, flavour, mode, 2)
    before, gtids = len(db2.path("relay-bin.index").read_text().split()), db2.gtids() if mode == "gtid" else None
    end = db2.position()
    Repl(db2).do("flush", "purge:1", "purge:0")
    assert len(db2.path("relay-bin.index").read_text().split()) > before and db2.position() == end
    assert mode != "gtid" or db2.gtids() == gtids
    assert db2.variable("relay_log_purge") == 0
