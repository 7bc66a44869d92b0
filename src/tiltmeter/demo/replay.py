"""Lets simulated time pass over the history: the scheduler of the service, its rules, its outbox, at their moments."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tiltmeter.demo.clock import SimulatedClock
    from tiltmeter.demo.remembering import RememberingState
    from tiltmeter.domain.alert import Alert
    from tiltmeter.domain.run import Run
    from tiltmeter.service.scheduler import Scheduler
    from tiltmeter.service.sender import Sender

STEP = timedelta(minutes=20)
FINE_STEP = timedelta(minutes=1)
FINE_FOR = timedelta(minutes=10)
"""Time goes in thirds of an hour, and minute by minute while a live alert changes: no live rule judges less than twenty
minutes in two of its windows at the demo's rate."""

_A_DAY = timedelta(days=1)
_PAST_THE_MARK = timedelta(seconds=30)
"""Turns stand half a minute after the full third, so that what became due then is seen at once."""


@dataclass(slots=True)
class Episodes:
    """Every episode of every alert that fired.

    Args:
        latest: alert as it stands now.
        onset: alert as it stood when its breach began.
        worst: highest severity reached.
    """

    latest: dict[str, Alert] = field(default_factory=dict)
    onset: dict[str, Alert] = field(default_factory=dict)
    worst: dict[str, Severity] = field(default_factory=dict)

    def take(self, run: Run) -> None:
        """Add what a run changed."""
        for alert in run.alerts:
            if alert.since is not None:
                self.onset.setdefault(alert.id, alert)
            if alert.fired_at is None:
                continue
            self.latest[alert.id] = alert
            self.worst[alert.id] = max(self.worst.get(alert.id, Severity.NONE), alert.severity)


@dataclass(slots=True)
class Replay:
    """Turns the scheduler through a stretch of time.

    Args:
        clock: the clock that scheduler and sender look at.
        scheduler: as the service runs it.
        sender: as the service runs it, without the receivers' pace.
        state: what both share.
        tell: hears of the simulated moment, for a progress bar.
    """

    clock: SimulatedClock
    scheduler: Scheduler
    sender: Sender
    state: RememberingState
    tell: Callable[[datetime], None] = lambda _moment: None
    episodes: Episodes = field(default_factory=Episodes)
    turns: int = 0

    def run(self, start: datetime, end: datetime) -> Episodes:
        """Let time pass from start to end.

        Args:
            start: a full hour.
            end: the last turn is here.
        """
        moment, fine_until = start + _PAST_THE_MARK, start
        while moment < end:
            # A simulated day is one transaction: the disk is waited for thirty times, not thirty thousand.
            with self.state.transaction():
                midnight = moment + _A_DAY
                while moment < min(end, midnight):
                    if self._turn(moment):
                        fine_until = moment + FINE_FOR
                    moment = self._next(start, moment, is_fine=moment < fine_until)
        with self.state.transaction():
            self._turn(end)
        return self.episodes

    def _next(self, start: datetime, moment: datetime, *, is_fine: bool) -> datetime:
        mark = moment - _PAST_THE_MARK
        coarse = start + STEP * ((mark - start) // STEP + 1)
        return (min(coarse, mark + FINE_STEP) if is_fine else coarse) + _PAST_THE_MARK

    def _turn(self, moment: datetime) -> bool:
        """One look at the clock; whether a live alert changed."""
        self.clock.shown = moment
        changed = False
        for run in self.scheduler.turn(moment):
            self.episodes.take(run)
            changed = changed or run.window.grain is Grain.LIVE
        if self.state.has_mail:
            self.sender.drain_once(moment)
            self.state.mail_is_out()
        self.turns += 1
        if moment.minute == 0:
            self.tell(moment)
        return changed
