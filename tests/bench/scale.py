#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""One mhad, a thousand clusters of three servers: processor time, memory, and how late looks begin.

    MHAD_BIN=... tests/bench/scale.py [CLUSTERS [SECONDS]]

All clusters are addresses of 127.1.0.0/16 on the manager host, in front of three real servers (tests/tools/many.c).
Their hosts have no SSH.  Then a part of them becomes a black hole: packets to them vanish.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab import Lab  # noqa: E402
from lab.flavour import ACCOUNTS  # noqa: E402
from lab.mhad import Mhad  # noqa: E402
from lab.util import until  # noqa: E402

HERE = Path(__file__).resolve().parent
EACH = 80  # clusters below one 127.1.X.0/24
BOUNDS = (1, 2, 5, 10, 20, 50, 100)


def address(cluster, server):
    return f"127.1.{cluster // EACH}.{cluster % EACH * 3 + server}"


def conf(cluster):
    servers = ", ".join(f'{{ name = "s{i}"; hostname = "{address(cluster, i)}"; }}' for i in (1, 2, 3))
    return (f'defaults = {{ user = "mha"; password = "{ACCOUNTS["mha"]}"; ping_interval = "1s"; '
            f'tls = "off"; ssh_port = 1; ssh_user = "root"; }};\nservers = ( {servers} );\n')


def cpu(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))) / 1024


def below(late, share):
    """The bound below which this share of the looks began."""
    need, seen = share * sum(late), 0
    for bound, n in zip((*BOUNDS, 1000), late):
        seen += n
        if seen >= need:
            return bound
    return 1000


def measure(mhad, pid, seconds, title):
    before, used, began = mhad.ask("status")["looks_late"], cpu(pid), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    share = (cpu(pid) - used) / took
    late = [b - a for a, b in zip(before, mhad.ask("status")["looks_late"])]
    print(f"{title}: {share:.1%} of one core, {pss(pid):.1f} MB PSS, {sum(late) / took:.0f} looks/s, "
          f"late p50 < {below(late, 0.5)} ms, p99 < {below(late, 0.99)} ms, p99.9 < {below(late, 0.999)} ms", flush=True)


def verdicts(mhad):
    count = {}
    for c in mhad.ask("status")["clusters"]:
        count[c["verdict"]] = count.get(c["verdict"], 0) + 1
    return count


def main():
    clusters = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30
    with tempfile.TemporaryDirectory() as tmp, Lab.open() as lab:
        many = f"{tmp}/many"
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", many, HERE.parent / "tools/many.c"], check=True)
        cluster = lab.cluster("ma1011", 3, options={"max_connections": 2 * clusters + 100, "back_log": 4000,
                                                    "thread_handling": "pool-of-threads"})
        lab.manager.path("/opt").mkdir(exist_ok=True)
        target = lab.manager.path("/usr/local/bin/many")
        target.write_bytes(Path(many).read_bytes())
        target.chmod(0o755)
        proxy = lab.manager.start(["many", "3306", *(f"{s.host.addr}:3306" for s in cluster)])
        until("the proxy is ready", lambda: "ready" in proxy.out)
        for i in range(clusters):
            lab.manager.write(f"/etc/mhad/clusters.d/c{i:04}.conf", conf(i), 0o600)
        mhad = Mhad(lab).start()
        with mhad:
            pid = mhad.proc.pid
            try:
                until("all are healthy", lambda: verdicts(mhad) == {"healthy": clusters}, 180, every=1)
            except Exception:
                print("\n".join(mhad.proc.err.splitlines()[-20:]))
                raise
            time.sleep(15)
            measure(mhad, pid, seconds, f"{clusters} clusters")
            holes = clusters * 3 // 10
            rules = "".join(f"add rule ip t o ip daddr 127.1.{n}.0/24 drop\n" for n in range(holes // EACH))
            lab.manager.run(["nft", "-f", "-"], check=True,
                            input="add table ip t\nadd chain ip t o { type filter hook output priority 0; }\n" + rules)
            time.sleep(5)
            measure(mhad, pid, seconds, f"{holes // EACH * EACH} of them black holes")
            print(verdicts(mhad))


if __name__ == "__main__":
    main()
