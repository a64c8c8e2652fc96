# SPDX-License-Identifier: BSD-2-Clause
"""mhad fails over by itself, goes on with the new master, and closes the old one when it comes back."""
import time

import pytest

from . import validate
from .mhad import Mhad
from .util import until


def acting(lab, cluster, **settings):
    mhad = Mhad(lab)
    mhad.use(cluster, auto_failover=True, fence="best_effort", latest_priority=False, **settings)
    return mhad.start().watching()


def new_master(mhad, name, within=20):
    until(f"{name} is the master", lambda: mhad.status()["master"].startswith(name), within)
    mhad.until("healthy", "monitoring", within=15)


def test_failover_under_load(lab, flavour, mode):
    """kill -9 under load: a slave takes over, all follow, nothing acknowledged is lost."""
    cluster = lab.cluster(flavour, 3, mode=mode)
    db1, db2, db3 = cluster
    vip = lab.manager.script("vip", lab.vip.hook()) if hasattr(lab.vip, "hook") else None
    with acting(lab, cluster, **({"master_ip_failover_script": vip} if vip else {})) as mhad:
        load = lab.writer(db1).wait(50)
        db1.kill()
        since = time.monotonic()
        new_master(mhad, "db2")
        print(f"FAILOVER {flavour} {mode}: healthy again after {time.monotonic() - since:.2f} s")
        load.stop()
        validate.everything(db2, [db3], load, old=db1, since=since)
        assert [e for e in mhad.ask("history", cluster="app1")["entries"] if e["what"] == "failover"]


def test_the_old_master_comes_back(lab):
    """Writable, after the failover: it is closed at once, and said so."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, _ = cluster
    with acting(lab, cluster) as mhad:
        db1.kill()
        new_master(mhad, "db2")
        db1.host.run(["mha-node", "release", f"--port={db1.port}"])
        db1.start()
        until("the old master was made read-only", lambda: db1.variable("read_only") == 1, 10)
        until("it is told", lambda: "the old master db1" in mhad.proc.err, 5)
        assert mhad.status()["master"].startswith("db2")


def test_killed_in_the_middle_and_restarted(lab):
    """mhad dies behind the point of no return: started again, it finishes."""
    cluster = lab.cluster("my97", 3)
    db1, db2, db3 = cluster
    mhad = Mhad(lab)
    mhad.use(cluster, auto_failover=True, fence="best_effort", latest_priority=False)
    mhad.start(env={"MHAD_FAILPOINT": "open:verify=kill"}).watching()
    load = lab.writer(db1).wait(30)
    db1.kill()
    since = time.monotonic()
    until("mhad was killed", lambda: not mhad.proc.running, 20)
    with Mhad(lab).start() as again:
        new_master(again, "db2", 30)
        load.stop()
        validate.everything(db2, [db3], load, old=db1, since=since)


@pytest.mark.parametrize("how", ["a slave is dead", "max_loss"])
def test_refused(lab, how):
    """A refusal leaves the cluster as it was, names why, and is not repeated each second."""
    cluster = lab.cluster("ma1011", 3)
    _, db2, db3 = cluster
    with acting(lab, cluster, max_loss="0") as mhad:
        if how == "a slave is dead":
            db3.kill()
            until("it is seen", lambda: any(r["state"] != "up" for r in mhad.status()["replicas"]), 10)
            cluster.master.kill()
        else:
            cluster.master.host.off()
        mhad.until(state="blocked", within=20)
        blocking = [g for g in mhad.why()["gates"] if g["blocks"]]
        assert {g["name"] for g in blocking} <= {"refused", "topology"} and blocking, mhad.tell()
        assert ("db3" if how == "a slave is dead" else "max_loss=0") in blocking[0]["text"]
        assert db2.status()["Slave_SQL_Running"] == "Yes" and db2.variable("read_only") == 1


@pytest.mark.parametrize("name", ["ma1011", "my97", pytest.param("my56", marks=pytest.mark.slow), pytest.param("ma118", marks=pytest.mark.slow)])
def test_events_that_ran_run_again(lab, name):
    """Those of the scheduler that were on are on on the new master, and no others."""
    cluster = lab.cluster(name, 3)
    db1, db2, db3 = cluster
    db1.script("CREATE DATABASE shop; " + "".join(
        f"CREATE EVENT shop.{e} ON SCHEDULE EVERY 1 DAY {how} DO SET @x = 1; "
        for e, how in (("on1", "ENABLE"), ("off1", "DISABLE"), ("slaves", "DISABLE ON SLAVE"))))
    state = lambda s: {n: v for n, v in s.sql("SELECT event_name, status FROM information_schema.events WHERE event_schema = 'shop'")}
    was = state(db1)
    assert was["on1"] == "ENABLED" and was["off1"] == "DISABLED" and "SIDE" in was["slaves"], was
    cluster.caught_up()
    with acting(lab, cluster) as mhad:
        until("they are known", lambda: "1 events of the scheduler are switched on on db1" in mhad.proc.err, 15)
        db1.kill()
        new_master(mhad, "db2")
        until("the failover is over", lambda: lab.manager.run(["mhactl", "report", "app1"]).rc == 0, 10)
        now = state(db2)
        assert now["on1"] == "ENABLED" and now["off1"] != "ENABLED" and now["slaves"] == was["slaves"], now
        db3.caught_up()
        assert "ENABLED" not in state(db3).values(), state(db3)


def switch(lab, *args, env=None):
    return lab.manager.run(["masterha_master_switch", "--master_state=dead", "--conf=/etc/mhad/clusters.d/app1.conf",
                            "--dead_master_host=db1", "--dead_master_port=3306", "--interactive=0", *args], env=env or {}, timeout=60)


def test_a_command_beside_mhad(lab):
    """mhad watches and may not act: a person's command fails over, mhad goes on with the new master and meets the old one."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, db3 = cluster
    mhad = Mhad(lab)
    mhad.use(cluster, auto_failover=False, fence="best_effort", latest_priority=False)
    with mhad.start().watching():
        db1.kill()
        mhad.until(state="blocked", within=15)
        r = switch(lab)
        assert r.rc == 0 and "completed successfully" in r.err, str(r)
        new_master(mhad, "db2")
        assert not mhad.status().get("paused")
        validate.everything(db2, [db3])
        db1.host.run(["mha-node", "release", f"--port={db1.port}"])
        db1.start()
        until("mhad has closed the old master", lambda: db1.variable("read_only") == 1, 10)


def test_a_command_while_mhad_fails_over(lab):
    """mhad is at it: the command says so and does nothing."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, db3 = cluster
    mhad = Mhad(lab)
    mhad.use(cluster, auto_failover=True, fence="best_effort", latest_priority=False)
    with mhad.start(env={"MHAD_FAILPOINT": "apply:act=sleep:4000"}).watching():
        db1.kill()
        mhad.until(state="failing_over", within=15)
        r = switch(lab)
        assert r.rc == 1 and "mhad is failing app1 over just now" in r.err, str(r)
        new_master(mhad, "db2")
        validate.everything(db2, [db3])


def test_workdir_of_the_command_line(lab):
    """--manager_workdir: status, marks and what was saved are there, and not where the file says."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, db3 = cluster
    db1.script("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)")
    cluster.caught_up()
    for s in (db2, db3):
        s.stop_slave("IO_THREAD")
    db1.sql("INSERT INTO shop.t VALUES (1)")
    db1.kill()
    r = lab.manager.run(["masterha_master_switch", "--master_state=dead", f"--conf={cluster.conf}", "--dead_master_host=db1",
                         "--dead_master_port=3306", "--interactive=0", "--workdir=/var/tmp/elsewhere"], timeout=60)
    assert r.rc == 0, str(r)
    names = sorted(p.name for p in lab.manager.path("/var/tmp/elsewhere").iterdir())
    assert names[0] == "app1.failover.complete" and names[1].startswith("saved_master_binlog_from_db1_3306_"), names
    usual = lab.manager.path(cluster.workdir)
    assert not [p for p in (usual.iterdir() if usual.exists() else []) if p.name.startswith(("app1.failover", "saved_"))]
    assert db2.sql("SELECT id FROM shop.t") == db3.sql("SELECT id FROM shop.t") != ()
