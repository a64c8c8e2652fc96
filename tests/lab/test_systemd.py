# SPDX-License-Identifier: BSD-2-Clause
"""mhad as a service of a real systemd, and its hook helper."""
import json
import os
import re
import signal
import time

import pytest

from .systemd import Systemd

HOOK_CLIENT = r"""
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("/run/mhad/hook")
s.sendall(sys.stdin.buffer.read() + b"\n")
answer = b""
while more := s.recv(65536):
    answer += more
sys.stdout.write(answer.decode())
"""


@pytest.fixture
def sd(lab):
    """systemd on the manager host, mhad installed, not started."""
    with Systemd(lab.manager) as it:
        it.install()
        yield it


def configure(sd, name="app1.cnf", text=None, mode=0o640, **settings):
    """One cluster's file for mhad.service; by default of servers that do not answer."""
    if text is None:
        own = "".join(f"{k}={v}\n" for k, v in {"user": "mha", "manager_workdir": "/var/tmp", **settings}.items())
        text = f"[server default]\n{own}[server1]\nhostname=127.0.0.1\nport=3999\n[server2]\nhostname=127.0.0.1\nport=3998\n"
    path = sd.host.write(f"/etc/mhad/clusters.d/{name}", text, mode)
    sd.run(["chown", "root:mhad", path])
    return path


def drop_in(sd, unit, text):
    sd.host.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
    sd.ctl("daemon-reload")


def as_user(user, *argv, groups=""):
    return ["setpriv", f"--reuid={user}", "--regid=nogroup", f"--groups={groups}" if groups else "--clear-groups", *argv]


STATUS = "/var/tmp/app1.master_status.health"


def status(sd, name="app1"):
    """The status file, "" if there is none."""
    path = sd.path(STATUS.replace("app1", name))
    return path.read_text() if path.exists() else ""


# ---- the service --------------------------------------------------------------------------------
def test_started_means_loaded(sd):
    """`systemctl start` comes back when the configuration has been read, not before."""
    sd.host.script("/usr/local/bin/slow", "sleep 1.5; echo ping_interval=2")
    configure(sd, init_conf_load_script="/usr/local/bin/slow")
    start = sd.start(["systemctl", "start", "mhad"])
    sd.host.lab.until("it starts", lambda: sd.state("mhad") == "activating/start")
    r = start.wait(30)
    assert r.rc == 0, sd.says("mhad")
    assert r.seconds > 1.4
    assert sd.state("mhad") == "active/running"
    assert "1 cluster" in sd.show("mhad", "StatusText")
    owner = sd.run(["ps", "-o", "user=,comm=", "-p", sd.show("mhad", "MainPID")]).out.split()
    assert owner == ["mhad", "mhad"]


@pytest.mark.parametrize("text,said", [("[server1]\nhostname=127.0.0.1\nnonsense=1\n", "nonsense"), ("", "no server")])
def test_a_wrong_configuration_is_a_failed_start(sd, text, said):
    configure(sd, text=text)
    r = sd.ctl("start", "mhad", check=False)
    assert r.rc == 1
    assert sd.show("mhad", "ExecMainStatus") == "3"
    text = sd.ctl("status", "mhad", "--no-pager", check=False).out
    assert re.search(rf"app1\.cnf.*{said}", text, re.I), text
    configure(sd)
    sd.host.lab.until("the mended file is found", lambda: sd.state("mhad") == "active/running")


def test_names_that_nobody_knows_yet(sd):
    """A host boots before its resolver answers."""
    configure(sd, text="[server1]\nhostname=later\nport=3999\n[server2]\nhostname=later\nport=3998\n")
    sd.ctl("start", "mhad")
    assert "1 cluster" not in sd.show("mhad", "StatusText")
    assert any("later" in e["MESSAGE"] for e in sd.journal("_SYSTEMD_UNIT=mhad.service"))
    pid = sd.show("mhad", "MainPID")
    sd.host.write("/etc/hosts", sd.host.read("/etc/hosts") + "127.0.0.1 later\n")
    sd.host.lab.until("it watches", lambda: "1 cluster" in sd.show("mhad", "StatusText"))
    assert sd.show("mhad", "MainPID") == pid


def test_one_bad_file_costs_one_cluster(sd):
    configure(sd)
    configure(sd, "bad.cnf", text="[server1]\nhostname=127.0.0.1\nnonsense=1\n")
    sd.ctl("start", "mhad")
    assert "1 cluster" in sd.show("mhad", "StatusText")
    assert any("nonsense" in e["MESSAGE"] for e in sd.journal("MHAD_CLUSTER=bad"))


def test_reload(sd):
    """Taken over when `systemctl reload` comes back; with a wrong file it fails, says why, and the old one counts."""
    configure(sd)
    sd.ctl("start", "mhad")
    pid = sd.show("mhad", "MainPID")
    configure(sd, "app2.cnf")
    sd.ctl("reload", "mhad")
    assert "2 clusters" in sd.show("mhad", "StatusText")
    configure(sd, "app2.cnf", text="[server1]\nnonsense=1\n")
    assert sd.ctl("reload", "mhad", check=False).rc == 1
    assert "nonsense" in sd.ctl("status", "mhad", "--no-pager").out
    assert sd.state("mhad") == "active/running"
    assert "2 clusters" in sd.show("mhad", "StatusText")
    configure(sd, "app2.cnf")
    configure(sd, "app3.cnf")
    sd.ctl("reload", "mhad")
    assert "3 clusters" in sd.show("mhad", "StatusText")
    assert sd.show("mhad", "MainPID") == pid


def test_hangup_reloads_too(sd, lab):
    """SIGHUP from anywhere: systemd sees a reload begin and end."""
    sd.host.script("/usr/local/bin/slow", "[ ! -e /etc/slow ] || sleep 1.5; echo ping_interval=2")
    configure(sd, init_conf_load_script="/usr/local/bin/slow")
    sd.ctl("start", "mhad")
    configure(sd, "app2.cnf")
    sd.host.write("/etc/slow", "")
    sd.ctl("kill", "-s", "HUP", "--kill-whom=main", "mhad")
    lab.until("it reloads", lambda: sd.state("mhad") == "reloading/reload")
    lab.until("it has", lambda: sd.state("mhad") == "active/running")
    assert "2 clusters" in sd.show("mhad", "StatusText")


def test_a_wedged_loop_is_replaced(sd):
    """Frozen: nothing feeds the watchdog."""
    configure(sd)
    drop_in(sd, "mhad.service", "[Service]\nWatchdogSec=2\n")
    sd.ctl("start", "mhad")
    time.sleep(3)  # as long as it turns, it lives
    assert sd.show("mhad", "NRestarts") == "0"
    first = sd.show("mhad", "MainPID")
    os.kill(sd.main_pid("mhad"), signal.SIGSTOP)
    sd.host.lab.until("another one runs", lambda: sd.show("mhad", "NRestarts") == "1" and sd.state("mhad") == "active/running", 15)
    assert sd.show("mhad", "MainPID") != first
    assert "1 cluster" in sd.show("mhad", "StatusText")
    assert "watchdog" in json.dumps(sd.journal("UNIT=mhad.service")).lower()


def test_a_crash_is_followed_by_a_start(sd):
    configure(sd)
    sd.ctl("start", "mhad")
    os.kill(sd.main_pid("mhad"), signal.SIGKILL)
    sd.host.lab.until("another one runs", lambda: sd.show("mhad", "NRestarts") == "1" and sd.state("mhad") == "active/running")
    sd.ctl("restart", "mhad")
    assert sd.state("mhad") == "active/running"
    assert sd.state("mhad.socket") == "active/running"


def test_the_control_socket(sd):
    """It is systemd's, tells friend from stranger, outlives a restart, and starts nothing that was stopped."""
    configure(sd)
    sd.ctl("start", "mhad")
    def asked(*who):
        return sd.run([*who, "mhactl", "status"], check=False)
    assert sd.show("mhad.socket", "ActiveState") == "active"
    assert "app1" in asked().out
    group = sd.run(["getent", "group", "mhad-read"]).out.split(":")[2]
    assert "app1" in asked(*as_user("games", groups=group)).out
    stranger = asked(*as_user("games"))
    assert "app1" not in stranger.out and "mhad-read" in stranger.err, stranger
    os.kill(sd.main_pid("mhad"), signal.SIGKILL)
    assert "app1" in asked().out, "asked while it is being restarted: the answer comes later"
    sd.ctl("stop", "mhad")
    assert "mhad" in asked().err
    assert sd.state("mhad") == "inactive/dead"
    sd.ctl("start", "mhad")
    assert "app1" in asked().out


def test_exposure(sd):
    out = sd.run(["systemd-analyze", "--no-pager", "security", "mhad.service"], check=False).out
    assert float(re.search(r"exposure level for mhad.service: ([\d.]+)", out)[1]) <= 3.0
    units = ["mhad.service", "mhad.socket", "mhad-hook.socket", "mhad-hook@1.service", "mhad@app1.service"]
    verify = sd.run(["systemd-analyze", "verify", *units], check=False)
    assert (verify.rc, verify.text) == (0, "")


def test_accounts_and_modes(sd):
    assert sd.run(["stat", "-c", "%U:%G %a", "/etc/mhad/mhad.conf"]).out == "root:mhad 640\n"
    configure(sd)
    sd.ctl("start", "mhad")
    assert sd.run(["stat", "-c", "%U %a", "/var/lib/mhad", "/var/log/mhad", "/run/mhad/hook"]).out == "mhad 750\nmhad 750\nmhad 600\n"
    assert sd.run(["id", "-Gn", "mhad"]).out == "mhad\n"


def test_what_root_left_is_taken_over(sd):
    """Commands run as root before the service: its state is not theirs."""
    sd.run(["sh", "-c", "mkdir -m 750 /var/lib/mhad/app1 && echo >/var/lib/mhad/app1/pause.json && chmod 600 /var/lib/mhad/app1/*"])
    sd.run(["ln", "-s", "/etc/shadow", "/var/lib/mhad/app1/link"])
    sd.run(["ln", "/etc/hostname", "/var/lib/mhad/app1/hard"])
    configure(sd)
    sd.ctl("start", "mhad")
    owner = lambda *names: sd.run(["stat", "-c", "%U", *names]).out.split()
    assert owner("/var/lib/mhad/known_hosts", "/var/lib/mhad/app1", "/var/lib/mhad/app1/pause.json") == ["mhad"] * 3
    assert owner("/etc/shadow", "/etc/hostname") == ["root"] * 2


def test_it_can_write_where_it_must_and_nowhere_else(sd):
    """The unit's own restrictions, felt by another program in its place."""
    drop_in(sd, "mhad.service", "[Service]\nType=oneshot\nWatchdogSec=0\nRestart=no\nExecStart=\nExecStart=/usr/local/bin/look\n")
    sd.host.script("/usr/local/bin/look", """
id -un; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status
for d in /var/tmp /var/lib/mhad /var/log/mhad /run/mhad "$TMPDIR" /tmp /etc/mhad /usr /root /srv; do
    touch $d/x 2>/dev/null && echo "writes $d"
done
echo core $(ulimit -c); ls /home/someone
""")
    sd.host.write("/home/someone/file", "x")
    sd.ctl("start", "mhad", check=False)
    said = sd.says("mhad")
    for line in ("mhad", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "core 0"):
        assert line in said.splitlines(), said
    assert "file" not in said.split(), "homes are hidden"
    assert sd.show("mhad", "LimitMEMLOCK") == "infinity"
    assert re.findall(r"writes (\S+)", said) == ["/var/tmp", "/var/lib/mhad", "/var/log/mhad", "/run/mhad", "/run/mhad"]


def test_journal_fields(sd):
    configure(sd)
    sd.ctl("start", "mhad")
    mine = sd.host.lab.until("it writes of its cluster", lambda: sd.journal("MHAD_CLUSTER=app1"))
    assert all(e["_SYSTEMD_UNIT"] == "mhad.service" and e["MESSAGE"] and e["PRIORITY"] for e in mine)
    event = sd.host.lab.until("events have ids", lambda: sd.journal("MHAD_CLUSTER=app1", "MHAD_EVENT=no-master"))[0]
    assert re.fullmatch("[0-9a-f]{32}", event["MESSAGE_ID"])


def test_stopping_leaves_replication_alone(sd, lab):
    """Started, watching, stopped: the servers are as they were."""
    cluster = lab.cluster("ma1011", 3)
    def look():
        names = ("Slave_IO_Running", "Slave_SQL_Running", "Master_Host", "Using_Gtid")
        return [([s.status()[n] for n in names], s.variable("read_only")) for s in cluster.slaves] + [
            cluster.master.variable("read_only")]
    before = look()
    login(sd)
    path = configure(sd, text=cluster.conf_text(manager_workdir="/var/tmp"))
    sd.run(["masterha_check_repl", f"--conf={path}"])  # root's first step; it pins host keys
    sd.ctl("start", "mhad")
    lab.until("it watches", lambda: "0:PING_OK" in status(sd), 20)
    assert sd.run(as_user("nobody", "cat", STATUS)).out == status(sd), "for everybody to read"
    r = sd.ctl("stop", "mhad")
    assert r.seconds < 5
    assert sd.show("mhad", "Result") == "success" and sd.show("mhad", "ExecMainStatus") == "0"
    assert not sd.path(STATUS).exists()
    assert look() == before and cluster.replicates()


def test_the_pid_in_a_status_file_is_one_clusters(sd, lab):
    """People kill it, or its process group: the others go on."""
    login(sd)
    for name, first in (("app1", 1), ("app2", 3)):
        cluster = lab.cluster("ma1011", 2, name=name, first=first)
        configure(sd, f"{name}.cnf", text=cluster.conf_text(manager_workdir="/var/tmp"))
    sd.ctl("start", "mhad")
    main = sd.show("mhad", "MainPID")
    lab.until("both are watched", lambda: "PING_OK" in status(sd) and "PING_OK" in status(sd, "app2"), 20)
    pid = status(sd).split("\t")[0]
    assert pid != main and pid != status(sd, "app2").split("\t")[0]
    sd.run(["kill", "-TERM", "--", f"-{pid}"])  # it leads a group of its own
    lab.until("its file is gone", lambda: not sd.path(STATUS).exists())
    assert sd.state("mhad") == "active/running" and sd.show("mhad", "MainPID") == main
    assert status(sd, "app2")


def test_the_daemons_hooks_are_root(sd, lab):
    """Killed master, report_script: called by mhad, run by the helper."""
    cluster = lab.cluster("ma1011", 2)
    login(sd)
    sd.host.script("/usr/local/bin/report", 'id -un >/etc/reported; echo "$@" >>/etc/reported')
    configure(sd, text=cluster.conf_text(manager_workdir="/var/tmp", report_script="/usr/local/bin/report"))
    sd.ctl("start", "mhad")
    lab.until("it watches", lambda: "0:PING_OK" in status(sd), 20)
    cluster.master.kill()
    report = lab.until("it reports", lambda: sd.host.read("/etc/reported"), 20)
    assert report.startswith("root\n--orig_master_host=db1 ")
    dead = lab.until("it tells the journal", lambda: [e for e in sd.journal("MHAD_EVENT=master-dead")])
    assert dead[0]["MHAD_CLUSTER"] == "app1" and re.fullmatch("[0-9a-f]{32}", dead[0]["MESSAGE_ID"])


@pytest.mark.parametrize("patience", ["30", pytest.param("2", marks=pytest.mark.slow)])
def test_restarted_during_a_failover(sd, lab, patience):
    """As an upgrade does it: the failover is brought to its end, or killed and taken up by the next one."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, db3 = cluster
    login(sd)
    sd.host.script("/usr/local/bin/power", "echo $2 >>/etc/called; sleep 5")
    configure(sd, text=cluster.conf_text(manager_workdir="/var/tmp", shutdown_script="/usr/local/bin/power"))
    drop_in(sd, "mhad.service", f"[Service]\nTimeoutStopSec={patience}\n")
    sd.ctl("start", "mhad")
    lab.until("it watches", lambda: "0:PING_OK" in status(sd), 20)
    pid = sd.show("mhad", "MainPID")
    db1.kill()
    lab.until("it is in the middle", lambda: sd.path("/etc/called").exists(), 20)
    r = sd.ctl("try-restart", "mhad", timeout=60)
    text = sd.says("mhad")
    assert "waiting for its end" in text
    assert sd.state("mhad") == "active/running" and sd.show("mhad", "MainPID") != pid
    if patience == "30":
        assert r.seconds > 3 and "The failover is over. Exit." in text and "SIGKILL" not in text
    else:
        assert r.seconds < 5 and "The failover is over" not in text and "SIGKILL" in text
    lab.until("the slaves follow", lambda: db3.master() is db2 and db2.variable("read_only") == 0, 30)
    lab.until("the new master is watched", lambda: "monitoring" in (out := sd.run(["mhactl", "status"], check=False).out)
              and "db2" in out, 30)
    assert sd.run(["mhactl", "report", "app1"]).out.count("completed successfully") == 1


def login(sd):
    """mhad's own SSH keys: here those of the manager host's root."""
    sd.run(["sh", "-c", "mkdir -p /var/lib/mhad && cp -a /root/.ssh /var/lib/mhad/ && chown -R mhad:mhad /var/lib/mhad"])


# ---- hooks --------------------------------------------------------------------------------------
def hook(sd, user="mhad", **request):
    """What mhad would ask: (head of the answer, output)."""
    asked = {"protocol": 1, "conf": "/etc/mhad/clusters.d/app1.cnf", "server": "server1",
             "setting": "master_ip_failover_script", "args": ["--command=status"], "env": [], "deadline_ms": 10000, **request}
    r = sd.run(as_user(user, "python3", "-c", HOOK_CLIENT), input=json.dumps(asked), check=False)
    if r.rc:
        return r, ""
    head, _, output = r.out.partition("\n")
    return json.loads(head), output


def test_hooks_have_roots_rights(sd):
    sd.host.script("/usr/local/bin/vip", 'id -un; pwd; echo "HOME=$HOME $MHAD_TOKEN $1"; echo mark >/etc/mark; exit 7')
    configure(sd, master_ip_failover_script="/usr/local/bin/vip")
    sd.ctl("start", "mhad")
    head, output = hook(sd, env=["MHAD_TOKEN=17"])
    assert head["status"] == 7 and not head["late"], head
    assert output.splitlines() == ["root", "/etc/mhad/clusters.d", "HOME=/root 17 --command=status"]
    assert sd.host.read("/etc/mark") == "mark\n"


def test_only_mhad_may_have_hooks_run(sd):
    configure(sd, master_ip_failover_script="/bin/true")
    sd.ctl("start", "mhad")
    refused, _ = hook(sd, user="games")
    assert "Permission denied" in refused.err
    assert hook(sd)[0]["status"] == 0
    assert hook(sd, user="root")[0]["status"] == 0


def test_only_what_root_wrote_is_run(sd):
    configure(sd, master_ip_failover_script="/bin/true")
    sd.ctl("start", "mhad")
    sd.run(["chown", "mhad", "/etc/mhad/clusters.d/app1.cnf"])
    assert "not to root" in hook(sd)[0]["error"]["text"]
    configure(sd, master_ip_failover_script="/bin/true", mode=0o660)
    assert "can be changed by others" in hook(sd)[0]["error"]["text"]
    sd.host.write("/var/tmp/own.cnf", "[server1]\nhostname=x\nmaster_ip_failover_script=touch /etc/owned\n")
    sd.run(as_user("mhad", "sh", "-c", "printf '[server1]\\nhostname=x\\nmaster_ip_failover_script=touch /etc/owned;\\n' >/var/tmp/own.cnf"))
    assert "belongs to uid" in hook(sd, conf="/var/tmp/own.cnf")[0]["error"]["text"]
    assert not sd.host.path("/etc/owned").exists()


def test_a_late_hook_ends_with_all_it_started(sd, lab):
    """Children that left its process group, too: the service's cgroup ends with it."""
    sd.host.script("/usr/local/bin/vip", "trap '' TERM\n(trap '' TERM; sleep 7001) &\nsetsid sleep 7002 &\nsetsid -f sleep 7003\nsleep 7004")
    configure(sd, master_ip_failover_script="/usr/local/bin/vip")
    sd.ctl("start", "mhad")
    def sleepers():
        return sorted(re.findall(r"sleep (700\d)", sd.run(["ps", "-eo", "args"]).out))
    began = time.monotonic()
    head, _ = hook(sd, deadline_ms=700)
    assert head["late"]
    lab.until("all are gone", lambda: not sleepers(), 8)
    assert time.monotonic() - began < 8
    assert "mhad-hook@" not in sd.ctl("list-units", "--all", "--plain", "--no-legend", "mhad-hook@*").out
    # Left behind by one that did end.
    sd.host.script("/usr/local/bin/vip", "setsid -f sleep 7005; exit 0")
    assert hook(sd)[0]["status"] == 0
    lab.until("it is gone", lambda: not sleepers(), 8)


def test_hooks_side_by_side(sd, lab):
    """Thirty at once: none waits for another."""
    sd.host.script("/usr/local/bin/vip", "sleep 1; echo done")
    configure(sd, master_ip_failover_script="/usr/local/bin/vip")
    sd.ctl("start", "mhad")
    ask = json.dumps({"protocol": 1, "conf": "/etc/mhad/clusters.d/app1.cnf", "server": "server1",
                      "setting": "master_ip_failover_script", "args": [], "env": [], "deadline_ms": 20000})
    many = ("import concurrent.futures as f, subprocess, sys\nask = sys.stdin.read()\n"
            "one = lambda _: subprocess.run(['python3', '-c', sys.argv[1]], input=ask, capture_output=True, text=True).stdout\n"
            "with f.ThreadPoolExecutor(30) as p: print(sum('done' in o for o in p.map(one, range(30))))")
    r = sd.run(as_user("mhad", "python3", "-c", many, HOOK_CLIENT), input=ask)
    assert r.out == "30\n"
    assert r.seconds < 15


# ---- one MHA file as root -----------------------------------------------------------------------
def test_mhad_at_runs_one_mha_file(sd, lab):
    cluster = lab.cluster("ma1011", 3)
    sd.host.write("/etc/mhad/app1.cnf", cluster.conf_text(manager_workdir="/var/tmp"), 0o600)
    sd.ctl("start", "mhad@app1")
    text = lab.until("it watches", lambda: (t := status(sd)) and "PING_OK" in t and t, 20)
    pid = sd.show("mhad@app1", "MainPID")
    assert text == f"{pid}\t0:PING_OK\tmaster:db1"
    assert sd.run(as_user("nobody", "cat", STATUS)).out == text, "for everybody to read"
    assert sd.run(["ps", "-o", "user=", "-p", pid]).out.strip() == "root"
    sd.run(["masterha_check_status", "--conf=/etc/mhad/app1.cnf"])
    # Killing what the status file names ends this manager, and nobody starts it again.
    sd.run(["kill", pid])
    lab.until("it has ended", lambda: sd.state("mhad@app1") == "failed/failed")
    assert (sd.show("mhad@app1", "ExecMainStatus"), sd.show("mhad@app1", "NRestarts")) == ("1", "0")
    assert not sd.path(STATUS).exists()
    assert cluster.replicates()


def test_mhad_at_with_its_environment_file(sd):
    """Another file, more options; what is wrong with it is said, and not tried again."""
    sd.host.write("/etc/other.cnf", "[server1]\nhostname=127.0.0.1\nnonsense=1\n", 0o600)
    sd.host.write("/etc/mhad/app1.env", "MHAD_CONF=/etc/other.cnf\nMHAD_OPTIONS=--ignore_last_failover\n")
    sd.ctl("start", "mhad@app1")
    sd.host.lab.until("it has ended", lambda: sd.state("mhad@app1") == "failed/failed")
    assert (sd.show("mhad@app1", "ExecMainStatus"), sd.show("mhad@app1", "NRestarts")) == ("1", "0")
    assert "/etc/other.cnf" in sd.says("mhad@app1")
