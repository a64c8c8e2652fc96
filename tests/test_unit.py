# SPDX-License-Identifier: BSD-2-Clause
"""Runs each cmocka program of tests/unit as one test (address and undefined-behaviour sanitizers on)."""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILDS = ["address"] + (["thread"] if os.environ.get("MHAD_FULL") else [])
NAMES = sorted(p.stem for p in (ROOT / "tests/unit").glob("test_*.c"))


@pytest.mark.parametrize("san", BUILDS)
@pytest.mark.parametrize("name", NAMES)
def test_unit(name, san):
    program = ROOT / "build" / san / "test" / name
    run = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, f"{program}:\n{run.stdout[-4000:]}\n{run.stderr[-8000:]}"
    assert "[  PASSED  ]" in run.stdout + run.stderr, "the program ran no test"
