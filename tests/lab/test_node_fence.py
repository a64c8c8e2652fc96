# SPDX-License-Identifier: BSD-2-Clause
"""mha-node fence and release: the server of one port goes down and stays down, the others do not notice."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from . import Lab, fault
from .conftest import WANTED
from .flavour import flavour as find_flavour
from .host import programs
from .util import Unavailable, children, sh, until, wait_gone

FALSE = ["bash", "-c", "exec -a /usr/sbin/mysqld bash -c 'sleep 60; :' mysqld --port=3306"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


@pytest.fixture(scope="module", params=WANTED)
def pair(request):
    """Two servers on one host, ports 3306 and 3307."""
    with Lab.open() as lab:
        yield lab.cluster(request.param, 2, mode="pos", shape="onehost")


@pytest.fixture
def victim(pair):
    """The one on port 3306, up."""
    if not pair[0].running:
        pair[0].start()
    yield pair[0]
    for pid, argv in pair[0].host.processes():  # what supervised it
        if "mysqld_guard" in argv or "mysqld_safe" in " ".join(argv[:2]):
            os.kill(pid, signal.SIGKILL)
    pair[0].host.run(["mha-node", "release", "--port=3306"], check=True)
    if pair[0].running:
        pair[0].kill()


def fence(host, *options, rc=0, port=3306, prefix=(), verb="fence"):
    r = host.run([*prefix, "mha-node", verb, f"--port={port}", *options], timeout=30)
    assert r.rc == rc, r
    return json.loads(r.out)


def test_running(pair, victim):
    other = pair[1].pid
    a = fence(victim.host, "--hold", "--token=app1/7")
    assert a["result"] == "fenced" and a["found"] == "yes" and a["token"] == "app1/7", a
    assert [e["role"] for e in a["ended"]] == ["server"] and a["ended"][0]["gone"], a
    assert a["datadir"] == victim.data and a["recorded"] and not a["held"]
    assert "nothing listens on port 3306" in a["facts"]
    assert f"no process holds the locks of {victim.data}" in a["facts"]
    assert not victim.running and pair[1].pid == other and pair[1].one("SELECT 1") == 1
    record = victim.host.path("/run/mhad/fence-3306.json")
    assert record.stat().st_mode & 0o7777 == 0o600
    assert json.loads(record.read_text())["token"] == "app1/7"
    assert json.loads(victim.host.run(["mha-node", "probe", "--port=3306"]).out)["fence_record"]

    again = fence(victim.host, "--hold")
    assert again["result"] == "fenced" and again["found"] == "no" and not again["ended"], again
    assert "no server of that port runs" in again["facts"]
    assert again["took_ms"] < 1500
    released = fence(victim.host, verb="release")
    assert released["was_recorded"] and not record.exists()
    assert not fence(victim.host, verb="release")["was_recorded"]


def test_at_once(victim):
    a = fence(victim.host, "--no-stop")
    assert a["result"] == "fenced" and a["ended"][0]["signal"] == "KILL" and not a["recorded"], a
    assert a["took_ms"] < 2500


def test_frozen(victim):
    """TERM would never reach it."""
    victim.freeze()
    a = fence(victim.host)
    assert a["result"] == "fenced" and a["ended"][0]["signal"] == "KILL" and a["ended"][0]["took_ms"] < 2000, a
    assert not victim.running


def test_shell_that_starts_it_again(pair, victim):
    victim.stop()
    victim.supervise()
    a = fence(victim.host, "--hold")
    assert a["result"] == "fenced" and a["came_back"] >= 1, a
    assert {e["role"] for e in a["ended"]} == {"server", "supervisor"}
    time.sleep(1.5)  # twice the supervisor's pause
    assert not victim.running and pair[1].running


def test_other_program_that_starts_it_again(victim):
    """It is none of ours to kill: named, and not called fenced."""
    victim.stop()
    code = ("import subprocess, sys, time\n"
            "while True:\n subprocess.run(sys.argv[1:])\n time.sleep(0.2)\n")
    victim.configure()
    victim.host.daemon(["/usr/bin/python3", "-c", code, victim.flavour.daemon, f"--defaults-file={victim.cnf}"])
    until("it runs", lambda: victim.running)
    victim.wait()
    guard = next(p for p, argv in victim.host.processes() if code in argv)
    try:
        r = victim.host.run(["mha-node", "fence", "--port=3306", "--timeout=3000"])
        a = json.loads(r.out)  # at the end it is down for a moment, or up again
        assert (r.rc, a["result"]) in ((1, "failed"), (2, "unproven")) and a["came_back"] >= 1, a
        assert any("python3" in f and "left alone" in f for f in a["facts"]), a
        assert guard in [p for p, _ in victim.host.processes()]
    finally:
        os.kill(guard, signal.SIGKILL)
        wait_gone(guard)


def test_mysqld_safe(pair, victim):
    if victim.flavour.name != "ma1011" or not shutil.which("mariadbd-safe", path="/usr/bin"):
        # A stand-in that does what the script does, under its name: deaf to TERM, starts it again at once.
        safe = victim.host.script("/usr/bin/mysqld_safe", "trap '' 1 2 3 15\nwhile :; do "
                                  f'rm -f {victim.base}/sock.lock; {victim.flavour.daemon} "$@"; done')
    else:
        safe = "/usr/bin/mariadbd-safe"
    victim.stop()
    victim.configure()
    victim.host.daemon([safe, f"--defaults-file={victim.cnf}"], victim.base + "/err.log")
    victim.wait()
    a = fence(victim.host)
    assert a["result"] == "fenced" and a["came_back"] == 0, a
    assert {e["role"] for e in a["ended"]} == {"server", "supervisor"}, a
    assert not victim.running and pair[1].running


def test_without_rights(victim):
    a = fence(victim.host, prefix=NOBODY, rc=1, *["--timeout=1500"])
    assert a["result"] == "failed" and any("cannot be signalled" in f for f in a["facts"]), a
    assert victim.running
    a = fence(victim.host, "--hold", "--timeout=1500", prefix=NOBODY, rc=1)
    assert not a["recorded"] and any("could not be held" in f for f in a["facts"]), a


def test_not_ours(lab):
    """Whoever only bears the name or only has the port is left alone."""
    host = lab.host("db1")
    false = host.start(FALSE)
    code = "import socket, time; s = socket.create_server(('', 3306)); print('up', flush=True); time.sleep(60)"
    stranger = host.start(["/usr/bin/python3", "-c", code])
    try:
        lab.until("it listens", lambda: "up" in stranger.out)
        a = fence(host, "--timeout=1500", rc=2)
        assert a["result"] == "unproven" and any("left alone" in f for f in a["facts"]), a
        assert false.running and stranger.running
    finally:
        false.destroy()
        stranger.destroy()
    assert fence(host)["result"] == "fenced"


# ---- systemd ----------------------------------------------------------------------------------
UNITS = {
    "lab.target": "[Unit]\nDescription=lab\nDefaultDependencies=no\n",
    # An instance of a template, with its own port, that systemd brings back whatever happens.
    "mysqld@.service": ("[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nStandardOutput=null\nStandardError=null\nExecStart={daemon} --no-defaults --user=root --port=%i --datadir=/mnt/%i "
                        "--socket=/mnt/%i/sock --pid-file=/mnt/%i/pid --innodb-use-native-aio=0 "
                        "--innodb-log-file-size=4M --innodb-buffer-pool-size=8M --lc-messages-dir={share}\n"
                        "Restart=always\nRestartSec=100ms\n"),
}
# Nothing of the machine may be changed by a boot, which clears /tmp and sets kernel settings: all that is
# the machine's is read-only before systemd starts (and that is proven), and no unit draws in sysinit.target.
CONTAIN = """
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o size=600m tmpfs /mnt
cp -a {folder}/. /mnt/ && chmod 755 /mnt
mount -o remount,bind,ro /
mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
for d in /run /tmp /var/tmp /var/log /var/lib/systemd /etc/systemd/system; do mount -t tmpfs tmpfs $d; done
for d in /etc /usr /var /var/lib /root /proc/sys/kernel; do
	if touch $d/.writable 2>/dev/null || test -w $d/.; then echo "$d can be written"; exit 1; fi
done
for d in /tmp /var/tmp /var/log; do test "$(stat -fc %T $d)" = tmpfs && test -z "$(ls -A $d)"; done
"""
BOOT = """
mount -t tmpfs tmpfs /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup
mkdir /sys/fs/cgroup/{group} && echo $$ >/sys/fs/cgroup/{group}/cgroup.procs
umount /sys/fs/cgroup
mkdir -p /run/systemd/system /run/lock
cp /mnt/units/* {where}/
cp /mnt/units/lab.target /run/systemd/system/
ip link set lo up
export container=mhadlab
exec unshare --cgroup sh -ec 'mount -t cgroup2 none /sys/fs/cgroup
exec /lib/systemd/systemd --system --unit=lab.target --log-target=null'
"""


class Systemd:
    """A real one, PID 1 of its own namespaces, with two servers as instances of one unit."""

    def __init__(self, folder, where):
        server = find_flavour("ma1011")
        self.group = f"mhad-lab-{os.getpid()}-{folder.name}"
        units = folder / "units"
        units.mkdir()
        for name, text in UNITS.items():
            (units / name).write_text(text.format(daemon=server.daemon, share=server.share))
        for port in (3306, 3307):
            sh("cp", "-a", server.template() / "data", folder / str(port))
        shutil.copy(programs() / "mha-node", folder)
        script = folder / "boot"
        script.write_text("set -e\n" + CONTAIN.format(folder=folder) + BOOT.format(where=where, group=self.group))
        self._proc = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--net",
             "--uts", "--ipc", "sh", str(script)],
            stdin=subprocess.DEVNULL, stdout=open(folder / "log", "wb"), stderr=subprocess.STDOUT)
        self.log = folder / "log"

    def boot(self):
        def ready():
            if self._proc.poll() is not None:
                raise Unavailable("systemd does not start here: " + self.log.read_text()[-300:])
            return self.ctl("is-active", "lab.target").stdout.strip() == "active"
        until("systemd is up", ready, 20)
        return self

    @property
    def pid(self):
        return children(self._proc.pid)[0]

    def run(self, *argv):
        return subprocess.run(["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-i", "-u", "-C", "--", *argv],
                              capture_output=True, text=True, timeout=40)

    def ctl(self, *argv):
        return self.run("systemctl", *argv)

    def state(self, unit):
        return self.ctl("show", "-p", "ActiveState", "--value", unit).stdout.strip()

    def main_pid(self, unit):
        return int(self.ctl("show", "-p", "MainPID", "--value", unit).stdout)

    def start(self, port):
        r = self.ctl("start", f"mysqld@{port}")
        assert r.returncode == 0, r.stderr
        until("it listens", lambda: self.node("probe", port)["listening"], 30)

    def node(self, verb, port, *options, rc=0):
        r = self.run("/mnt/mha-node", verb, f"--port={port}", *options)
        assert r.returncode == rc, r.stdout + r.stderr
        return json.loads(r.stdout)

    def end(self):
        with contextlib.suppress(IndexError, ProcessLookupError):
            pid = self.pid
            os.kill(pid, signal.SIGKILL)
            wait_gone(pid)
        self._proc.kill()
        self._proc.wait()
        self._remove_cgroups()

    def _remove_cgroups(self):
        mounts = [l.split() for l in open("/proc/self/mounts")]
        for top in [m[1] for m in mounts if m[2] == "cgroup2"][:1]:
            for folder, _, _ in os.walk(f"{top}/{self.group}", topdown=False):
                until("the cgroup is empty", lambda: os.rmdir(folder) is None, 5)


@pytest.fixture(params=["/run/systemd/system", "/etc/systemd/system"])
def systemd(request, tmp_path):
    """Units as a package has them; and in /etc, where `systemctl mask --runtime` would not help."""
    if os.geteuid() or not os.path.exists("/lib/systemd/systemd"):
        raise Unavailable("no systemd on this machine")
    it = Systemd(tmp_path, request.param)
    try:
        yield it.boot()
    finally:
        it.end()


def test_systemd_restarts_always(systemd):
    """The unit of that port is stopped, and neither comes back nor can be started until it is released."""
    systemd.start(3306)
    systemd.start(3307)
    a = systemd.node("fence", 3306, "--hold")
    assert a["result"] == "fenced" and a["unit"] == "mysqld@3306.service" and a["held"] and not a["came_back"], a
    assert systemd.state("mysqld@3306") in ("inactive", "failed")
    assert systemd.state("mysqld@3307") == "active"
    r = systemd.ctl("start", "mysqld@3306")
    assert r.returncode != 0 and "ssert" in r.stderr, r
    assert systemd.node("probe", 3306)["found"] == "no"
    assert systemd.node("fence", 3306, "--hold")["result"] == "fenced"

    assert systemd.node("release", 3306)["units_released"] == 1
    systemd.start(3306)
    assert not list(os.scandir(f"/proc/{systemd.pid}/root/run/mhad"))


def test_systemd_is_about_to_restart_it(systemd):
    """Found dead, between two lives: the unit is known by its command, and stopped."""
    systemd.start(3306)
    systemd.ctl("set-property", "--runtime", "mysqld@3306", "CPUWeight=100")
    dropin = f"/proc/{systemd.pid}/root/run/systemd/system/mysqld@3306.service.d"
    os.makedirs(dropin, exist_ok=True)
    with open(dropin + "/slow.conf", "w") as f:
        f.write("[Service]\nRestartSec=3s\n")
    systemd.ctl("daemon-reload")
    systemd.run("kill", "-9", str(systemd.main_pid("mysqld@3306")))
    until("systemd waits", lambda: systemd.state("mysqld@3306") == "activating", 5)
    a = systemd.node("fence", 3306, "--hold")
    assert a["result"] == "fenced" and a["unit"] == "mysqld@3306.service" and not a["ended"], a
    time.sleep(3.5)  # longer than RestartSec
    assert systemd.node("probe", 3306)["found"] == "no"
    assert systemd.state("mysqld@3306") in ("inactive", "failed")


def test_systemd_is_not_the_supervisor(systemd):
    """A server started by hand lives in the unit of whoever started it: that is not stopped."""
    shell = ("/usr/sbin/mariadbd --no-defaults --user=root --port=3306 --datadir=/mnt/3306 --socket=/mnt/3306/sock "
             "--pid-file=/mnt/3306/pid --innodb-use-native-aio=0 --innodb-log-file-size=4M & sleep 60")
    r = systemd.run("systemd-run", "--unit=somebody", "--property=DefaultDependencies=no", "sh", "-c", shell)
    assert r.returncode == 0, r.stderr
    until("it listens", lambda: systemd.node("probe", 3306)["listening"], 30)
    a = systemd.node("fence", 3306)
    assert a["result"] == "fenced" and a["unit"] is None, a
    assert any("somebody.service, which is not its own" in f for f in a["facts"]), a
    assert systemd.state("somebody") == "active"
