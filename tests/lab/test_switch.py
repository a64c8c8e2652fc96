# SPDX-License-Identifier: BSD-2-Clause
"""A planned switch: by the command line, with real servers, under load."""
import json
import time

import pytest

from . import validate
from .crowd import Crowd, prepare


class Switch:
    def __init__(self, lab, cluster):
        self.lab, self.cluster, self.conf = lab, cluster, cluster.conf

    def run(self, *args, env=None, timeout=60, yes=True):
        argv = ["mhactl", "switch", f"--conf={self.conf}", "--json", *(["--yes"] if yes else []), *args]
        return self.lab.manager.run(argv, env=env or {}, timeout=timeout)

    def mha(self, *args, **kw):
        argv = ["masterha_master_switch", "--master_state=alive", f"--conf={self.conf}", "--interactive=0", *args]
        return self.lab.manager.run(argv, timeout=60, **kw)

    def journal(self):
        return self.lab.manager.path(f"/var/lib/mhad/{self.cluster.name}/journal")


def start(lab, flavour, mode, servers=3, conf=None, **how):
    cluster = lab.cluster(flavour, servers, mode=mode, **how)
    prepare(cluster[0])
    cluster.caught_up()
    cluster.write_conf(**(conf or {}))
    return Switch(lab, cluster)


def done(result, rc=0):
    assert result.rc == rc, str(result)
    return json.loads(result.out)


def show(record):
    return "\n".join(f"{s['from_ms']:6} {s['ms']:6}  {s['step']} {'' if s['state'] == 'done' else s['state']}"
                     for s in record["timeline"])


def test_under_load(lab, flavour, mode):
    """Many writers, some with SUPER: none loses a row, nobody writes to the old master afterwards."""
    sw = start(lab, flavour, mode)
    db1, db2, db3 = sw.cluster
    with Crowd(lab, [db1, db2]) as load:
        load.wait(100)
        before = time.monotonic()
        record = done(sw.run("--to=db2"))
        since = time.monotonic()
        load.wait(100, server=db2, since=since)
        load.stop()
        print(show(record))
        print(f"SWITCH {flavour} {mode}: refused {record['refused_ms']:.1f} ms, gap {load.gap(before):.1f} ms")
        assert record["result"] == "success" and record["to"].startswith("db2(")
        validate.everything(db2, [db1, db3], load)
        assert not sw.journal().exists()
