"""Series and status of a version hold what was measured for it: a broken canary makes no other version sick."""

from datetime import timedelta

import pytest

import small_home
from mlflow_server import needs_server
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.alert import AlertEvent, Incident, IncidentState
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.run import Run
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.mlflow import Tracking
from tiltmeter.monitors.cohorts import COHORT
from tiltmeter.service.mlflow_runs import MlflowRuns
from tiltmeter.wiring import build_world

pytestmark = [pytest.mark.slow, needs_server, pytest.mark.timeout(600)]
DAY = timedelta(days=1)
MATURE = timedelta(days=30)
LAST = Window(small_home.END - DAY, small_home.END, Grain.DAY)
COHORT_WINDOW = Window(LAST.end - MATURE - COHORT, LAST.end - MATURE, Grain.DAY)


def register(client, name, versions):
    client.create_registered_model(name)
    for _ in range(versions):
        run_id = client.create_run("0").info.run_id
        client.create_model_version(name, f"runs:/{run_id}/model", run_id)


def opened(folder, model, **planted):
    path = small_home.build(folder, model=model, **planted)
    world = build_world(load_settings(path, environ={}), clock=FakeClock(small_home.END), with_channels=False)
    small_home.mark_judged(world, model, Grain.DAY)
    return world


def incident(world, model, name, events):
    """An open incident of the last day with events (hours after its start, kind, severity, version) of one alert."""
    at = LAST.start + timedelta(hours=1)
    told = [
        AlertEvent(
            f"alert of {name}", place, kind, LAST.start + timedelta(hours=hours), at, severity, 1.0, name,
            {"model": model, "rule": "error_rate"} | ({"model_version": version} if version else {}),
        )
        for place, (hours, kind, severity, version) in enumerate(events)
    ]  # fmt: skip
    peak = max(event.severity for event in told)
    world.state.save_incident(Incident(name, model, IncidentState.OPEN, peak, at, at, peak), [], told)


def outcomes(world, model, rates):
    metrics = tuple(
        Metric("outcomes.conversion_rate", Subject(model, version), COHORT_WINDOW, rate, n_current=500)
        for version, rate in rates.items()
    )
    world.state.commit(Run("outcomes", model, LAST, LAST.end, source_version=7, metrics=metrics))


def series_of(client, model):
    found = client.get_experiment_by_name(f"{model}/monitoring")
    runs = client.search_runs([found.experiment_id], "tags.`tiltmeter.kind` = 'series'")
    return {run.data.tags["tiltmeter.model_version"]: run for run in runs}


def last_point(client, run, metric):
    points = [
        p for p in client.get_metric_history(run.info.run_id, metric) if p.timestamp == LAST.end.timestamp() * 1e3
    ]
    return points[-1].value if points else None


def test_a_broken_canary_has_its_own_numbers_and_status_and_the_champion_keeps_its_own(uri, client, tmp_path):
    model = "canary-beside"
    register(client, model, 15)
    world = opened(tmp_path / "home", model, canary="15")
    incident(world, model, "inc_canary", [(2, "alert_fired", Severity.CRITICAL, "15")])
    incident(world, model, "inc_whole", [(3, "alert_fired", Severity.WARNING, "")])  # the drift's own is a third
    outcomes(world, model, {"": 0.3, "13": 0.2, "14": 0.4})
    assert MlflowRuns(world, Tracking(uri)).turn(small_home.END) == 5
    world.state.close()
    series = series_of(client, model)
    assert set(series) == {"13", "14", "15"}
    of = {
        version: {
            metric: last_point(client, run, metric)
            for metric in (
                "0_overview/rows", "0_overview/requests", "0_overview/error_rate", "0_overview/features_drifted",
                "0_overview/open_incidents", "1_outcomes/conversion_rate", "drift_psi/source",
            )
        }
        for version, run in series.items()
    }  # fmt: skip
    assert of["14"] == {
        "0_overview/rows": 720.0, "0_overview/requests": 282 * 30.0, "0_overview/error_rate": 0.0,
        "0_overview/features_drifted": 0.0, "0_overview/open_incidents": 0.0, "1_outcomes/conversion_rate": 0.4,
        "drift_psi/source": pytest.approx(0, abs=0.1),
    }  # fmt: skip
    assert of["15"]["drift_psi/source"] > 1
    assert of["15"] | {"drift_psi/source": 0} == {
        "0_overview/rows": 240.0, "0_overview/requests": 6 * 30.0, "0_overview/error_rate": 1.0,
        "0_overview/features_drifted": 1.0, "0_overview/open_incidents": 2.0, "1_outcomes/conversion_rate": None,
        "drift_psi/source": 0,
    }  # fmt: skip
    assert {name for name, value in of["13"].items() if value is not None} == {"1_outcomes/conversion_rate"}
    status = {number: client.get_model_version(model, number).tags for number in ("13", "14", "15")}
    assert status["14"]["monitoring.status"] == "none"
    assert float(status["14"]["monitoring.psi_max"]) < 0.1
    assert status["15"]["monitoring.status"] == "critical"
    assert status["15"]["monitoring.last_window"] == small_home.END.isoformat()
    assert "monitoring.status" not in status["13"]
    assert "**critical**" in series["15"].data.tags["mlflow.note.content"]
    assert "**ok**" in series["14"].data.tags["mlflow.note.content"]


def test_a_version_that_served_alone_has_what_was_measured_of_the_whole(uri, client, tmp_path):
    model = "alone-with-all"
    register(client, model, 14)
    world = opened(tmp_path / "home", model)
    incident(world, model, "inc_whole", [(3, "alert_fired", Severity.WARNING, "")])
    incident(world, model, "inc_gone", [(4, "alert_fired", Severity.CRITICAL, "12")])  # of a version rolled back
    outcomes(world, model, {"": 0.3})
    MlflowRuns(world, Tracking(uri)).turn(small_home.END)
    world.state.close()
    ((version, run),) = series_of(client, model).items()
    assert version == "14"
    assert last_point(client, run, "0_overview/requests") == 288 * 30.0
    assert last_point(client, run, "0_overview/open_incidents") == 2.0  # of the whole: this one and the drift
    assert last_point(client, run, "1_outcomes/conversion_rate") == 0.3
    assert client.get_model_version(model, "14").tags["monitoring.status"] == "critical"  # its own drift


def test_a_version_with_not_judged_is_not_called_healthy(uri, client, tmp_path):
    model = "few-rows"
    register(client, model, 15)
    world = opened(tmp_path / "home", model, canary="15", level_every=24)
    MlflowRuns(world, Tracking(uri)).turn(small_home.END)
    world.state.close()
    assert client.get_model_version(model, "15").tags["monitoring.status"] == "not_judged"
    assert client.get_model_version(model, "14").tags["monitoring.status"] == "none"


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([(-5, "alert_fired", Severity.CRITICAL, "14"), (-1, "alert_resolved", Severity.CRITICAL, "14")], "none"),
        ([(-5, "alert_fired", Severity.WARNING, "14")], "warning"),
        ([(-5, "alert_fired", Severity.WARNING, "14"), (5, "alert_resolved", Severity.WARNING, "14")], "warning"),
        ([(-5, "alert_fired", Severity.CRITICAL, "14"), (-1, "alert_eased", Severity.WARNING, "14")], "warning"),
        ([(5, "alert_pending", Severity.CRITICAL, "14")], "none"),
        ([(1, "alert_fired", Severity.WARNING, "14"), (2, "alert_escalated", Severity.CRITICAL, "14"),
          (3, "alert_resolved", Severity.CRITICAL, "14")], "critical"),
        ([(25, "alert_fired", Severity.CRITICAL, "14")], "none"),
    ],
    ids=["over before", "still fires", "over within", "eased before", "pending", "rose within", "afterwards"],
)  # fmt: skip
def test_the_status_is_that_of_the_alerts_that_fired_within_the_day(uri, client, tmp_path, request, events, said):
    model = f"fired {request.node.callspec.id}"
    register(client, model, 14)
    world = opened(tmp_path / "home", model, canary="15")
    world.state.set_watermark(f"mlflow:day:{model}", LAST.start.isoformat())
    incident(world, model, "inc_one", events)
    MlflowRuns(world, Tracking(uri)).turn(small_home.END)
    world.state.close()
    assert client.get_model_version(model, "14").tags["monitoring.status"] == said
