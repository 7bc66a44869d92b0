"""A wall clock that jumps: nothing is judged until it has stood its new ground for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.ports import Clock

LEAST_JUMP = timedelta(minutes=30)
"""Smaller corrections are a time server's daily work."""

SETTLES_AFTER = timedelta(minutes=5)
"""A battery, a wrong server or a test that moved the clock is corrected within minutes; a machine that slept is not."""

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class ClockJumps:
    """Holds the wall clock against the one that never jumps.

    Args:
        clock: both of them.
    """

    clock: Clock
    _wall: datetime | None = None
    _steady: float = 0.0
    _held_until: float | None = field(default=None)
    _before: timedelta = timedelta(0)

    def is_settled(self) -> bool:
        """Whether the wall clock may be believed now; asked once a turn."""
        wall, steady = self.clock.now(), self.clock.monotonic()
        if self._wall is not None:
            jump = (wall - self._wall) - timedelta(seconds=steady - self._steady)
            if abs(jump) >= LEAST_JUMP:
                self._jumped(jump, steady)
        self._wall, self._steady = wall, steady
        if self._held_until is not None and steady >= self._held_until:
            log.warning("judging_resumed", now=wall.isoformat())
            self._held_until = None
        return self._held_until is None

    def _jumped(self, jump: timedelta, steady: float) -> None:
        log.warning(
            "judging_paused", seconds=round(jump.total_seconds()),
            what=f"the clock jumped: nothing is judged for {SETTLES_AFTER.seconds // 60} minutes",
        )  # fmt: skip
        # Back where it came from: the jump is undone and nothing has to be waited for.
        is_undone = self._held_until is not None and abs(self._before + jump) < LEAST_JUMP
        self._held_until = None if is_undone else steady + SETTLES_AFTER.total_seconds()
        self._before = timedelta(0) if is_undone else jump
