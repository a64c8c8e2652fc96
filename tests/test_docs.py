# SPDX-License-Identifier: BSD-2-Clause
"""What the manuals say is so: each command line in them is run, each verdict and refusal of the code has its page, pages are
well-formed, shells complete what the table of commands holds, and every --help fits a screen."""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")).resolve()
MAN = sorted((ROOT / "packaging/man").glob("*.[1-8]"))
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
RUNBOOK = ROOT / "packaging/man/mhad-runbook.7"
ENV = {**os.environ, "PATH": f"{BIN}:{ROOT}/scripts:{os.environ['PATH']}"}


def out(*argv, **kw):
    run = subprocess.run([str(a) for a in argv], capture_output=True, text=True, env=ENV, stdin=subprocess.DEVNULL, **kw)
    assert run.returncode == 0, (argv, run.stdout[-1000:], run.stderr[-1000:])
    return run.stdout


def source(name):
    return (ROOT / name).read_text()


# ---- which command lines there are --------------------------------------------------------------
def unescape(line):
    return line.replace(r"\e", "\\").replace(r"\-", "-").replace(r"\&", "").strip()


def of_page(page):
    """The command lines of a page: all of the runbook's, of others those in EXAMPLES."""
    text = page.read_text()
    if page != RUNBOOK:
        text = "".join(re.findall(r"^\.Sh EXAMPLES\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S))
    lines = re.findall(r"^\.Dl (.*)$", text, re.M)
    for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S):
        block = re.sub(r"\\e\n\s*", "", block)
        shown = [l[2:] for l in block.splitlines() if l.startswith("$ ")]
        lines += shown or block.splitlines()
    return [unescape(l) for l in lines]


def of_readme(readme):
    """The indented lines, less what is a configuration file."""
    blocks = re.findall(r"(?:^    .*\n)+", readme.read_text(), re.M)
    return [l.strip() for b in blocks if not b.lstrip().startswith("defaults = {") for l in b.splitlines()]


def bare(line):
    """Without comment, and without the program that it is piped to."""
    return re.split(r"\s+#\s|\s\|\s", line)[0].strip()


def everything():
    found = {}
    for f in [*READMES, *MAN]:
        for line in of_readme(f) if f in READMES else of_page(f):
            found.setdefault(bare(line), f.name)
    return found


COMMANDS = everything()
# They change the cluster, end a manager or stay in the foreground: what they do is what the lab's other tests are about, and
# here their options are looked up in their help.
ONLY_READ = re.compile(r"mhactl (failover|switch|rejoin|move|flatten|semisync|status --watch)"
                       r"|masterha_(stop|manager|master_switch|master_monitor|conf_host)|mhad( |$)|mha-node"
                       r"|purge_relay_logs|save_binary_logs|apply_diff_relay_logs")
# Followed by test_package.py to the letter, in a clean system.
BY_PACKAGE_TEST = re.compile(r"apt |chgrp mhad |chmod 640 |mhad-setup install ")
UNITS = {p.name for p in (ROOT / "packaging/systemd").iterdir()}


# Other exit codes than 0 where all is well: it is paused, by a line before; nothing of that has happened yet; a manager runs,
# so nobody else may; the master lives.
MAY_SAY = {"mhactl status app1": (0, 1), "mhactl report": (0, 1), "mhactl ack": (0, 1),
           "mhactl resume": (0, 1), "mhactl check migrate": (0, 1), "masterha_secondary_check": (3,)}


def is_known_unit(word):
    return any(u in (word, f"{word}.service") or re.fullmatch(re.escape(u).replace("@", r"@\w+"), f"{word}.service") for u in UNITS)


def check_without_a_cluster(line):
    """True: that was all that can be said of it."""
    words = shlex.split(line)
    if words[0] == "make":
        out("make", "-n", *words[1:], cwd=ROOT)
    elif words[0] in ("systemctl", "journalctl"):
        named = [w for w in words[1:] if w.startswith("mha")]
        assert all(map(is_known_unit, named)), line
    elif BY_PACKAGE_TEST.match(line):
        version = re.search(r"^VERSION := (.*)$", source("Makefile"), re.M)[1]
        assert "_" not in line or f"_{version}_" in line, line
        assert line in source("README.md") or line.startswith("mhad-setup install")
    elif ONLY_READ.match(line):
        options_are_known(line)
    else:
        assert shutil.which(words[0], path=ENV["PATH"]), f"{line}: no such program"
        return False
    return True


def options_are_known(line):
    """Help is given whatever else the line says, so its options are looked up in that help."""
    words = shlex.split(line)
    given = [w.split("=")[0].lstrip("-").replace("-", "_") for w in words[1:] if w.startswith("--")]
    verb = [w for w in words[1:] if not w.startswith("-")]
    depth = {"mhactl": 2 if verb[:1] and verb[0] in ("check", "config", "plan", "semisync") else 1, "mha-node": 1}.get(words[0], 0)
    state = [w for w in words if w.startswith("--master_state=")]  # masterha_master_switch is two commands
    known = re.findall(r"^  (?:-\w, )?--([\w-]+)", out(words[0], *verb[:depth], *state, "--help"), re.M)
    known = {k.replace("-", "_") for k in known}
    for g in given:
        assert any(k.startswith(g) for k in known), (line, g, known)


@pytest.mark.parametrize("line", sorted(COMMANDS))
def test_command_line_is_well_formed(line):
    if not check_without_a_cluster(line):
        options_are_known(line)


def test_command_lines_work():
    """Run as they stand on the manager host of a cluster that mhad watches."""
    sys.path.insert(0, str(ROOT / "tests"))
    from lab import Lab, until
    from lab.mhad import Mhad
    from lab.util import Unavailable
    if os.geteuid():
        pytest.skip("lab: needs root")
    live = [l for l in COMMANDS if not check_without_a_cluster(l)]
    assert len(live) > 15
    try:
        with Lab.open() as lab:
            cluster = lab.cluster("ma1011", 3)
            mhad = Mhad(lab)
            text = cluster.conf_text(ssh_user="root", manager_workdir="/var/tmp")
            for path in ("/etc/app1.cnf", "/etc/mhad/app1.cnf", "/etc/mhad/clusters.d/app1.cnf", "/root/app1.cnf"):
                lab.manager.write(path, text, 0o600)
            lab.manager.write("/etc/group", lab.manager.read("/etc/group") + "mhad:x:990:\n")
            lab.manager.write("/etc/passwd", lab.manager.read("/etc/passwd") + "mhad:x:990:990::/var/lib/mhad:/bin/sh\n")
            lab.manager.run(["chown", "mhad:mhad", "/var/lib/mhad"], check=True)
            for h in lab.hosts.values():
                h.write("/etc/mhad/node.conf", "directory = /srv\ndirectory = /var/tmp\nport = 3306\n")
            lab.manager.script("/opt/mhad/bin/mhad-setup", source("scripts/mhad-setup"))
            r = lab.manager.run(["mhad-setup", "install", "--accept-new", "db1", "db2", "db3"])
            assert r.rc == 0, r
            with mhad:
                mhad.until("healthy", within=20)
                until("hosts are known", lambda: lab.manager.run(["mhactl", "check", "ssh", "app1"]).rc == 0)
                for line in live:
                    endless = re.search(r"^curl -\w*N|^journalctl -f", line)
                    r = lab.manager.run([*(["timeout", "2"] if endless else []), "sh", "-c", line], timeout=60)
                    print(f"$ {line}\n{r.out[-1500:]}{r.err[-1500:]}")
                    may = (124,) if endless else next((c for start, c in MAY_SAY.items() if line.startswith(start)), (0,))
                    assert r.rc in may, (COMMANDS[line], r)
    except Unavailable as e:
        pytest.skip(f"lab: {e}")


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.name)
def test_commands_within_sentences(readme):
    """`mhactl why CLUSTER` in running text names a command that there is."""
    spans = set(re.findall(r"`(mhactl [a-z][^`]*)`", readme.read_text()))
    assert spans
    for span in spans:
        words = [w for w in span.replace("\\", "").split() if re.fullmatch(r"[a-z|-]+", w)]
        for alternative in words[-1].split("|"):
            out(*words[:-1], alternative, "--help")


def test_both_languages_say_the_same():
    """Commands, configuration, tables and headings are the same in number and, where they are not prose, in words."""
    a, b = (f.read_text() for f in READMES)
    assert [bare(l) for l in of_readme(READMES[0])] == [bare(l) for l in of_readme(READMES[1])]
    for pattern in (r"^#+ ", r"^\|", r"^- ", r"^\*\*\d\."):
        assert len(re.findall(pattern, a, re.M)) == len(re.findall(pattern, b, re.M)), pattern
    figures = r"\d[\d.,]* (?:ms|MB|%)"
    assert sorted(set(re.findall(figures, a))) == sorted(set(re.findall(figures, b)))


# ---- pages --------------------------------------------------------------------------------------
def pages(tmp_path):
    made = tmp_path / "mhad.conf.5"
    text = source("packaging/man/mhad.conf.5.in").replace("@SETTINGS@\n", out(BIN / "mhactl", "config", "manual"))
    made.write_text(text)
    return [*MAN, made]


def test_pages_are_well_formed(tmp_path):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    for page in pages(tmp_path):
        run = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
        assert not run.stdout and run.returncode == 0, run.stdout


def test_each_program_has_a_page():
    makefile = source("Makefile")
    have = {p.name.rsplit(".", 1)[0] for p in MAN}
    names = re.search(r"^CTL_NAMES := (.*)$", makefile, re.M)[1].split() + ["mhad", "mhactl", "mha-node", "mhad-setup"]
    names += [p.name for p in (ROOT / "scripts").iterdir() if not p.suffix]
    linked = {"masterha_master_monitor", "master_ip_online_change"}  # described with another
    assert not set(names) - have - linked
    for name in linked:
        assert any(name in p.read_text() for p in MAN), name


def headings(section):
    text = RUNBOOK.read_text().split(f".Sh {section}\n")[1].split("\n.Sh ")[0]
    return [n for line in re.findall(r"^\.Ss (.*)$", text, re.M) for n in line.split(", ")]


def test_each_verdict_and_gate_is_in_the_runbook():
    verdicts = re.findall(r"^\tX\([A-Z_]+, \"(\w+)\", [A-Z]+,", source("daemon/verdict.h").split("VERDICTS(X)")[1].split("enum")[0], re.M)
    assert len(verdicts) >= 20
    assert sorted(headings("VERDICTS")) == sorted(verdicts)
    gates = re.findall(r"X\([A-Z]+, \"(\w+)\"\)", source("daemon/watch.h").split("WATCH_GATES(X)")[1].split("enum")[0])
    assert headings("GATES") == gates, "in their order"


def literals(text):
    """C string literals that stand behind each other are one."""
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', text)).replace('\\"', '"')


def refusals():
    """All formats with which a failover is refused before anything was changed."""
    found = []
    for name in ("daemon/failover_look.c", "daemon/failover_close.c"):
        text = source(name)
        for call in re.findall(r"\brefuse\(\s*e,(.*?)\);", text, re.S):
            parts = re.findall(r'((?:"(?:[^"\\]|\\.)*"\s*(?:PRI\w+\s*)?)+)', call)
            found += [literals(p) for p in parts[-1:] if literals(p) != "%s"]
        found += [literals(c) for c in re.findall(r"err_set\(e, ERR_PRECOND, \w+(?:\.\w+)?,\s*((?:\"(?:[^\"\\]|\\.)*\"\s*)+)", text)
                  if "Stop failover" in c or "fence=required" in c or "new master" in c]
    found += [literals(c) for c in re.findall(r"nobody\(v,\s*arena_printf\(v->e->arena, (\"[^\"]*\")", source("daemon/elect.c"))]
    found += [literals(c) for c in re.findall(r"return (\"[^\"]*\");", source("daemon/elect.c").split("all_reasons")[1].split("\n}")[0])]
    return [f for f in found if len(f) > 4]


def test_each_refusal_is_in_the_runbook():
    stops = re.findall(r"X\([A-Z_]+, \"([\w-]+)\", \d+, [A-Z]+,\s*\\?\s*([A-Z| ]+)\)", source("daemon/topology.h"))
    codes = [name for name, what in stops if "FAILOVER" in what]
    assert len(codes) >= 15
    assert not set(codes) - set(headings("REFUSALS")), "findings that stop a failover"
    rendered = re.sub(r"\s+", " ", unescape(re.sub(r"\n\.\w+ ?|\\\([lr]q", " ", RUNBOOK.read_text())))
    formats = refusals()
    assert len(formats) >= 8
    for f in formats:
        for part in re.split(r"%[-.\d]*(?:ll)?[a-z]", f):
            part = re.sub(r"\s+", " ", part).strip(" ,:;()")
            assert len(part) < 8 or part in rendered, (f, part)


def test_each_page_of_the_runbook_says_what_to_type():
    for section in ("GATES", "REFUSALS"):
        text = RUNBOOK.read_text().split(f".Sh {section}\n")[1].split("\n.Sh ")[0]
        for entry in text.split("\n.Ss ")[1:]:
            assert "\n.Dl " in entry, entry.splitlines()[0]


# ---- help and completion ------------------------------------------------------------------------
def verbs():
    return [line[2:26].strip() for line in out("mhactl", "help", "commands").splitlines()]


def test_help_fits_a_screen():
    """24 lines by default; with many options a little more, never two screens."""
    programs = [["mhactl"], ["mhad"], ["mha-node"], ["mhad-setup"]] + [["mhactl", *v.split()] for v in verbs()
                                                                       if not v.startswith("masterha_")]
    programs += [[v] for v in verbs() if v.startswith("masterha_")]
    for p in programs:
        text = out(*p, "--help" if p != ["mha-node"] else "help")
        assert len(text.splitlines()) <= (24 if p == ["mhactl"] else 42), p
        if len(p) == 1:
            assert re.search("^examples?:$", text, re.M), p


def complete_in_bash(*words):
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    script = out("mhactl", "completion", "bash") + """
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_mhactl "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
    return out("bash", "-c", script, "bash", *words).split()


def complete_in_zsh(*words):
    """With zsh's own completion functions replaced by ones that print what they are given."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    script = """
compadd() { while [[ $1 == -* ]]; do [[ $1 == -- ]] && break; [[ $1 == -S ]] && shift; shift; done; shift; print -l -- "$@" }
_describe() { print -l -- ${${(P)2}%%:*} }
compset() { : }
_files() { print FILES }
words=("$@") CURRENT=$#
""" + out("mhactl", "completion", "zsh")
    return out("zsh", "-f", "-c", script, "zsh", *words).split()


@pytest.mark.parametrize("complete", [complete_in_bash, complete_in_zsh])
def test_completion(complete):
    own = [v for v in verbs() if not v.startswith("masterha_")]
    assert set(complete("mhactl", "")) == {v.split()[0] for v in own}
    check = complete("mhactl", "check", "")
    assert set(check) == {v.split()[1] for v in own if v.startswith("check ")}
    assert "--new_master_host=" in complete("mhactl", "plan", "failover", "--")
    assert "ping_interval" in complete("mhactl", "config", "explain", "")
    assert "--ignore_last_failover" in complete("masterha_manager", "--")
    assert "probe" in complete("mha-node", "")
    assert "--port=" in complete("mha-node", "probe", "--")
    assert "--state-dir=" in complete("mhad", "--")


def test_completion_is_clean_shell(tmp_path):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    script = tmp_path / "mhactl"
    script.write_text(out("mhactl", "completion", "bash"))
    out("shellcheck", "-s", "bash", script)
    out("shellcheck", ROOT / "scripts/mhad-setup")
    run = subprocess.run([BIN / "mhactl", "completion", "fish"], capture_output=True, text=True)
    assert run.returncode == 2 and "bash or zsh" in run.stderr
