"""Data of a kind that is not read is told of; what people keep beside data is not."""

from __future__ import annotations

import bz2

import pytest
from structlog.testing import capture_logs

from tiltmeter.domain.errors import UnreadableData
from tiltmeter.domain.model import Model, TableSource
from tiltmeter.engines.local import open_rows
from tiltmeter.engines.local.sources import data_files, rows_of_file
from tiltmeter.ingest.replay import Files, FolderSource

CSV = b"x,plan\n1,a\n2,b\n"
BESIDE = [
    "_SUCCESS", ".jan.csv.crc", "jan.csv.crc", "README", "readme.md", "LICENSE.rst", "Readme.txt", "NOTICE.txt",
    "chart.png", "notes.PDF",
    "load.py", "Makefile", "jan.csv.bak", "jan.csv~", "run.log", "schema.sql", ".hidden/feb.csv.bz2", "_old/feb.orc",
]  # fmt: skip


def notes_of(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    told = []
    assert open_rows(folder, note=told.append).count() == 2
    return [line for line in told if "separator" not in line]


@pytest.mark.parametrize("name", ["feb.csv.bz2", "feb.csv.zst", "feb.parquet.gz", "feb.xlsx", "part-00000", "in/f.orc"])
def test_a_file_of_an_unread_kind_is_told_of(tmp_path, name):
    said = f"{tmp_path}: 1 file of a kind that is not read is left out: {name}"
    assert notes_of(tmp_path, {"jan.csv": CSV, name: bz2.compress(CSV)}) == [said]


def test_several_are_counted_and_the_first_is_named(tmp_path):
    files = {"jan.csv": CSV, "mar.csv.zst": b"packed", "feb.csv.bz2": b"packed"} | dict.fromkeys(BESIDE, b"other")
    said = f"{tmp_path}: 2 files of kinds that are not read are left out, feb.csv.bz2 first"
    assert notes_of(tmp_path, files) == [said]


@pytest.mark.parametrize("name", BESIDE)
def test_what_people_keep_beside_data_is_not_told_of(tmp_path, name):
    assert notes_of(tmp_path, {"jan.csv": CSV, name: b"other", "empty.bz2": b""}) == []


def test_a_folder_of_unread_kinds_alone_is_an_error_that_names_one(tmp_path):
    (tmp_path / "jan.csv.bz2").write_bytes(b"packed")
    with pytest.raises(UnreadableData, match=r"no data files.*left out: jan\.csv\.bz2"):
        open_rows(tmp_path)


def test_a_service_tells_once_in_its_log(tmp_path):
    folder = tmp_path / "scores"
    folder.mkdir()
    (folder / "jan.csv").write_text("time,score\n2026-01-01 08:00:00,0.5\n", encoding="utf-8")
    (folder / "feb.csv.bz2").write_bytes(b"packed")
    source = FolderSource.of(
        Model("m", source=TableSource(str(folder), columns={"time": "time", "prediction": "score"})),
        tmp_path / "home",
        Files(data_files, rows_of_file),
    )
    with capture_logs() as lines:
        assert [source.new_rows(None).count() for _ in range(3)] == [1, 1, 1]
    said = [line["reason"] for line in lines if line["event"] == "source_files_left_out"]
    assert said == [f"{folder}: 1 file of a kind that is not read is left out: feb.csv.bz2"]
