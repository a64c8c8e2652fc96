# SPDX-License-Identifier: BSD-2-Clause
"""mhactl config and mhactl check config: files only, no server is asked."""
import json

import pytest

from . import Lab
from .util import REPO

CNF = "/etc/mhad/clusters.d/shop.cnf"
GOOD = """\
[server default]
user=mha
password=s3cret'"x
ssh_user=root
ping_interval=2
master_ip_failover_script=/usr/local/bin/failover --zone=a

[server2]
hostname=db2
port=3307
candidate_master=1

[server1]
hostname=db1
"""


@pytest.fixture(scope="module")
def mgr():
    with Lab.open() as lab:
        lab.manager.write("/etc/masterha_default.cnf", "[server default]\nping_interval=9\nremote_workdir=/var/tmp/g\n")
        yield lab.manager


@pytest.fixture(autouse=True)
def good(mgr):
    mgr.write(CNF, GOOD, 0o600)


def ctl(mgr, *words, rc=0):
    r = mgr.run(["mhactl", *words])
    assert r.rc == rc, f"{words}: {r.rc}\n{r.out}{r.err}"
    return r


def test_a_good_file(mgr):
    for how in (["shop"], ["--conf=shop"], ["--conf", CNF], [CNF]):
        assert "The configuration is fine: cluster shop, 2 servers." in ctl(mgr, "check", "config", *how).out


def test_all_mistakes_at_once_with_line_and_hint(mgr):
    mgr.write("/etc/bad.cnf", GOOD.replace("candidate_master", "candidate_mastr")
              .replace("ping_interval=2", "ping_interval=0"), 0o600)
    r = ctl(mgr, "check", "config", "/etc/bad.cnf", rc=1)
    assert "/etc/bad.cnf:11: " in r.out and "candidate_master?" in r.out
    assert "/etc/bad.cnf:5: " in r.out and "ping_interval" in r.out
    assert "The configuration cannot be used." in r.out
    found = json.loads(ctl(mgr, "check", "config", "--json", "/etc/bad.cnf", rc=1).out)
    assert not found["ok"] and [f["code"] for f in found["findings"] if f["stops"]] == ["config", "config"]


def test_duplicate_servers(mgr):
    mgr.write("/etc/dup.cnf", GOOD.replace("db2", "db1").replace("port=3307", "port=3306"), 0o600)
    assert "duplicate" in ctl(mgr, "check", "config", "/etc/dup.cnf", rc=1).out


def test_names_that_do_not_resolve(mgr):
    mgr.write("/etc/name.cnf", GOOD.replace("hostname=db2", "hostname=no-such-host.invalid"), 0o600)
    assert "no-such-host.invalid" in ctl(mgr, "check", "config", "/etc/name.cnf", rc=1).out


def test_open_permissions(mgr):
    """MHA's format warns, ours refuses."""
    mgr.write(CNF, GOOD, 0o644)
    assert "chmod 600" in ctl(mgr, "check", "config", "shop").out
    ctl(mgr, "config", "convert", "shop", "--output=/etc/mhad/clusters.d/native.conf")
    mgr.run(["chmod", "644", "/etc/mhad/clusters.d/native.conf"], check=True)
    assert "0644" in ctl(mgr, "check", "config", "native", rc=1).out
    mgr.remove("/etc/mhad/clusters.d/native.conf")


def test_show_tells_where_each_value_comes_from(mgr):
    out = ctl(mgr, "config", "show", "shop").out
    assert f"ping_interval                   2s                               {CNF}:5" in out
    assert "remote_workdir                  /var/tmp/g                       /etc/masterha_default.cnf:3" in out
    assert "ssh_port                        22                               built-in default" in out
    assert "s3cret" not in out and "***" in out
    shown = json.loads(ctl(mgr, "config", "show", "--json", "shop").out)
    assert shown["servers"]["server2"]["port"] == {"value": "3307", "file": CNF, "line": 10}
    assert shown["servers"]["server1"]["port"] == {"value": "3306", "file": None, "line": None}
    assert shown["servers"]["server1"]["password"]["value"] == "***"
    assert list(shown["servers"]) == ["server1", "server2"]


def test_explain(mgr):
    out = ctl(mgr, "config", "explain", "ping_interval", "ssh_port").out
    assert "ping_interval" in out and "ssh_port" in out
    r = ctl(mgr, "config", "explain", "ping_intervall", rc=2)
    assert "did you mean ping_interval?" in r.err
    listed = ctl(mgr, "config", "explain").out
    assert len(listed.splitlines()) > 50 and "candidate_master" in listed


def test_converted_file_means_the_same(mgr):
    target = "/etc/mhad/clusters.d/shop2.conf"
    ctl(mgr, "config", "convert", "shop", f"--output={target}")
    assert mgr.path(target).stat().st_mode & 0o777 == 0o600
    assert "exists" in ctl(mgr, "config", "convert", "shop", f"--output={target}", rc=1).err

    def values(name):
        servers = json.loads(ctl(mgr, "config", "show", "--json", name).out)["servers"]
        return {s: {k: v["value"] for k, v in keys.items()} for s, keys in servers.items()}
    assert values("shop2") == values("shop")
    assert mgr.read(target) == ctl(mgr, "config", "convert", "shop").out
    assert "s3cret" in mgr.read(target)
    mgr.remove(target)


@pytest.mark.parametrize("form", [(), ("--mha",)])
def test_samples_name_every_setting(mgr, form):
    """Those of the process, and not of a cluster, stand in the global file only."""
    text, everywhere = (ctl(mgr, "config", "sample", *f).out for f in (form, ("--global",)))
    missing = {line.split()[0] for line in ctl(mgr, "config", "explain").out.splitlines()
               if line.split()[0] not in text}
    assert missing == {k for k in missing if k.startswith("http_") and k in everywhere}


def test_usage_errors(mgr):
    assert "which cluster?" in ctl(mgr, "config", "show", rc=2).err
    assert "no file nope here" in ctl(mgr, "config", "show", "nope", rc=3).err
    assert "did you mean --output?" in ctl(mgr, "config", "convert", "--ouptut=x", "shop", rc=2).err
    assert "one cluster at a time" in ctl(mgr, "config", "show", "shop", "other", rc=2).err
    assert "mhactl config show" in ctl(mgr, "config", rc=2).err
    assert "did you mean mhactl topology?" in ctl(mgr, "topolgy", rc=2).err


def test_help(mgr):
    text = ctl(mgr, "--help").out
    assert len(text.splitlines()) <= 24 and max(map(len, text.splitlines())) <= 100
    for line in ctl(mgr, "help", "commands").out.splitlines():
        verb = line[2:26].strip()
        assert verb.startswith("masterha_") or verb in ("via", "config manual") or verb in text, verb
        if verb.startswith("masterha_"):
            continue
        out = ctl(mgr, *verb.split(), "--help").out
        assert out.startswith("usage: "), verb
    codes = ctl(mgr, "help", "exit-codes").out.splitlines()
    assert [int(l.split()[0]) for l in codes] == sorted({int(l.split()[0]) for l in codes})
    assert ctl(mgr, "--version").out.startswith("mhactl ")


def test_manual_has_the_exit_codes(mgr):
    manual = " ".join((REPO / "packaging/man/mhactl.1").read_text().split())
    for line in ctl(mgr, "help", "exit-codes").out.splitlines():
        code, text = line.split(None, 1)
        assert f".It {code} {text}" in manual


@pytest.mark.parametrize("name", ["masterha_check_repl", "masterha_check_ssh"])
def test_mhas_names_keep_mhas_ways(mgr, name):
    assert mgr.run([name, "--version"]).out == f"{name} version 0.58.\n"
    r = mgr.run([name])
    assert (r.rc, r.out) == (1, "--conf=<server_config_file> must be set.\n")
    r = mgr.run([name, "--conf=/nonexistent.cnf"])
    assert r.rc == 1 and "/nonexistent.cnf" in r.err
    r = mgr.run([name, f"--conf={CNF}", "--skip_ssh_chek"])
    assert r.rc == 1 and "unknown option --skip_ssh_chek" in r.err
