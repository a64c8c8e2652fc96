# SPDX-License-Identifier: BSD-2-Clause
"""masterha_check_repl: everything that can be wrong with servers, one condition per test, each put right again."""
import contextlib
import json
import re
from types import SimpleNamespace

import pytest

from . import Lab, fault


@pytest.fixture(scope="module")
def cluster():
    with Lab.open() as lab:
        yield lab.cluster("ma1011", 3, mode="pos")


@pytest.fixture(autouse=True)
def whole_again(cluster):
    yield
    cluster.lab.until("all replicate again", cluster.replicates)
    cluster.write_conf()


def check(cluster, *options):
    """Both forms of the command; they must agree."""
    mgr = cluster.lab.manager
    r = mgr.run(["masterha_check_repl", f"--conf={cluster.conf}", *options])
    verdict = "\nMySQL Replication Health is OK.\n" if r.rc == 0 else "\nMySQL Replication Health is NOT OK!\n"
    assert r.rc in (0, 1) and r.out == verdict, r.out + r.err
    j = mgr.run(["mhactl", "check", "repl", "--json", f"--conf={cluster.conf}", *options])
    found = json.loads(j.out)
    assert (j.rc, found["ok"]) == (r.rc, r.rc == 0), "both forms agree"
    for f in found["findings"]:
        assert re.sub(r"\d+ seconds", "N seconds", f["text"]) in re.sub(r"\d+ seconds", "N seconds", r.err)
    return SimpleNamespace(rc=r.rc, log=r.err, codes=[f["code"] for f in found["findings"]],
                           stops=[f["code"] for f in found["findings"] if f["stops"]], findings=found["findings"])


@contextlib.contextmanager
def undone(server, do, undo):
    server.script(do)
    try:
        yield
    finally:
        server.script(undo)


def test_healthy(cluster):
    c = check(cluster)
    assert (c.rc, c.stops) == (0, [])


def test_dead_slave(cluster):
    with fault.killed(cluster[2]):
        c = check(cluster)
        assert c.rc == 1 and "server-dead" in c.stops
        assert f"db3({cluster[2].addr}:3306)" in c.log
        cluster.write_conf(each={"db3": {"ignore_fail": 1}})
        c = check(cluster, "--ignore_fail_on_start")
        assert (c.rc, c.stops) == (0, []) and "server-dead" in c.codes


def test_dead_master(cluster):
    with fault.killed(cluster[0]):
        c = check(cluster)
        assert c.rc == 1 and "master-dead" in c.stops and "no-master" not in c.codes
        assert f"Current Dead Master: db1({cluster[0].addr}:3306)" in c.log


def test_receiver_stopped(cluster):
    with fault.receiver_stopped(cluster[1]):
        c = check(cluster)
        assert c.rc == 1 and "io-stopped" in c.stops


def test_applier_stopped(cluster):
    with fault.applier_stopped(cluster[1]):
        c = check(cluster)
        assert c.rc == 1 and "sql-stopped" in c.stops


def test_applier_stopped_by_an_error(cluster):
    db1, db2, db3 = cluster
    db1.script("CREATE DATABASE IF NOT EXISTS labdata; CREATE TABLE labdata.taken (n INT PRIMARY KEY)")
    cluster.caught_up()
    db2.script("SET sql_log_bin=0; INSERT INTO labdata.taken VALUES (1); SET sql_log_bin=1")
    db1.script("INSERT INTO labdata.taken VALUES (1)")
    cluster.lab.until("db2 stops", lambda: db2.status()["Slave_SQL_Running"] == "No")
    c = check(cluster)
    assert c.rc == 1 and "sql-stopped-by-error" in c.stops and "1062" in c.log
    db2.script("SET sql_log_bin=0; DELETE FROM labdata.taken; SET sql_log_bin=1; START SLAVE SQL_THREAD")
    db1.script("DROP TABLE labdata.taken")


def test_behind(cluster):
    """More than --seconds_behind_master; one that is delayed on purpose may be so much later."""
    db1, db2, db3 = cluster
    with contextlib.closing(db2.connect()) as held:
        held.cursor().execute("FLUSH TABLES WITH READ LOCK")
        db1.script("CREATE DATABASE late; DROP DATABASE late")
        cluster.lab.until("db2 is behind", lambda: (db2.status()["Seconds_Behind_Master"] or 0) >= 2)
        c = check(cluster, "--seconds_behind_master=1")
        assert c.rc == 1 and c.stops == ["delay-too-long"]
        assert check(cluster, "--seconds_behind_master=60").rc == 0
    with fault.lagging(db2, 3600):
        db1.script("CREATE DATABASE late; DROP DATABASE late")
        cluster.lab.until("db2 is behind", lambda: (db2.status()["Seconds_Behind_Master"] or 0) >= 2)
        c = check(cluster, "--seconds_behind_master=1")
        assert c.rc == 0 and "delayed-slave" in c.codes


def test_replication_filters_differ(cluster):
    db2 = cluster[1]
    with undone(db2, "STOP SLAVE; SET GLOBAL replicate_do_db='shop'; START SLAVE",
                "STOP SLAVE; SET GLOBAL replicate_do_db=''; START SLAVE"):
        c = check(cluster)
        assert c.rc == 1 and "replicate-filters-differ" in c.stops
        cluster.write_conf(check_repl_filter=0)
        c = check(cluster)
        assert c.rc == 0


def test_binlog_filters_differ(cluster):
    cluster[2].restart(binlog_ignore_db="scratch")
    try:
        c = check(cluster)
        assert c.rc == 1 and "binlog-filters-differ" in c.stops
    finally:
        cluster[2].restart(binlog_ignore_db=None)


def test_no_log_bin(cluster):
    """On one slave a warning; on all of them nobody can be promoted."""
    db1, db2, db3 = cluster
    db2.restart(log_bin=None, log_slave_updates=None, skip_log_bin=1)
    try:
        c = check(cluster)
        assert c.rc == 0 and "log-bin-off" in c.codes
        cluster.write_conf(each={"db3": {"no_master": 1}})
        c = check(cluster)
        assert c.rc == 1 and "no-candidate" in c.stops
    finally:
        db2.restart(skip_log_bin=None, log_bin="mysql-bin", log_slave_updates=1)


def test_replication_account_is_missing(cluster):
    cluster.write_conf(repl_user="nobody")
    c = check(cluster)
    assert c.rc == 1 and set(c.stops) == {"repl-user-missing"}


def test_replication_account_may_not_replicate(cluster):
    cluster.write_conf(repl_user="app")
    c = check(cluster)
    assert c.rc == 1 and set(c.stops) == {"repl-user-no-privilege"}


def test_wrong_password(cluster):
    cluster.write_conf(password="wrong")
    c = check(cluster)
    assert c.rc == 1 and "server-refused" in c.stops
    assert "wrong" not in c.log.replace("wrong password", "")


def test_no_free_connection(cluster):
    """It answers, so it is not dead; nothing can be said about it either."""
    db3 = cluster[2]
    before = db3.variable("max_connections")
    db3.set(max_connections=10)
    with fault.out_of_connections(db3), contextlib.closing(db3.connect()):  # the last one is kept for SUPER
        c = check(cluster)
    db3.set(max_connections=before)
    assert c.rc == 1 and "server-refused" in c.stops and "Too many connections" in c.log


def test_two_writable_masters(cluster):
    """db1 and db2 replicate from each other and nobody is read-only."""
    db1, db2, db3 = cluster
    db2.set(read_only=0)
    db1.follow(db2)
    try:
        c = check(cluster)
        assert c.rc == 1 and "two-writable-masters" in c.stops
        db2.set(read_only=1)
        assert check(cluster).rc == 0
    finally:
        db1.reset_slave()
        db2.set(read_only=1)


def test_server_that_is_no_slave(cluster):
    db1, db2, db3 = cluster
    db3.reset_slave()
    try:
        c = check(cluster)
        assert c.rc == 1 and {"several-non-slaves", "not-a-slave"} & set(c.stops)
    finally:
        db3.follow(db1)


def test_master_is_not_in_the_file(cluster):
    text = cluster.conf_text()
    start, end = text.index("[server1]"), text.index("[server2]")
    cluster.write_conf(text[:start] + text[end:])
    c = check(cluster)
    assert c.rc == 1 and "master-not-in-file" in c.stops
    assert f"{cluster[0].addr}:3306" in c.log


def test_third_tier_needs_its_setting(cluster):
    db1, db2, db3 = cluster
    db3.reset_slave()
    db3.follow(db2)
    cluster.lab.until("db3 follows db2", db3.replicating)
    try:
        c = check(cluster)
        assert c.rc == 1 and "multi-tier" in c.stops
        cluster.write_conf(each={"db3": {"multi_tier_slave": 1}})
        assert check(cluster).rc == 0
    finally:
        db3.reset_slave()
        db3.follow(db1)


def test_duplicate_hosts_and_other_mistakes_in_the_file(cluster):
    """The file is refused before anything is asked."""
    for how in ({"each": {"db2": {"hostname": "db1"}}}, {"default": {"ping_intervall": 3}},
                {"default": {"ping_type": "KICK"}}, {"each": {"db2": {"hostname": None}}}):
        cluster.write_conf(**how)
        r = cluster.lab.manager.run(["masterha_check_repl", f"--conf={cluster.conf}"])
        assert (r.rc, r.out) == (1, "\nMySQL Replication Health is NOT OK!\n"), how
        assert "[error]" in r.err and cluster.conf in r.err and "GTID failover mode" not in r.err


def test_several_things_at_once(cluster):
    """All are named, in the order of MHA's checks."""
    cluster.write_conf(repl_user="nobody")
    with fault.applier_stopped(cluster[1]), fault.killed(cluster[2]):
        c = check(cluster)
        assert c.rc == 1
        assert [x for x in c.stops if x in ("repl-user-missing", "server-dead", "sql-stopped")] == \
            ["repl-user-missing", "server-dead", "sql-stopped"]


def test_unwritable_options_of_mha_are_accepted(cluster):
    c = check(cluster, "--manager_log=/tmp/x.log", "--workdir=/tmp", "--skip_check_ssh", "--interactive=0",
              "--wait_on_monitor_error=3")
    assert c.rc == 0
    assert not cluster.lab.manager.path("/tmp/x.log").exists()
