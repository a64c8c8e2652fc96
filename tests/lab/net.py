# SPDX-License-Identifier: BSD-2-Clause
"""The lab's network: one switch (a bridge in the lab's own namespace), addresses, the VIP.

Every lab uses the same addresses; nothing of it is visible in the machine's own network.
"""
import ctypes
import os
import re
import select
import socket
import struct
import threading
import time

from .util import LabError, sh

PREFIX = "10.77.0."
VIP = PREFIX + "100"
_libc = ctypes.CDLL(None, use_errno=True)


def address(name):
    """mgr is .5, dbN is .(10+N), the witness wN is .(50+N)."""
    m = re.fullmatch(r"(mgr|vip|db|w)(\d*)", name)
    if not m or (m[1] in ("mgr", "vip")) == bool(m[2]):
        raise LabError(f"a host is called mgr, dbN or wN, not {name!r}")
    octet = {"mgr": 5, "vip": 100, "db": 10, "w": 50}[m[1]] + int(m[2] or 0)
    return PREFIX + str(octet)


def mac(addr):
    return "02:77:00:00:00:%02x" % int(addr.rsplit(".", 1)[1])


def hosts_file():
    names = ["mgr", "vip", *(f"db{i}" for i in range(1, 31)), *(f"w{i}" for i in range(1, 10))]
    return "127.0.0.1 localhost\n" + "".join(f"{address(n)} {n}\n" for n in names)


def in_net(pid, make):
    """Run make() in a thread inside the network of process pid: a socket made there stays there."""
    box = {}

    def body():
        try:
            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
            try:
                if _libc.setns(fd, 0x40000000):
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(fd)
            box["value"] = make()
        except BaseException as e:
            box["error"] = e

    t = threading.Thread(target=body)
    t.start()
    t.join()
    if "error" in box:
        raise box["error"]
    return box["value"]


class Switch:
    """The bridge and its ports.  A port is called like its host."""

    def __init__(self, pid):
        self.pid = pid
        self.rules = 0

    def create(self):
        self.ip("link set lo up", "link add br0 type bridge forward_delay 0", "link set br0 up")

    def ip(self, *lines, pid=None):
        sh("nsenter", "-t", pid or self.pid, "-n", "ip", "-batch", "-", input="\n".join(lines) + "\n")

    def nft(self, text, pid=None, check=True):
        return sh("nsenter", "-t", pid or self.pid, "-n", "nft", "-f", "-", input=text + "\n", check=check)

    def plug(self, name, addr, pid):
        """A new cable to a host that has just booted."""
        self.ip(f"link add {name} type veth peer name eth0 address {mac(addr)} netns {pid}",
                f"link set {name} master br0 up")
        self.ip("link set lo up", f"addr add {addr}/24 dev eth0", "link set eth0 up", pid=pid)

    def unplug(self, name):
        sh("nsenter", "-t", self.pid, "-n", "ip", "link", "del", name, check=False)

    def link(self, name, up):
        self.ip(f"link set {name} {'up' if up else 'down'}")

    def rule(self, hook, text, pid=None):
        """Add one nftables rule in a table of its own; returns what undoes it.

        hook: "forward" for frames that cross the switch; "input", "output" or "prerouting" (nat)
        for the packets of one host, whose pid is given.
        """
        self.rules += 1
        table = f"fault{os.getpid()}_{self.rules}"
        family, kind, prio = {"forward": ("bridge", "filter", 0), "prerouting": ("ip", "nat", -100),
                              "input": ("inet", "filter", 0), "output": ("inet", "filter", 0)}[hook]
        self.nft(f"add table {family} {table}\n"
                 f"add chain {family} {table} c {{ type {kind} hook {hook} priority {prio}; }}\n"
                 f"add rule {family} {table} c {text}", pid)
        return lambda: self.nft(f"delete table {family} {table}", pid, check=False)


class Vip:
    """An address that moves between hosts."""
    addr = VIP

    def __init__(self, lab):
        self.lab = lab

    def __str__(self):
        return self.addr

    def put(self, host):
        """Take it to a host, announced by gratuitous ARP as a hook script would."""
        host.run(["ip", "addr", "add", self.addr + "/32", "dev", "eth0"], check=True)
        with arp_socket(host) as wire:
            wire.send(arp_frame(host, 1, self.addr, self.addr))

    def drop(self, host):
        host.run(["ip", "addr", "del", self.addr + "/32", "dev", "eth0"], check=True)

    def move(self, old, new):
        self.drop(old)
        self.put(new)

    def holders(self):
        """Hosts that have it on an interface."""
        return [h for h in self.lab.hosts.values() if h.on
                and f" {self.addr}/" in h.run(["ip", "-4", "addr", "show"]).out]

    def answers(self, asker=None, wait=0.15):
        """Hosts that answer an ARP question for it, as anybody on the wire sees them."""
        asker = asker or self.lab.manager
        macs = arp_who_has(asker, self.addr, wait)
        return [h for h in self.lab.hosts.values() if mac(h.addr) in macs]


def arp_socket(host):
    wire = host.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    wire.bind(("eth0", 0x0806))
    return wire


def arp_frame(host, operation, sender, target):
    me = bytes.fromhex(mac(host.addr).replace(":", ""))
    return struct.pack("!6s6sHHHBBH6s4s6s4s", b"\xff" * 6, me, 0x0806, 1, 0x0800, 6, 4, operation, me,
                       socket.inet_aton(sender), b"\0" * 6, socket.inet_aton(target))


def arp_who_has(host, addr, wait):
    """The hardware addresses that answer within `wait` seconds."""
    with arp_socket(host) as wire:
        wire.send(arp_frame(host, 1, host.addr, addr))
        found, end = set(), time.monotonic() + wait
        while select.select([wire], [], [], max(0, end - time.monotonic()))[0]:
            frame = wire.recv(2048)
            if frame[20:22] == b"\0\2" and frame[28:32] == socket.inet_aton(addr):
                found.add(frame[22:28].hex(":"))
        return found
