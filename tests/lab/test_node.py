# SPDX-License-Identifier: BSD-2-Clause
"""mha-node's test verbs, by MHA's names and command lines, on real servers' files."""
import pytest

from . import Lab
from .conftest import WANTED

STATE_FILES = {"my56": {"relay_log_info_repository": "FILE", "master_info_repository": "FILE"}}


@pytest.fixture(scope="module", params=WANTED)
def servers(request):
    """A master and a slave that keeps its state in files where that flavour can."""
    with Lab.open() as lab:
        yield lab.cluster(request.param, 2, mode="pos", options=STATE_FILES.get(request.param, {}))


@pytest.fixture
def master(servers):
    return servers[0]


@pytest.fixture
def slave(servers):
    return servers[1]


def save_test(server, *options, **kw):
    """The manager's command line."""
    return server.host.run(["save_binary_logs", "--command=test", "--start_pos=4", f"--binlog_dir={server.data}",
                            "--output_file=/var/tmp/new/save_binary_logs_test", "--manager_version=0.58", *options], **kw)


def diff_test(server, *options, **kw):
    argv = ["apply_diff_relay_logs", "--command=test", "--slave_user=mha", f"--slave_host={server.host.name}",
            f"--slave_ip={server.addr}", f"--slave_port={server.port}", "--workdir=/var/tmp",
            f"--target_version={server.one('SELECT VERSION()')}", "--manager_version=0.58", *options]
    return server.host.run(argv, **kw)


def newest_relay_log(server):
    return server.path("relay-bin.index").read_text().split()[-1].rpartition("/")[2]


def by_table(server):
    return f"--relay_dir={server.data}", f"--current_relay_log={server.status()['Relay_Log_File']}"


def test_versions(master):
    for name in ("save_binary_logs", "apply_diff_relay_logs"):
        r = master.host.run([name, "--version"])
        assert (r.rc, r.out) == (0, f"{name} version 0.58.\n")
    r = master.host.run(["mha-node", "version"])
    assert r.rc == 0 and r.out.startswith("mha-node ") and "version 0.58" in r.out


def test_binlogs_found(master):
    file, _ = master.position()
    for option in (f"--start_file={file}", "--binlog_prefix=mysql-bin"):
        r = save_test(master, option)
        assert r.rc == 0, r.out + r.err
        assert f"Binlog found at {master.data}, up to {file}\n" in r.out
        assert not list(master.host.path("/var/tmp/new").iterdir())
    r = save_test(master, f"--binlog_dir=/var/lib/mysql,{master.data}", f"--start_file={file}")
    assert r.rc == 0, r.out + r.err


def test_binlogs_not_found(master):
    for options in (["--start_file=mysql-bin.999999"], ["--binlog_prefix=other-bin"],
                    ["--start_file=mysql-bin.000001", "--binlog_dir=/var/lib/mysql"], [],
                    ["--start_file=mysql-bin.000001", "--manager_version=0.53"],
                    ["--start_file=mysql-bin.000001", "--output_file=/proc/x/y"],
                    ["--start_file=mysql-bin.000001", "--frobnicate"]):
        r = save_test(master, *options)
        assert r.rc == 1, options
        assert r.err.strip()


def test_binlogs_unreadable(master):
    """As a user who may not enter the data directory."""
    program = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "save_binary_logs", "--command=test",
               f"--binlog_dir={master.data}", "--output_file=/var/tmp/x", "--start_file=mysql-bin.000001"]
    r = master.host.run(program)
    assert r.rc == 1
    assert "Binlog not found" in r.err and "Permission denied" in r.out


def test_work_folder_full(master):
    host = master.host
    host.run(["mkdir", "-p", "/srv/full"], check=True)
    host.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", "/srv/full"], check=True)
    try:
        host.run(["sh", "-c", "head -c 1M /dev/zero >/srv/full/f"])
        r = save_test(master, "--binlog_prefix=mysql-bin", "--output_file=/srv/full/x")
        assert r.rc == 1 and "No space left" in r.err
    finally:
        host.run(["umount", "/srv/full"], check=True)


def test_relay_logs_found(slave):
    r = diff_test(slave, *by_table(slave), "--slave_pass=mha-pw")
    assert r.rc == 0, r.out + r.err
    assert f"Relay log found at {slave.data}, up to {newest_relay_log(slave)}\n" in r.out
    assert "WARNING" not in r.out


def test_relay_log_info_file(slave):
    if not slave.path("relay-log.info").exists():
        pytest.skip("this flavour keeps its state in tables")
    r = diff_test(slave, f"--relay_log_info={slave.data}/relay-log.info", f"--relay_dir={slave.data}")
    assert r.rc == 0, r.out + r.err
    assert f"Relay log found at {slave.data}, up to {newest_relay_log(slave)}\n" in r.out


def test_relay_logs_not_found(slave):
    for options in ([], ["--relay_dir=" + slave.data], ["--relay_dir=/nowhere", "--current_relay_log=relay-bin.000001"],
                    ["--relay_log_info=/nowhere/relay-log.info", "--relay_dir=" + slave.data],
                    [*by_table(slave), "--target_version=4.0.1"]):
        r = diff_test(slave, *options)
        assert r.rc == 1, options
        assert r.err.strip()


def test_reader_that_cannot_hand_over(slave):
    """Somebody of the server's group: enough for MHA, so no failure, but the warning names what is missing."""
    host = slave.host
    argv = ["setpriv", "--reuid=65534", "--regid=3306", "--clear-groups", "apply_diff_relay_logs", "--command=test",
            "--workdir=/var/tmp", f"--target_version={slave.one('SELECT VERSION()')}", *by_table(slave)]
    host.run(["sh", "-c", f"chmod 750 {slave.data}; chmod 640 {slave.data}/relay-bin.*"], check=True)
    r = host.run(argv)
    assert r.rc == 0, r.out + r.err
    assert "WARNING: they cannot: write to" in r.out
