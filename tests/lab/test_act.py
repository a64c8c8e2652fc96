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
