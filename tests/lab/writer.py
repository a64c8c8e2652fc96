# SPDX-License-Identifier: BSD-2-Clause
"""A client that writes for ever and remembers what it was promised.

Run as a program (on a lab host, by class Writer): writer.py ADDRESS PORT FILE FIRST ROWS PAUSE TIMEOUT
It inserts rows into labdata.w and notes in FILE, unbuffered, one line per fact:
    C time server_id            logged in           A id time server_id   about to send row id
    K id time server_id         acknowledged        R id time errno       refused for certain
    D id time errno             in doubt: COMMIT was sent, and its answer does not tell
Times are CLOCK_MONOTONIC, which all processes of the machine share.
"""
import os
import sys
import time

# A failure before COMMIT was sent leaves nothing behind.  Of COMMIT itself these answers say for
# certain that it did not happen: read-only, lock wait, deadlock.
SURE_AT_COMMIT = {1205, 1213, 1290, 1792, 1836}
SCHEMA = ("CREATE DATABASE IF NOT EXISTS labdata",
          "CREATE TABLE IF NOT EXISTS labdata.w (id BIGINT PRIMARY KEY, srv INT NOT NULL, t DOUBLE NOT NULL,"
          " pad VARCHAR(200)) ENGINE=InnoDB")


class Client:
    def __init__(self, address, port, file, timeout):
        self.address, self.port, self.timeout = address, port, timeout
        self.file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.conn, self.srv, self.ready, self.committing = None, 0, False, False

    def note(self, letter, *facts):
        os.write(self.file, (" ".join([letter, *map(str, facts)]) + "\n").encode())

    def login(self):
        import pymysql
        self.conn = pymysql.connect(host=self.address, port=self.port, user="app", password="app-pw",
                                    connect_timeout=self.timeout, read_timeout=self.timeout,
                                    write_timeout=self.timeout, autocommit=False)
        self.cur = self.conn.cursor()
        self.cur.execute("SELECT @@server_id")
        self.srv = self.cur.fetchone()[0]
        self.note("C", time.monotonic(), self.srv)
        if not self.ready:
            for q in SCHEMA:
                self.cur.execute(q)
            self.ready = True

    def drop(self):
        if self.conn:
            self.conn._force_close()
        self.conn = None

    def write(self, ids):
        """One transaction."""
        for i in ids:
            now = time.monotonic()
            self.note("A", i, now, self.srv)
            self.cur.execute("INSERT INTO labdata.w VALUES (%s, %s, %s, %s)", (i, self.srv, now, "x" * 100))
        self.committing = True
        self.conn.commit()
        self.committing = False
        for i in ids:
            self.note("K", i, time.monotonic(), self.srv)


def main(address, port, file, first, rows, pause, timeout):
    client, number = Client(address, int(port), file, float(timeout)), int(first)
    while True:
        ids = range(number, number + int(rows))
        try:
            if client.conn is None:
                client.login()
            number += int(rows)
            client.write(ids)
        except Exception as e:
            code = e.args[0] if e.args and isinstance(e.args[0], int) else 0
            refused = not client.committing or code in SURE_AT_COMMIT
            for i in ids if number > ids[0] else ():
                client.note("R" if refused else "D", i, time.monotonic(), code)
            client.committing = False
            client.drop()
            time.sleep(0.01)
        time.sleep(float(pause))


class Writer:
    """The running client, and what its file says."""
    count = 0

    def __init__(self, lab, target, host=None, rows=1, pause=0.005, timeout=1.0):
        from .util import PYTHON
        Writer.count += 1
        self.lab, self.host = lab, host or lab.manager
        self.file = f"/srv/writer{Writer.count}"
        self.proc = self.host.start(
            [PYTHON, os.path.abspath(__file__), target.addr, getattr(target, "port", 3306), self.file,
             Writer.count * 10**9, rows, pause, timeout])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """No more writes; what was under way is in doubt."""
        self.proc.destroy()
        return self

    def facts(self):
        p = self.host.path(self.file)
        lines = p.read_text().split("\n")[:-1] if p.exists() else []
        return [l.split() for l in lines]

    def _of(self, letter):
        return {int(f[1]): (float(f[2]), int(f[3])) for f in self.facts() if f[0] == letter}

    def attempted(self):
        """{id: (time, server_id)}"""
        return self._of("A")

    def acknowledged(self):
        return self._of("K")

    def refused(self):
        return set(self._of("R"))

    def wait(self, count=20, server=None, since=None, within=20):
        """Until that many rows are acknowledged, by that server if one is named, after `since` (now)."""
        since = time.monotonic() if since is None else since

        def enough():
            got = [g for g in self.acknowledged().values()
                   if g[0] > since and (not server or g[1] == server.server_id)]
            return len(got) >= count
        self.lab.until(f"{count} rows are acknowledged" + (f" by {server}" if server else ""), enough, within)
        return self

    def outage(self):
        """The longest time between two acknowledged rows, in seconds."""
        times = sorted(t for t, _ in self.acknowledged().values())
        return max((b - a for a, b in zip(times, times[1:])), default=0.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
