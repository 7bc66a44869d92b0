"""A job that tells its tasks is a job like any other to monitors, pages and counters."""

from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow as pa
import pytest

from tables import FakeClock
from tiltmeter.capture.batch import batch_job
from tiltmeter.domain.model import JobExpectation
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.batch_parts import BatchShipper
from tiltmeter.ingest.columns import FeatureTypes
from tiltmeter.monitors.jobs import job_metrics
from tiltmeter.service.exposition import job_runs
from tiltmeter.service.job_counts import JobRecords
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.schema import BATCH_RUNS

BEGIN = datetime(2026, 3, 1, 2, tzinfo=UTC)
JOB = JobExpectation("nightly", timedelta(hours=24), timedelta(hours=2))
DAY = timedelta(days=1)


class Installation:
    def __init__(self, folder):
        self.spool, self.damaged = folder / "spool", folder / "damaged"
        self.log = DeltaLog(folder / "tables", FakeClock(BEGIN))
        self.now = BEGIN

    def task(self, run_id, task_key, start, *, rows=100, minutes=10, state=None, job="nightly", model="m", **more):
        times = iter([start] + [start + timedelta(minutes=minutes)] * 9)
        frame = pl.DataFrame({"score": [0.5] * rows})
        with (
            suppress(RuntimeError),
            batch_job(
                model=model,
                job=job,
                run_id=run_id,
                task_key=task_key,
                spool=self.spool,
                now=lambda: next(times),
                **more,
            ) as run,
        ):
            run.log(frame, score="score")
            if state == "FAILED":
                raise RuntimeError
        self.now = max(self.now, start + timedelta(minutes=minutes))
        BatchShipper(self.spool, self.log, FeatureTypes(), self.damaged, Counter()).ship(self.now)

    def told(self, **row):
        columns = dict.fromkeys(BATCH_RUNS.columns.names) | {
            "workspace": "adb-1.example.com", "job_id": "8871", "job_name": "nightly", "attempt": 0, "task_key": "",
            "start_time": BEGIN, "start_date": BEGIN.date(), "end_time": BEGIN + timedelta(minutes=30),
            "run_ms": 1_800_000, "result_state": "SUCCESS", "life_cycle_state": "TERMINATED", "ingest_time": self.now,
            **row,
        }  # fmt: skip
        self.log.append("batch_runs", pa.Table.from_pylist([columns], schema=BATCH_RUNS.columns))

    def whole(self, since=BEGIN - DAY):
        return [run for run in self.log.batch_runs(since) if not run["task_key"]]

    def metrics(self, at, model="m"):
        window = Window(at - timedelta(minutes=1), at, Grain.LIVE)
        runs = self.log.batch_runs(BEGIN - DAY)
        found = job_metrics([JOB], runs, model=model, window=window, watched_since=BEGIN)
        return {metric.name: metric.value for metric in found}


@pytest.fixture
def here(tmp_path):
    return Installation(tmp_path)


def test_tasks_make_one_run_with_their_counts_and_times(here):
    here.task("r1", "score_us", BEGIN + timedelta(minutes=20), rows=50, minutes=20)
    here.task("r1", "score_eu", BEGIN, rows=100)
    (run,) = here.whole()
    assert (run["start_time"], run["end_time"]) == (BEGIN, BEGIN + timedelta(minutes=40))
    assert (run["run_ms"], run["result_state"], run["records_scored"]) == (2_400_000, "SUCCESS", 150)
    assert (run["job_name"], run["run_id"], run["tasks"]) == ("nightly", "r1", ["score_eu", "score_us"])


def test_a_job_of_tasks_is_late_only_when_it_did_not_run(here):
    for day in range(3):
        here.task(f"r{day}", "score", BEGIN + day * DAY)
    assert here.metrics(BEGIN + 2 * DAY + timedelta(hours=25))["batch.overdue"] == 0
    assert here.metrics(BEGIN + 2 * DAY + timedelta(hours=27))["batch.overdue"] == 3600


def test_a_failed_task_fails_the_run_once_when_it_fails(here):
    here.task("r1", "a", BEGIN, state="FAILED")
    ended = BEGIN + timedelta(minutes=10, seconds=30)
    assert here.metrics(ended)["batch.failed"] == 1
    here.task("r1", "b", BEGIN + timedelta(hours=1))
    (run,) = here.whole()
    assert (run["result_state"], run["message"], run["end_time"]) == (
        "FAILED",
        "a: RuntimeError",
        BEGIN + timedelta(minutes=70),
    )
    assert here.metrics(BEGIN + timedelta(minutes=70, seconds=30))["batch.failed"] == 0
    here.task("r1", "a", BEGIN + timedelta(hours=2))
    (run,) = here.whole()
    assert (run["result_state"], run["records_scored"]) == ("SUCCESS", 200)


def test_a_short_run_of_tasks_is_told_and_one_that_goes_on_is_not(here):
    for day in range(3):
        for minute, task in enumerate(("a", "b", "c")):
            here.task(f"r{day}", task, BEGIN + day * DAY + timedelta(minutes=minute))
    assert here.metrics(BEGIN + 2 * DAY + timedelta(hours=1))["batch.records_ratio"] == 1.0
    start = BEGIN + 3 * DAY
    here.task("r3", "a", start)
    assert here.metrics(start + timedelta(minutes=30))["batch.records_ratio"] == 1.0  # b and c may come
    assert here.metrics(start + timedelta(hours=3))["batch.records_ratio"] == pytest.approx(1 / 3)
    here.task("r3", "b", start, rows=10)
    here.task("r3", "c", start, rows=10)
    assert here.metrics(start + timedelta(minutes=30))["batch.records_ratio"] == pytest.approx(0.4)


def test_counts_of_tasks_are_those_of_the_workspaces_run(here):
    here.told(run_id="77")
    here.told(run_id="77", task_key="score_eu")
    here.task("77", "score_eu", BEGIN, rows=100)
    here.task("77", "score_us", BEGIN, rows=50)  # a task that the workspace does not name so
    (run,) = here.whole()
    assert (run["workspace"], run["records_scored"], run["run_ms"]) == ("adb-1.example.com", 150, 1_800_000)
    tasks = {r["task_key"]: r["records_scored"] for r in here.log.batch_runs(BEGIN) if r["task_key"]}
    assert tasks == {"score_eu": 100, "score_us": 50}


def test_two_jobs_of_one_workspace_run_count_together_and_the_newest_attempt_counts(here):
    here.told(run_id="77")
    here.task("77", "", BEGIN, rows=10, state="FAILED")
    here.task("77", "", BEGIN, rows=100)
    here.task("77", "", BEGIN, rows=5, job="churn-nightly")
    (run,) = here.whole()
    assert run["records_scored"] == 105


def test_a_run_that_tells_itself_is_not_made_of_its_tasks(here):
    here.task("r1", "", BEGIN, rows=7)
    here.task("r1", "score_eu", BEGIN, rows=100)
    (run,) = here.whole()
    assert (run["records_scored"], "tasks" in run) == (7, False)


def test_a_run_that_began_before_the_span_does_not_begin_in_it(here):
    here.task("r1", "a", BEGIN)
    here.task("r1", "b", BEGIN + timedelta(hours=5))
    assert here.whole(since=BEGIN + timedelta(hours=1)) == []
    assert [r["task_key"] for r in here.log.batch_runs(BEGIN + timedelta(hours=1))] == ["b"]


def test_prometheus_sees_a_job_of_tasks_and_counts_each_record_once(here):
    counted = JobRecords(BEGIN - DAY)
    for task in ("a", "b"):
        here.task("r1", task, BEGIN)
        counted.add(here.log.batch_runs(BEGIN - DAY))
    here.task("r1", "b", BEGIN)  # again: nothing new
    counted.add(here.log.batch_runs(BEGIN - DAY))
    assert 'tiltmeter_job_records_total{job_name="nightly",result="out"} 200' in "\n".join(counted.lines())
    assert 'tiltmeter_job_records{job_name="nightly",result="scored"} 200' in "\n".join(
        job_runs(here.log.batch_runs(BEGIN - DAY))
    )


def test_two_models_with_a_job_of_one_name_do_not_see_each_others_runs(here):
    late, night = BEGIN + DAY + timedelta(hours=3), timedelta(hours=24)
    here.task("2026-03-01", "", BEGIN, model="a/ b")
    here.task("2026-03-01", "", BEGIN, model="m")
    here.task("2026-03-02", "", BEGIN + night, model="m", state="FAILED", minutes=179)
    mine, other = here.metrics(late, "m"), here.metrics(late, "a/ b")
    assert (mine["batch.failed"], other["batch.failed"]) == (1.0, 0.0)
    assert mine["batch.overdue"] == 0.0
    assert other["batch.overdue"] == timedelta(hours=1).total_seconds()


def test_a_run_that_names_no_model_counts_for_every_model(here):
    here.told(run_id="991", result_state="FAILED", end_time=BEGIN + timedelta(minutes=30))
    at = BEGIN + timedelta(minutes=30, seconds=1)
    assert [here.metrics(at, model)["batch.failed"] for model in ("m", "other")] == [1.0, 1.0]


def test_a_run_that_a_workspace_told_counts_for_the_model_that_its_job_named(here):
    here.task("991", "", BEGIN, model="m", minutes=30)
    here.told(run_id="991", result_state="FAILED", end_time=BEGIN + timedelta(minutes=30))
    at = BEGIN + timedelta(minutes=30, seconds=1)
    assert [here.metrics(at, model)["batch.failed"] for model in ("m", "other")] == [1.0, 0.0]
