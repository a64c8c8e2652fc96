# SPDX-License-Identifier: BSD-2-Clause
"""The manager's side of `mha-node session`, for tests (the protocol: common/frame.h)."""
import json
import os
import select
import struct
import subprocess

TYPES = ("HELLO", "REQUEST", "DATA", "END", "GRANT", "LINE", "RESULT", "CANCEL", "PING", "PONG", "ERROR")
PREAMBLE = b"\nMHAD/1\n"
WINDOW = 1 << 20


def frame(kind, id=0, payload=b""):
    if isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    number = TYPES.index(kind) + 1 if isinstance(kind, str) else kind
    return struct.pack("<B3xII", number, id, len(payload)) + payload


class Ended(Exception):
    """The session has closed its output."""


class Peer:
    def __init__(self, argv, hello=True, env=None):
        self.proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                     bufsize=0, env=env)
        self.buf, self.last, self.waiting = b"", 0, []
        if hello:
            self.raw(PREAMBLE + frame("HELLO", 0, {"protocol": 1}))
            assert self._take(8) == PREAMBLE
            kind, _, payload = self.next()
            assert kind == "HELLO"
            self.hello = json.loads(payload)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.kill()
        _, err = self.proc.communicate()
        assert b"Sanitizer" not in (err or b""), err.decode()

    def raw(self, data):
        while data:
            data = data[self.proc.stdin.write(data):]

    def send(self, *args):
        self.raw(frame(*args))

    def _take(self, n, timeout=10):
        while len(self.buf) < n:
            assert select.select([self.proc.stdout], [], [], timeout)[0], "nothing came"
            more = os.read(self.proc.stdout.fileno(), 1 << 16)
            if not more:
                raise Ended
            self.buf += more
        taken, self.buf = self.buf[:n], self.buf[n:]
        return taken

    def next(self, timeout=10):
        """The next frame: (type, id, payload)."""
        number, id, length = struct.unpack("<B3xII", self._take(12, timeout))
        return TYPES[number - 1], id, self._take(length, timeout)

    def request(self, verb, deadline_ms=None, input=None, **args):
        self.last += 1
        body = {"verb": verb, "args": args}
        if deadline_ms:
            body["deadline_ms"] = deadline_ms
        if input:
            body["input"] = True
        self.send("REQUEST", self.last, body)
        return self.last

    def of(self, id, kinds, timeout=10):
        """The next frame of that request; those of others are kept for later."""
        for i, f in enumerate(self.waiting):
            if f[1] == id and f[0] in kinds:
                return self.waiting.pop(i)
        while True:
            f = self.next(timeout)
            if f[1] == id and f[0] in kinds:
                return f
            self.waiting.append(f)

    def result(self, id, timeout=10):
        """(result, lines, data) of a request, all data granted as it comes."""
        lines, data = [], []
        while True:
            kind, _, payload = self.of(id, ("LINE", "DATA", "RESULT"), timeout)
            if kind == "LINE":
                lines.append(payload.decode())
            elif kind == "DATA":
                data.append(payload)
                self.send("GRANT", id, struct.pack("<I", len(payload)))
            else:
                return json.loads(payload), lines, b"".join(data)

    def call(self, verb, **kw):
        return self.result(self.request(verb, **kw))

    def close(self, within=5):
        """End of input; its exit status, and what it still said on stdout and stderr."""
        self.proc.stdin.close()
        self.proc.stdin = None
        out, err = self.proc.communicate(timeout=within)
        return self.proc.returncode, self.buf + out, err.decode()
