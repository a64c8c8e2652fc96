# SPDX-License-Identifier: BSD-2-Clause
"""A real systemd on a lab host, as PID 1 of namespaces of its own.

The host's root is an overlay already, so what is installed there, and what systemd writes, is gone with the lab.  In
front of it stand a fresh /run, /tmp and /var/tmp and a cgroup tree of its own.  Nothing of the machine starts:
the overlay hides its enabled units and generators, and what is left of sysinit.target is harmless.
"""
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from .host import Proc, programs
from .util import REPO, LabError, Unavailable, children, cmdline, until

TARGET = """[Unit]
Description=The lab
Requires=systemd-journald.service
After=systemd-journald.service
AllowIsolate=yes
"""

# Of the machine's kernel it hears and changes nothing.
JOURNALD = "[Journal]\nStorage=volatile\nAudit=no\nReadKMsg=no\nRateLimitIntervalSec=0\n"

# The cgroup must be our own before the cgroup namespace is made, or we would stand in the machine's root.
BOOT = r"""set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
for old in /sys/fs/cgroup/mhad-lab-*; do
	[ -e "$old" ] && grep -qs 'populated 0' "$old/cgroup.events" && find "$old" -depth -type d -exec rmdir {} + || :
done
mkdir /sys/fs/cgroup/"$1"
echo $$ >/sys/fs/cgroup/"$1"/cgroup.procs
exec unshare --cgroup --pid --ipc --uts --fork --kill-child sh -ec '
umount /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t proc proc /proc
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs -o mode=1777 none /var/tmp
mkdir -p /run/systemd/system /run/lock
cp /etc/lab.target /run/systemd/system/
export container=mhadlab
exec /lib/systemd/systemd --system --unit=lab.target --log-target=journal --show-status=no
'
"""


class Systemd:
    def __init__(self, host):
        self.host, self.name, self.pid = host, f"systemd of {host.name}", None
        if not Path("/lib/systemd/systemd").exists():
            raise Unavailable("there is no systemd on this machine")
        if "cgroup2" not in Path("/proc/filesystems").read_text():
            raise Unavailable("the kernel has no cgroup2")
        self.cgroup = f"mhad-lab-{host.lab.name}-{os.getpid()}"
        self._hide()
        host.write("/etc/lab.target", TARGET)
        host.write("/etc/systemd/journald.conf.d/lab.conf", JOURNALD)

    def _hide(self):
        """Take away, on the host's overlay, what the machine would start."""
        for d in ("/usr/lib/systemd/system", "/etc/systemd/system"):
            for wants in self.host.path(d).glob("*.wants"):
                shutil.rmtree(wants)
        for d in ("/usr/lib/systemd/system-generators", "/etc/systemd/system-generators"):
            if self.host.path(d).is_dir():
                shutil.rmtree(self.host.path(d))
        for name in ("fstab", "machine-id"):
            self.host.write(f"/etc/{name}", "")

    def boot(self):
        self._proc = Proc(self.host, ["unshare", "--mount", "sh", "-c", BOOT, "sh", self.cgroup], cwd="/")
        self.pid = until("systemd starts", self._find, 10)
        until("systemd is up", lambda: self.ctl("is-active", "lab.target", check=False).out == "active\n", 20)
        return self

    def _find(self):
        if not self._proc.running:
            raise Unavailable(f"systemd does not start in namespaces here: {self._proc.err.strip()}")
        return next((p for p in children(self._proc._proc.pid)
                     if (argv := cmdline(p)) and argv[0].endswith("/systemd") and "--unit=lab.target" in argv), None)

    def close(self):
        """Everything in its namespaces ends with it."""
        if self.pid is None:
            return
        os.kill(self.pid, signal.SIGKILL)
        self._proc.wait(20)
        self.pid = None
        self.host.run(["sh", "-c", "mount -t cgroup2 none /mnt && "
                       "find /mnt/$1 -depth -type d -exec rmdir {} + ; umount /mnt", "sh", self.cgroup])

    __enter__ = boot

    def __exit__(self, *_):
        self.close()

    # ---- inside -----------------------------------------------------------------------------
    def enter(self):
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", "-C", "--"]

    def start(self, argv, **kw):
        return Proc(self, argv, **kw)

    def run(self, argv, timeout=60.0, check=True, **kw):
        r = Proc(self, argv, **kw).wait(timeout)
        if check and r.rc:
            raise LabError(f"{self.name}: {r}")
        return r

    def ctl(self, *words, **kw):
        return self.run(["systemctl", *words], **kw)

    def show(self, unit, name):
        return self.ctl("show", "--value", "-p", name, unit).out.strip()

    def state(self, unit):
        """ "active/running" """
        return f"{self.show(unit, 'ActiveState')}/{self.show(unit, 'SubState')}"

    def main_pid(self, unit):
        """As the machine counts: to be sent signals."""
        inner = int(self.show(unit, "MainPID"))
        return next(p for p in children(self.pid) if inner and _inner_pid(p) == inner)

    def journal(self, *match):
        """Entries as dictionaries of their fields, oldest first."""
        self.run(["journalctl", "--sync"])
        out = self.run(["journalctl", "-n", "all", "-o", "json", "--all", *match]).out
        return [json.loads(line) for line in out.splitlines()]

    def says(self, unit):
        """The messages of a unit, one text."""
        return "\n".join(str(e.get("MESSAGE")) for e in self.journal("-u", unit))

    def path(self, path):
        return Path(f"/proc/{self.pid}/root") / path.lstrip("/")

    def install(self, prefix="/usr/local"):
        """What a package does: files, accounts, directories."""
        build = programs().parent
        # What is there is installed, and not built again because somebody has edited a source meanwhile.
        made = [f"-o{f}" for f in ("all", build / "bin/mhactl")]
        run = subprocess.run(["make", *made, "install", f"DESTDIR=/proc/{self.pid}/root", f"prefix={prefix}", f"B={build}"],
                             cwd=REPO, capture_output=True, text=True)
        if run.returncode:
            raise LabError(run.stderr[-2000:])
        self.run(["systemd-sysusers"])
        self.run(["systemd-tmpfiles", "--create", "mhad.conf"])
        self.ctl("daemon-reload")


def _inner_pid(pid):
    """The number that a process has in its innermost pid namespace."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return 0
