# SPDX-License-Identifier: BSD-2-Clause
"""What must hold when a scenario ends.  Each check raises AssertionError and names the offenders."""
from .util import until


def _some(ids, n=5):
    ids = sorted(ids)
    return ", ".join(map(str, ids[:n])) + (f" ... ({len(ids)} in all)" if len(ids) > n else "")


def rows(writer, server, lost=()):
    """acknowledged ⊆ present ⊆ attempted.

    `lost`: acknowledged rows that the report named as lost; naming one that is there is wrong too.
    """
    attempted, acknowledged = set(writer.attempted()), set(writer.acknowledged())
    base = min(attempted, default=0) // 10**9 * 10**9
    present = {i for i, in server.sql("SELECT id FROM labdata.w WHERE id >= %s AND id < %s", base, base + 10**9)}
    lost = set(lost)
    assert acknowledged, "the writer never got an acknowledgement: nothing was tested"
    missing = acknowledged - present - lost
    assert not missing, f"acknowledged rows are missing on {server}: {_some(missing)}"
    assert present <= attempted, f"rows on {server} that nobody wrote: {_some(present - attempted)}"
    refused = present & writer.refused()
    assert not refused, f"rows on {server} that a server had refused: {_some(refused)}"
    assert not lost & present, f"called lost, but present on {server}: {_some(lost & present)}"


def closed(old, since, writer):
    """The old master has accepted no write that was sent after `since` (time.monotonic())."""
    attempted = writer.attempted()
    late = [i for i, (_, srv) in writer.acknowledged().items()
            if srv == old.server_id and attempted[i][0] > since]
    assert not late, f"{old} acknowledged rows after it should have been closed: {_some(late)}"
    if old.running:
        late = [i for i, in old.sql("SELECT id FROM labdata.w WHERE srv = %s AND t > %s", old.server_id, since)]
        assert not late, f"{old} holds rows of its own from after it should have been closed: {_some(late)}"


def tables(server):
    system = "'mysql', 'sys', 'information_schema', 'performance_schema'"
    return [f"`{s}`.`{t}`" for s, t in server.sql(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
        f" AND table_schema NOT IN ({system}) ORDER BY 1, 2")]


def same_data(servers):
    """All user tables have the same contents on all of them."""
    sums = {}
    for s in servers:
        names = tables(s)
        sums[s.name] = {r[0]: r[1] for r in s.sql("CHECKSUM TABLE " + ", ".join(names))} if names else {}
    first, *others = sums
    for o in others:
        differ = {t for t in {**sums[first], **sums[o]} if sums[first].get(t) != sums[o].get(t)}
        assert not differ, f"{first} and {o} differ in {', '.join(sorted(differ))}"


def one_history(master, slaves):
    """No slave has a transaction that its master lacks, and each has all of the master's."""
    if master.mode != "gtid":
        return  # in position mode the data must tell: same_data()
    for s in slaves:
        a, b = master.gtids(), s.gtids()
        if master.flavour.mariadb:
            assert sorted(a.split(",")) == sorted(b.split(",")), f"{master} is at {a}, {s} at {b}"
        else:
            extra = master.one("SELECT GTID_SUBTRACT(%s, %s)", b, a)
            assert not extra, f"{s} has transactions that {master} lacks: {extra}"
            gap = master.one("SELECT GTID_SUBTRACT(%s, %s)", a, b)
            assert not gap, f"{s} lacks transactions of {master}: {gap}"


def follow(master, slaves, within=10):
    """All slaves replicate from this master, and reach its end."""
    for s in slaves:
        until(f"{s} replicates from {master}", lambda: s.master() is master and s.replicating(), within)
        s.caught_up(within)


def one_writable(servers, master):
    """Only this one takes writes."""
    for s in servers:
        if s.running:
            wanted = int(s is not master)
            assert int(s.variable("read_only")) == wanted, f"{s}: read_only is {1 - wanted}"


def vip_on(lab, host):
    """One host has the VIP, and it alone answers for it on the wire."""
    assert lab.vip.holders() == [host], f"the VIP is on {lab.vip.holders()}, not on {host}"
    answers = lab.vip.answers(asker=next(h for h in lab.hosts.values() if h.on and h is not host))
    assert answers == [host], f"{answers} answer for the VIP, not {host}"


def everything(master, slaves, writer=None, old=None, since=None, lost=(), vip=False):
    """The end of a failover or switch: all of the above, as far as it applies.

    slaves: who should follow now.  old, since: the former master and when the new one opened.
    """
    if writer:
        writer.stop()
        if old is not None:
            closed(old, since, writer)
    follow(master, slaves)
    one_history(master, slaves)
    same_data([master, *slaves])
    one_writable([master, *slaves], master)
    if writer:
        for s in (master, *slaves):
            rows(writer, s, lost)
    if vip:
        vip_on(master.lab, master.host)
