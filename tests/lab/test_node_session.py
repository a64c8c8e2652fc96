# SPDX-License-Identifier: BSD-2-Clause
"""mha-node session: all verbs on one channel, several at once, and its end when the peer is gone."""
import os
import signal
import struct
import time
import zlib

import pytest

from . import Lab
from .peer import PREAMBLE, WINDOW, Ended, Peer, frame
from .util import children, cmdline, until


@pytest.fixture(scope="module")
def db():
    """One server with some 20 MB of binlog."""
    with Lab.open() as lab:
        server = lab.cluster("ma1011", 1, mode="pos")[0]
        server.script("CREATE DATABASE s; CREATE TABLE s.t (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB)")
        for _ in range(20):
            server.sql("INSERT INTO s.t (b) VALUES (REPEAT('x', 1000000))")
        yield server


def opened(db, *argv, **kw):
    return Peer([*db.host.enter(), *(argv or ("mha-node", "session"))],
                env={"PATH": "/opt/mhad/bin:/usr/bin:/bin"}, **kw)


@pytest.fixture
def peer(db):
    with opened(db) as p:
        yield p


def process(pid, *begin):
    """The process at or below `pid` whose command line begins so."""
    if cmdline(pid)[:len(begin)] == list(begin):
        return pid
    return next(filter(None, (process(p, *begin) for p in children(pid))), None)


def session_of(peer):
    return process(peer.proc.pid, "mha-node", "session")


def save(db):
    return {"start_file": "mysql-bin.000001", "start_pos": 4, "binlog_dir": db.data, "output_file": "-"}


def test_hello_and_ping(peer):
    assert peer.hello["protocol"] == 1 and peer.hello["program"] == "mha-node"
    assert {"save", "apply", "probe", "fence", "vip", "purge"} <= set(peer.hello["verbs"])
    assert not {"session", "gate", "purge-guard"} & set(peer.hello["verbs"])
    peer.send("PING", 0, b"are you there")
    assert peer.next() == ("PONG", 0, b"are you there")


def test_a_verb(db, peer):
    result, lines, _ = peer.call("check-binlogs", start_file="mysql-bin.000001", binlog_dir=db.data,
                                 output_file="/var/tmp/s/x")
    assert result == {"status": 0, "error": None, "value": None}
    assert any("Binlog found" in l for l in lines)
    result, lines, _ = peer.call("check-binlogs", start_file="mysql-bin.000099", binlog_dir=db.data,
                                 output_file="/var/tmp/s/x")
    assert result["status"] == 1 and result["error"]["kind"] == "precondition" and result["error"]["hint"]
    result, _, _ = peer.call("probe", port=3306)
    assert result["status"] == 0 and result["value"]["port"] == 3306


def test_wrong_requests_are_answered(peer):
    for verb, args, why in (("frobnicate", {}, "unknown verb"), ("session", {}, "cannot be called"),
                            ("gate", {}, "cannot be called"), ("purge-guard", {}, "cannot be called"),
                            ("probe", {"port": "x"}, "no proper value"), ("probe", {"prot": 1}, "unknown option"),
                            ("probe", {"port=1 --x": 1}, "not the name"), ("probe", {"port": [1]}, "neither text"),
                            ("probe", {"help": True}, "command lines")):
        result, _, _ = peer.call(verb, **args)
        assert result["status"] == 1 and why in result["error"]["text"], (verb, args, result)
    assert peer.call("probe", port=3306)[0]["status"] == 0


def test_bulk(db, peer):
    r = db.host.run(["mha-node", "save", *(f"--{k}={v}" for k, v in {**save(db), "output_file": "/var/tmp/saved"}.items())])
    assert r.rc == 0, r.out + r.err
    result, _, data = peer.call("save", **save(db))
    assert result["status"] == 0 and data == db.host.path("/var/tmp/saved").read_bytes()
    assert len(data) > 20e6
    said = result["value"]
    assert (said["bytes"], said["crc32"]) == (len(data), zlib.crc32(data))
    result, _, data = peer.call("save", **{**save(db), "start_pos": said["end"]["pos"], "start_file": said["end"]["file"]})
    assert (result["status"], result["value"]["bytes"], result["value"]["crc32"], data) == (10, 0, 0, b"")


def resident(pid):
    return int(next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS")).split()[1])


def sanitized(pid):
    program = open(f"/proc/{pid}/exe", "rb").read()
    return b"__tsan_" in program or b"__asan_" in program


def test_a_stalled_stream_holds_up_nobody(db, peer):
    """Nothing is granted beyond the first window: that stream stops, the others go on, memory stays."""
    pid = session_of(peer)
    peer.call("save", **save(db))
    before = resident(pid)
    stalled = [peer.request("save", **save(db)) for _ in range(4)]
    got = dict.fromkeys(stalled, 0)
    while any(n < WINDOW for n in got.values()):
        kind, id, payload = peer.next()
        assert kind in ("DATA", "LINE")
        got[id] += len(payload) if kind == "DATA" else 0
    assert set(got.values()) == {WINDOW}
    began = time.monotonic()
    for _ in range(20):
        assert peer.call("probe", port=3306)[0]["status"] == 0
    assert time.monotonic() - began < 5
    assert peer.call("save", **save(db))[0]["status"] == 0
    if not sanitized(pid):
        assert resident(pid) < before + 8000
    for id in stalled:
        peer.send("CANCEL", id)
        result, _, _ = peer.result(id)
        assert result["status"] != 0 and result["error"]["kind"] == "canceled"
    for id in stalled:
        peer.send("CANCEL", id)  # late ones are no error
    assert peer.call("probe", port=3306)[0]["status"] == 0


def test_deadline(db, peer):
    began = time.monotonic()
    id = peer.request("save", deadline_ms=300, **save(db))
    while peer.of(id, ("DATA", "RESULT"))[0] != "RESULT":
        pass
    assert 0.2 < time.monotonic() - began < 3


def test_too_many_at_once(db, peer):
    most = peer.hello["max_requests"]
    ids = [peer.request("save", **save(db)) for _ in range(most)]
    result, _, _ = peer.call("probe", port=3306)
    assert result["error"]["kind"] == "refused" and "running already" in result["error"]["text"]
    for id in ids:
        peer.send("CANCEL", id)
        peer.result(id)
    assert peer.call("probe", port=3306)[0]["status"] == 0


def test_ends_with_its_input(db):
    """Verbs in the middle of a stream are told to end, nothing is sent any more, and no process is left."""
    for running in (0, 3):
        with opened(db) as peer:
            pid = session_of(peer)
            ids = [peer.request("save", **save(db)) for _ in range(running)]
            for id in ids:
                peer.of(id, ("DATA",))
            time.sleep(0.2)
            began = time.monotonic()
            assert peer.close()[0] == 0
            assert time.monotonic() - began < 2
            assert pid and not os.path.exists(f"/proc/{pid}")


def test_ends_though_nobody_reads(db):
    """A peer that has stopped reading, and then dies."""
    with opened(db) as peer:
        for _ in range(6):
            peer.request("save", **save(db))
        for _ in range(1500):  # more than it holds for us, less than the pipe takes besides
            peer.send("PING", 0, b"x" * 64)
        time.sleep(0.3)
        assert peer.proc.poll() is None
        peer.proc.stdin.close()
        peer.proc.stdin = None
        peer.proc.wait(5)


@pytest.mark.parametrize("how", ["TERM", "HUP", "output closed", "parent killed"])
def test_other_ends(db, how):
    argv = ("sh", "-c", "mha-node session; exit 7") if how == "parent killed" else ()
    with opened(db, *argv) as peer:
        assert peer.call("probe", port=3306)[0]["status"] == 0
        pid = session_of(peer)
        if how == "output closed":
            peer.proc.stdout.close()
            try:
                peer.send("PING", 0, b"")
            except BrokenPipeError:
                pass
            peer.proc.stdout = None
        elif how == "parent killed":
            os.kill(process(peer.proc.pid, "sh", "-c"), signal.SIGKILL)
        else:
            os.kill(pid, getattr(signal, "SIG" + how))
        until("it ends", lambda: not os.path.exists(f"/proc/{pid}"), 3)


WRONG = {
    "no preamble": b"GET / HTTP/1.0\r\n\r\n",
    "no hello": PREAMBLE + frame("PING"),
    "another protocol": PREAMBLE + frame("HELLO", 0, {"protocol": 2}),
    "hello without JSON": PREAMBLE + frame("HELLO", 0, b"hello"),
}
HELLO = PREAMBLE + frame("HELLO", 0, {"protocol": 1})
PROBE = {"verb": "probe", "args": {"port": 3306}}
WRONG |= {k: HELLO + v for k, v in {
    "second hello": frame("HELLO", 0, {"protocol": 1}),
    "unknown type": frame(77),
    "wrong side": frame("RESULT", 1, {}),
    "unknown request": frame("DATA", 9, b"x"),
    "ids go back": frame("REQUEST", 5, PROBE) + frame("REQUEST", 5, PROBE),
    "not taken": frame("REQUEST", 1, {"verb": "save", "args": {}}) + frame("REQUEST", 2, b"no JSON") + frame("REQUEST", 0, PROBE),
    "too long": struct.pack("<B3xII", 2, 1, 1 << 30),
}.items()}


@pytest.mark.parametrize("what", WRONG)
def test_broken_rules_end_it(db, what):
    with opened(db, hello=False) as peer:
        peer.raw(WRONG[what])
        assert peer._take(8) == PREAMBLE
        with pytest.raises(Ended):
            while True:
                last = peer.next()
        assert last[0] == "ERROR" and last[2]
        assert peer.proc.wait(5) == 1


def test_data_beyond_the_window_ends_it(db):
    with opened(db) as peer:
        id = peer.request("save", input=True, **save(db))
        with pytest.raises((Ended, BrokenPipeError)):
            for _ in range(WINDOW // 65536 + 1):
                peer.send("DATA", id, b"x" * 65536)
            while peer.next()[0] != "ERROR":
                pass
            peer.next()
        assert peer.proc.wait(5) == 1


def test_input_stream(peer):
    """filter reads its whole input, many windows of it, while its output comes back."""
    text = b"".join(b"/* line %d */;\n" % i for i in range(300000))
    id, sent, granted, ended, back = peer.request("filter", input=True), 0, WINDOW, False, b""
    while True:
        part = text[sent:min(sent + min(65536, granted), len(text))]
        if part:
            peer.send("DATA", id, part)
            sent, granted = sent + len(part), granted - len(part)
        elif sent == len(text) and not ended:
            peer.send("END", id)
            ended = True
        if granted > 65536 and not ended:
            continue
        kind, _, payload = peer.of(id, ("GRANT", "DATA", "RESULT"))
        if kind == "GRANT":
            granted += struct.unpack("<I", payload)[0]
        elif kind == "DATA":
            back += payload
            peer.send("GRANT", id, struct.pack("<I", len(payload)))
        else:
            break
    assert len(text) > 4 * WINDOW and back == text


def test_secrets_stay_out_of_the_process_list(db, peer):
    """A password comes as an argument of a request."""
    result, _, _ = peer.call("purge", user="mha", password="se-cret")
    assert result["status"] == 1 and "Access denied" in result["error"]["text"]
    assert "se-cret" not in str(result)
    result, _, _ = peer.call("purge", user="mha", password="mha-pw")
    assert "not defined as replication slave" in result["error"]["text"]


def test_not_on_a_terminal(db):
    r = db.host.run(["script", "-qec", "mha-node session", "/dev/null"])
    assert r.rc == 1 and "not with a terminal" in r.out
