"""Rows of a batch job that do not fit the table: kept whole, under a sane date, with what did not fit beside them."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tables import FakeClock, prediction_rows
from tiltmeter.capture.batch import batch_job
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window
from tiltmeter.service.rescued_findings import rescued_findings
from tiltmeter.store.erase import erase_entity
from tiltmeter.store.states import DeltaProfileStates

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = Window(datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC), Grain.DAY)


@pytest.fixture
def log(batch_log):
    return batch_log


@pytest.fixture
def ship(tmp_path, batch_shipper):
    def ship(frame, now=NOW, **columns):
        with batch_job(model="m", job="nightly", spool=tmp_path / "spool", now=lambda: now) as run:
            run.log(frame, score="score", **columns)
        return batch_shipper.ship(NOW)

    return ship


def rows(log):
    found = log.table("predictions").reading().to_pyarrow_table()
    return found.sort_by("event_id").to_pylist()


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_a_time_that_is_missing_or_absurd_is_the_start_of_the_run(log, ship, counters, library):
    times = [NOW - timedelta(days=1), None, datetime(1, 1, 2, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)]
    frame = pl.DataFrame({"lead_id": ["a", "b", "c", "d"], "score": [0.1, 0.2, 0.3, 0.4], "at": times})
    frame = frame.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    assert ship(frame if library is pl.DataFrame else frame.to_pandas(), time="at", entity_id="lead_id") == 4
    found = rows(log)
    assert [row["request_time"] for row in found] == [times[0], NOW, NOW, NOW]
    assert {row["request_date"] for row in found} == {NOW.date(), times[0].date()}
    kept = [json.loads(row["_rescued_data"] or "{}") for row in found]
    assert kept == [{}, {}, {"request_time": "-62135510400000000"}, {"request_time": "-86400000000"}]
    assert counters["times_replaced"] == 3
    assert log.rows(Model("m"), DAY).count() == 3


def test_a_host_whose_clock_is_broken_makes_no_partition_of_its_own(log, ship):
    ship(pl.DataFrame({"score": [0.1]}), now=datetime(2126, 1, 1, tzinfo=UTC))
    (row,) = rows(log)
    assert row["request_date"] == NOW.date()
    assert json.loads(row["_rescued_data"]) == {"request_time": str(4_922_899_200_000_000)}
    (run,) = log.batch_runs(NOW - timedelta(days=1))
    assert run["start_time"] == NOW


def test_a_person_with_a_row_without_a_time_can_be_erased(tmp_path, log):
    frame = prediction_rows(1, at=NOW).to_pylist()[0] | {"entity_id": "a", "request_time": None, "request_date": None}
    log.append("predictions", pa.Table.from_pylist([frame], schema=prediction_rows(1).schema))
    states = DeltaProfileStates(tmp_path / "tables", FakeClock(NOW))
    erased = erase_entity(log, states, ["a"], models=[], zone=ZoneInfo("UTC"), damaged=tmp_path / "damaged")
    assert erased.rows["predictions"] == 1


def test_a_column_that_may_not_be_one_is_rescued_counted_and_named(tmp_path, log, ship, counters):
    ship(pl.DataFrame({"score": [0.1], "company_size": [5.0]}))
    frame = pa.table({"score": [0.2, 0.3], "COMPANY_SIZE": [7.0, float("nan")], "a\0b": ["x", None]})
    assert ship(frame) == 2
    found = sorted(rows(log), key=lambda row: row["prediction"])
    assert [json.loads(row["_rescued_data"] or "{}") for row in found] == [
        {},
        {"COMPANY_SIZE": 7.0, "a\0b": "x"},
        {"COMPANY_SIZE": "nan"},
    ]
    assert counters["columns_refused"] == 3
    assert counters["type_clashes"] == 0
    said = [(f.says.partition(" of the last day")[0], f.to_do) for f in rescued_findings(log, NOW + timedelta(hours=1))]
    assert said == [
        ("m: 2 values of 'COMPANY_SIZE'", "rename it to 'company_size'"),
        ("m: 1 values of 'a\\x00b'", "rename or drop it"),
    ]


def test_a_clash_of_types_is_named(log, ship, counters):
    ship(pl.DataFrame({"score": [0.1], "size": [5.0]}))
    ship(pl.DataFrame({"score": [0.2], "size": ["large"]}))
    assert counters["type_clashes"] == 1
    (finding,) = rescued_findings(log, NOW + timedelta(hours=1))
    assert "they have another type than its column" in finding.says
