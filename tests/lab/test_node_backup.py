# SPDX-License-Identifier: BSD-2-Clause
"""The verbs backup and restore, where systemd starts the server."""
import pytest

from .test_node_fence import systemd  # noqa: F401 (a fixture)
from .util import until

pytestmark = pytest.mark.slow


def sql(it, port, text):
    r = it.run("mariadb", "--no-defaults", "-uroot", f"--socket=/mnt/{port}/sock", "-N", "-e", text)
    assert r.returncode == 0, r
    return r.stdout.strip()


def restore(it, *options):
    return it.run("/mnt/mha-node", "restore", "--port=3307", "--datadir=/mnt/3307", *options)


def copied(it):
    for port in (3306, 3307):
        it.start(port)
        sql(it, port, f"CREATE DATABASE shop; CREATE TABLE shop.t (a INT); INSERT INTO shop.t VALUES ({port})")
    pipe = ("/mnt/mha-node backup --port=3306 --datadir=/mnt/3306 --user=mha --password=mha-pw | "
            "/mnt/mha-node restore --port=3307 --datadir=/mnt/3307")
    r = it.run("sh", "-c", pipe)
    assert r.returncode == 0, r


def test_unit_and_undo(systemd):  # noqa: F811
    """The unit is stopped and started again; what the server had comes back by --undo when it is down."""
    copied(systemd)
    pid = systemd.main_pid("mysqld@3307")
    assert sql(systemd, 3307, "SELECT a FROM shop.t") == "3307"
    r = restore(systemd, "--swap")
    assert r.returncode == 0, r
    assert systemd.state("mysqld@3307") == "active" and systemd.main_pid("mysqld@3307") != pid
    assert sql(systemd, 3307, "SELECT a FROM shop.t") == "3306"
    assert restore(systemd, "--swap").returncode == 1
    systemd.ctl("stop", "mysqld@3307")
    until("it is down", lambda: systemd.state("mysqld@3307") == "inactive", 10)
    r = restore(systemd, "--undo")
    assert r.returncode == 0, r
    systemd.start(3307)
    assert sql(systemd, 3307, "SELECT a FROM shop.t") == "3307"
    assert "mhad" not in systemd.run("ls", "-a", "/mnt/3307").stdout


def test_undo_of_a_server_that_runs(systemd):  # noqa: F811
    copied(systemd)
    assert restore(systemd, "--swap").returncode == 0 and sql(systemd, 3307, "SELECT a FROM shop.t") == "3306"
    r = restore(systemd, "--undo")
    assert r.returncode == 0, r
    assert sql(systemd, 3307, "SELECT a FROM shop.t") == "3307" and systemd.state("mysqld@3307") == "active"


def test_cut_in_the_middle(systemd):  # noqa: F811
    """Half of the files had left when the host crashed: --undo brings them back, and nothing else is done before."""
    copied(systemd)
    systemd.ctl("stop", "mysqld@3307")
    systemd.run("sh", "-c", "mkdir /mnt/3307/.mhad-leaving && mv /mnt/3307/ibdata1 /mnt/3307/mysql /mnt/3307/.mhad-leaving")
    r = restore(systemd, "--undo")
    assert r.returncode == 0, r
    systemd.start(3307)
    assert sql(systemd, 3307, "SELECT a FROM shop.t") == "3307"


def test_a_stream_that_is_cut(systemd):  # noqa: F811
    """It is no copy, and nothing stays of it."""
    for port in (3306, 3307):
        systemd.start(port)
    pipe = ("/mnt/mha-node backup --port=3306 --datadir=/mnt/3306 --user=mha --password=mha-pw | head -c 3000000 | "
            "/mnt/mha-node restore --port=3307 --datadir=/mnt/3307")
    r = systemd.run("sh", "-c", pipe)
    assert r.returncode == 1, r
    assert restore(systemd, "--swap").returncode == 1
    assert "mhad" not in systemd.run("ls", "-a", "/mnt/3307").stdout
    r = systemd.run("/mnt/mha-node", "backup", "--port=3306", "--datadir=/mnt/3306", "--user=mha", "--password=wrong")
    assert r.returncode == 1 and "Access denied" in r.stderr and "wrong" not in r.stderr, r
