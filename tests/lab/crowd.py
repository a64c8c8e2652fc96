# SPDX-License-Identifier: BSD-2-Clause
"""Many clients at once (tests/tools/crowd.c), some of whom may write to what is only read_only."""
import shutil

from .host import programs
from .writer import SCHEMA, Writer

MYSQL_BOSS = ("CREATE USER boss@'%' IDENTIFIED BY 'boss-pw'", "GRANT ALL ON *.* TO boss@'%'")
MARIA_BOSS = ("GRANT ALL ON *.* TO boss@'%' IDENTIFIED BY 'boss-pw'",)


def prepare(master):
    """Accounts and the table, on the master."""
    for q in (*(MARIA_BOSS if master.flavour.mariadb else MYSQL_BOSS), *SCHEMA):
        master.sql(q)


class Crowd(Writer):
    """The running clients, and what their file says.  Through the VIP, or to whichever server is writable."""

    def __init__(self, lab, servers, writers=12, pause=0.01, super_every=4, host=None):
        Writer.count += 1
        self.lab, self.host = lab, host or lab.manager
        tool = self.host.path("/usr/local/bin/crowd")
        if not tool.exists():
            shutil.copy2(programs().parent / "tools/crowd", tool)
        self.file = f"/srv/crowd{Writer.count}"
        targets = [f"{s.addr}:{getattr(s, 'port', 3306)}" for s in servers]
        self.proc = self.host.start(["/usr/local/bin/crowd", self.file, Writer.count * 10**9, writers,
                                     int(pause * 1e6), super_every, *targets])

    def gap(self, since=0.0):
        """The longest time between two acknowledgements after `since`, in ms."""
        times = sorted(t for t, _ in self.acknowledged().values() if t >= since)
        return 1000 * max((b - a for a, b in zip(times, times[1:])), default=0.0)
