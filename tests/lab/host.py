# SPDX-License-Identifier: BSD-2-Clause
"""One host: its own network, mounts, pids, name, and a disk that outlives its power supply.

Its root is an overlay over the machine's, so all programs are there and nothing that it writes
reaches the machine.  /tmp and /run are lost when the power goes; all else is found again.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import net, ssh
from .fetch import cache
from .util import (HERE, PYTHON, REPO, LabError, Result, children, cmdline, sh, until, wait_gone)

# What the machine has there is not for the hosts: they start with these directories empty.
PRIVATE = ("/root", "/etc/ssh", "/etc/mhad", "/opt/mhad", "/srv", "/var/tmp", "/var/lib/mhad",
           "/var/lib/mysql", "/var/log/mysql", "/var/log/masterha")
NODE_PROGRAMS = ("mha-node", "save_binary_logs", "apply_diff_relay_logs", "purge_relay_logs",
                 "filter_mysqlbinlog")
MYSQL_UID = 3306
ENV = {"PATH": ssh.PATH, "HOME": "/root", "USER": "root", "LOGNAME": "root", "LANG": "C.UTF-8"}
ENV_PASSED = re.compile(r"(ASAN|UBSAN|TSAN|LSAN)_OPTIONS|LLVM_PROFILE_FILE|GCOV_\w+|TZ")


def programs():
    """The directory of the programs under test."""
    return Path(os.environ.get("MHAD_BIN") or REPO / "build/bin").resolve()


class Proc:
    """A program running on a host.  `pid` is its own, as the machine counts."""

    def __init__(self, host, argv, env=None, cwd="/root", input=None):
        self.argv, self.host = [str(a) for a in argv], host
        passed = {k: v for k, v in os.environ.items() if ENV_PASSED.fullmatch(k)}
        pairs = [f"{k}={v}" for k, v in {**ENV, **passed, **(env or {})}.items()]
        # Files, not pipes: a background child that keeps the output open must not hold us up.
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        stdin = tempfile.TemporaryFile()
        stdin.write((input or "").encode())
        stdin.seek(0)
        self.began = time.monotonic()
        with stdin:
            self._proc = subprocess.Popen(
                [*host.enter(), "env", "-i", "-C", cwd, *pairs, *self.argv],
                stdin=stdin, stdout=self._out, stderr=self._err, start_new_session=True)
        self._pid = None

    @property
    def pid(self):
        if self._pid is None:
            kids = until(f"{self.argv[0]} runs", lambda: children(self._proc.pid) or not self.running, 5, every=0.001)
            if kids is True:
                raise LabError(f"{self.argv[0]} has ended")
            self._pid = kids[0]
        return self._pid

    @property
    def running(self):
        return self._proc.poll() is None

    @property
    def out(self):
        return self._text(self._out)

    @property
    def err(self):
        return self._text(self._err)

    @staticmethod
    def _text(file):
        return os.pread(file.fileno(), 1 << 26, 0).decode(errors="replace")

    def kill(self, sig=signal.SIGKILL):
        """Send the program itself a signal, and nothing to its children."""
        try:
            os.kill(self.pid, sig)
            if sig == signal.SIGCONT:
                self._proc.send_signal(sig)  # nsenter stops itself along with its child
        except (ProcessLookupError, LabError):
            pass

    def wait(self, timeout=30.0):
        """Its Result; LabError, and the end of the program, if it takes longer."""
        try:
            rc = self._proc.wait(timeout)
        except subprocess.TimeoutExpired:
            self.destroy()
            raise LabError(f"on {self.host.name}: not finished after {timeout} s: "
                           f"{' '.join(self.argv)}\n{self.out}{self.err}") from None
        return Result(self.argv, rc, self.out, self.err, time.monotonic() - self.began)

    def destroy(self):
        """End it and all that it started."""
        for pid in [*children(self._proc.pid), self._proc.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._proc.wait()


class Host:
    def __init__(self, lab, name, pid=None):
        self.lab, self.name, self.addr, self.pid = lab, name, net.address(name), pid
        self.disk = f"{lab.dir}/fs/{name}"  # as seen inside the lab
        self._booting = self._init = None

    def __repr__(self):
        return self.name

    # ---- power ------------------------------------------------------------------------------
    @property
    def on(self):
        return self.pid is not None and os.path.exists(f"/proc/{self.pid}")

    def install(self):
        """Write the disk of a new host."""
        for d in PRIVATE:
            upper = self.path(d)
            upper.mkdir(parents=True)
            os.setxattr(upper, "trusted.overlay.opaque", b"y")
        os.chmod(self.path("/root"), 0o700)
        os.chmod(self.path("/var/tmp"), 0o1777)
        for d in ("work", "root"):
            (self.lab.fs / self.name / d).mkdir()
        self._accounts()
        self.write("/etc/hosts", net.hosts_file())
        self.write("/etc/hostname", self.name + "\n")
        ssh.install(self, cache())
        self._link_programs()

    def _accounts(self):
        own = {"passwd": ["root:x:0:0:root:/root:/bin/bash",
                          f"mysql:x:{MYSQL_UID}:{MYSQL_UID}::/nonexistent:/bin/false"],
               "group": ["root:x:0:", f"mysql:x:{MYSQL_UID}:"],
               "shadow": ["root:*:19000::::::", "mysql:*:19000::::::"]}
        for file, lines in own.items():
            rest = [l for l in Path("/etc", file).read_text().splitlines()
                    if l.split(":")[0] not in ("root", "mysql")]
            self.write(f"/etc/{file}", "\n".join(lines[:1] + rest + lines[1:]) + "\n",
                       0o640 if file == "shadow" else 0o644)

    def _link_programs(self):
        directory = programs()
        if not directory.is_dir():
            return
        self.path("/opt/mhad/bin").mkdir(exist_ok=True)
        for p in sorted(directory.iterdir()):
            if os.access(p, os.X_OK) and (self.name == "mgr" or p.name in NODE_PROGRAMS):
                self.path("/opt/mhad/bin/" + p.name).symlink_to(p)

    def boot_begin(self):
        """Switch it on; boot_end() waits for it.  Two halves, so that hosts boot side by side."""
        root = f"{self.disk}/root"
        binds = {str(REPO), str(programs())} if programs().is_dir() else {str(REPO)}
        steps = [["mount", "overlay", root, "overlay",
                  f"lowerdir=/,upperdir={self.disk}/upper,workdir={self.disk}/work"],
                 ["mount", "proc", root + "/proc", "proc", ""],
                 ["mount", "sysfs", root + "/sys", "sysfs", ""],
                 ["bind", "/dev", root + "/dev"],
                 ["mount", "tmpfs", root + "/dev/shm", "tmpfs", "mode=1777"],
                 ["mount", "tmpfs", root + "/run", "tmpfs", "mode=755"],
                 ["mount", "tmpfs", root + "/tmp", "tmpfs", "mode=1777"],
                 ["bind", f"{self.disk}/srv", root + "/srv"],
                 ["bind", str(cache() / "programs"), root + "/opt/lab"],
                 *[["bind", b, root + b] for b in sorted(binds)],
                 ["enter", root]]
        self._booting = subprocess.Popen(
            ["nsenter", "-t", str(self.lab.pid), "-m", "-p", "--", "unshare", "--mount", "--net", "--pid",
             "--ipc", "--uts", "--propagation", "slave", "--fork", "--kill-child", PYTHON, "-IS",
             str(HERE / "init.py"), self.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(self.lab.dir / "log", "a"), text=True,
            start_new_session=True)
        json.dump(steps, self._booting.stdin)
        self._booting.stdin.close()
        return self

    def boot_end(self):
        words = self._booting.stdout.readline().split()
        self._booting.stdout.close()
        if words[:1] != ["ready"]:
            raise LabError(f"{self.name} does not boot: " + (self.lab.dir / "log").read_text())
        self._init, self._booting, self.pid = self._booting, None, int(words[1])
        sh("ip", "netns", "attach", self.netns, self.pid)
        self.lab.switch.plug(self.name, self.addr, self.pid)
        ssh.start(self)
        self.lab.save()
        return self

    def boot(self):
        """Power on.  Servers are not started by this, as after a crash that a person looks at."""
        return self.boot_begin().boot_end()

    def off(self):
        """Power off: in one moment it neither computes nor answers, ARP included."""
        if not self.on:
            return
        self.lab.switch.unplug(self.name)
        os.kill(self.pid, signal.SIGKILL)
        if self._init:
            self._init.wait()
        wait_gone(self.pid)
        sh("ip", "netns", "del", self.netns, check=False)
        self.pid = self._init = None
        for s in self.lab.servers_on(self):
            s.forget()
        self.lab.save()

    @property
    def netns(self):
        """The name `ip netns` knows it by."""
        return f"{self.lab.name}-{self.name}"

    # ---- programs ---------------------------------------------------------------------------
    def enter(self):
        """The words to put before a command so that it runs here."""
        if not self.on:
            raise LabError(f"{self.name} is off")
        return ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", "--"]

    def start(self, argv, **kw):
        """Start a program; env, cwd and input as for run()."""
        return Proc(self, argv, **kw)

    def run(self, argv, timeout=30.0, check=False, **kw):
        """Run a program to its end: a Result with rc, out, err, seconds."""
        r = Proc(self, argv, **kw).wait(timeout)
        if check and r.rc:
            raise LabError(f"on {self.name}: {r}")
        return r

    def daemon(self, argv, log="/dev/null"):
        """Start a program that belongs to the host, as its init would."""
        self.run(["sh", "-c", 'log=$1; shift; exec setsid -f "$@" </dev/null >>"$log" 2>&1', "sh", log, *argv],
                 check=True)

    def processes(self):
        """(pid, argv) of all that runs here, pids as the machine counts."""
        return [(p, argv) for p in children(self.pid) if (argv := cmdline(p))] if self.on else []

    def signal(self, pid, sig):
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass

    # ---- files ------------------------------------------------------------------------------
    def path(self, path):
        """Where this program finds a file of the host; on its disk when the power is off."""
        path = path.lstrip("/")
        if path.split("/")[0] == "srv":
            return self.lab.fs / self.name / path
        if self.on:
            return Path(f"/proc/{self.pid}/root") / path
        return self.lab.fs / self.name / "upper" / path

    def write(self, path, text, mode=0o644):
        p = self.path(path)
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_text(text)
        os.chmod(p, mode)
        return path

    def read(self, path):
        return self.path(path).read_text(errors="replace")

    def script(self, path, body):
        """A shell script on this host."""
        return self.write(path, body if body.startswith("#!") else "#!/bin/sh\n" + body, 0o755)

    def remove(self, path):
        p = self.path(path)
        shutil.rmtree(p) if p.is_dir() else p.unlink(missing_ok=True)

    # ---- network ----------------------------------------------------------------------------
    def socket(self, *args):
        """A socket in this host's network."""
        return net.in_net(self.pid, lambda: socket.socket(*args))

    def tcp(self, addr, port, wait=1.0):
        """What a client here meets there: open, refused, unreachable or silent."""
        with self.socket() as s:
            s.settimeout(wait)
            try:
                s.connect((str(addr), port))
                return "open"
            except ConnectionError:
                return "refused"
            except TimeoutError:
                return "silent"
            except OSError:
                return "unreachable"

    def ssh(self, to, command, *options, timeout=15.0, check=False):
        """Log in to another host and run a shell command there.  Options given come first, so they win."""
        return self.run(["ssh", *options, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
                         "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                         "-o", "ConnectTimeout=3", to.addr, command],
                        timeout=timeout, check=check)
