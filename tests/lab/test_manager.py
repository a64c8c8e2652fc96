# SPDX-License-Identifier: BSD-2-Clause
"""masterha_manager and masterha_master_monitor: MHA's lines, status file and exit codes."""
import signal
import time

import pytest

from . import fault, validate
from .mhad import Mhad
from .util import until


@pytest.fixture
def star(lab):
    return lab.cluster("ma1011", 3)


def health(lab, cluster):
    return lab.manager.path(f"{cluster.workdir}/app1.master_status.health")


def manager(lab, cluster, program="masterha_manager", *args):
    proc = lab.manager.start([program, f"--conf={cluster.conf}", *args])
    until("it watches", lambda: "Ping(SELECT) succeeded" in proc.err or not proc.running)
    assert proc.running, proc.err
    return proc


def test_monitor_of_a_dead_master(lab, flavour):
    cluster = lab.cluster(flavour, 3)
    proc = manager(lab, cluster, "masterha_master_monitor", "--interactive=0")
    file = health(lab, cluster)
    assert file.read_text().split("\t")[1:] == ["0:PING_OK", "master:db1"]
    cluster.master.kill()
    until("it says that pings fail", lambda: "20:PING_FAILING" in file.read_text(), 3)
    done = proc.wait(15)
    assert done.rc == 20 and done.out == "Master db1 is dead!\nIP Address: 10.77.0.11 Port: 3306\n"
    for line in ("Got error on MySQL select ping:", "Connection failed 2 time(s)..",
                 "Master is not reachable from health checker!", "Master db1(10.77.0.11:3306) is not reachable!",
                 "SSH is reachable.", "Master is down!", "Terminating monitoring script.",
                 "Got exit code 20 (Master dead)."):
        assert line in done.err, line
    assert not file.exists()


def test_manager_fails_over_and_ends(lab, mode):
    """As MHA: one failover, its report, its marks, exit code 0."""
    db1, db2, db3 = star = lab.cluster("ma1011", 3, mode=mode)
    star.write_conf(latest_priority=0)  # under load either slave may have received more
    proc = manager(lab, star)
    load = lab.writer(db1).wait(30)
    db1.kill()
    since = time.monotonic()
    done = proc.wait(40)
    load.stop()
    assert done.rc == 0, done.err
    for line in ("* Phase 1: Configuration Check Phase..", "* Phase 2: Dead Master Shutdown Phase..",
                 "* Phase 4: Slaves Recovery Phase..", "----- Failover Report -----",
                 "Master failover to db2(10.77.0.12:3306) completed successfully."):
        assert line in done.err, line
    assert not health(lab, star).exists() and lab.manager.path(f"{star.workdir}/app1.failover.complete").exists()
    validate.everything(db2, [db3], load, old=db1, since=since)


def test_manager_refuses_with_a_second_dead_server(lab, star):
    db1, db2, db3 = star
    proc = manager(lab, star)
    db3.kill()
    db1.kill()
    done = proc.wait(40)
    assert done.rc == 1 and "db3" in done.err, done.err
    assert db2.variable("read_only") == 1 and db2.status()


def test_masters_with_mha_commands(lab, star):
    """masterha_check_status and masterha_stop meet it as they would meet MHA's."""
    proc = manager(lab, star)
    status = lab.manager.run(["masterha_check_status", f"--conf={star.conf}"])
    assert status.rc == 0 and "is running(0:PING_OK), master:db1" in status.out
    second = lab.manager.run(["masterha_manager", f"--conf={star.conf}"])
    assert second.rc == 1 and proc.running
    stop = lab.manager.run(["masterha_stop", f"--conf={star.conf}"])
    assert stop.rc == 0 and "Stopped app1 successfully." in stop.out
    done = proc.wait(5)
    assert done.rc == 1 and "Got terminate signal. Exit." in done.err
    assert not health(lab, star).exists() and star.replicates()


def test_second_manager_meets_the_lock(lab, star):
    """From another host, or with another work directory: only the lock on the master tells."""
    proc = manager(lab, star)
    other = lab.manager.write("/etc/mhad/other.cnf", star.conf_text(manager_workdir="/var/tmp/other"), 0o600)
    since = time.monotonic()
    second = lab.manager.run(["masterha_manager", f"--conf={other}"])
    assert second.rc == 1 and 4 <= time.monotonic() - since < 9
    assert "Target master's advisory lock is already held by someone." in second.err
    assert proc.running


def test_bad_start(lab, star):
    for s in star.slaves:
        s.stop()
    done = lab.manager.run(["masterha_manager", f"--conf={star.conf}"])
    assert done.rc == 1 and "Error happened on checking configurations." in done.err
    assert "Got exit code 1 (Not master dead)." in done.err and not health(lab, star).exists()


def test_signal_while_it_waits(lab, star):
    """--wait_on_monitor_error keeps the status file for so long, and a signal ends both."""
    for s in star.slaves:
        s.stop()
    proc = lab.manager.start(["masterha_manager", f"--conf={star.conf}", "--wait_on_monitor_error=100"])
    until("it waits", lambda: "Waiting for 100 seconds before exit.." in proc.err, 20)
    assert "CONFIG_ERROR" in health(lab, star).read_text()
    proc.kill(signal.SIGTERM)
    assert proc.wait(5).rc == 1 and "Got terminate signal. Exit." in proc.err and not health(lab, star).exists()


def test_log_file(lab, star):
    star.write_conf(manager_log="/var/log/app1.log")
    proc = lab.manager.start(["masterha_manager", f"--conf={star.conf}"])
    log = lab.manager.path("/var/log/app1.log")
    until("it is logged there", lambda: "Ping(SELECT) succeeded" in log.read_text())
    proc.kill(signal.SIGTERM)
    assert proc.wait(5).rc == 1 and "Got terminate signal. Exit." in log.read_text()


def test_foreground_manager_of_a_watched_cluster(lab, star):
    """It stands for the cluster in mhad; whoever ends it ends that watch."""
    mhad = Mhad(lab)
    conf = mhad.use(star, mha=True, auto_failover=0)
    with mhad.start().watching():
        file = health(lab, star)
        proc = lab.manager.start(["masterha_manager", f"--conf={conf}"])
        until("it is attached", lambda: "mhad watches this cluster" in proc.err)
        until("the status file has its pid", lambda: "0:PING_OK" in file.read_text() and
              lab.manager.run(["cat", f"/proc/{file.read_text().split(chr(9))[0]}/comm"]).out.startswith("masterha"))
        assert mhad.host.run(["masterha_stop", f"--conf={conf}"]).rc == 0
        assert proc.wait(5).rc == 1
        mhad.until(state="paused", within=3)
        proc = lab.manager.start(["masterha_master_monitor", f"--conf={conf}", "--interactive=0"])
        mhad.until(state="monitoring", within=5)
        with fault.killed(star.master):
            done = proc.wait(15)
            assert done.rc == 20 and "Master db1 is dead!" in done.out and "Master is down!" in done.err
            assert mhad.status()["paused"] is None
