"""Stored profiles: sums equal one pass over the rows, whatever was appended when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from tables import FakeClock, Frame
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ports import StateKey
from tiltmeter.profiling.codec import encode_profile
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.hours import profile_hours
from tiltmeter.profiling.kernel import profile_rows
from tiltmeter.store.states import DeltaProfileStates

START = datetime(2026, 3, 1, tzinfo=UTC)


def leads(rows: int, seed: int = 1, *, hours: int = 100) -> pa.Table:
    rng = np.random.default_rng(seed)
    times = [START + timedelta(seconds=float(s)) for s in np.sort(rng.uniform(0, hours * 3600, rows))]
    return pa.table(
        {
            "__time": pa.array(times, pa.timestamp("us", tz="UTC")),
            "__version": pa.array(rng.choice(["13", "14"], rows)),
            "__entity": pa.array([f"lead-{i}" for i in rng.integers(0, rows, rows)]),
            "size": rng.lognormal(3, 1, rows),
            "source": pa.array(rng.choice(["web", "mail", "fair"], rows)),
        }
    )


@pytest.fixture(scope="module")
def bins():
    roles = ColumnRoles(ignore=("__time", "__version"), entity="__entity")
    return fit_bins(Frame(leads(2000, 9)), roles)


def hours_of(table: pa.Table, bins):
    return profile_hours(
        Frame(table), bins, model="m", time="__time", version="__version", segments=["source"], zone=ZoneInfo("UTC")
    )


def added(table: pa.Table, bins) -> bytes:
    """Hourly profiles of all rows in one pass, added by the domain's own addition."""
    hours = [p for key, p in hours_of(table, bins).items() if not key.model_version and not key.segment_key]
    total = hours[0]
    for profile in hours[1:]:
        total += profile
    return encode_profile(total)


def whole() -> Window:
    return Window(START, START + timedelta(hours=100), Grain.DAY)


@pytest.fixture
def states(tmp_path):
    return DeltaProfileStates(tmp_path, FakeClock())


def test_sums_of_partials_equal_one_pass_over_all_rows(states, bins):
    table = leads(3000)
    for version, part in enumerate((table.slice(0, 1000), table.slice(1000, 1500), table.slice(2500))):
        states.append(hours_of(part, bins), source_version=version)
    total = states.total("m", bins.bins_id, whole())
    assert encode_profile(total) == added(table, bins)
    hours = states.hours("m", bins.bins_id, whole())
    assert sum(profile.rows for profile in hours.values()) == 3000
    web = states.total("m", bins.bins_id, whole(), segment=("source", "web"))
    assert web.rows == table["source"].to_pylist().count("web")
    v14 = states.total("m", bins.bins_id, whole(), version="14")
    assert v14.rows == table["__version"].to_pylist().count("14")
    assert states.watermark("m", bins.bins_id) == 2


def test_the_same_source_version_twice_changes_nothing(states, bins):
    partial = hours_of(leads(500), bins)
    states.append(partial, source_version=7)
    states.append(partial, source_version=7)
    states.append(hours_of(leads(100, 3), bins), source_version=6)
    assert states.total("m", bins.bins_id, whole()).rows == 500
    assert states.watermark("m", bins.bins_id) == 7


def test_an_empty_table_has_no_rows_and_no_watermark(states, bins):
    assert states.watermark("m", "none") is None
    assert states.total("m", "none", whole()) is None
    assert states.hours("m", "none", whole()) == {}
    assert states.span("m", "none") is None
    assert states.subjects("m", "none") == ([], [])
    states.append(hours_of(leads(50), bins), source_version=0)
    assert states.total("m", "none", whole()) is None
    assert states.total("other", bins.bins_id, whole()) is None


def test_subjects_and_span_name_what_is_stored(states, bins):
    states.append(hours_of(leads(500), bins), source_version=0)
    assert states.subjects("m", bins.bins_id) == (
        ["13", "14"],
        [("source", "fair"), ("source", "mail"), ("source", "web")],
    )
    assert states.span("m", bins.bins_id) == (START, START + timedelta(hours=100))


def test_the_log_alone_tells_the_span(states, bins, tmp_path):
    states.append(hours_of(leads(500), bins), source_version=1)
    span = states.span("m", bins.bins_id)
    assert span == (START, START + timedelta(hours=100))
    for file in tmp_path.rglob("grain=hour/**/*.parquet"):
        file.unlink()
    assert DeltaProfileStates(tmp_path, FakeClock()).span("m", bins.bins_id) == span
    assert states.span("other", bins.bins_id) is None


def test_a_model_with_a_long_name_has_a_span_too(states, bins):
    name = "leads-" * 10
    hours = {replace(key, model_name=name): profile for key, profile in hours_of(leads(500), bins).items()}
    states.append(hours, source_version=1)
    assert states.span(name, bins.bins_id) == (START, START + timedelta(hours=100))


def test_day_sums_change_no_answer_and_late_rows_still_count(states, bins):
    table = leads(3000)
    states.append(hours_of(table, bins), source_version=0)
    before = encode_profile(states.total("m", bins.bins_id, whole()))
    assert states.store_day_sums(START + timedelta(days=30)) == 5
    assert states.store_day_sums(START + timedelta(days=30)) == 0
    cold = DeltaProfileStates(states.root, FakeClock())
    assert encode_profile(cold.total("m", bins.bins_id, whole())) == before
    late = leads(40, 5)
    cold.append(hours_of(late, bins), source_version=1)
    both = pa.concat_tables([table, late])
    assert encode_profile(cold.total("m", bins.bins_id, whole())) == added(both, bins)
    assert cold.store_day_sums(START + timedelta(days=30)) > 0
    again = DeltaProfileStates(states.root, FakeClock())
    assert encode_profile(again.total("m", bins.bins_id, whole())) == added(both, bins)


def test_days_that_late_rows_may_still_reopen_are_not_summed(states, bins):
    states.append(hours_of(leads(500), bins), source_version=0)
    assert states.store_day_sums(START + timedelta(days=2)) == 0


def test_replaced_hours_count_only_as_they_stand_now(states, bins):
    table = leads(2000)
    states.append(hours_of(table, bins), source_version=0)
    states.store_day_sums(START + timedelta(days=30))
    kept = table.filter(pa.compute.not_equal(table["__entity"], table["__entity"][0]))
    gone = START.replace(hour=5)
    hours = [START + timedelta(hours=h) for h in range(100)]
    kept = kept.filter(pa.compute.not_equal(pa.compute.floor_temporal(kept["__time"], unit="hour"), pa.scalar(gone)))
    states.replace(hours_of(kept, bins), hours, model="m", bins_id=bins.bins_id)
    total = states.total("m", bins.bins_id, whole())
    assert encode_profile(total) == added(kept, bins)
    assert gone not in states.hours("m", bins.bins_id, whole())
    states.append(hours_of(leads(30, 8), bins), source_version=1)
    assert states.total("m", bins.bins_id, whole()).rows == kept.num_rows + 30
    assert states.watermark("m", bins.bins_id) == 1


def test_only_hours_are_stored(states, bins):
    key = StateKey(START, Grain.DAY, "m", bins_id=bins.bins_id)
    with pytest.raises(Exception, match="by hour"):
        states.append({key: profile_rows(Frame(leads(10)), bins)}, source_version=0)
