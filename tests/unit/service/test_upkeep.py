"""Tables are kept small, and old rows are deleted by a clock that can be believed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from deltalake import DeltaTable

from tables import FakeClock, prediction_rows
from tiltmeter.service.upkeep import Upkeep
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.maintenance import MANY_FILES
from tiltmeter.store.states import DeltaProfileStates

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


class Rounds:
    """An event that is set after some waits; before each it notes how many files the table has."""

    def __init__(self, log, appends):
        self.log, self.appends, self.files, self.seconds = log, appends, [], 0.0

    def wait(self, seconds):
        if self.seconds:
            self.files.append(len(DeltaTable(self.log.table("predictions").files.root).file_uris()))
        self.seconds += seconds
        if not self.appends:
            return True
        for number in range(self.appends.pop(0)):
            self.log.append("predictions", prediction_rows(1, first=number))
        return False


def test_many_small_files_are_merged_each_quarter_of_an_hour_and_few_of_them_each_hour(upkeep, tmp_path):
    log = DeltaLog(tmp_path, upkeep.clock)
    upkeep.tables, upkeep.states = log, DeltaProfileStates(tmp_path, upkeep.clock)
    rounds = Rounds(log, [MANY_FILES, 3, 1, 0])
    upkeep.run(rounds)
    assert rounds.files == [1, 4, 5, 1]
    assert rounds.seconds == 5 * 900.0
