"""What holds for every test: fixed seeds, and what takes long stays out of the quick gate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from browsing import opened_browser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Browser

# The same examples in every run, and no time limit: a busy machine must not turn a right answer into a failure.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_LONG_ROOMS = (
    "tests/faults/",
    "tests/journeys/",
    "tests/unit/demo/",  # builds thirty days of a company
    "tests/unit/ingest/test_databricks_jobs.py",  # waits out a server's rate limits
    "tests/unit/service/test_monitoring.py",  # days of a small company
    "tests/unit/service/test_scheduler.py",  # days of a small company
    "tests/unit/service/test_watchdog.py",  # processes of their own
    "tests/unit/store/test_profile_states.py",  # months of stored states
    "tests/unit/cli/test_compare_command.py",  # processes of their own
    "tests/unit/report/test_period_reports.py",  # builds homes, runs processes
)


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Fault injection, journeys and what waits for processes and servers are never part of `make check`."""
    for item in items:
        if any(room in item.path.as_posix() for room in _LONG_ROOMS):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window; skips where there is none."""
    with opened_browser() as opened:
        yield opened


_OURS = sys.modules["__main__"]


def pytest_runtest_teardown() -> None:
    """Give `__main__` back: a page under test puts itself there, and spawned processes would run it again."""
    sys.modules["__main__"] = _OURS
