# SPDX-License-Identifier: BSD-2-Clause
"""Semi-sync: who waits for whom, seen when it falls back, named, and repaired."""
import json
import time

import pytest

from .flavour import flavour as find_flavour
from .mhad import Mhad
from .util import Unavailable

WAITING = ("master", "source")


class Semi:
    """A cluster whose master waits, with names that fit its flavour."""

    def __init__(self, lab, flavour, servers=3, semisync=True, conf=None, **how):
        if not find_flavour(flavour).semisync:
            raise Unavailable(f"{flavour} from this package has no semi-sync plug-ins")
        self.lab, self.cluster = lab, lab.cluster(flavour, servers, semisync=semisync, **how)
        self.mariadb = self.cluster[0].flavour.mariadb
        self.source, self.replica = ("master", "slave") if self.mariadb else ("source", "replica")
        self.cluster[0].script("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB")
        self.cluster.caught_up()
        self.conf = self.cluster.write_conf(**(conf or {}))

    def ctl(self, *args, rc=0, **kw):
        r = self.lab.manager.run(["mhactl", *args, f"--conf={self.conf}"], timeout=60, **kw)
        assert rc is None or r.rc == rc, str(r)
        return r

    def check(self, rc=0):
        return json.loads(self.ctl("check", "semisync", "--json", rc=rc).out)

    def is_on(self, server=None):
        rows = (server or self.cluster[0]).sql(f"SHOW STATUS LIKE 'Rpl_semi_sync_{self.source}_status'")
        return bool(rows) and rows[0][1] == "ON"

    def clients(self, server=None):
        return int((server or self.cluster[0]).sql(f"SHOW STATUS LIKE 'Rpl_semi_sync_{self.source}_clients'")[0][1])

    def set(self, server, side, value):
        server.sql(f"SET GLOBAL rpl_semi_sync_{self.source if side == 'source' else self.replica}_enabled={value}")

    def timeout(self, ms):
        self.cluster[0].sql(f"SET GLOBAL rpl_semi_sync_{self.source}_timeout={ms}")

    def write(self, n=1):
        for _ in range(n):
            self.cluster[0].sql("INSERT INTO shop.t VALUES ()")

    def fall_back(self):
        """The slaves that acknowledge stop receiving, and the timeout passes."""
        self.timeout(300)
        for s in self.cluster.slaves:
            s.stop_slave("IO_THREAD")
        self.write()
        self.lab.until("it has fallen back", lambda: not self.is_on())


@pytest.mark.slow
def test_check(lab, flavour):
    """What is installed and on where, and who acknowledges."""
    s = Semi(lab, flavour)
    lab.until("both acknowledge", lambda: s.clients() == 2)
    seen = s.check()
    master, *slaves = seen["servers"]
    names = ("built-in", "built-in") if s.mariadb else ("rpl_semi_sync_source", "rpl_semi_sync_replica")
    assert seen["ok"] and seen["used"] and not seen["troubles"] and not seen["deeds"]
    assert (master["source_plugin"], master["replica_plugin"]) == names
    assert master["source_on"] and master["ackers"] == 2 and master["wait_count"] == 1
    assert all(x["replica_on"] and not x["source_enabled"] for x in slaves)
    assert "Semi-sync is OK." in s.ctl("check", "semisync").out


def test_fallen_back(lab, flavour):
    """Seen by the running mhad within two intervals, named, and repaired by the plan."""
    s = Semi(lab, flavour)
    mhad = Mhad(lab)
    s.conf = mhad.use(s.cluster, mha=True)
    with mhad.start().watching():
        lab.until("mhad knows of it", lambda: (mhad.status()["semisync"] or {}).get("ackers") == 2)
        s.fall_back()
        since = time.monotonic()
        lab.until("mhad has seen it", lambda: not mhad.status()["semisync"]["ok"], within=5)
        took = time.monotonic() - since
        assert took <= 2.3, f"two intervals of 1 s are over: {took:.2f} s"
        assert "fallen back" in mhad.status()["semisync"]["text"]
        lab.until("it is told", lambda: "semi-sync: the master has fallen back" in mhad.proc.err)
        assert [e for e in mhad.ask("history", cluster="app1")["entries"] if e["what"] == "semisync"]
        status = lab.manager.run(["mhactl", "status", "app1"])
        why = lab.manager.run(["mhactl", "why", "app1"])
        assert status.rc == 1 and "fallen back" in status.out and "fallen back" in why.out, str(status) + str(why)
        seen = s.check(rc=1)
        assert any(t["error"] and "fallen back" in t["text"] for t in seen["troubles"])
        plan = json.loads(s.ctl("plan", "semisync", "--json").out)
        assert [d["deed"] for d in plan["deeds"]] == ["reconnect", "reconnect", "rearm"]
        assert not s.is_on() and s.clients() == 0
        s.ctl("semisync", "repair", "--yes")
        assert s.is_on() and s.clients() == 2 and s.check()["ok"]
        lab.until("mhad has seen that, too", lambda: mhad.status()["semisync"]["ok"], within=5)
        assert mhad.status()["verdict"] == "healthy"
        since = time.monotonic()
        s.write(20)
        assert time.monotonic() - since < 3 and s.is_on()


def test_switched_off_by_hand(lab, flavour):
    """Roles the wrong way round, a slave that connected too early, a wait count that cannot be met: all put right."""
    s = Semi(lab, flavour, servers=4)
    db1, db2, db3, db4 = s.cluster
    lab.until("all acknowledge", lambda: s.clients() == 3)
    s.timeout(500)
    s.set(db2, "replica", 0)
    db2.stop_slave("IO_THREAD")
    s.write()  # an idle master does not notice that somebody has gone
    db2.start_slave("IO_THREAD")
    lab.until("it receives", db2.replicating)
    s.set(db2, "replica", 1)  # it does not register by that
    s.set(db3, "source", 1)
    s.set(db1, "replica", 1)
    if not s.mariadb:
        db1.sql("SET GLOBAL rpl_semi_sync_source_wait_for_replica_count=5")
    lab.until("two are left", lambda: s.clients() == 2)
    seen = s.check(rc=None)
    deeds = {(d["deed"], d["host"][:3]) for d in seen["deeds"]}
    want = {("reconnect", "db2"), ("source-off", "db3"), ("replica-off", "db1")}
    assert deeds == want | (set() if s.mariadb else {("wait-count", "db1")}), seen
    s.ctl("semisync", "repair", "--yes")
    assert s.is_on() and s.clients() == 3
    if not s.mariadb:
        assert db1.variable("rpl_semi_sync_source_wait_for_replica_count") == 3
    assert not s.is_on(db3)
    assert s.ctl("semisync", "repair", "--yes").out.endswith("Semi-sync is OK.\n")


def test_enable(lab, flavour):
    """From nothing: plug-ins, roles, connections; whoever may not be master is left out."""
    s = Semi(lab, flavour, servers=4, semisync=False, conf={"each": {"db4": {"no_master": 1}}})
    assert not s.check()["used"] and "not used" in s.ctl("check", "semisync").out
    s.ctl("semisync", "repair", "--yes", rc=5)
    s.ctl("semisync", "enable", "--yes")
    lab.until("two acknowledge", lambda: s.clients() == 2 and s.is_on())
    assert s.check()["ok"]
    s.write(5)
    assert s.is_on()
    assert s.ctl("semisync", "enable", "--yes").rc == 0


def test_no_slave_can(lab):
    """Its only slave is gone: named, and nothing is made worse."""
    s = Semi(lab, "ma1011", servers=2)
    s.timeout(300)
    s.cluster[1].kill()
    s.write()
    seen = s.check(rc=1)
    assert any("no slave" in t["text"] and t["hint"] for t in seen["troubles"]), seen
    s.ctl("semisync", "repair", "--yes", rc=1)
    assert s.cluster[0].variable("rpl_semi_sync_master_enabled") == 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["gtid", "pos"])
def test_promoted(lab, flavour, mode):
    """After a failover roles are right, and the wait count can be met."""
    s = Semi(lab, flavour, servers=4, mode=mode)
    db1, db2, db3, db4 = s.cluster
    lab.until("all acknowledge", lambda: s.clients() == 3)
    if not s.mariadb:
        for x in s.cluster:
            x.sql("SET GLOBAL rpl_semi_sync_source_wait_for_replica_count=3")
    db1.kill()
    r = lab.manager.run(["masterha_master_switch", "--master_state=dead", f"--conf={s.conf}", "--dead_master_host=db1",
                         "--dead_master_port=3306", "--interactive=0", "--new_master_host=db2"], timeout=60)
    assert r.rc == 0, str(r)
    lab.until("two acknowledge", lambda: s.clients(db2) == 2)
    since = time.monotonic()
    db2.sql("INSERT INTO shop.t VALUES ()")
    assert time.monotonic() - since < 3 and s.is_on(db2)
    if not s.mariadb:
        assert db2.variable("rpl_semi_sync_source_wait_for_replica_count") == 2
