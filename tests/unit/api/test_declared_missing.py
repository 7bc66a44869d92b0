"""Declared missing values of moments and of texts with leading zeros are missing in every way to write them."""

from datetime import UTC, date, datetime, time, timedelta, timezone

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from command_line import tiltmeter
from tiltmeter import Baseline
from tiltmeter.api.columns import checked_against_frozen, roles_of
from tiltmeter.domain.errors import UsageError

ROWS = 1_000


def moment(*parts):
    """Without an offset, as files hold it."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)


FAR, UNKNOWN = moment(9999, 12, 31), moment(1900, 1, 1)


def closed(never, data_type=None):
    """Days, every tenth of which never came."""
    days = [never if row % 10 == 0 else moment(2026, 1, 1) + timedelta(days=row % 300) for row in range(ROWS)]
    data_type = data_type or pa.timestamp("us")
    as_text = pa.types.is_string(data_type) or pa.types.is_dictionary(data_type)
    array = pa.array(days, pa.timestamp("us"))
    if as_text:
        array = array.cast(pa.date32()).cast(pa.string())
    return pa.table({"closed": array.cast(data_type), "age": np.arange(ROWS) % 70})


TYPES = [
    pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("us", tz="UTC"),
    pa.string(), pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip


@pytest.mark.parametrize("data_type", TYPES, ids=str)
@pytest.mark.parametrize("never", [FAR, UNKNOWN], ids=["far", "old"])
@pytest.mark.parametrize("declared", [lambda day: day, lambda day: day.date(), lambda day: f"{day:%Y-%m-%d}"])
def test_a_day_that_means_missing_is_missing_however_it_is_written(data_type, never, declared):
    kinds = {"closed": "datetime"}
    found = Baseline.fit(closed(never, data_type), kinds=kinds, missing_values={"closed": [declared(never)]})
    again = found.profile(closed(never, data_type))
    assert found.reference.profile.features["closed"].missing == again.features["closed"].missing == ROWS // 10
    assert found.bins.features["closed"].cells.edges.max() < datetime(2040, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("values", "declared"),
    [
        (pa.array([datetime(2026, 3, 1, 8, tzinfo=UTC)] * 2, pa.timestamp("ns", tz="Europe/Berlin")),
         datetime(2026, 3, 1, 9, tzinfo=timezone(timedelta(hours=1)))),
        (pa.array([moment(2026, 3, 1, 8, 30, 0, 123456)] * 2, pa.timestamp("us")), "2026-03-01T08:30:00.123456Z"),
        (pa.array([moment(9999, 12, 31, 23, 59, 59, 999999)] * 2, pa.timestamp("us")), "9999-12-31 23:59:59.999999"),
        (pa.array([moment(9999, 12, 31, 23, 59, 59, 999000)] * 2, pa.timestamp("ms")), "9999-12-31 23:59:59.999"),
        (pa.array([time(8, 30)] * 2), "08:30"),
        (pa.array([time(8, 30)] * 2, pa.time32("ms")), time(8, 30)),
        (pa.array([timedelta(days=-1)] * 2), timedelta(days=-1)),
    ],
)  # fmt: skip
def test_moments_are_held_against_the_column_as_exactly_as_it_keeps_them(values, declared):
    kept = pa.concat_arrays([values, values[:1].take(pa.array([None], pa.int64())), values])
    found = Baseline.fit(pa.table({"x": kept}), missing_values={"x": [declared]})
    assert found.reference.profile.features["x"].missing == 5


@pytest.mark.parametrize("declared", ["9999-13-01", "soon", date(2025, 1, 1), 10**400, "10000-01-01", None, "08:00"])
def test_what_no_row_holds_takes_none(declared):
    found = Baseline.fit(closed(FAR), missing_values={"closed": [declared]})
    assert found.reference.profile.features["closed"].missing == 0


def test_a_saved_baseline_keeps_its_missing_moments(tmp_path):
    Baseline.fit(closed(FAR), missing_values={"closed": [FAR]}).save(tmp_path / "closed.tmb")
    saved = Baseline.load(tmp_path / "closed.tmb")
    assert saved.profile(closed(FAR)).features["closed"].missing == ROWS // 10
    for same in (FAR, FAR.date(), "9999-12-31", "9999-12-31T00:00:00+00:00"):
        checked_against_frozen(roles_of(missing_values={"closed": [same]}), saved.bins, ["closed"])
    with pytest.raises(UsageError, match="--missing says"):
        checked_against_frozen(roles_of(missing_values={"closed": [UNKNOWN]}), saved.bins, ["closed"])


def test_levels_made_of_moments_miss_them_too():
    found = Baseline.fit(
        pa.table({"closed": pa.array([FAR, UNKNOWN, moment(2026, 1, 1), None] * 50)}),
        kinds={"closed": "categorical"}, missing_values={"closed": ["9999-12-31", UNKNOWN]},
    )  # fmt: skip
    assert found.bins.features["closed"].cells.levels == ("2026-01-01 00:00:00",)
    assert found.reference.profile.features["closed"].missing == 150


@pytest.fixture(scope="module", params=["csv", "parquet", "delta"])
def stored(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("closed")
    table = closed(FAR, pa.date32())
    if request.param == "csv":
        pa.csv.write_csv(table, folder / "closed.csv")
    elif request.param == "parquet":
        pq.write_table(table, folder / "closed.parquet")
    else:
        write_deltalake(folder / "closed", table)
        return folder / "closed"
    return folder / f"closed.{request.param}"


def test_the_command_takes_a_day_that_means_missing(stored):
    ran = tiltmeter("compare", stored, stored, "--missing", "closed=9999-12-31", "--json")
    assert ran.code == 0, ran.err
    closed_now = ran.document["features"]["closed"]
    assert closed_now["current"]["missing_share"] == 0.1


@pytest.mark.parametrize("typed", ["00000", "007", "1_000", "1e3", "0.10", "-0", "999.0"])
@pytest.mark.parametrize("kind", ["categorical", "text"])
def test_a_number_is_missing_as_it_was_typed(tmp_path, typed, kind):
    rows = "".join(f"{typed if row % 10 == 0 else 10_000 + row},{row % 70}\n" for row in range(ROWS))
    (tmp_path / "leads.csv").write_text("zip,age\n" + rows, encoding="utf-8")
    ran = tiltmeter(
        "compare", "leads.csv", "leads.csv", "--kind", f"zip={kind}", "--missing", f"zip={typed}", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = ran.document["features"]["zip"]
    assert found["current"]["missing_share"] == 0.1


def test_a_number_that_was_typed_twice_in_other_words_is_the_frozen_one(tmp_path):
    rows = "".join(f"{999 if row % 10 == 0 else row % 30},0{row % 5}\n" for row in range(ROWS))
    (tmp_path / "leads.csv").write_text("pdays,zip\n" + rows, encoding="utf-8")
    declared = ("--kind", "zip=categorical", "--missing", "zip=00", "--missing", "pdays=999")
    made = tiltmeter("baseline", "create", "leads.csv", "--out", "leads.tmb", *declared, cwd=tmp_path)
    assert made.code == 0, made.err
    bins = Baseline.load(tmp_path / "leads.tmb").bins
    for same in ({"pdays": [999.0]}, {"pdays": ["999"]}, {"pdays": [999, "0999"]}, {"zip": [0, "00"]}):
        checked_against_frozen(roles_of(missing_values=same), bins, ["pdays", "zip"])
    for other in ({"pdays": [99]}, {"zip": [0]}, {"zip": ["000", 0]}):
        with pytest.raises(UsageError, match="--missing says"):
            checked_against_frozen(roles_of(missing_values=other), bins, ["pdays", "zip"])
