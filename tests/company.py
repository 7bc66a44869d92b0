"""A company small enough to judge in a test: real tables, real state database, a clock that is set by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pyarrow as pa
import pyarrow.csv

from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.traffic import latency_bin
from tiltmeter.domain.window import Grain, windows_between
from tiltmeter.service.checkup import calendar_of
from tiltmeter.service.scheduler import Scheduler
from tiltmeter.store.schema import BATCH_RUNS, OUTCOMES, PREDICTIONS, TRAFFIC
from tiltmeter.wiring import build_world, stored_log

MODEL = "lead-scoring"
CONFIGURATION = """
version: 1
home: .
timezone: {zone}
models:
  {model}:
    routes: {{"POST /score": {{features: "$", entity_id: lead_id, prediction: response.score}}}}
    baselines: {baselines}
    segments: {segments}
    jobs: {jobs}
    outcomes: {{attribution: 90d, mature_after: 30d, currency: EUR}}
channels: {{}}
routes:
  - {{severity: info, to: [dashboard]}}
  - {{severity: warning, to: [dashboard]}}
  - {{severity: critical, to: [dashboard]}}
"""
SOURCES = ("web", "mail", "fair")


class Company:
    """One model and its installation.

    Args:
        folder: home, empty.
        zone: business time zone.
        at: what the clock shows.
    """

    def __init__(
        self, folder, *, zone="UTC", at=datetime(2026, 3, 9, tzinfo=UTC), seed=7,
        baselines="{training: {data: training.csv}}", segments="[]", jobs="{}",
    ):  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.clock, self.chance, self.rows = folder, FakeClock(at), Random(seed), 0
        (folder / "tiltmeter.yaml").write_text(
            CONFIGURATION.format(zone=zone, model=MODEL, baselines=baselines, segments=segments, jobs=jobs), "utf-8"
        )
        training = [(Random(n).lognormvariate(4, 1), SOURCES[n % 3]) for n in range(2_000)]
        table = pa.table(
            {
                "size": [s for s, _ in training],
                "source": [s for _, s in training],
                "score": [n % 100 / 100 for n in range(2_000)],
            }
        )
        pyarrow.csv.write_csv(table, folder / "training.csv")
        self.open()

    def open(self):
        """(Re)start: everything but the files is made anew."""
        self.configuration = load_settings(self.folder / "tiltmeter.yaml", environ={})
        self.log = stored_log(self.configuration, self.clock, self.configuration.models)
        self.world = build_world(self.configuration, clock=self.clock, with_channels=False, stored=self.log)
        self.model = self.world.models[MODEL]
        self.scheduler = self.make_scheduler()
        return self

    def make_scheduler(self, holder="one"):
        return Scheduler(self.world, calendar_of(self.configuration), holder=holder, observe_every=timedelta(0))

    def reopen(self):
        self.close()
        return self.open()

    def close(self):
        self.world.state.close()

    def add(self, start, end, *, hourly=12, source=None, version="14", factor=1.0, score=None):
        """Predictions from start to end, spread over each hour; appended as one version of the table."""
        self.append(
            self.predictions(start, end, hourly=hourly, source=source, version=version, factor=factor, score=score)
        )

    def append(self, rows):
        self.log.append("predictions", pa.Table.from_pylist(rows, schema=COLUMNS))

    def predictions(self, start, end, *, hourly=12, source=None, version="14", factor=1.0, score=None):
        rows = []
        step = timedelta(hours=1) / hourly
        at = start
        while at < end:
            self.rows += 1
            name = f"{self.rows:06d}"
            rows.append(
                {
                    "event_id": f"e{name}", "request_id": f"r{name}", "request_date": at.date(), "request_time": at,
                    "source": "api", "model_name": MODEL, "model_version": version, "entity_id": f"lead-{name}",
                    "prediction": self.chance.randrange(100) / 100 if score is None else score, "status_code": 200,
                    "execution_duration_ms": 20.0, "http_route": "POST /score",
                    "f_size": self.chance.lognormvariate(4, 1) * factor,
                    "f_source": source or self.chance.choice(SOURCES), "ingest_time": at,
                }
            )  # fmt: skip
            at += step
        return rows

    def add_traffic(self, start, end, *, every=timedelta(minutes=1), requests=30, errors=0, milliseconds=20.0):
        rows = []
        at = start
        while at < end:
            rows.append(
                {
                    "window_date": at.date(), "window_start": at, "host": "h", "model_name": MODEL,
                    "model_version": "14", "http_route": "POST /score", "code_class": "5xx" if errors else "2xx",
                    "requests": requests, "errors": errors, "latency_bins": [latency_bin(milliseconds)],
                    "latency_counts": [requests],
                    "error_statuses": [500] * bool(errors), "error_exceptions": ["ModelTimeout"] * bool(errors),
                    "error_counts": [errors] * bool(errors),
                }
            )  # fmt: skip
            at += every
        self.log.append("traffic", pa.Table.from_pylist(rows, schema=TRAFFIC.columns))

    def add_job(self, at, *, state="SUCCESS", run="run-1", minutes=9):
        row = {
            "workspace": "w", "job_id": "1", "job_name": "nightly", "run_id": run, "attempt": 0, "task_key": "",
            "start_date": at.date(), "start_time": at, "end_time": at + timedelta(minutes=minutes), "run_ms": 540_000,
            "result_state": state, "life_cycle_state": "TERMINATED", "message": "", "records_in": 900,
            "records_scored": 890, "records_failed": 10, "ingest_time": at,
        }  # fmt: skip
        self.log.append("batch_runs", pa.Table.from_pylist([row], schema=BATCH_RUNS.columns))

    def add_outcomes(self, names, at, *, revenue=100.0):
        rows = [
            {
                "outcome_id": f"o-{name}", "entity_id": name, "model_name": MODEL, "outcome_time": at,
                "converted": True, "revenue": revenue, "currency": "EUR", "recorded_time": at, "ingest_time": at,
            }
            for name in names
        ]  # fmt: skip
        known = set(OUTCOMES.columns.names)
        self.log.append(
            "outcomes", pa.Table.from_pylist([{k: v for k, v in r.items() if k in known} for r in rows],
                                             schema=OUTCOMES.columns)
        )  # fmt: skip

    def pass_time(self, until, *, step=timedelta(minutes=30)):
        """Turn the scheduler at every step up to a moment; the runs."""
        runs = []
        while self.clock.at < until:
            self.clock.pass_(min(step, until - self.clock.at).total_seconds())
            runs.extend(self.scheduler.turn(self.clock.at))
        return runs

    def turn(self):
        return self.scheduler.turn(self.clock.at)

    def windows(self, start, end, grain):
        return [w for w in windows_between(start, end, grain, self.world.zone) if start <= w.start and w.end <= end]


COLUMNS = pa.schema([*PREDICTIONS.columns, ("f_size", pa.float64()), ("f_source", pa.string())])


def judged(runs, monitor, grain=Grain.HOUR):
    """Windows that a monitor judged, in the order in which it did."""
    return [run.window for run in runs if run.monitor == monitor and run.window.grain is grain]
