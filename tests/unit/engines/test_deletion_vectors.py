"""Delta tables with deletion vectors, as other writers make them: made by hand from the protocol's description.

Source: Delta transaction log protocol, "Deletion Vector Format"; Roaring bitmap format specification (portable form).
"""

from __future__ import annotations

import json
import struct
import uuid
import zlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.engines.local import open_rows

if TYPE_CHECKING:
    from pathlib import Path

DELETED = (1, 4, 5)
TABLE = pa.table({"size": [float(row) for row in range(8)]})
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_FILE = uuid.UUID("d2c639aa-8816-431a-aaf6-d3fe2512ff61")


def z85(content: bytes) -> str:
    """ZeroMQ's base 85, four bytes to five characters."""
    words = struct.unpack(f">{len(content) // 4}I", content)
    return "".join(_ALPHABET[word // 85**place % 85] for word in words for place in (4, 3, 2, 1, 0))


def bitmap() -> bytes:
    """The deleted rows: one 32-bit bitmap under key 0, one array container, no runs."""
    container = struct.pack(f"<{len(DELETED)}H", *DELETED)
    roaring = struct.pack("<IIHHI", 12_346, 1, 0, len(DELETED) - 1, 16) + container
    return struct.pack("<iqI", 1_681_511_377, 1, 0) + roaring


def table_of(path: Path, vector: dict[str, object]) -> None:
    (path / "_delta_log").mkdir(parents=True)
    pq.write_table(TABLE, path / "part-0.parquet")
    fields = [{"name": "size", "type": "double", "nullable": True, "metadata": {}}]
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    add = {
        "path": "part-0.parquet", "partitionValues": {}, "size": (path / "part-0.parquet").stat().st_size,
        "modificationTime": 0, "dataChange": True, "stats": json.dumps({"numRecords": 8, "tightBounds": False}),
        "deletionVector": {"sizeInBytes": len(bitmap()), "cardinality": len(DELETED)} | vector,
    }  # fmt: skip
    metadata = {
        "id": "5f0c4b1e-8a57-4a39-9d1f-2f4c1c3a7b10", "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps({"type": "struct", "fields": fields}), "partitionColumns": [],
        "configuration": {"delta.enableDeletionVectors": "true"}, "createdTime": 0,
    }  # fmt: skip
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7} | features
    actions = [{"protocol": protocol}, {"metaData": metadata}, {"add": add}]
    (path / "_delta_log" / f"{0:020}.json").write_text("\n".join(map(json.dumps, actions)))


def read(path: Path) -> list[float]:
    return pa.Table.from_batches(open_rows(path).batches()).column("size").to_pylist()


KEPT = [float(row) for row in range(8) if row not in DELETED]


def test_rows_that_a_vector_in_the_log_deletes_are_gone(tmp_path):
    padded = bitmap() + b"\0" * (-len(bitmap()) % 4)
    table_of(tmp_path / "t", {"storageType": "i", "pathOrInlineDv": z85(padded)})
    assert read(tmp_path / "t") == KEPT


@pytest.mark.parametrize("damage", ["", "flipped", "gone"])
def test_rows_that_a_vector_in_a_file_deletes_are_gone_or_the_table_is_refused(tmp_path, damage):
    table_of(tmp_path / "t", {"storageType": "u", "pathOrInlineDv": z85(_FILE.bytes), "offset": 1})
    content = bitmap()
    stored = bytes([*content[:-1], content[-1] ^ 1]) if damage else content
    if damage != "gone":
        framed = struct.pack(">I", len(content)) + stored + struct.pack(">I", zlib.crc32(content))
        (tmp_path / "t" / f"deletion_vector_{_FILE}.bin").write_bytes(b"\x01" + framed)
    if not damage:
        assert read(tmp_path / "t") == KEPT
        return
    with pytest.raises(UnreadableData, match=f"deletion_vector_{_FILE}.bin") as caught:
        read(tmp_path / "t")
    assert "restore the file" in str(caught.value)
    assert "Kernel error" not in str(caught.value)
