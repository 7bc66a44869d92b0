"""Old rows are deleted by a clock that can be believed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tables import FakeClock
from tiltmeter.service.upkeep import Upkeep
from tiltmeter.state.sql import SqlStateStore

DAY = timedelta(days=1)


@pytest.fixture
def upkeep():
    clock = FakeClock()
    state = SqlStateStore("sqlite:", clock)
    yield Upkeep(None, None, state, clock, "one", 7 * DAY, 400 * DAY, 90 * DAY)
    state.close()


def test_a_clock_that_jumped_ahead_deletes_nothing_until_it_has_said_so_for_a_day(upkeep):
    clock = upkeep.clock
    assert upkeep.may_delete(clock.at)
    clock.at += 400 * DAY
    assert not upkeep.may_delete(clock.at)
    clock.pass_(3600)
    assert not upkeep.may_delete(clock.at)
    clock.pass_(86_400)
    assert upkeep.may_delete(clock.at)


def test_a_jump_that_was_undone_leaves_nothing_behind(upkeep):
    clock = upkeep.clock
    upkeep.may_delete(clock.at)
    clock.at += 400 * DAY
    assert not upkeep.may_delete(clock.at)
    clock.at -= 399 * DAY
    assert upkeep.may_delete(clock.at)
