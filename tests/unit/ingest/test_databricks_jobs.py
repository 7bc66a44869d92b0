"""Job runs of a workspace: every page, every state, every fault, each run once. Against a local server."""

from datetime import UTC, datetime, timedelta

import pytest

from tables import FakeClock
from tiltmeter.domain.errors import StoreError
from tiltmeter.ingest.databricks import JobPoller, connect, workspace_name
from tiltmeter.ingest.databricks_history import counts_of
from tiltmeter.store.delta import DeltaLog
from tiltmeter.testing.databricks_server import DatabricksFault, DatabricksServer

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def run(number: int, *, hours_ago: float = 5, state: str = "TERMINATED", result: str | None = "SUCCESS", **changed):
    start = NOW - timedelta(hours=hours_ago)
    ended = state in ("TERMINATED", "INTERNAL_ERROR")
    facts = {
        "job_id": 8871,
        "run_id": number,
        "run_name": "nightly scoring",
        "number_in_job": number,
        "original_attempt_run_id": number,
        "state": {"life_cycle_state": state, "state_message": "", "user_cancelled_or_timedout": False}
        | ({"result_state": result} if result else {}),
        "start_time": ms(start),
        "end_time": ms(start + timedelta(minutes=10)) if ended else 0,
        "setup_duration": 30_000,
        "execution_duration": 560_000,
        "cleanup_duration": 10_000,
        "run_duration": 600_000 if ended else 0,
        "trigger": "PERIODIC",
        "run_page_url": f"https://adb-1.example.net/#job/8871/run/{number}",
        "run_type": "JOB_RUN",
        "attempt_number": 0,
    }
    return facts | changed


def task(key: str, **changed):
    start = NOW - timedelta(hours=5)
    facts = {
        "run_id": 900,
        "task_key": key,
        "state": {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"},
        "start_time": ms(start),
        "end_time": ms(start + timedelta(minutes=3)),
        "setup_duration": 5_000,
        "execution_duration": 170_000,
        "cleanup_duration": 5_000,
        "attempt_number": 0,
    }
    return facts | changed


@pytest.fixture
def server():
    with DatabricksServer() as running:
        yield running


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def log(tmp_path, clock):
    return DeltaLog(tmp_path, clock)


@pytest.fixture
def poller(server, log, clock):
    return JobPoller(
        workspace=workspace_name(server.address),
        connect=lambda: connect(server.address, server.token, retry_seconds=8, http_seconds=3),
        log=log,
        clock=clock,
        jobs={"8871": "nightly"},
    )


def known(log):
    return log.batch_runs(NOW - timedelta(days=60))


def test_every_page_is_read_and_a_second_poll_adds_nothing(server, poller, log):
    server.runs = [run(n, hours_ago=n) for n in range(1, 8)]
    assert poller.poll() == 7
    assert len([path for path, _ in server.requests if path.endswith("runs/list")]) == 3
    assert poller.poll() == 0
    rows = known(log)
    assert len(rows) == 7
    assert {row["job_name"] for row in rows} == {"nightly"}
    assert {(row["setup_ms"], row["execution_ms"], row["cleanup_ms"], row["run_ms"]) for row in rows} == {
        (30_000, 560_000, 10_000, 600_000)
    }


def test_a_run_is_followed_until_it_ends_even_beyond_a_day(server, poller, log, clock):
    server.runs = [run(1, hours_ago=1, state="RUNNING", result=None)]
    poller.poll()
    assert [(r["life_cycle_state"], r["result_state"], r["end_time"]) for r in known(log)] == [("RUNNING", None, None)]
    clock.pass_(3 * 86_400)
    server.runs = [run(2, hours_ago=-71), run(1, hours_ago=1, result="FAILED")]
    assert poller.poll() == 2
    clock.pass_(60)
    assert poller.poll() == 0
    states = {row["run_id"]: row["result_state"] for row in known(log)}
    assert states == {"1": "FAILED", "2": "SUCCESS"}


@pytest.mark.parametrize("how", ["deleted", "refused"])
def test_a_run_that_is_gone_stops_no_other(server, poller, log, clock, how):
    server.runs = [run(1, hours_ago=1, state="RUNNING", result=None)]
    poller.poll()
    clock.pass_(3 * 86_400)
    server.runs = [run(2, hours_ago=-71), *(server.runs if how == "refused" else [])]
    server.refused = {"1"} if how == "refused" else set()
    assert [poller.poll(), poller.poll()] == [1, 0]
    asked = len(server.requests)
    assert poller.poll() == 0
    assert [path for path, _ in server.requests[asked:] if path.endswith("runs/get")] == []
    assert {row["run_id"] for row in known(log)} == {"1", "2"}


def test_runs_of_expected_jobs_are_found_behind_many_others(server, log, clock):
    server.runs = [run(n, job_id=5) for n in range(2, 30)] + [run(1)]
    busy = JobPoller(
        workspace="w", connect=lambda: connect(server.address, server.token), log=log, clock=clock,
        jobs={"8871": "nightly"}, most_runs=10,
    )  # fmt: skip
    assert busy.poll() == 11
    assert [row["run_id"] for row in known(log) if row["job_name"] == "nightly"] == ["1"]


def test_a_table_that_cannot_be_read_costs_the_counts_alone(server, log, clock, tmp_path):
    broken = tmp_path / "scores" / "_delta_log"
    broken.mkdir(parents=True)
    (broken / f"{0:020}.json").write_text("no json")
    server.runs = [run(1)]
    poller = JobPoller(
        workspace="w", connect=lambda: connect(server.address, server.token), log=log, clock=clock,
        jobs={"8871": "nightly"}, targets={"nightly": str(broken.parent)},
    )  # fmt: skip
    assert poller.poll() == 1
    (row,) = known(log)
    assert (row["result_state"], row["records_scored"]) == ("SUCCESS", None)


def test_absurd_fields_are_stored_as_nothing_or_as_text(server, poller, log):
    server.runs = [run(1, run_name="half \ud800", run_page_url=7, setup_duration=10**30, job_id=12)]
    assert poller.poll() == 1
    (row,) = known(log)
    assert (row["job_name"], row["url"], row["setup_ms"]) == ("half ?", "7", None)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("SUCCESS_WITH_FAILURES", "SUCCESS_WITH_FAILURES"), ("SKIPPED", None), ("DRIVER_ERROR", "FAILED")],
)
def test_a_newer_status_that_is_no_failure_is_none(server, poller, log, code, expected):
    only_status = run(1) | {"status": {"state": "TERMINATED", "termination_details": {"code": code}}}
    del only_status["state"]
    server.runs = [only_status]
    poller.poll()
    (row,) = known(log)
    assert row["result_state"] == expected


def test_runs_are_known_on_a_leap_day(log):
    assert log.batch_runs(datetime(2028, 2, 29, tzinfo=UTC)) == []
    import pyarrow as pa

    from tiltmeter.store.schema import BATCH_RUNS

    started = datetime(2028, 3, 1, tzinfo=UTC)
    row = {"workspace": "w", "job_name": "n", "run_id": "1", "attempt": 0, "task_key": "", "start_time": started,
           "start_date": started.date(), "ingest_time": started}  # fmt: skip
    log.append("batch_runs", pa.Table.from_pylist([row], schema=BATCH_RUNS.columns))
    assert len(log.batch_runs(datetime(2028, 2, 29, tzinfo=UTC))) == 1


def test_tasks_are_rows_and_their_phases_make_those_of_the_run(server, poller, log):
    whole = run(1, setup_duration=0, execution_duration=0, cleanup_duration=0, tasks=[task("load"), task("score")])
    server.runs = [whole]
    assert poller.poll() == 3
    rows = {row["task_key"]: row for row in known(log)}
    assert (rows[""]["setup_ms"], rows[""]["execution_ms"], rows[""]["run_ms"]) == (10_000, 340_000, 600_000)
    assert rows["score"]["run_ms"] == 180_000
    assert rows["load"]["run_id"] == "1"


def test_more_tasks_than_a_page_holds_are_fetched(server, poller, log):
    server.runs = [run(1, tasks=[task(f"t{n}") for n in range(130)])]
    assert poller.poll() == 131


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"life_cycle_state": "INTERNAL_ERROR", "state_message": "cluster gone"}, ("INTERNAL_ERROR", "INTERNAL_ERROR")),
        ({"life_cycle_state": "SKIPPED"}, ("SKIPPED", None)),
        ({"life_cycle_state": "TERMINATED", "result_state": "TIMEDOUT"}, ("TERMINATED", "TIMEDOUT")),
        ({"life_cycle_state": "SOMETHING_NEW"}, (None, None)),
    ],
)
def test_states_arrive_in_the_words_of_the_api(server, poller, log, state, expected):
    server.runs = [run(1, state="TERMINATED") | {"state": state}]
    poller.poll()
    (row,) = known(log)
    assert (row["life_cycle_state"], row["result_state"]) == expected


def test_the_newer_status_alone_tells_the_result_as_well(server, poller, log):
    status = {
        "state": "TERMINATED",
        "termination_details": {"code": "RUN_EXECUTION_ERROR", "type": "CLIENT_ERROR", "message": "Task score failed"},
    }
    only_status = run(1) | {"status": status}
    del only_status["state"]
    server.runs = [only_status]
    poller.poll()
    (row,) = known(log)
    assert (row["result_state"], row["termination_code"], row["message"]) == (
        "FAILED",
        "RUN_EXECUTION_ERROR",
        "Task score failed",
    )


def test_rate_limits_are_waited_for(server, poller):
    server.runs = [run(1)]
    server.faults.extend([DatabricksFault(429, {"Retry-After": "1"}), DatabricksFault(429, {"Retry-After": "1"})])
    assert poller.poll() == 1


@pytest.mark.parametrize(
    "fault",
    [
        DatabricksFault(403, body='{"error_code": "PERMISSION_DENIED", "message": "no view right"}'),
        DatabricksFault(500, body='{"error_code": "INTERNAL_ERROR", "message": "oops"}'),
        DatabricksFault(200, body='{"runs": [{"run_id": "not", "start_time": {}, "state": 7}]}'),
        DatabricksFault(200, body="<html>a proxy speaks</html>"),
        DatabricksFault(200, body='{"runs": [{"run_id": 1', is_cut=True),
    ],
)
def test_a_workspace_that_answers_nonsense_or_refuses_costs_one_poll(server, poller, log, fault):
    server.runs = [run(1)]
    server.faults.append(fault)
    with pytest.raises(StoreError, match="job runs cannot be read") as told:
        poller.poll()
    assert server.token not in str(told.value)
    assert poller.poll() == 1


def test_a_workspace_that_never_answers_costs_bounded_time_and_nothing_else(server, log, clock):
    server.runs = [run(1)]
    server.faults.extend(DatabricksFault(hangs=True) for _ in range(20))
    patient = JobPoller(
        workspace=workspace_name(server.address),
        connect=lambda: connect(server.address, server.token, retry_seconds=2, http_seconds=1),
        log=log,
        clock=clock,
    )
    with pytest.raises(StoreError, match="job runs cannot be read"):
        patient.poll()
    server.faults.clear()
    assert patient.poll() == 1


def test_endless_rate_limits_and_a_wrong_token_end_in_bounded_time(server, poller, log, clock):
    server.faults.extend(DatabricksFault(429, {"Retry-After": "1"}) for _ in range(60))
    with pytest.raises(StoreError, match="job runs cannot be read"):
        poller.poll()
    stranger = JobPoller("w", lambda: connect(server.address, "wrong", retry_seconds=2, http_seconds=2), log, clock)
    server.faults.clear()
    with pytest.raises(StoreError, match="token"):
        stranger.poll()


def test_the_jobs_own_report_and_the_workspaces_row_are_one_run(server, poller, log):
    import pyarrow as pa

    from tiltmeter.store.schema import BATCH_RUNS

    started = NOW - timedelta(hours=5)
    report = {
        "workspace": "", "job_name": "nightly", "run_id": "1", "attempt": 0, "task_key": "", "start_time": started,
        "start_date": started.date(), "records_in": 1000, "records_scored": 990, "records_failed": 10,
        "result_state": "SUCCESS", "ingest_time": NOW,
    }  # fmt: skip
    log.append("batch_runs", pa.Table.from_pylist([report], schema=BATCH_RUNS.columns))
    server.runs = [run(1)]
    assert poller.poll() == 1
    (row,) = known(log)
    assert (row["records_scored"], row["execution_ms"]) == (990, 560_000)
    assert poller.poll() == 0


def test_a_year_is_filled_back_from_the_system_table_without_replacing_what_was_polled(server, poller, log):
    server.runs = [run(1)]
    poller.poll()
    columns = [
        "job_id",
        "run_id",
        "start_time",
        "end_time",
        "result_state",
        "termination_code",
        "run_name",
        "trigger_type",
    ]
    first = [["8871", "1", "2026-03-10T07:00:00.000Z", "2026-03-10T07:10:00.000Z", "SUCCEEDED", "SUCCESS", "x", "CRON"]]
    second = [
        ["8871", "77", "2025-12-01T07:00:00.000Z", "2025-12-01T07:05:00.000Z", "ERROR", "DRIVER_ERROR", "x", "CRON"],
        ["12", "78", "2025-12-01T07:00:00.000Z", "2025-12-01T07:05:00.000Z", None, None, "running", "CRON"],
    ]
    manifest = {"schema": {"columns": [{"name": name} for name in columns]}, "total_chunk_count": 2}
    server.statements.extend(
        [
            {"statement_id": "s1", "status": {"state": "SUCCEEDED"}, "manifest": manifest,
             "result": {"chunk_index": 0, "data_array": first, "next_chunk_index": 1}},
            {"chunk_index": 1, "data_array": second},
        ]
    )  # fmt: skip
    since = NOW - timedelta(days=365)
    assert poller.backfill("wh-1", since) == 1
    rows = {row["run_id"]: row for row in log.batch_runs(since)}
    assert rows["77"]["result_state"] == "INTERNAL_ERROR"
    assert rows["1"]["execution_ms"] == 560_000
    (statement,) = server.posted
    assert statement["warehouse_id"] == "wh-1"
    assert {p["name"]: p["value"] for p in statement["parameters"]} == {
        "workspace_id": "6051234418418567",
        "since": "2025-03-10 12:00:00",
    }


def test_a_system_table_that_was_not_granted_says_who_can_help(server, poller):
    failed = {"state": "FAILED", "error": {"error_code": "BAD_REQUEST", "message": "INSUFFICIENT_PERMISSIONS"}}
    server.statements.append({"statement_id": "s1", "status": failed})
    with pytest.raises(StoreError, match=r"INSUFFICIENT_PERMISSIONS.*administrator"):
        poller.backfill("wh-1", NOW)


def test_rows_written_are_read_from_the_targets_history():
    start = NOW - timedelta(hours=1)
    ran = {"run_id": "55", "start_time": start, "end_time": NOW}
    spark = {
        "operation": "WRITE", "timestamp": ms(NOW), "job": '{"jobId": "8871", "jobRunId": "55"}',
        "operationMetrics": {"numOutputRows": "1200", "numOutputBytes": "34567"},
    }  # fmt: skip
    other = spark | {"job": {"runId": "56"}}
    ours = {
        "operation": "WRITE",
        "timestamp": ms(start + timedelta(minutes=5)),
        "operationMetrics": {"num_added_rows": 7},
    }
    assert counts_of([spark, other], ran) == {"records_scored": 1200, "bytes_written": 34567}
    assert counts_of([ours, other], ran) == {"records_scored": 7}
    assert counts_of([other, {"operation": "OPTIMIZE"}], ran) == {}
