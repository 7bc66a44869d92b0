"""Whatever holds a table becomes rows, or one clear sentence says why not."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys

import deltalake
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tiltmeter import compare
from tiltmeter.domain.errors import UnreadableData
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.engines.local.csv_files import opened
from tiltmeter.profiling.codec import encode_profile

TABLE = pa.table(
    {
        "size": [1.5, 2.5, None, 40.0],
        "plan": ["a", "b", None, "a"],
        "zip": ["01067", "10115", "10117", "01067"],
        "won": [True, False, False, True],
    }
)


def read(source, note=None) -> pa.Table:
    rows = open_rows(source, note=note)
    batches = list(rows.batches())
    table = pa.Table.from_batches(batches, batches[0].schema) if batches else rows.schema.empty_table()
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column for column in table
    ]
    return pa.table(columns, names=table.schema.names)


def write_csv(path, separator=",", decimal=".", encoding="utf-8", opener=open):
    lines = [separator.join(["size", "plan", "zip", "won"])]
    for row in TABLE.to_pylist():
        size = "" if row["size"] is None else str(row["size"]).replace(".", decimal)
        lines.append(separator.join([size, row["plan"] or "", row["zip"], str(row["won"]).lower()]))
    with opener(path, "wb") as file:
        file.write(("\n".join(lines) + "\n").encode(encoding))
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_separator_and_decimal_are_found_out_and_told(tmp_path, separator, decimal):
    if separator == decimal:
        return
    told = []
    table = read(write_csv(tmp_path / "leads.csv", separator, decimal), told.append)
    assert table["size"].to_pylist() == [1.5, 2.5, None, 40.0]
    name = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}[separator]
    assert told == [
        f"{tmp_path / 'leads.csv'}: separator {name}, decimal {'comma' if decimal == ',' else 'point'}, utf-8"
    ]


def test_a_compressed_csv_file_reads_like_a_plain_one(tmp_path):
    plain = read(write_csv(tmp_path / "a.csv"))
    assert read(write_csv(tmp_path / "a.csv.gz", opener=gzip.open)).equals(plain)


def test_other_encodings_are_read(tmp_path):
    (tmp_path / "latin.csv").write_bytes("name,x\nMüller,1\nÅs,2\n".encode("latin-1"))
    assert read(tmp_path / "latin.csv")["name"].to_pylist() == ["Müller", "Ås"]
    (tmp_path / "bom.csv").write_bytes("name,x\nMüller,1\n".encode("utf-8-sig"))
    assert read(tmp_path / "bom.csv").schema.names == ["name", "x"]
    (tmp_path / "wide.csv").write_bytes("name,x\nMüller,1\n".encode("utf-16"))
    assert read(tmp_path / "wide.csv")["name"].to_pylist() == ["Müller"]
    late = "name,x\n" + "a,1\n" * 30_000
    (tmp_path / "late.csv").write_bytes(late.encode() + "Ü,2\n".encode("latin-1"))
    assert read(tmp_path / "late.csv")["name"].to_pylist()[-1] == "Ü"


def test_a_csv_column_whose_type_shows_late_is_read_whole(tmp_path):
    path = tmp_path / "late.csv"
    path.write_text("x\n" + "1\n" * 5_000_000 + "1.5\n")
    assert read(path)["x"].to_pylist()[-1] == 1.5


def test_quoted_separators_and_line_breaks_stay_inside(tmp_path):
    (tmp_path / "q.csv").write_text('a;b\n"x;y";1\n"two\nlines";2\n')
    assert read(tmp_path / "q.csv")["a"].to_pylist() == ["x;y", "two\nlines"]


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_quoted_gap_leaves_numbers_times_and_flags_what_they_are(tmp_path, separator):
    rows = [["n", "x", "day", "at", "won", "plan", "empty"]]
    decimal = "," if separator == ";" else "."
    for number in range(300):
        gap = number % 10 == 3
        cells = [number, f"{number}{decimal}5", f"2026-03-{1 + number % 28:02}", "2026-03-01 10:00:00", "true", "a"]
        rows.append([*("" if gap else cell for cell in cells), ""])
    text = "\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows)
    (tmp_path / "quoted.csv").write_text(text, encoding="utf-8")
    (tmp_path / "whole.csv").write_text(
        "\n".join(line for line in text.split("\n") if not line.startswith('""')), encoding="utf-8"
    )
    back, whole = read(tmp_path / "quoted.csv"), read(tmp_path / "whole.csv")
    assert back.schema.types[:5] == whole.schema.types[:5]
    assert [pa.types.is_string(kind) for kind in back.schema.types] == [False] * 5 + [True, True]
    assert [back[name].null_count for name in back.schema.names] == [30] * 5 + [0, 0]
    assert back["plan"].to_pylist().count("") == 30
    found = compare(tmp_path / "whole.csv", tmp_path / "quoted.csv")
    assert all(found[name].status != "type_changed" for name in ("n", "x", "day", "at"))
    as_text = open_rows(tmp_path / "quoted.csv").with_text(["n"])
    assert next(iter(as_text.batches(["n"])))["n"].to_pylist()[3] == ""


def test_an_empty_cell_is_missing_and_quoted_na_is_text(tmp_path):
    (tmp_path / "na.csv").write_text('a,b\n,1\n"NA",2\nNA,3\n')
    assert read(tmp_path / "na.csv")["a"].to_pylist() == [None, "NA", None]


def test_categories_of_a_csv_window_are_read_as_text(tmp_path):
    engine = LocalEngine()
    (tmp_path / "a.csv").write_text("code\nA1\n07\nA1\n")
    (tmp_path / "b.csv").write_text("code\n07\n07\n")
    bins = engine.fit(open_rows(tmp_path / "a.csv"), ColumnRoles())
    profile = engine.profile(open_rows(tmp_path / "b.csv"), bins)
    assert profile.retyped == {}
    assert profile.features["code"].counts.tolist() == [0, 2]


def test_a_kind_keeps_the_leading_zeros_of_a_csv_column(tmp_path):
    bins = LocalEngine().fit(
        open_rows(write_csv(tmp_path / "a.csv")), ColumnRoles(kinds={"zip": FeatureKind.CATEGORICAL})
    )
    assert bins.features["zip"].cells.levels == ("01067", "10115", "10117")


def written(folder, form):
    path = folder / f"leads.{form}"
    if form == "parquet":
        pq.write_table(TABLE, path)
    elif form == "feather":
        pyarrow.feather.write_feather(TABLE, path)
    elif form == "arrow":
        with pa.ipc.new_stream(path, TABLE.schema) as writer:
            writer.write_table(TABLE)
    elif form == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in TABLE.to_pylist()))
    else:
        deltalake.write_deltalake(path, TABLE)
    return path


@pytest.mark.parametrize("form", ["parquet", "feather", "arrow", "jsonl", "delta"])
def test_every_form_of_a_table_gives_the_same_rows(tmp_path, form):
    table = read(written(tmp_path, form))
    assert table.select(TABLE.schema.names).to_pylist() == TABLE.to_pylist()


@pytest.mark.parametrize(
    "frame",
    [TABLE, TABLE.to_pandas(), pl.from_arrow(TABLE), TABLE.to_pydict(), TABLE.to_reader().read_all()],
    ids=["pyarrow", "pandas", "polars", "mapping", "reader"],
)
def test_frames_of_any_library_give_the_same_profile(frame):
    engine = LocalEngine()
    bins = engine.fit(open_rows(TABLE), ColumnRoles())
    assert encode_profile(engine.profile(open_rows(frame), bins)) == encode_profile(
        engine.profile(open_rows(TABLE), bins)
    )


def test_a_frame_of_mixed_objects_keeps_its_good_columns():
    frame = pd.DataFrame(
        {
            "x": [1.0, 2.0, 3.0],
            "odd": [True, 1, "1"],
            "huge": [10**5000, 1, None],
            "cut": pd.Series(["\ud800", "a", "b"], dtype=object),
        }
    )
    table = read(frame)
    assert table["x"].to_pylist() == [1.0, 2.0, 3.0]
    assert table["odd"].to_pylist() == ["True", "1", "1"]
    assert table["cut"].to_pylist() == ["?", "a", "b"]


def test_repeated_column_names_are_left_out_and_told(tmp_path):
    told = []
    (tmp_path / "twice.csv").write_text("a,b,a\n1,2,3\n")
    assert read(tmp_path / "twice.csv", told.append).schema.names == ["b"]
    assert "left out: a" in told[-1]
    told.clear()
    assert read(pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), told.append).schema.names == ["b"]
    assert "left out: a" in told[-1]


def test_an_index_without_a_name_is_no_column():
    frame = pd.DataFrame({"x": [1.0, 2.0]}, index=["r", "s"])
    assert read(frame).schema.names == ["x"]


def test_a_folder_is_one_data_set_in_the_order_of_its_files(tmp_path):
    for number in (2, 1):
        folder = tmp_path / f"day=2026-11-0{number}"
        folder.mkdir()
        pq.write_table(pa.table({"x": [float(number)], f"only{number}": [1]}), folder / "part.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    rows = open_rows(tmp_path)
    assert rows.count() == 2
    assert set(rows.schema.names) == {"x", "only1", "only2", "day"}
    assert [batch.column("x")[0].as_py() for batch in rows.batches(["x"])] == [1.0, 2.0]
    bins = LocalEngine().fit(rows, ColumnRoles())
    profile = LocalEngine().profile(rows, bins)
    assert (profile.features["only1"].rows, profile.features["only1"].missing) == (2, 1)
    assert profile.features["day"].counts.tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_files_of_a_folder_may_lack_columns_of_each_other(tmp_path, kind):
    tables = {"a": pa.table({"x": [1, 2, 3], "plan": ["p", "q", "p"]}), "b": pa.table({"x": [4, 5], "extra": [7, 8]})}
    for name, table in tables.items():
        path = tmp_path / f"{name}.{kind}"
        if kind == "csv":
            pyarrow.csv.write_csv(table, path)
        elif kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), encoding="utf-8")
        else:
            pq.write_table(table, path)
    rows = open_rows(tmp_path)
    profile = LocalEngine().profile(rows, LocalEngine().fit(rows, ColumnRoles()))
    assert profile.rows == 5
    assert {feature.rows for feature in profile.features.values()} == {5}
    assert {name: feature.missing for name, feature in profile.features.items()} == {"x": 0, "plan": 2, "extra": 3}


def test_a_delta_table_is_read_at_its_version(tmp_path):
    deltalake.write_deltalake(tmp_path / "t", TABLE)
    deltalake.write_deltalake(tmp_path / "t", TABLE.slice(0, 1), mode="append")
    assert open_rows(f"{tmp_path}/t").count() == 5
    first = open_rows(f"{tmp_path}/t@0")
    assert (first.count(), first.version) == (4, 0)
    with pytest.raises(UnreadableData, match="version 9"):
        open_rows(f"{tmp_path}/t@9")


def test_partition_columns_of_a_delta_table_have_their_values_and_types(tmp_path):
    table = TABLE.append_column("day", pa.array([1, 1, 2, 2]))
    deltalake.write_deltalake(tmp_path / "t", table, partition_by=["day"])
    back = read(tmp_path / "t")
    assert sorted(back["day"].to_pylist()) == [1, 1, 2, 2]
    assert back.schema.field("day").type == pa.int64()


def test_deleted_rows_of_a_table_with_deletion_vectors_stay_deleted(tmp_path):
    path = tmp_path / "t"
    deltalake.write_deltalake(path, TABLE, configuration={"delta.enableDeletionVectors": "true"})
    table = deltalake.DeltaTable(path)
    table.delete("plan = 'b'")
    assert sorted(read(path)["size"].to_pylist(), key=lambda one: one or 0) == [None, 1.5, 40.0]


def test_mapped_columns_are_read_by_their_logical_names(tmp_path):
    """What Databricks writes: files under physical names, which the log maps to the table's own."""
    path = tmp_path / "t"
    (path / "_delta_log").mkdir(parents=True)
    physical = {"size": "col-5f1", "plan": "col-9c2"}
    written = TABLE.select(["size", "plan"]).rename_columns(list(physical.values()))
    pq.write_table(written, path / "part-0.parquet")
    columns = [
        {
            "name": name, "type": "double" if name == "size" else "string", "nullable": True,
            "metadata": {"delta.columnMapping.id": number, "delta.columnMapping.physicalName": physical[name]},
        }
        for number, name in enumerate(physical, start=1)
    ]  # fmt: skip
    actions = [
        {"protocol": {"minReaderVersion": 2, "minWriterVersion": 5}},
        {
            "metaData": {
                "id": "5f0c4b1e-8a57-4a39-9d1f-2f4c1c3a7b10", "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": columns}), "partitionColumns": [],
                "configuration": {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "2"},
                "createdTime": 0,
            }
        },
        {
            "add": {
                "path": "part-0.parquet", "partitionValues": {}, "size": (path / "part-0.parquet").stat().st_size,
                "modificationTime": 0, "dataChange": True,
            }
        },
    ]  # fmt: skip
    log = path / "_delta_log" / f"{0:020}.json"
    log.write_text("\n".join(json.dumps(action) for action in actions))
    back = read(path)
    assert back["size"].to_pylist() == TABLE["size"].to_pylist()
    assert back["plan"].to_pylist() == TABLE["plan"].to_pylist()


def test_an_unknown_table_feature_is_named(tmp_path):
    path = tmp_path / "t"
    deltalake.write_deltalake(path, TABLE)
    log = path / "_delta_log" / f"{0:020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "protocol" in action:
            action["protocol"] = {
                "minReaderVersion": 3, "minWriterVersion": 7,
                "readerFeatures": ["rubberDucks"], "writerFeatures": ["rubberDucks"],
            }  # fmt: skip
    log.write_text("\n".join(json.dumps(action) for action in actions))
    with pytest.raises(UnreadableData, match="rubberDucks"):
        list(open_rows(path).batches())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.csv", b"", "empty"),
        ("blank.csv", b"\n\n", "empty"),
        ("empty.parquet", b"", "empty"),
        ("broken.parquet", b"PAR1 and then nothing", "cannot be read as Parquet"),
        ("broken.arrow", b"no arrow", "cannot be read as Arrow"),
        ("binary.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "is no text"),
        ("ragged.csv", b"a,b,c\n1,2,3\n1,2\n1,2,3,4\n", "a row has 2 fields and the header 3"),
        ("text.jsonl", b"no json\n", "no JSON"),
        ("list.jsonl", b"[1, 2]\n", "no JSON object"),
        ("broken.csv.gz", b"\x1f\x8b\x08 nonsense", "cannot be read"),
        ("table.xlsx", b"PK", "are not read"),
    ],
)
def test_what_cannot_be_read_is_one_clear_error(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableData, match=reason) as caught:
        list(open_rows(path).batches())
    assert "\n" not in str(caught.value)


def test_an_error_quotes_nothing_of_the_rows(tmp_path):
    path = tmp_path / "leads.csv"
    path.write_text("name,mail,size\nAda,ada@example.org,3\nGrace Hopper,grace@example.org\n")
    with pytest.raises(UnreadableData) as caught:
        list(open_rows(path).batches())
    assert "grace" not in str(caught.value).lower()


def test_a_missing_file_suggests_the_closest_name(tmp_path):
    (tmp_path / "leads.csv").write_text("a\n1\n")
    with pytest.raises(UnreadableData, match=r'did you mean "leads.csv"'):
        open_rows(tmp_path / "lead.csv")
    with pytest.raises(UnreadableData, match="no data files"):
        open_rows(_folder(tmp_path))
    with pytest.raises(UnreadableData, match="is no table"):
        open_rows(42)


def _folder(path):
    inner = path / "nothing"
    inner.mkdir()
    (inner / "readme.md").write_text("hello")
    return inner


def test_a_gzip_bomb_is_refused(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"a,b\n" + b"0,0\n" * 5_000_000)
    assert path.stat().st_size < 50_000
    with pytest.raises(UnreadableData, match="inflates more than"), opened(path, free_bytes=2**20) as stream:
        stream.read()
    assert open_rows(path).count() == 5_000_000, "20 MB are no danger whatever the ratio"


@pytest.mark.slow
def test_a_process_that_refused_a_gzip_bomb_ends(tmp_path):
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        for _ in range(70):
            file.write(b"1,2\n" * 1_000_000)
    code = "import sys; from tiltmeter.engines.local import open_rows; open_rows(sys.argv[1]).schema"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    assert "inflates more than 200 times" in ended.stderr


@pytest.mark.slow
def test_a_parquet_bomb_is_refused_from_its_footer(tmp_path):
    path = tmp_path / "bomb.parquet"
    zeros = pa.array(np.zeros(2_000_000))
    table = pa.table({f"z{i}": zeros for i in range(100)})
    with pq.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=False) as writer:
        writer.write_table(table)
    assert path.stat().st_size < 3_000_000
    with pytest.raises(UnreadableData, match="unpacks from"):
        open_rows(path).schema  # noqa: B018 - reading the schema is the test


def test_a_constant_column_of_many_rows_is_no_bomb(tmp_path):
    path = tmp_path / "constant.parquet"
    pq.write_table(pa.table({"x": np.zeros(5_000_000)}), path)
    assert open_rows(path).count() == 5_000_000


def test_nested_objects_of_json_lines_become_dotted_columns(tmp_path):
    (tmp_path / "n.jsonl").write_text('{"a": {"b": 1, "c": "x"}}\n{"a": {"b": 2}}\n')
    assert read(tmp_path / "n.jsonl").to_pydict() == {"a.b": [1, 2], "a.c": ["x", None]}


def test_json_lines_of_several_types_become_text(tmp_path):
    huge = "9" * 5_000
    (tmp_path / "n.jsonl").write_text('{"a": 1, "b": 1}\n{"a": "x", "b": 2}\n{"b": ' + huge + "}\n")
    table = read(tmp_path / "n.jsonl")
    assert table["a"].to_pylist() == ["1", "x", None]


def test_row_groups_are_read_side_by_side_to_the_same_profile(tmp_path):
    rng = np.random.default_rng(2)
    table = pa.table({"x": rng.normal(size=9_000), "c": rng.choice(list("abc"), 9_000)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1_000)
    rows = open_rows(tmp_path / "t.parquet")
    engine = LocalEngine()
    bins = engine.fit(rows, ColumnRoles())
    assert len(rows.parts()) == 9
    assert encode_profile(engine.profile(rows, bins)) == encode_profile(engine.profile(open_rows(table), bins))


def test_an_arrow_stream_in_memory_is_read(tmp_path):
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    (tmp_path / "t.arrow").write_bytes(sink.getvalue())
    assert read(tmp_path / "t.arrow").equals(TABLE)


def test_long_text_of_polars_is_text_as_any_other():
    """Arrow has no kernel that takes from its string views, which is what Polars hands over."""
    frame = pl.DataFrame({"plan": ["a name of more than twelve letters", "another one of that kind"] * 150})
    assert pa.types.is_large_string(open_rows(frame).schema.field("plan").type)
    assert compare(frame, frame)["plan"].psi == 0.0
