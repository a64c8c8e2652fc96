#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""How long `mha-node probe` takes, and how long the program needs to start."""
import json
import os
import pathlib
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from lab import Lab  # noqa: E402

RUNS = 50


def main():
    program = str(pathlib.Path(os.environ.get("MHAD_BIN", ROOT / "build/bin")).absolute() / "mha-node")
    starts = []
    for _ in range(4 * RUNS):
        began = time.perf_counter()
        pid = os.posix_spawn(program, [program, "version"], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
        os.waitpid(pid, 0)
        starts.append((time.perf_counter() - began) * 1000)
    print(f"mha-node version: {statistics.median(starts):.1f} ms from start to end (best {min(starts):.1f}, {len(starts)} runs)")
    with Lab.open() as lab:
        db1, = lab.cluster("ma1011", 1)
        took = []
        for _ in range(RUNS):
            run = db1.host.run(["mha-node", "probe", "--port=3306"])
            took.append(json.loads(run.out)["took_ms"])
        print(f"mha-node probe: {statistics.median(took):.1f} ms with a write test (worst {max(took):.1f}, {RUNS} runs)")


if __name__ == "__main__":
    main()
