# SPDX-License-Identifier: BSD-2-Clause
"""One mysqld on a host: its files, its life, and SQL as root over its socket.

The socket is reached through the file system, so sql() works whatever the network does.
"""
import os
import select
import shutil
import signal
import time

import pymysql

from .flavour import cnf, flavour
from .host import MYSQL_UID
from .util import LabError, sh, wait_gone

DISK = "1G"  # the most a data directory may take; a tmpfs needs memory only for what is in it


class Server:
    def __init__(self, host, flav, port=3306, mode="gtid", server_id=None, options=None, disk=DISK):
        self.host, self.lab, self.port, self.mode = host, host.lab, port, mode
        self.flavour = flavour(flav) if isinstance(flav, str) else flav
        self.name = host.name if port == 3306 else f"{host.name}:{port}"
        self.server_id = server_id or int(host.addr.rsplit(".", 1)[1]) * 100 + port % 100
        self.options, self.disk = dict(options or {}), disk
        self.base = f"/srv/mysql{port}"
        self.data, self.sock, self.cnf = self.base + "/data", self.base + "/sock", self.base + "/my.cnf"
        self._conn = None
        if self.name in self.lab.servers:
            raise LabError(f"{self.name} has a server already")
        self.lab.servers[self.name] = self

    def __repr__(self):
        return self.name

    @property
    def addr(self):
        return self.host.addr

    def note(self):
        return {"host": self.host.name, "flavour": self.flavour.name, "port": self.port, "mode": self.mode,
                "server_id": self.server_id, "options": self.options, "disk": self.disk}

    @classmethod
    def restore(cls, lab, d):
        return cls(lab.hosts[d["host"]], d["flavour"], d["port"], d["mode"], d["server_id"], d["options"], d["disk"])

    # ---- files ------------------------------------------------------------------------------
    def path(self, file=""):
        """A file of the data directory, for this program."""
        return self.host.path(f"{self.data}/{file}")

    def create(self):
        """Data directory, on a disk of its own (in memory, or below a directory of the machine: its path), from the
        template; my.cnf."""
        data = f"{self.host.disk}{self.data}"
        self.path().mkdir(parents=True)
        mount = ["-t", "tmpfs", "-o", f"size={self.disk},mode=750,uid={MYSQL_UID},gid={MYSQL_UID}", "none"]
        if self.disk.startswith("/"):
            real = f"{self.disk}/{self.name}"
            os.mkdir(real, 0o750)
            os.chown(real, MYSQL_UID, MYSQL_UID)
            mount = ["--bind", real]
        sh("nsenter", "-t", self.lab.pid, "-m", "mount", *mount, data)
        os.chown(self.host.path(self.base), MYSQL_UID, MYSQL_UID)
        self._fill(self.flavour.template() / "data")
        self.link_clients()

    def _fill(self, source):
        sh("cp", "-a", "--sparse=always", f"{source}/.", self.path())

    def link_clients(self):
        """The client programs that fit this server come first in PATH, under MySQL's names."""
        for tool in ("mysql", "mysqlbinlog", "mysqladmin", "mysqldump"):
            link = self.host.path("/usr/local/bin/" + tool)
            program = self.flavour.client(tool)
            link.parent.mkdir(parents=True, exist_ok=True)
            if program and not link.is_symlink():
                link.symlink_to(program)

    def configure(self, **options):
        """Write my.cnf, with these options from now on (None takes one out)."""
        self.options.update(options)
        own = {"datadir": self.data, "socket": self.sock, "pid_file": self.base + "/pid", "port": self.port,
               "server_id": self.server_id, "report_host": self.host.addr, "report_port": self.port,
               "tmpdir": self.data}
        self.host.write(self.cnf, cnf({**self.flavour.settings(self.mode), **own, **self.options}))

    def snapshot(self, name="snapshot"):
        """Copy the data directory as a crash right now would leave it; for restore_snapshot()."""
        copy = self.host.path(f"{self.base}/{name}")
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        pid = self.pid
        try:
            if pid:
                os.kill(pid, signal.SIGSTOP)
            sh("cp", "-a", "--sparse=always", f"{self.path()}/.", copy)
        finally:
            if pid:
                os.kill(pid, signal.SIGCONT)
        return copy

    def restore_snapshot(self, copy, keep=()):
        """Put that data directory back; files whose name starts as in `keep` stay as they are."""
        self._must_be_down()
        for f in self.path().iterdir():
            if not f.name.startswith(tuple(keep)):
                shutil.rmtree(f) if f.is_dir() else f.unlink()
        for f in copy.iterdir():
            if not f.name.startswith(tuple(keep)):
                sh("cp", "-a", "--sparse=always", f, self.path())

    def _must_be_down(self):
        if self.running:
            raise LabError(f"{self} runs")

    def binlogs(self):
        """Its binlog files, oldest first, for this program."""
        index = self.path("mysql-bin.index").read_text().split()
        return [self.path(os.path.basename(f)) for f in index]

    def log(self):
        """The error log."""
        p = self.host.path(self.base + "/err.log")
        return p.read_text(errors="replace") if p.exists() else ""

    # ---- life -------------------------------------------------------------------------------
    @property
    def pid(self):
        """Of the mysqld, as the machine counts; None when it does not run."""
        for pid, argv in self.host.processes():
            if f"--defaults-file={self.cnf}" in argv and os.path.basename(argv[0]) in ("mysqld", "mariadbd"):
                return pid
        return None

    @property
    def running(self):
        return self.pid is not None

    def launch(self, **options):
        """Start without waiting."""
        self._must_be_down()
        self.configure(**options)
        self.forget()
        for f in ("sock", "sock.lock", "pid"):
            self.host.path(f"{self.base}/{f}").unlink(missing_ok=True)
        self.host.daemon([self.flavour.daemon, f"--defaults-file={self.cnf}"], self.base + "/err.log")
        return self

    def start(self, **options):
        self.launch(**options)
        return self.wait()

    def supervise(self):
        """Start under a small supervisor that starts it again whenever it ends, as mysqld_safe does."""
        self._must_be_down()
        self.configure()
        loop = 'while :; do rm -f "$1/sock.lock"; "$2" --defaults-file="$3"; sleep 0.5; done'
        self.host.daemon(["sh", "-c", loop, "mysqld_guard", self.base, self.flavour.daemon, self.cnf],
                         self.base + "/err.log")
        return self.wait()

    def wait(self, within=60.0):
        """Until it answers.  A server that has died meanwhile is not waited for."""
        end, seen = time.monotonic() + within, time.monotonic()
        while True:
            try:
                self._conn = self.connect(read_timeout=5)
                return self
            except pymysql.Error as e:
                now = time.monotonic()
                seen = now if self.running else seen
                if now > end or now - seen > 1:
                    tail = "\n".join(self.log().splitlines()[-15:])
                    raise LabError(f"{self} does not come up ({e}):\n{tail}") from None
                time.sleep(0.02)

    def stop(self):
        """Clean shutdown."""
        self._end(signal.SIGTERM)

    def kill(self):
        """kill -9."""
        self._end(signal.SIGKILL)

    def _end(self, sig):
        self.forget()
        pid = self.pid
        if pid is None:
            return
        fd = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(fd, sig)
            if not select.select([fd], [], [], 60)[0]:
                raise LabError(f"{self} does not end")
        finally:
            os.close(fd)
        wait_gone(pid)

    def restart(self, **options):
        self.stop()
        return self.start(**options)

    def freeze(self):
        os.kill(self._live_pid(), signal.SIGSTOP)

    def thaw(self):
        os.kill(self._live_pid(), signal.SIGCONT)

    def _live_pid(self):
        pid = self.pid
        if pid is None:
            raise LabError(f"{self} does not run")
        return pid

    # ---- SQL --------------------------------------------------------------------------------
    def connect(self, user="root", read_timeout=10, **kw):
        """A session over the socket."""
        return pymysql.connect(unix_socket=str(self.host.path(self.sock)), user=user, autocommit=True,
                               connect_timeout=3, read_timeout=read_timeout, write_timeout=10, **kw)

    def forget(self):
        """Drop the session that sql() keeps."""
        if self._conn:
            self._conn._force_close()
        self._conn = None

    def sql(self, query, *args):
        """Rows as tuples.  A lost session is opened again before, never during, a statement."""
        try:
            if self._conn is None:
                self._conn = self.connect()
            else:
                self._conn.ping(reconnect=True)
            with self._conn.cursor() as c:
                c.execute(query, args or None)
                return list(c.fetchall())
        except pymysql.OperationalError as e:
            if e.args[0] in (0, 2003, 2006, 2013):
                self.forget()
            raise

    def one(self, query, *args):
        """The first value of the first row."""
        rows = self.sql(query, *args)
        return rows[0][0] if rows else None

    def script(self, text):
        """Several statements, separated by semicolons."""
        for q in filter(None, (q.strip() for q in text.split(";"))):
            self.sql(q)

    def _named(self, query):
        with self.connect() as c, c.cursor(pymysql.cursors.DictCursor) as cur:
            cur.execute(query)
            return [dict(r) for r in cur.fetchall()]

    def variable(self, name):
        return self.one(f"SELECT @@GLOBAL.{name}")

    def set(self, **variables):
        for k, v in variables.items():
            self.sql(f"SET GLOBAL {k}=%s", v)

    # ---- replication ------------------------------------------------------------------------
    def position(self):
        """(file, position) of the end of its own binlog."""
        row = self.sql("SHOW BINARY LOG STATUS" if self.flavour.family == "my97" else "SHOW MASTER STATUS")[0]
        return row[0], int(row[1])

    def gtids(self):
        """What it has executed, as it says."""
        if self.flavour.mariadb:
            return self.one("SELECT @@GLOBAL.gtid_current_pos")
        return self.one("SELECT @@GLOBAL.gtid_executed").replace("\n", "")

    def status(self, channel=None):
        """SHOW SLAVE STATUS with 5.6's column names on every flavour; {} if it is no slave."""
        verb, suffix = self.flavour.channel(channel)
        if self.flavour.family == "my97":
            suffix = f" FOR CHANNEL '{channel or ''}'"
        rows = self._named(f"SHOW {self.flavour.slave}{verb} STATUS{suffix}")
        old = lambda name: name.replace("Source", "Master").replace("Replica", "Slave")
        return {old(k): v for k, v in rows[0].items()} if rows else {}

    def master(self):
        """The server it replicates from, None if it does not."""
        s = self.status()
        return next((m for m in self.lab.servers.values() if s and s["Master_Host"] in (m.addr, m.host.name)
                     and int(s["Master_Port"]) == m.port), None)

    def replicating(self, channel=None):
        s = self.status(channel)
        return bool(s) and s["Slave_IO_Running"] == "Yes" and s["Slave_SQL_Running"] == "Yes"

    def follow(self, master, at=None, channel=None):
        """Replicate from master: in position mode from `at`, the end of its binlog by default."""
        file, pos = at or (master.position() if self.mode == "pos" else (None, None))
        verb, suffix = self.flavour.channel(channel)
        self.sql(self.flavour.point(self.mode, master.addr, master.port, file, pos, channel))
        self.sql(f"START {self.flavour.slave}{verb}{suffix}")

    def stop_slave(self, thread=""):
        self.sql(f"STOP {self.flavour.slave} {thread}")

    def start_slave(self, thread=""):
        self.sql(f"START {self.flavour.slave} {thread}")

    def reset_slave(self):
        self.sql(f"STOP {self.flavour.slave}")
        self.sql(f"RESET {self.flavour.slave} ALL")

    def caught_up(self, within=15):
        """Wait until it has applied what its master has written up to now."""
        master = self.master()
        file, pos = master.position()
        with self.connect(read_timeout=within + 5) as c, c.cursor() as cur:
            which = ", ''" if self.flavour.family == "my97" else ""  # the unnamed channel among several
            cur.execute(f"SELECT {self.flavour.master}_POS_WAIT('{file}', {pos}, {within}{which})")
            got = cur.fetchone()[0]
        if got is None or got < 0:
            raise LabError(f"{self} does not reach {file}:{pos} of {master}: {self.status()}")
        return self

    # ---- as its clients see it --------------------------------------------------------------
    def login_from(self, host, user="mha", timeout=2, **kw):
        """A session over the network from another host."""
        sock = host.socket()
        sock.settimeout(timeout)
        conn = pymysql.Connection(user=user, password=user + "-pw", read_timeout=timeout, write_timeout=timeout,
                                  defer_connect=True, autocommit=True, **kw)
        try:
            sock.connect((self.addr, self.port))
            conn.connect(sock)
        except BaseException:
            sock.close()
            raise
        return conn
