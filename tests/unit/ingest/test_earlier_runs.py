"""Runs in the form of the releases that named a run by its id alone: shipped once, and not taken for another job's."""

import hashlib
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tables import FakeClock
from tiltmeter.capture.batch import batch_job
from tiltmeter.domain.batch_run import FIRST_FORMAT, MANIFEST_FORMAT, decode_manifest
from tiltmeter.ingest.batch_parts import BatchShipper
from tiltmeter.ingest.columns import FeatureTypes
from tiltmeter.store.delta import DeltaLog

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
FRAME = pl.DataFrame({"lead_id": ["a", "b", "c"], "score": [0.1, 0.2, 0.3], "size": [1, 2, 3]})


@pytest.fixture
def log(tmp_path):
    return DeltaLog(tmp_path / "tables", FakeClock(NOW))


def ship(host, log):
    return BatchShipper(host, log, FeatureTypes(), host / "damaged", Counter()).ship(NOW)


def record(host, *, fail=False, parts=1, **more):
    given = {"model": "lead-scoring", "job": "nightly", "run_id": "r1", "spool": host, "now": lambda: NOW, **more}
    with batch_job(**given) as run:
        for _ in range(parts):
            run.log(FRAME, score="score", entity_id="lead_id")
        if fail:
            raise ValueError("no rows")


def record_in_first_form(host, **more):
    """As the release before wrote it: one name for the run id, whatever the job."""
    aside = host.with_name(f"{host.name}-aside")
    with suppress(ValueError):
        record(aside, **more)
    (folder,) = [path for path in (aside / "batch").iterdir() if path.is_dir()]
    manifest = decode_manifest((folder / "manifest.json").read_bytes())
    run, parts = manifest.run, []
    for part in manifest.parts:
        path = folder / part.file
        table = pq.read_table(path)
        ids = pc.replace_substring(table["event_id"], run.application, run.first_application)
        pq.write_table(table.set_column(table.schema.get_field_index("event_id"), "event_id", ids), path)
        parts.append((part.sha256, _sha256(path)))
    text = (folder / "manifest.json").read_text().replace(MANIFEST_FORMAT, FIRST_FORMAT)
    for before, after in parts:
        text = text.replace(before, after)
    (folder / "manifest.json").write_text(text)
    (host / "batch").mkdir(parents=True, exist_ok=True)
    return folder.rename(host / "batch" / run.first_folder)


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ids(log):
    return sorted(log.table("predictions").reading().to_pyarrow_table(columns=["event_id"])["event_id"].to_pylist())


def runs(log):
    return sorted(
        (r["workspace"], r["job_name"], r["attempt"], r["result_state"])
        for r in log.batch_runs(NOW.min.replace(tzinfo=UTC))
    )


def test_a_waiting_run_is_shipped_once(tmp_path, log):
    record_in_first_form(tmp_path / "a")
    assert ship(tmp_path / "a", log) == 3
    record_in_first_form(tmp_path / "a2")
    assert ship(tmp_path / "a2", log) == 0
    assert ids(log) == ["batch/r1-0", "batch/r1-1", "batch/r1-2"]
    assert runs(log) == [("", "nightly", 0, "SUCCESS")]


def test_a_run_that_was_shipped_is_not_shipped_again_when_its_job_repeats_it(tmp_path, log):
    record_in_first_form(tmp_path / "a")
    ship(tmp_path / "a", log)
    record(tmp_path / "a")
    assert ship(tmp_path / "a", log) == 0
    assert not list((tmp_path / "a" / "batch").iterdir())
    assert len(ids(log)) == 3
    assert len(runs(log)) == 1


def test_a_waiting_run_that_its_job_repeats_stands(tmp_path, log):
    record_in_first_form(tmp_path / "a")
    record(tmp_path / "a")
    assert ship(tmp_path / "a", log) == 3
    assert len(ids(log)) == 3


@pytest.mark.parametrize("is_shipped_between", [True, False])
def test_a_failed_run_may_be_tried_again(tmp_path, log, is_shipped_between):
    record_in_first_form(tmp_path / "a", fail=True)
    if is_shipped_between:
        assert ship(tmp_path / "a", log) == 3
    record(tmp_path / "a")
    ship(tmp_path / "a", log)
    assert len(ids(log)) == 6
    assert runs(log) == [("", "nightly", 0, "FAILED"), ("batch_job:lead-scoring/nightly", "nightly", 1, "SUCCESS")]


@pytest.mark.parametrize(
    "other", [{"model": "churn", "job": "churn-nightly"}, {"model": "churn"}, {"job": "hourly"}], ids=str
)
def test_another_job_with_the_run_id_is_not_taken_for_one_that_was_shipped(tmp_path, log, other):
    record_in_first_form(tmp_path / "a")
    ship(tmp_path / "a", log)
    record(tmp_path / "a", **other)
    assert ship(tmp_path / "a", log) == 3


def test_two_waiting_runs_of_two_jobs_on_two_hosts_both_arrive(tmp_path, log):
    record_in_first_form(tmp_path / "a", parts=2)
    record_in_first_form(tmp_path / "b", model="churn", job="churn-nightly", parts=2)
    assert ship(tmp_path / "a", log) == 6
    assert ship(tmp_path / "b", log) == 6
    assert len(set(ids(log))) == 12
    assert [row[1] for row in runs(log)] == ["nightly", "churn-nightly"]


def test_a_run_of_which_a_part_was_shipped_goes_on_where_it_stood(tmp_path, log):
    folder = record_in_first_form(tmp_path / "a", parts=2)
    part = pq.read_table(folder / "part-00000.parquet")
    rows = part.append_column("request_date", pc.cast(part["request_time"], pa.date32()))
    log.append("predictions", rows, {"batch/r1": 0})
    assert ship(tmp_path / "a", log) == 3
    assert len(set(ids(log))) == 6
