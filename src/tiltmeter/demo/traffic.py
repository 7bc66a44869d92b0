"""Live visitors: leads that arrive now, over real HTTP on loopback, at a modest rate."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import numpy as np

from tiltmeter.demo.columns import to_json
from tiltmeter.demo.world import draw_leads, generator, lead_id, microseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from threading import Event

_MINUTE = 60
_LIVE_NUMBERS = 50_000_000
_MANY_EVERY, _MANY = 50, 5


@dataclass(slots=True)
class LiveTraffic:
    """Sends leads to the service until it is told to stop.

    Args:
        address: of the service, "http://127.0.0.1:8000".
        seed: of the world; live leads have a stream of chance of their own.
        rate: requests a second, mean.
        now: aware UTC; tells the hour of the week that the leads belong to.
        answers: requests by status code, 0 where none came.
    """

    address: str
    seed: int
    rate: float
    now: Callable[[], datetime]
    answers: Counter[int] = field(default_factory=Counter)
    _sent: int = 0

    def run(self, stop: Event) -> None:
        """Send at random moments with the given mean rate; a service that is away is tried again with the next lead."""
        gaps = generator(self.seed, "live gaps")
        due = time.monotonic()
        with httpx.Client(base_url=self.address, timeout=5.0) as client:
            for path, body in self._bodies():
                due = max(due + gaps.exponential(1.0 / self.rate), time.monotonic() - 1.0)
                if stop.wait(max(0.0, due - time.monotonic())):
                    return
                try:
                    status = client.post(path, json=body).status_code
                except httpx.HTTPError:
                    status = 0
                self.answers[status] += 1

    def _bodies(self) -> Iterator[tuple[str, dict[str, object]]]:
        for number in range(1_000_000_000):
            rng = generator(self.seed, f"live {number}")
            n = max(1, int(self.rate * _MINUTE))
            times = np.sort(rng.integers(0, _MINUTE * 1_000_000, n)) + microseconds(self.now())
            leads = draw_leads(rng, times, _LIVE_NUMBERS + self._sent)
            self._sent += n
            bodies: list[dict[str, object]] = [
                {"lead_id": lead_id(int(leads.number[row])), **to_json(leads.columns, row)} for row in range(n)
            ]
            for first in range(0, n, _MANY_EVERY):
                block = bodies[first : first + _MANY_EVERY]
                yield "/score-many", {"leads": block[:_MANY]}
                yield from (("/score", body) for body in block[_MANY:])
