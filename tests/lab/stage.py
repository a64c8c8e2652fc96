# SPDX-License-Identifier: BSD-2-Clause
"""A cluster that serves many tests of its watch: two witnesses, one mhad after the other, and what must not happen.

MHAD_UPDATE=1 saves what mhad knew in tests/cases/verdict, where unit tests judge it again.
"""
import contextlib
import json
import os
import time

from .lab import Lab
from .mhad import Mhad
from .util import REPO, until

CASES = REPO / "tests/cases/verdict"
DEADLY = {"process_dead", "host_dead", "hung"}


def undone(mhad, cluster="app1"):
    """The history says all that was decided since this mhad runs: nothing."""
    steps = [(e["what"], e["text"]) for e in mhad.ask("history", cluster=cluster, limit=1000)["entries"]]
    assert not [t for w, t in steps if w == "state" and t.split()[2] in ("confirming", "dead", "blocked")], steps
    assert {w for w, _ in steps} <= {"state", "alarm", "recovered", "restart", "semisync"}, steps


class Stage:
    """One test at a time says for itself what it is: its detection, its name, what it shows."""

    def __init__(self, flavour, semisync=False):
        self.lab = Lab.open()
        try:
            self.cluster = self.lab.cluster(flavour, 3, semisync=semisync)
            self.w1, self.w2 = self.lab.host_all(["w1", "w2"])
        except BaseException:
            self.lab.close()
            raise
        self.flavour, self.mgr = flavour, self.lab.manager
        self.mhad = self.detection = self.name = self.about = None
        self.evidence = []  # when a verdict was last said
        self.spoiled = False

    @property
    def master(self):
        return self.cluster.master

    @property
    def slaves(self):
        return self.cluster.slaves

    @contextlib.contextmanager
    def watched(self, env=None, **settings):
        """A new mhad, with nothing on its mind."""
        self.mgr.run(["rm", "-rf", "/var/lib/mhad/app1", self.cluster.workdir], check=True)
        self.mgr.path(self.cluster.workdir).mkdir(parents=True)
        self.mhad = Mhad(self.lab)
        self.mhad.use(self.cluster, detection=self.detection, **settings)
        with self.mhad.start(env=env).watching():
            yield self.mhad

    # ---- what must not happen ------------------------------------------------------------------
    def face(self):
        """All of the cluster that a failover, or a fence, would have changed."""
        def row(s):
            names = [n for n in ("read_only", "super_read_only", "relay_log_purge", "event_scheduler")
                     if s.sql("SHOW GLOBAL VARIABLES LIKE %s", n)]
            status = s.status()
            return (s.name, {n: s.variable(n) for n in names},
                    {k: status.get(k) for k in ("Master_Host", "Master_Port", "Master_User", "Auto_Position",
                                                "Using_Gtid", "SQL_Delay", "Slave_SQL_Running")})
        return [row(s) for s in self.cluster]

    def no_death(self):
        """No deadly verdict has stood at any moment, and nothing was done."""
        undone(self.mhad)
        assert not set(self.mhad.verdicts()) & DEADLY, self.mhad.tell()
        assert "Master is down!" not in self.mhad.proc.err
        left = sorted(p.name for p in self.mgr.path(self.cluster.workdir).iterdir())
        assert not [n for n in left if "failover" in n or n.startswith("saved")], left

    @contextlib.contextmanager
    def unharmed(self, within=40):
        """Whatever happens in here: no death, nothing done to the cluster, and in the end all is well again."""
        before = self.face()
        yield
        self.well(within)
        self.no_death()
        assert self.face() == before

    def well(self, within=40):
        self.mhad.until("healthy", "monitoring", within=within)
        until("all replicate", self.cluster.replicates, 20)

    # ---- what must be said -----------------------------------------------------------------------
    def stays(self, verdict, seconds=4.0):
        """It becomes that, says so, and goes on to be it; what it knew then is kept."""
        mhad = self.mhad
        mhad.until(verdict, within=15)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert mhad.status()["verdict"] not in DEADLY, mhad.tell()
            time.sleep(0.1)
        assert mhad.status()["verdict"] == verdict, mhad.tell()
        self.says(verdict)

    def says(self, verdict, cluster="app1"):
        """`mhactl why` names it.  What it saves is kept."""
        r = self.mgr.run(["mhactl", "why", cluster, "--save=/root/ring.json"])
        assert r.rc == 0 and verdict in r.out, r
        ring = json.loads(self.mgr.read("/root/ring.json"))
        self.evidence = self.mhad.why(cluster)["evidence"]
        if os.environ.get("MHAD_UPDATE") and self.detection == "corroborated":
            (CASES / f"{self.name}-{self.flavour}.json").write_text(self.short(ring))

    def lines(self, who):
        """What those said, when a verdict was last said."""
        return [e["text"] for e in self.evidence if e["who"].startswith(who)]

    def load(self):
        """Somebody else than the manager writes."""
        return self.lab.writer(self.master, host=self.w2)

    def short(self, ring):
        """The last picture of each verdict that stood, in their order."""
        last = []
        for p in ring["pictures"]:
            if last and last[-1]["verdict"]["code"] == p["verdict"]["code"]:
                last.pop()
            last.append(p)
        head = {"format": ring["format"], "cluster": ring["cluster"], "now": ring["now"],
                "about": f"Seen in the lab on {self.flavour}: {self.about}"}
        pictures = ",\n  ".join(json.dumps(p) for p in last[-6:])
        return json.dumps(head, indent=1)[:-2] + ',\n "pictures": [\n  ' + pictures + "]}\n"

    def close(self):
        self.lab.close()
