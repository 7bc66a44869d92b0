"""Names of models and versions are anybody's: whatever they hold, a run is made once and found again."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

import small_home
from mlflow_server import needs_server
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.mlflow import RUN_KEY, Tracking
from tiltmeter.ingest.mlflow_limits import BATCH_BYTES, clean_names
from tiltmeter.service.mlflow_runs import MlflowRuns
from tiltmeter.wiring import build_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HOSTILE = {
    "quote": "O'Brien",
    "double quote": 'say "hi"',
    "backslash": "a\\b\\",
    "emoji": "🦊 fox",
    "300 characters": "m" * 300,
    "2,000 characters": "w" * 2_000,
    "per cent": "100%_%41",
    "newline": "two\nlines",
    "nul": "a\0b",
    "slash": "a/b/../c",
    "backtick and filter": "a` = '' or tags.`b` != '",
    "markup": "<script>alert(1)</script>",
    "empty": "",
}
GREENWICH = SimpleNamespace(zone=ZoneInfo("UTC"))
"""All that extending a series asks of a world."""
DAYS = [
    Window(small_home.END + timedelta(days=day), small_home.END + timedelta(days=day + 1), Grain.DAY)
    for day in range(3)
]


@needs_server
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("of", ["model", "version"])
def test_a_series_of_a_hostile_name_is_one_run_after_every_restart(uri, client, kind, of):
    name = HOSTILE[kind]
    model, version = (Model(name), "14") if of == "model" else (Model(f"plain {kind}"), name)
    for window in (DAYS[0], DAYS[0], DAYS[1], DAYS[1], DAYS[2]):
        restarted = MlflowRuns(GREENWICH, Tracking(uri))
        restarted.extend_series(model, window, version, {"0_overview/rows": 5.0})
    tracking = Tracking(uri)
    identity = {
        "tiltmeter.kind": "series", "tiltmeter.model": name if of == "model" else model.name,
        "tiltmeter.model_version": version or "none",
    }  # fmt: skip
    (run,) = tracking.find_runs(f"{model.name}/monitoring", identity)
    assert len(client.search_runs([run.info.experiment_id])) == 1
    assert len(client.get_metric_history(run.info.run_id, "0_overview/rows")) == 3


@needs_server
def test_a_summary_of_a_hostile_name_is_there_once_after_a_crash(uri, client, tmp_path):
    model = 'O\'Brien "the" 100%\\ 🦊\n' + "m" * 300
    path = small_home.build(tmp_path / "home", model=model)
    world = build_world(load_settings(path, environ={}), clock=FakeClock(small_home.END), with_channels=False)
    small_home.mark_judged(world, model, Grain.DAY)
    assert MlflowRuns(world, Tracking(uri)).turn(small_home.END) == 5
    world.state.set_watermark(f"mlflow:day:{model}", (small_home.END - timedelta(days=3)).isoformat())
    assert MlflowRuns(world, Tracking(uri)).turn(small_home.END) == 0
    assert world.state.watermark("mlflow:troubles") in (None, "{}")
    world.state.close()
    found = [e for e in client.search_experiments(max_results=1000) if e.name.startswith('O\'Brien "the"')]
    runs = client.search_runs([found[0].experiment_id])
    assert len(found) == 1
    assert sorted(run.data.tags["tiltmeter.kind"] for run in runs) == ["series", *["summary"] * 5]


@needs_server
@pytest.mark.parametrize("model", ["lead-scoring of before", "O'Brien of before"])
def test_runs_of_an_earlier_release_are_found_and_continued(uri, client, model):
    experiment = client.create_experiment(f"{model}/monitoring")
    for kind, extra in (
        ("series", {"tiltmeter.model_version": "14", "tiltmeter.until": "1"}),
        ("series", {"tiltmeter.model_version": "15", "tiltmeter.until": "1"}),
        ("summary", {"tiltmeter.window": "day 2026-03-08"}),
        ("summary", {"tiltmeter.window": "day 2026-03-07"}),
    ):
        client.create_run(experiment, tags={"tiltmeter.kind": kind, "tiltmeter.model": model} | extra)
    for _ in range(2):
        MlflowRuns(GREENWICH, Tracking(uri)).extend_series(Model(model), DAYS[0], "14", {"0_overview/rows": 5.0})
    runs = client.search_runs([experiment])
    assert len(runs) == 4
    (series,) = [run for run in runs if run.data.metrics]
    assert series.data.tags["tiltmeter.model_version"] == "14"
    identity = {"tiltmeter.kind": "summary", "tiltmeter.model": model, "tiltmeter.window": "day 2026-03-08"}
    (summary,) = Tracking(uri).find_runs(f"{model}/monitoring", identity)
    assert summary.data.tags["tiltmeter.window"] == "day 2026-03-08"
    assert RUN_KEY in client.get_run(summary.info.run_id).data.tags  # from now on by one question


@needs_server
def test_a_run_of_a_model_with_a_slash_asks_for_its_champion_in_vain_and_says_nothing(uri):
    assert Tracking(uri).champion("team/leads") is None
    assert not Tracking(uri).tag_version("team/leads", "14", {"monitoring.status": "none"})


@needs_server
@pytest.mark.parametrize("count", [998, 999, 1_000, 1_001, 2_500])
def test_a_day_of_many_numbers_is_there_whole_and_once(uri, client, count):
    model = Model(f"numbers {count}")
    numbers = {f"drift_psi/feature {place}": place / 7 for place in range(count)}
    for _ in range(2):
        MlflowRuns(GREENWICH, Tracking(uri)).extend_series(model, DAYS[0], "1", numbers, said="a day")
    found = client.get_experiment_by_name(f"{model.name}/monitoring")
    (run,) = client.search_runs([found.experiment_id])
    assert run.data.metrics == numbers
    assert run.data.tags["mlflow.note.content"] == "a day"


@needs_server
def test_long_foreign_names_stay_within_the_size_of_a_request(uri, client):
    model = Model("long names")
    numbers = {f"drift_psi/{'漢' * 180}{place}": float(place) for place in range(1_500)}
    assert len(json.dumps(numbers)) > BATCH_BYTES
    MlflowRuns(GREENWICH, Tracking(uri)).extend_series(model, DAYS[0], "1", numbers)
    found = client.get_experiment_by_name(f"{model.name}/monitoring")
    (run,) = client.search_runs([found.experiment_id])
    assert run.data.metrics == numbers


@needs_server
def test_a_day_that_was_cut_off_between_two_requests_gets_no_second_point(uri, client):
    model, tracking = Model("cut off between"), Tracking(uri)
    numbers = {f"drift_psi/feature {place}": 1.0 for place in range(1_500)}
    runs = MlflowRuns(GREENWICH, tracking)
    runs.extend_series(model, DAYS[0], "1", {"0_overview/rows": 1.0})
    found = client.get_experiment_by_name(f"{model.name}/monitoring")
    (run,) = client.search_runs([found.experiment_id])
    step = DAYS[1].start.timestamp() // 86_400
    first = dict(list(numbers.items())[:998])
    tracking.log(run.info.run_id, first, step=int(step), at_ms=int(DAYS[1].end.timestamp() * 1000), tags={})
    later = dict.fromkeys(numbers, 2.0)  # late rows changed the day in between
    MlflowRuns(GREENWICH, Tracking(uri)).extend_series(model, DAYS[1], "1", later)
    history = [client.get_metric_history(run.info.run_id, f"drift_psi/feature {place}") for place in (0, 997, 1_499)]
    assert [[point.value for point in points] for points in history] == [[1.0], [1.0], [2.0]]


@needs_server
@pytest.mark.parametrize("name", ["Europe/Berlin", "Pacific/Auckland", "America/New_York"])
def test_a_day_has_the_step_that_its_calendar_names(uri, client, name):
    zone, model = ZoneInfo(name), Model(f"steps {name}")
    starts = [datetime(2026, 11, day, tzinfo=zone).astimezone(UTC) for day in (25, 26, 27, 28)]
    days = [Window(start, end, Grain.DAY) for start, end in pairwise(starts)]
    numbers = {f"drift_psi/feature {place}": 1.0 for place in range(1_500)}
    tracking = Tracking(uri)
    runs = MlflowRuns(SimpleNamespace(zone=zone), tracking)
    runs.extend_series(model, days[0], "1", numbers)
    (run,) = client.search_runs([client.get_experiment_by_name(f"{model.name}/monitoring").experiment_id])
    # An older release was cut off in the second day, which it gave the step of its start in Greenwich.
    old, end_ms = int(days[1].start.timestamp() // 86_400), int(days[1].end.timestamp() * 1000)
    tracking.log(run.info.run_id, dict(list(numbers.items())[:998]), step=old, at_ms=end_ms, tags={})
    for day in days[1:]:
        MlflowRuns(SimpleNamespace(zone=zone), Tracking(uri)).extend_series(model, day, "1", numbers)
    first, last = (client.get_metric_history(run.info.run_id, f"drift_psi/feature {place}") for place in (0, 1_499))
    # 2026-11-25 is 20,782 days after 1970-01-01 by `date -d 2026-11-25 +%s` / 86,400.
    assert [point.step for point in last] == [20_782, 20_783, 20_784]
    assert [point.step for point in first] == [20_782, old, 20_784]


def test_two_names_that_become_one_keep_their_places_on_days_without_one_of_them():
    both = clean_names({"drift_psi/a@b": 1.0, "drift_psi/a#b": 2.0})
    one = clean_names({"drift_psi/a@b": None, "drift_psi/a#b": 2.0})
    assert one == {name: value for name, value in both.items() if value == 2.0}
