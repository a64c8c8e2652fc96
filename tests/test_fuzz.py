# SPDX-License-Identifier: BSD-2-Clause
"""Each fuzzer from its corpus: a minute for what reads foreign bytes, 20 s for the rest; MHAD_FUZZ_SECONDS for all of them
(`make fuzz` runs longer)."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
A_MINUTE = {"fuzz_binlog", "fuzz_binlog_sql", "fuzz_gtid", "fuzz_relay", "fuzz_gate"}
NAMES = sorted(p.stem for p in (ROOT / "tests/fuzz").glob("fuzz_*.c"))


@pytest.mark.parametrize("name", NAMES)
def test_fuzz(name):
    seconds = int(os.environ.get("MHAD_FUZZ_SECONDS", "60" if name in A_MINUTE else "20"))
    run = subprocess.run(
        ["tests/fuzz/run", f"build/fuzz/{name}", str(seconds)],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds + 120)
    assert run.returncode == 0, f"{run.stdout[-4000:]}\n{run.stderr[-8000:]}"
