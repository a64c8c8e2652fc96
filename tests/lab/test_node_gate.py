# SPDX-License-Identifier: BSD-2-Clause
"""An SSH key bound to `mha-node gate`: the manager's work goes on, and nothing else does."""
import pytest

from . import Lab
from .peer import Peer

CONF = "directory = /srv/mysql3306/data\ndirectory = /var/tmp\nport = 3306\n"


@pytest.fixture(scope="module")
def hosts():
    """A manager, a database host that admits its key through the gate only, and its server."""
    with Lab.open() as lab:
        server = lab.cluster("ma1011", 1, mode="pos")[0]
        keys = server.host.path("/root/.ssh/authorized_keys")
        keys.write_text("".join(f'restrict,command="/opt/mhad/bin/mha-node gate" {l}\n'
                                for l in keys.read_text().splitlines() if l))
        server.host.write("/etc/mhad/node.conf", CONF)
        server.sql("CREATE DATABASE g")
        yield lab.manager, server


@pytest.fixture
def run(hosts):
    manager, server = hosts
    return lambda command: manager.ssh(server.host, command)


def test_the_manager_s_commands(run, hosts):
    file, _ = hosts[1].position()
    data = hosts[1].data
    for command, out in (
            ("exit 0", ""),
            ("mha-node version", "version 0.58"),
            ("apply_diff_relay_logs --version", "apply_diff_relay_logs version 0.58."),
            ("sh -c ''\\''/opt/mhad/bin'\\''/mha-node version 2>/dev/null || "
             "'\\''/opt/mhad/bin'\\''/apply_diff_relay_logs --version'", "mha-node 0"),
            (f"'/opt/mhad/bin'/save_binary_logs --command=test --start_pos=4 --binlog_dir='{data}' "
             f"--output_file='/var/tmp/save_binary_logs_test' --manager_version=0.58 --start_file='{file}'", "Binlog found"),
            (f"mha-node probe --port=3306 --datadir={data}", '"port":3306')):
        r = run(command)
        assert r.rc == 0 and out in r.out, (command, r.out, r.err)


def test_all_else_is_refused(run, hosts):
    data = hosts[1].data
    for command, why in (
            ("id", "not a program"), ("exit 1", "not a program"), ("mha-node version; id", "shell"),
            ("mha-node version && touch /var/tmp/pwned", "shell"), ("mha-node $(touch /var/tmp/pwned)", "shell"),
            ("sh -c 'touch /var/tmp/pwned'", "not a program"), ("md5sum /etc/shadow", "not a program"),
            ("scp -t /var/tmp", "not a program"), ("sftp-server", "not a program"),
            ("mha-node probe --port=3307", "--port=3307 is not allowed"),
            ("mha-node fence --port=22", "--port=22 is not allowed"),
            ("save_binary_logs --command=test --start_file=passwd.1 --binlog_dir=/etc --output_file=/var/tmp/x",
             "--binlog_dir=/etc is in no folder"),
            (f"save_binary_logs --command=test --start_file=x.1 --binlog_dir={data} --output_file=/root/.ssh/authorized_keys",
             "--output_file=/root/.ssh/authorized_keys is in no folder"),
            (f"mha-node events {data}/../../../etc/passwd", "in no folder"),
            ("mha-node vip --add --address=10.77.0.100/24 --device=eth0", "--address=10.77.0.100/24 is not allowed"),
            ("mha-node gate", "gate refused"), ("mha-node purge-guard", "purge-guard refused")):
        r = run(command)
        assert r.rc == 126 and why in r.err and not r.out, (command, r.rc, r.out, r.err)
    assert not hosts[1].host.path("/var/tmp/pwned").exists()


def test_arguments_that_are_none(run):
    r = run("mha-node probe --prot=1")
    assert r.rc == 1 and "unknown option" in r.err


def test_no_login(hosts):
    manager, server = hosts
    r = manager.run(["ssh", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                     server.addr], input="id\n")
    assert r.rc == 126 and "not for logins" in r.err and "uid=" not in r.out


def test_a_session_keeps_to_the_list(hosts):
    manager, server = hosts
    with Peer([*manager.enter(), "env", "HOME=/root", "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
               "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", server.addr, "mha-node session"]) as peer:
        assert peer.call("probe", port=3306)[0]["status"] == 0
        for verb, args in (("probe", {"port": 3307}), ("events", {"words": ["/etc/passwd"]}),
                           ("check-binlogs", {"start_file": "x.1", "binlog_dir": "/etc", "output_file": "/var/tmp/x"}),
                           ("purge", {"socket": "/run/other.sock"})):
            result, lines, _ = peer.call(verb, **args)
            assert result["error"]["kind"] == "refused" and f"{verb} refused" in result["error"]["text"], result
            assert result["error"]["hint"] and not lines
        result, _, data = peer.call("save", start_file="mysql-bin.000001", start_pos=4, binlog_dir=server.data, output_file="-")
        assert result["status"] == 0 and data.startswith(b"\xfebin"), result


@pytest.mark.parametrize("conf, mode", [(None, 0), (CONF, 0o666), ("directory = x\n", 0o644), (CONF + "x = y\n", 0o644)])
def test_without_a_proper_list_nothing_goes(run, hosts, conf, mode):
    host = hosts[1].host
    try:
        host.remove("/etc/mhad/node.conf")
        if conf is not None:
            host.write("/etc/mhad/node.conf", conf, mode)
        for command in ("mha-node probe --port=3306", "mha-node session"):
            r = run(command)
            assert r.rc == 126 and "/etc/mhad/node.conf" in r.err and not r.out, (r.out, r.err)
        assert run("mha-node version").rc == 0 and run("exit 0").rc == 0
    finally:
        host.write("/etc/mhad/node.conf", CONF)


def test_environment_is_ignored(hosts):
    """Even if sshd lets it through."""
    host = hosts[1].host
    env = {"SSH_ORIGINAL_COMMAND": "purge_relay_logs --user=mha", "MYSQL_PWD": "mha-pw", "MHA_NODE_PASSWORD": "mha-pw"}
    r = host.run(["mha-node", "gate"], env=env)
    assert r.rc == 1 and "Access denied" in r.err


def test_verbs_can_be_listed(run, hosts):
    host = hosts[1].host
    try:
        host.write("/etc/mhad/node.conf", CONF + "verb = probe\n")
        assert run("mha-node probe --port=3306").rc == 0
        for command in ("mha-node session", "mha-node fence --port=3306"):
            r = run(command)
            assert r.rc == 126 and "refused: it is not allowed here" in r.err
    finally:
        host.write("/etc/mhad/node.conf", CONF)
