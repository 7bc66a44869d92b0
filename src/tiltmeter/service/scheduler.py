"""The scheduler: observes new rows, judges what is due, each window once and in order, and lets time pass.

`turn` is one look at the clock and does everything that is due then; `run` repeats it. A simulated clock gives the same
runs as the real one, which is how the demo and the back-fill work.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from tiltmeter.domain.errors import LeaseLost, TiltmeterError
from tiltmeter.domain.window import window_at
from tiltmeter.monitors.registered import MONITORS, REOPENED, SCHEDULE, judged_mark
from tiltmeter.monitors.service_health import Health
from tiltmeter.pipeline import Lateness, judge, observe
from tiltmeter.service.clock_jumps import ClockJumps
from tiltmeter.service.late_rows import LateRows
from tiltmeter.service.live_rules import LIVE, LiveRules
from tiltmeter.service.people import pass_time
from tiltmeter.service.seen_rows import SeenRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from tiltmeter.domain.model import Model
    from tiltmeter.domain.rule import RuleSet
    from tiltmeter.domain.run import Run
    from tiltmeter.domain.window import Grain, Window
    from tiltmeter.ports import Lease, World
    from tiltmeter.service.calendar import Calendar

LEASE = "scheduler"
LEASE_TIME = timedelta(seconds=45)
"""A standby takes over within a minute of the holder's last sign of life (reliability.md, R9)."""

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
    _seen: SeenRows = field(init=False)
    _late: LateRows = field(init=False)
    _live: LiveRules = field(init=False)
    _observed_at: dict[str, datetime] = field(default_factory=dict)
    _judged_until: dict[str, datetime] = field(default_factory=dict)
    _next_due: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    _failing: dict[str, str] = field(default_factory=dict)
    _lease: Lease | None = None
    _stands_by: bool = False

    def __post_init__(self) -> None:
        """Make the parts that share the world."""
        self._seen = SeenRows(self.world)
        self._late = LateRows(self.world.state, self._judged)
        self._live = LiveRules(self.world, self._seen, self._own_health)

    def use(self, rules: RuleSet) -> None:
        """Judge by these rules from the next turn on."""
        self.world = self._seen.world = self._live.world = replace(self.world, rules=rules)

    def _own_health(self) -> Health:
        return self.health()  # asked each time: the service names its own once everything runs

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
        for model in list(self.world.models.values()):  # a model may be found meanwhile
            try:
                runs.extend(self._turn_of(model, now))
            except LeaseLost:
                raise
            except TiltmeterError as error:  # the table of one model is away: the others go on
                failed[model.name] = error
        pass_time(self.world, now)
        self._report(failed)
        return runs

    def _turn_of(self, model: Model, now: datetime) -> list[Run]:
        self._observe(model, now)
        runs = self._reopened(model, now)
        runs.extend(self._calendar_windows(model, now))
        live = self._live.judge(model, now, self._lease)
        return [*runs, live] if live else runs

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
        # Renewed after a third of its time: two renewals may fail before a standby takes over. A clock that went back
        # renews at once.
        if held is not None and self.lease_time * 2 / 3 < held.expires_at - now <= self.lease_time:
            return True
        taken = self._lease = self.world.state.take_lease(LEASE, self.holder, now=now, ttl=self.lease_time)
        if taken is None or held is None or taken.fencing != held.fencing:
            self._forget()  # somebody else may have judged in between
        self._say_lease(held, taken)
        return taken is not None

    def _say_lease(self, held: Lease | None, taken: Lease | None) -> None:
        if taken is not None and (held is None or taken.fencing != held.fencing):
            log.info("lease_taken", lease=LEASE, holder=self.holder, fencing=taken.fencing)
            self._stands_by = False
        elif taken is None and held is not None:
            log.warning("lease_lost", lease=LEASE, holder=self.holder, fencing=held.fencing)
        if taken is None and not self._stands_by:
            log.info("standing_by", lease=LEASE, holder=self.holder, what="another process judges; this one takes over")
            self._stands_by = True

    def _forget(self) -> None:
        self._judged_until.clear()
        self._next_due.clear()
        self._late.forget()
        self._live.forget()

    def run(self, stop: Event) -> None:
        """Repeat `turn` until told to stop; a failing turn is counted, reported and tried again."""
        failures = 0
        jumps = ClockJumps(self.world.clock)
        while not stop.is_set():
            started = self.world.clock.monotonic()
            try:
                if jumps.is_settled():
                    self.turn(self.world.clock.now())
                failures = 0
            except LeaseLost as error:
                log.warning("lease_lost", lease=LEASE, holder=self.holder, error=str(error))
                self._lease = None
                self._forget()
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
        for model in list(self.world.models.values()):  # a model may be found meanwhile
            for grain, monitors in SCHEDULE.items():
                for monitor in monitors:
                    window = next(self._due(model, monitor, grain, now), None)
                    if window is not None:
                        oldest = max(oldest, (now - self._ready_at(model, window, now)).total_seconds())
        return oldest

    def _ready_at(self, model: Model, window: Window, now: datetime) -> datetime:
        """From when a due window can be judged: one whose rows did not come waits for them first."""
        due, newest = self.calendar.due_at(window), self._seen.newest(model, now)
        has_come = newest is None or newest >= window.end
        return due if has_come else max(due, window.end + self.calendar.wait)

    # ---- new rows

    def _observe(self, model: Model, now: datetime) -> None:
        last = self._observed_at.get(model.name)
        if last is not None and timedelta(0) <= now - last < self.observe_every:
            return
        seen = observe(model, self.world, announce=lambda hours: self._late.announce(model, hours))
        self._observed_at[model.name] = now
        if seen.hours:
            self._seen.add(model, seen.hours, now)
            log.info("window_profiled", model=model.name, hours=len(seen.hours), version=seen.version)

    def _reopened(self, model: Model, now: datetime) -> list[Run]:
        """Judge again what was judged before these rows came, as far back as the horizon allows."""
        hours = self._late.waiting(model)
        if not hours:
            return []
        runs: list[Run] = []
        for grain, monitors in SCHEDULE.items():
            for name in (monitor for monitor in monitors if monitor in REOPENED):
                judged_until = self._watermark(name, model, grain)
                if judged_until is None:
                    continue
                windows = {window_at(hour, grain, self.world.zone) for hour in hours if hour < judged_until}
                for window in sorted(w for w in windows if w.end <= judged_until and now - w.end <= self.reopen_for):
                    late = Lateness(is_late=True)
                    run = judge(MONITORS.load(name), model, window, self.world, lease=self._lease, lateness=late)
                    runs.extend([run] if run else [])
        self._late.done(model)
        return runs

    def _judged(self, model: Model) -> datetime | None:
        """End of the newest window that any monitor judged."""
        marks = (self._watermark(name, model, grain) for grain, names in SCHEDULE.items() for name in names)
        return max((mark for mark in marks if mark is not None), default=None)

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
            if run is not None or not waiting[grain, name]:  # a year without rows is one write, not ten thousand
                self.world.state.set_watermark(mark, window.end.isoformat())
            self._judged_until[mark] = window.end
            if run is not None:
                log.info("window_judged", monitor=name, model=model.name, grain=str(grain), end=window.end.isoformat())
                yield run

    def _due(self, model: Model, monitor: str, grain: Grain, now: datetime) -> Iterator[Window]:
        mark = judged_mark(monitor, model.name, grain)
        asked, due = self._next_due.get(mark, (now, now))
        if asked <= now < due:
            return
        after = self._watermark(monitor, model, grain) or self._seen.first(model, now)
        if after is None:
            return
        # A clock that was ahead for a while left its mark in the future: from now on it goes by the clock again.
        after = min(after, window_at(now, grain, self.world.zone).start)
        self._next_due[mark] = now, self.calendar.due_at(window_at(after, grain, self.world.zone))
        newest = self._seen.newest(model, now)
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


__all__ = ["LEASE", "LIVE", "Scheduler"]
