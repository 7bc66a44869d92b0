"""A month's drift question to a year of stored hourly states: one version, or one segment, from tables on disk.

    python benchmarks/month.py

Limit: 0.2 s of CPU with day sums stored, opening the tables included: what a page asks when nothing is kept in memory.
The year holds 8,760 hours of 30 features: all rows, one version and one segment (24 different hours, again and
again). It is written once, which takes minutes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import job
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.window import Grain, Window
from tiltmeter.engines.local import open_rows
from tiltmeter.ports import StateKey
from tiltmeter.profiling.distinct import STORED, STORED_ENTITIES
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import Counter, profile_rows
from tiltmeter.statistics.comparison import compare
from tiltmeter.store.states import DeltaProfileStates
from tiltmeter.wiring import SystemClock

LIMIT_S = 0.2
START = datetime(2025, 1, 1, tzinfo=UTC)
DAYS, DIFFERENT, ROWS = 365, 24, 1_389
SLICES = (("", "", ""), ("14", "", ""), ("", "source", "web"))


def reference() -> Reference:
    rows = open_rows(job.file(100_000, seed=3, shift=0.0))
    bins = fit_bins(rows, ColumnRoles())
    return Reference("training", "b1", bins, profile_rows(rows, bins))


def fill(folder: Path, baseline: Reference) -> None:
    """Twelve appends of hourly states, then the day sums that the service makes every night."""
    bins = baseline.bins
    counter = Counter(bins, STORED, STORED_ENTITIES)
    hours = []
    for seed in range(DIFFERENT):
        batch = job.table(ROWS, seed=seed, shift=0.1).combine_chunks().to_batches()[0]
        hours.append(counter.count(counter.plain(batch)))
    states = DeltaProfileStates(folder, SystemClock())
    for first in range(0, DAYS, 31):
        made = {
            StateKey(START + timedelta(days=day, hours=hour), Grain.HOUR, "m", *part, bins.bins_id): hours[hour]
            for day in range(first, min(DAYS, first + 31))
            for hour in range(24)
            for part in SLICES
        }
        states.append(made, source_version=first)
    states.store_day_sums(START + timedelta(days=DAYS + 7))


def asked(
    folder: Path, baseline: Reference, month: Window, version: str, segment: tuple[str, str]
) -> tuple[float, int]:
    """CPU seconds of the question to tables that nothing has opened yet, and the rows it counted."""
    states = DeltaProfileStates(folder, SystemClock())
    started = time.process_time()
    total = states.total("m", baseline.bins.bins_id, month, version=version, segment=segment)
    assert total is not None
    compare(baseline, total, now=month.end)
    return time.process_time() - started, total.rows


def main() -> int:
    baseline = reference()
    worst = 0.0
    folder = job.FOLDER / f"year-{baseline.bins.bins_id}"
    if not folder.exists():
        draft = Path(tempfile.mkdtemp(dir=job.FOLDER))
        fill(draft, baseline)
        draft.rename(folder)
    first = START + timedelta(days=181, hours=5)  # cut inside a day, as in every zone but UTC
    month = Window(first, first + timedelta(days=30), Grain.LIVE)
    print(f"{'question':28} {'rows':>10} {'CPU s':>7}")
    for what, version, segment in (
        ("all rows", "", ("", "")),
        ("one version", "14", ("", "")),
        ("one segment", "", ("source", "web")),
    ):
        found = [asked(folder, baseline, month, version, segment) for _ in range(5)]
        assert found[0][1] == 30 * 24 * ROWS
        worst = max(worst, min(found)[0])
        print(f"{what:28} {found[0][1]:>10,} {min(found)[0]:>7.3f}")
    print(f"limit {LIMIT_S} s: {'kept' if worst < LIMIT_S else 'MISSED'}")
    return 0 if worst < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
