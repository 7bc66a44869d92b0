"""Profiles by clock hour, version and segment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.hours import profile_hours
from tiltmeter.profiling.kernel import profile_rows

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
START = datetime(2026, 10, 24, 20, tzinfo=UTC)


def made(rows: int, hours: float = 10) -> pa.Table:
    rng = np.random.default_rng(rows)
    seconds = np.sort(rng.uniform(0, hours * 3600, rows))
    return pa.table(
        {
            "x": rng.normal(size=rows),
            "plan": rng.choice(["a", "b", "c"], rows),
            "version": pa.array(rng.choice(["13", "14", None], rows).tolist()),
            "at": pa.array([START + timedelta(seconds=float(s)) for s in seconds]),
        }
    )


def hours_of(table: pa.Table, zone=BERLIN, **options):
    bins = fit_bins(TableRows(table), ColumnRoles(ignore=("version", "at")))
    settings = {"model": "m", "time": "at", "version": "version", "segments": ["plan"]} | options
    return profile_hours(TableRows(table), bins, zone=zone, **settings), bins


def test_the_hours_of_all_versions_add_up_to_the_whole():
    table = made(3_000)
    states, bins = hours_of(table)
    whole = profile_rows(TableRows(table), bins)
    totals = [one for key, one in states.items() if not key.model_version and not key.segment_key]
    total = reduce(add, totals)
    assert total.rows == 3_000
    assert np.array_equal(total.features["x"].counts, whole.features["x"].counts)
    assert total.features["x"].sum2 == whole.features["x"].sum2


def test_versions_and_segments_have_profiles_of_their_own():
    table = made(3_000)
    states, _ = hours_of(table)
    version = sum(one.rows for key, one in states.items() if key.model_version == "14")
    assert version == sum(1 for one in table["version"].to_pylist() if one == "14")
    segment = sum(one.rows for key, one in states.items() if (key.segment_key, key.segment_value) == ("plan", "b"))
    assert segment == sum(1 for one in table["plan"].to_pylist() if one == "b")
    assert not any(key.model_version and key.segment_key for key in states)


def test_the_two_hours_of_an_autumn_night_are_two():
    # Clocks go back at 01:00 UTC on 2026-10-25: 02:00 happens twice.
    states, _ = hours_of(made(2_000))
    starts = {key.window_start for key in states}
    assert {datetime(2026, 10, 25, 0, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)} <= starts
    assert len(starts) == 10


def test_hours_of_a_half_hour_zone_start_at_half_past():
    states, _ = hours_of(made(500), KOLKATA)
    assert {key.window_start.minute for key in states} == {30}


def test_rows_without_a_time_are_left_out_and_numbers_are_epoch_seconds():
    table = pa.table(
        {"x": [1.0, 2.0, 3.0], "at": [3_600.0, None, float("nan")], "version": ["1"] * 3, "plan": ["a"] * 3}
    )
    states, _ = hours_of(table)
    total = [one for key, one in states.items() if not key.model_version and not key.segment_key]
    assert [one.rows for one in total] == [1]
    assert next(iter(states)).window_start == datetime(1970, 1, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_every_unit_and_a_time_without_zone_is_utc(unit):
    table = made(200)
    naive = table["at"].combine_chunks().cast(pa.timestamp("us")).cast(pa.timestamp(unit), safe=False)
    states, _ = hours_of(table.set_column(3, "at", naive))
    expected, _ = hours_of(table)
    assert {key.window_start for key in states} == {key.window_start for key in expected}


def test_extreme_times_do_no_harm():
    at = pa.array([0, 2**62, -(2**62), None], type=pa.timestamp("us"))
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "at": at, "version": ["1"] * 4, "plan": ["a"] * 4})
    states, _ = hours_of(table)
    assert sum(one.rows for key, one in states.items() if not key.model_version and not key.segment_key) == 1


def test_a_wrong_time_column_is_named():
    with pytest.raises(UsageError, match='no time column "att"'):
        hours_of(made(10), time="att")
    with pytest.raises(UsageError, match="time column holds text"):
        hours_of(made(10), time="plan")


def test_a_version_that_is_a_segment_as_well_gives_both():
    states, _ = hours_of(made(300), segments=["version"])
    assert any(key.segment_key == "version" for key in states)
    assert any(key.model_version == "14" for key in states)


def test_batches_do_not_matter():
    table = made(1_000)

    class InParts(TableRows):
        def batches(self, columns=None):
            yield from self.table.select(list(columns)).to_batches(max_chunksize=111)

    one, bins = hours_of(table)
    other = profile_hours(InParts(table), bins, model="m", time="at", version="version", segments=["plan"], zone=BERLIN)
    from tiltmeter.profiling.codec import encode_profile

    assert {key: encode_profile(value) for key, value in one.items()} == {
        key: encode_profile(value) for key, value in other.items()
    }
