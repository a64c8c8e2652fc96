# SPDX-License-Identifier: BSD-2-Clause
"""mhactl status, why, pause and so on, and the live screen, against a server that says what a test wants."""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
MHACTL = pathlib.Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")) / "mhactl"
GREETING = {"mhad": "0.1.0", "protocol": 1}


def replica(server, **more):
    return {"server": server, "state": "up", "behind_s": 0, "io": "Yes", "sql": "Yes", "heard_ms": 210} | more


def cluster(name, **more):
    return {"name": name, "state": "monitoring", "since_ms": 11520000, "verdict": "healthy",
            "sentence": "the master answers", "would_fail_over": False, "gate": "the master answers",
            "master": "db1(10.0.0.1:3306)", "probe_ms": 0.42, "last_good_ms": 320, "detection": "corroborated",
            "replicas": [replica("db2(10.0.0.2:3306)"), replica("db3(10.0.0.3:3306)")], "paused": None} | more


DEAD = {"state": "blocked", "since_ms": 4100, "verdict": "process_dead", "gate": "no engine", "probe_ms": None,
        "sentence": "the server's process is gone: refused by db1, its host has no mysqld of port 3306"}


def status(*clusters, **more):
    return {"clusters": list(clusters), "tilt": None, "pid": 4711, "version": "0.1.0", "uptime_ms": 93784000} | more


WHY = {"name": "shop", "state": "monitoring", "verdict": "healthy", "kind": "good", "sentence": "the master answers",
       "gates": [{"name": "verdict", "blocks": True, "text": "the master answers", "hint": ""},
                 {"name": "paused", "blocks": False, "text": "not paused", "hint": ""},
                 {"name": "recent", "blocks": True, "text": "a failover 2 h ago", "hint": "mhactl ack shop --reason=..."}],
       "evidence": [{"at": 1795140729120, "age_ms": 300, "who": "probe", "text": "a read was answered in 0.4 ms"}],
       "ring": {"format": 1, "pictures": [
           {"from_ago": 9000, "until_ago": 300, "state": "monitoring", "gate": "the master answers", "looks": 9,
            "verdict": {"code": "healthy", "kind": "good", "why": ""}, "facts": {}}], "lines": []}}


class Fake:
    """One thread per client; `answers` maps a verb to a value, an error (Refusal) or a function of the arguments."""

    def __init__(self, path, greeting=GREETING):
        self.path, self.greeting = str(path), greeting
        self.answers, self.requests, self.clients = {}, [], []
        self.listener = None
        self.open()

    def open(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self.accept, args=[self.listener], daemon=True).start()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.clients.append(client)
                threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError):
            if self.greeting is not None:
                self.say(client, self.greeting)
            for line in client.makefile("rb"):
                request = json.loads(line)
                self.requests.append((request["verb"], request.get("args", {})))
                answer = self.answers.get(request["verb"])
                if callable(answer):
                    answer = answer(request.get("args", {}))
                if isinstance(answer, bytes):
                    client.sendall(answer)
                    client.shutdown(socket.SHUT_RDWR)
                elif isinstance(answer, Refusal):
                    self.say(client, {"id": request["id"], "ok": False, "error": answer})
                elif answer is not None:
                    self.say(client, {"id": request["id"], "ok": True, "value": answer})

    @staticmethod
    def say(client, value):
        client.sendall(value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n")

    def close(self):
        # shutdown: the thread that waits in accept() holds the socket open
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for client in self.clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()
        self.clients.clear()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class Refusal(dict):
    pass


@pytest.fixture
def mhad(tmp_path):
    fake = Fake(tmp_path / "control")
    yield fake
    fake.close()


def run(path, *words, rc=0, **more):
    r = subprocess.run([MHACTL, *words], env={**os.environ, "MHAD_SOCKET": str(path)}, capture_output=True, timeout=30,
                       **more)
    r.out, r.err = r.stdout.decode(), r.stderr.decode()
    assert r.returncode == rc, f"{r.returncode}: {r.out}{r.err}"
    return r


# ---- status ------------------------------------------------------------------------------------------------------

def test_all_well(mhad):
    mhad.answers["status"] = status(cluster("shop"), cluster("warehouse"))
    lines = run(mhad.path, "status").out.splitlines()
    assert lines[0].split() == ["CLUSTER", "STATE", "VERDICT", "MASTER", "PROBE", "REPLICAS", "LAG", "SINCE", "FAILOVER"]
    assert lines[1].split(None, 5)[:4] == ["shop", "monitoring", "healthy", "db1(10.0.0.1:3306)"]
    assert "0.4 ms" in lines[1] and "2/2" in lines[1] and "3 h 12 min" in lines[1]
    assert lines[-1] == "mhad 0.1.0, pid 4711, up 1 d 2 h"
    assert lines[1].index("monitoring") == lines[2].index("monitoring")


@pytest.mark.parametrize("more, text", [
    (DEAD, "the server's process is gone"),
    ({"state": "starting", "verdict": "unknown", "sentence": "nothing is known yet"}, "nothing is known yet"),
    ({"state": "paused", "paused": {"until_ms": 1750000, "reason": "new disk", "by": "root (uid 0)"}},
     r"paused for 29 min 10 s more, by root \(uid 0\): new disk"),
    ({"paused": {"until_ms": None, "reason": None, "by": "root"}}, "paused until resumed, by root"),
    ({"state": "tilt"}, "tilt"),
    ({"config_error": "shop.cnf:3: no such setting"}, "its file cannot be used .*shop.cnf:3: no such setting"),
    (DEAD | {"why": "refused 3 times"}, "of port 3306: refused 3 times"),
    ({"replicas": [replica("db2"), replica("db3", state="silent", error="no answer")]}, "db3: silent: no answer"),
    ({"replicas": [replica("db2", io="Connecting")]}, r"db2: its receiver \(IO\) cannot connect"),
    ({"replicas": [replica("db2", io="No")]}, r"db2: its receiver \(IO\) is stopped"),
    ({"replicas": [replica("db2", sql=False)]}, r"db2: its applier \(SQL\) is stopped"),
])
def test_something_is_not_well(mhad, more, text):
    mhad.answers["status"] = status(cluster("shop", **more), cluster("warehouse"))
    out = run(mhad.path, "status", rc=1).out
    assert re.search(rf"^shop: .*{text}", out, re.M), out
    assert "\nwarehouse: " not in out
    assert re.search(text, run(mhad.path, "status", "shop", rc=1).out)
    run(mhad.path, "status", "warehouse")


def test_tilt_is_told(mhad):
    mhad.answers["status"] = status(cluster("shop"), tilt="the clock stepped")
    assert "Nothing is decided at the moment: the clock stepped" in run(mhad.path, "status", rc=1).out


def test_one_that_would_fail_over(mhad):
    mhad.answers["status"] = status(cluster("shop", **DEAD | {"would_fail_over": True, "gate": None}))
    assert "would fail over" in run(mhad.path, "status", rc=1).out
    assert re.search(r"fail over\? +yes", run(mhad.path, "status", "shop", rc=1).out)


def test_a_gate_that_says_much(mhad):
    mhad.answers["status"] = status(cluster("shop", **DEAD | {"gate": "x" * 100}))
    assert run(mhad.path, "status", rc=1).out.splitlines()[1].endswith("  " + "x" * 42 + "..")
    assert "no: " + "x" * 100 in run(mhad.path, "status", "shop", rc=1).out


def test_what_is_missing_is_a_dash(mhad):
    mhad.answers["status"] = {"clusters": [{"name": "shop"}, {}], "news": [1]}
    lines = run(mhad.path, "status", rc=1).out.splitlines()
    assert lines[1].split() == ["shop"] + ["-"] * 8 and lines[2].split() == ["-"] * 9
    run(mhad.path, "status", "shop", rc=1)
    mhad.answers["status"] = {}
    assert "watches no cluster" in run(mhad.path, "status").out
    mhad.answers |= {"why": {}, "history": {}, "reload": {}}
    run(mhad.path, "why", "shop", "--ring")
    run(mhad.path, "history", "shop")
    run(mhad.path, "reload")


def test_no_control_character_passes(mhad):
    evil = "a\x1b[2J\x07\x9b1mb\nc\x7f"
    mhad.answers["status"] = status(cluster(evil, sentence=evil, verdict=evil, master=evil))
    out = run(mhad.path, "status", rc=1).out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out) and "a?[2J??1mb?c?" in out


def test_status_as_json(mhad):
    mhad.answers["status"] = status(cluster("shop", later={"x": [1]}), cluster("warehouse", **DEAD))
    assert json.loads(run(mhad.path, "status", "--json", rc=1).out) == mhad.answers["status"]
    assert json.loads(run(mhad.path, "status", "--json", "shop").out) == mhad.answers["status"]["clusters"][0]


def test_unknown_cluster(mhad):
    mhad.answers["status"] = status(cluster("shop"), cluster("warehouse"))
    r = run(mhad.path, "status", "shpo", rc=2)
    assert "no cluster \"shpo\"" in r.err and "shop, warehouse" in r.err and not r.out


# ---- nobody to ask -----------------------------------------------------------------------------------------------

def test_no_mhad(tmp_path):
    for words in (["status"], ["why", "shop"], ["pause", "--all"], ["resume", "shop"], ["history", "shop"], ["reload"],
                  ["ack", "shop", "--reason=x"]):
        r = run(tmp_path / "control", *words, rc=4)
        assert "systemctl start mhad" in r.err and not r.out


def test_the_option_is_stronger_than_the_environment(mhad, tmp_path):
    mhad.answers["status"] = status()
    run(tmp_path / "nothing", "status", f"--socket={mhad.path}")


def test_a_socket_that_is_dead(mhad):
    mhad.answers["status"] = status()
    mhad.listener.shutdown(socket.SHUT_RDWR)
    mhad.listener.close()
    assert "does not run" in run(mhad.path, "status", rc=4).err
    mhad.open()


def test_not_allowed(mhad, tmp_path):
    if os.geteuid():
        pytest.skip("needs root, to be somebody else")
    for directory in [tmp_path, *tmp_path.parents]:
        if directory.stat().st_uid == 0 and directory.stat().st_mode & 0o077 == 0:
            directory.chmod(0o755)
    os.chown(mhad.path, 0, 4)
    os.chmod(mhad.path, 0o660)
    exe = tmp_path / "mhactl"
    exe.write_bytes(MHACTL.read_bytes())
    exe.chmod(0o755)
    r = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", exe, "status",
                        f"--socket={mhad.path}"], capture_output=True, text=True)
    assert r.returncode == 4 and "permission denied" in r.stderr and "usermod -aG adm nobody" in r.stderr


def test_shown_out_at_the_door(mhad):
    said = {"id": None, "ok": False, "error": {"kind": "refused", "code": 0, "text": "mhad does not talk to bob",
                                               "hint": "ask alice"}}
    mhad.greeting = json.dumps(GREETING).encode() + b"\n" + json.dumps(said).encode() + b"\n"
    r = run(mhad.path, "status", rc=4)
    assert "mhad does not talk to bob" in r.err and "ask alice" in r.err


@pytest.mark.parametrize("greeting, text", [
    ({"mhad": "9.0", "protocol": 2}, "speaks protocol 2"),
    ({"hello": 1}, "does not greet as mhad does"),
    (b"220 mail ESMTP\n", "not mhad"),
    (b"\n", "not mhad"),
    (b"[]\n", "not mhad"),
])
def test_somebody_else_answers(mhad, greeting, text):
    mhad.greeting = greeting
    assert text in run(mhad.path, "status", rc=1 if "protocol" in text else 4).err


def test_a_deaf_mhad(mhad):
    mhad.greeting = None
    begin = time.monotonic()
    assert "does not answer" in run(mhad.path, "status", rc=4).err
    assert 4 < time.monotonic() - begin < 15


def test_an_answer_that_never_comes(mhad):
    r = run(mhad.path, "pause", "shop", rc=4)
    assert "in time" in r.err and "it may have been done" in r.err


@pytest.mark.parametrize("answer, text", [(b"{\"id\":1,\"ok\":true,\"val", "closed the connection before it answered"),
                                          (b"rubbish\n", "not mhad"), (b"[1]\n", "not mhad")])
def test_an_answer_that_is_cut_or_rubbish(mhad, answer, text):
    mhad.answers["pause"] = answer
    assert text in run(mhad.path, "pause", "shop", rc=4).err


def test_answers_to_others_and_events_are_passed_over(mhad):
    mhad.answers["resume"] = (b'{"id":77,"ok":true,"value":7}\n{"id":1,"event":{"n":1}}\n'
                              b'{"id":1,"ok":true,"value":{"text":"as you like"}}\n')
    assert run(mhad.path, "resume", "shop").out == "as you like\n"


def test_a_large_answer(mhad):
    mhad.answers["status"] = status(*(cluster(f"c{i:04}") for i in range(2000)))
    assert len(run(mhad.path, "status").out.splitlines()) == 2003


# ---- the other verbs ---------------------------------------------------------------------------------------------

def test_why(mhad, tmp_path):
    mhad.answers["why"] = WHY
    out = run(mhad.path, "why", "shop").out
    assert "fail over now?  no: the master is healthy\nAnd if the master died?    no: a failover 2 h ago\n" in out
    assert re.search(r"^  blocks recent +a failover 2 h ago\n +-> mhactl ack shop", out, re.M)
    assert re.search(r"^  open   paused +not paused$", out, re.M)
    assert re.search(r"^  \d\d:\d\d:09\.120 +300 ms +probe +a read was answered in 0.4 ms$", out, re.M)
    assert "Ring" not in out
    assert "  9.0 s to 300 ms ago: monitoring, healthy; fail over: the master answers" in run(mhad.path, "why", "--ring", "shop").out
    assert mhad.requests == [("why", {"cluster": "shop"})] * 2
    assert json.loads(run(mhad.path, "why", "shop", "--json", "--ring").out) == WHY
    assert "ring" not in json.loads(run(mhad.path, "why", "shop", "--json").out)
    saved = tmp_path / "ring.json"
    saved.write_text("old")
    run(mhad.path, "why", "shop", f"--save={saved}")
    assert json.loads(saved.read_text()) == WHY["ring"] and saved.stat().st_mode & 0o777 == 0o600
    assert "cannot make a file" in run(mhad.path, "why", "shop", "--save=/nowhere/x", rc=1).err
    mhad.answers["why"] = WHY | {"gates": WHY["gates"][:2]}
    assert "And if the master died?    yes" in run(mhad.path, "why", "shop").out
    mhad.answers["why"] = WHY | {"verdict": "hung"}
    assert "fail over now?  no: the master answers" in run(mhad.path, "why", "shop").out
    mhad.answers["why"] = WHY | {"verdict": "hung", "gates": WHY["gates"][1:2]}
    assert "fail over now?  yes" in run(mhad.path, "why", "shop").out


@pytest.mark.parametrize("words, args, said", [
    (["shop"], {"cluster": "shop"}, "shop paused until mhactl resume"),
    (["--all", "--for=30m"], {"all": True, "for_ms": 1800000}, "All clusters are paused for 30 min 0 s"),
    (["shop", "--for", "90s", "--reason=new \"disk\" \u00e9"],
     {"cluster": "shop", "for_ms": 90000, "reason": "new \"disk\" \u00e9"}, "shop paused for 1 min 30 s"),
    (["shop", "--for=2h"], {"cluster": "shop", "for_ms": 7200000}, "2 h"),
    (["shop", "--for=1d"], {"cluster": "shop", "for_ms": 86400000}, "1 d"),
    (["shop", b"--reason=\xff"], {"cluster": "shop", "reason": "\ufffd"}, "shop paused"),
])
def test_pause(mhad, words, args, said):
    mhad.answers["pause"] = {}
    assert said in run(mhad.path, "pause", *words).out
    assert mhad.requests == [("pause", args)]


def test_wrong_command_lines_ask_nothing(mhad):
    for words in (["pause"], ["pause", "--all", "shop"], ["pause", "a", "b"], ["pause", "shop", "--for=30"],
                  ["pause", "shop", "--for=m"], ["pause", "shop", "--for=-1m"], ["pause", "shop", "--for=1.5h"],
                  ["resume"], ["why"], ["history"], ["ack", "shop"], ["ack", "shop", "--reason="], ["ack", "--reason=x"],
                  ["history", "shop", "--limit=0"], ["reload", "shop"], ["status", "a", "b"], ["status", "--wach"]):
        run(mhad.path, *words, rc=2)
    assert mhad.requests == []


def test_orders(mhad):
    mhad.answers |= {"resume": {}, "ack": {}, "history": {"entries": []}}
    assert "shop resumed" in run(mhad.path, "resume", "shop").out
    run(mhad.path, "resume", "--all")
    assert "shop may fail over again" in run(mhad.path, "ack", "shop", "--reason=tested").out
    assert json.loads(run(mhad.path, "ack", "shop", "--reason=tested", "--json").out) == {}
    assert mhad.requests == [("resume", {"cluster": "shop"}), ("resume", {"all": True}),
                             ("ack", {"cluster": "shop", "reason": "tested"}),
                             ("ack", {"cluster": "shop", "reason": "tested"})]
    mhad.answers["resume"] = Refusal(kind="precondition", code=0, text="shop is not paused", hint="mhactl status")
    r = run(mhad.path, "resume", "shop", rc=1)
    assert "shop is not paused" in r.err and "Hint: mhactl status" in r.err
    mhad.answers["resume"] = Refusal(kind="refused", code=0, text="not for bob")
    run(mhad.path, "resume", "shop", rc=4)


def test_reload(mhad):
    mhad.answers["reload"] = {"clusters": 2, "changed": ["shop"], "problems": []}
    assert run(mhad.path, "reload").out == "Clusters watched: 2\nchanged: shop\n"
    mhad.answers["reload"]["problems"] = ["shop.conf:3: no such setting", {"file": "x"}]
    assert "problem: shop.conf:3: no such setting\nproblem: {\"file\":\"x\"}\n" in run(mhad.path, "reload", rc=1).out


def test_history(mhad):
    mhad.answers["history"] = {"entries": [{"at": "2026-11-20T03:12:09+0100", "what": "state", "by": "mhad",
                                            "text": "monitoring -> suspect"}]}
    lines = run(mhad.path, "history", "shop", "--limit=5").out.splitlines()
    assert lines[0].split() == ["AT", "WHAT", "BY", "TEXT"]
    assert lines[1].endswith("state  mhad  monitoring -> suspect")
    assert mhad.requests == [("history", {"cluster": "shop", "limit": 5})]


# ---- the live screen ---------------------------------------------------------------------------------------------

class Terminal:
    """mhactl in a pseudo terminal; its last whole frame as lines."""

    def __init__(self, path, *words, rows=24, cols=80, env=()):
        self.rows, self.cols, self.bytes = rows, cols, b""
        self.master, self.slave = os.openpty()
        self.size(rows, cols)
        self.before = termios.tcgetattr(self.slave)
        env = {**os.environ, "MHAD_SOCKET": str(path), "TERM": "xterm", "NO_COLOR": "", **dict(env)}
        self.process = subprocess.Popen([MHACTL, "status", "--watch", *words], env=env, stdin=self.slave,
                                        stdout=self.slave, stderr=subprocess.PIPE, start_new_session=True)

    def size(self, rows, cols):
        self.rows, self.cols = rows, cols
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.bytes += os.read(self.master, 1 << 16)

    def frame(self):
        last = self.bytes.rpartition(b"\x1b[H")[2].decode(errors="replace")
        lines = re.split(r"\r+\n", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last))
        return lines

    def until(self, text, seconds=10):
        end = time.monotonic() + seconds
        while not any(re.search(text, l) for l in self.frame()) or len(self.frame()) != self.rows:
            assert time.monotonic() < end, "never saw %s in\n%s" % (text, "\n".join(self.frame()))
            self.read(0.1)
        assert all(len(l) <= self.cols for l in self.frame()), "\n".join(map(repr, self.frame()))
        return self.frame()

    def type(self, keys):
        os.write(self.master, keys)

    def wait(self):
        end = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05)
        self.read(0.05)
        return self.process.wait(1)

    def is_restored(self):
        return self.bytes.endswith(b"\x1b[?25h\x1b[?1049l") and termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(mhad):
    made = []

    def make(*words, **more):
        made.append(Terminal(mhad.path, *words, **more))
        return made[-1]
    mhad.answers |= {"status": status(cluster("shop"), cluster("warehouse", **DEAD), cluster("archive")),
                     "why": lambda args: WHY | {"name": args["cluster"]}}
    yield make
    for t in made:
        t.close()


def test_the_screen_lives(mhad, terminal):
    t = terminal()
    lines = t.until("warehouse .*process_dead")
    assert "3 clusters, 1 NOT WELL" in lines[0] and lines[3].startswith(">warehouse"), "trouble comes first"
    assert "the server's process is gone" in lines[-3]
    mhad.answers["status"] = status(cluster("shop"), cluster("warehouse"), cluster("archive"))
    t.until("3 clusters, all well")
    t.type(b"\x1b[B\x1b[B")
    t.until("^>archive")
    t.type(b"k")
    t.until("^>warehouse")
    t.type(b"\r")
    lines = t.until("Evidence")
    assert any("Cluster warehouse: monitoring" in l for l in lines)
    t.type(b"\x1b")
    t.until("^>warehouse")
    t.type(b"q")
    assert t.wait() == 0 and t.is_restored()


def test_resize(terminal):
    t = terminal(rows=40, cols=160)
    assert "FAILOVER" in t.until("^>warehouse")[2]
    for rows, cols in ((24, 80), (10, 40), (50, 200), (3, 20), (1, 5), (24, 80)):
        t.size(rows, cols)
        t.process.send_signal(signal.SIGWINCH)
        t.until("mhad" if rows > 1 else "q|m")
    t.until("^>warehouse")


def test_many_clusters_scroll(mhad, terminal):
    mhad.answers["status"] = status(*(cluster(f"c{i:03}") for i in range(300)))
    t = terminal()
    t.until("^>c000")
    t.type(b"G")
    t.until("^>c299")
    t.type(b"\x1b[5~")
    t.until("^>c282")
    t.type(b"g")
    t.until("^>c000")


def test_mhad_goes_and_comes_back(mhad, terminal):
    t = terminal()
    t.until("^>warehouse")
    mhad.close()
    lines = t.until("NOT CONNECTED.*does not run here")
    assert any(l.startswith(">warehouse") for l in lines), "the last picture stays"
    t.until(r"\d s old")
    mhad.answers["status"]["pid"] = 4810
    mhad.open()
    lines = t.until("mhad was restarted: it was pid 4711 and is pid 4810 now")
    assert "old" not in lines[0]
    t.type(b"q")
    assert t.wait() == 0 and t.is_restored()


def test_started_before_mhad(mhad, terminal):
    mhad.close()
    t = terminal()
    t.until("NOT CONNECTED")
    mhad.open()
    t.until("^>warehouse")


def test_mhad_falls_silent(mhad, terminal):
    t = terminal()
    t.until("^>warehouse")
    mhad.answers["status"] = None
    t.until("NOT CONNECTED.*does not answer")
    t.type(b"q")
    assert t.wait() == 0 and t.is_restored()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGSEGV", "SIGABRT"])
def test_signals_leave_the_terminal_as_it_was(terminal, name):
    t = terminal()
    t.until("^>warehouse")
    t.process.send_signal(getattr(signal, name))
    assert t.wait() == -getattr(signal, name) and t.is_restored()


def test_interrupted(terminal):
    t = terminal()
    t.until("^>warehouse")
    t.process.send_signal(signal.SIGINT)
    assert t.wait() == 0 and t.is_restored()


def test_stopped_and_continued(terminal):
    t = terminal()
    t.until("^>warehouse")
    t.process.send_signal(signal.SIGTSTP)
    assert os.waitpid(t.process.pid, os.WUNTRACED)[1] >> 8 == signal.SIGSTOP
    t.read(0.2)
    assert t.is_restored()
    t.bytes = b""
    t.process.send_signal(signal.SIGCONT)
    t.until("^>warehouse")
    assert b"\x1b[?1049h" in t.bytes
    t.type(b"q")
    assert t.wait() == 0 and t.is_restored()


def test_one_cluster_is_watched(terminal):
    t = terminal("shop")
    t.until("Cluster shop: monitoring")
    t.until("a read was answered")


def test_colours(terminal):
    t = terminal()
    t.until("^>warehouse")
    assert b"\x1b[1;3" in t.bytes or b"\x1b[32m" in t.bytes
    plain = terminal(env={"NO_COLOR": "1"})
    plain.until("^>warehouse")
    assert not re.search(rb"\x1b\[(1;)?3\dm", plain.bytes)


def test_a_frame_is_written_once(terminal):
    t = terminal()
    t.until("^>warehouse")
    t.read(1.5)
    frames = t.bytes.split(b"\x1b[H")[1:]
    assert all(a != b for a, b in zip(frames, frames[1:])), "what is there already is not written again"


def test_no_terminal(mhad):
    assert "needs a terminal" in run(mhad.path, "status", "--watch", rc=2).err
