# SPDX-License-Identifier: BSD-2-Clause
"""The server flavours: where their programs are, their settings, their words, their templates."""
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pymysql

from . import fetch
from .host import MYSQL_UID
from .util import LabError, Unavailable, locked, sh

# name -> value; True stands alone, None takes the setting out.
SMALL = {
    "skip-name-resolve": True, "max_connections": 100, "key_buffer_size": "64K", "table_open_cache": 200,
    "table_definition_cache": 400, "thread_cache_size": 4, "innodb_buffer_pool_size": "8M",
    "innodb_log_buffer_size": "2M", "performance_schema": "OFF", "host_cache_size": 0,
    "innodb_flush_log_at_trx_commit": 1, "sync_binlog": 1,
}
REPLICATION = {"log_bin": "mysql-bin", "relay_log": "relay-bin", "relay_log_purge": 0, "binlog_format": "ROW"}
FAMILY = {
    "my56": {
        "innodb_use_native_aio": 0, "innodb_log_file_size": "4M",
        "innodb_data_file_path": "ibdata1:12M:autoextend", "query_cache_type": 0, "query_cache_size": 0,
        "explicit_defaults_for_timestamp": 1, "sql_mode": "NO_ENGINE_SUBSTITUTION,STRICT_TRANS_TABLES",
    },
    "my97": {
        "mysqlx": "OFF", "secure_file_priv": "", "innodb_redo_log_capacity": "8M",
        "innodb_undo_log_truncate": "OFF", "innodb_page_cleaners": 1, "innodb_read_io_threads": 1,
        "innodb_write_io_threads": 1, "temptable_max_ram": "2M",
    },
    "ma": {
        "innodb_log_file_size": "4M", "innodb_use_native_aio": 0, "aria_pagecache_buffer_size": "128K",
        "query_cache_type": 0, "query_cache_size": 0,
    },
}
FAMILY_REPLICATION = {
    "my56": {"log_slave_updates": True, "master_info_repository": "TABLE",
             "relay_log_info_repository": "TABLE"},
    "my97": {"binlog_format": None},  # ROW is all it has; naming it is deprecated
    "ma": {"log_slave_updates": True},
}
MODE = {  # gtid_mode is ON by default on 9.7: position mode must say so
    ("my56", "gtid"): {"gtid_mode": "ON", "enforce_gtid_consistency": "ON"},
    ("my56", "pos"): {},
    ("my97", "gtid"): {"gtid_mode": "ON", "enforce_gtid_consistency": "ON"},
    ("my97", "pos"): {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"},
    ("ma", "gtid"): {"gtid_strict_mode": 1},
    ("ma", "pos"): {},
}
ACCOUNTS = {"mha": "mha-pw", "repl": "repl-pw", "app": "app-pw"}
MA_GRANTS = [
    "GRANT ALL ON *.* TO mha@'%' IDENTIFIED BY 'mha-pw' WITH GRANT OPTION",
    "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl@'%' IDENTIFIED BY 'repl-pw'",
    "GRANT ALL ON labdata.* TO app@'%' IDENTIFIED BY 'app-pw'",
]
MY97_GRANTS = [
    *(f"CREATE USER {u}@'%' IDENTIFIED BY '{p}'" for u, p in ACCOUNTS.items()),
    "GRANT ALL ON *.* TO mha@'%' WITH GRANT OPTION",
    "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO repl@'%'",
    "GRANT ALL ON labdata.* TO app@'%'",
]


def cnf(settings):
    """my.cnf text."""
    lines = ["[mysqld]"]
    for k, v in settings.items():
        if v is not None:
            lines.append(k if v is True else f"{k}={v}")
    return "\n".join(lines) + "\n"


class Flavour:
    """One flavour.  `home` is its folder in the cache or None for the machine's own server."""
    semisync = gtid = channels = True
    slave, master, change = "SLAVE", "MASTER", "CHANGE MASTER"

    def __init__(self, name, family, home, base, share, daemon):
        self.name, self.family, self.home = name, family, home
        self.base, self.share, self.daemon = base, share, daemon

    def __repr__(self):
        return self.name

    @property
    def mariadb(self):
        return self.family == "ma"

    @property
    def version(self):
        if self.home:
            return (self.home / "VERSION").read_text()
        return fetch._version(sh(self.daemon, "--no-defaults", "--version"))

    def settings(self, mode, semisync=None):
        """What my.cnf says, apart from what differs between servers."""
        s = {"user": "mysql", "basedir": self.base, "lc_messages_dir": self.share, **SMALL,
             **FAMILY[self.family], **REPLICATION, **FAMILY_REPLICATION[self.family],
             **MODE[self.family, mode]}
        if semisync:
            s.update(self.semisync_settings(semisync))
        return s

    def semisync_settings(self, side):
        """side: "master", "slave" or "both"; without the plug-ins there is nothing to set."""
        on = {"master": int(side != "slave"), "slave": int(side != "master")}
        if self.mariadb:
            return {f"rpl_semi_sync_{k}_enabled": v for k, v in on.items()}
        return {"plugin_load_add": "semisync_source.so;semisync_replica.so",
                "loose_rpl_semi_sync_source_enabled": on["master"],
                "loose_rpl_semi_sync_replica_enabled": on["slave"]}

    def point(self, mode, host, port, file=None, pos=None, channel=None):
        """The CHANGE MASTER statement."""
        p = self.master
        parts = [f"{p}_HOST='{host}'", f"{p}_PORT={port}", f"{p}_USER='repl'", f"{p}_PASSWORD='repl-pw'",
                 f"{p}_CONNECT_RETRY=1"]
        if self.family == "my97":
            parts.append("GET_SOURCE_PUBLIC_KEY=1")
        if self.mariadb:
            parts.append("MASTER_USE_GTID=" + ("slave_pos" if mode == "gtid" else "no"))
        else:
            parts.append(f"{p}_AUTO_POSITION={int(mode == 'gtid')}")
        if mode == "pos":
            parts += [f"{p}_LOG_FILE='{file}'", f"{p}_LOG_POS={pos}"]
        name, suffix = self.channel(channel)
        return f"{self.change}{name} TO {', '.join(parts)}{suffix}"

    def channel(self, channel):
        """How a channel is named behind the verb and at the end of a statement."""
        if not channel:
            return "", ""
        return (f" '{channel}'", "") if self.mariadb else ("", f" FOR CHANNEL '{channel}'")

    def client(self, tool):
        """A client program as the hosts see it, None if there is none.  MariaDB's serve 5.6."""
        names = [tool, tool.replace("mysql", "mariadb-").rstrip("-")]
        where = [(self.home / "bin", f"/opt/lab/{self.name}/bin")] if self.home else []
        for outside, inside in [*where, (Path("/usr/bin"), "/usr/bin")]:
            for n in names:
                if (outside / n).exists():
                    return f"{inside}/{n}"
        return None

    # ---- template -----------------------------------------------------------------------------
    def template(self):
        """An initialised data directory with the accounts, made once for this version."""
        inputs = repr((self.version, MYSQL_UID, self.grants, SMALL, FAMILY[self.family]))
        key = hashlib.sha256(inputs.encode()).hexdigest()[:12]
        top = fetch.cache() / "templates"
        done = top / f"{self.name}-{key}"
        with locked(top / f"{self.name}.lock"):
            if not done.exists():
                self._forget_unused(top)
                new = top / f".new-{self.name}"
                shutil.rmtree(new, ignore_errors=True)
                new.mkdir(mode=0o755)
                self._make_template(new)
                new.rename(done)
            os.utime(done)
        return done

    def _forget_unused(self, top):
        for old in top.glob(f"{self.name}-*"):
            if time.time() - old.stat().st_mtime > 30 * 86400:
                shutil.rmtree(old)

    def outside(self):
        """How to run the daemon on the machine itself, where /opt/lab does not exist."""
        return [self.daemon], {}

    def _make_template(self, new):
        data = new / "data"
        data.mkdir()
        self.initialise(data)
        sock = new / "sock"
        (new / "my.cnf").write_text(cnf({
            **SMALL, **FAMILY[self.family], "user": "root", "basedir": self.outer(self.base),
            "lc_messages_dir": self.outer(self.share), "datadir": data, "socket": sock,
            "pid_file": new / "pid", "skip-networking": True, "skip-log-bin": True}))
        argv, env = self.outside()
        with open(new / "log", "wb") as log:
            p = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv, f"--defaults-file={new}/my.cnf"],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **env},
                                 start_new_session=True)
        try:
            with self._first_login(p, sock, new / "log") as c:
                for q in self.grants:
                    c.cursor().execute(q)
            p.terminate()
            p.wait(60)
        finally:
            p.kill()
            p.wait()
        for junk in ("auto.cnf", "ib_buffer_pool"):
            (data / junk).unlink(missing_ok=True)
        sh("chown", "-R", f"{MYSQL_UID}:{MYSQL_UID}", data)

    def _first_login(self, process, sock, log):
        end = time.monotonic() + 60
        while True:
            try:
                return pymysql.connect(unix_socket=str(sock), user="root", autocommit=True)
            except pymysql.Error:
                if process.poll() is not None or time.monotonic() > end:
                    raise LabError(f"{self}: the template does not start: {log.read_text()[-1000:]}") from None
                time.sleep(0.05)

    def outer(self, path):
        """A path of a host, seen from the machine."""
        return path.replace(f"/opt/lab/{self.name}", str(self.home)) if self.home else path

    def bootstrap(self, data, statements, *options):
        argv, env = self.outside()
        sh("setpriv", "--pdeathsig", "KILL", *argv, "--no-defaults", "--bootstrap", "--user=root",
           f"--basedir={self.outer(self.base)}", f"--datadir={data}",
           f"--lc-messages-dir={self.outer(self.share)}", "--innodb-use-native-aio=0",
           "--innodb-log-file-size=4M", *options, input=statements, env={**os.environ, **env})

    def share_file(self, name):
        return Path(self.outer(self.share), name).read_text()


class Mysql56(Flavour):
    semisync = channels = False  # the package has no plug-ins; 5.6 has no channels
    grants = MA_GRANTS

    def outside(self):
        return [str(self.home / "root/mysqld")], {"LD_LIBRARY_PATH": str(self.home / "root")}

    def initialise(self, data):
        (data / "mysql").mkdir()
        (data / "test").mkdir()
        self.bootstrap(data, "use mysql;\n" + self.share_file("mysql_system_tables.sql")
                       + self.share_file("mysql_system_tables_data.sql")
                       + "DELETE FROM user WHERE user='';\nDELETE FROM db;\n",
                       "--innodb-data-file-path=ibdata1:12M:autoextend")


class Mysql97(Flavour):
    slave, master, change = "REPLICA", "SOURCE", "CHANGE REPLICATION SOURCE"
    grants = MY97_GRANTS

    def outside(self):
        return _through_loader(self.home, "mysqld"), {}

    def initialise(self, data):
        argv, _ = self.outside()
        sh("setpriv", "--pdeathsig", "KILL", *argv, "--no-defaults", "--initialize-insecure", "--user=root",
           f"--basedir={self.outer(self.base)}", f"--datadir={data}",
           f"--lc-messages-dir={self.outer(self.share)}", "--innodb-redo-log-capacity=16M")


class Mariadb(Flavour):
    grants = MA_GRANTS

    def outside(self):
        return (_through_loader(self.home, "mariadbd") if self.home else [self.daemon]), {}

    def initialise(self, data):
        (data / "mysql").mkdir()
        prefix = "mariadb" if Path(self.outer(self.share), "mariadb_system_tables.sql").exists() else "mysql"
        files = ("system_tables", "performance_tables", "system_tables_data")
        self.bootstrap(data, "use mysql;\nSET @auth_root_socket=NULL, @skip_auth_anonymous=1;\n"
                       + "".join(self.share_file(f"{prefix}_{f}.sql") for f in files),
                       "--log-warnings=0", "--enforce-storage-engine=")


def _through_loader(home, daemon):
    loader = (home / "ld.so").resolve()
    return [str(loader), "--library-path", str(loader.parent), str(home / "root/usr/sbin" / daemon)]


def _ma1011():
    daemon = shutil.which("mariadbd", path="/usr/sbin:/usr/libexec:/usr/bin")
    if not daemon:
        raise Unavailable("ma1011: this machine has no mariadbd (Debian: mariadb-server-core)")
    share = next((d for d in ("/usr/share/mysql", "/usr/share/mariadb")
                  if Path(d, "errmsg-utf8.txt").exists() or Path(d, "english/errmsg.sys").exists()), None)
    if not share:
        raise Unavailable("ma1011: mariadbd's share directory is not found")
    return Mariadb("ma1011", "ma", None, "/usr", share, daemon)


def _fetched(cls, name, family, base, share):
    home = fetch.ensure(name)
    b = f"/opt/lab/{name}/{base}"
    daemon = f"/opt/lab/{name}/bin/" + ("mariadbd" if family == "ma" else "mysqld")
    return cls(name, family, home, b, f"{b}/{share}", daemon)


FLAVOURS = {
    "ma1011": _ma1011,
    "my97": lambda: _fetched(Mysql97, "my97", "my97", "root/usr", "share/mysql"),
    "my56": lambda: _fetched(Mysql56, "my56", "my56", "root", "share"),
    "ma118": lambda: _fetched(Mariadb, "ma118", "ma", "root/usr", "share/mariadb"),
}


def flavour(name):
    """The flavour of that name; Unavailable, with the reason, when this machine cannot have it."""
    if name not in FLAVOURS:
        raise LabError(f"flavours are {', '.join(FLAVOURS)}, not {name!r}")
    return FLAVOURS[name]()
