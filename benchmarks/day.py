"""A day of 1,000,000 predictions × 30 features through everything that runs by itself: CPU seconds.

    python benchmarks/day.py [rows]

Every hour its rows are appended (not counted), profiled by version, and judged by the hourly monitors; the daily
monitors follow at midnight. Limit: 4 s of CPU for observing and judging together. What a service does once in its life,
making the baseline and loading the compiled kernel (about half a second), is not counted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import job
from tiltmeter.config.load import load_settings
from tiltmeter.domain.window import Grain, window_at
from tiltmeter.monitors.registered import MONITORS, SCHEDULE
from tiltmeter.pipeline import judge, observe
from tiltmeter.profiling.kernel import compiled_kernel
from tiltmeter.store.schema import PREDICTIONS
from tiltmeter.wiring import build_world, stored_log

if TYPE_CHECKING:
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import World

LIMIT_S = 4.0
DAY = datetime(2026, 3, 10, tzinfo=UTC)
CONFIGURATION = """
version: 1
home: .
timezone: UTC
models:
  scoring:
    routes: {"POST /score": {features: "$", entity_id: lead_id, prediction: response.score}}
    baselines: {training: {data: training.parquet}}
channels: {}
routes:
  - {severity: info, to: [dashboard]}
  - {severity: warning, to: [dashboard]}
  - {severity: critical, to: [dashboard]}
"""


class Clock:
    """Simulated time."""

    at = DAY

    def now(self) -> datetime:
        """As set."""
        return self.at

    def monotonic(self) -> float:
        """Of the same clock."""
        return self.at.timestamp()


def predictions(rows: int, hour: int) -> pa.Table:
    """The rows of one hour as the shipper would append them."""
    rng = np.random.default_rng(hour)
    start = DAY + timedelta(hours=hour)
    micros = np.sort(rng.integers(0, 3_600_000_000, rows)) + int(start.timestamp() * 1e6)
    ids = pa.array([f"{hour}-{n}" for n in range(rows)])
    filled = {
        "event_id": ids,
        "request_id": ids,
        "entity_id": ids,
        "request_date": pa.array([start.date()] * rows),
        "request_time": pa.array(micros, pa.timestamp("us", tz="UTC")),
        "source": pa.array(["api"] * rows),
        "model_name": pa.array(["scoring"] * rows),
        "model_version": pa.array(["14"] * rows),
        "prediction": pa.array(rng.beta(2, 8, rows)),
        "status_code": pa.array(np.full(rows, 200, dtype=np.int32)),
        "execution_duration_ms": pa.array(rng.lognormal(3, 0.4, rows)),
        "http_route": pa.array(["POST /score"] * rows),
        "ingest_time": pa.array(micros, pa.timestamp("us", tz="UTC")),
    }
    columns = {
        field.name: filled.get(field.name, pa.nulls(rows, field.type)).cast(field.type) for field in PREDICTIONS.columns
    }
    features = job.table(rows, seed=hour)
    return pa.table(columns | {f"f_{name}": features.column(name) for name in features.schema.names})


def home(folder: Path) -> tuple[World, Clock]:
    path = folder / "tiltmeter.yaml"
    path.write_text(CONFIGURATION, encoding="utf-8")
    training = job.table(100_000, seed=99)
    scores = pa.array(np.random.default_rng(5).beta(2, 8, training.num_rows))
    pq.write_table(training.append_column("score", scores), folder / "training.parquet")
    configuration, clock = load_settings(path, environ={}), Clock()
    log = stored_log(configuration, clock, configuration.models)
    return build_world(configuration, clock=clock, with_channels=False, stored=log), clock


def judged(world: World, window: Window) -> tuple[float, int]:
    """CPU seconds of the monitors of one window, and the numbers they kept."""
    started = time.process_time()
    runs = [judge(MONITORS.load(name), world.models["scoring"], window, world) for name in SCHEDULE[window.grain]]
    return time.process_time() - started, sum(len(run.metrics) for run in runs if run is not None)


def main(rows: int) -> int:
    spent = {"observe": 0.0, "hourly monitors": 0.0, "daily monitors": 0.0}
    with tempfile.TemporaryDirectory(prefix="tiltmeter-day-") as folder:
        world, clock = home(Path(folder))
        model, hourly_numbers = world.models["scoring"], 0
        assert world.baselines.bins(model, clock.now()) is not None, "the baseline is made once"
        compiled_kernel()
        for hour in range(24):
            world.log.inner.append("predictions", predictions(rows // 24, hour))  # type: ignore[attr-defined]
            clock.at = DAY + timedelta(hours=hour + 1)
            started = time.process_time()
            observe(model, world)
            spent["observe"] += time.process_time() - started
            took, numbers = judged(world, window_at(clock.at - timedelta(minutes=1), Grain.HOUR, world.zone))
            spent["hourly monitors"] += took
            hourly_numbers += numbers
        took, numbers = judged(world, window_at(DAY, Grain.DAY, world.zone))
        spent["daily monitors"] += took
        world.state.close()
    total = sum(spent.values())
    for what, seconds in spent.items():
        print(f"{what:18} {seconds:7.2f} CPU s")
    print(f"{'together':18} {total:7.2f} CPU s for {rows:,} rows, {hourly_numbers} hourly and {numbers} daily numbers")
    print(f"limit {LIMIT_S} s: {'kept' if total < LIMIT_S else 'MISSED'}")
    return 0 if total < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
