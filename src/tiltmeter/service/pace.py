"""How fast a channel may send: a token bucket a channel, with the rates the receivers publish."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Messages a second on average, and how many may go out at once."""

    per_second: float
    burst: int


PACES = {
    "slack": Pace(1.0, 3),  # "one message per second per channel, short bursts allowed"
    "pagerduty": Pace(100 / 60, 20),  # 120 events a minute and integration key, some left for others
    "smtp": Pace(0.5, 10),  # 30 a minute stays under what mail providers throttle
}
"""By kind of channel; other kinds go as fast as they answer."""


class TokenBucket:
    """Counts what may still go out now.

    Args:
        pace: of the channel; None lets everything through.
        now: seconds of a clock that never jumps.
    """

    def __init__(self, pace: Pace | None, *, now: float) -> None:
        self._pace = pace
        self._tokens = float(pace.burst) if pace else 0.0
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until the next message may go out, 0 when it may go now."""
        if self._pace is None:
            return 0.0
        self._tokens = min(self._pace.burst, self._tokens + (now - self._at) * self._pace.per_second)
        self._at = now
        return max(0.0, (1.0 - self._tokens) / self._pace.per_second)

    def spend(self) -> None:
        """A message goes out."""
        self._tokens -= 1.0
