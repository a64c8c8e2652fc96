# SPDX-License-Identifier: BSD-2-Clause
"""What stands against a failover: each refusal says why and what overrules it, and leaves the cluster as it was; what
fails later is undone as far as it can be, and the rest is named."""
import json
import re
import time

import pytest

from . import fault, validate
from .flavour import flavour as find_flavour
from .mhad import Mhad
from .test_failover import Failover, count, cut_off, done, rows, start
from .util import LabError, until

LOCK = "MHA_Master_High_Availability_Failover"
# They go on by themselves.
CLOCKS = re.compile("timestamp|pseudo_thread_id|rand_seed|identity|last_insert_id|last_gtid|gtid_seq_no|system_time|uptime"
                    "|innodb_buffer_pool_load|histogram|open_files", re.I)
COUNTERS = {"Seconds_Behind_Master", "Last_IO_Error_Timestamp", "Last_IO_Errno", "Last_IO_Error", "Master_Retry_Count",
            "Slave_SQL_Running_State", "Slave_IO_State", "Relay_Log_Space", "Retried_transactions",
            "Slave_Non_Transactional_Groups", "Connects_Tried", "Slave_IO_Running", "Replicate_Rewrite_DB"}


def face(cluster):
    """All that a refusal must leave alone: variables, threads, positions, the address, marks of fences."""
    def server(s):
        status = {k: str(v) for k, v in s.status().items() if k not in COUNTERS}
        variables = {n: v for n, v in s.sql("SHOW GLOBAL VARIABLES") if not CLOCKS.search(n)}
        receiver = s.sql("SELECT COUNT(*) FROM information_schema.processlist WHERE user='system user'")
        return s.name, status, variables, receiver
    hosts = [h for h in cluster.lab.hosts.values() if h.on]
    return ([server(s) for s in cluster if s.running], cluster.lab.vip.holders(),
            [(h.name, sorted(x.name for x in h.path("/run/mhad").glob("*")) if h.path("/run/mhad").exists() else [])
             for h in hosts if h is not cluster.lab.manager])


def differences(a, b, at=""):
    """Where two of them differ, for people."""
    if type(a) is not type(b) or not isinstance(a, (dict, list, tuple)) or (
            isinstance(a, (list, tuple)) and len(a) != len(b)):
        return [] if a == b else [f"{at}: {a!r} -> {b!r}"]
    keys = sorted(set(a) | set(b)) if isinstance(a, dict) else range(len(a))
    get = (lambda x, k: x.get(k)) if isinstance(a, dict) else (lambda x, k: x[k])
    return [d for k in keys for d in differences(get(a, k), get(b, k), f"{at}/{k}")]


def same(before, cluster):
    assert not differences(before, face(cluster))


class Refusals(Failover):
    """A cluster whose master is dead; one command after the other is refused."""

    def refused(self, text, override, *args, conf=None, each=None):
        """Both commands say it, with MHA's and their own exit code; it is in report and history; all is as it was."""
        report = self.lab.manager.script("/usr/local/bin/report", 'echo "$*" >>/var/tmp/reports\n')
        self.cluster.write_conf(report_script=report, each=each, **(conf or {}))
        before, flags = face(self.cluster), [self.flag(x) for x in ("complete", "error")]
        mine = done(self.ctl("failover", "--yes", f"--conf={self.conf}", "--dead_master_host=db1", *args, timeout=60), 5)
        mha = done(self.switch(*args), 1)
        for r in (mine, mha):
            assert text in r.err and override in r.err, str(r)
        record = self.report()
        assert record["result"] == "refused" and text in record["error"]["text"], record
        assert override in record["error"]["hint"], record
        page = done(self.ctl("report", self.cluster.name)).out
        assert text in page and override in page
        assert text in done(self.ctl("history", self.cluster.name, check=False)).out if self.daemon() else True
        same(before, self.cluster)
        assert not self.journal().exists() and [self.flag(x) for x in ("complete", "error")] == flags
        assert not self.lab.manager.path("/var/tmp/reports").exists(), "report_script was called"
        return mine

    def daemon(self):
        return self.lab.manager.path("/run/mhad/control").exists()


def begin(lab, flavour, mode="gtid", servers=3, **how):
    """Relay logs are purged, as servers do by default."""
    fo = start(lab, flavour, mode, servers, **how)
    for s in fo.cluster.slaves:
        s.set(relay_log_purge=1)
    return Refusals(lab, fo.cluster)


def own_transactions(server):
    """Written by a slave itself, and purged from its binlogs."""
    server.set(read_only=0)
    server.sql("CREATE DATABASE only_here")
    server.sql("FLUSH BINARY LOGS")
    server.sql("PURGE BINARY LOGS TO %s", server.position()[0])
    server.set(read_only=1)


# ---- before anything is changed -------------------------------------------------------------------
def test_each_leaves_all_as_it_was(lab, flavour, mode):
    """One after the other on one cluster whose master is dead; in the end it is failed over."""
    fo = begin(lab, flavour, mode)
    db1, db2, db3 = fo.cluster
    lab.vip.put(db1.host)
    rows(db1, 3, "all")
    fo.cluster.caught_up()
    cut_off(db2)
    rows(db1, 3, "most")
    db3.caught_up()
    cut_off(db3)
    rows(db1, 10, "tail", 200)
    db1.kill()

    everywhere = {n: {"no_master": 1} for n in ("db2", "db3")}
    fo.refused("None of slaves can be master.", "no_master", each=everywhere)
    fo.refused("db3(10.77.0.13:3306) cannot become the master: no_master is set", "name another one", "--new_master_host=db3",
               each={"db3": {"no_master": 1}})

    # Loss: known where the disk can be read and is left alone on purpose, unknown where it cannot.
    leave = "--skip_save_master_binlog"
    fo.refused("max_loss=9 would be exceeded: 10 transactions (", "--allow-loss", leave, conf={"max_loss": 9})
    fo.refused("max_loss=1k would be exceeded: 10 transactions (", "--allow-loss", leave, conf={"max_loss": "1k"})
    with fault.sshd_stopped(db1.host):
        for limit in ("0", "1000", "10g"):
            fo.refused(f"max_loss={limit} would be exceeded: the dead master's disk cannot be read", "--allow-loss",
                       conf={"max_loss": limit})

    with db3.connect() as s, s.cursor() as c:
        c.execute(f"SELECT GET_LOCK('{LOCK}', 1)")
        fo.refused(f"lock '{LOCK}' is taken by session", "may be running there")
        c.execute(f"SELECT RELEASE_LOCK('{LOCK}')")

    mark = lab.manager.write(f"{fo.cluster.workdir}/app1.failover.complete", "")
    fo.refused("last failover of app1 was ", "mhactl ack app1")
    lab.manager.remove(mark)
    mark = lab.manager.write(f"{fo.cluster.workdir}/app1.failover.error", "")
    fo.refused("broke off half done", "--ignore_last_failover")
    lab.manager.remove(mark)

    # The one that received most is not there.
    with fault.killed(db3):
        fo.refused("Server db3(10.77.0.13:3306) is dead, but must be alive!", "ignore_fail=1")
    until("db3 is a slave again", lambda: db3.status().get("Slave_SQL_Running") == "Yes")
    db3.stop_slave("IO_THREAD")

    fo.cluster.write_conf(max_loss="0")
    done(fo.switch())
    validate.everything(db3, [db2])
    assert [count(db2, t) for t in ("all", "most", "tail")] == [3, 3, 10]


def test_own_transactions_purged_on_all(lab):
    """MySQL by GTID: whoever became the master, the others would ask for what is gone."""
    fo = begin(lab, "my97")
    db1, db2, db3 = fo.cluster
    for s in (db2, db3):
        own_transactions(s)
    db1.kill()
    fo.refused("all slaves would stop with error 1236", "--force")
    assert "purged transactions of its own" in json.dumps(fo.plan()["refusal"])
    cut = fo.ctl("failover", "--yes", "--force", f"--conf={fo.conf}", "--dead_master_host=db1", timeout=60)
    done(cut, 10)
    assert db2.variable("read_only") == 0 and "db3" in fo.report()["report"]


def test_own_transactions_purged_on_one(lab):
    """The other one becomes the master, and the result is whole but for the one that cannot follow."""
    fo = begin(lab, "my97", conf={"each": {"db2": {"candidate_master": 1}}})
    db1, db2, db3 = fo.cluster
    own_transactions(db2)
    db1.kill()
    done(fo.switch())
    assert fo.report()["new_master"].startswith("db3(")
    assert db2.master() is db3


@pytest.mark.parametrize("what", ["the chosen one", pytest.param("another", marks=pytest.mark.slow)])
def test_another_picture_than_was_agreed_to(lab, what):
    """Between the plan that a person saw and said yes to and the run a server goes away."""
    fo = begin(lab, "ma1011", servers=4, conf={"each": {"db4": {"ignore_fail": 1}, "db2": {"ignore_fail": 1}}})
    db1, db2, db3, db4 = fo.cluster
    db1.kill()
    wait = "printf 'yes\\n'; while [ ! -e /var/tmp/go ]; do sleep 0.05; done; printf 'yes\\n'"
    proc = lab.manager.start(["sh", "-c", f"{{ {wait}; }} | masterha_master_switch --master_state=dead --conf={fo.conf} "
                                          "--dead_master_host=db1"])
    until("the plan was shown", lambda: "Starting master switch from db1(10.77.0.11:3306) to db2" in proc.out, 20)
    (db2 if what == "the chosen one" else db4).kill()
    before = face(fo.cluster)
    lab.manager.write("/var/tmp/go", "")
    r = proc.wait(30)
    if what == "the chosen one":
        done(r, 1)
        assert "db2(10.77.0.12:3306) is not a live slave of the master" in r.err, str(r)
        same(before, fo.cluster)
        assert fo.report()["result"] == "refused"
    else:
        done(r, 10)
        assert db3.master() is db2


# ---- in the middle ----------------------------------------------------------------------------------
def in_the_middle(fo, point, change, *args, rc=1, **conf):
    """The run stands still at that point while `change` is done; its Result."""
    fo.cluster.write_conf(**conf)
    proc = fo.switch(*args, env={"MHAD_FAILPOINT": f"{point}=sleep:2500"}, wait=False)
    step, where = point.split(":")
    began = lambda: fo.journal().exists() and f'"begin":"{step}"' in fo.journal().read_text().replace(" ", "")
    until(f"it is at {step}", began, 20)
    change()
    return done(proc.wait(60), rc)


def undone(fo, before, r, text, *, result="undone", still=()):
    """It broke off, says why, counts as a failure, and all is as it was, but for what is said."""
    assert text in r.err, str(r)
    record = fo.report()
    assert record["result"] == result and text in record["error"]["text"], record
    assert record["error"]["hint"], record
    assert "Got Error so couldn't continue failover from here." in record["report"]
    for line in still:
        assert f"Not undone: {line}" in record["report"], record["report"]
    assert fo.flag("error") and not fo.flag("complete") and not fo.journal().exists()
    same(before, fo.cluster)


@pytest.fixture
def dead(lab, flavour):
    """A star whose master is dead; its last 10 rows are on its disk alone."""
    fo = begin(lab, flavour)
    db1, db2, db3 = fo.cluster
    rows(db1, 5, "all")
    fo.cluster.caught_up()
    db1.kill()
    until("the slaves know", lambda: all(s.status()["Slave_IO_Running"] != "Yes" for s in (db2, db3)))
    return fo


def kill_lock(server):
    holder = server.one(f"SELECT IS_USED_LOCK('{LOCK}')")
    assert holder, "nobody holds the lock"
    server.sql(f"KILL {holder}")


def test_lock_lost_in_the_middle(dead):
    """Its session is killed, and once more with somebody else quicker to take it: all is put back."""
    db1, db2, db3 = dead.cluster
    before = face(dead.cluster)
    r = in_the_middle(dead, "seen:act", lambda: kill_lock(db3))
    undone(dead, before, r, "the failover lock on db3(10.77.0.13:3306) was lost in the middle")
    dead.clear()
    with db3.connect() as s, s.cursor() as c:
        def take():
            kill_lock(db3)
            c.execute(f"SELECT GET_LOCK('{LOCK}', 5)")
        r = in_the_middle(dead, "seen:act", take)
    undone(dead, before, r, "is taken by session")
    dead.clear()
    done(dead.switch())
    validate.everything(db2, [db3])


def test_breaks_off_with_the_new_master_level(lab, flavour, mode):
    """What it was given stays and is named, its applier runs, and the next failover finds it all."""
    fo = begin(lab, flavour, mode, conf={"master_ip_failover_script": lab.manager.script("/usr/local/bin/vip", "exit 0\n")})
    db1, db2, db3 = fo.cluster
    fo.cluster.caught_up()
    cut_off(db2, db3)
    rows(db1, 10, "tail")
    db1.kill()
    r = in_the_middle(fo, "seen:act", lambda: kill_lock(db3), master_ip_failover_script="/usr/local/bin/vip")
    report = fo.report()["report"]
    assert "Not undone: db2(10.77.0.12:3306) was given 10 transactions that it had not received" in report, report
    assert "Not undone: the service address was taken from db1(10.77.0.11:3306), and nobody has it now" in report, report
    assert fo.report()["result"] == "failed" and fo.flag("error"), str(r)
    assert [s.variable(v) for s in (db2, db3) for v in ("read_only", "relay_log_purge")] == [1, 1, 1, 1]
    assert all(s.status()["Slave_SQL_Running"] == "Yes" and s.status()["Master_Host"] == db1.addr for s in (db2, db3))
    assert not db1.host.path(f"/run/mhad/fence-{db1.port}").exists()
    fo.clear()
    done(fo.switch())
    validate.everything(db2, [db3])
    assert count(db3, "tail") == 10


def test_slave_dies_before_the_freeze(dead):
    """As MHA: a receiver that cannot be stopped ends the failover."""
    db1, db2, db3 = dead.cluster
    before = face(dead.cluster)
    r = in_the_middle(dead, "elect:act", db3.kill)
    assert "Stopping IO thread failed." in dead.report()["report"]
    assert "the receiver of db3(10.77.0.13:3306) could not be stopped" in r.err
    assert not differences(before[0][:1], face(dead.cluster)[0])
    db3.start()
    until("db3 is a slave again", lambda: db3.status().get("Slave_SQL_Running") == "Yes")
    dead.clear()
    r = in_the_middle(dead, "elect:act", db3.kill, rc=10, each={"db3": {"ignore_fail": 1}})
    assert db2.variable("read_only") == 0


@pytest.mark.slow
@pytest.mark.parametrize("disk", [False, True], ids=["no disk", "disk"])
def test_slave_dies_after_the_freeze(lab, disk):
    """It may have what nobody else has, unless the dead master's disk has it all."""
    fo = begin(lab, "ma1011")
    db1, db2, db3 = fo.cluster
    db1.kill() if disk else db1.host.off()
    before = face(fo.cluster)[0][:1]
    r = in_the_middle(fo, "latest:act", db3.kill, rc=10 if disk else 1)
    if disk:
        assert db2.variable("read_only") == 0 and fo.report()["result"] == "partial"
        return
    assert "db3(10.77.0.13:3306) went away in the middle of the failover: it may have" in r.err
    assert db2.variable("read_only") == 1 and db2.variable("relay_log_purge") == 1
    until("db2 receives again", lambda: db2.status()["Slave_IO_Running"] != "No")
    assert not differences(before, face(fo.cluster)[0][:1])


# ---- mhad --------------------------------------------------------------------------------------------
def acting(lab, cluster, **settings):
    mhad = Mhad(lab)
    mhad.use(cluster, **{"auto_failover": True, "fence": "best_effort", "latest_priority": False, **settings})
    return mhad.start().watching()


def blocked(mhad, gate, text, hint):
    """It is in `why`, in `status` and, if it was tried, in the history and the report."""
    why = mhad.until(state="blocked", within=25)
    blocking = {g["name"]: g for g in why["gates"] if g["blocks"]}
    assert gate in blocking, mhad.tell()
    assert text in blocking[gate]["text"] and hint in (blocking[gate]["hint"] or ""), blocking
    r = mhad.host.run(["mhactl", "why", "app1"])
    assert r.rc == 0 and text in r.out, r
    assert text in mhad.status()["gate"], mhad.status()
    if gate == "refused":
        assert text in mhad.host.run(["mhactl", "report", "app1"]).out
        assert text in mhad.host.run(["mhactl", "history", "app1"]).out


@pytest.mark.parametrize("first", ["together", pytest.param("the acker first", marks=pytest.mark.slow)])
def test_the_only_acker_is_gone_too(lab, flavour, first):
    """Semi-sync was on: what was acknowledged is on a server that nobody can ask."""
    if not find_flavour(flavour).semisync:
        pytest.skip("no such plug-in")
    cluster = lab.cluster(flavour, 3, semisync=True)
    db1, db2, db3 = cluster
    replica = "replica" if flavour == "my97" else "slave"
    db3.stop_slave("IO_THREAD")
    db3.set(**{f"rpl_semi_sync_{replica}_enabled": 0})
    db3.start_slave("IO_THREAD")
    mhad = Mhad(lab)
    mhad.use(cluster, mha=True, detection="corroborated", each={"db2": {"ignore_fail": 1}})
    with mhad.start().watching():
        before = face(cluster)[0][2:]
        until("acknowledgements were seen", lambda: db1.one("SELECT 1") == 1)
        time.sleep(2.5)  # semi-sync is asked for every replica_interval
        db2.kill()
        if first != "together":
            time.sleep(3)
        db1.host.off()
        blocked(mhad, "refused", "waited for semi-sync acknowledgements, and no slave that gives them is left", "--force")
        assert not differences(before, face(cluster)[0][-1:])


@pytest.mark.slow
def test_a_slave_silent_since_the_same_moment(lab):
    """Host off together with the master's: it may follow it on the other side of a cut."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, db3 = cluster
    with acting(lab, cluster) as mhad:
        before = face(cluster)[0][1:2]
        db1.host.off(), db3.host.off()
        why = mhad.until("split_view", within=20)
        assert "db3" in why["why"], why["why"]
        until("it is said why not", lambda: "split_view" in (mhad.status()["gate"] or ""), 5)
        r = mhad.host.run(["mhactl", "failover", "--yes", "/etc/mhad/clusters.d/app1.conf", "--dead_master_host=db1"], timeout=60)
        assert r.rc == 5 and "Server db3(10.77.0.13:3306) is dead, but must be alive!" in r.err, r
        assert not differences(before, face(cluster)[0][:1])
        r = mhad.host.run(["mhactl", "failover", "--yes", "--force", "/etc/mhad/clusters.d/app1.conf",
                           "--dead_master_host=db1"], timeout=60)
        assert r.rc == 10 and db2.variable("read_only") == 0, r


def test_too_soon_after_another(lab):
    """mhad waits, names the mark, and goes on when a person lifts it."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, db3 = cluster
    lab.manager.path(cluster.workdir).mkdir(parents=True, exist_ok=True)
    lab.manager.write(f"{cluster.workdir}/app1.failover.complete", "")
    with acting(lab, cluster) as mhad:
        before = face(cluster)[0][1:]
        db1.kill()
        blocked(mhad, "recent", "last failover of app1 was ", "mhactl ack app1")
        assert not differences(before, face(cluster)[0])
        r = mhad.host.run(["mhactl", "ack", "app1", "--reason=looked at it"])
        assert r.rc == 0, r
        until("db2 is the master", lambda: mhad.status()["master"].startswith("db2"), 20)
        validate.everything(db2, [db3])
