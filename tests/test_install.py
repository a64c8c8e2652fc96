# SPDX-License-Identifier: BSD-2-Clause
"""`make install` and `make uninstall` into a folder."""
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def make(target, where):
    # The build that is there: nothing is compiled again for this.
    build = pathlib.Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")).resolve().parent
    run = subprocess.run(["make", target, f"DESTDIR={where}", "prefix=/usr", f"B={build}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]


def files(where):
    return {str(p.relative_to(where)) for p in where.rglob("*") if not p.is_dir() or p.is_symlink()}


def test_install_and_uninstall(tmp_path):
    make("install", tmp_path)
    there = files(tmp_path)
    for name in ["usr/bin/mhactl", "usr/bin/mha-node", "usr/bin/masterha_check_repl", "usr/bin/save_binary_logs",
                 "usr/share/man/man5/mhad.conf.5", "usr/share/man/man1/mhactl.1", "etc/mhad/mhad.conf",
                 "usr/lib/systemd/system/mha-node-purge.timer", "usr/share/mhad/scripts/init_vip.sh",
                 "usr/sbin/mhad", "usr/share/man/man8/mhad.8", "usr/lib/systemd/system/mhad.service",
                 "usr/lib/systemd/system/mhad.socket", "usr/lib/systemd/system/mhad@.service",
                 "usr/lib/systemd/system/mhad-hook.socket", "usr/lib/systemd/system/mhad-hook@.service",
                 "usr/lib/sysusers.d/mhad.conf", "usr/lib/tmpfiles.d/mhad.conf"]:
        assert name in there, name
    for unit in (tmp_path / "usr/lib/systemd/system").iterdir():
        assert not re.search(r"@\w+dir@", unit.read_text()), unit
    assert "ExecStart=/usr/sbin/mhad\n" in (tmp_path / "usr/lib/systemd/system/mhad.service").read_text()
    for link in [*(tmp_path / "usr/bin").iterdir(), *(tmp_path / "usr/sbin").iterdir()]:
        assert subprocess.run([link, "--version"], capture_output=True).returncode == 0, link
    page = (tmp_path / "usr/share/man/man5/mhad.conf.5").read_text()
    assert "@SETTINGS@" not in page and ".It Cm ping_interval" in page

    config = tmp_path / "etc/mhad/mhad.conf"
    config.write_text("# mine\n")
    make("install", tmp_path)
    assert config.read_text() == "# mine\n", "an installed configuration is never overwritten"

    make("uninstall", tmp_path)
    assert all(f.startswith("etc/") for f in files(tmp_path)), files(tmp_path)
