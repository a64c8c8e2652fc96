# SPDX-License-Identifier: BSD-2-Clause
"""A dead master, and the slave that takes over: by the command line, with real servers and what really happens to them."""
import json
import re
import signal
import time

import pytest

from . import fault, validate
from .flavour import flavour as find_flavour
from .util import LabError

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
    fo = start(lab, flavour, mode, conf={"master_ip_failover_script": hook, "latest_priority": 0})
    db1, db2, db3 = fo.cluster
    lab.vip.put(db1.host)
    with lab.writer() as load:
        load.wait(50)
        db1.kill()
        since = time.monotonic()
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


# Each step once, begun and over; flavours and modes take turns.
EVERYWHERE = [(f"{step}:{where}", ("my97", "my56", "ma118")[i % 3], ("gtid", "pos")[(i // 3 + k) % 2])
              for i, step in enumerate(STEPS) for k, where in enumerate(("act", "end"))]


@pytest.mark.slow
@pytest.mark.parametrize("point, flavour, mode", EVERYWHERE, indirect=["flavour", "mode"])
def test_killed_at_each_step_once(lab, flavour, mode, point):
    killed_and_taken_up(scene(lab, flavour, mode), point)


@pytest.mark.parametrize("point", ["diff:act", "diff:end", "apply:act", "slaves:act"])
def test_killed_without_the_disk(lab, flavour, mode, point):
    if mode == "gtid" and point.startswith("diff"):
        pytest.skip("by GTID the new master needs nobody's relay logs here")
    killed_and_taken_up(scene(lab, flavour, mode, disk=False), point, tail=0)


# ---- what stands against it ---------------------------------------------------------------------
def state(servers):
    """What a refusal must leave alone."""
    return [(s.name, s.master(), s.variable("read_only"), s.variable("relay_log_purge"),
             [s.status().get(f"Slave_{x}_Running") for x in ("IO", "SQL")]) for s in servers if s.running]


@pytest.fixture
def dead(lab):
    """A star whose master is dead; its last 10 rows are on its disk alone."""
    fo = start(lab, "ma1011", "gtid")
    db1, db2, db3 = fo.cluster
    rows(db1, 5, "all")
    fo.cluster.caught_up()
    cut_off(db2, db3)
    rows(db1, 10, "tail")
    db1.kill()
    return fo


def refused(fo, text, *args, conf=None, **kw):
    """It says why, changes nothing, marks nothing, and does not call report_script."""
    before = state(fo.cluster)
    report = fo.lab.manager.script("/usr/local/bin/report", 'echo "$*" >>/var/tmp/reports\n')
    fo.cluster.write_conf(report_script=report, **(conf or {}))
    flags = [fo.flag(x) for x in ("complete", "error")]
    r = done(fo.switch(*args, **kw), 1)
    assert text in r.err, str(r)
    assert state(fo.cluster) == before and not fo.journal().exists()
    assert not fo.lab.manager.path("/var/tmp/reports").exists()
    assert [fo.flag(x) for x in ("complete", "error")] == flags
    return r


def test_refuses_a_living_master(lab):
    fo = start(lab, "ma1011", "gtid")
    refused(fo, "is reachable via MySQL")
    assert fo.ctl("failover", "--yes", f"--conf={fo.conf}").rc == 5


def test_refuses_after_a_failover_or_a_failure(dead):
    host = dead.lab.manager
    mark = lambda name: host.write(f"{dead.cluster.workdir}/app1.failover.{name}", "")
    mark("error")
    refused(dead, "failover.error")
    dead.clear()
    mark("complete")
    refused(dead, "Last failover was done at")
    done(dead.switch("--ignore_last_failover"))


def test_refuses_when_too_much_would_be_lost(dead):
    with fault.sshd_stopped(dead.cluster.master.host):
        r = refused(dead, "max_loss=0 would be exceeded", conf={"max_loss": 0})
        assert "--allow-loss" in r.err
        assert dead.plan()["refusal"]["kind"] == "precondition" or dead.plan()["refusal"]
        done(dead.switch("--allow_loss"))
    assert "cannot be read" in dead.report()["lost"]


def test_refuses_without_a_server_that_may(dead):
    refused(dead, "None of slaves can be master.",
            conf={"each": {"db2": {"no_master": 1}, "db3": {"no_master": 1}}})
    refused(dead, "db3", "--new_master_host=db3", conf={"each": {"db3": {"no_master": 1}}})


def test_refuses_when_another_slave_is_dead(dead):
    db1, db2, db3 = dead.cluster
    db3.kill()
    refused(dead, "is dead, but must be alive!")
    dead.cluster.write_conf(each={"db3": {"ignore_fail": 1}})
    done(dead.switch(), 10)
    record = dead.report()
    assert record["result"] == "partial" and "Could not be reachable so couldn't recover." in record["report"]
    assert count(db2, "tail") == 10 and dead.flag("complete")


def test_refuses_while_the_lock_is_held(dead):
    db2 = dead.cluster[1]
    with db2.connect() as s, s.cursor() as c:
        c.execute("SELECT GET_LOCK('MHA_Master_High_Availability_Failover', 1)")
        refused(dead, "MHA_Master_High_Availability_Failover")


def test_two_commands_at_once(dead):
    first = dead.switch(env={"MHAD_FAILPOINT": "freeze:act=sleep:3000"}, wait=False)
    dead.lab.until("it is at work", lambda: dead.journal().exists())
    second = done(dead.switch(), 1)
    assert "another process" in second.err
    done(first.wait(30))


def test_hook_exit_codes(dead):
    """10 goes on; another one stops, and what was done is put back."""
    host = dead.lab.manager
    hook = lambda text: host.script("/usr/local/bin/vip", text)
    dead.cluster.write_conf(master_ip_failover_script=hook("case \"$*\" in *--command=stop*) exit 1;; esac"))
    before = state(dead.cluster)
    r = done(dead.switch(), 1)
    assert dead.flag("error") and "return code 1:0" in r.err and state(dead.cluster) == before
    assert not host.run(["ssh", "-o", "StrictHostKeyChecking=no", "db1", "ls /run/mhad/"]).out.strip(), "the fence is still held"
    hook("exit 10")
    r = done(dead.switch("--ignore_last_failover"))
    assert "Failed to deactivate master IP with return code 10:0. Proceeding." in r.err
    assert count(dead.cluster[1], "tail") == 10


def test_broken_applier_is_set_aside(lab, flavour):
    """A slave that stopped with an error neither blocks nor is chosen; the result says so."""
    fo = start(lab, flavour, "pos", 4)
    db1, db2, db3, db4 = fo.cluster
    db2.set(read_only=0)
    db2.sql("INSERT INTO shop.t (id, v) VALUES (1, 'mine')")
    db2.set(read_only=1)
    rows(db1, 3, "all")
    lab.until("db2's applier has stopped", lambda: db2.status()["Slave_SQL_Running"] == "No")
    db3.caught_up(), db4.caught_up()
    db1.kill()
    r = done(fo.switch(), 10)
    record = fo.report()
    assert record["result"] == "partial" and record["new_master"].startswith("db3("), str(r)
    assert any("db2" in n and "set aside" in n for n in record["notes"])
    validate.everything(db3, [db4])


# ---- files that end badly -----------------------------------------------------------------------
@pytest.mark.parametrize("how", ["in an event", "in a transaction"])
def test_torn_tail(lab, flavour, mode, how):
    """Whole transactions of the dead master's log arrive, the torn one is named."""
    fo = start(lab, flavour, mode)
    db1, db2, db3 = fo.cluster
    fo.cluster.caught_up()
    cut_off(db2, db3)
    rows(db1, 10, "tail")
    whole = db1.position()[1]
    with db1.connect() as s, s.cursor() as c:
        c.execute("BEGIN")
        for i in range(20):
            c.execute("INSERT INTO shop.t (v) VALUES (%s)", (f"torn {i} ".ljust(190, "x"),))
        c.execute("COMMIT")
    db1.kill()
    log = db1.binlogs()[-1]
    size = log.stat().st_size
    with open(log, "r+b") as f:
        f.truncate(size - (3 if how == "in an event" else (size - whole) // 2))
    done(fo.switch())
    record = fo.report()
    validate.everything(db2, [db3])
    assert count(db2, "tail") == 10 and count(db2, "torn") == 0
    assert record["saved"]["transactions"] == 10 and record["saved"]["cut"]["text"], record["saved"]


@pytest.mark.parametrize("disk", ["disk", "no disk"])
def test_log_number_gets_a_digit(lab, disk):
    """.999999 -> .1000000: numbers, not words, say which is newer."""
    fo = start(lab, "ma1011", "pos")
    db1, db2, db3 = fo.cluster
    base = str(db1.path("mysql-bin"))
    for s in (db2, db3):
        s.stop_slave()
    db1.stop()
    old = db1.binlogs()[-1].name
    db1.path(old).rename(base + ".999998")
    index = db1.path("mysql-bin.index")
    index.write_text(index.read_text().replace(old, "mysql-bin.999998"))
    db1.start()
    assert db1.position()[0] == "mysql-bin.999999"
    for s in (db2, db3):
        s.reset_slave()
        s.follow(db1)
    rows(db1, 5, "old")
    fo.cluster.caught_up()
    cut_off(db2)
    db1.sql("FLUSH BINARY LOGS")
    assert db1.position()[0] == "mysql-bin.1000000"
    rows(db1, 5, "new")
    db3.caught_up()
    cut_off(db3)
    rows(db1, 5, "tail")
    db1.kill()
    if disk == "no disk":
        db1.host.off()
    done(fo.switch())
    record = fo.report()
    assert record["new_master"].startswith("db3("), record
    validate.everything(db3, [db2])
    assert [count(db2, t) for t in ("old", "new", "tail")] == [5, 5, 5 if disk == "disk" else 0]


# ---- a person at the terminal -------------------------------------------------------------------
def test_interactive(dead):
    host = dead.lab.manager
    ask = lambda answers: host.run(
        ["sh", "-c", f"printf '{answers}' | masterha_master_switch --master_state=dead --conf={dead.conf} --dead_master_host=db1"])
    before = state(dead.cluster)
    r = done(ask("no\\n"), 1)
    assert "Master db1(10.77.0.11:3306) is dead. Proceed? (yes/NO): " in r.out and "Starting master switch" not in r.out
    assert state(dead.cluster) == before
    r = ask("yes\\nno\\nyes\\ndb3\\nyes\\n")
    assert "Starting master switch from db1(10.77.0.11:3306) to db2(10.77.0.12:3306)? (yes/NO): " in r.out
    assert "Enter new master host name: " in r.out and "Master switch to db3(10.77.0.13:3306). OK? (yes/NO): " in r.out
    done(r)
    db1, db2, db3 = dead.cluster
    validate.everything(db3, [db2])
    assert "Started manual(interactive) failover." in dead.report()["report"]


def test_command_line(lab):
    run = lab.manager.run
    r = done(run(["masterha_master_switch", "--master_state=alive", "--conf=/x"]), 1)
    assert "cannot open /x" in r.err
    assert done(run(["masterha_master_switch", "--conf=/x"]), 1)
    r = done(run(["masterha_master_switch", "--master_state=dead", "--conf=/x"]), 1)
    assert "--dead_master_host=<dead_master_hostname> must be set." in r.out
    assert run(["mhactl", "report", "nobody"]).rc == 1


def test_plan_of_a_living_master_changes_nothing(lab, flavour, mode):
    fo = start(lab, flavour, mode)
    before = state(fo.cluster)
    text = done(fo.ctl("plan", "failover", f"--conf={fo.conf}")).out
    assert "New master: db2(10.77.0.12:3306)" in text and "point of no return" in text
    plan = fo.plan()
    assert plan["refusal"] is None and plan["only_the_master_has"]["transactions"] == 0
    assert [s["name"] for s in plan["steps"]][0] == "read"
    assert state(fo.cluster) == before and not fo.journal().exists()


def test_report_script_and_retries(dead):
    """It is called once, with MHA's arguments; the block of the dead master goes from the file on request."""
    host = dead.lab.manager
    script = host.script("/usr/local/bin/report", 'for a; do echo "$a"; done >>/var/tmp/report.args\n')
    dead.cluster.write_conf(report_script=script)
    done(dead.switch("--remove_dead_master_conf"))
    args = host.read("/var/tmp/report.args")
    assert args.startswith("--orig_master_host=db1\n--new_master_host=db2\n--new_slave_hosts=db3\n"
                           f"--conf={dead.conf}\n--subject=app1: MySQL Master failover db1(10.77.0.11:3306) to "
                           "db2(10.77.0.12:3306) succeeded\n--body=Master db1(10.77.0.11:3306) is down!\n"), args
    assert not re.search(r"(?m)^hostname=db1$", host.read(dead.conf))


# ---- other shapes -------------------------------------------------------------------------------
def test_semisync(lab, flavour, mode):
    """The new master waits for acknowledgements, its slaves give them; 0 acknowledged rows lost without the disk."""
    if not find_flavour(flavour).semisync:
        pytest.skip("no such plug-in")
    fo = start(lab, flavour, mode, semisync=True)
    db1, db2, db3 = fo.cluster
    with lab.writer(db1) as load:
        load.wait(50)
        db1.host.off()
        since = time.monotonic()
        done(fo.switch())
        validate.everything(db2, [db3], load, old=None, since=since)
    source, replica = ("source", "replica") if flavour == "my97" else ("master", "slave")
    assert [int(db2.variable(f"rpl_semi_sync_{x}_enabled")) for x in (source, replica)] == [1, 0]
    assert int(db3.variable(f"rpl_semi_sync_{replica}_enabled")) == 1
    lab.until("it is acknowledged", lambda: db2.sql(f"SHOW STATUS LIKE 'Rpl_semi_sync_{source}_clients'")[0][1] == "1")


@pytest.mark.parametrize("shape", ["tiers", "dual", "onehost", "multisource"])
def test_shapes(lab, mode, shape):
    fo = start(lab, "ma1011", mode, 4, shape=shape)
    db1, db2, *others = fo.cluster
    rows(db1, 10, "all")
    fo.cluster.caught_up()
    db1.kill()
    done(fo.switch())
    record = fo.report()
    print(show(record))
    assert record["new_master"] == f"{db2.host.name}({db2.addr}:{db2.port})", record
    if shape == "tiers":
        below = [s for s in others if s.master() is db2 and s.replicating()]
        assert len(below) == len([s for s in others if s.running]) or all(s.replicating() for s in others)
    for s in others if shape != "multisource" else others[:-1]:
        lab.until(f"{s} has it all", lambda s=s: count(s, "all") == 10)
    db2.sql("INSERT INTO shop.t (v) VALUES ('after 1')")
    for s in others if shape != "multisource" else others[:-1]:
        lab.until(f"{s} goes on", lambda s=s: count(s, "after") == 1)


def test_delayed_slave(lab, flavour, mode):
    """One that is an hour late on purpose is no candidate, follows, and stays late."""
    fo = start(lab, flavour, mode)
    db1, db2, db3 = fo.cluster
    with fault.lagging(db3, 3600):
        rows(db1, 10, "all")
        db2.caught_up()
        db1.kill()
        done(fo.switch())
        assert fo.report()["new_master"].startswith("db2(")
        assert db3.master() is db2 and db3.status()["SQL_Delay"] in (3600, "3600")


# ---- the old master comes back ------------------------------------------------------------------
EARLY = "read confirm check lock count elect".split()
LATE = "vip_off close fence freeze latest save apply seen record detach open vip_on slaves stays cleanup".split()


def comes_back_at(lab, flavour, mode, step):
    """Its server runs again, writable, while the failover waits in front of that step; who writes uses the address."""
    hook = lab.manager.script("/usr/local/bin/vip", HOOK)
    fo = start(lab, flavour, mode, conf={"master_ip_failover_script": hook, "latest_priority": 0})
    db1, db2, db3 = fo.cluster
    lab.vip.put(db1.host)
    load = lab.writer().wait(50)
    db1.kill()
    run = fo.switch(env={"MHAD_FAILPOINT": f"{step}:begin=sleep:4000"}, wait=False)
    steps = [None, *(s for s in STEPS if s != "power_off")]
    before = {steps[steps.index(step) - 1], "vip_off" if step in LATE[1:] else None} - {None}
    has = lambda: fo.journal().read_text().replace(" ", "") if fo.journal().exists() else ""
    lab.until(f"it waits for {step}", lambda: all(f'"end":"{s}"' in has() for s in before), 20)
    db1.host.run(["mha-node", "release", f"--port={db1.port}"])
    try:
        db1.start()
    except LabError:
        assert step in LATE  # it was ended, or our session with it, before we had seen it run
    return fo, load, run, time.monotonic()


def closed_after(lab, flavour, mode, step):
    fo, load, run, back = comes_back_at(lab, flavour, mode, step)
    db1, db2, db3 = fo.cluster
    r = run.wait(60)
    assert r.rc == 0, str(r)
    load.wait(20, server=db2, since=back)
    record = fo.report()
    assert record["result"] == "success", str(r)
    assert any("the old master db1" in n and "is back, and took writes: it was made read-only" in n for n in record["notes"]) or \
        not db1.running, f"{record['notes']}"
    assert not db1.running or db1.variable("read_only") == 1
    # as long as it has the address it may take a write for a moment: such a row is not lost
    validate.everything(db2, [db3], load, old=db1, since=time.monotonic() if step == "vip_off" else back, vip=True)


@pytest.mark.parametrize("step", ["freeze", "slaves"])
def test_the_old_master_comes_back_in_the_middle(lab, step):
    """From the first change on it is closed, at once, and said so."""
    closed_after(lab, "ma1011", "gtid", step)


@pytest.mark.slow
@pytest.mark.parametrize("step", LATE)
def test_the_old_master_comes_back_at(lab, flavour, mode, step):
    closed_after(lab, flavour, mode, step)


def refused_after(lab, flavour, mode, step):
    """As long as nothing was changed it is a living master, and stays one."""
    fo, load, run, back = comes_back_at(lab, flavour, mode, step)
    db1, db2, db3 = fo.cluster
    r = run.wait(60)
    assert r.rc == 1 and ("answers again" in r.err or "is reachable via MySQL" in r.err), str(r)
    load.wait(20, server=db1, since=back)
    validate.everything(db1, [db2, db3], load, vip=True)
    assert not fo.flag("error") and not fo.flag("complete") and not fo.journal().exists()


@pytest.mark.parametrize("step", ["elect"])
def test_the_old_master_is_back_in_time(lab, step):
    refused_after(lab, "my97", "gtid", step)


@pytest.mark.slow
@pytest.mark.parametrize("step", EARLY)
def test_the_old_master_is_back_in_time_at(lab, flavour, mode, step):
    refused_after(lab, flavour, mode, step)


def test_the_old_master_comes_back_after_the_end(lab):
    """Nobody has seen it end, so the command stays for a while, and closes it."""
    fo = start(lab, "ma1011", "gtid")
    db1, db2, db3 = fo.cluster
    db1.kill()
    with fault.sshd_stopped(db1.host):
        run = fo.switch(wait=False)
        lab.until("it stays", lambda: "was not seen to end" in run.err or not run.running, 20)
        since = time.monotonic()
        db1.start()
        lab.until("it is closed", lambda: db1.variable("read_only") == 1, 10)
        lab.until("it is told", lambda: "the old master db1" in run.err, 5)
        assert time.monotonic() - since < 10 and run.running
        run.kill(signal.SIGTERM)
        r = done(run.wait(10))
    assert "took writes" in r.err
    assert "the old master db1" not in fo.report()["report"]
