#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""mha-node's two appliers beside `mysqlbinlog | mysql` of the server's own version: one difference of small transactions,
each time to a fresh slave, in turns.  FLAVOURS=ma1011,my97  TRANSACTIONS=5000  RUNS=3  SCHEMAS=8

The servers' data lies where the machine keeps temporary files, with each commit flushed (DISK=tmpfs: in memory, where a
flush costs nothing and parallel appliers have little to win).  5.6 applies side by side only what is in different schemas.
"""
import os
import pathlib
import statistics
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from lab import Lab  # noqa: E402
from lab.test_node_apply import SETUP, WORKERS, command, data, save  # noqa: E402
from lab.util import Unavailable  # noqa: E402

FLAVOURS = os.environ.get("FLAVOURS", "ma1011,my97").split(",")
COUNT, RUNS = int(os.environ.get("TRANSACTIONS", "5000")), int(os.environ.get("RUNS", "3"))
SCHEMAS = int(os.environ.get("SCHEMAS", "8"))
IN_MEMORY = os.environ.get("DISK") == "tmpfs"
OTHER = "mysqlbinlog | mysql"
WAYS = {  # name -> parallel appliers, command
    "server itself, 1 applier": (0, lambda s, f: command(s, f, "--applier=relay")),
    "server itself, 4 appliers": (4, lambda s, f: command(s, f, "--applier=relay")),
    "statements of ours": (0, lambda s, f: command(s, f, "--applier=sql")),
    OTHER: (0, lambda s, f: ["sh", "-c", f"mysqlbinlog --no-defaults {f} | mysql --no-defaults -uroot -S {s.sock}"]),
}


def work(master, count):
    """From eight sessions, so that there is something to apply side by side."""
    def some(part):
        with master.connect(read_timeout=600) as s, s.cursor() as c:
            for i in range(count // 8):
                c.execute(f"INSERT INTO shop{part % SCHEMAS}.t (v) VALUES ('{part} {i}'), ('{part} {i}, once more')")
    threads = [threading.Thread(target=some, args=(p,)) for p in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def one_run(flavour, took, disk):
    with Lab.open() as lab:
        cluster = lab.cluster(flavour, 2 + len(WAYS), mode="gtid", disk=disk)
        master, reference, *slaves = cluster
        master.script(SETUP)
        for i in range(SCHEMAS):
            master.script(f"CREATE DATABASE shop{i}; CREATE TABLE shop{i}.t LIKE shop.t")
        cluster.caught_up()
        for s in slaves:
            s.stop_slave()
        work(master, COUNT)
        reference.caught_up(600)
        master.kill()
        want = data(reference)
        for slave, (name, (workers, argv)) in zip(slaves, WAYS.items()):
            slave.sql(f"SET GLOBAL {WORKERS[slave.flavour.family]}={workers}")
            line = argv(slave, save(master, slave))
            r = slave.host.run(line, timeout=900)
            if r.rc and name == OTHER:
                took[name] = r.err.strip().splitlines()[-1]  # the machine's client does not fit this server
                continue
            assert r.rc == 0 and data(slave) == want, f"{name}: {r}"
            took.setdefault(name, []).append(r.seconds)


def main():
    for flavour in FLAVOURS:
        took = {}
        try:
            for _ in range(RUNS):
                with tempfile.TemporaryDirectory(dir="/var/tmp") as disk:
                    one_run(flavour, took, "1G" if IN_MEMORY else disk)
        except Unavailable as e:
            print(f"{flavour}: not here: {e}")
            continue
        print(f"{flavour}: {COUNT} transactions of two rows, median of {RUNS}")
        for name, times in took.items():
            if isinstance(times, str):
                print(f"  {name:<26} fails: {times}")
                continue
            print(f"  {name:<26} {statistics.median(times):7.2f} s   {COUNT / statistics.median(times):8.0f}/s")


if __name__ == "__main__":
    main()
