# SPDX-License-Identifier: BSD-2-Clause
"""Small things every other file of the lab uses."""
import contextlib
import fcntl
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
PYTHON = "/usr/bin/python3"


class LabError(Exception):
    """The lab itself failed, as opposed to what is tested in it."""


class Unavailable(LabError):
    """This machine cannot provide something, such as a server flavour: a reason to skip."""


@dataclass
class Result:
    """How a program ended."""
    argv: list
    rc: int
    out: str
    err: str
    seconds: float

    @property
    def text(self):
        return self.out + self.err

    def __str__(self):
        return f"{' '.join(self.argv)}: exit {self.rc} after {self.seconds:.2f} s\n{self.text}"


def sh(*argv, input=None, check=True, timeout=60, **kw):
    """Run a tool of the machine; its output, or LabError with what it said."""
    r = subprocess.run([str(a) for a in argv], input=input, capture_output=True, text=True,
                       timeout=timeout, start_new_session=True, **kw)
    if check and r.returncode:
        raise LabError(f"{' '.join(map(str, argv))}: exit {r.returncode}: {r.stderr.strip()}")
    return r.stdout


def until(what, test, within=15.0, every=0.02):
    """Wait until test() is true, return its value; LabError names what did not happen in time."""
    end = time.monotonic() + within
    last = None
    while True:
        try:
            value = test()
            if value:
                return value
            last = value
        except Exception as e:  # not yet reachable is a kind of "not yet"
            last = e
        if time.monotonic() >= end:
            raise LabError(f"not within {within} s: {what} (last seen: {last!r})")
        time.sleep(every)


@contextlib.contextmanager
def locked(path):
    """Hold an exclusive lock on the file while the block runs; other processes wait."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_held(path):
    """Does a live process hold the lock of this file?"""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def children(pid):
    """All living descendants of a process, as this process's pid numbers."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                for child in map(int, f.read().split()):
                    found += [child, *children(child)]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def wait_gone(pid, within=10.0):
    """Wait until a process, zombie included, is gone."""
    until(f"process {pid} ends", lambda: not os.path.exists(f"/proc/{pid}"), within, every=0.002)
