# SPDX-License-Identifier: BSD-2-Clause
"""A lab: a keeper, a switch, a manager host, and the hosts and servers that a scenario asks for.

All its processes live below one PID 1 and all its files in one tmpfs that only these processes
see, so the kernel clears both away when the keeper goes, and the keeper goes with the driver.
In the machine's own namespaces it has names under /run/netns and a directory under /run/mhad-lab.
"""
import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

from . import keeper, util
from .host import Host
from .net import Switch, Vip
from .util import HERE, PYTHON, LabError, is_held, locked, until

RUN = Path("/run/mhad-lab")


def labs():
    """Names of the labs that live on this machine."""
    return sorted(d.name for d in RUN.iterdir() if d.is_dir() and is_held(d / "lock")) if RUN.is_dir() else []


def sweep():
    """Remove what is left of labs whose keeper was killed too.  Under the lock of RUN."""
    for d in RUN.iterdir():
        if d.is_dir() and not is_held(d / "lock"):
            keeper.forget(d.name, d)


def _pid_of(directory):
    try:
        return json.loads((directory / "lab.json").read_text())["pid"]
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _text(file):
    return file.read_text() if file.exists() else ""


class Lab:
    def __init__(self, name, pid, keeper_pid):
        self.name, self.pid, self.keeper_pid = name, pid, keeper_pid
        self.dir = RUN / name
        self.fs = Path(f"/proc/{pid}/root{self.dir}/fs")
        self.switch, self.vip = Switch(pid), Vip(self)
        self.hosts, self.servers, self.clusters = {}, {}, []
        self._keeper = None

    # ---- life -------------------------------------------------------------------------------
    @classmethod
    def open(cls, name=None):
        """A new, empty lab with a switch and a manager host."""
        if os.geteuid():
            raise LabError("the lab makes namespaces and mounts: run it as root")
        os.umask(0o022)  # not everybody in a lab is root
        RUN.mkdir(exist_ok=True)
        with locked(RUN / ".lock"):
            sweep()
            name = name or next(n for i in range(1, 1000) if not (RUN / (n := f"mhl{i}")).exists())
            directory = RUN / name
            try:
                (directory / "fs").mkdir(parents=True)
            except FileExistsError:
                raise LabError(f"a lab called {name} runs already") from None
            argv = [PYTHON, "-IS", str(HERE / "keeper.py"), name, str(directory)]
            proc = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=open(directory / "log", "a"), text=True, bufsize=1,
                                    start_new_session=True)
            words = proc.stdout.readline().split()
            if words[:1] != ["ready"]:
                proc.wait()
                raise LabError(f"the lab's keeper does not start: {_text(directory / 'log')}")
        lab = cls(name, int(words[1]), proc.pid)
        lab._keeper = proc
        try:
            lab.switch.create()
            lab.host("mgr")
        except BaseException:
            lab.close()
            raise
        return lab

    @classmethod
    def attach(cls, name):
        """The same objects for a lab that another process has opened."""
        from .cluster import Cluster
        from .server import Server
        lab, d = cls._noted(name)
        for h, pid in d["hosts"].items():
            lab.hosts[h] = Host(lab, h, pid)
        for s in d["servers"]:
            Server.restore(lab, s)
        for c in d["clusters"]:
            lab.clusters.append(Cluster.restore(lab, c))
        return lab

    @classmethod
    def _noted(cls, name):
        if name not in labs():
            raise LabError(f"no lab called {name!r} runs here; there are: {', '.join(labs()) or 'none'}")
        d = json.loads((RUN / name / "lab.json").read_text())
        return cls(name, d["pid"], d["keeper"]), d

    @classmethod
    def end(cls, name):
        """Close the lab of that name, whatever state it is in."""
        cls._noted(name)[0].close()

    def save(self):
        """Note what is there, for attach() and for people."""
        d = {"pid": self.pid, "keeper": self.keeper_pid,
             "hosts": {h.name: h.pid for h in self.hosts.values()},
             "servers": [s.note() for s in self.servers.values()],
             "clusters": [c.note() for c in self.clusters]}
        new = self.dir / "lab.json.new"
        new.write_text(json.dumps(d, indent=1))
        new.replace(self.dir / "lab.json")

    def stay(self):
        """Let it live on without this process, until close()."""
        self._keeper.stdin.write("stay\n")
        self._keeper.stdin.flush()

    def close(self):
        """End it.  Everything in it is gone when this returns."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.keeper_pid, signal.SIGTERM)
        if self._keeper:
            self._keeper.wait(20)
            self._keeper.stdin.close()
            self._keeper.stdout.close()
        for h in self.hosts.values():
            if h._init:
                h._init.wait()
        def gone():
            with locked(RUN / ".lock"):  # or another lab could take the name just now
                if self.dir.exists() and not is_held(self.dir / "lock"):
                    keeper.forget(self.name, self.dir)
                return not self.dir.exists() or _pid_of(self.dir) != self.pid
        until(f"lab {self.name} is gone", gone, 10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- what is in it ----------------------------------------------------------------------
    @property
    def manager(self):
        return self.hosts["mgr"]

    def host(self, name):
        """The host of that name; booted if it is new."""
        return self.host_all([name])[0]

    def host_all(self, names):
        new = []
        for n in names:
            if n not in self.hosts:
                h = Host(self, n)
                h.install()
                self.hosts[n] = h
                new.append(h.boot_begin())
        for h in new:
            h.boot_end()
        return [self.hosts[n] for n in names]

    def servers_on(self, host):
        return [s for s in self.servers.values() if s.host is host]

    def cluster(self, flavour="ma1011", servers=3, **how):
        """A running cluster; see cluster.Cluster for mode, shape, semisync and so on."""
        from .cluster import Cluster
        c = Cluster(self, flavour, servers, **how)
        c.start()
        self.clusters.append(c)
        self.save()
        return c

    def writer(self, target=None, **how):
        """A client on the manager host that writes through the VIP, or to a server, for ever."""
        from .writer import Writer
        return Writer(self, target or self.vip, **how)

    until = staticmethod(util.until)

    # ---- for people -------------------------------------------------------------------------
    def logs(self):
        """(name, text) of the error logs of all servers."""
        return [(s.name, s.log()) for s in self.servers.values()]
