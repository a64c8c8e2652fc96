# SPDX-License-Identifier: BSD-2-Clause
"""The packages: contents, and the README's five steps on a host that has nothing but Debian's minimum."""
import os
import re
import shutil
import subprocess
import time

import pytest

from . import systemd
from .fetch import cache
from .host import programs
from .systemd import Systemd
from .util import REPO, Unavailable, locked, sh, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500, func_only=True)]
CLEAN = "clean-bookworm"
# What the packages need, so that they can be installed where there is no network.
INCLUDE = ("systemd,openssh-client,libmariadb3,libev4,libssh2-1,libconfig9,libjansson4,libzstd1,libsystemd0,zlib1g,"
           "libmicrohttpd12,procps")
# The overlay's lower half is the minimal system; nothing of the lab's hosts is seen in it but their names.
CLEAN_BOOT = r"""set -e
mount --make-rprivate /
mount -t tmpfs -o size=2g none /mnt
mkdir /mnt/up /mnt/work /mnt/root
mount -t overlay -o lowerdir=/opt/lab/""" + CLEAN + r""",upperdir=/mnt/up,workdir=/mnt/work none /mnt/root
cp /etc/hosts /etc/hostname /etc/lab.target /mnt/root/etc/
mkdir -p /mnt/root/etc/systemd/journald.conf.d /mnt/root/root/.ssh
cp /etc/systemd/journald.conf.d/lab.conf /mnt/root/etc/systemd/journald.conf.d/
cp /root/.ssh/id_ed25519* /mnt/root/root/.ssh/
rm -rf /mnt/root/lib/systemd/system/*.wants /mnt/root/etc/systemd/system/*.wants /mnt/root/lib/systemd/system-generators
mount --rbind /dev /mnt/root/dev
mount -t sysfs none /mnt/root/sys
mount -t proc proc /mnt/root/proc
cd /mnt/root
pivot_root . mnt
umount -l /mnt
""" + systemd.BOOT.split("mount --make-rprivate /\n", 1)[1]


def need(*names):
    for name in names:
        if not shutil.which(name):
            raise Unavailable(f"there is no {name} on this machine")


def clean_root():
    """A minimal Debian 12, made once."""
    need("debootstrap")
    root = cache() / "programs" / CLEAN
    with locked(cache() / f"{CLEAN}.lock"):
        if not (root / "usr/bin/apt").exists():
            lines = sh("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)").splitlines()
            sites = [line.split()[0] for line in lines if line.split()[1:] == ["bookworm", "main"]]
            if not sites:
                raise Unavailable("this machine's apt names no source of Debian 12")
            shutil.rmtree(root, ignore_errors=True)
            made = subprocess.run(["debootstrap", "--variant=minbase", f"--include={INCLUDE}", "bookworm", root, sites[0]],
                                  cwd="/", capture_output=True, text=True)
            if made.returncode:
                shutil.rmtree(root, ignore_errors=True)
                raise Unavailable(f"debootstrap: {made.stdout.strip().splitlines()[-1:]}")
    return root


def make(target):
    build = programs().parent
    run = subprocess.run(["make", target, f"B={build}"], cwd=REPO, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return build / target


@pytest.fixture(scope="module")
def debs():
    """{package: file} as `make deb` builds them."""
    need("dpkg-buildpackage", "dh", "fakeroot")
    where = make("deb")
    return {n: next(where.glob(f"{n}_*.deb")) for n in ("mhad", "mhad-node")}


@pytest.fixture(scope="module")
def rpms():
    need("rpmbuild")
    where = make("rpm")
    return {n: next(where.glob(f"RPMS/*/{n}-0*.rpm")) for n in ("mhad", "mhad-node")}


def installed(tmp_path):
    """What `make install` puts where."""
    run = subprocess.run(["make", "install", f"DESTDIR={tmp_path}", "prefix=/usr", f"B={programs().parent}",
                          f"-o{programs().parent}/bin/mhactl", "-oall"], cwd=REPO, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    return {"/" + str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir() or p.is_symlink()}


def plain(path):
    """The same name in all of them."""
    path = re.sub(r"^/lib/systemd", "/usr/lib/systemd", path)
    return re.sub(r"\.gz$", "", path)


# ---- contents -----------------------------------------------------------------------------------
def test_deb_contents(debs, tmp_path):
    """Each file of `make install` in one package; lintian has nothing to say."""
    need("lintian")
    listed = {n: {plain(line.split(None, 5)[5].split(" -> ")[0][1:])
                  for line in sh("dpkg-deb", "-c", f).splitlines() if not line.startswith("d")} for n, f in debs.items()}
    assert not listed["mhad"] & listed["mhad-node"]
    missing = {plain(f) for f in installed(tmp_path)} - listed["mhad"] - listed["mhad-node"]
    assert missing == {"/usr/share/doc/mhad/LICENSE"}, "it is in the copyright file"
    assert {"/usr/bin/mha-node", "/usr/bin/save_binary_logs", "/etc/mhad/node.conf"} <= listed["mhad-node"]
    for name, old in (("mhad", "mha4mysql-manager"), ("mhad-node", "mha4mysql-node")):
        for field in ("Provides", "Conflicts", "Replaces"):
            assert sh("dpkg-deb", "-f", debs[name], field).strip() == old
    # The project has no mail domain.
    run = subprocess.run(["lintian", "--suppress-tags", "bogus-mail-host,bogus-mail-host-in-debian-changelog",
                          next(debs["mhad"].parent.glob("*.changes"))], capture_output=True, text=True)
    assert not run.stdout.strip() and run.returncode == 0, run.stdout


def test_a_database_host_needs_little(debs, tmp_path):
    sh("dpkg-deb", "-x", debs["mhad-node"], tmp_path)
    program = tmp_path / "usr/bin/mha-node"
    needs = re.findall(r"NEEDED\W+\[?([\w.+-]+)", sh("objdump", "-p", program))
    assert {n.split(".so")[0] for n in needs} <= {"libmariadb", "libc", "libcrypto", "libssl", "ld-linux-x86-64"}, needs
    assert program.stat().st_size < 1_000_000


def test_build_dependencies_are_those_of_the_makefile():
    """One list in packaging/deps, one in the package, one in the spec."""
    deps = re.search(r"build='([^']*)'", (REPO / "packaging/deps").read_text())[1].split()
    control = (REPO / "packaging/deb/control").read_text()
    spec = (REPO / "packaging/rpm/mhad.spec").read_text()
    for d in deps:
        if d not in ("gcc", "make", "libc6-dev"):
            assert re.search(rf"^ +{re.escape(d)},?$", control, re.M), d
    el9 = {"libmariadb-dev": "mariadb-connector-c-devel", "libssh2-1-dev": "libssh2-devel", "zlib1g-dev": "zlib-devel",
           "libsystemd-dev": "systemd-devel", "libjansson-dev": "jansson-devel", "pkg-config": "pkgconfig", "libc6-dev": "gcc"}
    wanted = set(re.findall(r"[\w.+-]+", " ".join(re.findall(r"^BuildRequires:(.*)$", spec, re.M))))
    for d in deps:
        assert el9.get(d, re.sub(r"-dev$", "-devel", d)) in wanted, d


def test_rpm_contents(rpms, tmp_path):
    listed = {n: {plain(f) for f in sh("rpm", "-qlp", f).splitlines()} for n, f in rpms.items()}
    files = {plain(f) for f in installed(tmp_path)} - {"/usr/share/doc/mhad/LICENSE"}
    assert not files - listed["mhad"] - listed["mhad-node"]
    assert {"/usr/bin/mha-node", "/etc/mhad/node.conf"} <= listed["mhad-node"]
    config = sh("rpm", "-qcp", rpms["mhad"]).split()
    assert set(config) == {"/etc/mhad/mhad.conf", "/etc/logrotate.d/mhad"}
    for name, old in (("mhad", "mha4mysql-manager"), ("mhad-node", "mha4mysql-node")):
        assert old in sh("rpm", "-qp", "--provides", rpms[name])
        assert old in sh("rpm", "-qp", "--conflicts", rpms[name])


def test_rpm_scriptlets(rpms):
    """Installed into a root of its own: accounts and directories are made; an upgrade starts again what runs; erased, the
    files are gone."""
    root = cache().parent / f"mhad-rpm-root-{os.getpid()}"
    script = r"""set -e
mkdir -p "$1"
mount -t tmpfs -o size=1g none "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/up,workdir=$1/work" none "$1/root"
r=$1/root
mount -t proc proc "$r/proc"
rpm() { command rpm --root "$r" --dbpath /var/lib/rpm --nodeps --nosignature "$@"; }
mkdir -p "$r/run/systemd/system"
rm "$r/bin/systemctl"
printf '#!/bin/sh\necho "systemctl $*" >>/run/asked\n' >"$r/bin/systemctl"
chmod 755 "$r/bin/systemctl"
asked() { grep -v daemon-reload "$r/run/asked" || :; rm "$r/run/asked"; }
rpm -i "$3" "$4"
asked
chroot "$r" getent passwd mhad
chroot "$r" stat -c '%U:%G:%a' /var/lib/mhad /etc/mhad/mhad.conf
chroot "$r" mhactl --version
echo '# mine' >>"$r/etc/mhad/mhad.conf"
rpm -U --force "$3"
tail -n 1 "$r/etc/mhad/mhad.conf"
asked
rpm -e mhad mhad-node
asked | sort
find "$r/usr" -name '*mhad*' -o -name 'masterha*' -o -name '*mha-node*'
"""
    clean = clean_root()
    try:
        out = sh("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", root, clean,
                 rpms["mhad"], rpms["mhad-node"], timeout=120)
    finally:
        root.rmdir()
    lines = out.splitlines()
    assert lines[0].startswith("mhad:x:") and lines[1:3] == ["mhad:mhad:750", "root:mhad:640"], out
    assert lines[3].startswith("mhactl ") and lines[4] == "# mine", out
    assert lines[5:] == ["systemctl try-restart mhad.service", "systemctl --no-reload disable --now mha-node-purge.timer",
                         "systemctl --no-reload disable --now mhad.service", "systemctl stop mhad@*.service"], out


# ---- five steps ---------------------------------------------------------------------------------
def steps():
    """The command lines of the README's five steps, in order."""
    text = (REPO / "README.md").read_text().split("## From MHA in five steps\n")[1].split("\n## ")[0]
    parts = re.split(r"^\*\*\d\. ", text, flags=re.M)[1:]
    assert len(parts) == 5
    return [re.findall(r"^    (\S.*)$", p, re.M) for p in parts]


def contents(sd):
    """Every file of the host, and the accounts."""
    skip = "^/(proc|sys|dev|run|tmp|var/tmp|var/log|var/cache|var/lib/(dpkg|apt|systemd/catalog)|mnt|root|srv)(/|$)"
    found = sd.run(["find", "/", "-xdev"]).out.splitlines()
    names = {f for f in found if not re.search(skip, f) and not re.fullmatch(r"/etc/(passwd|group|g?shadow|sub[ug]id)-", f)}
    return names, sd.run(["cat", "/etc/passwd", "/etc/group"]).out


def repack(deb, version, where):
    """The same with another version."""
    sh("dpkg-deb", "-R", deb, where / "x")
    control = where / "x/DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*", f"Version: {version}", control.read_text(), flags=re.M))
    new = where / f"{deb.name.split('_')[0]}_{version}.deb"
    sh("dpkg-deb", "--root-owner-group", "-b", where / "x", new)
    shutil.rmtree(where / "x")
    return new


@pytest.fixture
def clean(lab, monkeypatch):
    clean_root()
    monkeypatch.setattr(systemd, "BOOT", CLEAN_BOOT)
    with Systemd(lab.manager) as sd:
        yield sd


def apt(host, line):
    """As it stands in the README, but that nobody is there to be asked."""
    return host.run(["sh", "-c", line.replace("apt ", "apt-get -y -q ")], cwd="/srv",
                    env={"DEBIAN_FRONTEND": "noninteractive"}, timeout=120)


def test_five_steps(clean, lab, debs, tmp_path):
    """Installed, migrated, watched, failed over, upgraded, downgraded, removed, purged: and nothing is left."""
    sd, cluster = clean, lab.cluster("ma1011", 3)
    db1, db2, db3 = cluster
    before = contents(sd)
    packages, key, check, file, start = steps()
    for name, deb in debs.items():
        for root in [sd.path("/srv")] + [s.host.path("/srv") for s in cluster]:
            shutil.copy(deb, root / deb.name)

    # 1. Packages.
    r = apt(sd, packages[0])
    assert r.rc == 0, r
    for s in cluster:
        r = apt(s.host, packages[1])
        assert r.rc == 0, r
        s.host.write("/etc/mhad/node.conf", f"directory = {s.data}\ndirectory = /var/tmp\ndirectory = {cluster.workdir}\n"
                     f"port = {s.port}\naddress = {lab.vip}\n")
    assert sd.state("mhad") == "inactive/dead"
    sd.path("/etc/app1.cnf").write_text(cluster.conf_text(
        manager_workdir="/var/tmp", ssh_user="root", master_ip_failover_script="/usr/share/mhad/scripts/master_ip_failover"))
    sd.path("/etc/mhad/vip.conf").write_text(f'VIP="{lab.vip}/24"\nVIP_DEVICE=eth0\n')
    db1.host.run(["ip", "addr", "add", f"{lab.vip}/24", "dev", "eth0"], check=True)
    os.chmod(sd.path("/etc/app1.cnf"), 0o600)

    def follow(lines):
        for line in lines:
            r = sd.run(["sh", "-c", line], check=False, timeout=90)
            print(f"$ {line}\n{r.out}{r.err}")
            assert r.rc == 0, r

    # 2 to 5.
    for lines in (key, check, file):
        follow(lines)
    for s in cluster:  # the manager's key admits no more than it should
        assert "mha-node gate" in s.host.read("/root/.ssh/authorized_keys")
    follow(start[:1])
    until("it watches", lambda: sd.run(["mhactl", "status"], check=False).rc == 0, 30)
    follow(start[1:])

    # A failover.
    load = lab.writer(db1).wait(30)
    db1.kill()
    began = time.monotonic()
    until("db2 is the master", lambda: "db2" in sd.run(["mhactl", "status", "--json"], check=False).out
          and not db2.one("SELECT @@read_only") and db3.master() is db2, 60)
    print(f"after {time.monotonic() - began:.1f} s")
    load.stop()
    until("the address is there", lambda: lab.vip.holders() == [db2.host], 10)
    until("it is told", lambda: "db2" in sd.run(["mhactl", "report", "app1"], check=False).out, 30)

    # Upgrade and downgrade, while it runs.
    def state():
        return [sd.run(["sha256sum", "/etc/mhad/clusters.d/app1.conf", "/etc/mhad/mhad.conf", "/etc/mhad/vip.conf",
                        "/var/lib/mhad/.ssh/id_ed25519"]).out, sd.run(["mhactl", "report", "app1"]).out]
    was = state()
    for version in ("99.0", "0.0.1"):
        new = repack(debs["mhad"], version, tmp_path)
        shutil.copy(new, sd.path("/srv") / new.name)
        pid = sd.show("mhad", "MainPID")
        r = apt(sd, f"apt install --allow-downgrades ./{new.name}")
        assert r.rc == 0, r
        print(r.out, sd.ctl("status", "mhad", "--no-pager", check=False).out, sd.says("mhad")[-3000:])
        until("the new one runs", lambda: sd.state("mhad") == "active/running" and sd.show("mhad", "MainPID") != pid, 30)
        until("it watches", lambda: "monitoring" in sd.run(["mhactl", "status"], check=False).out, 30)
        assert state() == was

    # Removed: configuration and journal stay.  Purged: nothing does.
    r = apt(sd, "apt remove mhad")
    assert r.rc == 0 and sd.state("mhad") == "inactive/dead", r
    assert sd.path("/etc/mhad/clusters.d/app1.conf").exists() and sd.path("/var/lib/mhad/.ssh/id_ed25519").exists()
    r = apt(sd, "apt purge mhad")
    assert r.rc == 0, r
    sd.path("/etc/app1.cnf").unlink()
    names, accounts = contents(sd)
    assert sorted(names - before[0]) == [] and sorted(before[0] - names) == []
    assert accounts == before[1]
    assert not [f for f in sd.run(["find", "/var/tmp", "/var/log", "/run", "-name", "*mhad*", "-o", "-name", "*app1*"]).out.split()
                if "journal" not in f]
    for s in (db2, db3):
        r = apt(s.host, "apt purge mhad-node")
        assert r.rc == 0 and not s.host.path("/etc/mhad/node.conf").exists() and not s.host.path("/usr/bin/mha-node").exists(), r


def test_the_purge_timer_lives_through_an_upgrade(clean, debs, tmp_path):
    """On a database host: what is on stays on, what is off stays off, and a removal stops it."""
    sd, timer = clean, "mha-node-purge.timer"
    shutil.copy(debs["mhad-node"], sd.path("/srv/mhad-node.deb"))
    for version in ("99.0", "0.0.1"):
        shutil.copy(repack(debs["mhad-node"], version, tmp_path), sd.path(f"/srv/{version}.deb"))

    def do(line):
        r = apt(sd, line)
        assert r.rc == 0, r
        return sd.state(timer)
    assert do("apt install ./mhad-node.deb") == "inactive/dead"
    assert do("apt install ./99.0.deb") == "inactive/dead"
    sd.ctl("enable", "--now", timer)
    assert do("apt install --allow-downgrades ./0.0.1.deb") == "active/waiting"
    assert do("apt install ./99.0.deb") == "active/waiting"
    assert do("apt remove mhad-node") == "inactive/dead"
    do("apt purge mhad-node")
    assert not sd.path("/etc/mhad").exists()
    assert not list(sd.path("/etc/systemd/system").rglob("mha-node*"))


# ---- mhad-setup ---------------------------------------------------------------------------------
FLAVOUR_SQL = {"ma1011": "mariadb", "ma118": "mariadb", "my97": "mysql", "my56": "mysql56"}


def test_the_account_of_mhad_setup_suffices(lab, flavour, mode):
    """A failover with the privileges that `mhad-setup sql` gives, and no others."""
    cluster = lab.cluster(flavour, 3, mode=mode)
    db1, db2, db3 = cluster
    lab.manager.write("/etc/account", "s3cret'\\x\n", 0o600)
    setup = str(REPO / "scripts/mhad-setup")
    text = lab.manager.run([setup, "sql", FLAVOUR_SQL[flavour], "--password-file=/etc/account"], check=True).out
    db1.script(text)
    until("the slaves have it", lambda: all(s.one("SELECT COUNT(*) FROM mysql.user WHERE user = 'mhad'") for s in cluster))
    conf = cluster.write_conf(user="mhad", password=None, password_file="/etc/account")
    r = lab.manager.run(["mhactl", "check", "migrate", f"--conf={conf}"])
    assert r.rc == 0 and "lacks" not in r.out, r
    r = lab.manager.run(["masterha_check_repl", f"--conf={conf}"], timeout=60)
    assert "denied" not in (r.out + r.err).lower() and "MySQL Replication Health is OK." in r.out, r
    load = lab.writer(db1).wait(30)
    db1.kill()
    load.stop()
    r = lab.manager.run(["masterha_master_switch", "--master_state=dead", f"--conf={conf}", "--dead_master_host=db1",
                         "--interactive=0", "--ignore_last_failover"], timeout=90)
    assert r.rc == 0, r
    assert not re.search(r"denied|privilege", r.out + r.err, re.I), r.out + r.err
    assert db3.master() is db2
