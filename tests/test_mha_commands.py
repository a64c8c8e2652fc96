# SPDX-License-Identifier: BSD-2-Clause
"""masterha_check_status, masterha_stop and masterha_conf_host: MHA's lines and exit codes, on files and real processes."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("MHAD_BIN", ROOT / "build/bin"))
NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def run(name, *words, user=None, program=None):
    r = subprocess.run([name, *map(str, words)], executable=program or BIN / name, capture_output=True, text=True, timeout=60,
                       user=user, stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout, r.stderr


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(what, test):
    end = time.monotonic() + 10
    while not test():
        assert time.monotonic() < end, what
        time.sleep(0.01)


@contextlib.contextmanager
def manager(argv, body="while :; do sleep 0.05; done", leads=True, user=None):
    """A process that waits under this command line; the words behind the first are its arguments."""
    p = subprocess.Popen([argv[0], "-c", f"echo ready; {body}", "sh", *argv[1:]], executable="/bin/sh", stdout=subprocess.PIPE,
                         text=True, process_group=0 if leads else None, user=user)
    try:
        assert p.stdout.readline() == "ready\n"
        yield p
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL) if leads else p.kill()
        p.wait()
        p.stdout.close()


@pytest.fixture
def place():
    """A directory that other users may enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="mhad-test-mha-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def mgr(place):
    with manager(["masterha_manager", f"--conf={place}/app1.cnf"]) as p:
        yield p


def health(place, pid, text, app="app1", age=0):
    path = place / f"{app}.master_status.health"
    path.write_text(f"{pid}\t{text}")
    when = time.time() - age
    os.utime(path, (when, when))
    return path


def fast(place, *more):
    return ["--app=app1", f"--manager_workdir={place}", *more]


def conf(place, name="app1", **settings):
    path = place / f"{name}.cnf"
    lines = [f"{k}={v}\n" for k, v in ({"manager_workdir": place} | settings).items()]
    path.write_text(f"[server default]\n{''.join(lines)}\n[server1]\nhostname=no-such-host.invalid\n")
    path.chmod(0o600)
    return path


# ---- masterha_check_status

STATES = [
    (0, "0:PING_OK\tmaster:db1", "app1 (pid:{pid}) is running(0:PING_OK), master:db1\n"),
    (10, "10:INITIALIZING_MONITOR", "app1 monitoring program is now on initialization phase(10:INITIALIZING_MONITOR)."
     " Wait for a while and try checking again.\n"),
    (20, "20:PING_FAILING\tmaster:db1", "app1 master maybe down(20:PING_FAILING). master:db1\n{check}"),
    (21, "21:PING_FAILED\tmaster:db1", "app1 master maybe down(21:PING_FAILED). master:db1\n{check}"),
    (30, "30:RETRYING_MONITOR\tmaster:db1", "app1 monitoring waits for retrying to monitor master again"
     "(30:RETRYING_MONITOR). Wait for a while and try checking again."),
    (31, "31:CONFIG_ERROR", "app1 servers are not correctly configured(31:CONFIG_ERROR).\n{check}"),
    (50, "50:FAILOVER_RUNNING\tmaster:db1",
     "app1 master is down and failover is running(50:FAILOVER_RUNNING). master:db1\n{check}"),
    (51, "51:FAILOVER_ERROR\tmaster:db1",
     "app1 master is down and failover was not successful(51:FAILOVER_ERROR). master:db1\n{check}"),
]


@pytest.mark.parametrize("code, text, line", STATES, ids=[s[1].split("\t")[0] for s in STATES])
def test_each_state_has_its_line_and_code(place, mgr, code, text, line):
    health(place, mgr.pid, text)
    assert run("masterha_check_status", *fast(place)) == (code, line.format(pid=mgr.pid, check=""), "")
    log = "Check /var/log/app1.log for details.\n"
    for option in ("--manager_log", "--log_output"):
        assert run("masterha_check_status", *fast(place, f"{option}=/var/log/app1.log")) == \
            (code, line.format(pid=mgr.pid, check=log), "")


def test_the_file_of_the_cluster_says_where(place, mgr):
    """The configuration is read; names are not looked up, which takes no answering name server."""
    health(place, mgr.pid, STATES[2][1])
    want = (20, STATES[2][2].format(check="Check /var/log/x.log for details.\n"), "")
    assert run("masterha_check_status", f"--conf={conf(place, manager_log='/var/log/x.log')}") == want
    script = place / "more"
    script.write_text(f"#!/bin/sh\necho manager_workdir={place}\necho manager_log=/var/log/x.log\n")
    script.chmod(0o755)
    path = conf(place, manager_workdir="/nowhere", init_conf_load_script=script)
    assert run("masterha_check_status", f"--conf={path}") == want
    globals_ = place / "global.cnf"
    globals_.write_text(f"[server default]\nmanager_workdir={place}\nmanager_log=/var/log/x.log\n")
    path.write_text("[server1]\nhostname=db1\n")
    assert run("masterha_check_status", f"--conf={path}", f"--global_conf={globals_}") == want


def test_stopped(place):
    want = (2, "app1 is stopped(2:NOT_RUNNING).\n", "")
    assert run("masterha_check_status", *fast(place)) == want
    with manager(["masterha_manager", f"--conf={place}/app1.cnf"]) as p:
        health(place, p.pid, STATES[0][1])
        assert run("masterha_check_status", *fast(place))[0] == 0
        os.killpg(p.pid, signal.SIGKILL)
        until("it ends", lambda: not alive(p.pid))      # though nobody has waited for it yet
        assert run("masterha_check_status", *fast(place)) == want
    assert run("masterha_check_status", *fast(place)) == want


def test_children_left_over(place):
    with manager(["masterha_manager", f"--conf={place}/app1.cnf"], body="sleep 100 & echo child; exec sleep 100") as p:
        assert p.stdout.readline() == "child\n"
        health(place, p.pid, STATES[0][1])
        os.kill(p.pid, signal.SIGKILL)
        until("it ends", lambda: not alive(p.pid))
        rc, out, _ = run("masterha_check_status", *fast(place))
        assert rc == 3
        assert out.startswith("Main process is not running, but child process is running on app1 (child pid: ")
        assert "(3:PARTIALLY_RUNNING)." in out
        child = int(out.partition("child pid: ")[2].partition(")")[0])
        assert os.getpgid(child) == p.pid and alive(child)
        rc, out, err = run("masterha_stop", *fast(place))
        assert rc == 1 and "(3:PARTIALLY_RUNNING)" in out and f"-{p.pid}" in err and alive(child)


def test_old_pings(place, mgr):
    path = health(place, mgr.pid, STATES[0][1], age=60)
    rc, out, _ = run("masterha_check_status", *fast(place))
    first, second = out.splitlines()
    assert rc == 32 and first.startswith(f"{path} behinds 6") and first.endswith(" seconds!")
    assert second == "app1 is running, but master_ping.health is too old(32:TIMESTAMP_OLD). Maybe process hangs? master:db1"
    assert run("masterha_check_status", *fast(place, "--ping_limit=600"))[0] == 0
    health(place, mgr.pid, STATES[2][1], age=60)
    assert run("masterha_check_status", *fast(place))[0] == 20, "only PING_OK grows old"
    health(place, mgr.pid, STATES[0][1], age=-3600)
    assert run("masterha_check_status", *fast(place))[0] == 0, "the clock was set back"


@pytest.mark.parametrize("text", ["", "7", "x\t0:PING_OK", "{pid}\t99:WHAT\tmaster:db1", "{pid}\t0:PING_OK\tdb1",
                                  "{pid}\t0:PING_OK\tmaster:\x1b[2J"])
def test_files_that_say_nothing(place, mgr, text):
    path = health(place, mgr.pid, "")
    path.write_text(text.format(pid=mgr.pid))
    for name in ("masterha_check_status", "masterha_stop"):
        rc, out, err = run(name, *fast(place))
        assert rc == 1 and str(path) in err and "\x1b" not in out + err
    assert alive(mgr.pid)


def test_links_and_pipes_are_not_read(place, mgr):
    path = health(place, mgr.pid, STATES[0][1])
    path.rename(place / "other")
    path.symlink_to("other")
    for name in ("masterha_check_status", "masterha_stop"):
        rc, _, err = run(name, *fast(place))
        assert rc == 1 and "symbolic link" in err
    path.unlink()
    os.mkfifo(path)
    for name in ("masterha_check_status", "masterha_stop"):
        rc, _, err = run(name, *fast(place))
        assert rc == 1 and "not a regular file" in err
    assert alive(mgr.pid)


def test_a_pid_that_is_somebody_elses_now(place):
    for argv in (["vi", f"{place}/app1.cnf"], ["masterha_manager", f"--conf={place}/app2.cnf"], ["mysqld"]):
        with manager(argv) as p:
            health(place, p.pid, STATES[0][1])
            rc, out, err = run("masterha_check_status", *fast(place))
            assert (rc, out) == (2, "app1 is stopped(2:NOT_RUNNING).\n") and "is no manager of app1" in err
            rc, out, err = run("masterha_stop", *fast(place, "--abort"))
            assert (rc, out) == (0, "MHA Manager is not running on app1(2:NOT_RUNNING).\n") and "left alone" in err
            assert alive(p.pid)


def test_mhas_own_manager_in_perl(place):
    script = place / "masterha_manager"
    script.write_text("#!/usr/bin/perl\n$| = 1; print \"ready\\n\"; sleep 100;\n")
    script.chmod(0o755)
    for words in ([f"--conf={place}/app1.cnf"], ["--conf", f"{place}/app1.cnf"]):
        p = subprocess.Popen([script, *words], stdout=subprocess.PIPE, text=True, process_group=0)
        try:
            assert p.stdout.readline() == "ready\n"
            health(place, p.pid, STATES[0][1])
            assert run("masterha_check_status", *fast(place))[0] == 0
            assert run("masterha_stop", *fast(place)) == (0, "Stopped app1 successfully.\n", "")
            assert p.wait(5) == -signal.SIGTERM
        finally:
            p.kill()
            p.wait()
            p.stdout.close()


@root_only
def test_everybody_may_ask_nobody_may_fake(place, mgr):
    program = place / "mhactl"
    shutil.copy(BIN / "masterha_check_status", program)
    path = health(place, mgr.pid, STATES[0][1])
    path.chmod(0o644)
    assert run("masterha_check_status", *fast(place), user=NOBODY, program=program)[0] == 0
    place.chmod(0o1777)
    path.unlink()
    with manager(["masterha_manager", f"--conf={place}/app1.cnf"]) as victim:
        path = health(place, victim.pid, STATES[0][1])
        os.chown(path, NOBODY, NOBODY)
        rc, out, err = run("masterha_stop", *fast(place, "--abort"))
        assert (rc, out) == (0, "MHA Manager is not running on app1(2:NOT_RUNNING).\n")
        assert f"belongs to uid {NOBODY}" in err and alive(victim.pid)
        assert run("masterha_check_status", *fast(place))[0] == 2
    path.unlink()
    with manager(["masterha_manager", f"--conf={place}/app1.cnf"], user=NOBODY) as own:
        path = health(place, own.pid, STATES[0][1])
        os.chown(path, NOBODY, NOBODY)
        assert run("masterha_stop", *fast(place))[:2] == (0, "Stopped app1 successfully.\n")


def services(place, *names):
    for name in names:
        (place / "service" / f"masterha_{name}").mkdir(parents=True)
    (place / "service" / "other").mkdir(exist_ok=True)
    (place / "conf").mkdir()
    for name in names:
        conf(place, name).rename(place / "conf" / f"{name}.cnf")
    return ["--all", f"--service_dir={place}/service", f"--basedir={place}"]


def test_all(place, mgr):
    every = services(place, "app1", "app2")
    health(place, mgr.pid, STATES[0][1])
    with manager(["masterha_manager", "/etc/app2.cnf"]) as p:
        health(place, p.pid, STATES[2][1], app="app2")
        rc, out, _ = run("masterha_check_status", *every)
        assert rc == 1 and [line.split()[0] for line in out.splitlines()] == ["app1", "app2"]
        health(place, p.pid, STATES[0][1], app="app2")
        assert run("masterha_check_status", *every)[0] == 0
        assert run("masterha_stop", *every) == (0, "Stopped app1 successfully.\nStopped app2 successfully.\n", "")
        assert run("masterha_stop", *every)[0] == 0
    rc, out, err = run("masterha_check_status", "--all", f"--service_dir={place}/nowhere")
    assert rc == 1 and "nowhere" in err


def test_app_alone_means_mhas_directory(place, mgr):
    services(place, "app1")
    health(place, mgr.pid, STATES[0][1])
    assert run("masterha_check_status", "--app=app1", f"--basedir={place}")[0] == 0
    rc, _, err = run("masterha_check_status", "--app=no-such-cluster-here")
    assert rc == 1 and err.startswith("Got error on conf /usr/local/masterha/conf/no-such-cluster-here.cnf: ")


@pytest.mark.parametrize("name", ["masterha_check_status", "masterha_stop"])
def test_command_lines(place, name):
    assert run(name) == (1, "", "Either --conf or --status_dir must be set.\n")
    assert run(name, "--version") == (0, f"{name} version 0.58.\n", "")
    assert run(name, "--help")[1].startswith(f"usage: {name} ")
    rc, _, err = run(name, f"--status_dir={place}")
    assert rc == 1 and "--app" in err
    rc, _, err = run(name, *fast(place, "--ping_limt=5"))
    assert rc == 1 and "did you mean --ping_limit?" in err
    rc, _, err = run(name, "--app=../../etc/x", f"--workdir={place}")
    assert rc == 1 and "no name of a cluster" in err
    bad = place / "bad.cnf"
    bad.write_text("[server1]\nhostnam=db1\n")
    rc, out, err = run(name, f"--conf={bad}")
    assert rc == 1 and not out and err.startswith(f"Got error on conf {bad}: ")
    assert run(name, f"--conf={place}/none.cnf")[2].startswith(f"Got error on conf {place}/none.cnf: ")


# ---- masterha_stop

def test_stop(place, mgr):
    assert run("masterha_stop", *fast(place)) == (0, "MHA Manager is not running on app1(2:NOT_RUNNING).\n", "")
    health(place, mgr.pid, STATES[0][1])
    assert run("masterha_stop", f"--conf={conf(place)}") == (0, "Stopped app1 successfully.\n", "")
    assert mgr.wait(5) == -signal.SIGTERM
    assert run("masterha_stop", *fast(place)) == (0, "MHA Manager is not running on app1(2:NOT_RUNNING).\n", "")


@pytest.mark.parametrize("text", [s[1] for s in STATES if s[0] not in (0, 50)])
def test_stop_in_other_states(place, mgr, text):
    health(place, mgr.pid, text)
    assert run("masterha_stop", *fast(place))[:2] == (0, "Stopped app1 successfully.\n")


def test_stop_ends_its_group_and_no_other(place):
    with manager(["masterha_manager", f"--conf={place}/app1.cnf"], body="sleep 100 & echo $!; wait") as p, \
            manager(["masterha_manager", f"--conf={place}/app2.cnf"]) as other:
        child = int(p.stdout.readline())
        health(place, p.pid, STATES[0][1])
        assert run("masterha_stop", *fast(place))[0] == 0
        until("the child ends", lambda: not alive(child))
        assert alive(other.pid)


def test_a_manager_in_somebody_elses_group(place):
    """This test is in that group too."""
    with manager(["masterha_manager", f"--conf={place}/app1.cnf"], leads=False) as p:
        health(place, p.pid, STATES[0][1])
        assert os.getpgid(p.pid) == os.getpgrp()
        assert run("masterha_stop", *fast(place))[:2] == (0, "Stopped app1 successfully.\n")
        assert p.wait(5) == -signal.SIGTERM


def test_not_during_a_failover(place, mgr):
    health(place, mgr.pid, STATES[6][1])
    assert run("masterha_stop", *fast(place)) == (1, "Currently Failover is running on app1. Should not stop.\n", "")
    assert alive(mgr.pid)
    assert run("masterha_stop", *fast(place, "--abort"))[:2] == (0, "Stopped app1 successfully.\n")


def test_one_that_does_not_end(place):
    with manager(["masterha_manager", f"--conf={place}/app1.cnf"], body="trap '' TERM; echo deaf; while :; do sleep 0.05; done") as p:
        assert p.stdout.readline() == "deaf\n"
        health(place, p.pid, STATES[0][1])
        began = time.monotonic()
        assert run("masterha_stop", *fast(place, "--abort_timeout=1")) == \
            (1, f"Manager process {p.pid} didn't stop in 1 seconds.\nFailed to stop app1.\n", "")
        assert 1 <= time.monotonic() - began < 3 and alive(p.pid)
        assert run("masterha_stop", *fast(place, "--abort_timeout=1", "--abort")) == (0, "Forced stopped app1.\n", "")
        assert p.wait(5) == -signal.SIGKILL
    assert run("masterha_check_status", *fast(place))[0] == 2, "its file stays, as with MHA"


@root_only
def test_stop_without_the_right_to(place, mgr):
    program = place / "mhactl"
    shutil.copy(BIN / "masterha_stop", program)
    health(place, mgr.pid, STATES[0][1]).chmod(0o644)
    rc, out, err = run("masterha_stop", *fast(place), user=NOBODY, program=program)
    assert (rc, out) == (1, "Failed to stop app1.\n") and "cannot signal" in err and alive(mgr.pid)


# ---- masterha_conf_host

CNF = """\
# app1, Paris
[server default]
user=mha\t; inline

[server2]
hostname=db2
# candidate_master=1

[server1]
hostname=db1
"""


@pytest.fixture
def cnf(place):
    path = place / "app1.cnf"
    path.write_text(CNF)
    path.chmod(0o640)
    return path


def conf_host(cnf, *words):
    return run("masterha_conf_host", f"--conf={cnf}", *words)


def test_add_and_delete(cnf):
    assert conf_host(cnf, "--command=add", "--block=9", "--hostname=db9", "--params=port=3307;candidate_master=1") == \
        (0, f"Wrote server9 entry to {cnf} .\n", "")
    assert cnf.read_text() == CNF + "\n[server9]\nhostname=db9\nport=3307\ncandidate_master=1\n"
    assert cnf.stat().st_mode & 0o7777 == 0o640
    assert conf_host(cnf, "--command=add", "--block=server9", "--hostname=db10") == \
        (1, "", f"Entry server9 already exists on {cnf} .\n")
    assert conf_host(cnf, "--command=delete", "--block=server9") == (0, f"Deleted server9 entry from {cnf} .\n", "")
    assert cnf.read_text() == CNF
    assert conf_host(cnf, "--command=remove", "--block=9") == (0, f"Entry server9 not found from {cnf} .\n", "")
    assert conf_host(cnf, "--command=remove", "--block=2") == (0, f"Deleted server2 entry from {cnf} .\n", "")
    assert cnf.read_text() == CNF.replace("[server2]\nhostname=db2\n# candidate_master=1\n\n", "")


def test_the_name_of_a_block_without_one(cnf):
    assert conf_host(cnf, "--command=add", "--hostname=db9.example.org")[1] == \
        f"Wrote server_db9.example.org entry to {cnf} .\n"
    assert "[server_db9.example.org]\nhostname=db9.example.org\n" in cnf.read_text()
    assert conf_host(cnf, "--command=delete", "--hostname=db9.example.org")[0] == 0
    assert cnf.read_text() == CNF


@pytest.mark.parametrize("words, text", [
    (["--command=add", "--block=9"], "--hostname"),
    (["--command=add", "--hostname=db9", "--params=candidate_mastr=1"], "did you mean candidate_master?"),
    (["--command=add", "--hostname=db9", "--params=port"], "is not name=value"),
    (["--command=add", "--hostname=db9", "--params=port=x"], "would not load"),
    (["--command=add", "--hostname=db2"], "duplicate"),
    (["--command=add", "--hostname=d b", ], "no name for a block"),
    (["--command=move", "--hostname=db9"], "no such command"),
    (["--hostname=db9"], "--command"),
    (["--command=delete"], "which block?"),
    (["--command=delete", "--block=server default"], "is no server"),
    (["--command=add", "--hostname=db9", "--blok=9"], "did you mean --block?"),
    (["--command=add", "--hostname=db9", "stray"], "is no option"),
])
def test_what_is_wrong_is_said_and_nothing_changed(cnf, words, text):
    rc, out, err = conf_host(cnf, *words)
    assert rc == 1 and not out and text in err
    assert cnf.read_text() == CNF


def test_files_that_cannot_be_edited(place, cnf):
    add = ["--command=add", "--hostname=db9"]
    assert run("masterha_conf_host", *add) == (1, "--conf=<server_config_file> must be set.\n", "")
    rc, _, err = conf_host(place / "none.cnf", *add)
    assert rc == 1 and "none.cnf" in err
    native = place / "app1.conf"
    native.write_text('servers = ( { hostname = "db1"; } );\n')
    rc, _, err = conf_host(native, *add)
    assert rc == 1 and "by hand" in err and "db9" not in native.read_text()
    cnf.write_text("[server1]\nhostname=db1\n")
    rc, _, err = conf_host(cnf, "--command=delete", "--block=1")
    assert rc == 1 and "no server in the configuration" in err and cnf.read_text() == "[server1]\nhostname=db1\n"


def test_passwords_are_not_in_messages(cnf):
    rc, out, err = conf_host(cnf, "--command=add", "--hostname=db9", "--params=password=hunter2;port=nine")
    assert rc == 1 and "hunter2" not in out + err


def test_many_at_once(cnf):
    names = [f"new{i}" for i in range(10)]
    jobs = [subprocess.Popen([BIN / "masterha_conf_host", f"--conf={cnf}", "--command=add", f"--hostname={n}"],
                             stdout=subprocess.DEVNULL) for n in names]
    assert [j.wait(60) for j in jobs] == [0] * len(jobs)
    text = cnf.read_text()
    assert text.startswith(CNF) and sorted(l[8:-1] for l in text.splitlines() if l.startswith("[server_")) == sorted(names)


def test_killed_in_the_middle(cnf):
    """Whatever the moment, the file is whole."""
    whole = {CNF, CNF + "\n[server9]\nhostname=db9\n"}
    seen = set()
    for i in range(60):
        job = subprocess.Popen([BIN / "masterha_conf_host", f"--conf={cnf}", f"--command={'delete' if i % 2 else 'add'}",
                                "--block=9", "--hostname=db9"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(i * 0.0002)
        job.kill()
        job.wait()
        seen.add(cnf.read_text())
    assert seen <= whole
    conf_host(cnf, "--command=delete", "--block=9")
    assert conf_host(cnf, "--command=add", "--block=9", "--hostname=db9")[0] == 0
    assert sorted(p.name for p in cnf.parent.iterdir()) == ["app1.cnf"]
