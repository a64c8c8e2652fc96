# SPDX-License-Identifier: BSD-2-Clause
"""A set of replicating servers in a shape, and the configuration file that describes it to MHA.

    star       db1 <- db2, db3, ...                        (the default)
    tiers      db1 <- db2, db3, ... ; the last one <- db3  three tiers
    cascade    db1 <- db2 <- db3 <- ...
    branches   db1 <- db2, db3 ; db2 <- db4 ; db3 <- db5 ; db4 <- db6 ...
    dual       db1 <-> db2 (read-only) ; db1 <- db3, ...   double master
    onehost    as star, all on db1 with ports 3306, 3307, ...
    multisource  as star; the last one is a second source of db2, channel "extra", not in the configuration
    extra      as star; the last one is not in the configuration
"""
from .flavour import ACCOUNTS, flavour
from .server import DISK, Server
from .util import LabError, Unavailable

WORKDIR = "/var/log/masterha"
SHAPES = ("star", "tiers", "cascade", "branches", "dual", "onehost", "multisource", "extra")


def parents(shape, n):
    """{index: index of its master}; db1 is 0 and has none unless the shape is dual."""
    of = {i: 0 for i in range(1, n)}
    if shape == "tiers":
        of[n - 1] = n - 2
    elif shape == "cascade":
        of = {i: i - 1 for i in range(1, n)}
    elif shape == "branches":
        of = {i: max(0, i - 2) for i in range(1, n)}
    elif shape == "dual":
        of[0] = 1
    elif shape == "multisource":
        del of[n - 1]
    return of


LEAST = {"tiers": 3, "cascade": 3, "branches": 3, "multisource": 3, "extra": 3, "dual": 2}


class Cluster:
    def __init__(self, lab, flavour_name, servers=3, mode="gtid", shape="star", semisync=False,
                 options=None, disk=DISK, name="app1", first=1):
        """`options` go into every my.cnf; `first`: the hosts are db<first>, db<first+1>, ..."""
        self.lab, self.mode, self.shape, self.semisync, self.name = lab, mode, shape, semisync, name
        self.flavour = flavour(flavour_name)
        self.options, self.disk, self.first = dict(options or {}), disk, first
        if shape not in SHAPES or servers < LEAST.get(shape, 1) or mode not in ("gtid", "pos"):
            raise LabError(f"no such cluster: {servers} servers, shape {shape}, mode {mode}")
        if shape == "multisource" and not self.flavour.channels:
            raise Unavailable(f"{flavour_name} knows no second source")
        if semisync and not self.flavour.semisync:
            raise Unavailable(f"{flavour_name} from this package has no semi-sync plug-ins")
        self.parents = parents(shape, servers)
        self.count = servers
        self.servers = []

    def __iter__(self):
        return iter(self.servers)

    def __getitem__(self, i):
        return self.servers[i]

    @property
    def master(self):
        """The one that was the master at the beginning."""
        return self.servers[0]

    @property
    def slaves(self):
        return self.servers[1:]

    @property
    def managed(self):
        """The servers that the configuration names."""
        return self.servers[:-1] if self.shape in ("extra", "multisource") else self.servers

    def note(self):
        return {"name": self.name, "flavour": self.flavour.name, "mode": self.mode, "shape": self.shape,
                "semisync": self.semisync, "first": self.first, "servers": [s.name for s in self.servers]}

    @classmethod
    def restore(cls, lab, d):
        c = cls(lab, d["flavour"], len(d["servers"]), d["mode"], d["shape"], d["semisync"],
                name=d["name"], first=d["first"])
        c.servers = [lab.servers[s] for s in d["servers"]]
        return c

    # ---- raising it ---------------------------------------------------------------------------
    def start(self):
        names = [f"db{self.first + (0 if self.shape == 'onehost' else i)}" for i in range(self.count)]
        hosts = self.lab.host_all(list(dict.fromkeys(names)))
        for i, name in enumerate(names):
            port = 3306 + (i if self.shape == "onehost" else 0)
            host = next(h for h in hosts if h.name == name)
            s = Server(host, self.flavour, port, self.mode, options=self._options(i), disk=self.disk)
            self.servers.append(s)
            s.create()
            s.launch()
        for s in self.servers:
            s.wait()
        at = {i: s.position() for i, s in enumerate(self.servers)} if self.mode == "pos" else {}
        for i, parent in self.parents.items():
            self.servers[i].follow(self.servers[parent], at.get(parent))
        if self.shape == "multisource":
            self.servers[1].follow(self.servers[-1], at.get(self.count - 1), channel="extra")
        self.lab.until("all replicate", self.replicates)
        self.write_conf()

    def _options(self, i):
        own = {}
        if i in self.parents and (i != 0):
            own["read_only"] = 1
        if self.semisync:
            own.update(self.flavour.semisync_settings("slave" if i else "master"))
        if self.flavour.mariadb and self.mode == "gtid" and self.shape == "multisource" and i == self.count - 1:
            own["gtid_domain_id"] = 1
        return {**own, **self.options}

    def replicates(self):
        """Do all that should replicate do so?"""
        return all(self.servers[i].replicating() for i in self.parents)

    def caught_up(self, within=15):
        """Wait until every living server has what its master has, first tier first."""
        for i in sorted(i for i in self.parents if i):
            if self.servers[i].running:
                self.servers[i].caught_up(within)
        return self

    # ---- configuration ------------------------------------------------------------------------
    @property
    def conf(self):
        """Path of the MHA-format file on the manager host."""
        return f"/etc/mhad/{self.name}.cnf"

    @property
    def workdir(self):
        return f"{WORKDIR}/{self.name}"

    def conf_text(self, default=None, each=None, **extra):
        """MHA's configuration file.

        `default` adds to or changes [server default] (None takes a setting out), so do keyword
        arguments; `each` is {server name: {setting: value}}; "ignore_fail": 1 and the like.
        """
        top = {"user": "mha", "password": ACCOUNTS["mha"], "repl_user": "repl", "repl_password": ACCOUNTS["repl"],
               "ssh_user": "root", "ping_interval": 1, "manager_workdir": self.workdir,
               "remote_workdir": self.workdir, **(default or {}), **extra}
        text = "[server default]\n" + _settings(top)
        for i, s in enumerate(self.managed, 1):
            own = {"hostname": s.host.name, "port": s.port, "master_binlog_dir": s.data,
                   **(each or {}).get(s.name, {})}
            if self.shape in ("tiers", "cascade", "branches") and self.parents.get(i - 1, 0) != 0:
                own.setdefault("multi_tier_slave", 1)
            text += f"\n[server{i}]\n" + _settings(own)
        return text

    def write_conf(self, text=None, **how):
        """Put the file on the manager host; returns its path there."""
        return self.lab.manager.write(self.conf, text or self.conf_text(**how), 0o600)


def _settings(d):
    return "".join(f"{k}={v}\n" for k, v in d.items() if v is not None)
