# SPDX-License-Identifier: BSD-2-Clause
"""What mhad says to a cluster that comes from MHA, and that it never works beside MHA's own manager."""
import json
import re
import shutil

import pytest

from . import Lab
from .mhad import Mhad
from .util import REPO, Unavailable, until

SQL = "mariadb"


@pytest.fixture(scope="module")
def cluster():
    with Lab.open() as lab:
        yield lab.cluster("ma1011", 2)


def migrate(cluster, **settings):
    """Findings by code, and the exit code."""
    conf = cluster.write_conf(**settings)
    r = cluster.lab.manager.run(["mhactl", "check", "migrate", "--json", f"--conf={conf}"])
    found = json.loads(r.out)["findings"]
    return {c: [f for f in found if f["code"] == c] for c in {f["code"] for f in found}}, r.rc


def test_nothing_stands_against_it(cluster):
    found, rc = migrate(cluster, manager_workdir="/var/tmp")
    assert rc == 0 and not [f for fs in found.values() for f in fs if f["severity"] == "error"], found


def test_what_is_different(cluster):
    found, rc = migrate(cluster, ssh_user=None, ssh_options="-o BatchMode=yes", client_bindir="/opt/x", manager_log="/data/x.log",
                        report_script="bin/report")
    text = json.dumps(found["migrate"])
    for word in ("ssh_user", "ssh_options", "client_bindir", "manager_log=/data/x.log", "relative path", "manager_workdir"):
        assert word in text, word
    assert rc == 1 and "bin/report" in found["hook-missing"][0]["text"]


def test_hooks(cluster):
    mgr = cluster.lab.manager
    mgr.script("/usr/local/bin/fine", "exit 0")
    mgr.write("/usr/local/bin/not_executable", "#!/bin/sh\n")
    mgr.script("/usr/local/bin/mha_hook", "#!/usr/bin/env perl\nuse MHA::DBHelper;\n")
    assert migrate(cluster, master_ip_failover_script="fine --x", manager_workdir="/var/tmp")[1] == 0
    found, rc = migrate(cluster, master_ip_failover_script="/usr/local/bin/not_executable", shutdown_script="/nowhere/power --y",
                        report_script="perl_hook_that_is_not_there", master_ip_online_change_script="/usr/local/bin/mha_hook")
    assert rc == 1 and len(found["hook-missing"]) == 3, found
    assert "MHA::" in found["hook-needs-mha"][0]["text"]


def test_privileges(cluster):
    """What the account lacks is named; what mhad-setup grants suffices."""
    db1, db2 = cluster
    mgr = cluster.lab.manager
    db1.script("CREATE USER low@'%' IDENTIFIED BY 'low-pw'; GRANT SELECT, PROCESS, SLAVE MONITOR ON *.* TO low@'%'")
    mgr.write("/etc/account", "mhad-pw\n", 0o600)
    db1.script(mgr.run([str(REPO / "scripts/mhad-setup"), "sql", SQL, "--password-file=/etc/account"], check=True).out)
    until("the slave has them", lambda: db2.one("SELECT COUNT(*) FROM mysql.user WHERE user IN ('low', 'mhad')") == 2)
    found, rc = migrate(cluster, user="low", password="low-pw")
    text = found["privilege-missing"][0]["text"]
    assert rc == 1 and len(found["privilege-missing"]) == 2
    assert "RELOAD" in text and "REPLICATION SLAVE ADMIN" in text and "PROCESS" not in text and "SLAVE MONITOR" not in text
    found, rc = migrate(cluster, user="low", password="wrong")
    assert rc == 1 and "Access denied" in found["privilege-missing"][0]["text"], found
    found, rc = migrate(cluster, user="mhad", password="mhad-pw", manager_workdir="/var/tmp")
    assert rc == 0 and "privilege-missing" not in found, found


def test_an_old_manager(cluster):
    """By its process, by its status file, by its lock; and mhad does not act beside it."""
    if not shutil.which("perl"):
        raise Unavailable("there is no perl on this machine")
    lab, mgr = cluster.lab, cluster.lab.manager
    conf = cluster.write_conf(manager_workdir="/var/tmp")
    mgr.script("/usr/local/bin/masterha_manager", "#!/usr/bin/env perl\nsleep 1000;\n")
    old = mgr.start(["/usr/local/bin/masterha_manager", f"--conf={conf}"])
    pid = until("it runs", lambda: mgr.run(["pgrep", "-f", "perl.*masterha_manager"]).out.strip())
    found, rc = migrate(cluster, manager_workdir="/var/tmp")
    assert rc == 1 and f"process {pid}" in found["old-manager"][0]["text"]
    mgr.write("/var/tmp/app1.master_status.health", f"{pid}\t0:PING_OK\tmaster:db1")
    found, rc = migrate(cluster, manager_workdir="/var/tmp")
    assert rc == 1 and "app1.master_status.health" in found["old-manager"][0]["text"]
    r = mgr.run(["/opt/mhad/bin/masterha_manager", f"--conf={conf}"])
    assert r.rc == 1 and f"process {pid}" in r.out + r.err, r
    old.destroy()
    mgr.remove("/var/tmp/app1.master_status.health")
    lock = mgr.start(["/usr/bin/mariadb", "-h", cluster[0].host.addr, "-umha", "-pmha-pw", "-e",
                      "SELECT GET_LOCK('MHA_Master_High_Availability_Monitor', 1), SLEEP(1000)"])
    until("the lock is held", lambda: cluster[0].one("SELECT IS_USED_LOCK('MHA_Master_High_Availability_Monitor')"))
    found, rc = migrate(cluster, manager_workdir="/var/tmp")
    assert rc == 1 and "holds the lock" in found["old-manager"][0]["text"]
    mhad = Mhad(lab)
    mhad.use(cluster)
    with mhad:
        mhad.until("locked", within=15)
    lock.destroy()


def test_converted_says_the_same(cluster):
    """Read by the program itself; and looked at here once more, by another road."""
    mgr = cluster.lab.manager
    conf = cluster.write_conf(each={"db2": {"candidate_master": 1, "ssh_port": 2222}}, ping_interval="2", shutdown_script="/bin/true",
                              password='a"b\\c', ssh_user="root")
    r = mgr.run(["mhactl", "config", "convert", f"--conf={conf}", "--output=/etc/app1.conf"])
    assert r.rc == 0 and mgr.run(["stat", "-c", "%a", "/etc/app1.conf"]).out == "600\n", r
    shown = [json.loads(mgr.run(["mhactl", "config", "show", "--json", f"--conf={f}"], check=True).out) for f in (conf, "/etc/app1.conf")]
    values = [{name: {k: v["value"] for k, v in s.items() if not k.startswith("http_")} for name, s in c["servers"].items()}
              for c in shown]
    assert values[0] == values[1] and len(values[0]) == 2
    assert 'ssh_user = "root"' in mgr.read("/etc/app1.conf"), "whoever converts may be root; mhad is not"
    assert mgr.run(["mhactl", "config", "convert", f"--conf={conf}", "--output=/etc/app1.conf"]).rc == 1, "never over a file"
    mgr.write("/etc/mhad/mhad.conf", 'defaults = { hook_timeout = "5s"; };\n', 0o600)
    r = mgr.run(["mhactl", "config", "convert", f"--conf={conf}"])
    mgr.remove("/etc/mhad/mhad.conf")
    assert r.rc == 0 and re.search(r"hook_timeout of server1 is .1m., and would be .5s. by /etc/mhad/mhad.conf", r.err), r.err


# ---- mhad-setup ---------------------------------------------------------------------------------
@pytest.fixture
def setup(cluster):
    mgr = cluster.lab.manager
    program = str(REPO / "scripts/mhad-setup")
    if "mhad:" not in mgr.read("/etc/passwd"):
        mgr.write("/etc/group", mgr.read("/etc/group") + "mhad:x:990:\n")
        mgr.write("/etc/passwd", mgr.read("/etc/passwd") + "mhad:x:990:990::/var/lib/mhad:/bin/sh\n")
    mgr.run(["chown", "mhad:mhad", "/var/lib/mhad"], check=True)
    return lambda *words: mgr.run([program, *words])


def test_setup(cluster, setup):
    mgr, (db1, db2) = cluster.lab.manager, cluster
    first = setup("key")
    assert first.rc == 0 and re.fullmatch(r'restrict,command="/usr/bin/mha-node gate" ssh-ed25519 \S+ mhad@mgr\n', first.out), first
    assert setup("key").out == first.out, "it stays"
    assert mgr.run(["stat", "-c", "%U %a", "/var/lib/mhad/.ssh/id_ed25519"]).out == "mhad 600\n"

    # What is missing there is named.
    r = setup("install", "--accept-new", "db1")
    assert r.rc == 1 and "MISSING /etc/mhad/node.conf" in r.out and "not ready: db1" in r.err, r
    db1.host.write("/etc/mhad/node.conf", "address = 10.0.0.1/24\n")
    r = setup("install", "--accept-new", "db1")
    assert r.rc == 1 and "MISSING a usable /etc/mhad/node.conf: line 1" in r.out, r
    for s in cluster:
        s.host.write("/etc/mhad/node.conf", f"directory = {s.data}\ndirectory = /nowhere\nport = 3306\n")
    r = setup("install", "--accept-new", "db1", "db2")
    assert r.rc == 0 and "admitted already" in r.out and f"ok      {db2.data}" in r.out and "/nowhere is not there" in r.out, r
    assert db1.host.read("/root/.ssh/authorized_keys").count("mha-node gate") == 1
    r = setup("check", "db1", "db2")
    assert r.rc == 0 and r.out.count("mha-node") == 2, r

    # The key is good for nothing else, and the hosts' keys are known to mhad.
    r = mgr.run(["runuser", "-u", "mhad", "--", "ssh", "-i", "/var/lib/mhad/.ssh/id_ed25519", "-o", "IdentitiesOnly=yes",
                 "-o", "BatchMode=yes", "root@db1", "id"])
    assert r.rc == 126 and "uid=" not in r.out, r
    for f in ("/var/lib/mhad/.ssh/known_hosts", "/var/lib/mhad/known_hosts"):
        assert {l.split()[0] for l in mgr.read(f).splitlines()} >= {"db1", "db2"}, f

    # A login without rights is told what it cannot do.
    db2.host.write("/etc/passwd", db2.host.read("/etc/passwd") + "plain:x:991:991::/home/plain:/bin/sh\n")
    db2.host.write("/home/plain/.ssh/authorized_keys", db2.host.read("/root/.ssh/authorized_keys").replace("restrict,", "#"))
    db2.host.run(["chown", "-R", "991:991", "/home/plain"], check=True)
    r = setup("install", "--accept-new", "--ssh-user=plain", "db2")
    assert r.rc == 1 and "MISSING root: plain can neither" in r.out, r
    assert setup("install", "db9").rc == 1
    for wrong in (["install"], ["sql", "oracle"], ["install", "-o=x"], ["sql", "mariadb", "--from=a'b"], ["nonsense"]):
        assert setup(*wrong).rc == 2, wrong


def test_setup_password(setup, cluster):
    mgr = cluster.lab.manager
    r = setup("sql", "mysql", "--password-file=/etc/mhad/new.password")
    secret = mgr.read("/etc/mhad/new.password").strip()
    assert r.rc == 0 and len(secret) == 24 and f"IDENTIFIED BY '{secret}'" in r.out, r
    assert mgr.run(["stat", "-c", "%U:%G %a", "/etc/mhad/new.password"]).out == "root:mhad 640\n"
    assert f"IDENTIFIED BY '{secret}'" in setup("sql", "mysql56", "--password-file=/etc/mhad/new.password").out, "it is kept"
    assert setup("sql", "mariadb").out != setup("sql", "mariadb").out
