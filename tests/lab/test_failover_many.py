# SPDX-License-Identifier: BSD-2-Clause
"""Many clusters of one mhad lose their masters in the same second."""
import json
import os
import signal
import statistics
import time

import pytest

from .cluster import Cluster
from .mhad import Mhad
from .server import Server
from .util import until

HOSTS = 6  # of each side; clusters share them, as they do on the machines of those who run so many
TINY = {"innodb_buffer_pool_size": "6M", "max_connections": 40}


def raise_clusters(lab, n, hosts=HOSTS):
    """Clusters of a master and a slave: masters on the first hosts, slaves on the others."""
    names = [f"db{i + 1}" for i in range(2 * hosts)]
    lab.host_all(names)
    clusters = []
    for i in range(n):
        c = Cluster(lab, "ma1011", 2, name=f"c{i:02}", options=TINY)
        for k in (0, 1):
            s = Server(lab.hosts[names[i % hosts + k * hosts]], c.flavour, 3306 + i // hosts, "gtid", 1000 + 2 * i + k,
                       {**TINY, "read_only": k}, "200M")
            s.create()
            c.servers.append(s)
        clusters.append(c)
    for side in (0, 1):
        for c in clusters:
            c[side].launch()
        for c in clusters:
            c[side].wait()
    for c in clusters:
        c[1].follow(c[0])
    until("all replicate", lambda: all(c.replicates() for c in clusters), 60)
    return clusters


@pytest.mark.parametrize("n", [8, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.timeout(400)
def test_all_at_once(lab, capsys, n):
    """Each has its failover within two seconds of the first; nothing is lost, nobody waits for another."""
    clusters = raise_clusters(lab, n)
    mhad = Mhad(lab)
    for c in clusters:
        mhad.use(c, auto_failover=True, fence="best_effort")
    with mhad.start():
        for c in clusters:
            mhad.watching(c.name)
        for i, c in enumerate(clusters):
            c[0].sql("CREATE DATABASE shop"), c[0].sql("CREATE TABLE shop.t (id INT PRIMARY KEY)")
            c[0].sql("INSERT INTO shop.t VALUES (1), (2), (3)")
        pids = [c[0].pid for c in clusters]
        since = time.time()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        killed = time.time() - since
        for c in clusters:
            until(f"{c.name} has a new master", lambda: mhad.status(c.name)["master"].startswith(c[1].host.name), 30)
        for c in clusters:
            mhad.until("healthy", "monitoring", name=c.name, within=20)
        opened, over = [], []
        for c in clusters:
            record = json.loads(lab.manager.run(["mhactl", "report", "--json", c.name], check=True).out)
            assert record["result"] == "success" and record["fenced"] == "fenced", record
            seen = record["seen"] / 1000 - since
            opened.append(seen + record["opened_ms"] / 1000)
            over.append(seen + max(s["from_ms"] + s["ms"] for s in record["timeline"]) / 1000)
            assert c[1].one("SELECT COUNT(*) FROM shop.t") == 3 and c[1].variable("read_only") == 0
            assert not c[0].running
        with capsys.disabled():
            print(f"\n{n} masters killed within {killed:.2f} s: open after {min(opened):.2f} to {max(opened):.2f} s (median "
                  f"{statistics.median(opened):.2f}), over after {min(over):.2f} to {max(over):.2f} s", end="", flush=True)
        assert max(over) - min(over) < 2.0, sorted(over)
