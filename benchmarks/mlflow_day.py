"""A day of 300 metrics into a real MLflow server: as the series run takes it, as a summary run, and the bare client.

python benchmarks/mlflow_day.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow_server import mlflow_server
from tiltmeter.domain.model import Model
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ingest.mlflow import Tracking
from tiltmeter.service.mlflow_runs import MlflowRuns

DAYS = 20
LIMIT_MS = 150.0
NUMBERS = {f"group_{n % 10}/feature {n}": n / 7 for n in range(300)}
FILES = {"report.html": b"x" * 150_000, "features.json": b"{}" * 5_000, "states/window.tmb": b"y" * 100_000}


def milliseconds(work) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def series(runs: MlflowRuns, day: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    runs.extend_series(Model("m"), Window(start, start + timedelta(days=1), Grain.DAY), "1", NUMBERS)


def summary(tracking: Tracking, day: int, files: dict[str, bytes]) -> None:
    tags = {"tiltmeter.kind": "summary", "tiltmeter.window": f"day {day} {len(files)}"}
    assert not tracking.find_runs("m/monitoring", tags)
    run_id = tracking.start_run("m/monitoring", f"day {day}", tags, 1)
    tracking.log(run_id, NUMBERS, step=day, at_ms=day, tags={"severity": "none"})
    if files:
        tracking.upload(run_id, files)
    tracking.end_run(run_id, 2)


def bare(client, experiment: str, day: int) -> None:
    from mlflow.entities import Metric

    run = client.create_run(experiment)
    client.log_batch(run.info.run_id, [Metric(name, value, day, day) for name, value in NUMBERS.items()])
    client.set_terminated(run.info.run_id)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder)) as address:
        from mlflow import MlflowClient

        client, tracking = MlflowClient(address, address), Tracking(address)
        experiment = client.create_experiment("bare")
        runs = MlflowRuns(SimpleNamespace(zone=UTC), tracking)  # all that extending a series asks of a world
        series(runs, 0)  # the experiment and the run are made once
        took: dict[str, list[float]] = {name: [] for name in ("bare run", "series", "summary", "summary with files")}
        for day in range(1, DAYS + 1):
            took["bare run"].append(milliseconds(lambda day=day: bare(client, experiment, day)))
            took["series"].append(milliseconds(lambda day=day: series(runs, day)))
            took["summary"].append(milliseconds(lambda day=day: summary(tracking, day, {})))
            took["summary with files"].append(milliseconds(lambda day=day: summary(tracking, day, FILES)))
    floor = median(took["bare run"])
    print("| 300 metrics of a day | median ms | of a bare run |\n|---|---|---|")
    for name, values in took.items():
        print(f"| {name} | {median(values):.0f} | {median(values) / floor:.2f} |")
    kept = median(took["series"]) < LIMIT_MS
    print(f"limit: series under {LIMIT_MS:.0f} ms: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
