"""The shipper's figures: rows a second with read-back, memory, freshness, the 2,000th commit beside a young table's.

    python benchmarks/ship.py [--rows 200000] [--commits 2000] [--json]

Everything runs in one process, and CPU time is that of the process. A busy machine still makes it half as much more, so
what is compared is measured in turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import structlog

from spools import fill, request
from tables import prediction_rows
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.record import encode_record
from tiltmeter.capture.spool import SpoolWriter
from tiltmeter.domain.model import Model
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.store.delta import DeltaLog
from tiltmeter.store.light import leave_pandas_out
from tiltmeter.store.maintenance import MANY_FILES, SMALL_BYTES, compact

if TYPE_CHECKING:
    import pyarrow as pa

FLOOR_ROWS = 20_000
CEILING_MIB = 286  # 300 MB
CEILING_RATIO = 1.3
COMMITS_A_ROUND, ROUNDS_AN_HOUR = 180, 4
LIVE_SECONDS, TABLE_SECONDS = 2.0, 10.0


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


class KeptTable:
    """A table that `serve` keeps small: its rounds are those of an hour of commits every five seconds."""

    def __init__(self, folder: Path) -> None:
        self.log, self.spent = DeltaLog(folder, RealClock()), list[float]()

    def commit(self, rows: pa.Table) -> None:
        """Append, timed; small files each quarter of an hour and all files at its end are merged, not timed."""
        begun = time.process_time()
        self.log.append("predictions", rows, {"slot": len(self.spent)})
        self.spent.append((time.process_time() - begun) * 1000)
        rounds, left = divmod(len(self.spent), COMMITS_A_ROUND)
        if not left and rounds % ROUNDS_AN_HOUR:
            compact(self.log.table("predictions"), target_bytes=SMALL_BYTES, from_files=MANY_FILES)
        elif not left:
            compact(self.log.table("predictions"))


def commit_cost(commits: int) -> dict[str, float]:
    """Mean cost of a table's last hundred commits beside commits 100-200 of a young one, checkpoints included.

    The last ones are made in turns with the young table's: the speed of the machine changes within minutes.
    """
    rows = prediction_rows(200)
    with tempfile.TemporaryDirectory() as folder:
        old, young = KeptTable(Path(folder, "old")), KeptTable(Path(folder, "young"))
        for number in range(commits):
            old.commit(rows)
            if number >= commits - 200:
                young.commit(rows)
    early, late = fmean(young.spent[100:200]), fmean(old.spent[-100:])
    return {"commits": commits, "early_ms": early, "late_ms": late, "ratio": late / early}


def freshness(seconds: float) -> dict[str, float]:
    """Seconds from `put` until a record is in the live numbers and in the table, at the shipper's defaults."""
    put_at: list[float] = []
    seen: dict[str, list[float]] = {"live": [], "table": []}
    with tempfile.TemporaryDirectory() as folder:
        spool, log = Path(folder, "spool"), DeltaLog(Path(folder, "tables"), RealClock())
        writer, stop = SpoolWriter(spool, budget=Budget(10**12, 0.0)), threading.Event()
        shipper = Shipper(spool, log, {}, RealClock())
        fill(spool, [request(-1, at=datetime.now(UTC))])  # tables, imports and the slot are there before it begins
        shipper.ship_once(flush=True)
        running = threading.Thread(target=shipper.run, args=(stop,))
        running.start()
        model, end = Model("lead-scoring"), time.monotonic() + seconds
        while len(seen["table"]) < len(put_at) or time.monotonic() < end:
            now = time.monotonic()
            if now < end:
                writer.put(encode_record(request(len(put_at), at=datetime.now(UTC))))
                put_at.append(now)
            live = sum(state.requests for state in shipper.live.states()) - 1
            stored = (log.new_rows(model, None).count() or 0) - 1
            for name, count in (("live", live), ("table", stored)):
                seen[name] += [now - at for at in put_at[len(seen[name]) : count]]
            time.sleep(0.05)
        stop.set()
        running.join()
        writer.close()
    return {
        f"{name}_{word}_s": of(found) for name, found in seen.items() for word, of in (("p50", median), ("max", max))
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--commits", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    leave_pandas_out()  # as `ship` and `serve` do
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    found = {"throughput": throughput(asked.rows)}
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    found["fresh"] = freshness(30.0)
    found["commits"] = commit_cost(asked.commits)
    kept = (
        found["throughput"]["rows_per_cpu_second"] >= FLOOR_ROWS
        and found["peak_mib"] < CEILING_MIB
        and found["commits"]["ratio"] <= CEILING_RATIO
        and found["fresh"]["live_max_s"] <= LIVE_SECONDS
        and found["fresh"]["table_max_s"] <= TABLE_SECONDS
    )
    if asked.json:
        print(json.dumps(found))
        return 0 if kept else 1
    through, cost = found["throughput"], found["commits"]
    print(f"rows per CPU second   {through['rows_per_cpu_second']:8.0f}   floor {FLOOR_ROWS}")
    print(f"rows per second       {through['rows_per_second']:8.0f}")
    print(f"peak memory           {found['peak_mib']:8d} MiB   ceiling {CEILING_MIB}")
    print(f"young table, 100-200  {cost['early_ms']:8.1f} ms CPU")
    print(f"last 100 of {cost['commits']:<5}      {cost['late_ms']:8.1f} ms CPU, {cost['ratio']:.2f} x, ceiling 1.3")
    fresh = found["fresh"]
    for name, ceiling in (("live", LIVE_SECONDS), ("table", TABLE_SECONDS)):
        middle, most = fresh[f"{name}_p50_s"], fresh[f"{name}_max_s"]
        print(f"visible in: {name:10}{middle:8.1f} s, at most {most:.1f}   ceiling {ceiling:g}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
