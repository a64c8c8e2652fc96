# SPDX-License-Identifier: BSD-2-Clause
"""A running mhad on the manager host, and questions to its control socket."""
import json
import signal
import socket
import time

from .flavour import ACCOUNTS
from .util import LabError, until

SOCKET = "/run/mhad/control"


def native(cluster, **settings):
    """The cluster's file in mhad's own format."""
    top = {"user": "mha", "password": ACCOUNTS["mha"], "repl_user": "repl", "repl_password": ACCOUNTS["repl"],
           "ssh_user": "root", "ssh_host_keys": "accept-new", "ping_interval": "1s", "replica_interval": "2s",
           "tls": "off", "auto_failover": False, "manager_workdir": cluster.workdir, "remote_workdir": cluster.workdir, **settings}
    servers = ",\n".join(
        f'\t{{ name = "{s.name}"; hostname = "{s.host.name}"; port = {s.port}; master_binlog_dir = "{s.data}"; }}'
        for s in cluster.managed)
    return "defaults = {\n" + "".join(f"\t{k} = {json.dumps(v)};\n" for k, v in top.items()) \
        + "};\nservers = (\n" + servers + "\n);\n"


class Mhad:
    """`with Mhad(lab) as mhad:` after its files were written with use()."""

    def __init__(self, lab):
        self.lab, self.host, self.proc = lab, lab.manager, None

    def use(self, cluster, mha=False, name=None, **settings):
        """Put the cluster's file where mhad looks; returns its path."""
        name = name or cluster.name
        text = cluster.conf_text(**settings) if mha else native(cluster, **settings)
        return self.host.write(f"/etc/mhad/clusters.d/{name}.{'cnf' if mha else 'conf'}", text, 0o600)

    def start(self, *args, env=None):
        self.proc = self.host.start(["mhad", *args], env=env)
        until("mhad is ready", lambda: "Ready:" in self.proc.err or not self.proc.running, 10)
        if not self.proc.running:
            raise LabError(f"mhad has ended: {self.proc.err}")
        return self

    def stop(self, within=10):
        """By SIGTERM; its Result."""
        self.proc.kill(signal.SIGTERM)
        return self.proc.wait(within)

    def __enter__(self):
        return self if self.proc else self.start()

    def __exit__(self, *_):
        if self.proc.running:
            self.proc.destroy()

    def ask(self, verb, **args):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(self.host.path(SOCKET)))
            with s.makefile("rw") as f:
                f.readline()
                f.write(json.dumps({"id": 1, "verb": verb, "args": args}) + "\n")
                f.flush()
                answer = json.loads(f.readline())
        if not answer["ok"]:
            raise LabError(f"{verb}: {answer['error']}")
        return answer["value"]

    def status(self, name="app1"):
        return self.ask("status", cluster=name)["clusters"][0]

    def why(self, name="app1"):
        return self.ask("why", cluster=name)

    def until(self, verdict=None, state=None, name="app1", within=15.0):
        """Wait until it says so; the answer of `why` then."""
        verdicts = [verdict] if isinstance(verdict, str) else verdict
        last = None

        def says():
            nonlocal last
            last = self.status(name)
            return (verdict is None or last["verdict"] in verdicts) and (state is None or last["state"] == state)

        try:
            until(f"{name} is {verdict or ''} {state or ''}", says, within)
        except LabError as e:
            raise LabError(f"{e}\n{self.tell(name)}") from None
        return self.why(name)

    def tell(self, name="app1"):
        """All that `why` says, as text."""
        w = self.why(name)
        return "\n".join([f"{w['state']} {w['verdict']}: {w['why']}",
                          *(f"  {g['name']}: {g['text']}" for g in w["gates"] if g["blocks"]),
                          *(f"  {e['age_ms']} ms ago, {e['who']}: {e['text']}" for e in reversed(w["evidence"]))])

    def watching(self, name="app1"):
        """Wait until all is well and every view has been taken at least once."""
        self.until("healthy", "monitoring", name)
        until("the slaves were looked at",
              lambda: all(r["state"] == "up" for r in self.status(name)["replicas"]), 10)
        until("the master's host was asked",
              lambda: any(e["who"] == "host" for e in self.why(name)["evidence"]), 20)
        return self

    @staticmethod
    def instant(why, who, text):
        """When a line of the evidence was said, in time.monotonic(); the first one that has the text."""
        now = time.monotonic()
        ages = [e["age_ms"] for e in why["evidence"] if e["who"] == who and text in e["text"]]
        if not ages:
            raise LabError(f"nobody said {text!r}: {why['evidence']}")
        return now - max(ages) / 1000

    def verdicts(self, name="app1"):
        """All verdicts that stand in the ring, oldest first."""
        return [p["verdict"]["code"] if isinstance(p["verdict"], dict) else p["verdict"]
                for p in reversed(self.why(name)["ring"]["pictures"])]
