# SPDX-License-Identifier: BSD-2-Clause
"""Users' scripts inside a real failover: what they are called with, byte for byte, and what becomes of it when they hang,
fail, are not there, talk too much or do not want to end."""
import re
import time

import pytest

from . import fault, validate
from .test_failover import count, cut_off, done, rows, start

LATE = 1        # hook_timeout, in seconds
IN_TIME = 7.0   # TERM, a moment, KILL, and the failover itself on a busy machine
KINDS = {"hang": fault.HOOKS["hang"], "deaf": fault.HOOKS["deaf"], "exit 1": "exit 1", "exit 10": "exit 10", "missing": None,
         "10 MB": "yes 'so much to say' | head -c 10000000; exit 0", "killed": fault.HOOKS["killed"]}
# The shell around it is ended first, or is the script.
CODES = {"hang": "0:15", "deaf": "0:(15|9)", "exit 1": "1:0", "exit 10": "10:0", "missing": "127:0", "killed": "(0:9|137:0)"}


def script(lab, name, kind="ok"):
    """It notes when it was called with what, and is as told; what goes into the configuration."""
    if kind != "ok" and KINDS[kind] is None:
        return f"/usr/local/bin/nobody-wrote-{name}"
    note = f"printf '%s\\036' \"$@\" >>/var/tmp/{name}.args; printf '\\n\\035' >>/var/tmp/{name}.args\n"
    return lab.manager.script(f"/usr/local/bin/{name}", note + KINDS.get(kind, "exit 0") + "\n")


def calls(lab, name):
    """The arguments of each call."""
    file = lab.manager.path(f"/var/tmp/{name}.args")
    return [c.split("\036")[:-1] for c in file.read_text().split("\n\035")[:-1]] if file.exists() else []


def of(lab, name, command):
    return [c for c in calls(lab, name) if f"--command={command}" in c]


def threads(servers):
    return [(s.name, s.variable("read_only"), s.variable("relay_log_purge"), s.status()["Slave_SQL_Running"],
             s.status()["Slave_IO_Running"] != "No") for s in servers]


def nothing_runs(lab, name):
    """No script of that name is left, and no child of it."""
    lab.until("the script has ended", lambda: lab.manager.run(["pgrep", "-f", f"/usr/local/bin/{name}"]).rc == 1, 3)


# ---- bytes ------------------------------------------------------------------------------------------
USER, PASSWORD = "o'dd $u", "p; a\"s\\s'w$(x)`y`*"
LONG = ("-o ServerAliveInterval=60 -o ServerAliveCountMax=20 -o StrictHostKeyChecking=no -o ConnectionAttempts=5 "
        "-o PasswordAuthentication=no -o BatchMode=yes -o LogLevel=ERROR")
CHECK = "-o StrictHostKeyChecking=no -o PasswordAuthentication=no -o BatchMode=yes -o ConnectTimeout={} -o LogLevel=ERROR"
ORIG = ["--orig_master_host=db1", "--orig_master_ip=10.77.0.11", "--orig_master_port=3306"]
NEW = ["--new_master_host=db2", "--new_master_ip=10.77.0.12", "--new_master_port=3306", f"--new_master_user={USER}"]
ORIG_SSH = ["--orig_master_ssh_host=10.77.0.11", "--orig_master_ssh_ip=10.77.0.11"]


@pytest.mark.parametrize("ssh", [True, False], ids=["ssh", "no ssh"])
def test_each_byte_of_the_arguments(lab, ssh):
    """Names, order, values that a shell would take apart: as MHA calls them, and no word more."""
    names = {k: script(lab, n, kind) for k, n, kind in (("master_ip_failover_script", "vip", "ok"),
                                                        ("shutdown_script", "power", "exit 10" if ssh else "ok"),
                                                        ("report_script", "report", "ok"))}
    fo = start(lab, "ma1011", "gtid")
    db1, db2, db3 = fo.cluster
    for statement in ("CREATE USER %s@'%%' IDENTIFIED BY %s", "GRANT ALL ON *.* TO %s@'%%' IDENTIFIED BY %s WITH GRANT OPTION"):
        db1.sql(statement, USER, PASSWORD)
    fo.cluster.caught_up()
    fo.cluster.write_conf(user=USER, password=PASSWORD, ssh_options="-o LogLevel=ERROR", ssh_connection_timeout=3,
                          master_pid_file="/run/my sqld.pid", hook_timeout=20, latest_priority=0,
                          each={"db1": {"ssh_host": "10.77.0.11"}}, **names)
    if ssh:
        db1.kill()
    else:
        db1.host.off()
    done(fo.switch())
    word, user = ("stopssh", ["--ssh_user=root"]) if ssh else ("stop", [])
    options = "--ssh_options=" + (LONG if ssh else CHECK.format(3))
    assert calls(lab, "vip") == [
        [*ORIG, f"--command={word}", *user, *ORIG_SSH, options],
        ["--command=start", "--ssh_user=root", *ORIG, *NEW, *ORIG_SSH, f"--ssh_options={LONG}", f"--new_master_password={PASSWORD}"]]
    assert calls(lab, "power") == [
        [f"--command={word}", *user, "--host=db1", "--ip=10.77.0.11", "--port=3306", "--pid_file=/run/my sqld.pid",
         "--ssh_host=10.77.0.11", "--ssh_ip=10.77.0.11", options]]
    body = fo.report()["report"]
    assert calls(lab, "report") == [
        ["--orig_master_host=db1", "--new_master_host=db2", "--new_slave_hosts=db3", f"--conf={fo.conf}",
         "--subject=app1: MySQL Master failover db1(10.77.0.11:3306) to db2(10.77.0.12:3306) succeeded", f"--body={body}"]]
    for secret in (PASSWORD, PASSWORD[:8]):
        assert secret not in body


# ---- scripts that misbehave ------------------------------------------------------------------------
def in_time(fo, rc, late):
    since = time.monotonic()
    r = done(fo.switch(), rc)
    took = time.monotonic() - since
    assert took < IN_TIME + (LATE if late else 0), f"{took:.1f} s: {r}"
    assert len(r.err) < 600_000, len(r.err)
    return r


BAD = ["hang", "deaf", "exit 1", "missing", "killed"]


def test_address_that_cannot_be_taken_away(lab, mode):
    """`stop` ends badly: the failover breaks off before the slaves are touched; with 10 it goes on."""
    fo = start(lab, "ma1011", mode)
    db1, db2, db3 = fo.cluster
    db1.kill()
    before = threads([db2, db3])
    for kind in BAD:
        fo.cluster.write_conf(hook_timeout=LATE, master_ip_failover_script=script(lab, "vip", kind),
                              report_script=script(lab, "report", kind))
        r = in_time(fo, 1, kind in ("hang", "deaf"))
        record = fo.report()
        assert re.search(f"Failed to deactivate master IP with return code {CODES[kind]}\n", record["report"]), record["report"]
        assert "Not undone: whether db1(10.77.0.11:3306) still has the service address is not known" in record["report"]
        assert "could not take the service address away" in record["error"]["text"], record["error"]
        assert fo.flag("error") and not fo.flag("complete") and not fo.journal().exists(), kind
        assert "report_script" in r.err.split("Executing report_script")[1], str(r)  # it failed too, and that is said
        assert threads([db2, db3]) == before and record["fenced"] == "not tried", kind
        nothing_runs(lab, "vip"), nothing_runs(lab, "report")
        fo.clear()
    assert not of(lab, "vip", "start")
    fo.cluster.write_conf(hook_timeout=LATE, master_ip_failover_script=script(lab, "vip", "exit 10"),
                          report_script=script(lab, "report", "10 MB"))
    r = in_time(fo, 0, False)
    assert "Failed to deactivate master IP with return code 10:0. Proceeding." in r.err
    assert "Failed to activate master IP address for db2(10.77.0.12:3306) with return code 10:0. Proceeding." in r.err
    assert len(calls(lab, "report")) == 1 + len([k for k in BAD if k != "missing"])
    validate.everything(db2, [db3])


def test_host_that_cannot_be_switched_off(lab, mode):
    """shutdown_script ends badly when the slaves are frozen and the tail is saved: all of that is undone."""
    fo = start(lab, "ma1011", mode)
    db1, db2, db3 = fo.cluster
    cut_off(db2, db3)
    rows(db1, 5, "tail")
    for s in (db2, db3):
        s.set(relay_log_purge=1)
    db1.kill()
    before = threads([db2, db3])
    for kind in BAD:
        fo.cluster.write_conf(hook_timeout=LATE, shutdown_script=script(lab, "power", kind))
        in_time(fo, 1, kind in ("hang", "deaf"))
        record = fo.report()
        assert re.search(f"Failed to execute shutdown_script with return code {CODES[kind]}\n", record["report"]), record["report"]
        assert "Not undone: switch the dead master off" in record["report"], record["report"]
        assert threads([db2, db3]) == before, kind
        assert fo.flag("error") and not fo.journal().exists(), kind
        nothing_runs(lab, "power")
        fo.clear()
    fo.cluster.write_conf(hook_timeout=LATE + 9, shutdown_script=script(lab, "power", "10 MB"))
    in_time(fo, 0, False)
    record = fo.report()
    assert "Power off db1." in record["report"] and record["fenced"] == "fenced"
    validate.everything(db2, [db3])
    assert count(db2, "tail") == 5


@pytest.mark.parametrize("kind", ["hang", *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS if k != "hang")])
def test_address_that_cannot_be_given(lab, flavour, kind):
    """`start` comes behind the point of no return: the new master is open, the slaves follow, a person has to help."""
    fo = start(lab, flavour, "gtid")
    db1, db2, db3 = fo.cluster
    vip = script(lab, "vip")
    late = script(lab, "late", kind)
    lab.manager.write(vip, lab.manager.read(vip).replace("exit 0", f'case " $* " in *" --command=start "*) exec {late} "$@" ;; esac\nexit 0'), 0o755)
    fo.cluster.write_conf(hook_timeout=LATE, master_ip_failover_script=vip, latest_priority=0)
    load = lab.writer(db1).wait(20)
    db1.kill()
    since = time.monotonic()
    fine = kind in ("exit 10", "10 MB")
    r = in_time(fo, 0 if fine else 10, kind in ("hang", "deaf"))
    load.stop()
    record = fo.report()
    if kind == "10 MB":
        assert "OK: Activated master IP address." in record["report"]
    else:
        text = re.escape("Failed to activate master IP address for db2(10.77.0.12:3306) with return code ") + CODES[kind]
        assert re.search(text + "\n", record["report"]), record["report"]
    assert record["result"] == ("success" if fine else "partial"), str(r)
    validate.everything(db2, [db3], load, old=db1, since=since)
    nothing_runs(lab, "late")
