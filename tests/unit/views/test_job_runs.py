"""Runs of batch jobs on the pages mean what the alerts take them for."""

from datetime import timedelta

import pyarrow as pa
import pytest

import small_home
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.serving import live_jobs
from tiltmeter.store.schema import BATCH_RUNS
from tiltmeter.views.dashboard.jobs import state_of
from tiltmeter.wiring import build_world, stored_log

pytestmark = pytest.mark.slow  # builds homes


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ({"result_state": "SUCCESS", "end_time": 1}, "done"),
        ({"result_state": "SUCCESS_WITH_FAILURES", "end_time": 1}, "done"),
        ({"result_state": "TIMEDOUT", "end_time": 1}, "failed"),
        ({"result_state": "FAILED", "end_time": None}, "failed"),  # a task of it failed, others go on
        ({"result_state": "SKIPPED", "end_time": 1}, "skipped"),
        ({"result_state": "SKIPPED", "end_time": None}, "skipped"),
        ({"result_state": None, "end_time": None}, "running"),
    ],
)
def test_a_run_failed_only_where_an_alert_would_say_so(row, state):
    assert state_of(row) == state


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Twelve good nights before those of the small home (four good, one failed), one skipped and one that runs."""
    path = small_home.build(tmp_path_factory.mktemp("nights") / "home")
    configuration = load_settings(path, environ={})
    log = stored_log(configuration, FakeClock(small_home.END), configuration.models)
    rows = [_run(f"old-{day}", days=day, minutes=20 + day) for day in range(5, 17)]
    rows += [_run("slow", days=1, minutes=200, result_state="FAILED"), _run("skip", days=1, result_state="SKIPPED")]
    rows.append(_run("now", days=0, result_state=None) | {"end_time": None, "run_ms": None, "records_scored": None})
    log.append("batch_runs", pa.Table.from_pylist(rows, schema=BATCH_RUNS.columns))
    return path


def _run(run_id, *, days, minutes=0, result_state="SUCCESS"):
    at = small_home.END - timedelta(days=days, hours=3 if days < 5 else 22)
    return {
        "workspace": "w", "job_id": "1", "job_name": "nightly", "run_id": run_id, "attempt": 0, "task_key": "",
        "start_date": at.date(), "start_time": at, "end_time": at + timedelta(minutes=minutes),
        "run_ms": 60_000 * minutes, "result_state": result_state, "life_cycle_state": "TERMINATED",
        "records_scored": 800 if minutes else 0, "ingest_time": at,
    }  # fmt: skip


def charts_of(shown):
    found = []

    def walk(block):
        for child in getattr(block, "children", {}).values():
            if child.type == "vega_lite_chart" and " a run: n = " in child.proto.alt:
                found.append(child.proto)
            walk(child)

    walk(shown.main)
    return found


def test_the_line_is_what_the_alert_calls_usual(page, nights):
    world = build_world(load_settings(nights, environ={}), clock=FakeClock(small_home.END), with_channels=False)
    span = Window(small_home.END - timedelta(minutes=5), small_home.END, Grain.LIVE)
    found = live_jobs(world.models["lead-scoring"], span, world, watched_since=None)
    world.state.close()
    (ratio,) = [m for m in found if m.name == "batch.duration_ratio"]
    assert ratio.subject == Subject("lead-scoring", segment_key="job", segment_value="nightly")
    # Ten good runs before the newest: three of 9 minutes, then those of 25 to 31: the median is (26 + 27) / 2.
    assert ratio.details["usual"] == 26.5 * 60_000
    minutes, _ = charts_of(page("service", nights, span="30 d"))
    assert "good runs before the newest: nightly 26.5" in minutes.alt


def test_a_run_that_goes_on_has_no_length_yet(page, nights):
    shown = page("service", nights, span="30 d")
    minutes, _ = charts_of(shown)
    # 5 nights, 12 before, one slow, one skipped; the running one is no bar.
    assert "n = 19 runs" in minutes.alt
    (table,) = [frame.value for frame in shown.dataframe if "minutes" in frame.value]
    states = dict(zip(table["run"], table["state"], strict=True))
    assert (states["now"], states["skip"], states["slow"]) == ("running", "skipped", "failed")
    assert table.set_index("run")["minutes"].isna().to_dict()["now"]
    assert table["state"].value_counts().to_dict() == {"done": 16, "failed": 2, "skipped": 1, "running": 1}
