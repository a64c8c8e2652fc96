# SPDX-License-Identifier: BSD-2-Clause
"""masterha_secondary_check: MHA's options, lines and exit codes, without its hangs."""
import signal
import time

import pytest

from . import Lab, fault
from .util import cmdline, until


@pytest.fixture(scope="module")
def cluster():
    with Lab.open() as lab:
        db1 = lab.cluster("ma1011", 1, mode="pos")[0]
        w1, w2 = lab.host("w1"), lab.host("w2")
        yield db1, w1, w2


@pytest.fixture
def check(cluster):
    db1, w1, w2 = cluster

    def run(*more, hosts=("w1", "w2"), master="db1", **kw):
        words = [w for h in hosts for w in ("-s", h)]
        return db1.host.lab.manager.run(["masterha_secondary_check", *words, f"--master_host={master}", *more], **kw)
    return run


def ok(*hosts):
    return "".join(f"Monitoring server {h} is reachable, Master is not reachable from {h}. OK.\n" for h in hosts)


@pytest.fixture(params=["with node", "without"])
def node(request, cluster):
    """The hosts need not have mha-node."""
    if request.param == "without":
        for h in cluster[1:]:
            h.path("/opt/mhad/bin").rename(h.path("/opt/mhad/away"))
    yield
    if request.param == "without":
        for h in cluster[1:]:
            h.path("/opt/mhad/away").rename(h.path("/opt/mhad/bin"))


def test_answers(cluster, check, node):
    db1, w1, w2 = cluster
    r = check()
    assert (r.rc, r.out) == (3, "Master is reachable from w1!\n"), r
    with fault.killed(db1):
        r = check()
        assert (r.rc, r.out) == (0, ok("w1", "w2")), r
    with fault.isolated(db1.host):
        r = check("--timeout=2")
        assert (r.rc, r.out) == (0, ok("w1", "w2")) and r.seconds < 5, r
    with fault.cut(db1.host, w1):
        r = check("--timeout=2")
        assert (r.rc, r.out) == (3, ok("w1") + "Master is reachable from w2!\n"), r
    with fault.frozen(db1):
        r = check("--timeout=2")
        assert (r.rc, r.out) == (3, "Master is reachable from w1!\n"), "the port accepts: MHA's test says so"


def test_a_host_is_not_there(cluster, check):
    db1, w1, w2 = cluster
    with fault.isolated(w1):
        r = check("--timeout=1")
        assert (r.rc, r.out) == (2, "Monitoring server w1 is NOT reachable!\n") and r.seconds < 4, r
        r = check("--timeout=1", hosts=("w2", "w1"))
        assert (r.rc, r.out) == (3, "Master is reachable from w2!\n") and r.seconds < 1, "nobody waits for w1"
        with fault.killed(db1):
            r = check("--timeout=1", hosts=("w2", "w1"))
            assert (r.rc, r.out) == (2, ok("w2") + "Monitoring server w1 is NOT reachable!\n"), r
    with fault.sshd_silent(w1):
        r = check("--timeout=1")
        assert r.rc == 2 and r.seconds < 4
    with fault.sshd_refusing(w1):
        r = check()
        assert (r.rc, r.out) == (2, "Monitoring server w1 is NOT reachable!\n") and "w1: " in r.err
    r = check(hosts=("no-such-host.invalid",))
    assert (r.rc, r.out) == (2, "Monitoring server no-such-host.invalid is NOT reachable!\n"), r


def test_a_host_falls_silent_in_the_middle(cluster, check):
    db1, w1, _ = cluster
    w1.path("/opt/mhad/bin").rename(w1.path("/opt/mhad/away"))
    w1.script("/usr/local/bin/timeout", "exec sleep 600")
    try:
        r = check("--timeout=1", hosts=("w1",), timeout=60)
        assert (r.rc, r.out) == (2, "Monitoring server w1 is NOT reachable!\n") and r.seconds < 12, r
    finally:
        w1.remove("/usr/local/bin/timeout")
        w1.path("/opt/mhad/away").rename(w1.path("/opt/mhad/bin"))


def test_options(cluster, check):
    db1, w1, _ = cluster
    mgr = db1.host.lab.manager
    assert mgr.run(["masterha_secondary_check", "--version"]).out == "masterha_secondary_check version 0.58.\n"
    r = mgr.run(["masterha_secondary_check", "--help"])
    assert r.rc == 0 and "--secondary_host" in r.out
    r = mgr.run(["masterha_secondary_check", "-s", "w1"])
    assert r.rc == 1 and "--master_host" in r.out
    r = mgr.run(["masterha_secondary_check", "--master_host=db1"])
    assert (r.rc, r.out) == (0, ""), "none given"
    r = check("--frobnicate", "--master_ip=10.77.0.11", "--MASTER-PORT", "3306", "--whatever=3", hosts=())
    assert r.rc == 0 and r.err == "Unknown option: frobnicate\nUnknown option: whatever\n", r
    r = check("--unknown", "--secondary_host", "w1", "--secondary=w2", "--user=root", "--port", "22", "--ping_type=SELECT",
              "--master_user=mha", "--master_password=mha-pw", hosts=())
    assert r.rc == 3 and r.out == "Master is reachable from w1!\n" and r.err == "Unknown option: unknown\n", r
    assert check("--port=23").rc == 2
    assert check("--master_port=3399").out == ok("w1", "w2")
    assert "number expected" in check("--master_port=x").err
    assert "ambiguous" in check("--master=x").err


def test_ssh_options(check):
    r = check("--options=-o StrictHostKeyChecking=no -o PasswordAuthentication=no -o BatchMode=yes -o ConnectTimeout=5")
    assert (r.rc, r.out) == (3, "Master is reachable from w1!\n"), r
    r = check("--options=-o NoSuchOption=1")
    assert r.rc == 2 and "nosuchoption" in r.err.lower(), r


def test_names_are_looked_up_over_there(cluster, check):
    """As MHA does; a name that is not known there is tried by its address, if one was given."""
    db1, w1, _ = cluster
    r = check(master="nobody-knows.invalid", hosts=("w1",))
    assert (r.rc, r.out) == (0, ok("w1")) and "nobody-knows.invalid" in r.err, r
    r = check(f"--master_ip={db1.addr}", master="nobody-knows.invalid", hosts=("w1",))
    assert (r.rc, r.out) == (3, "Master is reachable from w1!\n"), r


INSERT = ("--ping_type=INSERT", "--master_user=mha", "--master_password=mha-pw")


def unwritable(host):
    return f"Monitoring server {host} is reachable, Master is not writable from {host}. OK.\n"


def test_insert(cluster, check):
    db1, w1, w2 = cluster
    before = time.time()
    r = check(*INSERT, hosts=("w1",))
    assert (r.rc, r.out, r.err) == (3, "Master is reachable from w1!\n", ""), r
    assert db1.one("SELECT val FROM infra.chk_masterha WHERE `key`=1") >= int(before)
    holder = db1.connect("root")
    try:
        holder.cursor().execute("FLUSH TABLES WITH READ LOCK")
        r = check(*INSERT)
        assert (r.rc, r.out) == (0, unwritable("w1") + unwritable("w2")) and r.seconds < 8, r
    finally:
        holder.close()
    with fault.frozen(db1):
        r = check(*INSERT, "--timeout=1")
        assert (r.rc, r.out) == (0, unwritable("w1") + unwritable("w2")), r
    with fault.killed(db1):
        assert check(*INSERT).out == ok("w1", "w2")


def test_insert_does_not_take_a_refusal_for_death(cluster, check):
    db1, w1, w2 = cluster
    r = check("--ping_type=INSERT", "--master_user=mha", "--master_password=wrong")
    assert r.rc == 3 and "1045" in r.err and "wrong" not in r.out + r.err, r
    hidden = []
    try:
        for name in ("mysql", "mariadb"):
            p = w1.path(f"/usr/bin/{name}")
            if p.exists() or p.is_symlink():
                p.rename(p.with_name(name + ".away"))
                hidden.append(p)
        r = check(*INSERT, hosts=("w1",))
        assert r.rc == 3 and "no mysql client" in r.err, r
    finally:
        for p in hidden:
            p.with_name(p.name + ".away").rename(p)


def test_the_password_is_in_no_command_line(cluster, check):
    """Not in ours, not in any of the host's, whatever it holds."""
    db1, w1, _ = cluster
    password = r"""pa'"\ss #$x;"""
    db1.sql("CREATE USER odd@'%%' IDENTIFIED BY %s", password)
    db1.sql("GRANT ALL ON infra.* TO odd@'%'")
    holder = db1.connect("root")
    try:
        holder.cursor().execute("FLUSH TABLES WITH READ LOCK")
        mgr = db1.host.lab.manager
        p = mgr.start(["masterha_secondary_check", "-s", "w1", "--master_host=db1", "--ping_type=INSERT",
                       "--master_user=odd", f"--master_password={password}"])
        client = until("the client runs", lambda: [a for _, a in w1.processes() if a and a[0].endswith(("mysql", "mariadb"))], 5)
        words = [w for _, argv in w1.processes() for w in argv] + cmdline(p.pid)
        assert client and "--master_user=odd" in words and "--master_password=" + "x" * len(password) in words
        assert not [w for w in words if "ss #" in w]
        assert p.wait(10).rc == 0
    finally:
        holder.close()
    r = check("--ping_type=INSERT", "--master_user=odd", f"--master_password={password}", hosts=("w1",))
    assert (r.rc, r.err) == (3, ""), r


def test_signal(cluster):
    db1, w1, _ = cluster
    with fault.isolated(w1):
        p = db1.host.lab.manager.start(["masterha_secondary_check", "-s", "w1", "--master_host=db1", "--timeout=30"])
        time.sleep(0.5)
        p.kill(signal.SIGTERM)
        r = p.wait(5)
        assert r.rc == 1 and not r.out
