"""`tiltmeter doctor` on a healthy and on a damaged installation: each trouble by name, and what to do."""

import shutil
import time
from datetime import timedelta

import pytest

from spools import START, fill, request
from tables import FakeClock
from tiltmeter.capture.batch import batch_job
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.spool import SpoolRefused, SpoolWriter, sealed_segments
from tiltmeter.capture.swift import FORM
from tiltmeter.config.load import load_settings
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.service.capture_findings import spool_findings, table_findings
from tiltmeter.service.findings import State
from tiltmeter.store.delta import DeltaLog


@pytest.fixture
def installation(tmp_path):
    path = tmp_path / "tiltmeter.yaml"
    path.write_text(f"home: {tmp_path / 'home'}\ncapture:\n  spool:\n    max_bytes: 60KB\n    min_free: 0.0\n")
    configuration = load_settings(path)
    clock = FakeClock(START + timedelta(minutes=1))
    log = DeltaLog(configuration.home / "tables", clock)
    for part in range(2):
        fill(configuration.home / "spool", [request(n) for n in range(10 * part, 10 * part + 10)])
        Shipper(configuration.home / "spool", log, {}, clock).ship_once(flush=True)
    return configuration


def look(configuration, *, later=0.0):
    spool = configuration.home / "spool"
    now = max((segment.path.stat().st_mtime for segment in sealed_segments(spool)), default=0.0) + later
    log = DeltaLog(configuration.home / "tables", FakeClock(START))
    return [*table_findings(log), *spool_findings(configuration, now)]


def wrong(found):
    return [finding for finding in found if finding.state is State.WRONG]


def test_a_healthy_installation_is_all_ok(installation):
    found = look(installation)
    assert [finding.state for finding in found] == [State.OK] * 4
    assert found[0].says == "predictions: 20 rows in 2 files at version 2"
    assert found[-1].says == f"capture ran {FORM} in 1 slot"


def test_an_empty_last_commit_is_named(installation):
    entry = installation.home / "tables" / "predictions" / "_delta_log" / f"{2:020d}.json"
    entry.write_bytes(b"")
    (finding,) = wrong(look(installation))
    assert "log entry 2 of the table is empty" in finding.says
    assert "spool keeps" in finding.to_do


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "missing"])
def test_a_data_file_that_is_not_there_in_full_is_named(installation, cut):
    path = next((installation.home / "tables" / "predictions").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100]) if cut else path.unlink()
    (finding,) = wrong(look(installation))
    assert path.name in finding.says


def test_a_damaged_segment_is_named_with_what_is_lost(installation):
    fill(installation.home / "spool", [request(n) for n in range(20, 30)])
    (segment,) = sealed_segments(installation.home / "spool")
    content = bytearray(segment.path.read_bytes())
    content[4_000:4_010] = bytes(10)
    segment.path.write_bytes(content)
    (finding,) = wrong(look(installation))
    assert finding.says == f"damaged: 1 segment, such as {segment.path}; records lost: 1"


def test_a_segment_that_cannot_be_read_is_named(installation):
    fill(installation.home / "spool", [request(n) for n in range(20, 30)])
    (segment,) = sealed_segments(installation.home / "spool")
    segment.path.unlink()
    segment.path.mkdir()
    (finding,) = wrong(look(installation))
    assert finding.says == f"{segment.path} cannot be read (Is a directory)"
    assert "its slot waits" in finding.to_do


def test_a_full_budget_and_what_it_cost_are_said(installation):
    spool = installation.home / "spool"
    fill(spool, [request(n) for n in range(20, 100)])
    writer = SpoolWriter(spool, host="api-1", budget=Budget(max_bytes=1, min_free=0.0), threaded=False)
    for _ in range(3):
        with pytest.raises(SpoolRefused) as refused:
            writer.put(b"record")
        writer.counters.add(refused.value.counter)
    writer.close()
    found = look(installation)
    (finding,) = wrong(found)
    assert finding.says.startswith("full: ")
    assert "max_bytes" in finding.to_do
    assert any(finding.says.startswith("3 records not kept") for finding in found)


def test_segments_that_nobody_ships_are_said(installation):
    fill(installation.home / "spool", [request(20)])
    (finding,) = wrong(look(installation, later=400.0))
    assert "the oldest for 400 s" in finding.says
    assert "tiltmeter ship" in finding.to_do


def test_batch_runs_that_wait_or_were_cut_off_are_said(installation):
    spool = installation.home / "spool"
    with batch_job(model="m", job="nightly", run_id="r1", spool=spool):
        pass
    now = time.time()
    (waits,) = [f for f in spool_findings(installation, now + 400) if f.state is State.WRONG]
    assert waits.says == "1 batch run waiting, the oldest for 400 s"
    assert "tiltmeter ship" in waits.to_do
    shutil.rmtree(spool / "batch")
    with batch_job(model="m", job="nightly", run_id="r1", spool=spool):
        found = [f for f in spool_findings(installation, now + 4000) if "batch run" in f.says]
        assert [(f.state, f.says.partition(":")[0]) for f in found] == [(State.OK, "batch run being written")]
        (folder,) = (spool / "batch").iterdir()
        copy = shutil.copytree(folder, folder.with_name("gone.writing-1"))
        ended = [f.says for f in spool_findings(installation, now + 4000) if "ended" in f.says]
        assert len(ended) == 1
        assert ended[0].startswith(f"batch run whose process ended: {copy.name}, untouched for 4")


def test_a_spool_that_was_never_written_is_a_note(installation, tmp_path):
    (tmp_path / "other.yaml").write_text(f"home: {tmp_path / 'nowhere'}\n")
    (finding,) = look(load_settings(tmp_path / "other.yaml"))
    assert finding.state is State.NOTE
