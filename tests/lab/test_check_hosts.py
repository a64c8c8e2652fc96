# SPDX-License-Identifier: BSD-2-Clause
"""SSH, node tools and hooks: what masterha_check_repl and masterha_check_ssh say when a host does not play along."""
import json
from types import SimpleNamespace

import pytest

from . import Lab, fault
from .host import NODE_PROGRAMS

BINDIR = "/opt/mhad/bin"


@pytest.fixture(scope="module")
def cluster():
    """Position mode: a failover needs SSH and the node tools, so their absence is an error."""
    with Lab.open() as lab:
        yield lab.cluster("ma1011", 3, mode="pos")


@pytest.fixture(scope="module")
def by_gtid():
    with Lab.open() as lab:
        yield lab.cluster("ma1011", 2, mode="gtid")


@pytest.fixture(autouse=True)
def whole_again(cluster):
    yield
    cluster.write_conf()


def check(cluster, what="repl", *options):
    mgr = cluster.lab.manager
    r = mgr.run([f"masterha_check_{what}", f"--conf={cluster.conf}", *options])
    more = ["--all-pairs"] if what == "ssh" and "--manager-only" not in options else []
    j = mgr.run(["mhactl", "check", what, "--json", f"--conf={cluster.conf}", *options, *more])
    found = json.loads(j.out)
    assert (j.rc, found["ok"]) == (r.rc, r.rc == 0), "both forms agree"
    assert r.rc in (0, 1)
    return SimpleNamespace(rc=r.rc, out=r.out, log=r.err, findings=found["findings"],
                           codes=[f["code"] for f in found["findings"]],
                           stops=[f["code"] for f in found["findings"] if f["stops"]])


# ---- SSH ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys(cluster, kind):
    cluster.write_conf(ssh_key=f"/root/.ssh/id_{kind}")
    assert check(cluster, "ssh", "--manager-only").rc == 0
    c = check(cluster)
    assert (c.rc, c.stops) == (0, [])


def test_sshd_is_down(cluster):
    with fault.sshd_stopped(cluster[2].host):
        c = check(cluster)
        assert c.rc == 1 and c.stops == ["ssh-unreachable"] and "root@db3(" in c.log
        c = check(cluster, "ssh", "--manager-only")
        assert c.rc == 1 and c.stops == ["ssh-unreachable"]
        assert c.log.rstrip().endswith("- [error] SSH Configuration Check Failed!")
        c = check(cluster, "ssh")
        failed = [f["text"] for f in c.findings if f["code"] == "ssh-between-hosts"]
        assert c.rc == 1 and len(failed) == 2 and "ssh-unreachable" in c.stops, "from db1, from db2, and from here"


def test_login_refused(cluster):
    with fault.sshd_refusing(cluster[1].host):
        c = check(cluster)
        assert c.rc == 1 and c.stops == ["ssh-refused"] and "root@db2(" in c.log


def test_changed_host_key(cluster):
    """accept-new pins the first key; another one is refused, with the way out."""
    assert check(cluster, "ssh", "--manager-only").rc == 0
    with fault.new_host_keys(cluster[1].host):
        c = check(cluster)
        assert c.rc == 1 and c.stops == ["ssh-refused"]
        assert "ssh-keygen" in c.log and "known_hosts" in c.log


def test_unknown_host_key(cluster):
    """strict: a key that nobody has confirmed is refused."""
    cluster.lab.manager.write("/root/empty_known_hosts", "", 0o600)
    cluster.write_conf(ssh_host_keys="strict", ssh_known_hosts="/root/empty_known_hosts")
    c = check(cluster)
    assert c.rc == 1 and c.stops == ["ssh-refused"] * 3
    keys = "".join(f"{s.name},{s.addr} " + " ".join(s.host.read("/etc/ssh/ssh_host_ed25519_key.pub").split()[:2]) + "\n"
                   for s in cluster)
    cluster.lab.manager.write("/root/known_hosts", keys, 0o600)
    cluster.write_conf(ssh_host_keys="strict", ssh_known_hosts="/root/known_hosts")
    assert check(cluster).rc == 0


def test_wrong_user_and_missing_key_file(cluster):
    cluster.write_conf(ssh_user="nobody-here")
    assert check(cluster).stops == ["ssh-refused"] * 3
    cluster.write_conf(ssh_key="/root/.ssh/no-such-key")
    c = check(cluster)
    assert c.rc == 1 and "/root/.ssh/no-such-key" in c.log


def test_between_hosts_only(cluster):
    """db1 may not log in to db3.  MHA needs that, mhad does not."""
    ours = cluster.lab.manager.read("/root/.ssh/id_ed25519.pub")
    db3 = cluster[2].host
    keys = db3.read("/root/.ssh/authorized_keys")
    db3.write("/root/.ssh/authorized_keys", ours, 0o600)
    try:
        c = check(cluster, "ssh")
        assert c.rc == 1 and c.stops == ["ssh-between-hosts"] * 2
        assert all("to root@db3(" in f["text"] for f in c.findings if f["stops"])
        cluster.write_conf(each={"db3": {"skip_init_ssh_check": 1}})
        assert check(cluster, "ssh").rc == 0
        cluster.write_conf()
        assert check(cluster).rc == 0
        assert check(cluster, "ssh", "--manager-only").rc == 0
    finally:
        db3.write("/root/.ssh/authorized_keys", keys, 0o600)


def test_gtid_mode_needs_no_ssh(by_gtid):
    """It is a warning that says what cannot be done then."""
    with fault.sshd_stopped(by_gtid[0].host):
        c = check(by_gtid)
        assert (c.rc, c.stops) == (0, []) and "ssh-unreachable" in c.codes
        assert "binlogs cannot be saved from there, nor can it be fenced" in c.log


# ---- node tools -----------------------------------------------------------------------------------
def hidden(host):
    """Take the node programs out of a host's PATH, and MHA's own if this machine has them."""
    for name in NODE_PROGRAMS:
        host.remove("/usr/bin/" + name)
    host.path(BINDIR).rename(host.path(BINDIR + ".away"))


def shown(host):
    host.path(BINDIR + ".away").rename(host.path(BINDIR))


@pytest.mark.parametrize("mode, severity", [("pos", "error"), ("gtid", "warning")])
def test_node_is_missing(cluster, by_gtid, mode, severity):
    c = cluster if mode == "pos" else by_gtid
    hidden(c[1].host)
    try:
        r = check(c)
        assert r.rc == (severity == "error")
        missing = [f for f in r.findings if f["code"] == "node-missing"]
        assert [f["severity"] for f in missing] == [severity] and "root@db2(" in missing[0]["text"]
        c.write_conf(each={"db2": {"node_bindir": BINDIR + ".away"}})
        assert check(c).rc == 0 and "node-missing" not in check(c).codes
    finally:
        shown(c[1].host)
        c.write_conf()


def test_node_is_too_old(cluster):
    host = cluster[1].host
    hidden(host)
    host.script("/usr/local/bin/apply_diff_relay_logs", "echo 'apply_diff_relay_logs version 0.53.'")
    try:
        c = check(cluster)
        assert c.rc == 1 and c.stops == ["node-too-old"] and "0.53" in c.log
    finally:
        host.remove("/usr/local/bin/apply_diff_relay_logs")
        shown(host)


def test_mhas_own_node_gets_mhas_command_line(cluster):
    """Names, order and escapes of MHA; the password is not logged."""
    host = cluster[1].host
    hidden(host)
    host.script("/usr/local/bin/apply_diff_relay_logs", """
case $1 in --version) echo "apply_diff_relay_logs version 0.58."; exit;; esac
printf '%s\\n' "$@" >/var/tmp/argv""")
    try:
        c = check(cluster)
        assert (c.rc, c.stops) == (0, [])
        argv = host.read("/var/tmp/argv").splitlines()
        names = [a.split("=")[0] for a in argv]
        assert names == ["--command", "--slave_user", "--slave_host", "--slave_ip", "--slave_port", "--workdir",
                         "--target_version", "--manager_version", "--relay_log_info", "--relay_dir", "--slave_pass"]
        assert argv[0] == "--command=test" and argv[2:5] == ["--slave_host=db2", f"--slave_ip={cluster[1].addr}",
                                                            "--slave_port=3306"]
        assert argv[-1] == "--slave_pass=mha-pw"
        assert "mha-pw" not in c.log and "--slave_pass=xxx" in c.log
    finally:
        host.remove("/usr/local/bin/apply_diff_relay_logs")
        shown(host)


def test_binlogs_are_not_where_the_file_says(cluster):
    cluster.write_conf(each={"db1": {"master_binlog_dir": "/var/lib/mysql"}})
    c = check(cluster)
    assert c.rc == 1 and c.stops == ["binlog-test"]
    assert f"{cluster[0].data}/mysql-bin" in c.log, "the hint tells where they are"


def test_binlog_directory_is_not_readable(cluster):
    """The SSH user is not root and not in mysql's group."""
    db1 = cluster[0].host
    db1.run(["sh", "-c", "echo plain:x:1234:1234::/home/plain:/bin/bash >>/etc/passwd; "
             "echo 'plain:*:19000::::::' >>/etc/shadow; mkdir -p /home/plain/.ssh; "
             "cp /root/.ssh/authorized_keys /home/plain/.ssh/; chown -R 1234:1234 /home/plain; "
             "mkdir -p /var/log/masterha/app1; chmod 777 /var/log/masterha/app1"], check=True)
    cluster.write_conf(each={"db1": {"ssh_user": "plain"}})
    c = check(cluster)
    assert c.rc == 1 and c.stops == ["binlog-test"], c.log


def test_relay_logs_cannot_be_used(cluster):
    cluster.write_conf(each={"db2": {"remote_workdir": "/proc/nowhere"}})
    c = check(cluster)
    assert c.rc == 1 and c.stops == ["relay-test"] and f"db2({cluster[1].addr}:3306)" in c.log


def test_binlog_servers(cluster):
    """One that cannot be used is bearable unless it is the only one; one whose files cannot be read is not."""
    spare = cluster.lab.host("db9")
    spare.path("/srv/binlogs").mkdir(exist_ok=True)
    for log in cluster[0].binlogs():
        spare.path(f"/srv/binlogs/{log.name}").write_bytes(log.read_bytes())
    block = "\n[binlog1]\nhostname=db9\nmaster_binlog_dir=/srv/binlogs\n"
    cluster.write_conf(cluster.conf_text() + block)
    c = check(cluster)
    assert (c.rc, c.stops) == (0, []) and "Binlog server check done." in c.log
    cluster.write_conf(cluster.conf_text() + block.replace("/srv/binlogs", "/srv/elsewhere"))
    c = check(cluster)
    assert c.rc == 1 and c.stops == ["binlog-server"] and "db9" in c.log
    with fault.sshd_stopped(spare):
        cluster.write_conf(cluster.conf_text() + block)
        c = check(cluster)
        assert c.rc == 1 and c.stops == ["binlog-server"] and "ssh-unreachable" in c.codes
        cluster.write_conf(cluster.conf_text() + block + block.replace("binlog1", "binlog2").replace("db9", "db3")
                           .replace("/srv/binlogs", cluster[2].data))
        c = check(cluster)
        assert (c.rc, c.stops) == (0, []) and "ssh-unreachable" in c.codes


# ---- hooks ----------------------------------------------------------------------------------------
def test_hooks_are_called_as_mha_calls_them(cluster):
    mgr = cluster.lab.manager
    log = mgr.path(fault.HOOK_LOG)
    log.unlink(missing_ok=True)
    cluster.write_conf(master_ip_failover_script=fault.hook(mgr, "ip_hook") + " --zone='a b' --quick",
                       shutdown_script=fault.hook(mgr, "power_hook"))
    r = mgr.run(["masterha_check_repl", f"--conf={cluster.conf}"])
    assert r.rc == 0, r.err
    ip = cluster[0].addr
    assert sorted(fault.hook_calls(mgr)) == [
        f"ip_hook --zone=a b --quick --command=status --ssh_user=root --orig_master_host=db1 --orig_master_ip={ip}"
        " --orig_master_port=3306",
        f"power_hook --command=status --ssh_user=root --host=db1 --ip={ip}"]
    for setting in ("master_ip_failover_script", "shutdown_script"):
        assert f"Checking {setting} status:" in r.err
    assert "is not defined" not in r.err


@pytest.mark.parametrize("kind, words", [("fail", "returned exit status 1"), ("killed", "as when signal 9 ends a program"),
                                         ("hang", "did not end within 1 s")])
def test_hook_that_fails(cluster, kind, words):
    mgr = cluster.lab.manager
    cluster.write_conf(master_ip_failover_script=fault.hook(mgr, "bad_hook", kind), hook_timeout=1)
    c = check(cluster)
    assert c.rc == 1 and c.stops == ["hook-failed"] and words in c.log
    if kind == "fail":
        assert "hook: refused" in c.log, "what it wrote is in the log"
    r = mgr.run(["mhactl", "check", "hooks", f"--conf={cluster.conf}"])
    assert r.rc == 1 and words in r.err
    assert not [argv for _, argv in mgr.processes() if "86400" in argv], "nothing of it is left"


def test_hook_that_is_not_there(cluster):
    cluster.write_conf(shutdown_script="/nowhere/power", report_script="/nowhere/report")
    c = check(cluster)
    assert c.rc == 1 and c.stops == ["hook-failed"] and "/nowhere/power" in c.log
    r = cluster.lab.manager.run(["mhactl", "check", "hooks", "--json", f"--conf={cluster.conf}"])
    found = json.loads(r.out)
    assert r.rc == 1 and [f["code"] for f in found["findings"]].count("hook-missing") == 2
