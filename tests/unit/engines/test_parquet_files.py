"""Parquet files: what is kept in memory, and a few columns at a time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.engines.local.parquet_files import KEPT_BYTES, ParquetRows, kept_in_memory
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.profiling.codec import encode_profile

ROWS = 130_000
"""Enough for the compiled kernel, and for three portions of seven columns."""


def mixed(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    numbers = {f"n{i}": rng.normal(i, 1 + i, ROWS) for i in range(3)}
    numbers["n1"][rng.random(ROWS) < 0.1] = np.nan
    return pa.table(
        {
            "id": rng.integers(0, ROWS // 2, ROWS),
            **numbers,
            "plan": pa.array(rng.choice(["a", "b", "c"], ROWS).tolist(), mask=rng.random(ROWS) < 0.2),
            "flag": pa.array(rng.random(ROWS) < 0.3),
            "won": pa.array(rng.choice(["yes", "no"], ROWS).tolist()),
        }
    )


def test_a_file_in_portions_gives_the_profile_of_the_whole_table(tmp_path):
    baseline, window = mixed(1), mixed(2)
    window = window.set_column(5, "flag", pa.array(["text"] * ROWS))
    pq.write_table(window, tmp_path / "window.parquet", row_group_size=ROWS)
    rows, engine = open_rows(tmp_path / "window.parquet"), LocalEngine()
    bins = engine.fit(TableRows(baseline), ColumnRoles(entity="id", label="won"))
    (part,) = rows.parts()
    widths = [[batch.num_columns for batch in portions] for portions in part.portions(rows.schema.names)]
    assert widths == [[3, 3, 1]]
    assert [batch.num_columns for batch in rows.batches()] == [7]
    found = engine.profile(rows, bins)
    assert encode_profile(found) == encode_profile(engine.profile(TableRows(window), bins))
    assert found.retyped == {"flag": "text"}
    assert found.entities is not None
    assert found.labelled == ROWS


def long_texts(path):
    """5,000 rows: different notes of 100 characters, and few long answers over and over, which pack well."""
    rng = np.random.default_rng(4)
    notes = [f"{number:0100d}" if number % 7 else None for number in rng.integers(0, 10**9, 5_000).tolist()]
    answers = [(b"no" * 500, b"yes" * 400, None)[choice] for choice in rng.integers(0, 3, 5_000)]
    table = pa.table({"size": rng.normal(size=5_000), "note": notes, "answer": pa.array(answers, pa.binary())})
    pq.write_table(table, path, row_group_size=5_000)
    return table


def test_a_row_group_with_more_text_than_is_decoded_at_once_is_read_in_parts(tmp_path):
    path, engine = tmp_path / "notes.parquet", LocalEngine()
    table = long_texts(path)
    whole, in_parts = open_rows(path), ParquetRows(path, "notes", print, {}, column_bytes=100_000)
    assert [batch.num_rows for batch in whole.batches()] == [5_000]
    sizes = [batch.num_rows for batch in in_parts.batches()]
    assert sum(sizes) == 5_000
    assert max(sizes) < 1_250  # a seventh of the notes is missing
    bins = engine.fit(TableRows(table), ColumnRoles())
    assert engine.fit(in_parts, ColumnRoles()).bins_id == engine.fit(whole, ColumnRoles()).bins_id == bins.bins_id
    assert encode_profile(engine.profile(in_parts, bins)) == encode_profile(engine.profile(whole, bins))


def test_repeated_bytes_take_the_room_of_the_different_ones(tmp_path):
    path, engine = tmp_path / "answers.parquet", LocalEngine()
    table = long_texts(path)
    whole, wide = open_rows(path), ParquetRows(path, "answers", print, {}, column_bytes=1_000_000)
    (batch,) = wide.batches()
    assert batch.schema.field("answer").type == pa.dictionary(pa.int32(), pa.binary())
    assert batch.column("answer").nbytes < table.column("answer").nbytes / 10
    assert batch.column("answer").to_pylist() == table.column("answer").to_pylist()
    bins = engine.fit(whole, ColumnRoles())
    assert encode_profile(engine.profile(wide, bins)) == encode_profile(engine.profile(whole, bins))


def test_columns_beside_the_file_come_once_and_an_empty_file_has_none(tmp_path):
    pq.write_table(mixed(1), tmp_path / "one.parquet", row_group_size=ROWS)
    rows = ParquetRows(tmp_path / "one.parquet", "one", print, {"day": pa.scalar("monday")})
    names = [name for portions in rows.group_portions(0) for batch in portions for name in batch.schema.names]
    assert names == [*mixed(1).schema.names, "day"]
    assert next(rows.batches(["day"])).schema.names == ["day"]
    pq.write_table(mixed(1).slice(0, 0), tmp_path / "none.parquet")
    assert list(open_rows(tmp_path / "none.parquet").batches()) == []


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ([1, 1, 1], [0, 1, 0], FeatureKind.BOOLEAN),
        ([None, None, None], [0, 1, 0], FeatureKind.BOOLEAN),
        ([0, 1, 1], [0, 1, 2], FeatureKind.NUMERIC),
        ([2, 0, 1], [0, 1, 1], FeatureKind.NUMERIC),
    ],
)
def test_all_row_groups_tell_flags_from_numbers(tmp_path, first, second, kind):
    pq.write_table(pa.table({"x": pa.array(first + second, pa.int64())}), tmp_path / "x.parquet", row_group_size=3)
    bins = LocalEngine().fit(open_rows(tmp_path / "x.parquet"), ColumnRoles())
    assert bins.features["x"].kind is kind


def numbers_file(path, rows=1_000, **options):
    rng = np.random.default_rng(3)
    pq.write_table(pa.table({"x": rng.normal(size=rows), "y": rng.integers(0, 9, rows)}), path, **options)
    return open_rows(path)


def test_a_short_file_is_kept_and_read_no_more(tmp_path):
    path = tmp_path / "short.parquet"
    rows = numbers_file(path)
    engine = LocalEngine()
    bins = engine.fit(rows, ColumnRoles())
    from_disk = encode_profile(engine.profile(rows, bins))
    kept = kept_in_memory(rows)
    path.unlink()
    assert (kept.name, kept.version, kept.count()) == (rows.name, None, 1_000)
    assert encode_profile(engine.profile(kept, bins)) == from_disk


@pytest.mark.parametrize("shape", ["row groups", "text", "dictionary", "list", "no file"])
def test_what_gains_nothing_by_being_kept_stays_as_it_is(tmp_path, shape):
    path = tmp_path / "some.parquet"
    if shape == "row groups":
        rows = numbers_file(path, row_group_size=500)
    elif shape == "no file":
        rows = TableRows(pa.table({"x": [1.0]}))
    else:
        words = pa.array(["a", "b"])
        column = {"text": words, "dictionary": words.dictionary_encode(), "list": pa.array([[1], [2]])}[shape]
        pq.write_table(pa.table({"x": column}), path)
        rows = open_rows(path)
    assert kept_in_memory(rows) is rows


def test_a_long_file_is_not_kept(tmp_path):
    rows = KEPT_BYTES // 8  # of one column: exactly the limit
    for count, kept in ((rows, True), (rows + 1, False)):
        path = tmp_path / f"{count}.parquet"
        pq.write_table(pa.table({"x": np.zeros(count, dtype=np.int8)}), path, row_group_size=count)
        opened = open_rows(path)
        assert (kept_in_memory(opened) is not opened) == kept


@pytest.mark.parametrize("columns", [["size"], ["source"], None])
def test_damage_in_the_middle_of_a_file_is_one_clear_error(tmp_path, columns):
    path = tmp_path / "leads.parquet"
    table = pa.table({"size": [n * 1.7 for n in range(5_000)], "source": [f"partner-{n}" for n in range(5_000)]})
    pq.write_table(table, path, row_group_size=2_500, use_dictionary=False)
    content = bytearray(path.read_bytes())
    footer = len(content) - int.from_bytes(content[-8:-4], "little")
    content[4:footer:40] = b"\xff" * len(content[4:footer:40])
    path.write_bytes(content)
    with pytest.raises(UnreadableData, match=r"leads\.parquet.*cannot be read as Parquet"):
        list(open_rows(str(path)).batches(columns))
