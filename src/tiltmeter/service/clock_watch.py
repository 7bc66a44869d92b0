"""Notices when the machine's clock jumps, and tells people: times before and after the jump do not fit together."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from threading import Event

from tiltmeter.alerting.phrases import length_of
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.message import Content, Message, MessageKind
from tiltmeter.domain.severity import Severity
from tiltmeter.ports import Clock, StateStore

JUMP = timedelta(minutes=5)
"""Smaller corrections are what time synchronisation does."""

_LOOK_S = 1.0


class ClockWatch:
    """Holds the wall clock against the one that never jumps.

    Args:
        state: its outbox takes the messages.
        clock: both clocks.
        channels: who hears of a jump.
    """

    def __init__(self, state: StateStore, clock: Clock, channels: Iterable[str]) -> None:
        self._state = state
        self._clock = clock
        self._channels = tuple(channels)
        self._started = self._epoch()

    def look(self) -> timedelta | None:
        """One look; tells people of a jump since the last one, which it returns.

        Raises:
            StoreError: the state database failed; the next look tells the same jump.
        """
        started = self._epoch()
        jump = started - self._started
        if abs(jump) <= JUMP:
            self._started = started  # follows the slow corrections of time synchronisation
            return None
        now = self._clock.now()
        self._state.enqueue([_message(name, jump, now) for name in self._channels])
        self._started = started
        return jump

    def run(self, stop: Event, tell: Callable[[str, dict[str, object]], None]) -> None:
        """Look every second until told to stop."""
        while not stop.wait(_LOOK_S):
            try:
                jump = self.look()
            except StoreError as error:
                tell("store_failed", {"error": str(error)})
                continue
            if jump is not None:
                tell("clock_jumped", {"seconds": round(jump.total_seconds())})

    def _epoch(self) -> datetime:
        """When the monotonic clock began, by the wall clock: it moves exactly when the wall clock jumps."""
        return self._clock.now() - timedelta(seconds=self._clock.monotonic())


def _message(channel: str, jump: timedelta, now: datetime) -> Message:
    way = "forward" if jump > timedelta(0) else "back"
    slept = ", or the machine slept" if jump > timedelta(0) else ""
    content = Content(
        f"the clock of {socket.gethostname()} jumped {length_of(abs(jump))} {way}{slept}",
        effect="Alerts go on: nothing is sent twice and no waiting time is fulfilled by the jump. "
        "Times in messages before and after it do not fit together.",
        facts={
            "It shows": f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            "Without the jump": f"{(now - jump).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        },
        actions=("Check time synchronisation on that machine (timedatectl)", "Run tiltmeter doctor"),
    )
    seed = f"clock {channel} {now.isoformat()} {jump.total_seconds()}"
    name = blake2b(seed.encode(), digest_size=16).hexdigest()
    return Message(name, channel, "", "", MessageKind.META, Severity.WARNING, content, 1, now)
