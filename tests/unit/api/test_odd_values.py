"""Values and files that were taken for others, or ended a run."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tiltmeter import Baseline, compare
from tiltmeter.api.columns import roles_of
from tiltmeter.api.replaying import History, backtest_history
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.errors import UnreadableData, UsageError
from tiltmeter.domain.window import Grain
from tiltmeter.engines.local import open_rows
from tiltmeter.profiling.hours import profile_hours

START = datetime(2026, 9, 1, tzinfo=UTC)


def beside_itself(values, **options):
    table = pa.table({"x": values, "row": range(len(values))})
    return compare(table, table, **options)["x"]


def test_decimals_that_differ_in_their_last_digits_are_different():
    ids = pa.array([Decimal(10**37 + number) for number in range(500)], pa.decimal128(38, 0))
    assert beside_itself(ids).reference.distinct == 500
    levels = beside_itself(ids, kinds={"x": "categorical"}).reference
    assert levels.distinct == 500
    few = pa.array([Decimal("1.50"), Decimal("-0.00"), Decimal("100.00")] * 99)
    few = beside_itself(few, kinds={"x": "categorical"})
    assert {one.level for one in few.reference.top} == {"1.5", "0", "100"}


def test_moments_a_nanosecond_apart_are_different():
    moments = pa.array([1_790_000_000_123_456_000 + number for number in range(500)]).cast(pa.timestamp("ns"))
    assert beside_itself(moments).reference.distinct == 500


@pytest.mark.parametrize("data_type", [pa.float32(), pa.float16(), pa.float64()])
def test_a_declared_missing_value_is_found_among_short_floats(data_type):
    values = pa.array(np.array([0.1, 0.5, 2.5] * 100).astype(data_type.to_pandas_dtype()))
    baseline = Baseline.fit(pa.table({"x": values}), missing_values={"x": (0.1, 1e300)})
    assert baseline.profile(pa.table({"x": values})).features["x"].missing == 100


def test_an_arrow_file_with_views_is_read_and_cut_by_time(tmp_path):
    many = pa.array([f"word {number % 3}" for number in range(300)], pa.string_view())
    moments = pa.array([START + timedelta(hours=number) for number in range(300)])
    table = pa.table({"x": many, "b": many.cast(pa.binary_view()), "at": moments})
    with pa.ipc.new_file(tmp_path / "views.arrow", table.schema) as file:
        file.write_table(table)
    assert len(replay(tmp_path / "views.arrow").windows) == 3
    assert compare(tmp_path / "views.arrow", tmp_path / "views.arrow")["x"].severity.word == "none"


def replay(path, grain=Grain.DAY):
    return backtest_history(
        History.of(path, time="at", until=START + timedelta(days=10)), roles_of(time="at"), load_rules(None),
        grain=grain, zone=ZoneInfo("UTC"),
    )  # fmt: skip


def test_a_damaged_gzip_of_json_lines_is_one_sentence(tmp_path):
    lines = "".join(json.dumps({"x": number * 7919 % 1000, "y": f"{number:x}"}) + "\n" for number in range(50_000))
    held = bytearray(gzip.compress(lines.encode()))
    held[len(held) // 2 : len(held) // 2 + 40] = bytes(40)
    (tmp_path / "rows.jsonl.gz").write_bytes(held)
    with pytest.raises(UnreadableData, match="cannot be read"):
        open_rows(tmp_path / "rows.jsonl.gz")


def test_files_of_a_folder_without_a_time_have_no_rows_in_a_history(tmp_path):
    times = pa.array([START + timedelta(hours=number) for number in range(300)])
    pq.write_table(pa.table({"x": range(300), "at": times}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": range(50)}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"at": times.slice(240), "y": range(60)}), tmp_path / "c.parquet")
    found = replay(tmp_path)
    assert sum(window.rows for window in found.windows) == 60 + 60


@pytest.mark.parametrize("grain", list(Grain)[1:])
@pytest.mark.parametrize("moment", [datetime(9999, 12, 31, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)])
def test_a_day_that_stands_for_none_is_one_sentence(tmp_path, grain, moment):
    times = [START + timedelta(hours=number) for number in range(300)]
    at = pa.array([*times, moment], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"x": range(301), "at": at}), tmp_path / "a.parquet")
    if moment.hour:  # beyond what a moment is in every zone: the row is as one without a time
        assert sum(window.rows for window in replay(tmp_path / "a.parquet", grain).windows) == 60
        return
    with pytest.raises(UsageError, match=r"9999-12-31"):
        replay(tmp_path / "a.parquet", grain)


def test_a_decimal_comma_that_shows_late_is_told(tmp_path):
    (tmp_path / "late.csv").write_text("x;y\n" + "1;2\n" * 300 + "1,5;3\n")
    said = []
    open_rows(tmp_path / "late.csv", note=said.append).count()
    assert any('column "x" shows a decimal comma' in line for line in said)
    (tmp_path / "words.csv").write_text("x;y\n" + "a;2\n" * 300 + "1,5;3\n")
    quiet = []
    open_rows(tmp_path / "words.csv", note=quiet.append).count()
    assert not any("decimal comma" in line and "column" in line for line in quiet)


@pytest.mark.parametrize(
    ("index", "levels"), [(pa.int8(), 128), (pa.uint8(), 256), (pa.int16(), 32_768), (pa.uint16(), 65_536)]
)
@pytest.mark.parametrize("kind", [None, "categorical", "text"])
def test_levels_that_fill_a_narrow_index_are_counted(index, levels, kind):
    names = pa.array([f"level-{number}" for number in range(levels)])
    rows = 8 * levels
    codes = pa.array(np.arange(rows) % levels, mask=np.arange(rows) < 3).cast(index)
    table = pa.table({"plan": pa.DictionaryArray.from_arrays(codes, names)})
    found = compare(table, table, kinds={"plan": kind} if kind else {})["plan"]
    assert (found.current.count, found.current.missing, found.severity.word) == (rows, 3, "none")
    assert found.current.distinct == pytest.approx(levels, rel=0.05)


def test_a_version_that_fills_a_narrow_index_cuts_the_hours():
    names = pa.array([f"v{number}" for number in range(128)])
    version = pa.DictionaryArray.from_arrays(pa.array([127, None] * 2, pa.int8()), names)
    times = pa.array([START] * 4)
    rows = open_rows(pa.table({"x": [1.0, 2.0, 3.0, 4.0], "version": version, "at": times}))
    baseline = Baseline.fit(pa.table({"x": [1.0, 2.0, 3.0, 4.0]}))
    states = profile_hours(
        rows, baseline.bins, model="m", time="at", version="version", segments=(), zone=ZoneInfo("UTC")
    )
    assert {key.model_version: profile.rows for key, profile in states.items()} == {"": 4, "v127": 2}


@pytest.mark.parametrize("other", [pa.float64(), pa.uint64(), pa.decimal128(30, 2), pa.null()])
@pytest.mark.parametrize("kind", [None, "numeric", "categorical"])
def test_files_of_integers_beyond_doubles_and_of_other_numbers_are_numbers(tmp_path, other, kind):
    large = [2**53 + 1 + number for number in range(300)]
    theirs = [None] * 300 if other == pa.null() else [0, *range(1, 299), 2**63 if other == pa.uint64() else 7]
    pq.write_table(pa.table({"x": pa.array(large, pa.int64())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": pa.array(theirs, other)}), tmp_path / "b.parquet")
    found = compare(tmp_path, tmp_path, kinds={"x": kind} if kind else {})["x"]
    assert (found.kind.value, found.status.value, found.severity.word) == (kind or "numeric", "ok", "none")
    assert (found.current.count, found.psi or 0.0) == (600, 0.0)
    if kind != "categorical" and other != pa.null():
        assert (found.current.min, found.current.max) == (0.0, float(max(*large, *theirs)))


@pytest.mark.parametrize(("near", "far"), [("ns", "us"), ("ns", "ms"), ("ns", "s"), ("us", "s"), (None, "us")])
def test_files_of_moments_in_units_that_hold_no_common_ones_are_moments(tmp_path, near, far):
    moments = [START.replace(tzinfo=None) + timedelta(seconds=number) for number in range(300)]
    first = pa.nulls(300) if near is None else pa.array(moments, pa.timestamp(near))
    pq.write_table(pa.table({"x": first}), tmp_path / "a.parquet")
    pq.write_table(
        pa.table({"x": pa.array([moments[0] + timedelta(days=2_900_000), *moments], pa.timestamp(far))}),
        tmp_path / "b.parquet",
    )
    found = compare(tmp_path, tmp_path)["x"]
    assert (found.kind.value, found.status.value, found.severity.word) == ("datetime", "ok", "none")
    assert (found.current.count, found.psi) == (601, 0.0)


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize(
    "other",
    [pa.array(range(300)), pa.array([START] * 300), pa.array([True, False] * 150), pa.array([0.5, 1e300] * 150)],
)
def test_files_that_disagree_about_a_type_are_quiet_beside_themselves(tmp_path, order, other):
    pq.write_table(pa.table({"x": ["p", "q", "r"] * 100}), tmp_path / f"{order[0]}.parquet")
    pq.write_table(pa.table({"x": other}), tmp_path / f"{order[1]}.parquet")
    found = compare(tmp_path, tmp_path)["x"]
    assert (found.kind.value, found.status.value, found.severity.word) == ("categorical", "ok", "none")
    assert (found.current.count, found.current.missing, found.new_level_excess) == (600, 0, 0.0)
