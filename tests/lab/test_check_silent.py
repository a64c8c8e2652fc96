# SPDX-License-Identifier: BSD-2-Clause
"""Peers that fall silent: every command ends within its deadline and says who it was."""
import json

import pytest

from . import Lab, fault

TIMES = {"connect_timeout": 1, "query_timeout": 1, "ssh_connection_timeout": 1}
LOGIN = 2.0    # connecting, and the greeting: the client library counts whole seconds
ANSWER = 3.5   # login, the query's second, the watchdog
SPARE = 1.5    # other work on a busy machine


@pytest.fixture(scope="module")
def cluster():
    with Lab.open() as lab:
        c = lab.cluster("ma1011", 3, mode="pos")
        c.write_conf(**TIMES)
        yield c


@pytest.fixture(autouse=True)
def whole_again(cluster):
    """A slave that met the silence when it connected again waits a minute by itself."""
    yield
    for s in cluster.slaves:
        if not s.replicating():
            s.stop_slave()
            s.start_slave()
    cluster.lab.until("all replicate again", cluster.replicates)


def run(cluster, *argv):
    return cluster.lab.manager.run([*argv, f"--conf={cluster.conf}"], timeout=20)


COMMANDS = [["masterha_check_repl"], ["mhactl", "check", "repl", "--json"], ["mhactl", "topology"]]


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("who", [0, 2])
def test_server_accepts_and_says_nothing(cluster, argv, who):
    with fault.silent(cluster[who].host, 3306):
        r = run(cluster, *argv)
    assert r.seconds < LOGIN + SPARE
    assert r.rc == (0 if argv[-1] == "topology" else 1), r.err
    assert f"db{who + 1}(" in r.out + r.err and "dead" in (r.out + r.err).lower()


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("after", [60, 200, 3000])
def test_server_stops_in_the_middle(cluster, argv, after):
    """That many bytes of answers come, then none any more."""
    with fault.proxied(cluster[1], after=after, then="stall"):
        r = run(cluster, *argv)
    assert r.seconds < ANSWER + SPARE
    assert r.rc == (0 if argv[-1] == "topology" else 1), r.err
    assert f"db2({cluster[1].addr}:3306)" in r.out + r.err
    if argv[-1] == "--json":
        about_db2 = {f["code"] for f in json.loads(r.out)["findings"] if f["stops"] and "db2(" in (f["server"] or "")}
        assert about_db2 == ({"server-dead"} if after < 100 else {"server-lost"}), "died in the login, or after it"


def test_frozen_server(cluster):
    """The kernel accepts, nobody answers."""
    with fault.frozen(cluster[2]):
        r = run(cluster, "masterha_check_repl")
    assert r.rc == 1 and r.seconds < LOGIN + SPARE and "db3(" in r.err


def test_sshd_never_sends_its_banner(cluster):
    with fault.sshd_silent(cluster[2].host):
        r = run(cluster, "masterha_check_repl")
        assert r.rc == 1 and r.seconds < 1 + SPARE and "SSH to root@db3(" in r.err
        r = run(cluster, "masterha_check_ssh", "--manager-only")
        assert r.rc == 1 and r.seconds < 1 + SPARE and "SSH to root@db3(" in r.err
        r = run(cluster, "masterha_check_ssh")
        assert r.rc == 1 and r.seconds < 2 * (1 + 3) + SPARE
        assert r.err.count("failed: ") == 2 and "SSH to root@db3(" in r.err


def test_host_that_is_cut_off(cluster):
    """No answer to any packet, for MySQL and SSH alike."""
    with fault.isolated(cluster[2].host):
        r = run(cluster, "masterha_check_repl")
    assert r.rc == 1 and r.seconds < LOGIN + SPARE
    assert "SSH to root@db3(" in r.err and f"db3({cluster[2].addr}:3306)" in r.err


def test_node_tool_that_hangs(cluster):
    """A command over SSH that never ends is given up; the rest is still told."""
    host = cluster[1].host
    host.path("/opt/mhad/bin").rename(host.path("/opt/mhad/away"))
    host.script("/usr/local/bin/mha-node", "exec sleep 600")
    try:
        r = cluster.lab.manager.run(["masterha_check_repl", f"--conf={cluster.conf}"], timeout=30)
    finally:
        host.remove("/usr/local/bin/mha-node")
        host.path("/opt/mhad/away").rename(host.path("/opt/mhad/bin"))
    assert r.rc == 1 and r.seconds < 14 and "root@db2(" in r.err
    assert "Checking replication health on db3.." in r.err
