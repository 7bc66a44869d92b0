"""Delta tables as other systems leave them: each data file read once, and nulls where a file is older than a column."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import quote

import deltalake
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tables import FakeClock
from tiltmeter import Baseline, compare
from tiltmeter.domain.errors import UnreadableData
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.model import Model, TableSource
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.store.foreign import ForeignTable

DAYS = ["1", "2", "a b", "ü", "100%"]


def numbers(path):
    rows = open_rows(path)
    return sorted(row["x"] for batch in rows.batches(["x"]) for row in batch.to_pylist())


def by_day(path):
    found = {}
    for batch in open_rows(path).batches(["x", "day"]):
        for row in batch.to_pylist():
            found.setdefault(row["day"], []).append(row["x"])
    return {day: sorted(values) for day, values in found.items()}


def log_of(path):
    return path / "_delta_log" / f"{0:020}.json"


def converted(path):
    """Partitioned Parquet files that were made a Delta table where they lie: all have one base name."""
    for number, day in enumerate(DAYS):
        folder = path / f"day={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": [10 * number, 10 * number + 1]}), folder / "part-0.parquet")
    partition = deltalake.Schema([deltalake.Field("day", "string")])
    deltalake.convert_to_deltalake(str(path), partition_by=partition, partition_strategy="hive")
    return path


EXPECTED = {day: [10 * number, 10 * number + 1] for number, day in enumerate(DAYS)}


def test_files_of_one_base_name_are_each_read_once(tmp_path):
    assert by_day(converted(tmp_path / "t")) == EXPECTED


def test_folders_that_are_named_by_escaped_values_are_found(tmp_path):
    table = pa.table(
        {"day": DAYS * 2, "x": [10 * n for n in range(len(DAYS))] + [10 * n + 1 for n in range(len(DAYS))]}
    )
    deltalake.write_deltalake(tmp_path / "t", table, partition_by=["day"])
    assert by_day(tmp_path / "t") == EXPECTED


def shallow_clone(tmp_path):
    """As Spark makes one: a log of its own, whose files are those of the other table, by whole addresses."""
    table = pa.table({"day": DAYS, "x": [0, 1, 2, 3, 4]})
    deltalake.write_deltalake(tmp_path / "with a space", table, partition_by=["day"])
    actions = [json.loads(line) for line in log_of(tmp_path / "with a space").read_text().splitlines()]
    for number, action in enumerate(actions):
        if "add" in action:
            start = "file://" if number % 2 else "file:"
            action["add"]["path"] = f"{start}{quote(str(tmp_path / 'with a space'))}/{action['add']['path']}"
    log_of(tmp_path / "clone").parent.mkdir(parents=True)
    log_of(tmp_path / "clone").write_text("\n".join(json.dumps(action) for action in actions))
    return tmp_path / "clone"


def test_a_shallow_clone_is_read_from_the_files_of_the_other_table(tmp_path):
    assert by_day(shallow_clone(tmp_path)) == {day: [number] for number, day in enumerate(DAYS)}


def test_a_table_named_by_its_address_is_read_as_by_its_path(tmp_path):
    assert numbers(f"file://{converted(tmp_path / 't')}") == numbers(tmp_path / "t")


def test_a_file_that_is_named_twice_is_refused(tmp_path):
    deltalake.write_deltalake(tmp_path / "t", pa.table({"x": [1, 2]}))
    lines = log_of(tmp_path / "t").read_text().splitlines()
    (added,) = [json.loads(line) for line in lines if '"add"' in line]
    added["add"]["path"] = added["add"]["path"].replace("-", "%2D", 1)
    log_of(tmp_path / "t").write_text("\n".join([*lines, json.dumps(added)]))
    with pytest.raises(UnreadableData, match="names a data file twice"):
        open_rows(tmp_path / "t")


@pytest.mark.parametrize("make", [converted, lambda path: shallow_clone(path.parent)])
def test_a_watched_table_reads_each_file_once_as_well(tmp_path, make):
    path = make(tmp_path / "t")
    source = TableSource(str(path), {"time": "day"})
    table = ForeignTable.of(Model("m", source=source), FakeClock(datetime(2026, 3, 2, tzinfo=UTC)), None)
    rows = [row for batch in table.new_rows(None).batches(["day", "x"]) for row in batch.to_pylist()]
    found = {}
    for row in rows:
        found.setdefault(row["day"], []).append(row["x"])
    assert {day: sorted(values) for day, values in found.items()} == by_day(path)


def grown(path):
    """A table that got columns later: 1,000 rows without them, then 1,000 with."""
    rng = np.random.default_rng(5)
    before = pa.table({"x": rng.normal(size=1_000)})
    after = pa.table(
        {
            "x": rng.normal(size=1_000),
            "plan": ["a", "b"] * 500,
            "size": rng.normal(size=1_000),
            "at": pa.array(range(1_000), pa.timestamp("us")),
            "won": [True, False] * 500,
            "tags": pa.array([["a"], ["b"]] * 500),
            "note": [f"note {number}" for number in range(1_000)],
        }
    )
    deltalake.write_deltalake(path, before)
    deltalake.write_deltalake(path, after, mode="append", schema_mode="merge")
    return path


def test_rows_that_are_older_than_a_column_are_missing_in_it(tmp_path):
    path = grown(tmp_path / "t")
    younger = ("plan", "size", "at", "won", "tags", "note")
    result = compare(path, path)
    for name in younger:
        side = result[name].current
        assert (name, side.count, side.missing) == (name, 2_000, 1_000)
    rows = open_rows(path)
    profile = LocalEngine().profile(rows, LocalEngine().fit(rows, ColumnRoles()))
    assert {name: (profile.features[name].rows, profile.features[name].missing) for name in younger} == dict.fromkeys(
        younger, (2_000, 1_000)
    )
    back = pa.Table.from_batches([batch.select(["plan"]) for batch in rows.batches(["plan"]) if batch.num_rows][:1])
    assert back["plan"].null_count in (0, 1_000)


def test_a_window_of_old_files_alone_misses_the_young_column(tmp_path):
    path = grown(tmp_path / "t")
    whole = Baseline.fit(path)
    profile = whole.profile(f"{path}@1")
    assert profile.features["plan"].missing == 1_000


def test_a_column_that_stands_in_the_folder_name_and_in_the_file_is_read_once(tmp_path):
    folder = tmp_path / "t" / "day=1"
    folder.mkdir(parents=True)
    wide = {f"n{number}": np.arange(600_000) for number in range(2)}
    pq.write_table(pa.table({"day": ["1"] * 600_000, **wide}), folder / "part-0.parquet")
    for batch in open_rows(tmp_path / "t").batches():
        assert sorted(batch.schema.names) == ["day", "n0", "n1"]
