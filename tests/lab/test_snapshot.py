# SPDX-License-Identifier: BSD-2-Clause
"""What mhad reads off real servers: nothing false under load, and what it says when it may not look."""
import json

from . import fault


def topology(cluster, conf=None):
    r = cluster.lab.manager.run(["mhactl", "topology", "--json", f"--conf={conf or cluster.conf}"])
    assert r.rc in (0, 1), r.err
    seen = json.loads(r.out)
    seen["by_host"] = {s["host"]: s for s in seen["servers"]}
    seen["found"] = {(f["code"], (f["server"] or "").split("(")[0]): f["text"] for f in seen["findings"]}
    return seen


def with_settings(cluster, name, **settings):
    """A second configuration beside the cluster's own."""
    mgr = cluster.lab.manager
    lines = [l for l in mgr.read(cluster.conf).splitlines() if l.split("=")[0].strip() not in settings]
    at = lines.index("[server default]") + 1
    lines[at:at] = [f"{k}={v}" for k, v in settings.items()]
    path = f"/etc/mhad/{name}.cnf"
    mgr.write(path, "\n".join(lines) + "\n")
    return path


def unlogged(server, text):
    """SQL that leaves no trace in the binlog, on a read-only slave too."""
    server.script("SET SESSION sql_log_bin=0; " + text)


def test_no_false_errant_transactions(lab, flavour, mode):
    """Slaves are read after the master and have more by then: never called errant, nor the master rewound."""
    cluster = lab.cluster(flavour, 3, mode=mode, semisync=flavour in ("ma1011", "ma118"))
    with lab.writer(cluster[0], pause=0).wait(20):
        for _ in range(12):
            seen = topology(cluster)
            assert seen["master"] == "server1"
            assert not {c for c, _ in seen["found"]} & {"errant-transactions", "master-has-less"}, seen["found"]


def test_errant_write_on_mariadb(lab):
    """Named while it is newer than all of the master's, and still when the master has gone on."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, _ = cluster
    db1.script("CREATE DATABASE one")
    cluster.caught_up()
    db2.script("CREATE DATABASE mine")
    mine = db2.variable("gtid_binlog_pos")
    assert topology(cluster)["by_host"]["db2"]["errant"] == mine
    for i in range(5):
        db1.script(f"CREATE DATABASE more{i}")
    lab.until("the slave stumbles", lambda: not db2.replicating())
    seen = topology(cluster)
    assert seen["by_host"]["db2"]["errant"] == mine
    assert seen["by_host"]["db3"]["errant"] is None
    assert ("sql-stopped-by-error", "db2") in seen["found"]


def test_frozen_master(lab, flavour):
    """A silent server holds nobody up longer than its timeout, and is still known as the master."""
    cluster = lab.cluster(flavour, 2)
    conf = with_settings(cluster, "quick", connect_timeout=1, query_timeout=1)
    with fault.frozen(cluster[0]):
        r = lab.manager.run(["mhactl", "topology", "--json", f"--conf={conf}"])
    assert r.seconds < 6
    seen = json.loads(r.out)
    assert seen["master"] == "server1"
    assert [s["state"] for s in seen["servers"]] == ["dead", "alive"]


def test_replication_account_by_role(lab, flavour):
    """An account with the right only through a role: good if that role is active after a login."""
    cluster = lab.cluster(flavour, 2)
    db2 = cluster[1]
    if flavour == "my56":
        unlogged(db2, "CREATE USER plain@'%' IDENTIFIED BY 'x'")
        assert ("repl-user-no-privilege", "db2") in topology(cluster, with_settings(cluster, "p", repl_user="plain"))["found"]
        return
    default = "SET DEFAULT ROLE r FOR active@'%'" if flavour.startswith("ma") else "SET DEFAULT ROLE r TO active@'%'"
    unlogged(db2, "CREATE ROLE r; GRANT REPLICATION SLAVE ON *.* TO r; CREATE USER active@'%' IDENTIFIED BY 'x';"
                  "CREATE USER idle@'%' IDENTIFIED BY 'x'; GRANT r TO active@'%'; GRANT r TO idle@'%'; " + default)
    codes = {}
    for user in "active", "idle", "nobody":
        found = topology(cluster, with_settings(cluster, user, repl_user=user))["found"]
        codes[user] = [c for c, host in found if c.startswith("repl-user") and host == "db2"]
    assert codes == {"active": [], "idle": ["repl-user-no-privilege"], "nobody": ["repl-user-missing"]}


def test_account_that_may_not_look(lab, flavour):
    """Each refusal is named with the privilege; nothing is concluded from what could not be read."""
    cluster = lab.cluster(flavour, 2)
    conf = with_settings(cluster, "low", user="low", password="low-pw")
    for db in cluster:
        unlogged(db, "CREATE USER low@'%' IDENTIFIED BY 'low-pw'")
    seen = topology(cluster, conf)
    assert seen["master"] is None
    assert {c for c, _ in seen["found"]} >= {"status-denied", "no-master"}
    status = "SLAVE MONITOR" if flavour.startswith("ma") else "REPLICATION CLIENT"
    for db in cluster:
        unlogged(db, f"GRANT {status} ON *.* TO low@'%'")
    seen = topology(cluster, conf)
    assert seen["master"] == "server1"
    assert ("repl-user-unknown", "db2") in seen["found"]
    assert "REPLICATION" in seen["found"]["account-denied", "db1"]


def test_master_by_an_alias(lab):
    """The slave names its master by a name that is in no file, and has not met it yet: only the address tells."""
    cluster = lab.cluster("my56", 2, mode="pos")
    db1, db2 = cluster
    for host in lab.manager, db2.host:
        host.write("/etc/hosts", host.read("/etc/hosts") + f"{db1.addr} primary.example\n")
    db2.stop_slave()
    db2.sql("CHANGE MASTER TO MASTER_HOST='primary.example'")
    assert db2.status()["Master_UUID"] == "" and db2.status()["Master_Server_Id"] in (0, "0")
    seen = topology(cluster)
    assert (seen["master"], seen["by_host"]["db2"]["role"]) == ("server1", "slave")
    assert seen["by_host"]["db2"]["replication"]["source"] == "primary.example:3306"
