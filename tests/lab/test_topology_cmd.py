# SPDX-License-Identifier: BSD-2-Clause
"""mhactl topology: what it says of clusters that are not plain."""
import json

from . import fault


def topology(cluster, rc=0):
    r = cluster.lab.manager.run(["mhactl", "topology", "--json", f"--conf={cluster.conf}"])
    assert r.rc == rc, r.err
    seen = json.loads(r.out)
    seen["by_host"] = {s["host"]: s for s in seen["servers"]}
    seen["codes"] = [f["code"] for f in seen["findings"]]
    seen["text"] = cluster.lab.manager.run(["mhactl", "topology", f"--conf={cluster.conf}"]).out
    return seen


def row(seen, name):
    return next(l for l in seen["text"].splitlines() if name + "(" in l)


def test_a_bad_day(lab):
    """One cluster, one trouble after the other."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, db3 = cluster

    with fault.applier_stopped(db2):
        seen = topology(cluster)
        assert "SQL stopped" in row(seen, "db2") and "unknown" in row(seen, "db2").split()
        assert seen["by_host"]["db2"]["replication"]["sql"] == "No"
        assert "sql-stopped" in seen["codes"]
    with fault.killed(db3):
        seen = topology(cluster)
        assert seen["by_host"]["db3"]["state"] == "dead" and "dead" in row(seen, "db3")
        assert "server-dead" in seen["codes"]
    with fault.killed(db1):
        seen = topology(cluster)
        assert seen["master"] == "server1" and seen["by_host"]["db1"]["state"] == "dead"
        assert row(seen, "db2").lstrip().startswith("+--"), "the tree still hangs below the dead master"
    lab.until("all replicate again", cluster.replicates)
    db3.sql("SET GLOBAL read_only=0")
    assert " open " in row(topology(cluster), "db3")


def test_semisync(lab):
    cluster = lab.cluster("ma1011", 3, semisync=True)
    lab.until("both acknowledge", lambda: cluster[0].sql("SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'")[0][1] == "2")
    seen = topology(cluster)
    assert "source on, 2 ackers" in row(seen, "db1")
    assert "replica on" in row(seen, "db2")
    assert seen["by_host"]["db1"]["semisync"]["ackers"] == 2


def test_errant_transactions(lab):
    """On a server of its own GTID history; shown by name and number."""
    cluster = lab.cluster("my97", 2)
    cluster[1].script("SET GLOBAL super_read_only=0; SET GLOBAL read_only=0; CREATE DATABASE mine")
    seen = topology(cluster)
    assert "errant-transactions" in seen["codes"]
    assert seen["by_host"]["db2"]["errant"] == f"{cluster[1].variable('server_uuid')}:1"
    assert "1 errant transaction" in row(seen, "db2")


def test_strangers_and_second_sources(lab):
    """A slave that is not in the file is named; a second source does not confuse the tree."""
    cluster = lab.cluster("my97", 3, shape="multisource")
    cluster.lab.until("the stranger is seen", lambda: cluster[2].status() is not None)
    seen = topology(cluster)
    assert [s["role"] for s in seen["servers"]] == ["master", "slave"]
    assert "multi-source" in seen["codes"]


def test_a_slave_that_is_not_in_the_file(lab):
    cluster = lab.cluster("ma1011", 3, shape="extra")
    seen = topology(cluster)
    assert len(seen["servers"]) == 2 and len(seen["strangers"]) == 1
    assert cluster[2].addr in seen["strangers"][0]
    assert "is not in the file" in seen["text"]


def test_several_servers_on_one_host(lab):
    cluster = lab.cluster("ma1011", 3, shape="onehost")
    seen = topology(cluster)
    assert [(s["port"], s["role"]) for s in seen["servers"]] == [(3306, "master"), (3307, "slave"), (3308, "slave")]


def test_nothing_answers(lab):
    """Exit code 1: no server can be called the master."""
    cluster = lab.cluster("ma1011", 2)
    with fault.killed(cluster[0]), fault.killed(cluster[1]):
        seen = topology(cluster, rc=1)
        assert seen["master"] is None and "no-alive-server" in seen["codes"]
