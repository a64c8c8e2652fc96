# SPDX-License-Identifier: BSD-2-Clause
"""A dead master, and the slave that takes over: by the command line, with real servers and what really happens to them."""
import json
import re
import time

import pytest

from . import fault, validate

HOOK = """
echo "$*" >>/var/tmp/hook.log
for a; do case $a in --command=*) command=${a#*=} ;; --orig_master_host=*) old=${a#*=} ;; --new_master_host=*) new=${a#*=} ;; esac; done
on() { ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=1 "$@"; }
case $command in
stopssh) on root@$old 'mha-node vip --drop --address=10.77.0.100/32 --device=eth0' ;;
start) on root@$new 'mha-node vip --add --address=10.77.0.100/32 --device=eth0' ;;
esac
exit 0
"""


class Failover:
    """One cluster, its commands, and what they left behind."""

    def __init__(self, lab, cluster):
        self.lab, self.cluster, self.conf = lab, cluster, cluster.conf

    def switch(self, *args, dead="db1", env=None, timeout=60, wait=True):
        argv = ["masterha_master_switch", "--master_state=dead", f"--conf={self.conf}", f"--dead_master_host={dead}",
                "--dead_master_port=3306", *args]
        if not any(a.startswith("--interactive") for a in args):
            argv.append("--interactive=0")
        return self.lab.manager.run(argv, env=env or {}, timeout=timeout) if wait else self.lab.manager.start(argv, env=env or {})

    def ctl(self, *args, **kw):
        return self.lab.manager.run(["mhactl", *args], **kw)

    def report(self):
        """The incident that was kept."""
        r = self.ctl("report", "--json", self.cluster.name)
        assert r.rc == 0, str(r)
        return json.loads(r.out)

    def plan(self, *args):
        r = self.ctl("plan", "failover", "--json", f"--conf={self.conf}", *args)
        return json.loads(r.out)

    def journal(self):
        return self.lab.manager.path(f"/var/lib/mhad/{self.cluster.name}/journal")

    def flag(self, name):
        return self.lab.manager.path(f"{self.cluster.workdir}/{self.cluster.name}.failover.{name}").exists()

    def clear(self):
        for name in ("complete", "error"):
            self.lab.manager.path(f"{self.cluster.workdir}/{self.cluster.name}.failover.{name}").unlink(missing_ok=True)


def show(record):
    """The timeline of an incident, one line for each step."""
    return "\n".join(f"{s['from_ms']:6} {s['ms']:6}  {s['step']} {'' if s['state'] == 'done' else s['state']}"
                     for s in record["timeline"])


def start(lab, flavour, mode, servers=3, conf=None, **how):
    cluster = lab.cluster(flavour, servers, mode=mode, **how)
    cluster[0].script("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB")
    cluster.caught_up()
    cluster.write_conf(**(conf or {}))
    return Failover(lab, cluster)


def rows(server, n, tag="row", size=10):
    """So many transactions of one row each."""
    with server.connect(read_timeout=60) as s, s.cursor() as c:
        for i in range(n):
            c.execute("INSERT INTO shop.t (v) VALUES (%s)", (f"{tag} {i} ".ljust(size, "x"),))


def count(server, tag="row"):
    return server.one("SELECT COUNT(*) FROM shop.t WHERE v LIKE %s", tag + " %")


def cut_off(*slaves):
    for s in slaves:
        s.stop_slave("IO_THREAD")


def done(result, rc=0):
    assert result.rc == rc, str(result)
    return result


# ---- it works -----------------------------------------------------------------------------------
def test_killed_under_load(lab, flavour, mode):
    """kill -9 in the middle of writes, the VIP moved by a hook: nothing acknowledged is lost."""
    hook = lab.manager.script("/usr/local/bin/vip", HOOK)
    fo = start(lab, flavour, mode, conf={"master_ip_failover_script": hook})
    db1, db2, db3 = fo.cluster
    lab.vip.put(db1.host)
    with lab.writer() as load:
        load.wait(50)
        since = time.monotonic()
        db1.kill()
        r = done(fo.switch())
        load.wait(20, server=db2, since=since)
        record = fo.report()
        print(show(record))
        assert record["result"] == "success" and record["fenced"] == "fenced" and record["new_master"].startswith("db2(")
        validate.everything(db2, [db3], load, old=db1, since=since, vip=True)
    assert "Master failover to db2(10.77.0.12:3306) completed successfully." in r.err
    assert fo.flag("complete") and not fo.flag("error") and not fo.journal().exists()


@pytest.mark.parametrize("disk", ["disk", "no disk"])
def test_tail_and_three_points(lab, flavour, mode, disk):
    """Slaves at three different points, 200 rows nobody has received; the best of what can be reached is on all."""
    fo = start(lab, flavour, mode, 4)
    db1, db2, db3, db4 = fo.cluster
    rows(db1, 20, "all")
    fo.cluster.caught_up()
    cut_off(db4)
    rows(db1, 20, "two")
    db2.caught_up(), db3.caught_up()
    cut_off(db2)
    rows(db1, 20, "one")
    db3.caught_up()
    cut_off(db3)
    rows(db1, 200, "none")
    db1.kill()
    if disk == "no disk":
        db1.host.off()
    r = done(fo.switch())
    record = fo.report()
    print(show(record))
    new = db3
    assert record["new_master"].startswith("db3("), record["new_master"]
    kept = 200 if disk == "disk" else 0
    validate.everything(new, [db2, db4])
    assert [count(new, t) for t in ("all", "two", "one", "none")] == [20, 20, 20, kept]
    assert bool(record["lost"]) == (disk == "no disk")
    assert record["fenced"] == ("fenced" if disk == "disk" else "unproven")
    assert "completed successfully" in r.err


def test_newest_is_no_master(lab, flavour, mode):
    """What only the newest slave received is in his relay logs; the dead master's host is gone."""
    fo = start(lab, flavour, mode, 4, conf={"each": {"db3": {"no_master": 1}}})
    db1, db2, db3, db4 = fo.cluster
    rows(db1, 5, "all")
    fo.cluster.caught_up()
    cut_off(db2, db4)
    rows(db1, 50, "newest")
    db3.caught_up()
    db1.host.off()
    done(fo.switch())
    record = fo.report()
    print(show(record))
    assert record["new_master"].startswith("db2(")
    validate.everything(db2, [db3, db4])
    assert count(db2, "newest") == 50


def test_thousand_rows_only_on_its_disk(lab, flavour, mode):
    """All receivers were stopped; 1,000 transactions lie in the dead master's binlog alone."""
    fo = start(lab, flavour, mode)
    db1, db2, db3 = fo.cluster
    rows(db1, 5, "all")
    fo.cluster.caught_up()
    cut_off(db2, db3)
    rows(db1, 1000, "tail")
    plan = fo.plan()
    assert plan["only_the_master_has"]["transactions"] == 1000, plan
    db1.kill()
    done(fo.switch(timeout=100))
    record = fo.report()
    print(show(record))
    validate.everything(db2, [db3])
    assert count(db2, "tail") == 1000 and record["saved"]["transactions"] == 1000


# ---- killed, and taken up -----------------------------------------------------------------------
STEPS = ("read confirm check lock count elect vip_off close fence freeze latest save power_off apply seen record "
         "detach open vip_on slaves stays cleanup").split()
LOG_HOOK = 'echo "$*" >>/var/tmp/hooks\n'


def scene(lab, flavour, mode, disk=True):
    """Three slaves at different points and a tail that nobody has; all steps have something to do."""
    hook = lab.manager.script("/usr/local/bin/vip", LOG_HOOK)
    off = lab.manager.script("/usr/local/bin/power", LOG_HOOK + "exit 10\n")
    fo = start(lab, flavour, mode, 4, conf={"master_ip_failover_script": hook, "shutdown_script": off})
    db1, db2, db3, db4 = fo.cluster
    db4.set(relay_log_purge=1)
    rows(db1, 5, "all")
    fo.cluster.caught_up()
    cut_off(db4)
    rows(db1, 5, "two")
    db2.caught_up(), db3.caught_up()
    cut_off(db2, db3)
    rows(db1, 5, "none")
    db1.kill()
    if not disk:
        db1.host.off()
    return fo


def writable(servers):
    return [s.name for s in servers if s.running and not int(s.variable("read_only"))]


def killed_and_taken_up(fo, point, tail=5):
    db1, db2, db3, db4 = fo.cluster
    first = fo.switch(env={"MHAD_FAILPOINT": f"{point}=kill"})
    assert first.rc in (-9, 137), str(first)
    assert len(writable(fo.cluster)) <= 1
    if not fo.journal().exists():
        assert point.startswith("read:")
    r = done(fo.switch())
    assert not fo.journal().exists() and fo.flag("complete") and not fo.flag("error"), str(r)
    validate.everything(db2, [db3, db4])
    assert [count(db2, t) for t in ("all", "two", "none")] == [5, 5, tail], str(r)
    assert db4.variable("relay_log_purge") == 1 and db3.variable("relay_log_purge") == 0
    assert fo.report()["result"] == "success"
    starts = [l for l in fo.lab.manager.read("/var/tmp/hooks").splitlines() if "--command=start" in l]
    assert 1 <= len(starts) <= 2 and all("--new_master_host=db2" in l for l in starts)
    return r


@pytest.mark.parametrize("where", ["act", "end"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at(lab, mode, step, where):
    killed_and_taken_up(scene(lab, "ma1011", mode), f"{step}:{where}")


@pytest.mark.parametrize("point", ["freeze:act", "save:end", "apply:act", "apply:verify", "record:end", "detach:verify",
                                   "open:verify", "slaves:act", "slaves:verify"])
def test_killed_at_on_all(lab, flavour, mode, point):
    if flavour == "ma1011":
        pytest.skip("has it all in test_killed_at")
    killed_and_taken_up(scene(lab, flavour, mode), point)


@pytest.mark.parametrize("point", ["diff:act", "diff:end", "apply:act", "slaves:act"])
def test_killed_without_the_disk(lab, flavour, mode, point):
    fo = scene(lab, flavour, mode, disk=False)
    if mode == "gtid" and point.startswith("diff"):
        rows_only = fo.cluster[2]  # by GTID the new master needs no other's relay logs here
        assert rows_only
        pytest.skip("nothing to fetch")
    killed_and_taken_up(fo, point, tail=0)
