"""Stored hourly states: their size, and a month of them to all drift results, from memory, from bytes, from a table.

    python benchmarks/states.py

Limits: under 25 KB an hour of 30 features at 1,389 to 13,889 rows, as they lie in the table; 720 hours × 30 features
summed and held against the baseline, every statistic of every feature, in under 50 ms in memory, 250 ms from bytes.
From the table means opened anew, with a file a day, without sums of days and with them, as a service keeps them.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import job
from tiltmeter.demo.clock import SimulatedClock
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.profile import Profile
from tiltmeter.domain.window import Grain, Window
from tiltmeter.engines.local import open_rows
from tiltmeter.ports import StateKey
from tiltmeter.profiling import codec
from tiltmeter.profiling.distinct import STORED, STORED_ENTITIES
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.kernel import Counter, profile_rows
from tiltmeter.statistics.comparison import compare
from tiltmeter.store.states import DeltaProfileStates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tiltmeter.domain.comparison import Comparison
    from tiltmeter.domain.profile import FeatureProfile

HOURS, DIFFERENT = 720, 24
START = datetime(2026, 3, 1, tzinfo=UTC)
MONTH = Window(START, START + timedelta(hours=HOURS), Grain.WEEK)
LIMIT_KB, LIMIT_MEMORY_MS, LIMIT_DISK_MS = 25.0, 50.0, 250.0


def least(action: Callable[[], object], repeats: int = 7) -> float:
    """CPU milliseconds, the least of several runs."""
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        spent.append(time.process_time() - started)
    return min(spent) * 1e3


def results(
    reference: Reference,
    states: Mapping[str, Sequence[bytes]],
    summed: Callable[[Sequence[bytes]], FeatureProfile],
) -> Comparison:
    """Every number of a month of states."""
    features = {name: summed(listed) for name, listed in states.items()}
    return compare(reference, Profile(reference.bins.bins_id, features["n00"].rows, features))


def store(folder: str, reference: Reference, hours: Sequence[Profile]) -> DeltaProfileStates:
    """A month of hours, appended a day at a time: the files that a compaction leaves."""
    states = DeltaProfileStates(folder, SimulatedClock(MONTH.end + timedelta(days=4)))
    for day in range(HOURS // 24):
        keys = [
            StateKey(START + timedelta(hours=24 * day + hour), Grain.HOUR, "m", bins_id=reference.bins.bins_id)
            for hour in range(24)
        ]
        states.append(dict(zip(keys, hours, strict=True)), source_version=None)
    return states


def from_table(folder: str, reference: Reference) -> Comparison:
    """Every number of a month, from a table that is opened anew."""
    states = DeltaProfileStates(folder, SimulatedClock(MONTH.end + timedelta(days=4)))
    total = states.total("m", reference.bins.bins_id, MONTH)
    assert total is not None
    return compare(reference, total)


def of_table(reference: Reference, hours: Sequence[Profile]) -> tuple[float, float, float]:
    """KB an hour, and ms without and with sums of days."""
    with TemporaryDirectory() as folder:
        states = store(folder, reference, hours)
        size = sum(path.stat().st_size for path in Path(folder).rglob("grain=hour/**/*.parquet")) / HOURS / 1e3
        plain = least(lambda: from_table(folder, reference))
        assert states.store_day_sums(MONTH.end + timedelta(days=4)) == HOURS // 24
        return size, plain, least(lambda: from_table(folder, reference))


def main() -> int:
    rows = open_rows(job.file(500_000, seed=3, shift=0.0))
    bins = fit_bins(rows, ColumnRoles())
    reference = Reference("baseline", "b", bins, profile_rows(rows, bins))
    counter = Counter(bins, STORED, STORED_ENTITIES)
    kept = True
    print(
        f"{'rows an hour':>12} {'KB an hour':>11} {'count ms':>9} {'memory ms':>10} {'bytes ms':>9} {'table ms':>9} "
        f"{'day sums ms':>12} {'statistics':>11}"
    )
    for rows in (1_389, 13_889):
        hours = []
        for seed in range(DIFFERENT):
            batch = job.table(rows, seed=seed, shift=0.1).combine_chunks().to_batches()[0]
            hours.append(counter.count(counter.plain(batch)))
        states = {name: [codec.encode_plain(hour.features[name]) for hour in hours] for name in job.FEATURES}
        month = {name: listed * (HOURS // DIFFERENT) for name, listed in states.items()}
        inflated = {name: [codec.inflate(state) for state in listed] for name, listed in month.items()}
        counting = least(lambda: counter.count(counter.plain(batch)))  # noqa: B023 - called at once
        memory = least(lambda: results(reference, inflated, codec.sum_inflated))  # noqa: B023 - called at once
        disk = least(lambda: results(reference, month, codec.sum_features))  # noqa: B023 - called at once
        size, table, summed_days = of_table(reference, hours)
        summed = Profile(bins.bins_id, 1, {name: codec.sum_features(listed) for name, listed in month.items()})
        statistics = least(lambda: compare(reference, summed))  # noqa: B023 - called at once
        kept = kept and size < LIMIT_KB and memory < LIMIT_MEMORY_MS and disk < LIMIT_DISK_MS
        print(
            f"{rows:>12,} {size:>11.1f} {counting:>9.1f} {memory:>10.1f} {disk:>9.1f} {table:>9.1f} "
            f"{summed_days:>12.1f} {statistics:>11.1f}"
        )
    print(f"limits {LIMIT_KB} KB, {LIMIT_MEMORY_MS} ms, {LIMIT_DISK_MS} ms: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
