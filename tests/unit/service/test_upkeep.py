"""Tables are kept small, and old rows are deleted by a clock that can be believed."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from tables import FakeClock, prediction_rows
from tiltmeter.domain.errors import StoreError
from tiltmeter.ingest.columns import outcome_table
from tiltmeter.service.upkeep import Upkeep
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.maintenance import MANY_FILES
from tiltmeter.store.schema import BATCH_RUNS
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


def rows_at(log, at, first):
    """A row of every table that forgets, of one day."""
    log.append("predictions", prediction_rows(1, first=first, at=at))
    us = int(at.timestamp() * 1e6)
    outcome = {
        "outcome_id": f"o-{first}", "entity_id": "lead", "model_name": None, "outcome_us": us, "recorded_us": us,
        "converted": True, "revenue": 5.0, "currency": None, "label": None,
    }  # fmt: skip
    log.append("outcomes", outcome_table([outcome], ingest_us=us))
    run = {
        "workspace": "w", "job_name": "nightly", "run_id": str(first), "attempt": 0, "task_key": "", "start_time": at,
        "start_date": at.date(), "ingest_time": at,
    }  # fmt: skip
    log.append("batch_runs", pa.Table.from_pylist([run], schema=BATCH_RUNS.columns))


def test_old_rows_of_every_table_go_and_trouble_with_one_stops_no_other(upkeep, tmp_path):
    clock = upkeep.clock
    log = DeltaLog(tmp_path, clock)
    upkeep.tables, upkeep.states = log, DeltaProfileStates(tmp_path, clock)
    for number, age in enumerate((401, 400, 399, 1)):
        rows_at(log, clock.at - age * DAY, number)
    newest = max((tmp_path / "outcomes" / "_delta_log").glob("*.json"))
    held = newest.read_bytes()
    newest.write_bytes(b"no json")
    with pytest.raises(StoreError, match="outcomes"):
        upkeep.turn(clock.at)
    count = lambda name: DeltaTable(tmp_path / name).to_pyarrow_table().num_rows  # noqa: E731 - short
    assert [count("predictions"), count("batch_runs")] == [3, 3]
    newest.write_bytes(held)
    clock.pass_(86_400)
    assert upkeep.turn(clock.at)
    assert [count("predictions"), count("batch_runs"), count("outcomes")] == [2, 2, 2]
