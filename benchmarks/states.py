"""Stored hourly states: their size, and a month of them summed, from memory and from disk.

    python benchmarks/states.py

Limits: under 25 KB an hour of 30 features at 1,389 to 13,889 rows; 720 hours × 30 features summed in under 50 ms in
memory, 250 ms from bytes. The drift statistics themselves are part of both limits and come on top of what is shown.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import job
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.engines.local import open_rows
from tiltmeter.profiling import codec
from tiltmeter.profiling.distinct import STORED, STORED_ENTITIES
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import Counter

if TYPE_CHECKING:
    from collections.abc import Callable

HOURS, DIFFERENT = 720, 24
LIMIT_KB, LIMIT_MEMORY_MS, LIMIT_DISK_MS = 25.0, 50.0, 250.0


def least(action: Callable[[], object], repeats: int = 7) -> float:
    """CPU milliseconds, the least of several runs."""
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        spent.append(time.process_time() - started)
    return min(spent) * 1e3


def main() -> int:
    bins = fit_bins(open_rows(job.file(500_000, seed=3, shift=0.0)), ColumnRoles())
    counter = Counter(bins, STORED, STORED_ENTITIES)
    kept = True
    print(f"{'rows an hour':>12} {'KB an hour':>11} {'count ms':>9} {'sum in memory ms':>17} {'sum from bytes ms':>18}")
    for rows in (1_389, 13_889):
        hours = []
        for seed in range(DIFFERENT):
            batch = job.table(rows, seed=seed, shift=0.1).combine_chunks().to_batches()[0]
            hours.append(counter.count(counter.plain(batch)))
        states = {name: [codec.encode_feature(hour.features[name]) for hour in hours] for name in job.FEATURES}
        size = sum(len(state) for listed in states.values() for state in listed) / DIFFERENT / 1e3
        month = {name: listed * (HOURS // DIFFERENT) for name, listed in states.items()}
        inflated = {name: [codec.inflate(state) for state in listed] for name, listed in month.items()}
        counting = least(lambda: counter.count(counter.plain(batch)))  # noqa: B023 - called at once
        memory = least(lambda: [codec.sum_inflated(listed) for listed in inflated.values()])  # noqa: B023 - called at once
        disk = least(lambda: [codec.sum_features(listed) for listed in month.values()])  # noqa: B023 - called at once
        kept = kept and size < LIMIT_KB and memory < LIMIT_MEMORY_MS and disk < LIMIT_DISK_MS
        print(f"{rows:>12,} {size:>11.1f} {counting:>9.1f} {memory:>17.1f} {disk:>18.1f}")
    print(f"limits {LIMIT_KB} KB, {LIMIT_MEMORY_MS} ms, {LIMIT_DISK_MS} ms: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
