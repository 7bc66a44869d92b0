"""A home of many features and three months, as the monitors leave it: written through the real store, quickly."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tiltmeter.config.load import load_settings
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.run import Run
from tiltmeter.domain.traffic import TrafficState, latency_bin
from tiltmeter.domain.window import Grain, Window
from tiltmeter.engines.local import open_rows
from tiltmeter.monitors.drift import drift_metrics
from tiltmeter.monitors.traffic import traffic_metrics
from tiltmeter.profiling.kernel import profile_rows
from tiltmeter.statistics.comparison import compare
from tiltmeter.wiring import build_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tiltmeter.domain.metric import Metric

MODEL, DAYS, ROWS = "lead-scoring", 90, 2_000
_WIDE = 60
"""Above this many features an hour keeps three numbers of each: what the pages read, on a disk of ordinary size."""

_HOURLY = ("drift.psi", "features.missing_share", "features.mean")
_CONFIGURATION = f"""
version: 1
home: .
models:
  {MODEL}: {{baselines: {{training: {{data: training.parquet}}}}}}
channels: {{}}
routes: [{{severity: info, to: [dashboard]}}, {{severity: warning, to: [dashboard]}},
  {{severity: critical, to: [dashboard]}}]
"""


def build(folder: Path, *, features: int) -> Path:
    """Write configuration, baseline and the numbers of every hour and day; the path of the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tiltmeter.yaml"
    path.write_text(_CONFIGURATION, encoding="utf-8")
    rng = np.random.default_rng(5)
    pq.write_table(_table(rng, features), folder / "training.parquet")
    pq.write_table(_table(rng, features, shift=0.3), folder / "day.parquet")
    world = build_world(load_settings(path, environ={}), with_channels=False)
    model = world.models[MODEL]
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    reference = world.baselines.judging(model, Window(end - timedelta(hours=1), end, Grain.HOUR))
    found = compare(reference, profile_rows(open_rows(str(folder / "day.parquet")), reference.bins))
    daily = drift_metrics(found, subject=Subject(MODEL), window=Window(end - timedelta(days=1), end, Grain.DAY))
    keeps_all = features <= _WIDE
    hourly = [m for m in daily if (keeps_all and m.name.startswith(("features.", "drift.psi"))) or m.name in _HOURLY]
    start = end - timedelta(days=DAYS)
    for day in range(DAYS):
        first = start + timedelta(days=day)
        metrics = tuple(_day(rng, first, daily, hourly))
        window = Window(first, first + timedelta(days=1), Grain.DAY)
        world.state.commit(Run("features", MODEL, window, window.end, 1, metrics))
    world.state.close()
    return path


def _table(rng: np.random.Generator, features: int, *, shift: float = 0.0) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for which in range(features):
        if which % 3:
            columns[f"number_{which:03d}"] = pa.array(rng.lognormal(3 + (shift if which % 7 == 1 else 0), 1, ROWS))
        else:
            columns[f"category_{which:03d}"] = pa.array(rng.choice([f"level-{n}" for n in range(12)], ROWS))
    return pa.table({**columns, "score": pa.array(rng.beta(1, 9, ROWS))})


def _day(rng: np.random.Generator, first: datetime, daily: list[Metric], hourly: list[Metric]) -> Iterator[Metric]:
    yield from _moved(rng, daily, Window(first, first + timedelta(days=1), Grain.DAY))
    for hour in range(24):
        window = Window(first + timedelta(hours=hour), first + timedelta(hours=hour + 1), Grain.HOUR)
        yield from _moved(rng, hourly, window)
        counts = {
            latency_bin(value): int(n)
            for value, n in zip((8.0, 20.0, 60.0, 150.0), rng.integers(1, 400, 4), strict=True)
        }
        total = sum(counts.values())
        for route in ("POST /score", "POST /score-many"):
            state = TrafficState(window.start, "h", MODEL, "14", route, "2xx", total, 0, counts)
            other = replace(state, http_route="GET /x")
            yield from traffic_metrics(
                [state, other], model=MODEL, window=window, latency_target=timedelta(milliseconds=200)
            )


def _moved(rng: np.random.Generator, metrics: list[Metric], window: Window) -> Iterator[Metric]:
    """The numbers of another window: each a little different."""
    factors = rng.uniform(0.5, 1.5, len(metrics))
    for metric, factor in zip(metrics, factors.tolist(), strict=True):
        yield replace(metric, window=window, value=None if metric.value is None else metric.value * factor)
