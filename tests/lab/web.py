# SPDX-License-Identifier: BSD-2-Clause
"""HTTP to mhad on a lab host, or to tests/tools/http, which serves made-up clusters without a lab."""
import http.client
import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

from .host import programs
from .util import REPO, LabError, Unavailable, until

PORT = 9780
SCHEMA = REPO / "etc/api.schema.json"


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class Web:
    """Questions to one address; `connect` makes the socket."""

    def __init__(self, connect, port=PORT, context=None):
        self.connect, self.port, self.context = connect, port, context

    @classmethod
    def on(cls, host, port=PORT):
        """From a host of the lab to itself."""
        def connect():
            s = host.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.settimeout(10)
            s.connect(("127.0.0.1", port))
            return s
        return cls(connect, port)

    @classmethod
    def here(cls, port, context=None):
        return cls(lambda: socket.create_connection(("127.0.0.1", port), 10), port, context)

    def connection(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        s = self.connect()
        c.sock = self.context.wrap_socket(s, server_hostname="localhost") if self.context else s
        return c

    def get(self, path, method="GET", body=None, **headers):
        c = self.connection()
        try:
            c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            return Answer(c.getresponse())
        finally:
            c.close()

    def json(self, path):
        a = self.get(path)
        assert a.status == 200, f"{path}: {a.status} {a.text}"
        return a.json()

    def up(self):
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False

    def metrics(self):
        """(name, {label: value}) -> number."""
        found = {}
        for line in self.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, labels, value = re.fullmatch(r'(\w+)(?:\{(.*)\})? (\S+)', line).groups()
                found[name, frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))] = float(value)
        return found

    def stream(self, path):
        return Stream(self, path)


def metric(metrics, name, **labels):
    return metrics.get((name, frozenset(labels.items())))


class Stream:
    """Server-sent events, one (event, data) after the other."""

    def __init__(self, web, path):
        self.c = web.connection()
        self.c.request("GET", path)
        self.r = self.c.getresponse()
        assert self.r.status == 200, self.r.read()
        assert self.r.headers["Content-Type"].startswith("text/event-stream")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.c.close()

    def next(self):
        event, data = None, []
        while line := self.r.readline():
            line = line.decode().rstrip("\n")
            if not line and event:
                return event, "\n".join(data)
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                data.append(line[6:])
        raise LabError("the stream has ended")

    def until(self, what, test, most=5000):
        for _ in range(most):
            event, data = self.next()
            if test(event, data):
                return event, data
        raise LabError(f"not among {most} events: {what}")


class Served:
    """tests/tools/http with made-up clusters.  A context manager; `web` asks it."""

    def __init__(self, *args, clusters=3, ill=0, config=None):
        tool = programs().parent / "tools/http"
        if not tool.exists():
            raise Unavailable("tests/tools is not built (make tools)")
        self.dir = Path(tempfile.mkdtemp(prefix="mhad-http-"))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.off = config and '"off"' in config
        if config is not None:
            self.configure(config)
            args = (*args, f"--config-dir={self.dir}")
        self.url = f"http://127.0.0.1:{self.port}"
        self.web = Web.here(self.port)
        self.log = open(self.dir / "log", "w+")
        self.proc = subprocess.Popen([tool, f"--listen=127.0.0.1:{self.port}", f"--clusters={clusters}", f"--ill={ill}",
                                      f"--state-dir={self.dir}/state", *args], stderr=self.log, stdout=self.log)

    def configure(self, text):
        (self.dir / "mhad.conf").write_text(f"defaults = {{ {text.format(port=self.port, dir=self.dir)} }};\n")

    def __enter__(self):
        until("it runs", lambda: "ready" in self.said() or self.proc.poll() is not None, 5)
        if not self.off:
            until("it serves", lambda: self.web.up() or "tried again" in self.said(), 5)
        return self

    def __exit__(self, *_):
        self.proc.send_signal(signal.SIGTERM)
        try:
            assert self.proc.wait(5) == 0
        finally:
            self.proc.kill()
            self.proc.wait()
            self.log.close()
            shutil.rmtree(self.dir, ignore_errors=True)

    def said(self):
        return (self.dir / "log").read_text()

    def die(self):
        """The first cluster does."""
        self.proc.send_signal(signal.SIGUSR1)

    def rise(self):
        self.proc.send_signal(signal.SIGUSR2)

    def reload(self):
        self.proc.send_signal(signal.SIGHUP)

    def add_incident(self, cluster, run, **more):
        """A record as a failover leaves it."""
        steps = [("snapshot", "read all servers", "done", 12, 40), ("vip_off", "take the address away", "broken", 203, 95),
                 ("close", "make the old master read-only", "done", 203, 1000), ("open", "take writes", "done", 1480, 12)]
        record = {"format": 1, "cluster": cluster, "run": run, "at": 1795140729, "dead": "db1(10.0.7.1:3306)",
                  "new_master": "db2(10.0.7.2:3306)", "why": "process_dead: <refused>", "result": "partial", "error": None,
                  "fenced": "fenced", "fenced_why": "mha-node holds it down", "opened_ms": 1492, "saved": None, "lost": "",
                  "timeline": [{"step": s, "title": t, "state": how, "from_ms": f, "ms": ms, "error": None} for s, t, how, f, ms in steps],
                  "slaves": [], "notes": ["db3 did not follow"], "commands": ["mhactl rejoin shop db1"],
                  "report": "Master db1 is down!\n", **more}
        d = self.dir / "state" / cluster / "incidents"
        d.mkdir(parents=True, exist_ok=True)
        (d / f"{run}.json").write_text(json.dumps(record))


def client_context(ca):
    c = ssl.create_default_context(cafile=str(ca))
    return c


def promtool(*args, input=None):
    if not shutil.which("promtool"):
        raise Unavailable("there is no promtool")
    return subprocess.run(["promtool", *args], input=input, capture_output=True, timeout=60)
