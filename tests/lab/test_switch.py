# SPDX-License-Identifier: BSD-2-Clause
"""A planned switch: by the command line, with real servers, under load."""
import json
import pathlib
import re
import time

import pytest

from . import validate
from .crowd import Crowd, prepare
from .mhad import Mhad

SCRIPT = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/master_ip_online_change"


class Switch:
    def __init__(self, lab, cluster):
        self.lab, self.cluster, self.conf = lab, cluster, cluster.conf

    def run(self, *args, env=None, timeout=60, yes=True):
        argv = ["mhactl", "switch", f"--conf={self.conf}", "--json", *(["--yes"] if yes else []), *args]
        return self.lab.manager.run(argv, env=env or {}, timeout=timeout)

    def mha(self, *args, **kw):
        argv = ["masterha_master_switch", "--master_state=alive", f"--conf={self.conf}", "--interactive=0", *args]
        return self.lab.manager.run(argv, timeout=60, **kw)

    def journal(self):
        return self.lab.manager.path(f"/var/lib/mhad/{self.cluster.name}/journal")


def start(lab, flavour, mode, servers=3, conf=None, **how):
    cluster = lab.cluster(flavour, servers, mode=mode, **how)
    prepare(cluster[0])
    cluster.caught_up()
    cluster.write_conf(**(conf or {}))
    return Switch(lab, cluster)


def done(result, rc=0):
    assert result.rc == rc, str(result)
    return json.loads(result.out)


def show(record):
    return "\n".join(f"{s['from_ms']:6} {s['ms']:6}  {s['step']} {'' if s['state'] == 'done' else s['state']}"
                     for s in record["timeline"])


def test_under_load(lab, flavour, mode):
    """Many writers, some with SUPER: none loses a row, nobody writes to the old master afterwards."""
    sw = start(lab, flavour, mode)
    db1, db2, db3 = sw.cluster
    with Crowd(lab, [db1, db2]) as load:
        load.wait(100)
        before = time.monotonic()
        record = done(sw.run("--to=db2"))
        since = time.monotonic()
        load.wait(100, server=db2, since=since)
        load.stop()
        print(show(record))
        print(f"SWITCH {flavour} {mode}: refused {record['refused_ms']:.1f} ms, gap {load.gap(before):.1f} ms")
        assert record["result"] == "success" and record["to"].startswith("db2(")
        validate.everything(db2, [db1, db3], load)
        assert not sw.journal().exists()


# ---- what stands against it ---------------------------------------------------------------------
def open_again(sw, load, r, limit_ms=1000):
    """Refused or given back: the old master takes writes, all are as they were."""
    db1, *slaves = sw.cluster
    since = time.monotonic()
    load.wait(30, server=db1, since=since)
    load.stop()
    record = json.loads(r.out) if r.out.strip().startswith("{") else {}
    refused = record.get("refused_ms")
    assert refused is None or refused < limit_ms, record
    assert not int(db1.variable("read_only")) and all(int(s.variable("read_only")) for s in slaves)
    assert not sw.journal().exists(), str(r)
    validate.rows(load, db1)
    return record


def session(server, *statements):
    c = server.connect()
    c.autocommit(False)
    cur = c.cursor()
    for q in statements:
        cur.execute(q)
    return c


def slow_statement(server, sql):
    return server.host.start(["mysql", "-uroot", f"-S{server.sock}", "-e", sql])


REFUSALS = {
    "long update": "long updates",
    "long transaction": "long updates",
    "slave lag": "seconds behind|delay",
    "broken slave": "error",
    "applier stopped": "SQL",
    "receiver stopped": "IO",
    "filters": "filter",
    "not a slave": "is not among the servers",
    "no_master": "no_master",
    "semi-sync without ackers": "semi-sync",
    "another manager": "lock",
}


def mostly_slow(values, *kept):
    return [v if v in kept else pytest.param(v, marks=pytest.mark.slow) for v in values]


@pytest.mark.parametrize("what", mostly_slow(REFUSALS, "long transaction", "slave lag", "filters"))
def test_refused(lab, what):
    """Before writes are stopped, with the reason and what to do."""
    flavour = "my97" if what.startswith("semi") else "ma1011"
    conf = {"each": {"db2": {"no_master": 1}}} if what == "no_master" else {}
    options = {"replicate_ignore_db": "other"} if what == "filters" else {}
    sw = start(lab, flavour, "gtid", conf=conf)
    db1, db2, db3 = sw.cluster
    keep, to = None, "--to=db2"
    if what == "long update":
        keep = slow_statement(db1, "INSERT INTO labdata.w SELECT 1, SLEEP(30), 1, 'x'")
        time.sleep(2.5)
    elif what == "long transaction":
        keep = session(db1, "INSERT INTO labdata.w VALUES (7, 1, 1, 'x')")
        time.sleep(2.5)
    elif what == "slave lag":
        keep = session(db3, "FLUSH TABLES WITH READ LOCK")
        db1.sql("INSERT INTO labdata.w VALUES (7, 1, 1, 'x')")
        time.sleep(3)
        to = "--seconds_behind_master=1"
    elif what == "broken slave":
        db3.sql("SET GLOBAL read_only=0")
        db3.sql("INSERT INTO labdata.w VALUES (7, 1, 1, 'x')")
        db1.sql("INSERT INTO labdata.w VALUES (7, 1, 1, 'x')")
        db3.sql("SET GLOBAL read_only=1")
        lab.until("it broke", lambda: db3.status()["Slave_SQL_Running"] == "No", 10)
    elif what == "applier stopped":
        db3.stop_slave("SQL_THREAD")
    elif what == "receiver stopped":
        db3.stop_slave("IO_THREAD")
    elif what == "filters":
        db2.stop()
        db2.configure(**options)
        db2.start()
        db2.sql("START SLAVE")
        lab.until("it replicates", db2.replicating, 10)
    elif what == "not a slave":
        to = "--to=db9"
    elif what == "semi-sync without ackers":
        db1.sql("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
        db1.sql("SET GLOBAL rpl_semi_sync_source_enabled=1")
    elif what == "another manager":
        keep = session(db1, "SELECT GET_LOCK('MHA_Master_High_Availability_Monitor', 0)")
    with Crowd(lab, [db1, db2], writers=2) as load:
        if not what.startswith("semi"):
            load.wait(20)
        r = sw.run(to)
        assert r.rc in (2, 5), str(r)
        assert re.search(REFUSALS[what], r.err, re.I), str(r)
        assert "Rejecting updates" not in r.err
        if what.startswith("semi"):
            assert not int(db1.variable("read_only"))
        else:
            open_again(sw, load, r)
    if hasattr(keep, "close"):
        keep.close()


@pytest.mark.parametrize("what", mostly_slow(["tables locked", "long select", "applier blocked"], "tables locked", "long select"))
def test_given_back(lab, flavour, what):
    """What only shows when writes are stopped gives them back in under a second."""
    sw = start(lab, flavour, "gtid")
    db1, db2, _ = sw.cluster
    env = {}
    with Crowd(lab, [db1, db2], writers=4) as load:
        load.wait(20)
        if what == "tables locked":
            db1.sql("CREATE TABLE labdata.other (id INT) ENGINE=InnoDB")
            keep = session(db1, "LOCK TABLES labdata.other WRITE")
        elif what == "long select":
            keep = slow_statement(db1, "SELECT SLEEP(30) FROM labdata.w LIMIT 1")
            lab.until("it runs", lambda: db1.one("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'"), 5)
        else:
            # The new master's applier is stopped by somebody just then.
            keep = None
            env = {"MHAD_FAILPOINT": "level:act=error"}
        r = sw.run("--to=db2", env=env)
        if r.rc == 0:
            # This server stops writers without waiting for that.
            assert what != "applier blocked"
            return
        assert r.rc == 1, str(r)
        record = open_again(sw, load, r)
        print(f"GIVEN BACK {flavour} {what}: {record['refused_ms']} ms, {record['result']}")
        assert record["result"] in ("undone", "failed") and record["error"], record
        del keep


# ---- killed -------------------------------------------------------------------------------------
STEPS = ("look_back read check elect lock flush sessions hosts prepare near stop_hook freeze level open start_hook clear detach "
         "slaves release orig role cleanup").split()
BEFORE = STEPS[:STEPS.index("open")]
HOOK = 'echo "$*" >>/var/tmp/hooks\n'


def killed_and_ended(lab, flavour, mode, point, guard):
    """Never two writable masters; with a guard it ends by itself, without one by the same command."""
    hook = lab.manager.script("/usr/local/bin/online", HOOK)
    sw = start(lab, flavour, mode, conf={"master_ip_online_change_script": hook})
    db1, db2, db3 = sw.cluster
    with Crowd(lab, [db1, db2], writers=4) as load:
        load.wait(20)
        first = sw.run("--to=db2", *(() if guard else ("--no_guard",)), env={"MHAD_FAILPOINT": f"{point}=kill"})
        assert first.rc in (-9, 137), str(first)
        assert sum(not int(s.variable("read_only")) for s in sw.cluster) <= 1
        if guard:
            lab.until("the guard has ended it", lambda: not sw.journal().exists(), 20)
        elif sw.journal().exists():
            ended = sw.run()
            assert ended.rc in (0, 1) and ("is undone" in ended.err or ended.rc == 0), str(ended)
        assert not sw.journal().exists()
        open_now = [s for s in sw.cluster if not int(s.variable("read_only"))]
        assert open_now == [db1 if point.split(":")[0] in BEFORE else db2], str(first)
        if open_now == [db1]:
            load.wait(20, server=db1)
            done(sw.run("--to=db2"))
        load.wait(20, server=db2)
        validate.everything(db2, [db1, db3], load)


@pytest.mark.parametrize("where", ["act", "end"])
@pytest.mark.parametrize("step", STEPS)
def test_switch_killed_at(lab, mode, step, where):
    killed_and_ended(lab, "ma1011", mode, f"{step}:{where}", where == "act")


@pytest.mark.parametrize("point", ["prepare:end", "freeze:act", "freeze:end", "level:end", "open:act", "open:verify", "slaves:act",
                                   "orig:act"])
def test_switch_killed_at_on_all(lab, flavour, mode, point):
    if flavour == "ma1011":
        pytest.skip("has it all in test_switch_killed_at")
    killed_and_ended(lab, flavour, mode, point, mode == "gtid")


# ---- together with others -----------------------------------------------------------------------
def test_under_a_running_mhad(lab):
    """mhad does not take the shut master for dead, and goes on with the new one."""
    cluster = lab.cluster("ma1011", 3)
    prepare(cluster[0])
    cluster.caught_up()
    db1, db2, db3 = cluster
    mhad = Mhad(lab)
    path = mhad.use(cluster, auto_failover=True, fence="best_effort")
    with mhad.start().watching(), Crowd(lab, [db1, db2]) as load:
        load.wait(50)
        r = lab.manager.run(["mhactl", "switch", "--yes", "--json", "--to=db2", f"--conf={path}"], timeout=60,
                            env={"MHAD_FAILPOINT": "level:act=sleep:700"})
        done(r)
        lab.until("it watches db2", lambda: mhad.status()["master"].startswith("db2"), 10)
        mhad.until("healthy", "monitoring")
        assert not mhad.status()["paused"]
        history = [e["what"] for e in mhad.ask("history", cluster="app1")["entries"]]
        assert "switch" in history and "failover" not in history, history
        load.wait(20, server=db2)
        validate.everything(db2, [db1, db3], load)
        # It is on guard again: the new master may die.
        db2.kill()
        lab.until("a slave took over", lambda: not mhad.status()["master"].startswith("db2"), 30)


@pytest.mark.slow
def test_a_pause_of_a_person_stays(lab):
    cluster = lab.cluster("ma1011", 2)
    prepare(cluster[0])
    mhad = Mhad(lab)
    path = mhad.use(cluster)
    with mhad.start().watching():
        mhad.ask("pause", cluster="app1", reason="maintenance")
        done(lab.manager.run(["mhactl", "switch", "--yes", "--json", f"--conf={path}"], timeout=60))
        assert mhad.status()["paused"]["reason"] == "maintenance"


# ---- shapes and roles ---------------------------------------------------------------------------
def test_pair_of_masters(lab, mode):
    """The other one takes the writes; the ring stays, and so it goes back again."""
    cluster = lab.cluster("ma1011", 3, mode=mode, shape="dual",
                          options={"auto_increment_increment": 2})
    db1, db2, db3 = cluster
    prepare(db1)
    cluster.write_conf()
    sw = Switch(lab, cluster)
    for new, old in ((db2, db1), (db1, db2)):
        with Crowd(lab, [db1, db2], writers=4) as load:
            load.wait(20)
            r = sw.run(f"--to={new.name}")
            assert r.rc == 0, str(r)
            load.wait(20, server=new)
            load.stop()
            assert db1.master() is db2 and db2.master() is db1
            assert db3.master() is new
            for s in (old, db3):
                s.caught_up()
            validate.same_data([db1, db2, db3])
            validate.one_writable([db1, db2, db3], new)
            validate.rows(load, new)


@pytest.mark.parametrize("server", mostly_slow(["my97", "ma118"], "my97"))
def test_semisync_follows(lab, server):
    """No commit hangs, and the roles are the other way round afterwards."""
    flavour = server
    sw = start(lab, flavour, "gtid", semisync=True)
    db1, db2, db3 = sw.cluster
    source = "rpl_semi_sync_source_enabled" if flavour == "my97" else "rpl_semi_sync_master_enabled"
    replica = "rpl_semi_sync_replica_enabled" if flavour == "my97" else "rpl_semi_sync_slave_enabled"
    status = "Rpl_semi_sync_source_clients" if flavour == "my97" else "Rpl_semi_sync_master_clients"
    with Crowd(lab, [db1, db2], writers=4) as load:
        load.wait(20)
        record = done(sw.run("--to=db2"))
        load.wait(50, server=db2)
        assert record["refused_ms"] < 500
        assert [int(s.variable(source)) for s in (db1, db2, db3)] == [0, 1, 0]
        assert [int(s.variable(replica)) for s in (db1, db2, db3)] == [1, 0, 1]
        lab.until("both acknowledge", lambda: int(db2.sql(f"SHOW STATUS LIKE '{status}'")[0][1]) == 2, 10)
        validate.everything(db2, [db1, db3], load)


@pytest.mark.slow
def test_events_run_on_one(lab, flavour):
    """Events of the scheduler go over to the new master, and are off on the old one."""
    sw = start(lab, flavour, "gtid")
    db1, db2, db3 = sw.cluster
    for s in sw.cluster:
        s.set(event_scheduler="ON")
    db1.sql("CREATE EVENT labdata.tick ON SCHEDULE EVERY 1 DAY DO SET @a = 1")
    sw.cluster.caught_up()
    done(sw.run("--to=db2"))

    def states():
        return [s.one("SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_NAME='tick'") for s in sw.cluster]
    lab.until("it runs on the new master alone",
              lambda: states()[1] == "ENABLED" and all("DISABLED" in states()[i] for i in (0, 2)), 10)
    assert db1.variable("event_scheduler") == "ON"


# ---- MHA's command ------------------------------------------------------------------------------
def test_as_mha(lab):
    """MHA's defaults, its words, and what its script is called with."""
    hook = lab.manager.script("/usr/local/bin/online", 'for a; do printf "<%s>" "$a"; done >>/var/tmp/hooks; echo >>/var/tmp/hooks\n')
    sw = start(lab, "ma1011", "pos", conf={"master_ip_online_change_script": hook})
    db1, db2, db3 = sw.cluster
    check = sw.mha("--check_only")
    assert check.rc == 0 and "Phase 2" not in check.err, str(check)
    r = sw.mha("--new_master_host=db2", "--remove_orig_master_conf", "--running_updates_limit=5")
    assert r.rc == 0, str(r)
    for line in ("* Phase 1: Configuration Check Phase..", "* Phase 2: Rejecting updates Phase..",
                 "* Switching slaves in parallel..", "* Phase 5: New master cleanup phase..",
                 "Switching master to db2(10.77.0.12:3306) completed successfully."):
        assert line in r.err, line
    validate.follow(db2, [db3])
    assert not db1.master() and int(db1.variable("read_only")) and not int(db2.variable("read_only"))
    assert "db1" not in lab.manager.read(sw.conf)
    stop, begin = lab.manager.read("/var/tmp/hooks").splitlines()
    words = ("<--orig_master_host=db1><--orig_master_ip=10.77.0.11><--orig_master_port=3306><--orig_master_user=mha>"
             "<--new_master_host=db2><--new_master_ip=10.77.0.12><--new_master_port=3306><--new_master_user=mha>"
             "<--orig_master_ssh_user=root><--new_master_ssh_user=root>"
             "<--orig_master_password=mha-pw><--new_master_password=mha-pw>")
    assert stop == "<--command=stop>" + words and begin == "<--command=start>" + words


ANSWERS = {"yes\nyes\nyes\n": 0, "no\nyes\nyes\n": 0, "yes\nno\nno\n": 1, "yes\nyes\nno\n": 1,
           "\nno\nyes\ndb3\nyes\nyes\n": 0}


@pytest.mark.parametrize("answers", mostly_slow(ANSWERS, "\nno\nyes\ndb3\nyes\nyes\n"))
def test_questions(lab, answers):
    """As MHA asks: flush (yes), the switch (no), and whether to do without a script (no)."""
    rc = ANSWERS[answers]
    sw = start(lab, "ma1011", "gtid")
    db1, db2, db3 = sw.cluster
    argv = ["sh", "-c", f"printf '{answers}' | masterha_master_switch --master_state=alive --conf={sw.conf} --orig_master_is_new_slave"]
    r = lab.manager.run([a.replace("\n", "\\n") for a in argv], timeout=60)
    assert r.rc == rc, str(r)
    assert "Is it ok to execute on db1(10.77.0.11:3306)? (YES/no): " in r.out
    assert "Starting master switch from db1(10.77.0.11:3306) to db2(10.77.0.12:3306)? (yes/NO): " in r.out
    new = db1 if rc else db3 if "db3" in answers else db2
    validate.one_writable([db1, db2, db3], new)
    if rc:
        assert "Rejecting updates" not in r.err


@pytest.mark.parametrize("code", mostly_slow([1, 10], 1))
def test_stop_script_fails(lab, code):
    """10 goes on; anything else gives the service address back."""
    hook = lab.manager.script("/usr/local/bin/online", f'echo "$*" >>/var/tmp/hooks\ncase $* in *command=stop*) exit {code} ;; esac\n')
    sw = start(lab, "ma1011", "gtid", conf={"master_ip_online_change_script": hook})
    db1, db2, _ = sw.cluster
    with Crowd(lab, [db1, db2], writers=4) as load:
        load.wait(20)
        r = sw.run("--to=db2")
        calls = lab.manager.read("/var/tmp/hooks").splitlines()
        if code == 10:
            assert r.rc == 0 and len(calls) == 2, str(r)
            return
        assert r.rc == 1, str(r)
        assert "--command=start" in calls[1] and "--orig_master_host=db2" in calls[1] and "--new_master_host=db1" in calls[1]
        open_again(sw, load, r)


def test_address_moves(lab, flavour):
    """The shipped script, as it is: the VIP ends on the new master, and comes back when the switch fails."""
    lab.manager.run(["sh", "-c", "mkdir -p /etc/mhad; printf 'VIP=10.77.0.100/32\\nVIP_DEVICE=eth0\\n' >/etc/mhad/vip.conf"], check=True)
    sw = start(lab, flavour, "gtid", conf={"master_ip_online_change_script": SCRIPT})
    db1, db2, db3 = sw.cluster
    lab.vip.put(db1.host)
    with Crowd(lab, [lab.vip]) as load:
        load.wait(50)
        failed = sw.run("--to=db2", env={"MHAD_FAILPOINT": "level:act=error"})
        assert failed.rc == 1, str(failed)
        load.wait(30, server=db1)
        validate.vip_on(lab, db1.host)
        record = done(sw.run("--to=db2"))
        load.wait(50, server=db2)
        print(f"VIP {flavour}: refused {record['refused_ms']:.1f} ms, moved after {record['moved_ms']:.1f} ms")
        validate.everything(db2, [db1, db3], load, vip=True)


def test_plan(lab):
    sw = start(lab, "ma1011", "gtid")
    r = lab.manager.run(["mhactl", "plan", "switch", "--json", f"--conf={sw.conf}"])
    plan = done(r)
    assert plan["master"].startswith("db1(") and plan["new_master"].startswith("db2(") and not plan["refusal"]
    assert [s["name"] for s in plan["steps"]] == STEPS
    sw.cluster[1].stop_slave("SQL_THREAD")
    r = lab.manager.run(["mhactl", "plan", "switch", f"--conf={sw.conf}"])
    assert r.rc == 5 and "It would be refused" in r.out, str(r)
