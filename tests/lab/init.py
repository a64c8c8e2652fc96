# SPDX-License-Identifier: BSD-2-Clause
"""PID 1 of a lab or of one of its hosts: init.py NAME

Started in fresh namespaces.  Does the mounts of the plan on stdin (JSON), says "ready PID" on stdout with the
pid that the machine knows it by, and from then on only reaps.  When it is killed, the kernel ends
everything in its namespaces with it: that is the power switch.
"""
import ctypes
import json
import os
import signal
import socket
import sys

MS_BIND, MS_REC, MS_SHARED, MNT_DETACH = 4096, 16384, 1 << 20, 2
libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    raw = [a.encode() if isinstance(a, str) else a for a in args]
    if getattr(libc, name)(*raw) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{args}: {os.strerror(ctypes.get_errno())}")


def mount(source, target, fstype, data):
    os.makedirs(target, exist_ok=True)
    call("mount", source, target, fstype, ctypes.c_ulong(0), data)


def bind(source, target):
    os.makedirs(target, exist_ok=True)
    call("mount", source, target, None, ctypes.c_ulong(MS_BIND | MS_REC), None)


def share(target):
    """Mounts made below target later on show up in the hosts, which are slaves of this mount."""
    call("mount", None, target, None, ctypes.c_ulong(MS_SHARED), None)


def enter(root):
    os.chdir(root)
    call("pivot_root", ".", ".")
    call("umount2", ".", MNT_DETACH)
    os.chdir("/")


def reap():
    while True:
        signal.sigwait({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def main():
    plan = json.load(sys.stdin)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    pid = os.readlink("/proc/self")  # /proc is still the machine's
    for step, *args in plan:
        {"mount": mount, "bind": bind, "share": share, "enter": enter}[step](*args)
    socket.sethostname(sys.argv[1])
    print("ready", pid, flush=True)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    reap()


main()
