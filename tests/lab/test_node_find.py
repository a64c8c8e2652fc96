# SPDX-License-Identifier: BSD-2-Clause
"""mha-node find and diff: places of the master's binlog in a slave's relay logs, and what is behind them."""
import json
import os

import pytest

from . import Lab
from .conftest import WANTED
from .test_node_save import essence, events, work

STATE_FILES = {"my56": {"relay_log_info_repository": "FILE", "master_info_repository": "FILE"}}


class Scene:
    """db2 has read and applied all, over relay logs of every kind; db3 stopped on the way.  All are left standing still."""

    def __init__(self, lab, flavour, mode):
        self.lab, self.mode = lab, mode
        self.cluster = lab.cluster(flavour, 3, mode=mode, options=STATE_FILES.get(flavour, {}))
        self.master, self.full, self.part = self.cluster
        m, s = self.master, self.full
        m.script("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(100));"
                 "CREATE TABLE d.m (id INT PRIMARY KEY) ENGINE=InnoDB")
        work(m, 0, 2)
        s.caught_up()
        s.sql("FLUSH RELAY LOGS")
        work(m, 100, 2)
        self.part.caught_up()
        self.part.stop_slave()
        self.had = self.part.gtids() if mode == "gtid" else None
        self.at = self.read_position(self.part)
        m.sql("FLUSH BINARY LOGS")
        work(m, 200, 2)
        s.caught_up()
        s.sql("FLUSH RELAY LOGS")
        s.sql("FLUSH RELAY LOGS")
        work(m, 300, 2)
        s.caught_up()
        s.stop_slave("IO_THREAD")
        s.start_slave("IO_THREAD")
        work(m, 400, 2)
        s.caught_up()
        self.end = m.position()
        s.stop_slave("IO_THREAD")
        self.files = [os.path.basename(str(f)) for f in m.binlogs()]
        self.last = s.path("relay-bin.index").read_text().split()[-1].rpartition("/")[2]

    @staticmethod
    def read_position(server):
        st = server.status()
        return st["Master_Log_File"], int(st["Read_Master_Log_Pos"])

    def call(self, command, place, *options, by_info=False):
        where = ([f"--relay_log_info={self.full.data}/relay-log.info", f"--relay_dir={self.full.data}"] if by_info
                 else [f"--relay_dir={self.full.data}", f"--current_relay_log={self.last}"])
        target = [f"--target_mlf={place[0]}", f"--target_rmlp={place[1]}"] if place else []
        return self.full.host.run(
            ["apply_diff_relay_logs", f"--command={command}", f"--latest_mlf={self.end[0]}", f"--latest_rmlp={self.end[1]}",
             *target, f"--server_id={self.full.server_id}", "--workdir=/var/tmp", "--timestamp=1",
             "--manager_version=0.58", *where, *options])

    def binlog(self, behind=("", 0)):
        """The transactions' events of the master behind a place, with their file."""
        for name in self.files:
            for e in events(self.master.host, f"{self.master.data}/{name}") if name >= behind[0] else []:
                if e.place != "-" and (name > behind[0] or e.offset >= behind[1]):
                    yield name, e


@pytest.fixture(scope="module", params=[f"{f}-{m}" for f in WANTED for m in ("gtid", "pos")])
def scene(request):
    flavour, mode = request.param.split("-")
    with Lab.open() as lab:
        yield Scene(lab, flavour, mode)


def test_find_every_event(scene):
    for name, e in scene.binlog():
        if e.place in ("last", "only"):
            r = scene.call("find", (name, e.offset + e.size))
            assert r.rc == 0 and "Target relay log FOUND!\n" in r.out and "start_pos:" in r.out, r


def test_what_is_not_there(scene):
    r = scene.call("find", (scene.end[0], scene.end[1] + 100))
    assert r.rc == 1 and "the relay logs end at" in r.err, r
    name, e = [x for x in scene.binlog() if x[1].place == "last"][-1]
    r = scene.call("find", (name, e.offset + 1))
    assert r.rc == 1 and "no event ends at" in r.err, r
    r = scene.call("find", None)
    assert r.rc == 1 and "--target_mlf" in r.err, r


def test_generate(scene):
    """What the other slave lacks: the master's events behind its position, no more and no less."""
    r = scene.call("generate", scene.at, "--diff_file_readtolatest=/var/tmp/diff", "--json")
    assert r.rc == 0, r
    want = [e for _, e in scene.binlog(scene.at)]
    got = [e for e in events(scene.full.host, "/var/tmp/diff") if e.place != "-"]
    assert essence(got) == essence(want)
    report = json.loads(next(line for line in r.out.splitlines() if line.startswith("{")))
    assert report["end"] == {"file": scene.end[0], "pos": scene.end[1]}
    assert report["start"]["file"] == scene.files[1] and report["relay"]
    assert "Generating diff relay log succeeded. Saved at /var/tmp/diff ." in r.out


def test_generate_nothing(scene):
    r = scene.call("generate", scene.end, "--diff_file_readtolatest=/var/tmp/none")
    assert r.rc == 0 and "Target slave has received all relay logs." in r.out, r
    assert not scene.full.host.path("/var/tmp/none").exists()


def test_from_inside_of_a_transaction(scene):
    """A slave may have read half a transaction: the rest is written, and the parts make a whole."""
    places = list(scene.binlog())
    i = max(i for i, (_, e) in enumerate(places) if e.place == "inside" and e.type == "Table_map")
    name, e = places[i]
    r = scene.call("generate", (name, e.offset + e.size), "--diff_file_readtolatest=/var/tmp/rest", "--json")
    assert r.rc == 0, r
    report = json.loads(next(line for line in r.out.splitlines() if line.startswith("{")))
    assert report["starts_inside"]
    shown = scene.full.host.run(["mha-node", "events", "/var/tmp/rest"]).out.splitlines()[:-1]
    got = [line.split("\t")[3] for line in shown if line.split("\t")[3] not in ("Format_desc", "Rotate")]
    assert got == [e.type for _, e in places[i + 1:]]


def test_by_gtid(scene):
    if scene.mode == "pos":
        pytest.skip("without GTIDs")
    r = scene.call("generate", None, f"--have={scene.had}", "--diff_file_readtolatest=/var/tmp/diff")
    assert r.rc == 0, r
    want = [e for _, e in scene.binlog(scene.at)]
    got = [e for e in events(scene.full.host, "/var/tmp/diff") if e.place != "-"]
    assert essence(got) == essence(want)
    r = scene.call("find", None, f"--have={scene.had}", "--json")
    assert r.rc == 0 and json.loads(r.out.splitlines()[-2])["transactions"] == sum(e.place == "last" for e in want)
    r = scene.call("generate", None, f"--have={scene.full.gtids()}", "--diff_file_readtolatest=/var/tmp/none")
    assert r.rc == 0 and "Target slave has received all relay logs." in r.out, r
    r = scene.call("generate", None, "--have=", "--diff_file_readtolatest=/var/tmp/all")
    assert r.rc == 0 and f"Saved {sum(1 for _, e in scene.binlog() if e.place in ('last', 'only'))} transactions" in r.out, r


def test_the_slaves_own_rest(scene):
    """What it received and has not executed, as the manager asks for it: from a place in its relay logs on."""
    s = scene.full
    logs = [f.rpartition("/")[2] for f in s.path("relay-bin.index").read_text().split()]
    seen = events(s.host, f"{s.data}/{logs[-1]}")
    at = next(e for e in seen if e.place in ("first", "only"))
    r = s.host.run(["save_binary_logs", "--command=save", f"--start_file={logs[-1]}", f"--start_pos={at.offset}",
                    "--output_file=/var/tmp/exec_to_read", "--handle_raw_binlog=1", "--disable_log_bin=0",
                    "--manager_version=0.58", f"--binlog_dir={s.data}"])
    assert r.rc == 0, r
    assert essence(events(s.host, "/var/tmp/exec_to_read")) == essence([e for e in seen if e.offset >= at.offset])


def test_relay_log_info(scene):
    """State in a file instead of tables: 5.6 as set up here, MariaDB always."""
    s = scene.full
    if not s.path("relay-log.info").exists():
        pytest.skip("this flavour keeps its state in tables")
    name, e = [x for x in scene.binlog() if x[1].place in ("last", "only")][-2]
    r = scene.call("find", (name, e.offset + e.size), by_info=True)
    assert r.rc == 0 and "Target relay log FOUND!" in r.out, r
    if scene.mode == "gtid" and s.flavour.mariadb:
        return  # keeps its file in position mode only
    # The executed position is the end: nothing is left to be saved.
    r = s.host.run(["mha-node", "save", f"--relay_log_info={s.data}/relay-log.info", f"--datadir={s.data}",
                    "--output_file=/var/tmp/rest"])
    assert r.rc == 10 and "Event not exists." in r.out, r


def test_generate_and_send(scene):
    name, e = [x for x in scene.binlog() if x[1].place in ("last", "only")][-2]
    target = scene.part.host
    r = scene.call("generate_and_send", (name, e.offset + e.size), "--diff_file_readtolatest=/var/tmp/new/diff",
                   "--scp_user=root", f"--scp_host={scene.part.addr}")
    assert r.rc == 0 and "succeeded." in r.out, r
    assert target.path("/var/tmp/new/diff").read_bytes() == scene.full.host.path("/var/tmp/new/diff").read_bytes()
    r = scene.call("generate_and_send", (name, e.offset + e.size), "--diff_file_readtolatest=/var/tmp/new/d;x",
                   "--scp_user=root", f"--scp_host={scene.part.addr}")
    assert r.rc == 1 and "are not sent" in r.err, r


def test_missing_relay_log(scene):
    logs = [f.rpartition("/")[2] for f in scene.full.path("relay-bin.index").read_text().split()]
    gone, aside = scene.full.path(logs[-2]), scene.full.path("aside")
    gone.rename(aside)
    try:
        r = scene.call("generate", scene.at, "--diff_file_readtolatest=/var/tmp/diff")
        assert r.rc == 1 and f"{logs[-2]} is missing" in r.err, r
    finally:
        aside.rename(gone)


FILTER_IN = """\
# at 4
#240101 12:00:00 server id 1  end_log_pos 107 \tStart: binlog v 4, server v 5.5.30-log created 240101 12:00:00 at startup
ROLLBACK/*!*/;
BINLOG '
AAAA
'/*!*/;
# at 107
#240101 12:00:00 server id 1  end_log_pos 175 \tQuery
ROLLBACK
/*!*/;
DELIMITER ;
# End of log file
ROLLBACK /* added by mysqlbinlog */;
/*!50003 SET COMPLETION_TYPE=@OLD_COMPLETION_TYPE*/;
"""


def test_filter_mysqlbinlog(lab):
    r = lab.host("db1").run(["filter_mysqlbinlog"], input=FILTER_IN)
    lines = FILTER_IN.splitlines()
    assert r.rc == 0, r
    assert r.out.splitlines() == [
        *lines[:2], "# ROLLBACK and BINLOG events generated by start_event were trimmed.", *lines[6:12],
        "# Tail ROLLBACK event generated by mysqlbinlog was trimmed."]
    more = FILTER_IN + "# at 4\nCOMMIT;\n"
    r = lab.host("db1").run(["filter_mysqlbinlog"], input=more)
    assert r.out.splitlines()[-5:] == [*lines[11:14], "# at 4", "COMMIT;"]
    r = lab.host("db1").run(["filter_mysqlbinlog", "--version"])
    assert (r.rc, r.out) == (0, "filter_mysqlbinlog version 0.58.\n")
