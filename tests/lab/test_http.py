# SPDX-License-Identifier: BSD-2-Clause
"""Metrics, health, the API and its streams: of made-up clusters, and of a real one that fails over."""
import base64
import json
import os
import re
import signal
import socket
import subprocess
import time

import jsonschema
import pytest

from .util import REPO, until
from .mhad import Mhad
from .web import SCHEMA, Served, Web, client_context, metric, promtool

DEFS = json.loads(SCHEMA.read_text())["$defs"]
TOKEN = "s3cret-token"


def check(value, name):
    """Against one definition of the schema; members that it does not name are none of the API."""
    jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": DEFS}).validate(value)
    return value


@pytest.fixture(scope="module")
def served():
    with Served(clusters=40, ill=8) as s:
        s.add_incident("c0001", "20261120-031209-4711")
        s.add_incident("c0001", "20261119-031209-4711", result="refused", new_master=None, opened_ms=-1)
        s.add_incident("shop", "20261121-000000-1", plan="switch", result="success", at=1795140999)
        yield s


# ---- what it says ------------------------------------------------------------------------------
def test_clusters(served):
    value = check(served.web.json("/api/v1/clusters"), "clusters")
    assert len(value["clusters"]) == 40
    assert [c["name"] for c in value["clusters"]] == sorted(c["name"] for c in value["clusters"])
    assert {c["rank"] for c in value["clusters"]} == {"well", "odd", "ill", "down"}
    named = set(DEFS["cluster"]["properties"])
    assert all(set(c) == named for c in value["clusters"]), "the schema names all members"
    assert all(set(s) == set(DEFS["server"]["properties"]) for c in value["clusters"] for s in c["servers"])


def test_one_cluster(served):
    for c in served.web.json("/api/v1/clusters")["clusters"]:
        value = check(served.web.json(f"/api/v1/clusters/{c['name']}"), "one_cluster")["cluster"]
        assert value["name"] == c["name"] and bool(value["gates"]) == c["watched"]
        assert not c["watched"] or any(g["blocks"] for g in value["gates"]) == (not value["would_fail_over"])


def test_incidents(served):
    value = check(served.web.json("/api/v1/incidents"), "incidents")["incidents"]
    assert [i["cluster"] for i in value][0] == "shop", "the newest first"
    assert {i["plan"] for i in value} == {"failover", "switch"}
    one = check(served.web.json(f"/api/v1/incidents/{value[-1]['id']}"), "one_incident")["incident"]
    assert one["record"]["timeline"][0]["step"] == "snapshot"
    assert len(served.web.json("/api/v1/incidents?cluster=c0001")["incidents"]) == 2


@pytest.mark.parametrize("path", ["/api/v1/clusters/nobody", "/api/v1/incidents/c0001-20261120-0", "/api/v1/incidents/..%2f..%2fetc%2fpasswd",
                                  "/api/v1/incidents/%2e%2e", "/api/v1/nothing", "/clusters/nobody", "/incidents/no", "/static/../page.css",
                                  "/static/", "/clusters/", "/nothing", "//"])
def test_not_found(served, path):
    a = served.web.get(path)
    assert a.status == 404, a.text[:200]
    if path.startswith("/api/"):
        check(a.json(), "error")


def test_schema_is_served_and_sound(served):
    jsonschema.Draft202012Validator.check_schema(served.web.json("/api/v1/schema"))
    assert served.web.get("/api/v1/schema").body == SCHEMA.read_bytes()


def test_metrics_please_promtool(served):
    text = served.web.get("/metrics").body
    r = promtool("check", "metrics", input=text)
    assert r.returncode == 0 and not r.stderr and not r.stdout, (r.stdout + r.stderr).decode()


def test_metrics_say_what_the_api_says(served):
    m, clusters = served.web.metrics(), served.web.json("/api/v1/clusters")["clusters"]
    for c in clusters:
        assert metric(m, "mhad_cluster_state", cluster=c["name"], state=c["state"]) == 1
        assert metric(m, "mhad_cluster_verdict", cluster=c["name"], verdict=c["verdict"], kind=c["kind"]) == 1
        assert metric(m, "mhad_cluster_watched", cluster=c["name"]) == c["watched"]
        assert metric(m, "mhad_cluster_lag_seconds", cluster=c["name"]) == c["lag_s"]
        ackers = c["semisync"]["ackers"] if c["semisync"] else None
        assert metric(m, "mhad_cluster_semisync_ackers", cluster=c["name"]) == ackers
        if c["watched"]:
            blocked = {dict(k[1])["gate"] for k, v in m.items()
                       if k[0] == "mhad_cluster_gate_blocked" and ("cluster", c["name"]) in k[1] and v}
            assert (c["gate"] or {}).get("name") in (blocked or {None})
    for rank in ("well", "odd", "ill", "down"):
        assert metric(m, "mhad_clusters", rank=rank) == sum(c["rank"] == rank for c in clusters)
    buckets = [metric(m, "mhad_look_seconds_bucket", cluster="c0000", le=le) for le in ("0.0001", "0.001", "1", "+Inf")]
    assert buckets == sorted(buckets) and buckets[-1] == metric(m, "mhad_look_seconds_count", cluster="c0000")


def test_rules_and_dashboard_use_metrics_that_there_are(served):
    """promtool checks the form; that the names exist is checked here."""
    rules = REPO / "etc/prometheus-rules.yml"
    r = promtool("check", "rules", str(rules))
    assert r.returncode == 0, (r.stdout + r.stderr).decode()
    there = {line.split()[2] for line in served.web.get("/metrics").text.splitlines() if line.startswith("# HELP")}
    for file in (rules, REPO / "etc/grafana-dashboard.json"):
        used = set(re.findall(r"\bmhad_[a-z_]+", file.read_text()))
        assert used, file
        assert {re.sub(r"_(bucket|sum|count)$", "", u) for u in used} <= there, file


def test_rules_fire(tmp_path):
    """Each alert with the figures that should raise it."""
    r = promtool("test", "rules", str(REPO / "tests/lab/prometheus-rules.test.yml"))
    assert r.returncode == 0, (r.stdout + r.stderr).decode()


def test_dashboard_is_sound():
    d = json.loads((REPO / "etc/grafana-dashboard.json").read_text())
    ids = [p["id"] for p in d["panels"]]
    assert len(ids) == len(set(ids)) and all(p["title"] and p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in d["panels"])
    assert all(t["expr"] for p in d["panels"] for t in p.get("targets", []))


# ---- streams -----------------------------------------------------------------------------------
def test_events(served):
    with Served(clusters=5) as s, s.web.stream("/api/v1/events") as stream:
        seen = []
        stream.until("ready", lambda e, d: seen.append((e, d)) or e == "ready")
        assert [e for e, _ in seen] == ["cluster"] * 5 + ["ready"]
        for event, data in seen:
            check(json.loads(data), f"event_{event}")
        began = time.monotonic()
        s.die()
        _, data = stream.until("it is dead", lambda e, d: e == "cluster" and "process_dead" in d)
        took = time.monotonic() - began
        assert check(json.loads(data), "event_cluster")["cluster"]["rank"] == "down"
        assert took < 1.5, f"told after {took:.1f} s"


def test_a_stream_that_is_not_read_holds_up_nobody(served):
    with Served(clusters=500) as s:
        lazy = []
        for _ in range(20):
            c = s.web.connection()
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            c.request("GET", "/api/v1/events")
            lazy.append(c)
        for _ in range(3):
            s.die()
            began = time.monotonic()
            assert s.web.get("/healthz").status == 200
            assert s.web.get("/metrics").status == 200
            assert time.monotonic() - began < 2
            s.rise()
        for c in lazy:
            c.close()
        # Their places are free again once a write to them fails.
        assert s.web.get("/api/v1/clusters").status == 200


@pytest.mark.slow
def test_too_many(served):
    """Connections beyond the limit wait or are refused; those that are silent are ended."""
    with Served(clusters=3) as s:
        idle = [s.web.connect() for _ in range(140)]
        until("a place is free again", lambda: quick(s), 25)
        for c in idle:
            c.close()


def quick(s):
    c = s.web.connection()
    c.sock.settimeout(1)
    try:
        c.request("GET", "/healthz")
        return c.getresponse().status == 200
    except OSError:
        return False
    finally:
        c.close()


# ---- who may -----------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_read_only(served, method):
    a = served.web.get("/api/v1/clusters", method=method, body=b"x" * 100)
    assert a.status == 405 and a.headers["Allow"] == "GET, HEAD"
    assert served.web.get("/healthz").status == 200


def test_head(served):
    a = served.web.get("/metrics", method="HEAD")
    assert a.status == 200 and not a.body


@pytest.mark.parametrize("path", ["/", "/clusters/c0007", "/incidents", "/metrics", "/api/v1/clusters", "/static/page.css", "/nothing"])
def test_headers(served, path):
    h = served.web.get(path).headers
    assert "default-src 'none'" in h["Content-Security-Policy"] and "unsafe" not in h["Content-Security-Policy"]
    assert h["X-Content-Type-Options"] == "nosniff" and h["Referrer-Policy"] == "no-referrer"
    assert ("no-store" in h["Cache-Control"]) == (not path.startswith("/static/"))


def test_files_are_not_sent_twice(served):
    first = served.web.get("/static/page.css")
    again = served.web.get("/static/page.css", If_None_Match=first.headers["ETag"])
    assert first.status == 200 and first.body and again.status == 304 and not again.body


@pytest.mark.parametrize("host, fine", [("localhost:9780", True), ("127.0.0.1", True), ("[::1]:9780", True), ("evil.example", False),
                                        ("127.0.0.1.evil.example", False), ("[evil]", False)])
def test_names_of_others(served, host, fine):
    """A page elsewhere whose name was turned into our address reads nothing."""
    assert served.web.get("/api/v1/clusters", Host=host).status == (200 if fine else 421)
    assert served.web.get("/healthz", Host=host).status == 200


def write_token(s, mode=0o600):
    (s.dir / "token").write_text(TOKEN + "\n")
    (s.dir / "token").chmod(mode)


def test_token():
    with Served(config='http_listen = "off";') as s:
        assert not s.web.up()
        write_token(s)
        s.configure('http_listen = "127.0.0.1:{port}"; http_token_file = "{dir}/token";')
        s.reload()
        until("it listens", s.web.up, 5)
        basic = base64.b64encode(f"me:{TOKEN}".encode()).decode()
        wrong = base64.b64encode(f"{TOKEN}:x".encode()).decode()
        assert s.web.get("/metrics").status == 401
        assert "Basic" in s.web.get("/").headers["WWW-Authenticate"]
        assert s.web.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 200
        assert s.web.get("/", Authorization=f"Basic {basic}").status == 200
        for bad in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", "Basic", f"Basic {wrong}", "Basic !!"):
            assert s.web.get("/metrics", Authorization=bad).status == 401, bad
        assert s.web.get("/metrics", Authorization=f"Bearer {TOKEN}", Host="status.example.org").status == 200
        assert TOKEN not in s.said()
        write_token(s, 0o644)
        s.reload()
        until("it is told", lambda: "can be read by others" in s.said(), 5)


def test_tls(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
                   check=True, capture_output=True)
    tls = f'http_tls_cert = "{tmp_path}/cert.pem"; http_tls_key = "{tmp_path}/key.pem";'
    with Served(config='http_listen = "off";') as s:
        s.configure('http_listen = "127.0.0.1:{port}"; ' + tls)
        s.reload()
        safe = Web.here(s.port, client_context(tmp_path / "cert.pem"))
        until("it listens", safe.up, 5)
        assert safe.get("/metrics").status == 200 and not s.web.up()
        with safe.stream("/api/v1/events") as stream:
            stream.until("ready", lambda e, d: e == "ready")
        s.configure('http_listen = "127.0.0.1:{port}";')
        s.reload()
        until("it listens without", s.web.up, 5)


def test_an_address_that_is_taken():
    with Served(clusters=1) as first, Served(config=f'http_listen = "127.0.0.1:{first.port}";') as s:
        assert "Address already in use" in s.said()
        s.configure('http_listen = "127.0.0.1:{port}";')
        s.reload()
        until("it listens elsewhere", s.web.up, 5)


@pytest.mark.parametrize("bad, text", [('http_listen = "nowhere";', "ADDRESS:PORT"), ('http_listen = "some.name:80";', "some.name"),
                                       ('http_tls_key = "/nonexistent";', "http_tls_key"), ('http_tokenfile = "x";', "did you mean")])
def test_settings_that_are_wrong(bad, text):
    with Served(config='http_listen = "127.0.0.1:{port}";') as s:
        s.configure('http_listen = "127.0.0.1:{port}"; ' + bad if "listen" not in bad else bad)
        s.reload()
        until("it is told", lambda: text in s.said(), 5)


def test_a_loop_that_is_stuck():
    """The health check does not hang with the loop: it says so."""
    with Served("--stuck") as s:
        assert s.web.get("/readyz").status == 200
        time.sleep(0.3)
        s.die()
        until("it is seen", lambda: s.web.get("/healthz").status == 503, 10)
        began = time.monotonic()
        a = s.web.get("/api/v1/clusters")
        assert a.status == 503 and a.headers["Retry-After"] and 4 < time.monotonic() - began < 8
        s.proc.send_signal(signal.SIGUSR2)  # ends the sleep that keeps it
        until("it turns again", lambda: s.web.get("/healthz").status == 200, 5)


# ---- of a real cluster -------------------------------------------------------------------------
def test_failover_told(lab):
    """One failover of a real cluster, in events, metrics, API and pages; and a reload that breaks its file."""
    cluster = lab.cluster("ma1011", 3)
    db1, db2, _ = cluster
    mhad = Mhad(lab)
    mhad.use(cluster, auto_failover=True, fence="best_effort", latest_priority=False)
    web = Web.on(lab.manager)
    with mhad.start().watching():
        until("it listens", web.up, 5)
        until("it is ready", lambda: web.get("/readyz").status == 200, 10)
        value = check(web.json("/api/v1/clusters"), "clusters")
        (app,) = value["clusters"]
        assert app["rank"] == "well" and app["master"].startswith("db1") and len(app["servers"]) == 3
        assert {s["role"]: s["source"] for s in app["servers"]} == {"master": None, "replica": db1.name}
        one = check(web.json("/api/v1/clusters/app1"), "one_cluster")["cluster"]
        assert one["evidence"] and one["gate"]["name"] == "verdict"
        m = web.metrics()
        assert metric(m, "mhad_failovers_total", cluster="app1", result="success") == 0
        assert metric(m, "mhad_look_seconds_count", cluster="app1") > 0
        assert metric(m, "mhad_cluster_journal_open", cluster="app1") == 0
        assert metric(m, "mhad_look_late_seconds_count") > 0 and metric(m, "mhad_loop_busy_seconds_total") > 0
        with web.stream("/api/v1/events") as stream:
            stream.until("ready", lambda e, d: e == "ready")
            db1.kill()
            states, verdicts = set(), set()

            def over(event, data):
                c = check(json.loads(data), "event_cluster")["cluster"]
                states.add(c["state"])
                verdicts.add(c["verdict"])
                return c["state"] == "monitoring" and c["master"] and c["master"].startswith("db2")
            stream.until("db2 is the master", over)
            assert "process_dead" in verdicts and states & {"dead", "failing_over"}, (states, verdicts)
        until("it is counted", lambda: metric(web.metrics(), "mhad_failovers_total", cluster="app1", result="success") == 1, 12)
        (incident,) = check(web.json("/api/v1/incidents"), "incidents")["incidents"]
        assert incident["result"] == "success" and incident["new_master"].startswith("db2") and incident["opened_ms"] > 0
        check(web.json(f"/api/v1/incidents/{incident['id']}"), "one_incident")
        m = web.metrics()
        assert metric(m, "mhad_failover_last_seconds", cluster="app1") == incident["opened_ms"] / 1000
        assert promtool("check", "metrics", input=web.get("/metrics").body).returncode == 0
        page = web.get(f"/incidents/{incident['id']}").text
        assert "take" in page and "<svg" in page and "db2" in page
        (absent,) = (s for s in web.json("/api/v1/clusters")["clusters"][0]["servers"] if s["server"].startswith("db1"))
        assert absent["role"] == "absent"
        lab.manager.write("/etc/mhad/clusters.d/app1.conf", "nonsense", 0o600)
        lab.manager.run(["mhactl", "reload"])
        until("its file is said to be bad", lambda: web.json("/api/v1/clusters")["clusters"][0]["config_error"], 5)
        assert os.path.exists(lab.manager.path("/var/lib/mhad/app1/incidents"))
