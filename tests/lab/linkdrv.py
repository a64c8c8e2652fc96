# SPDX-License-Identifier: BSD-2-Clause
"""build/tools/link on the manager host: daemon/link.h and daemon/witness.h by lines of text."""
import json
import os
import shutil
import subprocess
import threading
import time

from .host import ENV, ENV_PASSED, programs
from .util import LabError

SUPPRESS = "leak:libssh2.so\nleak:libcrypto.so\n"


class Driver:
    """The running tool.  What it says comes as dictionaries, in `seen`."""

    def __init__(self, host, room=100):
        tool = host.path("/opt/mhad/link-tool")
        tool.unlink(missing_ok=True)
        shutil.copy2(programs().parent / "tools/link", tool)
        host.write("/opt/mhad/leaks", SUPPRESS)
        env = {**ENV, **{k: v for k, v in os.environ.items() if ENV_PASSED.fullmatch(k)}}
        env["LSAN_OPTIONS"] = "print_suppressions=0:suppressions=/opt/mhad/leaks"
        self.host = host
        self.proc = subprocess.Popen([*host.enter(), "/opt/mhad/link-tool"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self.seen, self.errors = [], []
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._read, self._read_errors)]
        for t in self._threads:
            t.start()
        self("room", room)
        self.tags = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if self.proc.poll() is None:
                self.close(strict=kind is None)
        finally:
            if self.proc.poll() is None:
                self.proc.kill()
                self.proc.wait()

    def _read(self):
        for line in self.proc.stdout:
            with self._news:
                self.seen.append({**json.loads(line), "at": time.monotonic()})
                self._news.notify_all()

    def _read_errors(self):
        for line in self.proc.stderr:
            self.errors.append(line)

    def __call__(self, *words):
        self.proc.stdin.write(" ".join(map(str, words)) + "\n")
        self.proc.stdin.flush()

    def wait(self, test, within=10.0, since=0):
        """The first thing seen, from index `since` on, that passes the test."""
        until = time.monotonic() + within
        with self._news:
            while True:
                for x in self.seen[since:]:
                    if test(x):
                        return x
                left = until - time.monotonic()
                if left <= 0 or self.proc.poll() is not None and not self._news.wait(0.2):
                    raise LabError(f"not seen within {within} s; rc {self.proc.poll()}; the last: {self.seen[-8:]}\n"
                                   + "".join(self.errors))
                self._news.wait(left)

    def mark(self):
        return len(self.seen)

    def link(self, id, host, wait="up", **more):
        self("link", id, *(f"{k}={v}" for k, v in {"address": host.addr, "host": host.name, **more}.items()))
        return self.state(id, wait) if wait else None

    def state(self, id, state, within=10.0, since=0, **more):
        return self.wait(lambda x: x["ev"] in ("state", "view") and x["link"] == id and x["state"] == state and
                         all(x[k] == v for k, v in more.items()), within, since)

    def view(self, id):
        since = self.mark()
        self("view", id)
        return self.wait(lambda x: x["ev"] == "view" and x["link"] == id, since=since)

    def tag(self):
        self.tags += 1
        return f"t{self.tags}"

    def answer(self, tag, within=15.0, ev="answer"):
        return self.wait(lambda x: x["ev"] == ev and x.get("tag") == tag, within)

    def begin(self, id, verb, ms=5000, **args):
        tag = self.tag()
        self("call", id, tag, ms, verb, json.dumps(args, separators=(",", ":")) if args else "-")
        return tag

    def call(self, id, verb, ms=5000, **args):
        return self.answer(self.begin(id, verb, ms, **args))

    def exec(self, id, line, ms=5000):
        tag = self.tag()
        self("exec", id, tag, ms, line)
        return self.answer(tag)

    def ask(self, addr, port, ms=3000):
        tag = self.tag()
        self("ask", tag, ms, addr, port)
        return self.answer(tag, ev="asked")

    def threads(self):
        return len(os.listdir(f"/proc/{self._pid()}/task"))

    def _pid(self):
        kids = open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children").read().split()
        return int(kids[0]) if kids else self.proc.pid

    def close(self, strict=True):
        """End it; everything must be given back, and no sanitizer complain."""
        self.proc.stdin.close()
        rc = self.proc.wait(30)
        for t in self._threads:
            t.join(5)
        said = "".join(self.errors)
        if strict:
            assert "Sanitizer" not in said and rc == 0, (rc, said)
            assert self.seen[-1]["ev"] == "end" and self.seen[-1]["all"], self.seen[-1]
        return self.seen[-1]
