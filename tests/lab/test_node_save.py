# SPDX-License-Identifier: BSD-2-Clause
"""mha-node save: the tail of a killed master's binlogs, by position and by GTID, against what its slaves received, its
own mysqlbinlog, and a server that applies the stream as a relay log of its own."""
import json
import os
import re
import shutil
import subprocess

import pytest

from . import Lab
from .conftest import WANTED
from .host import programs
from .test_binlog import Seen
from .util import Unavailable

TOOL = programs().parent / "tools/cut"
OPTIONS = {"binlog_checksum": "CRC32"}


def checksums(server, on):
    server.sql(f"SET GLOBAL binlog_checksum={'CRC32' if on else 'NONE'}")


def work(server, first, count):
    """Transactions of one and of several statements, and DDL."""
    for i in range(first, first + count):
        server.sql("BEGIN")
        server.sql("INSERT INTO d.t VALUES (%s, %s)", i, "x" * (i % 50))
        server.sql("UPDATE d.t SET v = CONCAT(v, 'y') WHERE id = %s", i)
        server.sql("COMMIT")
        server.sql("INSERT INTO d.m VALUES (%s)", i)
    server.sql(f"CREATE TABLE d.t{first} (i INT PRIMARY KEY)")


class Scene:
    """db1 is dead; db2 received nothing of the last part, db3 all of it."""

    def __init__(self, lab, flavour, mode):
        self.lab, self.mode = lab, mode
        self.cluster = lab.cluster(flavour, 3, mode=mode, options=OPTIONS)
        self.master, self.behind, self.ahead = self.cluster
        m = self.master
        m.script("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(100));"
                 "CREATE TABLE d.m (id INT PRIMARY KEY) ENGINE=InnoDB")
        work(m, 0, 5)
        self.cluster.caught_up()
        self.at = m.position()
        self.had = self.behind.gtids() if mode == "gtid" else None
        self.behind.stop_slave("IO_THREAD")
        work(m, 100, 5)
        m.sql("FLUSH BINARY LOGS")
        work(m, 200, 5)
        checksums(m, False)  # begins another file
        work(m, 300, 5)
        checksums(m, True)
        work(m, 400, 5)
        self.ahead.caught_up()
        self.end = m.position()
        self.all = self.ahead.gtids() if mode == "gtid" else None
        self.last_files = [os.path.basename(str(f)) for f in m.binlogs()]
        m.kill()

    def save(self, *options, server=None, output="/var/tmp/saved"):
        host = (server or self.master).host
        return host.run(["mha-node", "save", f"--binlog_dir={(server or self.master).data}", f"--output_file={output}",
                         "--json", *options])

    def report(self, r):
        assert r.rc == 0, r
        return json.loads(r.out.splitlines()[-1])

    def by_position(self):
        file, pos = self.at
        return f"--start_file={file}", f"--start_pos={pos}"


@pytest.fixture(scope="module", params=[f"{f}-{m}" for f in WANTED for m in ("gtid", "pos")])
def scene(request):
    flavour, mode = request.param.split("-")
    with Lab.open() as lab:
        yield Scene(lab, flavour, mode)


def events(host, path):
    r = host.run(["mha-node", "events", path])
    assert r.rc == 0, r
    *lines, last = r.out.splitlines()
    assert last.split("\t")[2] == "end" and "open" not in last
    return [Seen(line) for line in lines if not line.startswith("+")]


def essence(seen):
    return [(e.type, e.size, e.info, e.place) for e in seen if e.place != "-"]


def in_binlogs(scene, behind):
    """The transactions' events of the dead master's files behind a position."""
    found = []
    for name in scene.last_files:
        if name >= behind[0]:
            seen = events(scene.master.host, f"{scene.master.data}/{name}")
            found += [e for e in seen if name > behind[0] or e.offset >= behind[1]]
    return found


def test_by_position(scene):
    report = scene.report(scene.save(*scene.by_position()))
    got = events(scene.master.host, "/var/tmp/saved")
    want = in_binlogs(scene, scene.at)
    assert essence(got) == essence(want)
    assert report["transactions"] == 44 == sum(e.place in ("last", "only") for e in got)
    assert report["start"] == {"file": scene.at[0], "pos": scene.at[1]}
    assert report["end"] == {"file": scene.end[0], "pos": scene.end[1]}
    assert report["cut"]["why"] == "end" and not report["cut"]["open"]
    assert not any(e.type in ("Previous_gtids", "Gtid_list", "Stop") for e in got)
    stat = os.stat(scene.master.host.path("/var/tmp/saved"))
    assert (stat.st_size, stat.st_mode & 0o7777) == (report["bytes"], 0o600)


def test_by_gtid(scene):
    if scene.mode == "pos" and not scene.master.flavour.mariadb:
        r = scene.save("--binlog_prefix=mysql-bin", "--have=")
        assert r.rc == 1 and "without GTID" in r.err
        return
    if scene.mode == "pos":
        pytest.skip("positions there are no GTID sets")
    report = scene.report(scene.save("--binlog_prefix=mysql-bin", f"--have={scene.had}"))
    by_gtid = scene.master.host.path("/var/tmp/saved").read_bytes()
    assert report["transactions"] == 44
    scene.report(scene.save(*scene.by_position()))
    assert by_gtid == scene.master.host.path("/var/tmp/saved").read_bytes()
    r = scene.save("--binlog_prefix=mysql-bin", f"--have={scene.all}")
    assert (r.rc, "Event not exists." in r.out) == (10, True), r
    assert not scene.master.host.path("/var/tmp/saved").exists()
    # Each single transaction taken out leaves just that one to be saved.
    if not scene.master.flavour.mariadb:
        holes = re.sub(r":1-(\d+)", lambda m: f":1-7:9-{m[1]}", scene.all)
        report = scene.report(scene.save("--binlog_prefix=mysql-bin", f"--have={holes}"))
        assert report["transactions"] == 1 and report["first_gtid"].endswith(":8")


def test_mysqlbinlog_reads_it(scene):
    program = {"ma": "mariadb-binlog", "my97": "mysqlbinlog", "my56": None}[scene.master.flavour.family]
    if not program:
        pytest.skip("this flavour comes without mysqlbinlog")
    scene.report(scene.save(*scene.by_position()))
    r = scene.master.host.run(["sh", "-c", f"{program} --no-defaults -v /var/tmp/saved"])
    assert r.rc == 0, r.err
    assert r.out.count("### INSERT INTO `d`.`t`") == 20
    assert r.out.count("### INSERT INTO `d`.`m`") == 20
    assert "ERROR" not in r.err


def test_the_callers_stream(scene):
    """Into a pipe: the same bytes, and the report beside them with their number and checksum."""
    report = scene.report(scene.save(*scene.by_position()))
    r = scene.master.host.run(["sh", "-c", 'mha-node save --json --binlog_dir="$1" "$2" "$3" --output_file=- 2>/var/tmp/told '
                               '| tee /var/tmp/piped | gzip -lv >/dev/null; gzip -c /var/tmp/piped | tail -c 8 | head -c 4 | '
                               'od -An -tu4', "sh", scene.master.data, *scene.by_position()])
    told = json.loads(scene.master.host.read("/var/tmp/told").splitlines()[-1])
    assert told == report
    assert scene.master.host.path("/var/tmp/piped").read_bytes() == scene.master.host.path("/var/tmp/saved").read_bytes()
    assert int(r.out) == told["crc32"]


def test_as_mha_calls_it(scene):
    """The manager's command line; exit status 0, 10 and 1."""
    def call(file, pos, *more):
        return scene.master.host.run(
            ["save_binary_logs", "--command=save", f"--start_file={file}", f"--start_pos={pos}",
             f"--binlog_dir=/var/lib/mysql,{scene.master.data}", "--output_file=/var/tmp/new/saved_master_binlog.binlog",
             "--handle_raw_binlog=1", "--disable_log_bin=0", "--manager_version=0.58", *more])
    saved = scene.master.host.path("/var/tmp/new/saved_master_binlog.binlog")
    r = call(*scene.at)
    assert r.rc == 0 and "Saved 44 transactions" in r.out, r
    r = call(*scene.end)
    assert (r.rc, r.out.splitlines()[-1]) == (10, "Event not exists."), r
    assert not saved.exists()
    r = call(scene.end[0], scene.end[1] + 1)
    assert r.rc == 1 and "shorter than what was received" in r.err, r
    r = call(scene.at[0], scene.at[1] + 1)
    assert r.rc == 1 and "no event begins at" in r.err, r
    r = call("mysql-bin.999999", 4)
    assert r.rc == 1 and "Binlog not found from" in r.err, r
    r = call(*scene.at, "--handle_raw_binlog=0")
    assert r.rc == 1 and "needs mysqlbinlog" in r.err, r
    assert not saved.exists()


def test_index_instead_of_a_folder(scene):
    r = scene.master.host.run(["mha-node", "save", f"--index={scene.master.data}/mysql-bin.index", *scene.by_position(),
                               "--output_file=/var/tmp/by_index"])
    assert r.rc == 0, r
    scene.report(scene.save(*scene.by_position()))
    assert scene.master.host.path("/var/tmp/by_index").read_bytes() == scene.master.host.path("/var/tmp/saved").read_bytes()


def test_missing_file_is_named(scene):
    gone = scene.master.path(scene.last_files[-2])
    aside = scene.master.path("aside")
    gone.rename(aside)
    try:
        r = scene.save(*scene.by_position())
        assert r.rc == 1 and f"{gone.name} is missing" in r.err, r
    finally:
        aside.rename(gone)


def test_damage_at_the_end(scene):
    """Torn, zero-filled and garbled last files: what was whole before is saved, and the report says what was cut."""
    last = scene.master.path(scene.last_files[-1])
    content = last.read_bytes()
    whole = scene.report(scene.save(*scene.by_position()))["transactions"]
    try:
        for what, data, lost in [("torn", content[:-3], 1), ("bad_checksum", content[:-3] + bytes(5000), 1),
                                 ("zeros", content + bytes(300), 0), ("garbage", content + b"\x01" * 9 + bytes(91), 0),
                                 ("bad_checksum", content[:-20] + b"!" + content[-19:], 1)]:
            last.write_bytes(data)
            report = scene.report(scene.save(*scene.by_position()))
            events(scene.master.host, "/var/tmp/saved")
            assert report["transactions"] == whole - lost, what
            assert report["cut"]["why"] == what
            assert report["cut"]["at"]["file"] == last.name
            assert report["cut"]["at"]["pos"] + report["cut"]["bytes"] == len(data)
    finally:
        last.write_bytes(content)


def test_a_full_disk_leaves_nothing(scene):
    host = scene.master.host
    host.run(["sh", "-ec", "mkdir -p /srv/full; mount -t tmpfs -o size=4k none /srv/full"], check=True)
    try:
        r = scene.save(*scene.by_position(), output="/srv/full/saved")
        assert r.rc == 1 and "No space left" in r.err, r
        assert not host.path("/srv/full/saved").exists()
    finally:
        host.run(["umount", "/srv/full"], check=True)


def test_belongs_to_the_folders_owner(scene):
    """Never root's file in the server's folder, and never through somebody's link."""
    host = scene.master.host
    victim = host.write("/srv/victim", "precious")
    scene.master.path("saved").symlink_to("/srv/victim")
    try:
        scene.report(scene.save(*scene.by_position(), output=f"{scene.master.data}/saved"))
        st = os.lstat(scene.master.path("saved"))
        assert (st.st_uid, st.st_mode & 0o777777) == (os.stat(scene.master.path()).st_uid, 0o100600)
        assert host.read(victim) == "precious"
    finally:
        scene.master.path("saved").unlink(missing_ok=True)


def test_binlogs_behind_links(scene):
    """Folders and files that are links: the check says what save does.  But not to what is another's than the folder's owner's."""
    master, host = scene.master, scene.master.host
    owner = os.stat(master.path()).st_uid
    file, pos = scene.at
    plain = scene.report(scene.save(*scene.by_position()))
    host.run(["sh", "-ec", f"ln -s {master.data} /srv/elsewhere; mkdir /srv/links; chown {owner} /srv/links; "
                           f"ln -s {master.data}/mysql-bin.[0-9]* /srv/links"], check=True)
    check = ["mha-node", "check-binlogs", f"--start_file={file}", "--output_file=/var/tmp/saved"]
    options = [f"--start_file={file}", f"--start_pos={pos}", "--output_file=/var/tmp/saved", "--json"]
    for folder in ("/srv/elsewhere", "/srv/links"):
        r = host.run([*check, f"--binlog_dir={folder}"])
        assert r.rc == 0, r
        report = scene.report(host.run(["mha-node", "save", *options, f"--binlog_dir={folder}"]))
        assert report == plain
    host.run(["sh", "-ec", f"cp {master.data}/{file} /srv/others; ln -sf /srv/others /srv/links/{file}"], check=True)
    for command in (check, ["mha-node", "save", *options]):
        r = host.run([*command, "--binlog_dir=/srv/links"])
        assert r.rc == 1 and "not the folder's owner's" in r.out + r.err, r


def test_a_server_applies_it(scene):
    """Last: the slave that was behind takes the stream as a relay log of its own, from its executed position."""
    s = scene.behind
    s.stop_slave("SQL_THREAD")
    st = s.status()
    scene.report(scene.save(f"--start_file={st['Relay_Master_Log_File']}", f"--start_pos={st['Exec_Master_Log_Pos']}"))
    index = s.path("relay-bin.index")
    lines = index.read_text().split()
    name = f"relay-bin.{int(lines[-1].rpartition('.')[2]) + 1:06}"
    shutil.copyfile(scene.master.host.path("/var/tmp/saved"), s.path(name))
    owner = os.stat(index)
    os.chown(s.path(name), owner.st_uid, owner.st_gid)
    with index.open("a") as f:
        f.write(f"./{name}\n")
    s.sql("FLUSH NO_WRITE_TO_BINLOG RELAY LOGS")
    no_gtid = "MASTER_USE_GTID=no" if s.flavour.mariadb else f"{s.flavour.master}_AUTO_POSITION=0"
    s.sql(f"{s.flavour.change} TO RELAY_LOG_FILE='{name}', RELAY_LOG_POS=4, {no_gtid}")
    s.start_slave("SQL_THREAD")
    wait_for(s, *scene.end)
    for table in ("t", "m"):
        want = scene.ahead.sql(f"SELECT * FROM d.{table} ORDER BY id")
        assert s.sql(f"SELECT * FROM d.{table} ORDER BY id") == want and len(want) == 25
    if scene.mode == "gtid":
        assert s.gtids() == scene.all
    st = s.status()
    assert (st["Relay_Master_Log_File"], int(st["Exec_Master_Log_Pos"])) == scene.end
    s.reset_slave()
    s.follow(scene.ahead)
    scene.ahead.sql("SET GLOBAL read_only=0")
    scene.ahead.sql("INSERT INTO d.m VALUES (999)")
    scene.lab.until("it follows the other slave", lambda: s.one("SELECT 1 FROM d.m WHERE id=999"))


def wait_for(server, file, pos):
    which = ", ''" if server.flavour.family == "my97" else ""
    with server.connect(read_timeout=30) as c, c.cursor() as cur:
        cur.execute(f"SELECT {server.flavour.master}_POS_WAIT('{file}', {pos}, 20{which})")
        assert cur.fetchone()[0] is not None and server.status()["Slave_SQL_Running"] == "Yes", server.status()


# ---- single servers --------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", ["gtid", "pos"])
def test_cut_at_every_byte(lab, flavour, mode, tmp_path):
    """A binlog of 200 kB, cut at each of its bytes; where transactions end is the server's word."""
    if not TOOL.exists():
        raise Unavailable(f"{TOOL} is not built")
    server = lab.cluster(flavour, 1, mode=mode)[0]
    server.script("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(2000)) ENGINE=InnoDB;"
                  "CREATE TABLE d.my (id INT) ENGINE=MyISAM")
    file, start = server.position()
    for i in range(2000):
        if server.position()[1] > 200_000:
            break
        server.sql("INSERT INTO d.t (v) VALUES (%s)", "v" * (i * 37 % 1500))
        server.script("BEGIN; INSERT INTO d.t (v) VALUES ('a'), ('b'); UPDATE d.t SET v = 'c' ORDER BY id DESC LIMIT 3; COMMIT")
        server.sql("INSERT INTO d.my VALUES (%s)", i)
        if i % 10 == 0:
            server.sql(f"CREATE TABLE d.x{i} (i INT)")
            server.sql("XA START 'x'")
            server.sql("INSERT INTO d.t (v) VALUES ('xa')")
            server.sql("XA END 'x'")
            server.sql("XA COMMIT 'x' ONE PHASE")
    end = server.position()[1]
    server.kill()
    rows = [(e.offset, e.offset + e.size, e.place) for e in events(server.host, f"{server.data}/{file}")
            if e.offset >= start]
    assert not [r for r in rows if r[2] == "-"], "all is transactions there"
    work = tmp_path / "mysql-bin.000001"
    shutil.copyfile(server.path(file), work)
    os.truncate(work, end)
    ends = [start] + [stop for _, stop, place in rows if place in ("last", "only")]
    r = subprocess.run([TOOL, work], input="\n".join(map(str, ends)), capture_output=True, text=True, timeout=110)
    assert r.returncode == 0, r.stdout + r.stderr
    assert int(r.stdout.split()[0]) > 195_000


def test_number_999999_is_followed_by_1000000(lab, flavour):
    reset = {"my97": "RESET BINARY LOGS AND GTIDS TO 999998", "ma": "RESET MASTER TO 999998", "my56": None}
    server = lab.cluster(flavour, 1)[0]
    if not reset[server.flavour.family]:
        pytest.skip("cannot begin at a number")
    server.sql(reset[server.flavour.family])
    server.script("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY)")
    for i in range(4):
        server.sql("INSERT INTO d.t VALUES (%s)", i)
        server.sql("FLUSH BINARY LOGS")
    assert server.binlogs()[-1].name == "mysql-bin.1000002"
    for how, want in [(["--start_file=mysql-bin.999999", "--start_pos=4"], 3), (["--binlog_prefix=mysql-bin", "--have="], 6)]:
        r = server.host.run(["mha-node", "save", f"--binlog_dir={server.data}", *how, "--output_file=/var/tmp/saved", "--json"])
        assert r.rc == 0, r
        assert json.loads(r.out.splitlines()[-1])["transactions"] == want
        seen = events(server.host, "/var/tmp/saved")
        assert [e.info.split(";")[0] for e in seen if e.type == "Rotate"][-1] == "mysql-bin.1000001"


def test_torn_in_a_large_transaction(lab, flavour):
    """One that is larger than what is held in memory."""
    server = lab.cluster(flavour, 1)[0]
    server.script("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v LONGBLOB) ENGINE=MyISAM")
    file, start = server.position()
    for i in range(3):
        server.sql("INSERT INTO d.t VALUES (%s, REPEAT('x', 1000000))", i)
    server.kill()
    last = server.path(file)
    size = last.stat().st_size
    os.truncate(last, size - 500_000)
    r = server.host.run(["mha-node", "save", f"--binlog_dir={server.data}", f"--start_file={file}", f"--start_pos={start}",
                         "--output_file=/var/tmp/saved", "--json"])
    assert r.rc == 0, r
    report = json.loads(r.out.splitlines()[-1])
    assert report["transactions"] == 2 and report["cut"]["why"] == "torn" and report["cut"]["open"]
    assert sum(e.place in ("last", "only") for e in events(server.host, "/var/tmp/saved")) == 2


def test_position_is_the_end_of_a_file_without_rotate(lab, flavour):
    """A server that died and runs again goes on in a new file: the stream says that nothing lies between."""
    server = lab.cluster(flavour, 1)[0]
    server.script("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY) ENGINE=InnoDB")
    server.kill()
    server.start()
    server.sql("INSERT INTO d.t VALUES (1)")
    old, new = server.binlogs()[-2:]
    end = server.path(old.name).stat().st_size
    r = server.host.run(["mha-node", "save", f"--binlog_dir={server.data}", f"--start_file={old.name}", f"--start_pos={end}",
                         "--output_file=/var/tmp/saved"])
    assert r.rc == 0, r
    rotates = [e.info for e in events(server.host, "/var/tmp/saved") if e.type == "Rotate"]
    assert rotates == [f"{old.name};pos={end}", f"{new.name};pos=4"]
