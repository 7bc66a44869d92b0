"""`--kind` wins over the type of a column: a file beside itself is quiet whatever kind it is read as."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tiltmeter import Baseline, compare
from tiltmeter.domain.errors import UsageError
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.profiling.codec import canonical_bins, decode_bins, encode_bins

ROWS = 300
START = datetime(2026, 3, 1, tzinfo=UTC)


def many(make, data_type=None):
    return pa.array([make(number) for number in range(ROWS)], data_type)


COLUMNS = {
    "whole": many(lambda n: n % 40),
    "tiny": many(lambda n: n % 40, pa.int8()),
    "epoch": many(lambda n: 1_790_000_000 + n),
    "large": many(lambda n: 2**63 + n, pa.uint64()),
    "double": many(lambda n: n / 7),
    "float32": many(lambda n: n / 7, pa.float32()),
    "decimal": many(lambda n: Decimal(n) / 4, pa.decimal128(38, 2)),
    "boolean": many(lambda n: n % 3 == 0),
    "timestamp": many(lambda n: START + timedelta(hours=n), pa.timestamp("us", "UTC")),
    "nanoseconds": many(lambda n: 1_790_000_000_123_456_789 + n, pa.int64()).cast(pa.timestamp("ns")),
    "date": many(lambda n: date(2026, 1, 1) + timedelta(days=n)),
    "time": many(lambda n: time(n % 24, n % 60)),
    "duration": many(lambda n: timedelta(seconds=n)),
    "numbers as text": many(lambda n: str(n % 40)),
    "dictionary": many(lambda n: str(n % 40)).dictionary_encode(),
    "bytes": many(lambda n: str(n % 40).encode()),
    "times as text": many(lambda n: (START + timedelta(hours=n)).isoformat()),
    "days as text": many(lambda n: f"2026-03-{1 + n % 28:02}"),
    "words": many(lambda n: "abc"[n % 3]),
    "broken text": pa.array([b"\xff\xfe", b"a"] * (ROWS // 2)),
    "list": many(lambda n: [n % 3]),
    "struct": many(lambda n: {"a": n % 3}),
    "nothing": pa.nulls(ROWS),
    "nothing as text": pa.nulls(ROWS, pa.string()),
}
WORDS = {"words", "broken text", "list", "struct"}
TIMES = {"times as text", "days as text"}


@pytest.mark.parametrize(("name", "kind"), list(itertools.product(COLUMNS, FeatureKind)))
def test_a_file_beside_itself_is_quiet_as_any_kind(tmp_path, name, kind):
    values = COLUMNS[name]
    with_nulls = pa.concat_arrays([values.slice(0, ROWS - 20), pa.nulls(20, values.type)])
    path = tmp_path / "window.parquet"
    pq.write_table(pa.table({"x": with_nulls, "id": range(ROWS)}), path)
    never = (kind.is_binned and name in WORDS) or (kind is FeatureKind.NUMERIC and name in TIMES)
    if never:
        with pytest.raises(UsageError, match=f"cannot be {kind.value}"):
            compare(path, path, kinds={"x": kind})
        return
    found = compare(path, path, kinds={"x": kind})["x"]
    assert (found.kind, found.severity.word) == (kind, "none")
    assert found.current.missing == (ROWS if name.startswith("nothing") else 20)
    assert found.status != "type_changed"


def column(values):
    return pa.table({"x": values, "id": range(len(values))})


def test_numbers_in_text_move_as_numbers_do():
    before, after = (many(lambda n, shift=shift: str(n % 40 + shift)) for shift in (0, 15))
    as_text = compare(column(before), column(after), kinds={"x": "numeric"})["x"]
    as_numbers = compare(column(before.cast(pa.int64())), column(after.cast(pa.int64())))["x"]
    assert (as_text.psi, as_text.ks, as_text.current.mean) == (as_numbers.psi, as_numbers.ks, as_numbers.current.mean)
    assert as_text.severity.word == "critical"


def test_times_in_text_are_those_of_a_timestamp():
    text = COLUMNS["times as text"]
    as_text = compare(column(text), column(text), kinds={"x": "datetime"})["x"]
    stamps = compare(column(COLUMNS["timestamp"]), column(COLUMNS["timestamp"]))["x"]
    assert (as_text.current.min, as_text.current.max) == (stamps.current.min, stamps.current.max)


@pytest.mark.parametrize(("kind", "source"), [("numeric", "numbers as text"), ("datetime", "epoch")])
def test_a_column_that_turns_into_something_else_is_still_a_change_of_type(kind, source):
    others = {"numeric": ("words", "timestamp"), "datetime": ("words", "boolean")}[kind]
    for other in others:
        found = compare(column(COLUMNS[source]), column(COLUMNS[other]), kinds={"x": kind})["x"]
        assert (found.status, found.severity.word) == ("type_changed", "critical")


def test_a_column_that_turns_into_what_its_kind_says_is_no_change_of_type():
    text, numbers = COLUMNS["numbers as text"], COLUMNS["numbers as text"].cast(pa.int64())
    found = compare(column(text), column(numbers), kinds={"x": "numeric"})["x"]
    assert (found.status, found.severity.word, found.psi) == ("ok", "none", 0.0)


def test_what_the_column_held_is_stored_with_the_baseline(tmp_path):
    baseline = Baseline.fit(column(COLUMNS["numbers as text"]), kinds={"x": "numeric"})
    baseline.save(tmp_path / "b.tmb")
    back = Baseline.load(tmp_path / "b.tmb")
    assert back.bins.features["x"].cells.source == "text"
    assert back.compare(column(COLUMNS["numbers as text"]))["x"].severity.word == "none"


def test_cells_whose_column_is_what_the_kind_says_keep_the_form_of_earlier_releases():
    """The bytes are hashed into `bins_id`: states under bins of an earlier release must still be found."""
    bins = LocalEngine().fit(open_rows(column(COLUMNS["double"])), ColumnRoles(kinds={"x": FeatureKind.NUMERIC}))
    assert bins.features["x"].cells.source == ""

    state = encode_bins(bins)
    assert decode_bins(state).bins_id == bins.bins_id
    assert b'"source"' not in canonical_bins(bins)
