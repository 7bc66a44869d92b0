"""The dead-man's switch: a process of its own that pages when the monitoring itself has gone quiet.

It shares nothing with the service but the state database, which it reads, and it pages with a routing key of its own.
Whether the machine is alive is for the outside address to notice, which is pinged only while the beat is fresh.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from threading import Event

from tiltmeter.channels import _http
from tiltmeter.domain.errors import DeliveryError, TiltmeterError
from tiltmeter.domain.message import Content, Message, MessageKind
from tiltmeter.domain.severity import Severity
from tiltmeter.ports import Channel, Clock

_REPEAT_S = 300.0  # while it lasts; PagerDuty makes one incident of it
_PING_TIMEOUT_S = 10.0
PAGE_KEY = "tiltmeter-watchdog"
COMPONENT = "alerts"
"""Under this name the heartbeat writes its beat."""


class MachineClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


class Pulse(StrEnum):
    """What a look at the beat found."""

    FRESH = "fresh"
    STALE = "stale"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one look.

    Args:
        pulse: how the beat stands.
        age: of the last beat; since the watchdog's start when none was ever seen.
        paged: a page went out.
        why: an error in words, empty when all is well.
    """

    pulse: Pulse
    age: timedelta
    paged: bool = False
    why: str = ""


class Watchdog:
    """Looks, pages, pings.

    Args:
        last_beat: reads the time of the last beat, None before the first; may raise `TiltmeterError`.
        clock: time.
        page_after: age of the beat from which it pages.
        pager: channel with the watchdog's own key; None only pings.
        ping: outside address that must hear regularly; empty for none.
    """

    def __init__(
        self,
        last_beat: Callable[[], datetime | None],
        clock: Clock,
        *,
        page_after: timedelta = timedelta(minutes=5),
        pager: Channel | None = None,
        ping: str = "",
    ) -> None:
        self._last_beat = last_beat
        self._clock = clock
        self._page_after = page_after
        self._pager = pager
        self._ping = ping
        self._seen_at = clock.monotonic()
        self._beat: datetime | None = None
        self._paged_at: float | None = None
        self._thread: dict[str, str] = {}
        self._sequence = 0

    def check(self) -> Check:
        """One look; pages when the beat is too old, pings when it is fresh."""
        why = ""
        try:
            beat = self._last_beat()
        except TiltmeterError as error:
            beat, why = self._beat, str(error)
        moment = self._clock.monotonic()
        if beat is not None and beat != self._beat:
            # A beat that moved is fresh by this clock, however far the two machines' clocks are apart; a beat that was
            # already old when it was first seen is as old as it says.
            first_look = self._beat is None
            old = max(0.0, (self._clock.now() - beat).total_seconds()) if first_look else 0.0
            self._beat, self._seen_at = beat, moment - old
        age = timedelta(seconds=moment - self._seen_at)
        if age > self._page_after:
            paged, failure = self._page(age, why, moment)
            return Check(Pulse.UNREADABLE if why else Pulse.STALE, age, paged, failure or why)
        failure = self._recover() or self._tell_outside()
        return Check(Pulse.UNREADABLE if why else Pulse.FRESH, age, why=why or failure)

    def run(self, stop: Event, *, every: timedelta, tell: Callable[[Check], None]) -> None:
        """Look again and again until told to stop."""
        while not stop.is_set():
            tell(self.check())
            stop.wait(every.total_seconds())

    def _page(self, age: timedelta, why: str, moment: float) -> tuple[bool, str]:
        if self._pager is None or (self._paged_at is not None and moment - self._paged_at < _REPEAT_S):
            return False, ""
        minutes = age.total_seconds() / 60
        content = Content(
            f"Tiltmeter has been silent for {minutes:.0f} minutes: alerts may not be sent",
            effect="The synthetic alert that goes through rules, outbox and sender every minute does not arrive.",
            facts={"Last beat": "never seen" if self._beat is None else f"{self._beat:%Y-%m-%d %H:%M:%S} UTC"}
            | ({"Database": why} if why else {}),
            actions=("Look at the log of tiltmeter serve and restart it", "Run tiltmeter doctor"),
        )
        failure = self._send(MessageKind.FIRED, content)
        if not failure:
            self._paged_at = moment
        return not failure, failure

    def _recover(self) -> str:
        if self._paged_at is None:
            return ""
        failure = self._send(MessageKind.RESOLVED, Content("Tiltmeter is alive again"))
        if not failure:
            self._paged_at, self._thread = None, {}
        return failure

    def _send(self, kind: MessageKind, content: Content) -> str:
        if self._pager is None:
            return ""
        self._sequence += 1
        now = self._clock.now()
        message = Message(
            f"{PAGE_KEY} {self._sequence}",
            self._pager.name,
            PAGE_KEY,
            "",
            kind,
            Severity.CRITICAL,
            content,
            self._sequence,
            now,
            thread=self._thread,
        )
        try:
            self._thread = {**self._thread, **self._pager.send(message).thread}
        except DeliveryError as error:
            return str(error)
        return ""

    def _tell_outside(self) -> str:
        if not self._ping:
            return ""
        try:
            answer = _http.post(self._ping, b"", headers={}, clock=self._clock, timeout_s=_PING_TIMEOUT_S)
        except DeliveryError as error:
            return f"the outside address did not hear the ping: {error.what}"
        return "" if answer.status < 400 else f"the outside address answered {answer.status} to the ping"
