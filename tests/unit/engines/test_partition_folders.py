"""What stands in the names of folders is a column of the files inside, whatever their kind."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.engines.local.sources import data_files, rows_of_file


def write(table, path, kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "csv":
        pyarrow.csv.write_csv(table, path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), encoding="utf-8")
    elif kind == "arrow":
        pyarrow.feather.write_feather(table, path)
    else:
        pq.write_table(table, path)


KINDS = ["csv", "jsonl", "arrow", "parquet"]


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_folders_are_columns(tmp_path, kind):
    for number, plan in enumerate(["basic", "pro%2Fplus"], start=1):
        table = pa.table({"x": [float(number), 9.5], "code": ["07", "x"]})
        write(table, tmp_path / f"day=2026-11-0{number}" / f"plan={plan}" / f"part.{kind}", kind)
    rows, engine = open_rows(tmp_path), LocalEngine()
    assert rows.schema.names == ["x", "code", "day", "plan"]
    assert [batch.to_pydict() for batch in rows.batches(["plan", "x"])] == [
        {"plan": ["basic"] * 2, "x": [1.0, 9.5]},
        {"plan": ["pro/plus"] * 2, "x": [2.0, 9.5]},
    ]
    bins = engine.fit(rows, ColumnRoles())
    profile = engine.profile(rows, bins)
    assert bins.features["day"].cells.levels == ("2026-11-01", "2026-11-02")
    assert profile.features["day"].counts.tolist()[:2] == [2, 2]
    assert profile.features["plan"].rows == 4
    file = data_files(tmp_path)[0]
    assert rows_of_file(tmp_path, file).schema.names == ["x", "code", "day", "plan"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_of_the_file_stands_before_the_name_of_its_folder(tmp_path, kind):
    write(pa.table({"x": [1.5], "day": ["monday"]}), tmp_path / "day=2026-11-01" / f"part.{kind}", kind)
    rows = open_rows(tmp_path)
    assert rows.schema.names == ["x", "day"]
    assert pa.Table.from_batches(list(rows.batches()))["day"].to_pylist() == ["monday"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_folder_of_rows_without_a_value_means_missing(tmp_path, kind):
    for plan in ("__HIVE_DEFAULT_PARTITION__", "basic", "__HIVE_DEFAULT_PARTITION__x"):
        write(pa.table({"x": [1.5, 2.5]}), tmp_path / f"plan={plan}" / f"part.{kind}", kind)
    rows, engine = open_rows(tmp_path), LocalEngine()
    bins = engine.fit(rows, ColumnRoles())
    assert bins.features["plan"].cells.levels == ("__HIVE_DEFAULT_PARTITION__x", "basic")
    profile = engine.profile(rows, bins)
    assert (profile.features["plan"].rows, profile.features["plan"].missing) == (6, 2)


def test_a_csv_column_of_a_partition_is_text_for_both_sides(tmp_path):
    write(pa.table({"x": [1.5]}), tmp_path / "code=07001" / "part.csv", "csv")
    rows = open_rows(tmp_path).with_text(["x", "code"])
    assert pa.Table.from_batches(list(rows.batches())).to_pydict() == {"x": ["1.5"], "code": ["07001"]}
