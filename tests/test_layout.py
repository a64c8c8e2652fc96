# SPDX-License-Identifier: BSD-2-Clause
"""The shape of the tree: what ARCHITECTURE.md says about modules, arrows and homes of outside libraries."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted(p for d in ("common", "node", "daemon") for p in (ROOT / d).glob("*.[ch]"))

# Where each outside library lives.
HOMES = {
    r"mysql(/.*)?\.h": {"common/db.c", "common/db_login.c", "common/db_result.c", "common/db_steps.c"},
    r"libssh2.*\.h": {"daemon/ssh_lib2.c"},
    r"ev\.h": {"daemon/loop.c"},
    r"libconfig\.h": {"common/conf_native.c"},
    r"systemd/.*": {"common/log.c", "daemon/sd.c"},
    r"zstd\.h": {"common/binlog_payload.c"},
    r"microhttpd\.h": {"daemon/http.c", "daemon/http_serve.c", "daemon/http_live.c"},
}

# Groups of daemon/, left to right: a module includes only its own group and those before it.
GROUPS = [
    {"loop", "job", "sd"},
    {"control", "ask", "history", "status", "flap", "journal", "standin"},
    {"dbloop", "ssh", "hook", "hookd", "hookline", "host", "link"},
    {"probe", "replica", "witness"},
    {"snapshot"},
    {"topology", "elect"},
    {"verdict", "evidence"},
    {"catchup", "repl", "fan", "guard"},
    {"run"},
    {"failover", "aftermath", "notify", "incident", "flatten", "move", "provision", "rejoin", "semisync", "switch"},
    {"glance", "metrics", "page", "http"},
    {"watch"},
    {"check", "migrate"},
    {"act", "rehearse"},
    {"fleet"},
    {"show"},
    {"live", "screen"},
    {"cmd", "cmds", "completion"},
    {"mhactl", "mhad"},
]


def includes(path):
    return re.findall(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', path.read_text(), re.M)


def group_of(module):
    for i, names in enumerate(GROUPS):
        if module in names or module.split("_")[0] in names:
            return i
    return None


def test_top_level():
    if not shutil.which("git"):
        pytest.skip("no git here")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    top = {p.split("/")[0] for p in tracked}
    assert top == {".ci", ".clang-format", ".gitignore", "ARCHITECTURE.md", "LICENSE", "Makefile", "README.md", "README.zh-CN.md",
                   "common", "daemon", "etc", "node", "packaging", "scripts", "tests"} & top
    assert {"Makefile", "daemon", "node", "common", "etc", "tests", "packaging", "README.md", "LICENSE"} <= top


@pytest.mark.parametrize("pattern", HOMES)
def test_each_library_has_one_home(pattern):
    users = {str(p.relative_to(ROOT)) for p in SOURCES
             for kind, name in includes(p) if kind == "<" and re.fullmatch(pattern, name)}
    assert users <= HOMES[pattern]


def test_arrows_point_left():
    wrong = []
    for p in SOURCES:
        here = p.parent.name
        for kind, name in includes(p):
            if kind != '"':
                continue
            homes = [d for d in ("common", "node", "daemon") if (ROOT / d / name).exists()]
            target = here if here in homes else (homes or ["?"])[0]
            if target not in (here, "common"):
                wrong.append(f"{p.relative_to(ROOT)} includes {target}/{name}")
            if here == target == "daemon":
                mine, theirs = group_of(p.stem), group_of(pathlib.Path(name).stem)
                if mine is None or theirs is None:
                    wrong.append(f"{p.name} or {name} is in no group of this test")
                elif theirs > mine:
                    wrong.append(f"daemon/{p.name} includes {name}, which is to its right")
    assert not wrong, "\n".join(wrong)


def test_headers_are_named_in_the_map():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    missing = [str(p.relative_to(ROOT)) for p in SOURCES
               if p.suffix == ".h" and f"`{p.stem.split('_')[0]}" not in text]
    assert not missing, f"ARCHITECTURE.md does not name {missing}"


def test_every_header_compiles_alone():
    for p in SOURCES:
        if p.suffix == ".h":
            run = subprocess.run(
                ["cc", "-std=c17", "-D_GNU_SOURCE", "-Icommon", "-Wall", "-Werror", "-fsyntax-only", "-include", str(p),
                 "-x", "c", "/dev/null"], cwd=ROOT, capture_output=True, text=True)
            assert run.returncode == 0, run.stderr


def test_every_source_has_licence_and_purpose():
    for p in SOURCES:
        head = p.read_text()[:400]
        assert head.startswith("/* SPDX-License-Identifier: BSD-2-Clause */"), p
        assert re.search(r"/\*\n \* \w+", head), f"{p} does not begin by saying what it is for"
