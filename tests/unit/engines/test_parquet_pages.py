"""Columns read by their pages: as PyArrow reads them, however written; damaged bytes give a whole column or none."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local import LocalEngine, open_rows, page_headers, page_values
from tiltmeter.engines.local.page_headers import pages_of
from tiltmeter.engines.local.parquet_pages import PageReader
from tiltmeter.engines.local.tables import TableRows
from tiltmeter.profiling.codec import encode_profile

NUMBERS = (pa.float64(), pa.int64(), pa.float32(), pa.int32())


@contextmanager
def reader(path, number=0):
    footer = pq.ParquetFile(path)
    words = [column.name for column in footer.schema_arrow if column.type == pa.string()]
    schema = pq.ParquetFile(path, read_dictionary=words).schema_arrow
    file = os.open(path, os.O_RDONLY)
    try:
        yield PageReader(file, footer.metadata, number, schema)
    finally:
        os.close(file)


def by_pyarrow(path, name, number=0):
    file = pq.ParquetFile(path)
    words = [name] if file.schema_arrow.field(name).type == pa.string() else None
    (chunk,) = pq.ParquetFile(path, read_dictionary=words).read_row_group(number, columns=[name]).column(0).chunks
    return chunk


def assert_as_by_pyarrow(path, names, number=0):
    with reader(path, number) as pages:
        for name in names:
            found, expected = pages.column(name), by_pyarrow(path, name, number)
            assert found is not None, name
            found.values.validate(full=True)
            assert found.absent == expected.null_count
            assert found.values.equals(expected.drop_null()), name


def drawn_column(rng, data_type, rows, different, missing):
    mask = rng.random(rows) < missing
    if data_type == pa.string():
        words = np.array(["", "π", *(f"level {number}" for number in range(different))])
        return pa.array(words[rng.integers(0, words.size, rows)].tolist(), data_type, mask=mask)
    values = rng.integers(-different, different, rows)
    if pa.types.is_floating(data_type):
        return pa.array((values / 3).astype(data_type.to_pandas_dtype()), mask=mask)
    return pa.array(values, pa.int64(), mask=mask).cast(data_type)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    rows=st.sampled_from([1, 7, 8, 9, 63, 1_000, 5_000]),
    different=st.sampled_from([1, 2, 3, 200, 70_000]),
    missing=st.sampled_from([0.0, 0.03, 0.5, 1.0]),
    codec=st.sampled_from(["none", "snappy", "zstd", "gzip"]),
    version=st.sampled_from(["1.0", "2.0"]),
    page=st.sampled_from([64, 1_000, 1_000_000]),
    dictionary=st.booleans(),
)
def test_every_way_of_writing_is_read_as_by_pyarrow(
    tmp_path_factory, seed, rows, different, missing, codec, version, page, dictionary
):
    rng = np.random.default_rng(seed)
    table = pa.table({str(kind): drawn_column(rng, kind, rows, different, missing) for kind in (*NUMBERS, pa.string())})
    path = tmp_path_factory.mktemp("pages") / "drawn.parquet"
    pq.write_table(
        table, path, compression=codec, data_page_version=version, data_page_size=page, write_batch_size=50,
        use_dictionary=[*([str(kind) for kind in NUMBERS] if dictionary else []), "string"],
    )  # fmt: skip
    assert_as_by_pyarrow(path, table.column_names)


def test_a_dictionary_that_grew_too_large_is_followed_by_plain_values(tmp_path):
    rng = np.random.default_rng(3)
    table = pa.table({"n": pa.array(rng.normal(size=60_000), mask=rng.random(60_000) < 0.1)})
    pq.write_table(table, tmp_path / "n.parquet", dictionary_pagesize_limit=100_000, row_group_size=30_000)
    assert {"PLAIN", "RLE_DICTIONARY"} <= set(pq.read_metadata(tmp_path / "n.parquet").row_group(1).column(0).encodings)
    assert_as_by_pyarrow(tmp_path / "n.parquet", ["n"], number=1)


def test_codes_of_every_width_are_unpacked(tmp_path):
    for width in range(1, 18):
        codes = np.arange(3 * 2**width // 2 + 11) % (2**width)
        pq.write_table(pa.table({"n": codes}), tmp_path / "n.parquet", dictionary_pagesize_limit=2**24)
        assert_as_by_pyarrow(tmp_path / "n.parquet", ["n"])


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (pa.array([[1.0], [2.0]]), {}),
        (pa.array([{"x": 1.0}, {"x": 2.0}]), {}),
        (pa.array([1, 2], pa.timestamp("us")), {}),
        (pa.array([1, 2], pa.uint64()), {}),
        (pa.array([1, 2], pa.int8()), {}),
        (pa.array([True, False]), {}),
        (pa.array(["a", "b"]), {"use_dictionary": False}),
        (pa.array([1.0, 2.0]), {"compression": "brotli"}),
        (pa.array([1.0, 2.0]), {"use_dictionary": False, "column_encoding": "BYTE_STREAM_SPLIT"}),
    ],
)
def test_what_is_not_read_here_is_left_to_pyarrow(tmp_path, values, options):
    pq.write_table(pa.table({"x": values}), tmp_path / "x.parquet", **options)
    with reader(tmp_path / "x.parquet") as pages:
        assert pages.column("x") is None
        assert pages.column("there is no such column") is None


def test_columns_that_are_never_null_and_paths_that_occur_twice_are_left_to_pyarrow(tmp_path):
    schema = pa.schema([
        pa.field("sure", pa.float64(), nullable=False),
        pa.field("a.b", pa.float64()),
        pa.field("a", pa.struct([pa.field("b", pa.float64())]), nullable=False),
    ])  # fmt: skip
    table = pa.table([pa.array([1.0, 2.0]), pa.array([3.0, 4.0]), pa.array([{"b": 5.0}, {"b": 6.0}])], schema)
    pq.write_table(table, tmp_path / "x.parquet")
    with reader(tmp_path / "x.parquet") as pages:
        assert [pages.column(name) for name in ("sure", "a.b")] == [None, None]


@settings(max_examples=300)
@given(data=st.data())
def test_damaged_bytes_give_a_whole_column_or_none(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 5)))
    rows = 2_000
    table = pa.table({str(kind): drawn_column(rng, kind, rows, 300, 0.1) for kind in (*NUMBERS, pa.string())})
    path = tmp_path_factory.mktemp("damage") / "damaged.parquet"
    codec = data.draw(st.sampled_from(["none", "snappy"]))
    version = data.draw(st.sampled_from(["1.0", "2.0"]))
    pq.write_table(table, path, compression=codec, data_page_version=version, data_page_size=900, write_batch_size=100)
    held = pq.read_metadata(path).row_group(0)
    place = data.draw(st.integers(0, held.num_columns - 1))
    chunk = held.column(place)
    raw = bytearray(path.read_bytes())
    # Headers stand at the beginning of the chunk and of its pages: half of the hits go to the first bytes.
    reach = data.draw(st.sampled_from([80, chunk.total_compressed_size]))
    for _ in range(data.draw(st.integers(1, 4))):
        hit = chunk.dictionary_page_offset + data.draw(st.integers(0, min(reach, chunk.total_compressed_size) - 1))
        raw[hit] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    with reader(path) as pages:
        found = pages.column(table.column_names[place])
    if found is not None:
        assert len(found.values) + found.absent == rows
        assert found.absent >= 0
        if pa.types.is_dictionary(found.values.type) and len(found.values):
            assert 0 <= min(found.values.indices.to_pylist()) <= max(found.values.indices.to_pylist())
            assert max(found.values.indices.to_pylist()) < len(found.values.dictionary)


@settings(max_examples=300)
@given(raw=st.binary(max_size=200), rows=st.integers(0, 1_000))
def test_no_bytes_make_the_headers_reach_beyond_their_end(raw, rows):
    held = np.frombuffer(raw, dtype=np.uint8)
    found = pages_of(held, rows)
    for page in found or []:
        assert 0 <= page.start <= page.start + page.size <= len(raw)
        assert page.values >= 0


def test_a_header_is_read_as_the_format_describes_it():
    """By hand: a data page of 5 rows in plain doubles, 40 bytes, levels as runs, with statistics, which are skipped."""
    inner = bytes([0x15, 10, 0x15, 0, 0x15, 6, 0x15, 6, 0x1C, 0x18, 2, 7, 7, 0x00, 0x00])
    header = bytes([0x15, 0, 0x15, 80, 0x15, 80, 0x2C]) + inner + bytes([0x00])
    raw = np.frombuffer(header + bytes(40), dtype=np.uint8)
    (page,) = pages_of(raw, 5)
    assert page._asdict() == {
        "kind": 0, "start": len(header), "size": 40, "unpacked": 40, "values": 5, "encoding": 0, "level_bytes": 0,
        "packed": 1,
    }  # fmt: skip
    assert pages_of(raw[:-1], 5) is None
    assert pages_of(raw, 4) is None


def test_a_file_that_ends_first_is_left_to_pyarrow(tmp_path):
    pq.write_table(pa.table({"n": np.arange(1_000.0)}), tmp_path / "n.parquet")
    footer = pq.ParquetFile(tmp_path / "n.parquet")
    (tmp_path / "n.parquet").write_bytes((tmp_path / "n.parquet").read_bytes()[:900])
    with (tmp_path / "n.parquet").open("rb") as file:
        pages = PageReader(file.fileno(), footer.metadata, 0, footer.schema_arrow)
        assert pages.column("n") is None


def window(rows):
    rng = np.random.default_rng(11)
    numbers = rng.normal(size=rows)
    numbers[:3] = np.inf, -np.inf, -0.0
    return pa.table(
        {
            "id": rng.integers(0, rows // 2, rows),
            "size": pa.array(np.where(rng.random(rows) < 0.05, np.nan, numbers), mask=rng.random(rows) < 0.1),
            "pages": pa.array(rng.integers(0, 2**60, rows), mask=rng.random(rows) < 0.1),
            "share": pa.array(rng.random(rows).astype(np.float32)),
            "nothing": pa.nulls(rows, pa.float64()),
            "plan": drawn_column(rng, pa.string(), rows, 40, 0.2),
            "note": pa.array([f"note {number:040d}" for number in rng.integers(0, 10**9, rows).tolist()]),
            "text now": pa.array(["12"] * rows),
            "won": pa.array(rng.random(rows) < 0.3),
        }
    )


def test_counting_by_pages_gives_the_integers_of_counting_rows(tmp_path):
    table = window(130_000)
    pq.write_table(table, tmp_path / "window.parquet", row_group_size=50_000)
    engine = LocalEngine()
    baseline = table.slice(0, 40_000).set_column(7, "text now", pa.array(np.arange(40_000.0)))
    roles = ColumnRoles(
        entity="id", label="won", missing_values={"pages": (table["pages"][1].as_py(),), "plan": ("π",)}
    )
    bins = engine.fit(TableRows(baseline), roles)
    rows = open_rows(tmp_path / "window.parquet")
    loose = {column.name for part in rows.parts() for column in part.loose_columns(table.column_names)}
    assert loose == {"id", "size", "pages", "share", "nothing", "plan", "text now"}
    found = engine.profile(rows, bins)
    assert encode_profile(found) == encode_profile(engine.profile(TableRows(table), bins))
    assert found.retyped == {"text now": "text"}
    assert found.rows == 130_000


def test_a_damaged_column_of_a_large_file_is_told_as_pyarrow_tells_it(tmp_path):
    path = tmp_path / "n.parquet"
    pq.write_table(pa.table({"n": np.arange(120_000.0), "m": np.arange(120_000.0)}), path, row_group_size=60_000)
    engine = LocalEngine()
    bins = engine.fit(open_rows(path), ColumnRoles())
    raw = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(1).data_page_offset
    raw[start : start + 8] = struct.pack("<q", -1)
    path.write_bytes(raw)
    with pytest.raises(UnreadableData, match="cannot be read as Parquet"):
        engine.profile(open_rows(path), bins)


READS_HOSTILE_RUNS = """
import numpy as np
from tiltmeter.engines.local.page_values import count_present, take_codes

ROWS = 1_900_000
ALL_PRESENT = bytes([0xC0, 0xF7, 0xE7, 0x01, 0x01])  # one run of as many ones
LONGEST = bytes([0xFF] * 8 + [0x7F])  # packed, 2^63 - 1: its eighth times 8 is -8 in 64 bits
WRAPS_TO_NOTHING = bytes([0x81] + [0x80] * 7 + [0x40])  # packed, 2^62 + 1: 2^61 times 8 is 0
LONGEST_OF_ONE_VALUE = bytes([0xFE] + [0xFF] * 7 + [0x7F])


def page(levels, stream, width):
    raw = np.frombuffer(len(levels).to_bytes(4, "little") + levels + bytes([width]) + stream, dtype=np.uint8)
    raw.flags.writeable = False
    return raw


for run in (LONGEST, WRAPS_TO_NOTHING, LONGEST_OF_ONE_VALUE):
    for stream in (run, run + bytes(40)):
        for width in (0, 1, 32):
            codes = np.full(ROWS, 7, dtype=np.int32)
            assert take_codes(page(ALL_PRESENT, stream, width), (0, ROWS, 0), 2**31, codes) == -1, (stream, width)
            assert (codes == 7).all(), (stream, width)
        assert count_present(page(stream, bytes(9), 1), (0, ROWS, 0))[0] == -1, stream
"""


def test_a_run_longer_than_its_page_reads_nothing_outside_it():
    """In a process of its own: reading outside the page ends a process, or goes on for ever."""
    done = subprocess.run(
        [sys.executable, "-c", READS_HOSTILE_RUNS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]


def packed_page(codes, width):
    """A data page of codes that are packed in eights, as the format's description writes them; every row holds one."""
    bits = "".join(f"{code:0{width}b}"[::-1] for code in codes) if width else ""
    eighths = -(-len(codes) // 8)
    stream = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8)).ljust(eighths * width, b"\0")
    raw = np.frombuffer(bytes([width, eighths << 1 | 1]) + stream, dtype=np.uint8)
    raw.flags.writeable = False
    return raw


@pytest.mark.parametrize("width", range(33))
@pytest.mark.parametrize("rows", [1, 7, 40, 61])
def test_codes_of_every_width_are_read(width, rows):
    rng = np.random.default_rng(width)
    codes = rng.integers(0, min(2**width, 2**31), rows)
    codes[-1] = min(2**width, 2**31) - 1
    page, found = packed_page(codes.tolist(), width), np.full(rows, -7, dtype=np.int32)
    levels = np.frombuffer(bytes([rows << 1, 1]), dtype=np.uint8)  # a run of ones, before the values
    whole = np.concatenate([levels, page])
    whole.flags.writeable = False
    head = (page_headers.DATA_V2, rows, levels.size)
    assert page_values.take_codes(whole, head, 2**31, found) == rows
    assert found.tolist() == codes.tolist()
    assert page_values.take_codes(whole, head, int(codes[-1]), found) == -1


def test_a_code_beyond_31_bits_is_refused_and_not_taken_for_a_missing_one():
    levels = np.frombuffer(bytes([9 << 1, 1]), dtype=np.uint8)
    whole = np.concatenate([levels, packed_page([2**32 - 1] + [0] * 8, 32)])
    whole.flags.writeable = False
    found = np.empty(9, dtype=np.int32)
    assert page_values.take_codes(whole, (page_headers.DATA_V2, 9, levels.size), 2**31, found) == -1
