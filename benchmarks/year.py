"""A year without drift on an accelerated clock: every warning or critical it raises is a false one.

    python benchmarks/year.py [--days 365] [--start 0] [--leads 2000] [--requests 40]

Sixty features of a company whose weekdays, nights, seasons and campaigns are what they always were, while it grows to
three times its size. The scheduler, its monitors, the default rules and the outbox are those of the service; profiles
and traffic are kept in memory. Limit: at most 3 false warnings or criticals a year at defaults.

Effects, in standard deviations of a numeric feature: weekends 0.2, nights 0.15, season ± 0.15; a category moves by up
to 5 points with the weekday and 3 with the season. Volume: nights, weekends at a third, summer and winter at 80 %,
growth × 3 over the year, and a campaign of 1 to 6 hours at 3 to 8 times the volume every three weeks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import structlog

from tiltmeter.config.rules import load_rules
from tiltmeter.demo.clock import SimulatedClock
from tiltmeter.demo.remembering import RememberingState
from tiltmeter.demo.replay import Replay
from tiltmeter.domain.cohort import Cohort
from tiltmeter.domain.feature import ColumnRoles
from tiltmeter.domain.model import Model
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.traffic import TrafficState, latency_bin
from tiltmeter.domain.window import Grain
from tiltmeter.engines.local.engine import LocalEngine
from tiltmeter.ports import World
from tiltmeter.service.calendar import Calendar
from tiltmeter.service.scheduler import Scheduler
from tiltmeter.service.sender import Sender
from tiltmeter.state.sql import SqlStateStore
from tiltmeter.store.baselines import Sources, StoredBaselines

LIMIT = 3
ZONE = ZoneInfo("Europe/Berlin")
BEGIN = datetime(2026, 1, 4, 23, tzinfo=UTC)  # a Monday, 00:00 in Berlin
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NUMERIC, CATEGORIES, BOOLEANS = 38, 18, 4
CAMPAIGN_EVERY = 21
MODEL = Model("quiet-company")


@dataclass(frozen=True)
class Table:
    """An Arrow table as Rows."""

    table: pa.Table
    version: int | None = 1
    name: str = "predictions"

    @property
    def schema(self) -> pa.Schema:
        """As the port."""
        return self.table.schema

    def count(self) -> int:
        """As the port."""
        return self.table.num_rows

    def batches(self, columns=None):
        """As the port."""
        yield from (self.table if columns is None else self.table.select(list(columns))).combine_chunks().to_batches()


class Company:
    """Its leads and requests, hour by hour; the same for the same seed, whatever part of the year is played."""

    def __init__(self, leads: int, requests: int, seed: int) -> None:
        self.leads, self.requests, self.seed = leads, requests, seed
        rng = np.random.default_rng(seed)
        self.shape = rng.integers(0, 5, NUMERIC)
        self.weekend = np.where(rng.random(NUMERIC) < 0.5, rng.choice([-0.2, 0.2], NUMERIC), 0.0)
        self.night = np.where(rng.random(NUMERIC) < 0.3, rng.choice([-0.15, 0.15], NUMERIC), 0.0)
        self.season = np.where(rng.random(NUMERIC) < 0.4, rng.choice([-0.15, 0.15], NUMERIC), 0.0)
        self.missing = np.where(rng.random(NUMERIC) < 0.4, rng.uniform(0.01, 0.3, NUMERIC), 0.0)
        self.levels = rng.choice([3, 5, 8, 20, 60, 300], CATEGORIES)
        self.campaigns = {
            CAMPAIGN_EVERY * n + int(rng.integers(0, 5)): (
                int(rng.integers(8, 15)),
                int(rng.integers(1, 7)),
                rng.uniform(3, 8),
            )
            for n in range(1, 60)
        }

    def rate(self, at: datetime) -> float:
        """Leads an hour."""
        local, day = at.astimezone(ZONE), (at - BEGIN) / DAY
        of_day = 0.15 + 1.7 * np.exp(-(((local.hour - 13.5) / 4.5) ** 2))
        of_week = 0.33 if local.weekday() >= 5 else 1.0
        of_year = 0.9 + 0.1 * np.cos(4 * np.pi * day / 365)
        growth = 3.0 ** (day / 365)
        first, hours, times = self.campaigns.get(int(day), (0, 0, 1.0))
        burst = times if first <= local.hour < first + hours else 1.0
        return self.leads / 24 * of_day * of_week * of_year * growth * burst

    def day(self, number: int) -> pa.Table:
        """All leads of a day with their features."""
        rng = np.random.default_rng((self.seed, number))
        start = BEGIN + number * DAY
        counts = [rng.poisson(self.rate(start + n * HOUR)) for n in range(24)]
        hour = np.repeat(np.arange(24), counts)
        n = hour.size
        times = np.sort(hour * 3_600_000_000 + rng.integers(0, 3_600_000_000, n)) + int(start.timestamp()) * 1_000_000
        local_hour = (hour + 0) % 24
        is_weekend = (start + HOUR * 12).astimezone(ZONE).weekday() >= 5
        season = np.sin(2 * np.pi * number / 365)
        is_night = (local_hour < 7) | (local_hour > 20)
        columns: dict[str, pa.Array] = {
            "__time": pa.array(times, pa.timestamp("us", tz="UTC")),
            "__version": pa.array(["14"] * n),
        }
        for place in range(NUMERIC):
            move = self.weekend[place] * is_weekend + self.night[place] * is_night + self.season[place] * season
            columns[f"n{place:02d}"] = self._numeric(rng, place, rng.normal(0, 1, n) + move)
        for place in range(CATEGORIES):
            columns[f"c{place:02d}"] = self._category(rng, place, n, is_weekend=is_weekend, season=season)
        for place in range(BOOLEANS):
            columns[f"b{place}"] = pa.array(rng.random(n) < 0.1 + 0.2 * place + 0.03 * is_weekend)
        columns["__score"] = pa.array(1 / (1 + np.exp(2.4 - rng.normal(0, 1, n) - 0.1 * is_weekend)))
        return pa.table(columns)

    def _numeric(self, rng, place: int, z: np.ndarray) -> pa.Array:
        shapes = (
            lambda: z * 12 + 50,
            lambda: np.exp(z * 0.8 + 3),
            lambda: np.where(rng.random(z.size) < 0.7, 0.0, np.exp(z + 2)),
            lambda: np.floor(np.exp(z * 0.5 + 1)),
            lambda: np.round(z, 1),
        )
        value = shapes[self.shape[place]]()
        gone = rng.random(z.size) < self.missing[place]
        return pa.array(value, mask=gone)

    def _category(self, rng, place: int, n: int, *, is_weekend: bool, season: float) -> pa.Array:
        size = int(self.levels[place])
        weight = 1 / np.arange(1, size + 1) ** 1.1
        weight /= weight.sum()
        # What the first level gains, all others lose in proportion.
        first = weight[0] + 0.05 * is_weekend + 0.03 * season
        weight[1:] *= (1 - first) / (1 - weight[0])
        weight[0] = first
        codes = rng.choice(size, n, p=weight)
        return pa.DictionaryArray.from_arrays(
            pa.array(codes.astype(np.int32)), pa.array([f"l{k}" for k in range(size)])
        )

    def minutes(self, number: int) -> np.ndarray:
        """Requests of every minute of a day."""
        rng = np.random.default_rng((self.seed, number, 1))
        start = BEGIN + number * DAY
        return np.concatenate([rng.poisson(self.requests * self.rate(start + n * HOUR) / 60, 60) for n in range(24)])


_BINS = [latency_bin(ms) for ms in (12, 18, 25, 34, 46, 62, 85, 120, 180, 320, 700)]
_SHARES = np.array([0.06, 0.12, 0.2, 0.2, 0.16, 0.11, 0.07, 0.043, 0.02, 0.013, 0.004])


@dataclass
class YearLog:
    """The log of the company: rows come day by day, traffic when it is asked for."""

    company: Company
    now: SimulatedClock
    until: int = 0
    _minutes: OrderedDict[int, np.ndarray] = field(default_factory=OrderedDict)

    def version(self, _name: str) -> int:
        """As the port."""
        return self.until

    def new_rows(self, _model, since):
        """As the port."""
        first = since or 0
        tables = [self.company.day(n) for n in range(first, self.until)]
        return Table(
            pa.concat_tables(tables, promote_options="permissive") if tables else self.company.day(0).slice(0, 0),
            self.until,
        )

    def rows(self, _model, window):
        """As the port."""
        first, last = int((window.start - BEGIN) / DAY), -int((BEGIN - window.end) // DAY)
        return Table(pa.concat_tables([self.company.day(n) for n in range(first, last)]))

    def first_row(self, _model):
        """As the port."""
        return BEGIN

    def cohort(self, _model, _window, _until):
        """As the port."""
        empty = np.array([], dtype=float)
        return Cohort(empty, empty.astype(bool), empty, empty.astype(int))

    def batch_runs(self, _since):
        """As the port."""
        return []

    def traffic(self, model, window):
        """As the port."""
        first = int((window.start - BEGIN) / timedelta(minutes=1))
        last = int((window.end - BEGIN) / timedelta(minutes=1))
        if window.grain is Grain.LIVE:
            counts = [(max(first, 0), sum(self._count(m) for m in range(max(first, 0), last)))]
        else:
            counts = [(m, self._count(m)) for m in range(max(first, 0), last)]
        return [self._state(model, m, requests) for m, requests in counts if requests]

    def _count(self, minute: int) -> int:
        number, place = divmod(minute, 1440)
        if number not in self._minutes:
            self._minutes[number] = self.company.minutes(number)
            while len(self._minutes) > 40:
                self._minutes.popitem(last=False)
        return int(self._minutes[number][place])

    def _state(self, model: str, minute: int, requests: int) -> TrafficState:
        rng = np.random.default_rng((self.company.seed, minute, requests))
        spread = rng.multinomial(requests, _SHARES)
        latency = {place: int(count) for place, count in zip(_BINS, spread, strict=True) if count}
        errors = int(rng.binomial(requests, 0.001))
        return TrafficState(
            BEGIN + timedelta(minutes=minute), "h", model, "14", "POST /score", "2xx", requests, errors, latency
        )


@dataclass
class RecentStates:
    """Profiles of the last weeks in memory."""

    keep: timedelta = timedelta(days=9)
    hourly: dict = field(default_factory=dict)
    mark: int | None = None
    low: datetime | None = None

    def append(self, states, *, source_version):
        """As the port."""
        for key, profile in states.items():
            place = key.model_version, key.segment_key, key.segment_value
            kept = self.hourly.setdefault(place, {})
            kept[key.window_start] = kept[key.window_start] + profile if key.window_start in kept else profile
        self.mark = source_version
        newest = max(max(kept) for kept in self.hourly.values())
        self.low = self.low or min(min(kept) for kept in self.hourly.values())
        for kept in self.hourly.values():
            for start in [s for s in kept if s < newest - self.keep]:
                del kept[start]

    def watermark(self, _model, _bins_id):
        """As the port."""
        return self.mark

    def hours(self, _model, _bins_id, window, *, version="", segment=("", ""), **_more):
        """As the port."""
        kept = self.hourly.get((version, *segment), {})
        return {start: kept[start] for start in sorted(kept) if start in window}

    def total(self, model, bins_id, window, **part):
        """As the port."""
        total = None
        for profile in self.hours(model, bins_id, window, **part).values():
            total = profile if total is None else total + profile
        return total

    def span(self, _model, _bins_id, *, within=None):
        """As the port."""
        kept = [s for s in self.hourly.get(("", "", ""), {}) if within is None or s in within]
        return (self.low, max(kept) + HOUR) if kept else None

    def subjects(self, _model, _bins_id):
        """As the port."""
        return [], []


class WithoutNumbers(RememberingState):
    """A state store that keeps alerts, and of the numbers only what later turns ask for."""

    def commit(self, run, *, lease=None):
        """As the port."""
        kept = tuple(m for m in run.metrics if m.name == "serving.capacity_rps")
        return super().commit(replace(run, metrics=kept), lease=lease)


def build(arguments, folder: Path) -> tuple[World, YearLog, SimulatedClock, WithoutNumbers]:
    clock = SimulatedClock(BEGIN)
    log = YearLog(Company(arguments.leads, arguments.requests, arguments.seed), clock)
    state = WithoutNumbers(SqlStateStore("sqlite:state.db", clock, home=folder))
    states, engine = RecentStates(), LocalEngine()

    def roles(_model, _rows):
        """As the port."""
        return ColumnRoles(ignore=("__time", "__version"), score="__score")

    sources = Sources(lambda _place, _model: None, log.rows, log.first_row, roles, lambda bins: bins)
    baselines = StoredBaselines(folder, engine, states, state, sources, ZONE)
    world = World(clock, ZONE, engine, log, states, baselines, state, {MODEL.name: MODEL}, load_rules(None))
    return world, log, clock, state


def play(arguments, folder: Path) -> Counter:
    world, log, clock, state = build(arguments, folder)
    calendar = Calendar(ZONE, {Grain.HOUR: "5 * * * *", Grain.DAY: "0 6 * * *", Grain.WEEK: "0 7 * * 1"}, 2 * HOUR)
    scheduler = Scheduler(
        world, calendar, holder="year", observe_every=timedelta(0), lease_time=timedelta(days=3 * (arguments.days + 30))
    )
    replay = Replay(clock, scheduler, Sender(state, {}, clock, paced=False), state)
    if arguments.start:  # the baseline is the first week of the year, whatever part of it is played
        clock.shown = BEGIN + 8 * DAY
        world.baselines.bins(MODEL, clock.shown)
        world.states.mark = arguments.start
        log.until = arguments.start
    told: set[str] = set()
    for number in range(arguments.start, arguments.start + arguments.days):
        log.until = number + 1
        replay.run(BEGIN + number * DAY, BEGIN + (number + 1) * DAY)
        for alert in replay.episodes.latest.values():
            if alert.id not in told:
                told.add(alert.id)
                print(f"  {_said(alert, alert.severity)}", file=sys.stderr, flush=True)
        if number % 7 == 6:
            print(f"  week {number // 7 + 1}: {len(told)} alerts so far", file=sys.stderr, flush=True)
    found = Counter(replay.episodes.worst[alert] for alert in replay.episodes.latest)
    for alert in sorted(replay.episodes.latest.values(), key=lambda alert: alert.fired_at):
        if replay.episodes.worst[alert.id] >= Severity.WARNING or arguments.all:
            print(_said(alert, replay.episodes.worst[alert.id]))
    state.close()
    return found


def _said(alert, severity: Severity) -> str:
    """One line of the list of alerts."""
    value = "–" if alert.peak is None else f"{alert.peak:.3g}"
    effect = alert.metric.details.get("effect", "") if alert.metric else ""
    return (
        f"{alert.fired_at:%a %d %b %H:%M} {severity.word:8} {alert.rule:14} {alert.subject.feature:6} {value} {effect}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--start", type=int, default=0, help="first day played; the baseline is the first week always")
    parser.add_argument("--leads", type=int, default=2_000, help="a day at the beginning")
    parser.add_argument("--requests", type=int, default=40, help="requests for each lead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="list info alerts too")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    started, spent = time.monotonic(), time.process_time()
    with TemporaryDirectory() as folder:
        found = play(arguments, Path(folder))
    false = found[Severity.WARNING] + found[Severity.CRITICAL]
    print(
        f"{arguments.days} days, {NUMERIC + CATEGORIES + BOOLEANS} features: {found[Severity.CRITICAL]} critical, "
        f"{found[Severity.WARNING]} warning, {found[Severity.INFO]} info; limit {LIMIT} false warnings or criticals: "
        f"{'kept' if false <= LIMIT else 'MISSED'} "
        f"({time.monotonic() - started:.0f} s, {time.process_time() - spent:.0f} s CPU)"
    )
    return 0 if false <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
