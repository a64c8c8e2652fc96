# SPDX-License-Identifier: BSD-2-Clause
"""mhad as a service of many clusters: start, reload, pause, end, and what stands for each cluster.  What it makes of
troubles is in test_verdicts."""
import signal

import pytest

from .mhad import Mhad
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
