# SPDX-License-Identifier: BSD-2-Clause
"""mhad as a service of many clusters: start, reload, pause, end, and what stands for each cluster.  What it makes of
troubles is in test_verdicts."""
import re
import signal

import pytest

from . import fault
from .mhad import Mhad, native
from .util import until


@pytest.fixture
def star(lab, flavour):
    return lab.cluster(flavour, 3)


def watched(lab, cluster, **settings):
    mhad = Mhad(lab)
    mhad.use(cluster, **settings)
    return mhad.start().watching()


def test_killed_under_load(lab, star):
    """kill -9: the only gate that blocks is that nobody fails over; how soon that is known is measured in test_verdicts."""
    with watched(lab, star) as mhad:
        lab.writer(star.master).wait(50)
        star.master.kill()
        why = mhad.until("process_dead", "blocked", within=5)
        assert [g["name"] for g in why["gates"] if g["blocks"]] == ["manual"]
        assert "Master is down!" in mhad.proc.err
        star.master.start()
        mhad.until("healthy", "monitoring", within=30)


def test_end_and_reload(lab):
    cluster = lab.cluster("ma1011", 3)
    with watched(lab, cluster) as mhad:
        started = mhad.status()["since_ms"]
        mhad.host.write("/etc/mhad/clusters.d/broken.conf", "nonsense\n", 0o600)
        answer = mhad.ask("reload")
        assert answer["clusters"] == 1 and all("broken.conf" in p for p in answer["problems"]) and answer["problems"]
        assert mhad.status("broken")["state"] == "config_error"
        assert mhad.status()["since_ms"] > started, "a watch whose file did not change was touched"
        mhad.use(cluster, ping_interval="500ms")
        mhad.proc.kill(signal.SIGHUP)
        until("it was reloaded", lambda: mhad.status()["since_ms"] < started, 5)
        mhad.watching()
        mhad.host.write("/etc/mhad/clusters.d/app1.conf", "nonsense\n", 0o600)
        assert mhad.ask("reload")["changed"] == []
        assert mhad.status()["state"] == "monitoring" and "app1.conf" in mhad.status()["config_error"]
        assert mhad.stop().rc == 0
        assert cluster.replicates()


def test_pause_is_kept(lab):
    cluster = lab.cluster("ma1011", 3)
    with watched(lab, cluster) as mhad:
        mhad.ask("pause", cluster="app1", reason="disk change")
        assert re.search(r"A pause of app1 was asked for by root \(uid 0, pid [0-9]+\)", mhad.proc.err), mhad.proc.err
        mhad.until(state="paused")
        mhad.stop()
    with Mhad(lab).start() as mhad:
        why = mhad.until(state="paused")
        assert mhad.status()["paused"]["reason"] == "disk change"
        cluster.master.kill()
        why = mhad.until("process_dead", "paused", within=5)
        assert [g["name"] for g in why["gates"] if g["blocks"]][0] == "paused"
        mhad.ask("resume", cluster="app1")
        mhad.until("process_dead", "blocked", within=5)
        assert [e["what"] for e in mhad.ask("history", cluster="app1")["entries"]].count("pause") == 1


def health(mhad, cluster):
    return mhad.host.path(f"{cluster.workdir}/app1.master_status.health")


def test_one_process_for_each_status_file(lab):
    """Whoever kills the pid in a status file, or its group, ends that watch and nothing else."""
    cluster = lab.cluster("ma1011", 3)
    mhad = Mhad(lab)
    mhad.use(cluster, mha=True)
    with mhad.start():
        file = health(mhad, cluster)
        until("the status file says that all is well", lambda: "0:PING_OK\tmaster:db1" in file.read_text())
        mhad.use(cluster, mha=True, name="app2")
        assert mhad.ask("reload")["changed"] == ["app2: added"]
        pid = file.read_text().split("\t")[0]
        assert mhad.host.run(["ps", "-o", "args=", "-p", pid]).out.strip() == \
            "masterha_manager --conf=/etc/mhad/clusters.d/app1.cnf"
        mhad.host.run(["sh", "-c", f"kill -- -{pid}"], check=True)
        until("the status file is gone", lambda: not file.exists(), 3)
        why = mhad.until(state="paused", within=3)
        assert "SIGTERM" in next(g["text"] for g in why["gates"] if g["name"] == "paused")
        why = mhad.until("locked", "locked", name="app2")
        assert "connection" in next(g["text"] for g in why["gates"] if g["name"] == "lock")
        other = file.with_name("app2.master_status.health").read_text().split("\t")[0]
        assert mhad.host.run(["kill", "-0", other]).rc == 0
        mhad.ask("resume", cluster="app1")
        until("it is back", lambda: "0:PING_OK" in file.read_text())
        assert file.read_text().split("\t")[0] != pid
        assert mhad.stop().rc == 0
        assert not file.exists() and mhad.host.run(["pgrep", "-f", "masterha_manager"]).rc == 1


def test_one_mhad_for_each_state_directory(lab):
    with Mhad(lab).start() as mhad:
        second = mhad.host.run(["mhad", "--socket=/run/other"])
        assert second.rc == 1 and "another mhad (pid" in second.err


LOCK = "MHA_Master_High_Availability_Monitor"


@pytest.mark.parametrize("flavour", ["ma1011", *(pytest.param(f, marks=pytest.mark.slow) for f in ("my97", "my56", "ma118"))],
                         indirect=True)
def test_lock_on_the_master(lab, flavour):
    """Held while it watches, taken again after its session was ended, and not at all without advisory_lock."""
    db1, *_ = cluster = lab.cluster(flavour, 3)
    holder = lambda: db1.one(f"SELECT IS_USED_LOCK('{LOCK}')")
    assert not holder()
    with watched(lab, cluster) as mhad:
        first = holder()
        assert first
        fault.end_sessions(db1)
        until("it has the lock again", lambda: holder() not in (None, first), 10)
        mhad.until("healthy", "monitoring")
        lock = next(g for g in mhad.why()["gates"] if g["name"] == "lock")
        assert not lock["blocks"] and lock["text"] == "no other manager"
        mhad.use(cluster, advisory_lock=False)
        mhad.ask("reload")
        mhad.watching()
        until("it has let go", lambda: not holder(), 10)
        assert "advisory_lock is off" in next(g for g in mhad.why()["gates"] if g["name"] == "lock")["text"]

        stats = mhad.ask("stats")
        bins = len(stats["bounds_us"]) + 1
        assert len(stats["looks_late"]) == len(stats["round_trips"]) == bins and stats["bounds_us"] == sorted(stats["bounds_us"])
        assert sum(stats["looks_late"]) >= sum(stats["round_trips"]) > 0, stats
        assert stats["links"]["hosts"] == stats["links"]["up"] == 3 and stats["links"]["waiting"] == 0, stats
        assert stats["loop"]["turns"] > 0 and stats == {**stats, **{k: mhad.ask("status")["stats"][k] for k in ("bounds_us",)}}


def test_name_that_is_not_known_yet(lab):
    """As at a boot before its name server: the file is read again by itself, with nobody's help."""
    cluster = lab.cluster("ma1011", 3)
    mhad = Mhad(lab)
    text = native(cluster).replace('hostname = "db3"', 'hostname = "later"')
    lab.manager.write("/etc/mhad/clusters.d/app1.conf", text, 0o600)
    with mhad.start():
        assert mhad.status()["state"] == "config_error" and "later" in mhad.status()["config_error"]
        assert "the files are read again in 5 s" in mhad.proc.err
        lab.manager.write("/etc/hosts", lab.manager.read("/etc/hosts") + f"{cluster[2].addr} later\n")
        until("it is watched", lambda: mhad.status()["state"] == "monitoring", 15)
        assert mhad.status()["config_error"] is None


@pytest.mark.slow
def test_scripts_of_a_watch(lab):
    """secondary_check_script: what it says is followed, hung or odd answers do not decide; report_script tells of the death."""
    db1, *_ = cluster = lab.cluster("ma1011", 3)
    host, says = lab.manager, "/var/tmp/says"
    host.write(says, "3")
    note = 'for a; do printf "%s\\036" "$a"; done >>/var/tmp/{0}.args; echo >>/var/tmp/{0}.args\n'
    second = host.script("/usr/local/bin/second", note.format("second") +
                         f"read code <{says}; [ $code = hang ] && exec sleep 1000; exit $code\n")
    report = host.script("/usr/local/bin/report", note.format("report") + "exit 7\n")
    calls = lambda name: [c.split("\036") for c in host.read(f"/var/tmp/{name}.args").split("\036\n")[:-1]] if \
        host.path(f"/var/tmp/{name}.args").exists() else []
    mhad = Mhad(lab)
    mhad.use(cluster, mha=True, auto_failover=0, hook_timeout=1, secondary_check_script=second, report_script=report)
    with mhad.start().watching():
        said = lambda text: any(e["who"] == "script" and text in e["text"] for e in mhad.why()["evidence"])
        db1.freeze()
        for code, text in (("3", "returned exit status 3"), ("2", "returned exit status 2"), ("hang", "did not end within 1 s"),
                           ("9", "returned exit status 9")):
            host.write(says, code)
            until(f"it has said {code}", lambda: said(text), 15)
            assert mhad.status()["state"] == "suspect", mhad.tell()
        assert "Master is down!" not in mhad.proc.err
        assert not set(mhad.verdicts()) & {"process_dead", "host_dead", "hung"}, mhad.verdicts()
        host.write(says, "0")
        why = mhad.until("hung", "blocked", within=20)
        assert said("the master is down") and [g["name"] for g in why["gates"] if g["blocks"]] == ["manual"]
        until("report_script was called", lambda: any("hung" in c[2] for c in calls("report")), 5)
        until("its failure is told", lambda: "report_script: report_script returned exit status 7" in mhad.proc.err, 5)
    assert calls("second")[0] == ["--user=root", "--master_host=db1", "--master_ip=10.77.0.11", "--master_port=3306",
                                  "--master_user=mha", "--master_password=mha-pw", "--ping_type=SELECT"]
    subjects = [c[2].split(" ")[-1] for c in calls("report")]  # alarms before the death
    assert subjects[-1] == "hung" and not set(subjects[:-1]) & {"hung", "process_dead", "host_dead"}, subjects
    orig, conf, subject, body = calls("report")[-1]
    assert [orig, conf] == ["--orig_master_host=db1", "--conf=/etc/mhad/clusters.d/app1.cnf"]
    assert subject == "--subject=app1: MySQL Master db1(10.77.0.11:3306) hung"
    assert body.startswith("--body=Master db1(10.77.0.11:3306): ") and "There is no failover now (manual)" in body, body
    assert host.run(["pgrep", "-f", "sleep 1000"]).rc == 1
