"""A small installation that was built by the real wiring: five days of leads, a planted new level, an open incident."""

import json
from datetime import UTC, datetime, timedelta
from random import Random

import pyarrow as pa
import pyarrow.csv

from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.traffic import latency_bin
from tiltmeter.domain.window import Grain, windows_between
from tiltmeter.monitors.registered import MONITORS, SCHEDULE, judged_mark
from tiltmeter.pipeline import judge, observe
from tiltmeter.store.schema import BATCH_RUNS, PREDICTIONS, TRAFFIC
from tiltmeter.wiring import build_world, stored_log

END = datetime(2026, 3, 9, tzinfo=UTC)
DAYS = 5
HOURLY = 40
"""Leads an hour, nights included."""

CONFIGURATION = """
version: 1
home: .
timezone: UTC
models:
  {model}:
    routes: {{"POST /score": {{features: "$", entity_id: lead_id, prediction: response.score}}}}
    baselines: {baselines}
    jobs: {{nightly: {{expect_every: 24h, grace: 2h}}}}
channels: {{}}
routes:
  - {{severity: info, to: [dashboard]}}
  - {{severity: warning, to: [dashboard]}}
  - {{severity: critical, to: [dashboard]}}
"""


def build(
    folder,
    *,
    model="lead-scoring",
    size="company_size",
    level="partner-x",
    level_score=0.3,
    end=END,
    rules="",
    hourly=HOURLY,
    slow_ms=90.0,
    canary="14",
    newer="",
    level_every=4,
    missed_nights=(),
    days=DAYS,
    baselines="{training: {data: training.csv}}",
):
    """Write configuration and tables, judge every window of the past days.

    Args:
        folder: home of the installation, empty.
        model: name of the model; hostile in some tests.
        size: name of the numeric feature.
        level: the new level of the last day.
        level_score: score of its leads; all others have 0.3.
        newer: a second model version, which scores every other lead of the last day; none unless named.
        end: a midnight; the days end there.
        rules: lines of the configuration beside the default's.
        hourly: leads an hour.
        slow_ms: latency of every fifteenth request of the last day.
        canary: version that scored the leads of the new level and answered the failed requests.
        level_every: every such lead of the last day has the new level.
        missed_nights: how many days ago the job did not run.
        days: with leads, each of which is judged.
        baselines: of the model.

    Returns:
        Path of its configuration.
    """
    chance = Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiltmeter.yaml"
    path.write_text(
        CONFIGURATION.format(model=json.dumps(model, ensure_ascii=False), baselines=baselines) + rules, encoding="utf-8"
    )
    training = [(chance.lognormvariate(4, 1), chance.choice(("web", "mail", "fair"))) for _ in range(2_000)]
    table = pa.table({size: [s for s, _ in training], "source": [s for _, s in training], "score": [0.3] * 2_000})
    pyarrow.csv.write_csv(table, folder / "training.csv")
    configuration = load_settings(path, environ={})
    clock = FakeClock(end)
    log = stored_log(configuration, clock, configuration.models)
    log.append(
        "predictions",
        _predictions(chance, model, size, level, level_score, end, hourly, canary, newer, level_every, days),
    )
    log.append("traffic", _traffic(model, end, slow_ms, canary, newer))
    log.append("batch_runs", _nights(end, missed_nights))
    world = build_world(configuration, clock=clock, with_channels=False, stored=log)
    observe(world.models[model], world)
    _judge_all(world, world.models[model], clock, end, days)
    world.state.close()
    return path


def mark_judged(world, model, grain, end=END, *, monitors=None):
    """Keep the marks that the scheduler leaves when it is done with a grain; or only those of some monitors."""
    for monitor in monitors or SCHEDULE[grain]:
        world.state.set_watermark(judged_mark(monitor, model, grain), end.isoformat())


def _judge_all(world, model, clock, end, days):
    start = end - timedelta(days=days)
    for grain, first in ((Grain.HOUR, end - timedelta(hours=12)), (Grain.DAY, start)):
        for window in windows_between(first, end, grain, world.zone):
            clock.at = window.end
            for monitor in SCHEDULE[grain]:
                judge(MONITORS.load(monitor), model, window, world)


def _predictions(chance, model, size, level, level_score, end, hourly, canary, newer, level_every, days):
    start = end - timedelta(days=days)
    rows = []
    for place in range(days * 24 * hourly):
        at = start + timedelta(hours=place // hourly, seconds=place % hourly)
        is_last_day = at >= end - timedelta(days=1)
        source = level if is_last_day and place % level_every == 0 else chance.choice(("web", "mail", "fair"))
        rows.append(
            {
                "event_id": f"e{place}", "request_id": f"r{place}", "request_date": at.date(), "request_time": at,
                "source": "api", "model_name": model, "entity_id": f"lead-{place}",
                "model_version": newer if newer and is_last_day and place % 2 else canary if source == level else "14",
                "prediction": level_score if source == level else 0.3, "status_code": 200,
                "execution_duration_ms": 20.0, "http_route": "POST /score",
                f"f_{size}": chance.lognormvariate(4, 1), "f_source": source, "ingest_time": at,
            }
        )  # fmt: skip
    columns = pa.schema([*PREDICTIONS.columns, (f"f_{size}", pa.float64()), ("f_source", pa.string())])
    return pa.Table.from_pylist(rows, schema=columns)


def _traffic(model, end, slow_ms, canary, newer):
    rows = []
    for step in range(24 * 12):
        at = end - timedelta(days=1) + timedelta(minutes=5 * step)
        is_bad = step > 24 * 12 - 7
        rows.extend(
            {
                "window_date": at.date(), "window_start": at, "host": "h", "model_name": model,
                "model_version": version or (canary if is_bad else "14"),
                "http_route": "POST /score", "code_class": "5xx" if is_bad else "2xx", "requests": 30,
                "errors": 30 if is_bad else 0, "latency_bins": [latency_bin(20.0), latency_bin(slow_ms)],
                "latency_counts": [28, 2],
            }
            for version in (("", newer) if newer and step >= 24 * 6 else ("",))
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=TRAFFIC.columns)


def _nights(end, missed):
    rows = []
    for day in range(DAYS):
        if day in missed:
            continue
        at = end - timedelta(days=day, hours=22)
        rows.append(
            {
                "workspace": "w", "job_id": "1", "job_name": "nightly", "run_id": f"run-{day}", "attempt": 0,
                "task_key": "", "start_date": at.date(), "start_time": at, "end_time": at + timedelta(minutes=9),
                "run_ms": 540_000, "result_state": "FAILED" if day == 2 else "SUCCESS",
                "life_cycle_state": "TERMINATED", "message": "disk full" if day == 2 else "", "records_in": 900,
                "records_scored": 890, "records_failed": 10, "ingest_time": at,
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=BATCH_RUNS.columns)
