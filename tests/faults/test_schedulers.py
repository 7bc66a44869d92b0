"""Several schedulers by mistake: each window once, one alert, and somebody takes over within a minute."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from company import MODEL, Company
from tiltmeter.domain.window import Grain, window_at
from tiltmeter.ports import MetricQuery
from waiting import until

HOUR = timedelta(hours=1)
WORKER = str(Path(__file__).parent / "scheduler_worker.py")


def started(company, holder, *, lease=3.0):
    with (company.folder / f"{holder}.log").open("w") as out:
        return subprocess.Popen(
            [sys.executable, WORKER, str(company.folder), holder, str(lease)], stdout=out, stderr=out
        )


def events(company, holder):
    lines = (company.folder / f"{holder}.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def said(company, holder, event):
    return [line for line in events(company, holder) if line["event"] == event]


def company_of_the_last_hours(folder, *, hours=6, **more):
    now = window_at(datetime.now(UTC), Grain.HOUR, company_zone()).start
    company = Company(folder, at=now, **more)
    company.add(now - hours * HOUR, now + HOUR, source="partner-x", hourly=60)
    return company


def company_zone():
    from zoneinfo import ZoneInfo

    return ZoneInfo("UTC")


def judged(company):
    with sqlite3.connect(company.folder / "state.db") as raw:
        rows = raw.execute(
            "SELECT monitor, window_start, window_end, repeats FROM runs WHERE grain = 'hour'"
        ).fetchall()
    raw.close()
    return rows


def ended(processes):
    for process in processes:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
    for process in processes:
        process.wait(30)


@pytest.mark.parametrize("copies", [2, pytest.param(5, marks=pytest.mark.faults)])
def test_copies_judge_each_window_once_and_the_others_stand_by(tmp_path, copies):
    company = company_of_the_last_hours(tmp_path)
    names = [f"copy-{n}" for n in range(copies)]
    processes = [started(company, name, lease=20.0) for name in names]
    try:
        until(lambda: sum(r[0] == "features" for r in judged(company)) >= 5 and any(
            said(company, name, "standing_by") for name in names))  # fmt: skip
        until(lambda: sum(bool(said(company, name, "standing_by")) for name in names) == copies - 1)
    finally:
        ended(processes)
    windows = Counter(row[:3] for row in judged(company))
    assert set(windows.values()) == {1}
    assert sum(row[3] for row in judged(company)) == 0, "no window was judged a second time"
    company.reopen()
    numbers = company.world.state.metrics(MetricQuery(metric="features.rows", grain=Grain.HOUR))
    assert len(numbers) == len({m.window.end for m in numbers})
    alerts = [a for a in company.world.state.alerts(MODEL, open_only=False).values() if a.rule == "new_levels"]
    assert len(alerts) == 1
    told = [d for d in company.world.state.deliveries() if d.message.channel == "dashboard"]
    assert len(told) == len({d.message.incident for d in told})
    company.close()


@pytest.mark.parametrize("way", ["kill", "pause"])
def test_a_standby_takes_over_and_a_holder_that_wakes_up_writes_nothing(tmp_path, way):
    company = company_of_the_last_hours(tmp_path)
    first = started(company, "first")
    processes = [first]
    try:
        until(lambda: said(company, "first", "window_judged"))
        second = started(company, "second")
        processes.append(second)
        until(lambda: said(company, "second", "standing_by"))
        os.kill(first.pid, signal.SIGKILL if way == "kill" else signal.SIGSTOP)
        stopped = time.monotonic()
        until(lambda: said(company, "second", "lease_taken"))
        assert time.monotonic() - stopped < 10, "three seconds of lease, and the next look"
        fencing = said(company, "second", "lease_taken")[0]["fencing"]
        assert fencing > said(company, "first", "lease_taken")[0]["fencing"]
        if way == "pause":
            os.kill(first.pid, signal.SIGCONT)
            until(lambda: said(company, "first", "standing_by"))
            assert said(company, "first", "lease_lost")
    finally:
        ended(processes)
    assert set(Counter(row[:3] for row in judged(company)).values()) == {1}
    company.close()
