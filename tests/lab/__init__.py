# SPDX-License-Identifier: BSD-2-Clause
"""The lab: real clusters on real, namespaced networks that break on command.

    lab.py      a lab: its keeper, its switch, its hosts, its files; nothing of it outlives the driver
    host.py     one host: own network, mounts, pids; boot, power off, run a program
    net.py      the switch, addresses, the VIP and who answers for it
    ssh.py      keys and sshd of a host
    fetch.py    server programs into the cache         flavour.py  settings and templates of each flavour
    server.py   one mysqld                             cluster.py  shapes, MHA's configuration file
    fault.py    everything that can break, as context managers that undo themselves
    writer.py   a client that remembers what it was promised
    validate.py what must hold at the end of every scenario
    init.py keeper.py plug.py   small programs: PID 1, the lab's guardian, a bad network peer

See tests/README.md.
"""
from .lab import Lab
from .util import LabError, until

__all__ = ["Lab", "LabError", "until"]
