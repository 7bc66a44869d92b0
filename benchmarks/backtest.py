"""A year of hours of sixty features through the default rules, from profiles in memory and from stored states.

    python benchmarks/backtest.py [--hours 2000] [--stored 168]

Limits: 20 s of CPU for 8,760 hours × 60 features, in proportion for fewer, and eight times as quick as the same windows
with each of them described, as a rule on a metric that columns do not hold makes it (`features.mean`). Ten seconds are
19 µs for a feature and window; laying its counts beside the others', adding them up and holding them against the
baseline take 7 to 11 µs of NumPy alone on 1,000 bins, the objects that are kept of it 2 µs, and what an incident has
to say is described. One week in twelve holds an incident in all shifted features, so that alerts open, last and
resolve; one hour in a hundred has no rows. Stored states are those of an installation that
was never compacted: a file an hour.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

import job
from tiltmeter.api.backtest import replay
from tiltmeter.api.baseline import Baseline
from tiltmeter.api.history import stored_windows
from tiltmeter.config.rules import load_rules
from tiltmeter.demo.clock import SimulatedClock
from tiltmeter.domain.rule import Limit, Rule, RuleSet
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ports import StateKey
from tiltmeter.store.states import DeltaProfileStates

if TYPE_CHECKING:
    from tiltmeter.domain.profile import Profile

DIFFERENT, ROWS, LIMIT_SECONDS, LEAST_RATIO = 48, 1_000, 20.0, 8.0
YEAR, DEFAULT_HOURS, DEFAULT_STORED, DESCRIBED = 8_760, 2_000, 168, 100
UTC_ZONE = ZoneInfo("UTC")
EVERY_WINDOW = Rule("mean", "features.mean", {Severity.INFO: Limit(above=1e300)}, by=("feature",))


def table(rows: int, *, seed: int, shift: float) -> pa.Table:
    """Forty numbers and twenty categories: the job twice, under two names."""
    one, two = job.table(rows, seed=seed, shift=shift), job.table(rows, seed=seed + 500, shift=0.0)
    return pa.table(
        {name: one[name] for name in one.schema.names} | {f"second_{name}": two[name] for name in two.schema.names}
    )


def history(baseline: Baseline, hours: int) -> list[tuple[Window, Profile | None]]:
    """Hours of a year; some of them drift, one in a hundred is empty."""
    quiet = [baseline.profile(table(ROWS, seed=1_000 + i, shift=0.0)) for i in range(DIFFERENT)]
    loud = [baseline.profile(table(ROWS, seed=2_000 + i, shift=1.0)) for i in range(DIFFERENT // 4)]
    start = datetime(2025, 11, 1, tzinfo=UTC)
    found: list[tuple[Window, Profile | None]] = []
    for hour in range(hours):
        window = Window(start + timedelta(hours=hour), start + timedelta(hours=hour + 1), Grain.HOUR)
        incident = hour % 2_000 in range(500, 668)
        profile = None if hour % 100 == 99 else (loud[hour % len(loud)] if incident else quiet[hour % len(quiet)])
        found.append((window, profile))
    return found


def read_stored(baseline: Baseline, windows: list[tuple[Window, Profile | None]]) -> float:
    """CPU seconds of reading these windows from a store of hourly states."""
    bins_id = baseline.bins.bins_id
    with TemporaryDirectory() as folder:
        clock = SimulatedClock(windows[-1][0].end)
        states = DeltaProfileStates(folder, clock)
        for window, profile in windows:
            if profile is not None:
                states.append({StateKey(window.start, Grain.HOUR, "m", bins_id=bins_id): profile}, source_version=None)
        opened, started = DeltaProfileStates(folder, clock), time.process_time()
        for _ in stored_windows(opened, "m", bins_id, [window for window, _ in windows]):
            pass
        return time.process_time() - started


def replay_seconds(baseline: Baseline, windows: list[tuple[Window, Profile | None]], rules: RuleSet) -> float:
    """CPU seconds of judging these windows."""
    started = time.process_time()
    replay(baseline.reference, windows, rules, zone=UTC_ZONE)
    return time.process_time() - started


def main(arguments: list[str]) -> int:
    """Run and print one row."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--hours", type=int, default=DEFAULT_HOURS)
    options.add_argument("--stored", type=int, default=DEFAULT_STORED)
    chosen = options.parse_args(arguments)
    baseline = Baseline.fit(table(20_000, seed=1, shift=0.0))
    windows = history(baseline, chosen.hours)
    rules = load_rules(None)
    replay(baseline.reference, windows[:20], rules, zone=UTC_ZONE)  # everything is imported and prepared
    wall, cpu = time.perf_counter(), time.process_time()
    found = replay(baseline.reference, windows, rules, zone=UTC_ZONE)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    features = len(baseline.reference.bins.features)
    limit = LIMIT_SECONDS * chosen.hours / YEAR
    print(f"{'hours':>6} {'features':>9} {'alerts':>7} {'messages':>9} {'CPU s':>7} {'wall s':>7} {'µs a feature':>13}")
    each = cpu / chosen.hours / features * 1e6
    alerts = sum(found.alerts.values())
    print(f"{chosen.hours:>6,} {features:>9} {alerts:>7} {found.messages:>9} {cpu:>7.1f} {wall:>7.1f} {each:>13.1f}")
    described = replay_seconds(baseline, windows[:DESCRIBED], replace(rules, rules=(*rules.rules, EVERY_WINDOW)))
    ratio = described / min(DESCRIBED, chosen.hours) / (cpu / chosen.hours)
    print(f"with every window described: {described / min(DESCRIBED, chosen.hours) * 1e3:.1f} ms each, {ratio:.1f} x")
    stored = read_stored(baseline, windows[: chosen.stored])
    print(
        f"reading {chosen.stored:,} stored hours: {stored:.1f} s of CPU, {stored / chosen.stored * 1e3:.1f} ms an hour"
    )
    is_kept = cpu <= limit and ratio >= LEAST_RATIO
    print(f"limits {limit:.2g} s of CPU and {LEAST_RATIO:.0f} x: {'kept' if is_kept else 'MISSED'}")
    return 0 if is_kept else 1


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    sys.exit(main(sys.argv[1:]))
