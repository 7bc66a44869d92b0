"""A batch run reaches the tables once: repeated, tried again, killed in the middle, raced by a twin."""

import signal
import subprocess
import sys
from datetime import UTC, datetime

import polars as pl
import pytest

from tiltmeter.capture.batch import batch_job
from tiltmeter.domain.batch_run import BatchRun
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAY = Window(datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 11, tzinfo=UTC), Grain.DAY)
FRAME = pl.DataFrame({"lead_id": ["a", "b", "c"], "score": [0.1, 0.2, None], "size": [1, 2, 3]})


@pytest.fixture
def log(batch_log):
    return batch_log


@pytest.fixture
def ship(batch_shipper):
    return lambda: batch_shipper.ship(NOW)


def record(spool, *, fail=False, **more):
    given = {"model": "m", "job": "nightly", "run_id": "r1", "spool": spool / "spool", "now": lambda: NOW, **more}
    with batch_job(**given) as run:
        run.log(FRAME, score="score", entity_id="lead_id")
        if fail:
            raise ValueError("no disk")


def runs(log):
    return [(r["attempt"], r["task_key"], r["result_state"], r["records_scored"]) for r in log.batch_runs(DAY.start)]


def scored(log):
    return log.rows(Model("m"), DAY).count()


def test_a_repeated_run_is_there_once_before_and_after_it_was_shipped(tmp_path, log, ship):
    record(tmp_path)
    record(tmp_path)
    assert ship() == 3
    record(tmp_path)
    assert ship() == 0
    assert (runs(log), scored(log)) == ([(0, "", "SUCCESS", 2)], 2)


@pytest.mark.parametrize("is_shipped_between", [True, False])
def test_a_failed_run_may_be_tried_again_under_the_same_id(tmp_path, log, ship, is_shipped_between):
    with pytest.raises(ValueError, match="no disk"):
        record(tmp_path, fail=True)
    if is_shipped_between:
        ship()
    record(tmp_path)
    record(tmp_path)
    ship()
    record(tmp_path)
    ship()
    assert sorted(runs(log)) == [(0, "", "FAILED", 2), (1, "", "SUCCESS", 2)]
    assert scored(log) == 4


def test_tasks_of_one_run_do_not_hide_each_other(tmp_path, log, ship):
    record(tmp_path, task_key="score_eu")
    record(tmp_path, task_key="score_us")
    record(tmp_path, task_key="score_us")
    ship()
    assert sorted(runs(log)) == [
        (0, "", "SUCCESS", 4),
        (0, "score_eu", "SUCCESS", 2),
        (0, "score_us", "SUCCESS", 2),
    ]


KILLED = """
import os, sys
import polars as pl
from tiltmeter.capture.batch import batch_job
frame = pl.DataFrame({"lead_id": ["a", "b", "c"], "score": [0.1, 0.2, None], "size": [1, 2, 3]})
with batch_job(model="m", job="nightly", run_id="r1", spool=sys.argv[1]) as run:
    run.log(frame, score="score", entity_id="lead_id")
    run.log(frame, score="score", entity_id="lead_id")
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("torn", "kept"), [(False, 4), (True, 2)])
def test_a_killed_job_is_a_failed_run_with_the_rows_it_had(tmp_path, log, ship, torn, kept):
    spool = tmp_path / "spool"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(spool)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    if torn:
        (last,) = (spool / "batch").glob("*/part-00001.parquet")
        last.write_bytes(last.read_bytes()[:-20])
    ship()
    (run,) = log.batch_runs(DAY.start)
    assert (run["result_state"], run["message"], run["records_scored"]) == ("FAILED", "the process was killed", kept)
    assert log.new_rows(Model("m"), None).count() == kept
    assert [path.name for path in (tmp_path / "spool" / "batch").iterdir()] == [
        f"{BatchRun('m', 'nightly', 'r1').folder}.failed"
    ]
    record(tmp_path)
    ship()
    assert sorted(runs(log)) == [(0, "", "FAILED", kept), (1, "", "SUCCESS", 2)]


def test_a_job_that_still_runs_is_left_alone(tmp_path, log, ship):
    with batch_job(model="m", job="nightly", run_id="r1", spool=tmp_path / "spool", now=lambda: NOW) as run:
        run.log(FRAME, score="score", entity_id="lead_id")
        assert ship() == 0
        run.log(FRAME, score="score", entity_id="lead_id")
    assert ship() == 6
    assert runs(log) == [(0, "", "SUCCESS", 4)]


def test_of_two_processes_with_one_id_the_first_stands_and_the_other_does_not_fail(tmp_path, log, ship):
    with batch_job(model="m", job="nightly", run_id="r1", spool=tmp_path / "spool", now=lambda: NOW) as slow:
        slow.log(FRAME, score="score", entity_id="lead_id")
        record(tmp_path)
    ship()
    assert (runs(log), scored(log)) == ([(0, "", "SUCCESS", 2)], 2)


def test_two_jobs_with_one_run_id_are_two_runs_with_all_their_rows(tmp_path, log, ship):
    for model, job in (("m", "nightly"), ("churn", "churn-nightly"), ("churn", "nightly")):
        record(tmp_path, model=model, job=job)
    assert ship() == 9
    assert sorted((r["job_name"], r["workspace"], r["records_scored"]) for r in log.batch_runs(DAY.start)) == [
        ("churn-nightly", "batch_job:churn/churn-nightly", 2),
        ("nightly", "batch_job:churn/nightly", 2),
        ("nightly", "batch_job:m/nightly", 2),
    ]
    assert scored(log) == 2
    assert log.rows(Model("churn"), DAY).count() == 4
