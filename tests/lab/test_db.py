# SPDX-License-Identifier: BSD-2-Clause
"""Sessions with real servers of all flavours, and with servers that misbehave as no real one does.

build/tools/db does one login and the steps it is told, and prints what came of each.
"""
import contextlib
import json
import os
import resource
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from . import Lab, fault
from .flavour import FLAVOURS

ROOT = Path(__file__).resolve().parents[2]
TOOL = str(Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")).parent / "tools/db")
WITH_TLS = ("my97", "ma118")
SLACK = 1500  # ms; generous, the machine may be busy


def answers(argv, run, password="mha-pw"):
    """One dict per step; `run` gives exit status and output of a command."""
    rc, out = run(["env", f"DB_PASSWORD={password}", TOOL, *map(str, argv)])
    steps = [json.loads(line) for line in out.splitlines()]
    assert rc == (0 if all(s["ok"] for s in steps) else 1), (rc, out)
    return steps


class Session:
    """The tool on a lab's manager host, against one server."""

    def __init__(self, server):
        self.server = server

    def __call__(self, settings, *steps, user="mha", password="mha-pw"):
        argv = [self.server.addr, self.server.port, user, settings, *steps]

        def run(a):
            r = self.server.lab.manager.run(a, timeout=60)
            return r.rc, r.out

        return answers(argv, run, password)

    def login(self, settings, **kw):
        return self(settings, **kw)[0]


@pytest.fixture(scope="module", params=FLAVOURS)
def server(request):
    with Lab.open() as lab:
        yield lab.cluster(request.param, 1)[0]


@pytest.fixture
def session(server):
    return Session(server)


def only(*flavours):
    return pytest.mark.parametrize("server", flavours, indirect=True)


def is_(step, kind, code=None):
    assert not step["ok"], step
    assert step["kind"] == kind, step
    assert code is None or step["code"] == code, step
    return step["text"]


def pem(server, name):
    """A file of the data directory where the manager host can read it."""
    server.lab.manager.write("/root/" + name, server.path(name).read_text())
    return "/root/" + name


def fingerprint(server, cert="server-cert.pem"):
    out = subprocess.run(["openssl", "x509", "-in", server.path(cert), "-noout", "-fingerprint", "-sha1"],
                         check=True, capture_output=True, text=True).stdout
    return out.split("=")[1].strip().replace(":", "")


# ---- logins -----------------------------------------------------------------------------------
def test_login(server, session):
    login, one, closing = session("tls=off", "SELECT 'grün', 'x' AS v")
    assert login["ok"] and login["cipher"] == "" and login["id"] > 0
    assert login["version"] == server.one("SELECT VERSION()")
    assert one["rows"] == 1 and one["value"] == "x"
    assert closing["ms"] < SLACK


def test_session_is_utf8mb4_and_small(session):
    steps = session("tls=off", "SELECT @@character_set_client AS v", "SELECT @@character_set_results AS v",
                    "SELECT @@SESSION.autocommit AS v")
    assert [s["value"] for s in steps[1:4]] == ["utf8mb4", "utf8mb4", "1"]


@pytest.mark.parametrize("tls", ["off", "preferred"])
def test_wrong_password(session, tls):
    is_(session.login(f"tls={tls}", password="wrong"), "refused", 1045)


def test_too_many_connections(server, session):
    with fault.out_of_connections(server):
        is_(session.login("tls=off", user="app", password="app-pw"), "refused", 1040)


def test_tls_wanted(server, session):
    preferred, required = session.login("tls=preferred"), session.login("tls=required")
    assert preferred["ok"]
    if server.flavour.name in WITH_TLS:
        assert preferred["cipher"] and required["cipher"]
    else:
        assert preferred["cipher"] == ""
        is_(required, "precondition", 2026)


@only(*(f for f in FLAVOURS if f not in WITH_TLS))
def test_tls_is_not_had(session):
    for settings in ("tls=verify-ca,ca=/etc/ssl/certs/ca-certificates.crt",
                     "tls=preferred,fingerprint=" + "0" * 40):
        is_(session.login(settings), "precondition", 2026)


def test_bad_files_of_ours(session):
    for settings in ("tls=verify-ca", "tls=verify-ca,ca=/nowhere", "tls=verify-identity,ca=/etc/passwd",
                     "tls=required,cert=/etc/passwd", "tls=required,key=/nowhere", "tls=off,public-key=/nowhere",
                     "tls=required,fingerprint=00:11"):
        is_(session.login(settings), "config")


@pytest.fixture
def mysql9(server):
    """The one that makes certificates for itself and uses caching_sha2_password."""
    return server


@only("my97")
def test_certificate(mysql9, session):
    """Its own CA has signed it, and it bears no name."""
    ca = pem(mysql9, "ca.pem")
    assert session.login(f"tls=verify-ca,ca={ca}")["cipher"]
    is_(session.login(f"tls=verify-identity,ca={ca}"), "precondition", 2026)
    is_(session.login("tls=verify-ca,ca=/etc/ssl/certs/ca-certificates.crt"), "precondition", 2026)
    assert session.login(f"tls=required,fingerprint={fingerprint(mysql9)}")["cipher"]
    is_(session.login("tls=required,fingerprint=" + "0" * 40), "precondition", 2026)


@only("my97")
def test_certificate_of_ours(mysql9, session):
    cert, key = pem(mysql9, "client-cert.pem"), pem(mysql9, "client-key.pem")
    mysql9.sql("CREATE USER x509@'%' IDENTIFIED BY 'x-pw' REQUIRE X509")
    try:
        who = {"user": "x509", "password": "x-pw"}
        is_(session.login("tls=required", **who), "refused", 1045)
        assert session.login(f"tls=required,cert={cert},key={key}", **who)["ok"]
    finally:
        mysql9.sql("DROP USER x509@'%'")


@only("my97")
def test_password_without_tls(mysql9, session):
    """caching_sha2: encrypted with the server's key, fetched or ours, until the server has it cached."""
    right = pem(mysql9, "public_key.pem")
    wrong = "/root/wrong.pem"
    mysql9.lab.manager.run(["sh", "-c", f"openssl genrsa 2048 | openssl rsa -pubout -out {wrong}"], check=True)
    for settings, fine in (("tls=off", True), (f"tls=off,public-key={right}", True),
                           (f"tls=off,public-key={wrong}", False)):
        mysql9.sql("FLUSH PRIVILEGES")
        login = session.login(settings)
        assert login["ok"] == fine, login
        if fine:
            assert session.login(settings)["ok"]
        else:
            is_(login, "refused", 1045)


def test_odd_defaults_of_the_server(server, session):
    """Quoting is right, and no transaction stays open, whatever the defaults are."""
    mode = server.one("SELECT @@GLOBAL.sql_mode")
    server.sql("SET GLOBAL sql_mode='NO_BACKSLASH_ESCAPES,ANSI_QUOTES', GLOBAL autocommit=0")
    try:
        text = "it's \\ \"all\" `fine` \\' ü"
        _, quoted, auto, _ = session("tls=off", "@quote:" + text, "SELECT @@SESSION.autocommit AS v")
        assert quoted["value"] == text and auto["value"] == "1"
    finally:
        server.sql(f"SET GLOBAL sql_mode='{mode}', GLOBAL autocommit=1")
    _, quoted, _ = session("tls=off", "@quote:" + text)
    assert quoted["value"] == text


# ---- statements -------------------------------------------------------------------------------
def test_dialect(server, session):
    """Each statement is understood, each column there."""
    f = server.flavour
    server.sql(f"{f.change} TO {f.master}_HOST='127.0.0.9', {f.master}_USER='x'")
    try:
        found = session("tls=off", "@dialect")[1]
    finally:
        server.reset_slave()
    assert found["ok"] and found["missing"] == [] and not found["newer"], found
    assert found["name"].split()[1] in found["name"] and server.one("SELECT VERSION()").startswith(found["name"].split()[1])


def test_vars(server, session):
    """Long GTID sets come whole: SHOW VARIABLES cuts them on MySQL."""
    mariadb = server.flavour.name.startswith("ma")
    if mariadb:
        name, text = "gtid_slave_pos", ",".join(f"{i}-1-1" for i in range(2, 400))
    else:
        name, text = "gtid_purged", ",".join(f"{i:08x}-0000-0000-0000-000000000001:1" for i in range(100))
        server.sql("RESET MASTER" if server.flavour.name == "my56" else "RESET BINARY LOGS AND GTIDS")
    server.sql(f"SET GLOBAL {name}='{text}'")
    found = session("tls=off", "@vars")[1]["vars"]
    assert found[name].replace("\n", "") == text
    assert int(found["server_id"]) == server.server_id
    assert found["log_bin"] == "ON" and found["read_only"] in ("ON", "OFF")
    new = server.flavour.name == "my97"
    assert ("log_replica_updates" in found, "log_slave_updates" in found) == (new, not new)
    assert ("super_read_only" in found, "server_uuid" in found) == (new, not mariadb)


@only(*(f for f in FLAVOURS if f != "my56"))  # which comes without plug-ins
def test_semisync_is_found_under_either_name(server, session):
    new = server.flavour.name == "my97"
    if new:
        server.sql("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
    try:
        found = session("tls=off", "@vars")[1]
    finally:
        if new:
            server.sql("UNINSTALL PLUGIN rpl_semi_sync_source")
    assert found["vars"]["rpl_semi_sync_source_enabled" if new else "rpl_semi_sync_master_enabled"] == "OFF"
    assert found["status"]["Rpl_semi_sync_source_clients" if new else "Rpl_semi_sync_master_clients"] == "0"


def test_sql_errors_keep_secrets(session):
    _, unknown, syntax, again, _ = session(
        "tls=off", "@exec:SELECT * FROM no.such", "@exec:CREATE USER x@x IDENTIFIED BY 's3cret' AT ALL", "SELECT 2 AS v")
    is_(unknown, "sql")
    assert "SELECT * FROM no.such" in unknown["text"]
    assert "s3cret" not in is_(syntax, "sql", 1064) and "'xxx'" in syntax["text"]
    assert again["value"] == "2"


def test_late_answer(session):
    for tls in ("off", "preferred"):
        _, late, after, closing = session(f"tls={tls},query-ms=300", "SELECT SLEEP(5)", "SELECT 1")
        is_(late, "lost")
        assert 290 < late["ms"] < 300 + SLACK
        is_(after, "unreachable")
        assert closing["ms"] < SLACK


def test_deadline_of_the_session(session):
    _, late, _ = session("tls=off", "@deadline:200", "SELECT SLEEP(5)")
    is_(late, "lost")
    assert late["ms"] < 200 + SLACK
    _, refused, _ = session("tls=off", "@deadline:0", "SELECT 1")
    is_(refused, "precondition")


def test_login_limit_does_not_bound_statements(session):
    for tls in ("off", "preferred"):
        assert session(f"tls={tls},connect-ms=1000", "SELECT SLEEP(1.3) AS v")[1]["value"] == "0"


def test_killed_session(server, session):
    _, killed, _ = session("tls=off", "KILL CONNECTION_ID()")
    assert killed["kind"] in ("lost", "sql"), killed  # 2013, or 1317 and then gone


@pytest.mark.parametrize("tls", ["off", "preferred"])
def test_frozen_after_login(server, session, tls):
    def freeze_soon():
        time.sleep(0.7)
        server.freeze()

    for steps in (["@sleep:1500", "SELECT 1"], ["@sleep:1500"]):
        t = threading.Thread(target=freeze_soon)
        t.start()
        try:
            login, *query, closing = session(f"tls={tls},query-ms=400", *steps)
        finally:
            t.join()
            server.thaw()
        assert login["ok"], login
        for step in query:
            is_(step, "lost")
            assert 390 < step["ms"] < 400 + SLACK
        assert closing["ms"] < SLACK


def test_frozen_before_login(server, session):
    with fault.frozen(server):
        for tls in ("off", "preferred"):
            step = session.login(f"tls={tls},connect-ms=400")
            is_(step, "unreachable")
            assert 390 < step["ms"] < 400 + SLACK


def test_unplugged(server, session):
    """No answer to anything, not even a refusal."""
    with fault.cut(server.lab.manager, server.host):
        step = session.login("tls=off,connect-ms=400")
    is_(step, "unreachable")
    assert 390 < step["ms"] < 400 + SLACK


# ---- servers that lie -------------------------------------------------------------------------
def packet(n, payload):
    return struct.pack("<I", len(payload))[:3] + bytes([n]) + payload


def greeting(version=b"8.4.0", plugin=b"mysql_native_password", tls=False):
    caps = 0x0001 | 0x0200 | 0x2000 | 0x8000 | 0x80000 | 0x100000 | 0x200000 | (0x800 if tls else 0)
    return packet(0, b"\x0a" + version + b"\0" + struct.pack("<I", 7) + b"abcdefgh\0" + struct.pack("<H", caps & 0xffff) +
                  b"\x2d" + struct.pack("<HH", 2, caps >> 16) + b"\x15" + bytes(10) + b"ijklmnopqrst\0" + plugin + b"\0")


OK = b"\0\0\0" + struct.pack("<HH", 2, 0)
EOF = b"\xfe" + struct.pack("<HH", 0, 2)


def column(name=b"v"):
    def text(s):
        return bytes([len(s)]) + s
    return (text(b"def") + text(b"") * 3 + text(name) * 2 + b"\x0c" + struct.pack("<HIBHB", 45, 1024, 0xfd, 0, 0) + b"\0\0")


def read_packet(c):
    head = c.recv(4, socket.MSG_WAITALL)
    return c.recv(int.from_bytes(head[:3], "little"), socket.MSG_WAITALL) if len(head) == 4 else b""


def logged_in(c):
    c.sendall(greeting())
    got = read_packet(c)
    c.sendall(packet(2, OK))
    return got


def rest(c):
    """All that still comes."""
    got = b""
    with contextlib.suppress(OSError):
        while more := c.recv(65536):
            got += more
    return got


@contextlib.contextmanager
def fake(behave):
    """One thread per connection runs behave(conn), whose results are collected."""
    told, threads = [], []
    with socket.create_server(("127.0.0.1", 0)) as s:
        def one(c):
            with c, contextlib.suppress(OSError):
                c.settimeout(20)
                told.append(behave(c))

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threads.append(threading.Thread(target=one, args=(s.accept()[0],)))
                    threads[-1].start()

        a = threading.Thread(target=accept)
        a.start()
        try:
            yield s.getsockname()[1], told
        finally:
            s.shutdown(socket.SHUT_RDWR)
            a.join()
            for t in threads:
                t.join()


def local(port, settings, *steps, address="127.0.0.1", memory=None, password="s3cret-pw"):
    def limit():
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    def run(argv):
        r = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=60, preexec_fn=limit)
        return r.returncode, r.stdout

    return answers([address, port, "mha", settings, *steps], run, password)


def drip(c, data, every=0.05):
    for i in range(len(data)):
        c.sendall(data[i:i + 1])
        time.sleep(every)


def test_name_is_not_looked_up():
    for name in ("localhost", "db1.example.com", ""):
        is_(local(1, "tls=off", address=name)[0], "config")


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    step = local(port, "tls=off")[0]
    is_(step, "unreachable", 2002)
    assert step["ms"] < SLACK


def late_login(behave, settings="tls=off"):
    with fake(behave) as (port, _):
        step = local(port, settings + ",connect-ms=300")[0]
    is_(step, "unreachable")
    assert 290 < step["ms"] < 300 + SLACK, step


def test_no_greeting():
    late_login(rest)


def test_greeting_in_drops():
    late_login(lambda c: drip(c, greeting() * 2))


def test_no_answer_to_login():
    late_login(lambda c: (c.sendall(greeting()), rest(c)))


def test_answer_to_login_in_drops():
    late_login(lambda c: (c.sendall(greeting()), read_packet(c), drip(c, packet(2, OK * 10))))


def test_no_answer_in_tls_handshake():
    for settings in ("tls=required", "tls=preferred"):
        late_login(lambda c: (c.sendall(greeting(tls=True)), rest(c)), settings)


def test_tls_handshake_in_drops():
    late_login(lambda c: (c.sendall(greeting(tls=True)), read_packet(c), drip(c, b"\x16\x03\x03\x40\0\x02\0\x3f\xfc" + b"\3" * 99)),
               "tls=required")


def test_too_many_connections_instead_of_a_greeting():
    with fake(lambda c: c.sendall(packet(0, b"\xff" + struct.pack("<H", 1040) + b"#08004Too many connections"))) as (port, _):
        is_(local(port, "tls=off")[0], "refused", 1040)


def test_hangs_up_at_once():
    with fake(lambda c: None) as (port, _):
        is_(local(port, "tls=off")[0], "unreachable")


def test_something_else_listens():
    with fake(lambda c: (c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), rest(c))) as (port, _):
        is_(local(port, "tls=off")[0], "unreachable")
    with fake(lambda c: (c.sendall(packet(0, b"\x09" + b"3.23.58\0" + bytes(20))), rest(c))) as (port, _):
        is_(local(port, "tls=off")[0], "parse")


@pytest.mark.parametrize("version,kind", [(b"5.5.62-log", "precondition"), (b"5.5.5-10.3.39-MariaDB", "precondition"),
                                          (b"proxy", "parse")])
def test_version_that_is_not_supported(version, kind):
    with fake(lambda c: (c.sendall(greeting(version)), read_packet(c), c.sendall(packet(2, OK)), rest(c))) as (port, _):
        is_(local(port, "tls=off")[0], kind)


def test_pretended_version():
    with fake(lambda c: (c.sendall(greeting(b"5.5.5-10.6.12-MariaDB-log")), read_packet(c), c.sendall(packet(2, OK)),
                         rest(c))) as (port, _):
        assert local(port, "tls=off")[0]["version"] == "10.6.12-MariaDB-log"


@pytest.mark.parametrize("settings", ["tls=required", "tls=verify-ca,ca=/etc/ssl/certs/ca-certificates.crt",
                                      "tls=preferred,fingerprint=" + "0" * 40])
def test_nothing_is_sent_when_there_is_no_tls(settings):
    with fake(lambda c: (c.sendall(greeting()), rest(c))[1]) as (port, told):
        is_(local(port, settings)[0], "precondition", 2026)
    assert told == [b""]


@pytest.mark.parametrize("settings", ["tls=off", "tls=preferred"])
def test_password_is_not_given_in_clear_text(settings):
    def ask(c):
        c.sendall(greeting())
        first = read_packet(c)
        c.sendall(packet(2, b"\xfemysql_clear_password\0"))
        return first + rest(c)

    with fake(ask) as (port, told):
        is_(local(port, settings)[0], "precondition")
    assert told[0] and b"s3cret-pw" not in told[0]


def test_password_is_not_given_in_clear_text_for_want_of_tls():
    """caching_sha2 asks for the whole password; it must go out encrypted with the server's key, or not at all."""
    def ask(c):
        c.sendall(greeting(plugin=b"caching_sha2_password"))
        first = read_packet(c)
        c.sendall(packet(2, b"\x01\x04"))
        return first + rest(c)

    with fake(ask) as (port, told):
        assert not local(port, "tls=preferred,connect-ms=300")[0]["ok"]
    assert b"mha" in told[0] and b"s3cret-pw" not in told[0]
    assert told[0].endswith(b"\1\0\0\3\2")  # the request for the key


def test_our_files_are_not_given():
    def ask(c):
        logged_in(c)
        read_packet(c)
        c.sendall(packet(1, b"\xfb/etc/passwd"))
        return rest(c)

    with fake(ask) as (port, told):
        assert not local(port, "tls=off,query-ms=300", "LOAD DATA LOCAL INFILE 'x' INTO TABLE t")[1]["ok"]
    assert b"root:" not in told[0]


def query(behave):
    """A server that lets everybody in and then answers statements in its own way."""
    def serve(c):
        logged_in(c)
        read_packet(c)
        return behave(c)
    return fake(serve)


HEAD = packet(1, b"\x01") + packet(2, column()) + packet(3, EOF)
ROW = b"\x03abc"


@pytest.mark.parametrize("behave", [
    rest,
    lambda c: (c.sendall(HEAD + packet(4, ROW)), rest(c)),
    lambda c: drip(c, (HEAD + packet(4, ROW)) * 3),
    lambda c: (c.sendall(HEAD + packet(4, ROW)[:6]), rest(c)),
], ids=["silent", "stops-between-rows", "drops", "stops-in-a-row"])
def test_result_that_does_not_come(behave):
    with query(behave) as (port, _):
        login, late, after, closing = local(port, "tls=off,query-ms=300", "SELECT 1", "SELECT 2")
    assert login["ok"]
    is_(late, "lost")
    assert 290 < late["ms"] < 300 + SLACK
    is_(after, "unreachable")
    assert closing["ms"] < SLACK


@pytest.mark.parametrize("sent", [b"", HEAD[:20], HEAD, HEAD + packet(4, ROW), HEAD + packet(4, ROW)[:5]],
                         ids=["nothing", "part-of-head", "head", "a-row", "part-of-row"])
def test_result_that_is_cut(sent):
    with query(lambda c: c.sendall(sent)) as (port, _):
        _, cut, _ = local(port, "tls=off", "SELECT 1")
    is_(cut, "lost")
    assert cut["ms"] < SLACK


def test_error_behind_rows():
    last = packet(5, b"\xff" + struct.pack("<H", 1317) + b"#70100Query execution was interrupted")
    with query(lambda c: (c.sendall(HEAD + packet(4, ROW) + last), rest(c))) as (port, _):
        is_(local(port, "tls=off", "SELECT 1")[1], "sql", 1317)


def endless(c):
    c.sendall(HEAD)
    row, n = b"\xfd\x00\x00\x10" + bytes(1 << 20), 4
    while True:
        c.sendall(packet(n % 256, row))
        n += 1


def endless_row(c):
    c.sendall(HEAD)
    n = 4
    while True:
        c.sendall(packet(n % 256, b"\xfe" + b"\xff" * 0xfffffe))
        n += 1


@pytest.mark.parametrize("behave", [endless, endless_row])
def test_result_without_end(behave):
    """The cap is 64 MiB of rows; what the library needs on top is bounded as well."""
    with query(behave) as (port, _):
        _, big, _ = local(port, "tls=off,query-ms=30000", "SELECT 1", memory=600 << 20)
    is_(big, "lost")
