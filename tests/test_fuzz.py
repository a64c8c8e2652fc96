# SPDX-License-Identifier: BSD-2-Clause
"""Each fuzzer from its corpus: MHAD_FUZZ_SECONDS each (short by default; `make fuzz` runs longer)."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SECONDS = os.environ.get("MHAD_FUZZ_SECONDS", "60")
NAMES = sorted(p.stem for p in (ROOT / "tests/fuzz").glob("fuzz_*.c"))


@pytest.mark.parametrize("name", NAMES)
def test_fuzz(name):
    run = subprocess.run(
        ["tests/fuzz/run", f"build/fuzz/{name}", SECONDS],
        cwd=ROOT, capture_output=True, text=True, timeout=int(SECONDS) + 120)
    assert run.returncode == 0, f"{run.stdout[-4000:]}\n{run.stderr[-8000:]}"
