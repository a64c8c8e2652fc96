# SPDX-License-Identifier: BSD-2-Clause
"""Hooks as mhad calls them: the shipped ones over its sessions and by ssh(1), MHA's, and those that misbehave."""
import json
import os
import pathlib
import select
import shutil
import statistics
import subprocess
import time

import pytest

from . import Lab, fault
from .host import ENV, ENV_PASSED, programs
from .net import VIP
from .util import LabError

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"
FAILOVER, ONLINE = SCRIPTS / "master_ip_failover", SCRIPTS / "master_ip_online_change"
VIP_CONF = f"VIP={VIP}/24\nVIP_DEVICE=eth0\n"


class Driver:
    """build/tools/hook on the manager host; what it prints comes as dictionaries."""

    def __init__(self, host, conf):
        tool = host.path("/opt/mhad/hook-tool")
        tool.unlink(missing_ok=True)
        shutil.copy2(programs().parent / "tools/hook", tool)
        host.write("/opt/mhad/leaks", "leak:libssh2.so\nleak:libcrypto.so\n")
        env = {**ENV, **{k: v for k, v in os.environ.items() if ENV_PASSED.fullmatch(k)},
               "LSAN_OPTIONS": "print_suppressions=0:suppressions=/opt/mhad/leaks"}
        self.proc = subprocess.Popen([*host.enter(), "/opt/mhad/hook-tool", conf], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, env=env)
        self.rest, self.up = b"", set()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.proc.stdin.close()
            rc = self.proc.wait(20)
            assert kind or rc == 0, rc
        finally:
            if self.proc.poll() is None:
                self.proc.kill()
                self.proc.wait()

    def wait(self, test, within=15.0):
        end = time.monotonic() + within
        while True:
            line, newline, rest = self.rest.partition(b"\n")
            if newline:
                self.rest = rest
                said = json.loads(line)
                if said["ev"] == "link":
                    (self.up.add if said["state"] == "up" else self.up.discard)(said["id"])
                if test(said):
                    return said
                continue
            if not select.select([self.proc.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise LabError(f"not seen within {within} s")
            more = os.read(self.proc.stdout.fileno(), 65536)
            if not more:
                raise LabError(f"the tool has ended: {self.proc.wait()}")
            self.rest += more

    def until(self, id, up):
        """The session with that server's host is up, or is not."""
        while (id in self.up) != up:
            self.wait(lambda x: x["ev"] == "link")

    def __call__(self, *words):
        self.proc.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.proc.stdin.flush()

    def line(self, on):
        self("line", "on" if on else "off")
        said = self.wait(lambda x: x["ev"] == "line")
        assert not said["error"], said
        return said["path"]

    def run(self, call, orig, new=None, ms=20000, rc=0):
        self("run", call, ms, orig, *([new] if new else []))
        said = self.wait(lambda x: x["ev"] == "ended")
        assert rc is None or said["status"] == rc, said
        return said


@pytest.fixture(scope="module")
def cluster():
    with Lab.open() as lab:
        c = lab.cluster("ma1011", 3, mode="pos")
        lab.manager.write("/etc/mhad/vip.conf", VIP_CONF)
        yield c


@pytest.fixture
def mgr(cluster):
    mgr = cluster[0].lab.manager
    mgr.write("/etc/mhad/vip.conf", VIP_CONF)
    yield mgr
    for s in cluster:
        if s.host.on:
            s.host.run(["sh", "-c", "ip addr flush dev eth0 to 10.77.0.100/30; ip -6 addr flush dev eth0 to fd77::100/120; "
                                    "ip addr flush dev lo to 10.77.0.100/30"])


@pytest.fixture
def hooks(cluster, mgr):
    """The driver with the shipped scripts and the line, all sessions up."""
    conf = cluster.write_conf(master_ip_failover_script=FAILOVER, master_ip_online_change_script=ONLINE,
                              shutdown_script=SCRIPTS / "power_manager", report_script=SCRIPTS / "send_report",
                              ssh_connection_timeout=3)
    with Driver(mgr, conf) as d:
        for i in (1, 2, 3):
            d.until(f"server{i}", True)
        d.line(True)
        yield d


def own(cluster, mgr, script):
    """The driver with a script of the test's own."""
    return Driver(mgr, cluster.write_conf(master_ip_failover_script=script))


# ---- the address ----------------------------------------------------------------------------------
@pytest.mark.parametrize("line", [True, False], ids=["line", "ssh"])
def test_the_address_moves_both_ways_under_a_writer(cluster, hooks, line):
    db1, db2, _ = cluster
    vip = db1.lab.vip
    hooks.line(line)
    vip.put(db1.host)
    vip.drop(db1.host)  # the writer's host knows where it was
    db1.host.run(["ip", "addr", "add", f"{VIP}/24", "dev", "eth0"], check=True)
    hooks.run("status", "server1")
    db1.set(read_only=0)
    with db1.lab.writer() as load:
        load.wait(30, server=db1)
        hooks.run("stopssh", "server1")
        assert not vip.holders() and not vip.answers()
        since = time.monotonic()
        db2.set(read_only=0)
        hooks.run("start", "server1", "server2")
        assert vip.holders() == [db2.host] and vip.answers() == [db2.host]
        load.wait(30, server=db2, since=since)
        hooks.run("start", "server1", "server2")  # once more changes nothing
        assert vip.answers() == [db2.host]

        hooks.run("online_stop", "server2", "server1")
        assert not vip.answers()
        since = time.monotonic()
        hooks.run("online_start", "server2", "server1")
        assert vip.answers() == [db1.host]
        load.wait(30, server=db1, since=since)
    for s in (db1, db2):
        assert not s.variable("read_only")


def test_neighbours_are_told(cluster, hooks, mgr):
    db1, db2, _ = cluster
    hooks.run("start", "server1", "server1")
    assert mgr.tcp(VIP, 22) == "open"
    known = lambda: mgr.run(["ip", "neigh", "show", VIP]).out
    before = known()
    hooks.run("stopssh", "server1")
    hooks.run("start", "server1", "server2")
    assert known() != before and "lladdr" in known()
    assert mgr.tcp(VIP, 22) == "open"


@pytest.mark.parametrize("line", [True, False], ids=["line", "ssh"])
def test_status_looks(cluster, hooks, mgr, line):
    db1, db2, db3 = cluster
    hooks.line(line)
    assert "init_vip.sh db1" in hooks.run("status", "server1", rc=1)["output"]
    hooks.run("start", "server1", "server2")
    assert "not on the master db1" in hooks.run("status", "server1", rc=1)["output"]
    hooks.run("status", "server2")
    if line:
        db3.host.run(["ip", "addr", "add", f"{VIP}/32", "dev", "lo"], check=True)
        assert f"{VIP}/24 is on db3 too" in hooks.run("status", "server2", rc=1)["output"]
    mgr.write("/etc/mhad/vip.conf", f"VIP={VIP}/24\n")
    assert "does not set VIP_DEVICE" in hooks.run("status", "server2", rc=1)["output"]
    mgr.remove("/etc/mhad/vip.conf")
    assert "cannot read /etc/mhad/vip.conf" in hooks.run("status", "server2", rc=1)["output"]


def test_a_silent_master_does_not_hold_it_up(cluster, hooks):
    """A second at most, beside what the same call takes here when all is well."""
    db1, db2, _ = cluster
    hooks.run("start", "server1", "server1")
    usual = 3 * max(hooks.run("stopssh", "server1")["us"] for _ in range(3))
    hooks.run("start", "server1", "server1")
    with fault.isolated(db1.host):
        r = hooks.run("stop", "server1")  # at once: mhad has not noticed
        assert r["us"] < usual + 1_500_000 and "nobody answers for" in r["output"], (usual, r)
        hooks.until("server1", False)
        r = hooks.run("stop", "server1")
        assert r["us"] < usual + 700_000, (usual, r)
        hooks.run("start", "server1", "server2")
        hooks.line(False)
        r = hooks.run("stop", "server1", rc=10)
        assert r["us"] < usual + 3_000_000 and "nobody could be asked" in r["output"], (usual, r)
    assert set(db1.lab.vip.holders()) == {db1.host, db2.host}  # the old host is back, unfenced
    db1.host.run(["ip", "addr", "del", f"{VIP}/24", "dev", "eth0"], check=True)
    hooks.until("server1", True)


def test_an_address_that_still_answers_stops_a_failover(cluster, hooks, mgr):
    """The host lives but takes no orders: its address must not be taken as gone."""
    db1, db2, _ = cluster
    hooks.run("start", "server1", "server1")
    with fault.sshd_stopped(db1.host):
        db1.host.run(["sh", "-c", "pkill -f '[m]ha-node session' || true"])
        hooks.until("server1", False)
        assert "something answers for" in hooks.run("stop", "server1", rc=1)["output"]
        assert "has not taken" in hooks.run("start", "server1", "server2", rc=1)["output"]
        assert db1.lab.vip.holders() == [db1.host]
        mgr.write("/etc/mhad/vip.conf", VIP_CONF + "VIP_FORCE=yes\n")
        hooks.run("start", "server1", "server2")
        assert db2.host in db1.lab.vip.holders()
    hooks.until("server1", True)


def addresses(host):
    return {line.split()[3]: line.split()[1] for line in host.run(["ip", "-o", "addr", "show"]).out.splitlines()}


def test_several_addresses(cluster, hooks, mgr):
    """A /24, a /32 on another interface, IPv6; by environment as well as by file."""
    db1, db2, _ = cluster
    for s in cluster:
        s.host.run(["ip", "addr", "add", f"fd77::{s.addr.split('.')[-1]}/64", "dev", "eth0", "nodad"])
    mgr.write("/etc/mhad/vip.conf", f'VIP="{VIP}/24 10.77.0.101/32@lo fd77::100/64"\nVIP_DEVICE=eth0\n')
    hooks.run("start", "server1", "server1")
    a = addresses(db1.host)
    assert (a[f"{VIP}/24"], a["10.77.0.101/32"], a["fd77::100/64"]) == ("eth0", "lo", "eth0")
    hooks.run("status", "server1")
    hooks.run("stopssh", "server1")
    assert not {f"{VIP}/24", "10.77.0.101/32", "fd77::100/64"} & set(addresses(db1.host))
    hooks.run("start", "server1", "server2")
    assert {f"{VIP}/24", "10.77.0.101/32", "fd77::100/64"} <= set(addresses(db2.host))
    mgr.remove("/etc/mhad/vip.conf")
    r = mgr.run(["env", f"VIP={VIP}/24@eth0", str(SCRIPTS / "drop_vip.sh"), "db2"])
    assert r.rc == 0 and f"{VIP}/24" not in addresses(db2.host), r


def test_readers_have_an_address_on_a_slave(cluster, hooks, mgr):
    db1, db2, db3 = cluster
    read = "10.77.0.102/24"
    holders = lambda: [s.host.name for s in cluster if read in addresses(s.host)]
    mgr.write("/etc/mhad/vip.conf", VIP_CONF + f"READ_VIP={read}\n")
    assert mgr.run(["env", "READ_VIP_HOSTS=db2 db3", str(SCRIPTS / "init_vip.sh"), "db1"]).rc == 0
    assert holders() == ["db2"]
    hooks.run("stopssh", "server1")
    hooks.run("start", "server1", "server2")  # the slave that had it is the master now
    assert holders() == ["db3"]
    hooks.run("online_stop", "server2", "server1")
    hooks.run("online_start", "server2", "server1")
    assert holders() == ["db3"]  # it stays
    with fault.isolated(db2.host):
        hooks.until("server2", False)
        hooks.run("stopssh", "server1")
        hooks.run("start", "server1", "server3")  # no slave is left
        assert holders() == ["db3"] and f"{VIP}/24" in addresses(db3.host)
    hooks.until("server2", True)


# ---- the line -------------------------------------------------------------------------------------
def test_the_line_is_for_the_hook_and_its_cluster(cluster, hooks, mgr):
    path = hooks.line(True)
    via = lambda *words, line=path, user=(): mgr.run([*user, "env", f"MHAD_CHANNEL={line}", "mhactl", "via", *words])
    r = via("db1", "probe", "--port=3306")
    assert r.rc == 0 and json.loads(r.out)["port"] == 3306, r
    assert via(cluster[0].addr, "vip", "--show", f"--address={VIP}").rc == 4
    assert via("server1", "reach", "--host=db2", "--port=3306").rc == 0
    for words, why in ((["db1", "save"], "vip, fence, probe and reach only"), (["db9", "probe"], 'no host "db9"'),
                       (["mgr", "probe"], "no host")):
        r = via(*words)
        assert r.rc == 255 and why in r.err and not r.out, r
    r = via("db1", "vip", "--show")
    assert r.rc == 1 and "--address" in r.err, r
    assert via("db1").rc == 2 and via("db1", "vip", "show").rc == 2 and via("--timeout=0", "db1", "vip").rc == 2
    assert via("db1", "probe", user=["setpriv", "--reuid=nobody", "--clear-groups"]).rc == 254
    folder = pathlib.Path(path).parent
    assert oct(mgr.path(str(folder)).stat().st_mode & 0o777) == "0o700"
    hooks.line(False)
    assert not mgr.path(str(folder)).exists()
    assert via("db1", "probe").rc == 254
    assert mgr.run(["mhactl", "via", "db1", "probe"]).rc == 254


def test_a_move_over_the_line_is_faster(cluster, hooks, capsys):
    """Figures of one run on this machine."""
    took = {}
    for way in ("line", "ssh"):
        hooks.line(way == "line")
        hooks.run("start", "server1", "server1")
        at, to = "server1", "server2"
        took[way] = []
        for _ in range(9):
            took[way].append((hooks.run("stopssh", at)["us"], hooks.run("start", at, to)["us"]))
            at, to = to, at
        hooks.run("stopssh", at)
    with capsys.disabled():
        for way, pairs in took.items():
            off, on = (statistics.median(p[i] for p in pairs) / 1000 for i in (0, 1))
            print(f"\nVIP by {way}: off {off:.0f} ms, on {on:.0f} ms (medians of {len(pairs)})", end="")
        print()
    medians = {way: statistics.median(map(sum, pairs)) for way, pairs in took.items()}
    assert medians["line"] < medians["ssh"], medians


# ---- power ----------------------------------------------------------------------------------------
IPMITOOL = """#!/bin/sh
echo "$* [${IPMI_PASSWORD:-}]" >>/var/log/ipmi
case "$*" in
*status) printf 'Chassis Power is %s\\n' "$(cat /var/log/power)" ;;
*off) [ -e /var/log/stuck ] || echo off >/var/log/power ;;
*on) echo on >/var/log/power ;;
esac
"""


@pytest.fixture
def power(mgr):
    mgr.script("/usr/local/bin/ipmitool", IPMITOOL)
    mgr.write("/etc/mhad/power.conf", "# ours\n[db1]\nmethod = ipmi\naddress= 10.9.0.11\nuser =mhad\npassword = s3 c=r#t\nwait = 2\n"
              "[db2]\n  method = command\n\toff = echo off >/var/log/cloud\n"
              "is_off = grep -qx off /var/log/cloud\non = echo on >/var/log/cloud\n\n[*]\nmethod = ssh\n", 0o600)
    for name in ("power", "cloud"):
        mgr.write(f"/var/log/{name}", "on\n")
    for name in ("ipmi", "stuck"):
        mgr.remove(f"/var/log/{name}")
    yield mgr
    mgr.remove("/usr/local/bin/ipmitool")


def test_power_off_is_looked_at(hooks, power):
    hooks.run("power_status", "server1")
    r = hooks.run("power", "server1")
    assert "db1 is off" in r["output"] and power.read("/var/log/power") == "off\n"
    log = power.read("/var/log/ipmi")
    assert "-E -I lanplus -H 10.9.0.11 -U mhad chassis power off [s3 c=r#t]" in log and "-P" not in log
    assert hooks.run("power", "server1")["output"].startswith("power_manager: db1 is off already")
    assert "another host" in hooks.run("power_status", "server1", rc=1)["output"]
    power.write("/var/log/power", "on\n")
    power.write("/var/log/stuck", "")
    r = hooks.run("power", "server1", rc=1)
    assert "was not seen to be off within 2 seconds" in r["output"], r
    hooks.run("power_status", "server2")
    hooks.run("power", "server2")
    assert power.read("/var/log/cloud") == "off\n"
    assert power.run([str(SCRIPTS / "power_manager"), "--command=start", "--host=db2", "--ip=10.77.0.12"]).rc == 0
    assert power.read("/var/log/cloud") == "on\n"
    assert "no power switch" in hooks.run("power", "server3", rc=1)["output"]
    power.write("/etc/mhad/power.conf", power.read("/etc/mhad/power.conf"), 0o644)
    assert "chmod 600" in hooks.run("power_status", "server1", rc=1)["output"]
    power.remove("/etc/mhad/power.conf")
    assert "cannot read" in hooks.run("power_status", "server1", rc=1)["output"]


@pytest.mark.parametrize("line", [True, False], ids=["line", "ssh"])
def test_mysqld_is_killed_where_the_host_lives(cluster, hooks, power, line):
    db3 = cluster[2]
    hooks.line(line)
    hooks.run("power_status", "server3")
    r = hooks.run("powerssh", "server3", rc=10)
    assert "mysqld of port 3306 on db3 is dead" in r["output"] and not db3.running, r
    assert json.loads(db3.host.run(["mha-node", "probe", "--port=3306"]).out)["port"] == 3306
    db3.host.run(["mha-node", "release", "--port=3306"], check=True)
    db3.start()


# ---- reports --------------------------------------------------------------------------------------
WEB = """
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        open("/var/log/posted", "w").write(self.path + "\\n" + self.headers["Authorization"] + "\\n" + body)
        self.send_response(204 if "ok" in self.path else 500)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8088), H).serve_forever()
"""


def test_reports_are_sent(hooks, mgr):
    if not mgr.run(["sh", "-c", "command -v curl"]).out:
        pytest.skip("no curl here")
    mgr.script("/usr/local/bin/sendmail", 'echo "$*" >/var/log/mail; cat >>/var/log/mail')
    mgr.script("/usr/local/bin/deaf", "trap '' PIPE; exec sleep 86400")
    mgr.write("/opt/web.py", WEB)
    web = mgr.start(["/usr/bin/python3", "/opt/web.py"])
    try:
        mgr.lab.until("it listens", lambda: mgr.tcp("127.0.0.1", 8088) == "open")
        conf = ("MAIL_TO=dba@example.org\nMAIL_FROM=mhad@example.org\nSENDMAIL=/usr/local/bin/sendmail\n"
                "WEBHOOK_URL='http://127.0.0.1:8088/ok?k=\"s\\cret'\nWEBHOOK_HEADER='Authorization: Bearer \"x'\nREPORT_SECONDS=1\n")
        mgr.write("/etc/mhad/report.conf", conf, 0o600)
        hooks.run("report", "server1", "server2")
        mail = mgr.read("/var/log/mail")
        assert mail.startswith("-t -i\nFrom: mhad@example.org\nTo: dba@example.org\nSubject: app1: MySQL Master failover\n")
        assert mail.endswith("\n\nMaster is down!\n\nIt's \"over\".\n\n") or mail.endswith("It's \"over\".\n"), mail
        path, bearer, body = mgr.read("/var/log/posted").split("\n", 2)
        j = json.loads(body)
        assert path == '/ok?k="s\\cret' and bearer == 'Bearer "x', (path, bearer)
        assert j["cluster"] == "app1" and j["new_slave_hosts"] == "db3" and 'It\'s "over".' in j["body"]
        assert (j["orig_master_host"], j["new_master_host"]) == ("db1", "db2") and j["text"].startswith("app1: MySQL")

        mgr.write("/etc/mhad/report.conf", conf.replace("/ok", "/no"), 0o600)
        assert "the webhook did not take" in hooks.run("report", "server1", rc=1)["output"]
        mgr.write("/etc/mhad/report.conf", conf.replace("bin/sendmail", "bin/deaf"), 0o600)
        r = hooks.run("report", "server1", rc=1)
        assert "the mail to dba@example.org was not sent" in r["output"] and r["us"] < 4_000_000, r
        mgr.run(["pkill", "-STOP", "-f", "/opt/web.py"], check=True)
        mgr.write("/etc/mhad/report.conf", conf, 0o600)
        r = hooks.run("report", "server1", rc=1)
        assert "the webhook did not take" in r["output"] and r["us"] < 4_000_000, r
        mgr.write("/etc/mhad/report.conf", conf, 0o640)
        r = hooks.run("report", "server1", rc=1)
        assert "chmod 600" in r["output"] and "cret" not in r["output"], r
    finally:
        web.destroy()
    mgr.remove("/etc/mhad/report.conf")
    assert "cannot read" in hooks.run("report", "server1", rc=1)["output"]


# ---- scripts of others ----------------------------------------------------------------------------
PERL = r"""#!/usr/bin/env perl
use strict;
use warnings FATAL => 'all';
use Getopt::Long;
my (%o);
GetOptions(
  'command=s' => \$o{command}, 'ssh_user=s' => \$o{ssh_user},
  'orig_master_host=s' => \$o{orig_master_host}, 'orig_master_ip=s' => \$o{orig_master_ip},
  'orig_master_port=i' => \$o{orig_master_port},
  'new_master_host=s' => \$o{new_master_host}, 'new_master_ip=s' => \$o{new_master_ip},
  'new_master_port=i' => \$o{new_master_port}, 'new_master_user=s' => \$o{new_master_user},
  'new_master_password=s' => \$o{new_master_password},
) or exit 2;
exit 3 if @ARGV;
print "$o{command} $o{orig_master_host}:$o{orig_master_port}";
print " -> $o{new_master_host}:$o{new_master_port} $o{new_master_user}/$o{new_master_password}" if $o{command} eq 'start';
print "\n";
exit 10 if $o{command} eq 'stop';
exit 0;
"""


def test_perl_hooks_of_mha_run_unchanged(cluster, mgr):
    if not shutil.which("perl"):
        pytest.skip("no perl here")
    mgr.script("/usr/local/bin/strict.pl", PERL)
    with own(cluster, mgr, "/usr/local/bin/strict.pl") as d:
        assert d.run("status", "server1")["output"] == "status db1:3306\n"
        assert d.run("stopssh", "server1")["output"] == "stopssh db1:3306\n"
        r = d.run("stop", "server1", rc=10)
        assert r["output"] == "stop db1:3306\n" and r["code"] == "10:0"
        assert d.run("start", "server1", "server2")["output"] == "start db1:3306 -> db2:3306 mha/mha-pw\n"


def test_misbehaving_hooks(cluster, mgr):
    def run(kind, ms=2000):
        path = kind if kind.startswith("/") else fault.hook(mgr, "odd", kind)
        with own(cluster, mgr, path) as d:
            return d.run("stopssh", "server1", ms=ms, rc=None)

    r = run("hang", 500)
    assert r["status"] == -1 and r["code"] == "0:15" and r["us"] < 1_500_000 and "did not end within" in r["error"], r
    r = run("deaf", 500)
    assert r["status"] == -1 and r["code"] in ("0:15", "0:9") and r["us"] < 3_000_000, r
    assert not mgr.run(["pgrep", "-f", "/usr/local/bin/odd"]).out
    r = run("fail")
    assert r["status"] == 1 and r["code"] == "1:0" and r["output"] == "hook: refused\n", r
    r = run("killed")
    assert r["status"] in (-1, 137) and r["code"] in ("0:9", "137:0"), r
    r = run("/nowhere/hook")
    assert r["status"] == 127 and "cannot find" in r["error"], r
    fault.HOOKS["much"] = "yes 'so much to say' | head -c 10000000; exit 10"
    try:
        r = run("much", 10000)
    finally:
        del fault.HOOKS["much"]
    assert r["status"] == 10 and 0 < r["bytes"] <= 1 << 17, r
    r = run("leaves a child")
    assert r["status"] == 0 and r["us"] < 1_900_000, r


def test_all_shells(cluster, mgr):
    """The scripts are POSIX sh: each shell of this machine runs them."""
    missing = []
    for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"]):
        if not shutil.which(shell[0]):
            missing.append(shell[0])
            continue
        orig = ["--orig_master_host=db1", f"--orig_master_ip={cluster[0].addr}", "--orig_master_port=3306"]
        run = lambda name, *words: mgr.run([*shell, str(SCRIPTS / name), *words])
        assert run("init_vip.sh", "db1").rc == 0, shell
        assert run("master_ip_failover", "--command=status", *orig).rc == 0, shell
        assert run("master_ip_failover", "--command=stopssh", *orig).rc == 0, shell
        assert not cluster[0].lab.vip.holders(), shell
        assert run("master_ip_failover", "--command=frobnicate", *orig).rc == 1, shell
    assert missing != ["dash", "bash", "busybox"]
