# SPDX-License-Identifier: BSD-2-Clause
"""Healthy clusters of every flavour, mode and shape: all commands agree, say MHA's phrases, and end with 0."""
import json

import pytest

from . import Lab
from .conftest import WANTED

MODES = {("gtid", False): "gtid-mysql", ("gtid", True): "gtid-mariadb", ("pos", False): "position", ("pos", True): "position"}
TREES = {  # shape: MHA's tree, roles
    "star": ("db1 (current master)\n +--db2\n +--db3\n", ["master", "slave", "slave"]),
    "cascade": ("db1 (current master)\n +--db2\n     +--db3\n", ["master", "slave", "unmanaged"]),
    "dual": ("db1 (current master)\n +--db2\n +--db3\n", ["master", "co-master", "slave"]),
}


@pytest.fixture(scope="module", params=[(f, m, s) for f in WANTED for m in ("gtid", "pos") for s in TREES],
                ids="-".join)
def cluster(request):
    flavour, mode, shape = request.param
    with Lab.open() as lab:
        c = lab.cluster(flavour, 3, mode=mode, shape=shape)
        c.master.script("CREATE DATABASE lived")  # as MHA, no GTID mode while a slave has none
        yield c.caught_up()


def run(cluster, *argv):
    return cluster.lab.manager.run([*argv, f"--conf={cluster.conf}"])


def test_check_ssh(cluster):
    r = run(cluster, "masterha_check_ssh")
    assert r.rc == 0, r.err
    assert "All SSH connection tests passed successfully." in r.err
    for one in cluster:
        for other in cluster:
            pair = f"from root@{one}({one.addr}:22) to root@{other}({other.addr}:22).."
            assert (pair in r.err) == (one is not other)
    assert "failed" not in r.err.replace("0 failed", "")


def test_check_repl(cluster):
    r = run(cluster, "masterha_check_repl")
    assert r.rc == 0, r.err
    assert r.out == "\nMySQL Replication Health is OK.\n"
    named = TREES[cluster.shape][0]
    for s in cluster:
        named = named.replace(s.name, f"{s.name}({s.addr}:3306)")
    assert named in r.err
    mode = 1 if cluster.mode == "gtid" else 0
    assert f"- [info] GTID failover mode = {mode}\n" in r.err
    assert "- [error]" not in r.err
    assert "Binlog setting check done." in r.err and "Slave settings check done." in r.err


def test_topology(cluster):
    r = run(cluster, "mhactl", "topology", "--json")
    assert r.rc == 0, r.err
    seen = json.loads(r.out)
    assert seen["cluster"] == "app1" and seen["master"] == "server1"
    assert seen["mode"] == MODES[cluster.mode, cluster.flavour.mariadb]
    assert [s["role"] for s in seen["servers"]] == TREES[cluster.shape][1]
    for server, s in zip(cluster, seen["servers"]):
        assert s["version"] == server.one("SELECT VERSION()")
        assert (s["host"], s["ip"], s["state"]) == (server.name, server.addr, "alive")
    assert not [f for f in seen["findings"] if f["severity"] == "error"]
    lines = run(cluster, "mhactl", "topology").out.splitlines()
    first = next(i for i, l in enumerate(lines) if l.startswith("SERVER"))
    assert lines[first + 1].startswith(f"db1({cluster[0].addr}:3306)")
    assert lines[first + 1].split()[1:3] == ["master", "MariaDB" if cluster.flavour.mariadb else "MySQL"]
    assert len({line.index("ok", 60) for line in lines[first + 1:first + 4]}) == 1, "columns are aligned"
