"""The shipper's figures: rows a second with read-back, memory, and what the 2,000th commit costs beside the 200th.

    python benchmarks/ship.py [--rows 200000] [--commits 2000] [--json]

Everything runs in one process; CPU time is that of the process, so that a busy machine does not change it much.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import structlog

from spools import fill, request
from tables import prediction_rows
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog

FLOOR_ROWS = 20_000
CEILING_MIB = 400
CEILING_RATIO = 1.3


class RealClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


def throughput(rows: int) -> dict[str, float]:
    """Rows a CPU second from sealed segments to removed ones, read back, traffic written."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder, "spool")
        fill(spool, (request(n) for n in range(rows)))
        shipper = Shipper(spool, DeltaLog(Path(folder, "tables"), RealClock()), {}, RealClock())
        cpu, wall = time.process_time(), time.monotonic()
        shipped = shipper.ship_once(flush=True)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        assert shipped.predictions == rows
    return {"rows": rows, "rows_per_cpu_second": rows / cpu, "rows_per_second": rows / wall}


def commit_cost(commits: int) -> dict[str, float]:
    """Median cost of commits 100-200 and of the last hundred, the table opened fresh for each."""
    spent = []
    with tempfile.TemporaryDirectory() as folder:
        log = DeltaLog(Path(folder, "tables"), RealClock())
        rows = prediction_rows(200)
        for number in range(commits):
            begun = time.process_time()
            log.append("predictions", rows, {"slot": number})
            spent.append((time.process_time() - begun) * 1000)
    early, late = median(spent[100:200]), median(spent[-100:])
    return {"commits": commits, "early_ms": early, "late_ms": late, "ratio": late / early}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--commits", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    found = {"throughput": throughput(asked.rows)}
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found["commits"] = commit_cost(asked.commits)
    if asked.json:
        print(json.dumps(found))
        return
    through, cost = found["throughput"], found["commits"]
    print(f"rows per CPU second   {through['rows_per_cpu_second']:8.0f}   floor {FLOOR_ROWS}")
    print(f"rows per second       {through['rows_per_second']:8.0f}")
    print(f"peak memory           {found['peak_mib']:8d} MiB   ceiling {CEILING_MIB}")
    print(f"commits 100-200       {cost['early_ms']:8.1f} ms CPU")
    print(f"last 100 of {cost['commits']:<5}      {cost['late_ms']:8.1f} ms CPU, {cost['ratio']:.2f} x, ceiling 1.3")


if __name__ == "__main__":
    main()
