"""One long value in millions of rows: next to nothing in the file, 20 GB where each row gets its own copy."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tiltmeter.engines.local.parquet_files import ParquetRows

ROWS = 2_000_000
COMPARES_IN_LITTLE_MEMORY = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
import tiltmeter
from tiltmeter.domain.errors import UsageError

path = sys.argv[1]
for options in ({}, {"kinds": {"a": "text"}}, {"kinds": {"a": "categorical"}}, {"entity": "a"}, {"label": "a"}):
    found = tiltmeter.compare(path, path, **options)
    assert found["n"].severity.word == "none", options
for kind in ("numeric", "datetime"):
    try:
        tiltmeter.compare(path, path, kinds={"a": kind})
    except UsageError:
        continue
    raise AssertionError(kind)
"""


@pytest.mark.parametrize("data_type", [pa.string(), pa.binary()])
def test_a_long_value_in_every_row_takes_the_room_of_one(tmp_path, data_type):
    value = pa.array([b"x" * 10_000]).cast(data_type)
    codes = pa.Array.from_buffers(pa.int32(), ROWS, [None, pa.py_buffer(bytes(4 * ROWS))])
    numbers = pa.Array.from_buffers(pa.int8(), ROWS, [None, pa.py_buffer(bytes(range(100)) * (ROWS // 100))])
    table = pa.table({"a": pa.DictionaryArray.from_arrays(codes, value), "n": numbers})
    # Without Arrow's own schema beside it the file says `binary`, and nothing of dictionaries.
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema, store_schema=False) as writer:
        writer.write_table(table, row_group_size=ROWS)
    assert (tmp_path / "a.parquet").stat().st_size < 10_000_000
    assert pq.read_schema(tmp_path / "a.parquet").field("a").type == data_type
    done = subprocess.run(
        [sys.executable, "-c", COMPARES_IN_LITTLE_MEMORY, str(tmp_path / "a.parquet")],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]


def test_long_values_of_one_width_are_read_in_parts(tmp_path):
    values = pa.FixedSizeBinaryArray.from_buffers(pa.binary(1_000), 50_000, [None, pa.py_buffer(b"x" * 50_000_000)])
    pq.write_table(pa.table({"a": values}), tmp_path / "a.parquet")
    assert pq.read_metadata(tmp_path / "a.parquet").row_group(0).total_byte_size < 1_000_000
    rows = ParquetRows(tmp_path / "a.parquet", "a", print, {}, column_bytes=5_000_000)
    sizes = [batch.nbytes for batch in rows.batches()]
    assert sum(sizes) >= 50_000_000
    assert max(sizes) <= 6_000_000
