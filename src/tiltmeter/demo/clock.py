"""Simulated time: it stands still until it is told to move."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(slots=True)
class SimulatedClock:
    """A clock that shows what it was set to.

    Args:
        shown: aware UTC.
    """

    shown: datetime

    def now(self) -> datetime:
        """The simulated moment."""
        return self.shown

    def monotonic(self) -> float:
        """Real seconds: they only measure how long things take."""
        return time.monotonic()
