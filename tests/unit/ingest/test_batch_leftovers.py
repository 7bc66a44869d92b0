"""Runs that were cut off or damaged: completed, ended as failed or set aside with a reason, not skipped in silence."""

import json
import os
import resource
import socket
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from threading import Thread

import polars as pl
import pytest

from tables import FakeClock
from tiltmeter.capture.batch import batch_job
from tiltmeter.domain.batch_run import BatchRun
from tiltmeter.domain.errors import StoreError
from tiltmeter.ingest.shipper import Shipper

NOW = datetime.now(UTC)
FRAME = pl.DataFrame({"lead_id": ["a", "b", "c"], "score": [0.1, 0.2, 0.3], "size": [1, 2, 3]})
RUN = BatchRun("m", "nightly", "r1")


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def log(batch_log):
    return batch_log


@pytest.fixture
def ship(batch_shipper):
    return lambda now=NOW: batch_shipper.ship(now)


def record(spool, run_id="r1", parts=2):
    with batch_job(model="m", job="nightly", run_id=run_id, spool=spool, now=lambda: NOW) as run:
        for _ in range(parts):
            run.log(FRAME, score="score", entity_id="lead_id")
    return spool / "batch" / BatchRun("m", "nightly", run_id).folder


def unfinished(spool, *, manifest=None, running=None):
    """A folder as a kill leaves it: `None` for a file that is not there, else its text, or True for a whole one."""
    folder = record(spool)
    written = (folder / "manifest.json").read_text()
    started = written.replace('"SUCCESS"', '"FAILED"')
    for name, wanted, whole in (("manifest.json", manifest, written), ("running.json", running, started)):
        path = folder / name
        if wanted is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(whole if wanted is True else wanted)
    return folder.rename(folder.with_name(f"{folder.name}.writing-0123abcd"))


def states(log):
    return [(r["result_state"], r["records_scored"]) for r in log.batch_runs(NOW - timedelta(days=1))]


def left(spool):
    return [path.name for path in (spool / "batch").iterdir() if path.suffix != ".failed"]


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"manifest": True, "running": True}, "SUCCESS"),  # before the folder got its name
        ({"manifest": True, "running": None}, "SUCCESS"),  # earlier releases removed running.json first
        ({"manifest": "", "running": True}, "FAILED"),  # and opened the manifest under its own name
        ({"manifest": '{"format": "tiltm', "running": True}, "FAILED"),
        ({"manifest": None, "running": True}, "FAILED"),
    ],
)
def test_a_run_that_was_cut_off_at_its_end_arrives_with_all_rows(spool, log, ship, files, state):
    unfinished(spool, **files)
    assert ship() == 6
    assert states(log) == [(state, 6)]
    assert left(spool) == []


def test_rows_of_which_nothing_tells_whose_they_are_are_set_aside_and_an_empty_folder_is_removed(
    spool, ship, tmp_path, counters
):
    nameless = unfinished(spool, running="")
    empty = spool / "batch" / "x.writing-1"
    empty.mkdir()
    assert ship() == 0
    assert len(left(spool)) == 2  # it may just have begun
    ship(NOW + timedelta(hours=2))
    assert left(spool) == []
    (aside,) = (tmp_path / "damaged").iterdir()
    assert aside.name == f"batch-{nameless.name}"
    assert (aside / "part-00001.parquet").exists()
    assert counters["segments_set_aside"] == 1


def test_a_run_of_another_host_is_ended_when_it_was_silent_for_days(spool, log, ship):
    folder = unfinished(spool, running=True)
    running = json.loads((folder / "running.json").read_text())
    (folder / "running.json").write_text(json.dumps(running | {"host": f"not-{socket.gethostname()}"}))
    ship(NOW + timedelta(hours=47))
    assert states(log) == []
    ship(NOW + timedelta(hours=49))
    assert states(log) == [("FAILED", 6)]


def damage_changed(folder):
    content = bytearray((folder / "part-00001.parquet").read_bytes())
    content[50] ^= 255
    (folder / "part-00001.parquet").write_bytes(content)


def damage_manifest(folder):
    (folder / "manifest.json").write_text('{"format": "tiltm')


def damage_newer(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("tiltmeter.batch/2", "tiltmeter.batch/9"))


def damage_path(folder):
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("part-00001", "../part-00001"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_changed, "part part-00001.parquet is not as it was written"),
        (lambda folder: (folder / "part-00001.parquet").unlink(), "part-00001.parquet is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (damage_manifest, "Input data was truncated"),
        (damage_newer, "the manifest has the format tiltmeter.batch/9, known is tiltmeter.batch/2"),
        (damage_path, "part '../part-00001.parquet' is no file beside the manifest"),
    ],
)
def test_a_damaged_run_is_set_aside_with_a_reason_and_the_others_are_shipped(
    spool, log, ship, tmp_path, counters, capsys, damage, reason
):
    damage(record(spool))
    record(spool, "r2")
    assert ship() == 6
    assert [path.name for path in (tmp_path / "damaged").iterdir()] == [f"batch-{RUN.folder}"]
    assert counters["segments_set_aside"] == 1
    said = "".join(capsys.readouterr())  # where events go is a matter of the command
    assert "segment_set_aside" in said
    assert reason in said
    assert left(spool) == []
    assert [r["run_id"] for r in log.batch_runs(NOW - timedelta(days=1))] == ["r2"]


def test_a_run_that_was_set_aside_can_be_run_again_under_its_id(spool, log, ship):
    damage_changed(record(spool))
    ship()
    record(spool)
    assert ship() == 6
    assert states(log) == [("SUCCESS", 6)]


def test_two_shippers_of_one_spool_ship_every_run_once(spool, log, ship):
    for number in range(6):
        record(spool, f"r{number}")
    shippers = [Thread(target=ship) for _ in range(2)]
    for shipper in shippers:
        shipper.start()
    for shipper in shippers:
        shipper.join()
    ship()
    ids = log.table("predictions").reading().to_pyarrow_table(columns=["event_id"])["event_id"].to_pylist()
    assert len(ids) == len(set(ids)) == 36
    assert states(log) == [("SUCCESS", 6)] * 6
    assert left(spool) == []


def test_a_killed_twin_of_a_run_that_succeeded_leaves_no_mark(spool, log, ship):
    unfinished(spool, running=True).rename(spool / "twin")
    record(spool)
    ship()
    (spool / "twin").rename(spool / "batch" / f"{RUN.folder}.writing-0123abcd")
    assert ship() == 0
    record(spool)
    assert ship() == 0
    assert states(log) == [("SUCCESS", 6)]


@contextmanager
def no_room_for(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_error_of_the_job_is_kept_when_its_run_cannot_be(spool, log, ship):
    def failing(full):
        with batch_job(model="m", job="nightly", run_id="r1", spool=spool, now=lambda: NOW) as run:
            run.log(FRAME, score="score")
            full.enter_context(no_room_for(10))
            raise KeyError("the model file is gone")

    with ExitStack() as full, pytest.raises(KeyError, match="the model file is gone") as raised:
        failing(full)
    (note,) = raised.value.__notes__
    assert note.startswith("tiltmeter: ")
    assert "the run cannot be kept (File too large); the shipper ends the run with the rows" in note
    assert ship() == 3
    assert states(log) == [("FAILED", 3)]


def test_a_part_that_could_not_be_written_is_written_again(spool, log, ship):
    with batch_job(model="m", job="nightly", run_id="r1", spool=spool, now=lambda: NOW) as run:
        with no_room_for(10), pytest.raises(StoreError):
            run.log(FRAME, score="score")
        run.log(FRAME, score="score")
    assert ship() == 3
    assert states(log) == [("SUCCESS", 3)]


def test_the_age_of_the_spool_counts_batch_runs(spool, log, tmp_path):
    folder = record(spool)
    os.utime(folder / "manifest.json", (NOW.timestamp() - 500, NOW.timestamp() - 500))
    shipper = Shipper(spool, log, {}, FakeClock(NOW), damaged=tmp_path / "damaged")
    assert shipper.spool_age() == pytest.approx(500, abs=1)
    assert "tiltmeter_spool_age_seconds 500" in shipper.prometheus().replace("499.9", "500")
    shipper.ship_once()
    assert shipper.spool_age() == 0.0
