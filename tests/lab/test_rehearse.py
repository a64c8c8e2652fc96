# SPDX-License-Identifier: BSD-2-Clause
"""A failover is rehearsed: by order and by the clock, it changes nothing, and what got worse is told."""
import json
import time

import pytest

from . import fault
from .mhad import Mhad
from .util import until

HOOK = """#!/bin/sh
echo "$@" >> /tmp/hook.log
case "$*" in *--command=status*) [ ! -e /tmp/broken ] || { echo "no route to the switch" >&2; exit 1; } ;; esac
exit 0
"""
REPORT = """#!/bin/sh
printf '%s\\n' "$@" >> /tmp/reports
[ ! -e /tmp/hang ] || sleep 30
[ ! -e /tmp/failing ] || exit 3
"""


FEW = ["ma1011", *(pytest.param(f, marks=pytest.mark.slow) for f in ("my97", "my56", "ma118"))]


def watched(lab, cluster, **settings):
    mhad = Mhad(lab)
    lab.manager.write("/usr/local/bin/vip", HOOK, 0o755)
    lab.manager.write("/usr/local/bin/report", REPORT, 0o755)
    mhad.use(cluster, **{"master_ip_failover_script": "/usr/local/bin/vip", "report_script": "/usr/local/bin/report",
                         "latest_priority": False, **settings})
    return mhad.start().watching()


def rehearse(lab):
    return json.loads(lab.manager.run(["mhactl", "rehearse", "--json", "app1"], timeout=60).out)


def texts(result, code):
    return [p["text"] for p in result["problems"] if p["code"] == code]


def rehearsals(mhad):
    return [e["text"] for e in mhad.ask("history", cluster="app1")["entries"] if e["what"] == "rehearsal"]


def reports(lab):
    file = lab.manager.path("/tmp/reports")
    return file.read_text() if file.exists() else ""


@pytest.mark.parametrize("name", FEW)
def test_by_order(lab, name):
    """Ready; then a hook and SSH to a host break: told once, as worse; and as better when they are mended."""
    db1, db2, db3 = cluster = lab.cluster(name, 3)
    with watched(lab, cluster) as mhad:
        state = lambda: [(s.variable("read_only"), s.variable("server_id")) for s in cluster] + \
            [(s.status()["Slave_IO_Running"], s.status()["Slave_SQL_Running"]) for s in (db2, db3)]
        was, log = state(), len(mhad.proc.err)
        first = rehearse(lab)
        assert first["result"] != "refused" and first["new_master"].startswith("db2") and first["lost"] == "", first
        assert "error" not in {p["severity"] for p in first["problems"]} and first["worse"] == [], first
        assert set(first["expected"]) == {"detect_ms", "look_ms", "hooks_ms", "apply_ms"}
        assert first["expected_ms"] == sum(first["expected"].values()) >= 1000
        assert state() == was
        assert "New master is" not in mhad.proc.err[log:] and "failover." not in mhad.proc.err[log:], mhad.proc.err[log:]
        lab.manager.write("/tmp/broken", "")
        with fault.sshd_stopped(db3.host, sessions=False):
            second = rehearse(lab)
            assert "no route to the switch" in texts(second, "hook-failed")[0], second
            assert "db3" in texts(second, "ssh-unreachable")[0], second
            assert len(second["worse"]) == 2 and second["result"] == "warnings", second
            assert rehearse(lab)["worse"] == [], "the same is told once"
        until("the report was sent", lambda: "--subject=app1: the rehearsal of a failover is worse" in reports(lab), 5)
        assert mhad.proc.err.count("rehearsal: ") >= 3 and "returned exit status 1 (--command=status): no route to the switch" in mhad.proc.err
        mhad.host.run(["rm", "/tmp/broken"], check=True)
        assert len(rehearse(lab)["better"]) == 2
        assert [t.split(":")[0] for t in rehearsals(mhad)] == ["worse", "better"], rehearsals(mhad)
        text = lab.manager.run(["mhactl", "rehearse", "app1"])
        assert "New master: db2" in text.out and "Time without writes: at least" in text.out, str(text)
        assert "rehearsed " in lab.manager.run(["mhactl", "status", "app1"]).out
        calls = mhad.host.path("/tmp/hook.log").read_text().splitlines()
        assert len(calls) == 5 and all("--command=status" in c for c in calls), calls


def test_refused_and_broken_off(lab):
    """A refusal is an alarm; a cluster that is not well is not rehearsed, and one that falls ill meanwhile no more."""
    db1, db2, db3 = cluster = lab.cluster("my97", 3)
    with watched(lab, cluster, report_on="end") as mhad:
        rehearse(lab)
        db3.kill()
        bad = lab.manager.run(["mhactl", "rehearse", "app1"], timeout=60)
        assert bad.rc == 5 and "Server db3" in bad.out, str(bad)
        until("it is an alarm", lambda: "a failover would be refused" in mhad.proc.err, 5)
        db3.start()
        mhad.ask("pause", cluster="app1", reason="work")
        no = lab.manager.run(["mhactl", "rehearse", "app1"], timeout=60)
        assert no.rc == 1 and "it is paused" in no.err, str(no)
        mhad.ask("resume", cluster="app1")
        mhad.until("healthy", "monitoring")
        lab.manager.write("/usr/local/bin/vip", HOOK.replace("exit 0", "sleep 3"), 0o755)
        asked = lab.manager.start(["mhactl", "rehearse", "app1"])
        until("it runs", lambda: mhad.status()["rehearsal"]["running"], 5)
        db1.kill()
        r = asked.wait(20)
        assert r.rc == 1 and "broken off" in r.err, str(r)
        assert reports(lab).count("rehearsal") == 0, "report_on is end"


def test_by_the_clock(lab):
    """Its moment passed while mhad was away: it is made up for, once; a cluster that never had one waits for the next."""
    cluster = lab.cluster("ma1011", 2)
    now = time.strftime("%H:%M")
    kept = lambda: json.loads(lab.manager.path("/var/lib/mhad/app1/rehearsal.json").read_text())
    with watched(lab, cluster, rehearse_at=now) as mhad:
        first = rehearse(lab)
        assert kept()["at"] == first["at"] and kept()["by"] == "root"
        mhad.stop()
    lab.manager.write("/var/lib/mhad/app1/rehearsal.json", json.dumps({**first, "at": first["at"] - 86400}))
    with Mhad(lab).start() as mhad:
        until("it was rehearsed", lambda: kept()["by"] == "mhad", 20)
        assert kept()["at"] >= first["at"] and mhad.status()["rehearsal"]["result"] == kept()["result"]
        older = json.loads(lab.manager.path("/var/lib/mhad/app1/rehearsal.1.json").read_text())
        assert older["at"] == first["at"] - 86400
        last = kept()["at"]
        time.sleep(6)
        assert kept()["at"] == last


def subjects(lab):
    return [line.removeprefix("--subject=app1: ") for line in reports(lab).splitlines() if line.startswith("--subject=")]


def new_master(mhad, name):
    until(f"{name} is the master", lambda: mhad.status()["master"].startswith(name), 20)


def test_messages_hold_nothing_up(lab):
    """Each moment of a failover is told; scripts that hang delay no step; what was not sent when mhad was killed is sent later."""
    db1, db2, db3 = cluster = lab.cluster("ma1011", 3)
    left = lambda: list(lab.manager.path("/var/lib/mhad/app1/messages").glob("*.json"))
    with watched(lab, cluster, auto_failover=True, fence="best_effort", hook_timeout=30) as mhad:
        lab.manager.write("/tmp/hang", "")
        since = time.monotonic()
        db1.kill()
        new_master(mhad, "db2")
        took = time.monotonic() - since
        assert took < 10, f"{took:.1f} s"
        until("the first script hangs", lambda: len(subjects(lab)) == 1, 5)
        until("the end is written down", lambda: len(left()) == 2, 10)
        mhad.proc.kill(9)
        mhad.proc.wait(5)
    lab.manager.run(["rm", "/tmp/hang"], check=True)
    with Mhad(lab).start():
        until("all were sent", lambda: not left(), 15)
    said = subjects(lab)
    assert said[0] == said[1] and said[0].startswith("MySQL Master failover db1(") and said[0].endswith(" begins"), said
    assert said[2].endswith(" succeeded") and " to db2(" in said[2] and len(said) == 3, said


def test_one_call_for_a_script_of_mha(lab):
    """A .cnf file's script is called when the failover is over, once, though it fails."""
    db1, db2, db3 = cluster = lab.cluster("ma1011", 3)
    with watched(lab, cluster, mha=True, auto_failover=1, ping_interval=1) as mhad:
        lab.manager.write("/tmp/failing", "")
        db1.kill()
        new_master(mhad, "db2")
        until("the script was called", lambda: subjects(lab), 10)
        until("its failure is told", lambda: "report_script returned exit status 3" in mhad.proc.err, 5)
        mhad.until("healthy", "monitoring")
        time.sleep(2)
        assert len(subjects(lab)) == 1 and subjects(lab)[0].endswith(" succeeded"), subjects(lab)
        assert not list(lab.manager.path("/var/lib/mhad/app1/messages").glob("*.json"))


@pytest.mark.slow
def test_a_script_that_fails_is_called_again(lab):
    """In order: the next message waits for it."""
    cluster = lab.cluster("ma1011", 3)
    with watched(lab, cluster) as mhad:
        rehearse(lab)
        lab.manager.write("/tmp/failing", "")
        lab.manager.write("/tmp/broken", "")
        rehearse(lab)
        until("it failed", lambda: "exit status 3; it will be called again" in mhad.proc.err, 10)
        lab.manager.run(["rm", "/tmp/failing"], check=True)
        until("it was called again", lambda: len(subjects(lab)) == 2, 15)
        until("it is done with", lambda: not list(lab.manager.path("/var/lib/mhad/app1/messages").glob("*.json")), 5)


@pytest.mark.slow
def test_the_end_in_the_middle_of_it(lab):
    """mhad is told to end, and the cluster's file changes, while hooks are asked."""
    cluster = lab.cluster("ma1011", 2)
    with watched(lab, cluster) as mhad:
        lab.manager.write("/usr/local/bin/vip", HOOK.replace("exit 0", "sleep 4"), 0o755)
        asked = lab.manager.start(["mhactl", "rehearse", "app1"])
        until("it runs", lambda: mhad.status()["rehearsal"]["running"], 5)
        mhad.use(cluster, ping_interval="500ms")
        assert mhad.ask("reload")["changed"] == ["app1: changed"]
        r = asked.wait(5)
        assert r.rc == 1 and "broken off" in r.err, str(r)
        mhad.watching()
        lab.manager.write("/usr/local/bin/vip", HOOK.replace("exit 0", "sleep 4"), 0o755)
        mhad.use(cluster, master_ip_failover_script="/usr/local/bin/vip")
        mhad.ask("reload")
        mhad.watching()
        lab.manager.start(["mhactl", "rehearse", "app1"])
        until("it runs", lambda: mhad.status()["rehearsal"]["running"], 5)
        assert mhad.stop(within=8).rc == 0
