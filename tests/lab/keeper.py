# SPDX-License-Identifier: BSD-2-Clause
"""Guardian of one lab: keeper.py NAME DIR

Starts the lab's PID 1, holds the lab's lock, and cleans up when its driver is gone, however the
driver went: its stdin is a pipe whose other end only the driver holds.  After the line "stay" it
keeps the lab without a driver, until SIGTERM.
"""
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys


def forget(name, directory):
    """Remove what a lab leaves in the machine's own namespaces."""
    for ns in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        if ns.rpartition("-")[0] == name:
            subprocess.run(["ip", "netns", "del", ns], capture_output=True)
    shutil.rmtree(directory, ignore_errors=True)


def guard():
    for line in sys.stdin:
        if line == "stay\n":
            signal.pause()


def quit_now(*_):
    raise SystemExit(0)


def main(name, directory):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, quit_now)
    lock = open(os.path.join(directory, "lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the blink in which somebody looks whether it is held
    init = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--ipc", "--uts",
         "--fork", "--kill-child", sys.executable, "-IS",
         os.path.join(os.path.dirname(os.path.abspath(__file__)), "init.py"), name],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        fs = os.path.join(directory, "fs")
        json.dump([["mount", "tmpfs", fs, "tmpfs", "mode=755"], ["share", fs]], init.stdin)
        init.stdin.close()
        print(init.stdout.readline(), end="", flush=True)
        guard()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        init.kill()
        init.wait()
        forget(name, directory)


if __name__ == "__main__":
    main(*sys.argv[1:])
