# SPDX-License-Identifier: BSD-2-Clause
"""Options shared by all tests."""


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: runs in check-full only")
