# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures of the lab, and a summary that says loudly what could not be tested.

MHAD_BIN             programs under test                  (default: build/bin of this tree)
MHAD_LAB_FLAVOURS    comma list; the default is all four
MHAD_LAB_REQUIRE=1   a flavour that cannot be had is a failure, not a skip
MHAD_LAB_CACHE       fetched programs and templates       (default: mhad-lab in the user's cache)
MHAD_FULL=1          run the tests marked `slow` too
"""
import os
from collections import Counter

import pytest

from .fetch import cache
from .flavour import FLAVOURS, flavour as find_flavour
from .lab import Lab
from .util import Unavailable

MARK = "lab: "
WANTED = os.environ.get("MHAD_LAB_FLAVOURS", ",".join(FLAVOURS)).split(",")


# What the default run leaves to MHAD_FULL=1, to stay within its time.  The flavours left out here differ from the ones
# kept in little that these tests are about; each is in the default run of many other tests.
QUICK = {
    "test_move.py": {"my97"},
    "test_semisync.py": {"my97"},
    "test_failover.py": {"ma1011", "my97"},
    "test_failover_hooks.py": {"ma1011"},
    "test_failover_refusals.py": {"ma1011"},
    "test_repl.py": {"ma1011", "my97"},
    "test_probe.py": {"ma118", "my97", "my56"},
    "test_act.py": {"ma1011", "my97", "my56"},
    "test_node_apply.py": {"ma1011", "my97"},
    "test_node_find.py": {"ma118", "my56"},
    "test_switch.py": {"my97", "my56"},
}
# Fault matrices: one of so many, spread over the matrix.
SAMPLED = {"test_switch_killed_at": 32, "test_switch_killed_at_on_all": 40,
           "test_move_killed_at": 24, "test_move_killed_at_on_all": 30,
           "test_each_leaves_all_as_it_was": 2, "test_breaks_off_with_the_new_master_level": 2,
           "test_address_that_cannot_be_taken_away": 2, "test_host_that_cannot_be_switched_off": 2,
           "test_semisync": 3, "test_newest_is_no_master": 3, "test_tail_and_three_points": 3,
           "test_killed_at": 8, "test_killed_at_on_all": 24, "test_killed_without_the_disk": 12}
# Matrices of which a few fields catch most.
CHOSEN = {
    "test_failover_data.py": {
        "test_nasty": {"ma118-pos-no disk", "my97-gtid-no master", "my56-pos-disk"},
        "test_bad_end": {"ma1011-pos-zeros"},
        "test_binlog_lost_its_end": {"ma1011-gtid-no master"},
        "test_power_loss": {"my97-gtid-all of it"},
        "test_binlog_server": {"my97-gtid-behind the newest"},
        "test_odd_slaves": {"ma1011-pos-disk"},
        "test_slave_restarts_in_the_middle": {"my97-pos-1"},
        "test_gaps": {"my56-gtid-no disk"},
        "test_only_the_end_of_a_log_lies_between": {"ma1011-pos-disk"},
        "test_says_less_than_it_has": {"my56-pos-looked at", "ma1011-pos-not looked at"},
        "test_temporary_table_spans": {"ma1011-pos-MIXED"},
    },
    "test_rejoin.py": {
        "test_clean_old_master": {"my97-gtid", "my56-pos", "ma118-gtid"},
        "test_errant_transactions": {"my97-gtid-100", "ma1011-pos-1"},
        "test_errant_that_change_nothing": {"ma1011-gtid"},
        "test_flashback": {"my56-gtid-100", "ma1011-pos-1"},
        "test_history_is_purged": {"my97-gtid"},
        "test_auto_rejoin": {"my97-pos"},
        "test_ring_is_closed_again": {"my97-gtid-by itself", "ma1011-pos-not"},
        "test_rejoin_killed": {"my97-gtid-close:end", "ma1011-pos-follow:act"},
        "test_rejoin_killed_with_errant": {"ma1011-gtid-reset:verify", "my97-gtid-flashback:verify"},
    },
}


def is_left_out(item, counts):
    params = getattr(getattr(item, "callspec", None), "params", {})
    chosen = CHOSEN.get(item.path.name, {}).get(item.function.__name__)
    if chosen:
        return item.callspec.id not in chosen
    keep = QUICK.get(item.path.name)
    flavour = params.get("flavour")
    if keep and flavour in FLAVOURS and flavour not in keep:
        return True
    every = SAMPLED.get(item.function.__name__)
    if not every:
        return False
    counts[item.function.__name__] += 1
    return counts[item.function.__name__] % every != 1


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: only with MHAD_FULL=1")


def pytest_collection_modifyitems(items):
    full = os.environ.get("MHAD_FULL")
    counts = Counter()
    # They take a minute each, one after the other: begun last, they would run alone in the end.
    items.sort(key=lambda item: item.path.name != "test_fuzz.py")
    for item in items:
        if not str(item.path).startswith(os.path.dirname(__file__)):
            continue
        if not full and (item.get_closest_marker("slow") or is_left_out(item, counts)):
            item.add_marker(pytest.mark.skip(reason="slow: needs MHAD_FULL=1"))
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture(params=WANTED)
def flavour(request):
    """The name of each server flavour in turn; fetched and initialised here, outside the test's time."""
    find_flavour(request.param).template()
    return request.param


@pytest.fixture(params=["gtid", "pos"])
def mode(request):
    return request.param


@pytest.fixture
def lab():
    """An empty lab with a manager host; gone after the test."""
    if os.geteuid():
        raise Unavailable("the lab needs root: it makes namespaces and mounts")
    with Lab.open() as it:
        yield it


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item, call):
    """What this machine cannot provide is a skip with its reason."""
    if call.excinfo and isinstance(call.excinfo.value, Unavailable) and not os.environ.get("MHAD_LAB_REQUIRE"):
        try:
            pytest.skip(MARK + str(call.excinfo.value))
        except pytest.skip.Exception:
            call.excinfo = pytest.ExceptionInfo.from_current()
    if call.when == "call" and call.excinfo and "lab" in getattr(item, "funcargs", {}):
        for name, text in item.funcargs["lab"].logs():
            item.add_report_section("call", name, "\n".join(text.splitlines()[-8:]))


def versions():
    found = [f"{d.parent.name} {d.read_text()}" for d in (cache() / "programs").glob("*/VERSION")]
    try:
        found.append(f"ma1011 {find_flavour('ma1011').version}")
    except Unavailable:
        pass
    return ", ".join(sorted(found))


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    why = Counter(r.longrepr[2].split(MARK, 1)[1] for r in skipped
                  if isinstance(r.longrepr, tuple) and MARK in r.longrepr[2])
    terminalreporter.write_line(f"lab servers: {versions()}")
    if why:
        terminalreporter.write_line(
            f"LAB: {sum(why.values())} tests NOT RUN here: " + "; ".join(f"{n} x {w}" for w, n in why.items()),
            yellow=True, bold=True)
