"""A small installation in which every name and every value that people may choose is hostile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.alert import Alert, AlertEvent, AlertState, Incident, IncidentState, Silence
from tiltmeter.domain.cohort import Cohort
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.run import Run
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.traffic import latency_bin
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.outcomes import outcome_metrics
from tiltmeter.monitors.registered import MONITORS, SCHEDULE
from tiltmeter.pipeline import judge, observe
from tiltmeter.store.schema import BATCH_RUNS, PREDICTIONS, TRAFFIC
from tiltmeter.wiring import build_world, stored_log

END = datetime(2026, 3, 9, tzinfo=UTC)
ROWS = 480
SEGMENTS = 6
"""Values of the segment column and names of jobs: each gets a profile, or a line, of its own."""


def build(folder, names):
    """An installation whose features, levels, versions, routes, jobs, incidents and people have these names."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiltmeter.yaml"
    model = names[0]
    jobs = {name: {"expect_every": "24h", "grace": "2h"} for name in names[:SEGMENTS]}
    settings = {
        "version": 1, "home": ".", "timezone": "UTC", "channels": {},
        "models": {model: {
            "routes": {"POST /score": {"features": "$", "entity_id": "lead_id", "prediction": "response.score"}},
            "baselines": {names[1]: {"data": "training.parquet"}}, "jobs": jobs, "segments": ["source"],
        }},
        "routes": [{"severity": word, "to": ["dashboard"]} for word in ("info", "warning", "critical")],
    }  # fmt: skip
    path.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    chance = Random(3)
    pq.write_table(_features(chance, names, is_new=False), folder / "training.parquet")
    configuration = load_settings(path, environ={})
    clock = FakeClock(END)
    log = stored_log(configuration, clock, configuration.models)
    log.append("predictions", _predictions(chance, names, model))
    log.append("traffic", _traffic(names, model))
    log.append("batch_runs", _runs(names))
    world = build_world(configuration, clock=clock, with_channels=False, stored=log)
    observe(world.models[model], world)
    for window in (Window(END - timedelta(hours=1), END, Grain.HOUR), Window(END - timedelta(days=1), END, Grain.DAY)):
        for monitor in SCHEDULE[window.grain]:
            judge(MONITORS.load(monitor), world.models[model], window, world)
    _incidents(world, names, model)
    world.state.close()
    return path


def _features(chance, names, *, is_new):
    levels = names[:SEGMENTS]
    columns = {"source": [chance.choice(levels) for _ in range(ROWS)], "score": [0.3] * ROWS}
    for place, name in enumerate(names):
        if place % 2:
            columns[f"{name}#{place}"] = [chance.lognormvariate(4, 1) * (1 + 9 * is_new) for _ in range(ROWS)]
        else:
            known = names[place : place + 3]
            made = [chance.choice(known) for _ in range(ROWS)]
            columns[name] = [names[-1 - place] if is_new and row % 3 == 0 else level for row, level in enumerate(made)]
    return pa.table(columns)


def _predictions(chance, names, model):
    features = _features(chance, names, is_new=True)
    rows = [
        {
            "event_id": f"e{place}", "request_id": f"r{place}", "request_date": at.date(), "request_time": at,
            "source": "api", "model_name": model, "model_version": names[3 + place % 2],
            "entity_id": names[place % len(names)], "prediction": 0.3, "status_code": 200,
            "execution_duration_ms": 20.0, "http_route": "POST /score",
            "ingest_time": at,
        }
        for place in range(ROWS)
        for at in [END - timedelta(hours=24) + timedelta(seconds=170 * place)]
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=PREDICTIONS.columns)
    for name in features.column_names:
        if name != "score":
            table = table.append_column(f"f_{name}", features[name])
    return table


def _traffic(names, model):
    rows = [
        {
            "window_date": at.date(), "window_start": at, "host": "h", "model_name": model, "model_version": names[3],
            "http_route": names[place % len(names)], "code_class": "5xx" if place % 9 == 0 else "2xx", "requests": 30,
            "errors": 30 if place % 9 == 0 else 0, "latency_bins": [latency_bin(20.0)], "latency_counts": [30],
            "error_statuses": [500] if place % 9 == 0 else None, "error_counts": [30] if place % 9 == 0 else None,
            "error_exceptions": [names[(place // 9) % len(names)]] if place % 9 == 0 else None,
        }
        for place in range(360)
        for at in [END - timedelta(hours=1) + timedelta(seconds=10 * place)]
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=TRAFFIC.columns)


def _runs(names):
    rows = [
        {
            "workspace": "w", "job_id": str(place), "job_name": names[place % SEGMENTS], "run_id": name, "attempt": 0,
            "task_key": "", "start_date": at.date(), "start_time": at, "end_time": at + timedelta(minutes=9),
            "run_ms": 540_000, "result_state": "FAILED", "life_cycle_state": "TERMINATED", "message": name,
            "records_in": 900, "records_scored": 890, "records_failed": 10, "ingest_time": at,
        }
        for place, name in enumerate(names)
        for at in [END - timedelta(hours=20) + timedelta(minutes=place)]
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=BATCH_RUNS.columns)


def _outcomes(names, model):
    """Two matured cohorts, a week apart, of all leads and of each segment: some pages show nothing without them."""
    chance = np.random.default_rng(5)
    metrics = []
    for weeks in (0, 1):
        end = END - timedelta(days=30 + 7 * weeks)  # `mature_after` as it comes
        window = Window(end - timedelta(days=7), end, Grain.DAY)
        for subject in (Subject(model), *(Subject(model, "", "", "source", name) for name in names[:SEGMENTS])):
            score = chance.random(300)
            converted = chance.random(300) < score
            cohort = Cohort(score, converted, 100.0 * converted, np.zeros(score.size, dtype=int))
            metrics += outcome_metrics(cohort, subject=subject, window=window, threshold=0.5, min_rows=200)
    return tuple(metrics)


def segment(names, place):
    """How the address of a page names the segment of this place."""
    return f"source = {names[place]}"


def incident_id(place):
    """Id of the incident that carries the name at this place."""
    return f"inc_{place:016d}"


def _incidents(world, names, model):
    window = Window(END - timedelta(days=1), END, Grain.DAY)
    alerts, incidents, events = [], [], []
    for place, name in enumerate(names):
        subject = Subject(model, name, name, "source", name)
        details = {"effect": name, "top_route": name, "exception": name, "new_levels": [name]}
        metric = Metric("drift.psi", subject, window, 0.9, n_current=400, n_reference=480, details=details)
        alerts.append(
            Alert(
                f"alr_{place}", f"finger-{place}", "feature_psi", subject, AlertState.FIRING, Severity.CRITICAL, 1,
                window.end, window.end, None, window.end, 0.9, 0.9, 1, incident=incident_id(place), metric=metric,
                breached_at=window.end,
            )
        )  # fmt: skip
        incidents.append(
            Incident(
                incident_id(place), model, IncidentState.OPEN, Severity.CRITICAL, window.end, window.end,
                Severity.CRITICAL, title=name, alerts=(f"alr_{place}",), acknowledged_by=name,
                acknowledged_at=window.end, note=name, cause=name,
            )
        )  # fmt: skip
        detail = {"by": name, "note": name, name: "x"}
        events.append(
            AlertEvent(f"finger-{place}", 1, "alert_acknowledged", window.end, window.end, Severity.CRITICAL, 0.9,
                       incident_id(place), detail)
        )  # fmt: skip
    run = Run("hostile", model, window, END, 1, _outcomes(names, model), tuple(alerts), tuple(events), tuple(incidents))
    world.state.commit(run)
    for place, name in enumerate(names[:20]):
        until = datetime(2100, 1, 1, tzinfo=UTC)
        world.state.save_silence(Silence(f"sil_{place}", {"feature": name}, END, until, name, name))
