"""The scheduler: observes new rows, judges what is due, each window once and in order, and lets time pass.

`turn` is one look at the clock and does everything that is due then; `run` repeats it. A simulated clock gives the same
runs as the real one, which is how the demo and the back-fill work.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.registered import MONITORS, SCHEDULE, judged_mark
from tiltmeter.monitors.service_health import Health
from tiltmeter.monitors.serving import (
    known_capacity,
    live_freshness,
    live_health,
    live_jobs,
    live_traffic,
    live_usual_traffic,
)
from tiltmeter.pipeline import Judged, Lateness, conclude, judge, observe
from tiltmeter.service.people import pass_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.rule import Rule
    from tiltmeter.domain.run import Run
    from tiltmeter.monitors.traffic import Capacity
    from tiltmeter.ports import Lease, World
    from tiltmeter.service.calendar import Calendar

LIVE = "live"
"""Name of the runs that judge live rules of all monitors together: one incident may join their signals."""

LEASE = "scheduler"
LEASE_TIME = timedelta(seconds=45)
"""A standby takes over within a minute of the holder's last sign of life (reliability.md, R9)."""

LONGEST_SINCE = timedelta(days=1)
"""After a long stop a rule without a span looks back a day at most."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Scheduler:
    """Runs the monitors of every model.

    Args:
        world: what is judged.
        calendar: when calendar windows are due.
        realtime: how often live rules are looked at, at most.
        reopen_for: how long late rows reopen a judged window.
        holder: name of this process in leases.
        health: what the service knows of itself.
        observe_every: how often the source is asked for new rows.
        lease_time: how long the right to judge is held without a sign of life.
    """

    world: World
    calendar: Calendar
    realtime: timedelta = timedelta(seconds=10)
    reopen_for: timedelta = timedelta(hours=72)
    holder: str = "scheduler"
    health: Callable[[], Health] = Health
    observe_every: timedelta = timedelta(seconds=30)
    lease_time: timedelta = LEASE_TIME
    _live_at: dict[tuple[str, str], datetime] = field(default_factory=dict)
    _observed_at: dict[str, datetime] = field(default_factory=dict)
    _newest: dict[str, datetime] = field(default_factory=dict)
    _judged_until: dict[str, datetime] = field(default_factory=dict)
    _next_due: dict[str, datetime] = field(default_factory=dict)
    _capacities: dict[str, tuple[datetime, Capacity]] = field(default_factory=dict)
    _failing: dict[str, str] = field(default_factory=dict)
    _lease: Lease | None = None

    def turn(self, now: datetime) -> list[Run]:
        """Everything that is due now.

        Returns:
            The committed runs, in order. Empty while another process holds the lease.

        Raises:
            TiltmeterError: no model could be looked at.
        """
        if not self._holds_lease(now):
            return []
        runs: list[Run] = []
        failed: dict[str, TiltmeterError] = {}
        for model in self.world.models.values():
            try:
                runs.extend(self._reopened(model, self._observe(model, now), now))
                runs.extend(self._calendar_windows(model, now))
                runs.extend(self._live(model, now))
            except TiltmeterError as error:  # the table of one model is away: the others go on
                failed[model.name] = error
        pass_time(self.world, now)
        self._report(failed)
        return runs

    def _report(self, failed: dict[str, TiltmeterError]) -> None:
        """Say what fails, once; where everything fails, the turn does."""
        if failed and len(failed) == len(self.world.models):
            raise next(iter(failed.values()))
        for name, error in failed.items():
            if self._failing.get(name) != str(error):
                log.warning("model_failed", model=name, error=str(error))
        self._failing = {name: str(error) for name, error in failed.items()}

    def _holds_lease(self, now: datetime) -> bool:
        held = self._lease
        # Renewed after a third of its time: two renewals may fail before a standby takes over.
        if held is not None and now < held.expires_at - 2 * self.lease_time / 3:
            return True
        self._lease = self.world.state.take_lease(LEASE, self.holder, now=now, ttl=self.lease_time)
        if self._lease is None or held is None or self._lease.fencing != held.fencing:
            self._judged_until.clear()  # somebody else may have judged in between
            self._next_due.clear()
        return self._lease is not None

    def run(self, stop: Event) -> None:
        """Repeat `turn` until told to stop; a failing turn is counted, reported and tried again."""
        failures = 0
        while not stop.is_set():
            started = self.world.clock.monotonic()
            try:
                self.turn(self.world.clock.now())
                failures = 0
            except Exception as error:  # one of the three places that must survive
                failures += 1
                is_known = isinstance(error, TiltmeterError)
                log.warning("turn_failed", failures=failures, error=str(error), exc_info=not is_known)
            spent = self.world.clock.monotonic() - started
            # A database that stays away is asked less and less often, at most once a minute.
            pause = self.realtime.total_seconds() * min(2 ** min(failures, 3), 6)
            stop.wait(max(0.05, pause - spent))
        if self._lease is not None:
            self.world.state.release_lease(self._lease)

    def lag(self, now: datetime) -> float:
        """Age in seconds of the oldest due window that is not judged."""
        oldest = 0.0
        for model in self.world.models.values():
            for grain, monitors in SCHEDULE.items():
                for monitor in monitors:
                    window = next(self._due(model, monitor, grain, now), None)
                    if window is not None:
                        oldest = max(oldest, (now - self.calendar.due_at(window)).total_seconds())
        return oldest

    # ---- new rows

    def _observe(self, model: Model, now: datetime) -> tuple[datetime, ...]:
        last = self._observed_at.get(model.name)
        if last is not None and timedelta(0) <= now - last < self.observe_every:
            return ()
        self._observed_at[model.name] = now
        seen = observe(model, self.world)
        if seen.hours:
            ended = seen.hours[-1] + timedelta(hours=1)
            self._newest[model.name] = max(self._newest.get(model.name, ended), ended)
            log.info("window_profiled", model=model.name, hours=len(seen.hours), version=seen.version)
        return seen.hours

    def _reopened(self, model: Model, hours: tuple[datetime, ...], now: datetime) -> list[Run]:
        """Judge again what was judged before these rows came, as far back as the horizon allows."""
        runs: list[Run] = []
        for grain, monitors in SCHEDULE.items():
            for name in monitors:
                judged_until = self._watermark(name, model, grain)
                if judged_until is None:
                    continue
                windows = {window_at(hour, grain, self.world.zone) for hour in hours if hour < judged_until}
                for window in sorted(w for w in windows if w.end <= judged_until and now - w.end <= self.reopen_for):
                    late = Lateness(is_late=True)
                    run = judge(MONITORS.load(name), model, window, self.world, lease=self._lease, lateness=late)
                    runs.extend([run] if run else [])
        return runs

    # ---- calendar windows

    def _calendar_windows(self, model: Model, now: datetime) -> Iterator[Run]:
        due = [
            (window.end, grain, name, window)
            for grain, monitors in SCHEDULE.items()
            for name in monitors
            for window in self._due(model, name, grain, now)
        ]
        waiting = Counter((grain, name) for _, grain, name, _ in due)
        missed = dict(waiting)
        for _, grain, name, window in sorted(due, key=lambda entry: (entry[0], entry[3].length)):
            waiting[grain, name] -= 1
            # Windows that were missed move the alerts; people hear of the outcome once, with the last one.
            lateness = Lateness(is_catching_up=waiting[grain, name] > 0, late_windows=missed[grain, name] - 1)
            run = judge(MONITORS.load(name), model, window, self.world, lease=self._lease, lateness=lateness)
            # A crash before this line judges the window again, and the store finds that nothing changed.
            mark = judged_mark(name, model.name, grain)
            self.world.state.set_watermark(mark, window.end.isoformat())
            self._judged_until[mark] = window.end
            if run is not None:
                log.info("window_judged", monitor=name, model=model.name, grain=str(grain), end=window.end.isoformat())
                yield run

    def _due(self, model: Model, monitor: str, grain: Grain, now: datetime) -> Iterator[Window]:
        mark = judged_mark(monitor, model.name, grain)
        if now < self._next_due.get(mark, now):
            return
        after = self._watermark(monitor, model, grain) or self._first_row(model)
        if after is None:
            return
        self._next_due[mark] = self.calendar.due_at(window_at(after, grain, self.world.zone))
        newest = self._newest_row(model)
        for window in self.calendar.due(after, now, grain):
            has_come = newest is None or newest >= window.end
            if not has_come and now < window.end + self.calendar.wait:
                return
            yield window

    def _watermark(self, monitor: str, model: Model, grain: Grain) -> datetime | None:
        mark = judged_mark(monitor, model.name, grain)
        if mark not in self._judged_until and (text := self.world.state.watermark(mark)):
            self._judged_until[mark] = datetime.fromisoformat(text)
        return self._judged_until.get(mark)

    def _first_row(self, model: Model) -> datetime | None:
        span = self._span(model)
        return span[0] if span else None

    def _newest_row(self, model: Model) -> datetime | None:
        if model.name not in self._newest:
            span = self._span(model)
            if span is None:
                return None
            self._newest[model.name] = span[1]
        return self._newest[model.name]

    def _span(self, model: Model) -> tuple[datetime, datetime] | None:
        bins = self.world.baselines.bins(model, self.world.clock.now())
        return self.world.states.span(model.name, bins.bins_id) if bins is not None else None

    # ---- live rules

    def _live(self, model: Model, now: datetime) -> Iterator[Run]:
        due: dict[tuple[timedelta, str], list[Rule]] = {}
        for rule in self.world.rules.rules:
            if not isinstance(rule.every, timedelta):
                continue
            last = self._live_at.get((model.name, rule.id))
            if not self._is_turn(model, rule, now):
                continue
            span = self._span_of(model, rule, now, last)
            due.setdefault((span, CATALOGUE[rule.metric].monitor), []).append(rule)
        judged = [
            Judged(self._measure_live(model, Window(now - span, now, Grain.LIVE), monitor, rules), rules)
            for (span, monitor), rules in due.items()
        ]
        if judged:
            window = Window(now - max(span for span, _ in due), now, Grain.LIVE)
            run = conclude(LIVE, model, window, judged, self.world, lease=self._lease, is_live=True)
            if run is not None:
                yield run

    def _is_turn(self, model: Model, rule: Rule, now: datetime) -> bool:
        last = self._live_at.get((model.name, rule.id))
        # A clock that jumped back must not stop the rule until it has caught up.
        if last is not None and timedelta(0) <= now - last < rule.every:  # type: ignore[operator]
            return False
        self._live_at[model.name, rule.id] = now
        return True

    def _span_of(self, model: Model, rule: Rule, now: datetime, last: datetime | None) -> timedelta:
        """The span judged: the rule's own, stretched up to its limit where requests are few.

        A rule without a span of its own judges what came since it was last looked at, so that nothing falls between.
        """
        every: timedelta = rule.every if isinstance(rule.every, timedelta) else self.realtime
        since = now - last if last is not None and last < now else every
        span = rule.over or min(max(every, since), LONGEST_SINCE)
        if CATALOGUE[rule.metric].monitor != "traffic" or not rule.min_rows or rule.over is None:
            return span
        longest = rule.up_to or timedelta(hours=1)
        while span < longest:
            states = self.world.log.traffic(model.name, Window(now - span, now, Grain.LIVE))
            if sum(state.requests for state in states) >= rule.min_rows:
                break
            span = min(span * 2, longest)
        return span

    def _measure_live(self, model: Model, window: Window, monitor: str, rules: list[Rule]) -> list[Metric]:
        wanted = {rule.metric for rule in rules}
        if monitor == "traffic":
            usual = {"serving.share_of_usual_traffic"}
            metrics = (
                live_traffic(model, window, self.world, capacity=self._capacity(model, window.end))
                if wanted - usual
                else []
            )
            return [*metrics, live_usual_traffic(model, window, self.world)] if wanted & usual else metrics
        if monitor == "jobs":
            return live_jobs(model, window, self.world, watched_since=self._first_row(model))
        if monitor == "self":
            return live_health(model, window, self.health())
        if "features.freshness" in wanted:
            return [live_freshness(model, window, newest=self._newest_row(model))]
        return []

    def _capacity(self, model: Model, now: datetime) -> Capacity:
        """Capacity by the judged hours; asked once an hour."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        kept = self._capacities.get(model.name)
        if kept is None or kept[0] != hour:
            kept = self._capacities[model.name] = (hour, known_capacity(self.world, model, now))
        return kept[1]
