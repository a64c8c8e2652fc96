# SPDX-License-Identifier: BSD-2-Clause
"""Keys and sshd of the lab's hosts.

Each host has host keys of its own; all database hosts share one set of client keys, the manager
has another.  Both sets are let in everywhere.  Keys are made once and kept in the cache.
"""
import os

from .util import locked, sh, until, wait_gone

KINDS = ("ed25519", "ecdsa", "rsa")
PATH = "/opt/mhad/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONFIG = f"""\
HostKey /etc/ssh/ssh_host_ed25519_key
HostKey /etc/ssh/ssh_host_ecdsa_key
HostKey /etc/ssh/ssh_host_rsa_key
PidFile /run/sshd.pid
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile .ssh/authorized_keys
MaxStartups 200
MaxSessions 200
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
SetEnv PATH={PATH}
"""


def keys(cache, owner):
    """{kind: (private, public)} of one owner, from the cache."""
    directory = cache / "keys"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = {}
    with locked(directory / "lock"):
        for kind in KINDS:
            file = directory / f"{owner}_{kind}"
            if not file.with_name(file.name + ".pub").exists():
                file.unlink(missing_ok=True)
                sh("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", owner, "-f", file,
                   *(["-b", "2048"] if kind == "rsa" else []))
            found[kind] = (file.read_text(), file.with_name(file.name + ".pub").read_text())
    return found


def install(host, cache):
    """Put host keys, client keys and sshd's configuration on the disk of a host not yet booted."""
    clients = {o: keys(cache, o) for o in ("client-mgr", "client-db")}
    mine = clients["client-mgr" if host.name == "mgr" else "client-db"]
    for kind in KINDS:
        private, public = mine[kind]
        host.write(f"/root/.ssh/id_{kind}", private, 0o600)
        host.write(f"/root/.ssh/id_{kind}.pub", public)
    host.write("/root/.ssh/authorized_keys",
               "".join(pair[1] for c in clients.values() for pair in c.values()), 0o600)
    os.chmod(host.path("/root/.ssh"), 0o700)
    host.write("/etc/ssh/sshd_config", CONFIG)
    host_keys(host, cache, host.name)


def host_keys(host, cache, owner):
    """Give a host the host keys of that owner; another owner means that its identity changes."""
    for kind, (private, public) in keys(cache, "host-" + owner).items():
        host.write(f"/etc/ssh/ssh_host_{kind}_key", private, 0o600)
        host.write(f"/etc/ssh/ssh_host_{kind}_key.pub", public)


def start(host):
    host.run(["mkdir", "-p", "-m", "755", "/run/sshd"], check=True)
    host.remove("/run/sshd.pid")
    host.run(["/usr/sbin/sshd"], check=True)
    until(f"sshd of {host} listens", lambda: host.path("/run/sshd.pid").exists(), 10, every=0.002)


def stop(host, sessions=True):
    """End sshd; with sessions, also the ones that are open."""
    for pid, argv in host.processes():
        if argv[0].startswith("sshd:") and (sessions or "[listener]" in argv[0]):
            host.signal(pid, 9)
            wait_gone(pid)
