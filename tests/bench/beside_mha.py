#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""masterha_check_repl and masterha_check_ssh of mhad and of MHA 0.58, in turns, on two equal clusters of three servers.

Needs MHA itself (Debian: mha4mysql-manager, mha4mysql-node); without it mhad's own figures are printed alone.  MHA gets two
repairs in a private copy, without which it does not start here: a version string with more than three numbers kills it, and so
does a server without super_read_only.
"""
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from lab import Lab  # noqa: E402

PERL = pathlib.Path("/usr/share/perl5/MHA")
NAMES = ["masterha_check_repl", "masterha_check_ssh", "save_binary_logs", "apply_diff_relay_logs"]
CONF = "--conf=/etc/mhad/app1.cnf"
OURS, THEIRS = int(os.environ.get("RUNS", "15")), int(os.environ.get("MHA_RUNS", "3"))


def repaired_mha():
    """A folder of MHA's programs that run here, or None."""
    if not PERL.exists() or not all(pathlib.Path("/usr/bin", n).exists() for n in NAMES):
        return None
    home = ROOT / "build/bench-mha"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(PERL, home / "lib/MHA")
    for file, old, new in [
            ("NodeUtil.pm", r"$str =~ m/(\d+)/g );", r"( $str =~ m/(\d+)/g )[ 0 .. 2 ] );"),
            ("SlaveUtil.pm", r"SELECT \@\@global.super_read_only as Value", "SELECT 0 as Value")]:
        path = home / "lib/MHA" / file
        text = path.read_text()
        assert old in text, f"{file} is not the one of 0.58"
        path.write_text(text.replace(old, new))
    text = (home / "lib/MHA/NodeUtil.pm").read_text()
    major = text.index("sub parse_mysql_major_version")
    (home / "lib/MHA/NodeUtil.pm").write_text(text[:major] + text[major:].replace("[ 0 .. 2 ]", "[ 0 .. 1 ]", 1))
    (home / "bin").mkdir()
    for name in NAMES:
        (home / "bin" / name).write_text(f'#!/bin/sh\nPERL5LIB={home}/lib exec /usr/bin/perl /usr/bin/{name} "$@"\n')
        (home / "bin" / name).chmod(0o755)
    return home / "bin"


def cluster(programs, stack):
    os.environ["MHAD_BIN"] = str(programs)
    lab = Lab.open()
    stack.append(lab)
    lab.__enter__()
    lab.cluster("ma1011", 3, mode="pos")
    return lab


def timed(lab, programs, name):
    run = lab.manager.run([f"{programs}/{name}", CONF], timeout=120)
    text = run.out + run.err
    good = "Replication Health is OK" in text or "All SSH connection tests passed" in text
    if not good:
        print(run.err[-1500:], file=sys.stderr)
        sys.exit(f"{programs}/{name} failed here")
    return run.seconds * 1000


def main():
    ours = pathlib.Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")).absolute()
    theirs = repaired_mha()
    labs = []
    try:
        a = cluster(ours, labs)
        b = cluster(theirs, labs) if theirs else None
        for name in NAMES[:2]:
            new = [timed(a, ours, name) for _ in range(OURS)]
            line = f"{name:22} mhad {statistics.median(new):7.0f} ms (best {min(new):.0f}, worst {max(new):.0f}, {len(new)} runs)"
            if b:
                old = [timed(b, theirs, name) for _ in range(THEIRS)]
                line += f"   MHA 0.58 {statistics.median(old):7.0f} ms ({len(old)} runs)" \
                        f"   {statistics.median(old) / statistics.median(new):.0f} times"
            print(line, flush=True)
        if not b:
            print("MHA 0.58 is not installed (mha4mysql-manager, mha4mysql-node): no comparison")
        login = [timed_login(a) for _ in range(OURS)]
        print(f"one ssh(1) login and `exit 0`: {statistics.median(login):.0f} ms: what bounds masterha_check_ssh, which has to make "
              "one for each ordered pair of hosts")
    finally:
        for lab in reversed(labs):
            lab.__exit__(None, None, None)


def timed_login(lab):
    run = lab.manager.run(["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR", "db1", "exit 0"],
                          timeout=30)
    if run.rc:
        sys.exit("ssh failed: " + run.err)
    return run.seconds * 1000


if __name__ == "__main__":
    try:
        main()
    except subprocess.TimeoutExpired as e:
        sys.exit(f"no end: {e}")
