"""Pages of 30 features, of a comparison and of a week: time to render, size, time until a browser shows them.

    python benchmarks/report.py

Limits: 150 ms of CPU, 250 KiB, 0.3 s until Chromium has painted the page (the least of five; skipped without one).
Beside them the time of the comparison itself, which a page must not dominate.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

import job
import tiltmeter
from tiltmeter.api.period import JobWeek, Period, ServiceStep
from tiltmeter.domain.alert import Incident, IncidentState
from tiltmeter.domain.cohort import Cohort
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.traffic import ErrorKind
from tiltmeter.domain.window import Grain, Window
from tiltmeter.drawing.style import step_of
from tiltmeter.monitors.cohort_weeks import cohort_weeks
from tiltmeter.monitors.outcomes import outcome_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.api.result import Result

LIMIT_MS, LIMIT_KIB, LIMIT_PAINT_S = 150.0, 250.0, 0.3
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
INCIDENTS = 12
WEEK = timedelta(days=7)
CHROMIUM = next((p for p in ("/usr/bin/chromium", "/usr/bin/google-chrome") if Path(p).exists()), None)


def least(action: Callable[[], object], repeats: int = 7) -> float:
    """CPU milliseconds, the least of several runs."""
    spent = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        spent.append(time.process_time() - started)
    return min(spent) * 1e3


def week_of(found: Result, before: Result) -> Period:
    """A week of 30 features with everything that a report may hold: traffic, errors, outcomes, jobs, incidents."""
    rng = np.random.default_rng(5)
    window = Window(MONDAY, MONDAY + timedelta(days=7), Grain.WEEK)
    days = tuple(Window(MONDAY + timedelta(days=n), MONDAY + timedelta(days=n + 1), Grain.DAY) for n in range(7))
    score = rng.beta(2, 12, 9_000)
    converted = rng.random(score.size) < score
    cohort = Cohort(score, converted, converted * rng.lognormal(7, 1, score.size), np.zeros(score.size, dtype=int))
    judged = [
        outcome_metrics(cohort, subject=Subject("lead-scoring"), window=earlier, threshold=0.3, min_rows=200)
        for earlier in (Window(window.start - n * WEEK, window.end - n * WEEK, Grain.WEEK) for n in range(4))
    ]
    outcomes = {metric.name: metric for metric in judged[0]}
    weeks = cohort_weeks(itertools.chain(*judged), since=window.start - 4 * WEEK, until=window.end)
    service = [ServiceStep(80_000, 120.0 + 10 * n, 0.002, 0.99) for n in range(7)]
    incidents = [
        Incident(
            f"inc_{n:026d}", "lead-scoring", IncidentState.RESOLVED, Severity.NONE, day.start, day.end,
            peak=Severity(1 + n % 3), resolved_at=day.end, title=f"{job.FEATURES[n]} drifted, PSI 0.6{n}",
        )
        for n, day in enumerate((days * 2)[:INCIDENTS])
    ]  # fmt: skip
    psi = {name: rng.exponential(0.15, 7).tolist() for name in job.FEATURES}
    steps = {name: [step_of(value, Severity.CRITICAL if value > 0.5 else Severity.NONE) for value in row]
             for name, row in psi.items()}  # fmt: skip
    return Period(
        model=Model("lead-scoring"), window=window, zone=ZoneInfo("UTC"), steps=days, against_baseline=found,
        against_before=before, psi=psi, psi_steps=steps,
        overall_psi=rng.exponential(0.1, 7).tolist(), service=service, service_total=service[0],
        service_before=service[1], errors=[("POST /score", ErrorKind(500, "ValueError"), 410)], outcomes=outcomes,
        outcomes_before=outcomes, incidents=incidents,
        told={one.id: ["slack", "email"] for one in incidents}, untold={},
        jobs=[JobWeek("nightly", 7, 1, 10_500, days[-1].start)], weeks=weeks,
        rules=found.rules,
    )  # fmt: skip


def paint_s(pages: list[str]) -> list[float] | None:
    """Seconds until Chromium has painted each page, the least of five; None without Chromium or Playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if CHROMIUM is None:
        return None
    asked = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    loaded = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    found = []
    with sync_playwright() as running, tempfile.TemporaryDirectory() as folder:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for number, page in enumerate(pages):
            path = Path(folder) / f"{number}.html"
            path.write_text(page, encoding="utf-8")
            times = []
            for _ in range(5):
                shown = browser.new_page(viewport={"width": 1440, "height": 900})
                shown.goto(path.as_uri())
                while not shown.evaluate(asked):  # the page forbids scripts, also those of `wait_for_function`
                    time.sleep(0.01)
                times.append(max(float(shown.evaluate(asked)), float(shown.evaluate(loaded))))
                shown.close()
            found.append(min(times) / 1e3)
        browser.close()
    return found


def main() -> int:
    before, after = job.table(50_000, seed=1, shift=0.0), job.table(10_000, seed=2, shift=1.0)
    baseline = tiltmeter.Baseline.fit(before)
    profile = baseline.profile(after)
    found = baseline.compare(profile)
    week = week_of(found, baseline.compare(baseline.profile(job.table(10_000, seed=3, shift=0.0))))
    writers = {"comparison": found.to_html, "week": week.to_html, "notebook": found._repr_html_}
    painted = paint_s([found.to_html(), week.to_html()])
    comparing = least(lambda: baseline.compare(profile))
    print(f"features {len(found)}, moved {len(found.drifted)}, comparing {comparing:.1f} ms")
    print(f"{'page':>12} {'CPU ms':>8} {'KiB':>7} {'painted s':>10}")
    missed = False
    for place, (name, write) in enumerate(writers.items()):
        spent, size = least(write), len(write().encode()) / 1024
        seconds = painted[place] if painted is not None and place < len(painted) else None
        print(f"{name:>12} {spent:>8.1f} {size:>7.1f} {'–' if seconds is None else f'{seconds:.3f}':>10}")
        missed |= spent > LIMIT_MS or size > LIMIT_KIB or (seconds or 0.0) > LIMIT_PAINT_S
    print(f"limits {LIMIT_MS:g} ms, {LIMIT_KIB:g} KiB, {LIMIT_PAINT_S:g} s: {'MISSED' if missed else 'kept'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
