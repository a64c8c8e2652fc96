# SPDX-License-Identifier: BSD-2-Clause
"""The shipped scripts, as they are."""
import pathlib

import pytest

from . import Lab

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"


@pytest.fixture(scope="module")
def lab():
    with Lab.open() as lab:
        lab.host_all(["db1", "db2"])
        lab.manager.run(["sh", "-c", "mkdir -p /etc/mhad; printf 'VIP=10.77.0.100/24\\nVIP_DEVICE=eth0\\n' >/etc/mhad/vip.conf"],
                        check=True)
        yield lab


def run(lab, name, *words, rc=0):
    r = lab.manager.run([str(SCRIPTS / name), *words], timeout=30)
    assert r.rc == rc, r
    return r


def test_the_address_goes_up_once_and_away_again(lab):
    run(lab, "init_vip.sh", "db1")
    assert [h.name for h in lab.vip.holders()] == ["db1"]
    run(lab, "init_vip.sh", "db1")
    other = run(lab, "init_vip.sh", "db2", rc=1)
    assert "was not set up on db2" in other.err and [h.name for h in lab.vip.holders()] == ["db1"]
    run(lab, "drop_vip.sh", "db1")
    run(lab, "drop_vip.sh", "db1")
    assert not lab.vip.holders()


def test_what_is_wrong_is_said(lab):
    assert "usage:" in run(lab, "init_vip.sh", rc=1).err
    lab.manager.run(["sh", "-c", "printf 'VIP=10.77.0.100\\n' >/tmp/vip.conf"], check=True)
    r = lab.manager.run(["env", "VIP_CONF=/tmp/vip.conf", str(SCRIPTS / "init_vip.sh"), "db1"])
    assert r.rc == 1 and "is not ADDRESS/PREFIX" in r.err
    r = lab.manager.run(["env", "VIP_CONF=/nowhere", str(SCRIPTS / "drop_vip.sh"), "db1"])
    assert r.rc == 1 and "cannot read /nowhere" in r.err
