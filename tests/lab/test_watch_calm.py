# SPDX-License-Identifier: BSD-2-Clause
"""What must never lead to a failover: each trouble gets its own name, and the master is left alone."""
import contextlib
import signal
import time

import pytest

from . import fault
from .mhad import Mhad
from .util import until

DEADLY = {"process_dead", "host_dead", "hung"}


@contextlib.contextmanager
def watched(lab, cluster, **settings):
    """mhad watches; at the end no deadly verdict has ever stood."""
    mhad = Mhad(lab)
    mhad.use(cluster, **settings)
    with mhad.start().watching():
        yield mhad
        seen = set(mhad.verdicts())
        assert not seen & DEADLY, mhad.tell()
        assert "Master is down!" not in mhad.proc.err
        mhad.until("healthy", "monitoring", within=40)


def stays(mhad, verdict, seconds=4):
    """It becomes that and goes on to be it."""
    mhad.until(verdict, within=12)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = mhad.status()["verdict"]
        assert seen not in DEADLY, mhad.tell()
        time.sleep(0.1)
    assert mhad.status()["verdict"] == verdict, mhad.tell()


@pytest.fixture
def star(lab, flavour):
    return lab.cluster(flavour, 3)


@pytest.fixture(params=["corroborated", "mha"])
def detection(request):
    return request.param


def test_manager_cut_from_the_master(lab, star, detection):
    with watched(lab, star, detection=detection) as mhad:
        with fault.cut(lab.manager, star.master.host):
            stays(mhad, "manager_cut", 6)


def test_manager_cut_from_everything(lab, star, detection):
    with watched(lab, star, detection=detection) as mhad:
        with fault.isolated(lab.manager):
            stays(mhad, "manager_cut", 6)


def test_master_and_a_slave_behind_a_cut(lab, star, detection):
    near = [lab.manager, star[2].host]
    far = [star[0].host, star[1].host]
    with watched(lab, star, detection=detection) as mhad:
        with fault.cut(near, far):
            stays(mhad, "split_view", 6)


def test_slaves_cut_from_the_master(lab, flavour):
    """Known by the heartbeats that do not come: two of the slaves' own periods, here of two seconds."""
    cluster = lab.cluster(flavour, 3, options={"slave_net_timeout": 4})
    with watched(lab, cluster) as mhad:
        with fault.cut(cluster.master.host, [s.host for s in cluster.slaves]):
            stays(mhad, "replication_cut")


@pytest.mark.parametrize("direction", ["to", "from"])
def test_one_way_loss(lab, direction, detection):
    cluster = lab.cluster("ma1011", 3)
    ways = {"to": (lab.manager, cluster.master.host), "from": (cluster.master.host, lab.manager)}
    with watched(lab, cluster, detection=detection) as mhad:
        with fault.one_way(*ways[direction]):
            stays(mhad, "manager_cut")


@contextlib.contextmanager
def crowded(server):
    """Out of connections, and so far beyond the limit that no reserved slot and no session that ends helps."""
    most = server.variable("max_connections")
    with fault.out_of_connections(server):
        server.set(max_connections=most // 2)
        yield
        server.set(max_connections=most)


def test_out_of_connections(lab, star):
    with watched(lab, star, ping_type="CONNECT") as mhad:
        with crowded(star.master):
            stays(mhad, "saturated")


def test_out_of_connections_with_a_session(lab, star):
    """Who has a session already sees nothing of it."""
    with watched(lab, star) as mhad:
        with crowded(star.master):
            stays(mhad, "healthy")


def test_account_locked_out(lab, star):
    """The password of mhad's account changes."""
    with watched(lab, star, ping_type="CONNECT") as mhad:
        set_password(star, "other")
        stays(mhad, "refusing")
        set_password(star, "mha-pw")


def set_password(cluster, password):
    m = cluster.master
    if m.flavour.name == "my56":
        m.sql(f"SET PASSWORD FOR 'mha'@'%' = PASSWORD('{password}')")
    else:
        m.sql(f"ALTER USER 'mha'@'%' IDENTIFIED BY '{password}'")


def test_data_disk_full(lab, star):
    with watched(lab, star) as mhad:
        with fault.disk_full(star.master):
            stays(mhad, "disk_full")


def test_restart_within_its_grace(lab, star, detection):
    with watched(lab, star, detection=detection, restart_grace="30s") as mhad:
        star.master.kill()
        mhad.until("restarting", within=5)
        time.sleep(6)
        assert mhad.status()["verdict"] == "restarting", mhad.tell()
        star.master.start()
        mhad.until("healthy", "monitoring", within=30)


def test_stall_of_two_seconds(lab, star, detection):
    with watched(lab, star, detection=detection) as mhad:
        for _ in range(3):
            with fault.frozen(star.master):
                time.sleep(2)
            mhad.until("healthy", "monitoring")
            time.sleep(0.37)


def test_mhad_stopped_for_a_minute(lab):
    cluster = lab.cluster("ma1011", 3)
    with watched(lab, cluster) as mhad:
        mhad.proc.kill(signal.SIGSTOP)
        time.sleep(60)
        mhad.proc.kill(signal.SIGCONT)
        until("it says so", lambda: "stood still for" in mhad.proc.err, 5)
        mhad.until("healthy", "monitoring", within=15)


def test_commits_frozen_by_semisync(lab, flavour):
    cluster = lab.cluster(flavour, 3, semisync=True)
    m = cluster.master
    with watched(lab, cluster) as mhad:
        for s in cluster.slaves:
            s.stop_slave("IO_THREAD")
        load = lab.writer(m)
        stays(mhad, "ack_starved")
        for s in cluster.slaves:
            s.start_slave("IO_THREAD")
        load.wait(1, since=time.monotonic())


def test_witness_off_with_the_master(lab):
    """It does not block."""
    cluster = lab.cluster("ma1011", 3)
    w1, w2 = lab.host_all(["w1", "w2"])
    mhad = Mhad(lab)
    mhad.use(cluster, witnesses="root@w1, root@w2")
    with mhad.start().watching():
        w1.off()
        cluster.master.host.off()
        mhad.until("host_dead", "blocked", within=8)
        assert w2.on
