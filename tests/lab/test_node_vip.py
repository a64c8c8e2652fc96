# SPDX-License-Identifier: BSD-2-Clause
"""mha-node vip: an address that really moves, as the neighbours see it."""
import json
import select
import socket

import pytest

from . import Lab, fault
from .net import VIP, arp_socket, mac

SIX = "fd77::100"


@pytest.fixture(scope="module")
def hosts():
    with Lab.open() as lab:
        db1, db2 = lab.host_all(["db1", "db2"])
        for h in (lab.manager, db1, db2):
            h.run(["ip", "addr", "add", f"fd77::{h.addr.split('.')[-1]}/64", "dev", "eth0", "nodad"], check=True)
        yield db1, db2


@pytest.fixture
def two(hosts):
    """Nobody has the address."""
    yield hosts
    for h in hosts:
        for address in (VIP, SIX):
            vip(h, "--drop", address=address)


def vip(host, *options, rc=0, address=VIP + "/24"):
    r = host.run(["mha-node", "vip", f"--address={address}", "--json", *options])
    assert r.rc == rc, r
    return json.loads(r.out)


def add(host, *options, **kw):
    return vip(host, "--add", "--device=eth0", *options, **kw)


def neighbour(lab, address=VIP):
    """What the manager host knows of the address, after it has sent something there."""
    with lab.manager.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", (address, 9))
    known = lambda: lab.manager.run(["ip", "neigh", "show", address]).out
    return lab.until("it is resolved", lambda: "lladdr" in known() and known())


def test_add_show_drop(two):
    db1, db2 = two
    a = add(db1, "--label=eth0:vip")
    assert a["here"] and a["changed"] and a["device"] == "eth0" and a["prefix"] == 24 and a["label"] == "eth0:vip", a
    assert db1.lab.vip.holders() == [db1] and db1.lab.vip.answers() == [db1]
    assert vip(db1, "--show")["here"]
    elsewhere = vip(db2, "--show", rc=3)
    assert not elsewhere["here"] and elsewhere["answers"] == mac(db1.addr), elsewhere

    again = add(db1)
    assert again["here"] and not again["changed"]
    dropped = vip(db1, "--drop", "--device=eth0")
    assert dropped["changed"] and not dropped["here"]
    assert not vip(db1, "--drop")["changed"]
    nobody = vip(db1, "--show", rc=4)
    assert nobody["asked"] and nobody["answers"] is None
    assert db1.lab.vip.holders() == []


def test_the_other_host_still_has_it(two):
    db1, db2 = two
    add(db1)
    r = db2.run(["mha-node", "vip", "--add", "--device=eth0", f"--address={VIP}/24"])
    assert r.rc == 3 and mac(db1.addr) in r.err and "--force" in r.err, r
    assert db1.lab.vip.holders() == [db1]
    assert add(db2, "--force")["changed"]
    assert set(db1.lab.vip.holders()) == {db1, db2}


def test_neighbours_follow_at_once(two):
    """Without the announcement the manager would go on sending to the old host."""
    db1, db2 = two
    lab = db1.lab
    add(db1)
    assert mac(db1.addr) in neighbour(lab)
    vip(db1, "--drop")
    with arp_socket(lab.manager) as wire:
        a = add(db2)
        seen = []
        while select.select([wire], [], [], 0.3)[0]:
            frame = wire.recv(2048)
            if frame[22:28].hex(":") == mac(db2.addr) and frame[28:32] == frame[38:42] == socket.inet_aton(VIP):
                seen.append(frame[21])
    assert a["asked"] and seen.count(1) >= 3 and seen.count(2) >= 3, seen  # as request and as reply
    assert mac(db2.addr) in lab.manager.run(["ip", "neigh", "show", VIP]).out


def test_six(two):
    db1, db2 = two
    a = add(db1, address=SIX + "/64")
    assert a["here"] and a["changed"] and a["prefix"] == 64, a
    assert mac(db1.addr) in neighbour(db1.lab, SIX)
    assert vip(db2, "--show", address=SIX, rc=3)["answers"] == mac(db1.addr)
    assert add(db2, address=SIX + "/64", rc=3)["error"]
    vip(db1, "--drop", address=SIX)
    assert add(db2, address=SIX + "/64")["changed"]
    assert mac(db2.addr) in db1.lab.manager.run(["ip", "neigh", "show", SIX]).out


@pytest.mark.parametrize("address", [VIP, SIX])
def test_refused_while_it_is_on_its_way(two, address):
    """Who still sends to the host that had it is told so, and need not wait; when it is back, all is as before."""
    db1, _ = two
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    refuser = lambda: "mha-node refuses for " + socket.inet_pton(kind, address).hex() in db1.run(["ss", "-xlH"]).out

    def reach():
        with db1.lab.manager.socket(kind, socket.SOCK_STREAM) as s:
            s.settimeout(0.5)  # less than TCP waits before it tries again
            s.connect((address, 22))

    add(db1, address=address + ("/64" if ":" in address else "/24"))
    reach()
    with db1.lab.manager.socket(kind, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect((address, 22))
        assert s.recv(256).startswith(b"SSH-")
        vip(db1, "--drop", address=address)
        with pytest.raises(ConnectionRefusedError):
            reach()
        with pytest.raises(ConnectionResetError):  # who only waits is told too
            s.recv(256)
    assert refuser()
    add(db1, address=address + ("/64" if ":" in address else "/24"))
    assert not refuser()
    reach()


def test_cut_off(two):
    """Whoever cannot ask does not know, and takes nothing unless it is forced."""
    db1, _ = two
    with fault.unplugged(db1):
        r = add(db1, rc=1)
        assert not r["here"] and "carrier" in r["error"], r
        assert "carrier" in vip(db1, "--show", "--device=eth0", rc=4)["why_not_asked"]


def test_interface_without_neighbours(two):
    db1, _ = two
    assert vip(db1, "--add", "--device=lo", address=VIP + "/32")["device"] == "lo"
    r = add(db1, rc=1)
    assert "on lo already" in r["error"]


def test_wrong_prefix_or_device(two):
    db1, _ = two
    add(db1)
    assert "not as /32" in vip(db1, "--drop", address=VIP + "/32", rc=1)["error"]
    assert "not on lo" in vip(db1, "--drop", "--device=lo", rc=1)["error"]
    assert vip(db1, "--show")["here"]


def test_without_rights(two):
    db1, _ = two
    r = db1.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "mha-node", "vip", "--add",
                 "--device=eth0", f"--address={VIP}/24", "--force"])
    assert r.rc == 1 and "not permitted" in r.err, r
    assert vip(db1, "--show", rc=4)


def test_words_for_people(two):
    db1, db2 = two
    say = lambda host, *options: host.run(["mha-node", "vip", f"--address={VIP}/24", *options]).out
    assert say(db1, "--show") == f"{VIP}: not here, and nobody answers for it on eth0\n"
    assert say(db1, "--add", "--device=eth0") == f"{VIP}/24: added on eth0\n"
    assert say(db2, "--show") == f"{VIP}: not here; {mac(db1.addr)} answers for it on eth0\n"
    assert say(db1, "--drop") == f"{VIP}: dropped\n"
    assert say(db1, "--drop") == f"{VIP}: was not here\n"


def test_wrong_command_lines(two):
    db1, _ = two
    for options in ([], ["--add"], ["--add", f"--address={VIP}"], ["--add", "--drop", f"--address={VIP}"],
                    ["--show", "--address=10.0.0"], ["--show", "--address=10.0.0.1/33"], ["--show", "--address=::1/0"],
                    ["--add", f"--address={VIP}", "--device=nope0"],
                    ["--add", f"--address={VIP}", "--device=eth0", "--label=much-too-long-label"]):
        r = db1.run(["mha-node", "vip", *options])
        assert r.rc == 1 and r.err.strip(), r
    assert "exit status" in db1.run(["mha-node", "vip", "--help"]).out
