"""Which monitor judges windows of which grain."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from tiltmeter.domain.window import Grain
from tiltmeter.registry import Registry

if TYPE_CHECKING:
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import StateStore, World


class Monitor(Protocol):
    """Measures windows of one grain."""

    name: str

    def measure(self, model: Model, window: Window, world: World) -> list[Metric]:
        """All metrics of the window; an empty list while there is nothing to measure."""
        ...


MONITORS = Registry(
    "monitor",
    {
        "traffic": "tiltmeter.monitors.serving:TRAFFIC",
        "features": "tiltmeter.monitors.comparing:FEATURES",
        "drift": "tiltmeter.monitors.comparing:DRIFT",
        "outcomes": "tiltmeter.monitors.cohorts:OUTCOMES",
    },
    "tiltmeter.monitors",
)
"""Monitors of calendar windows by name; `jobs` and `self` are judged live, see `monitors.serving`."""

REOPENED = frozenset({"traffic", "features", "drift"})
"""Monitors whose windows late rows open again; cohorts of outcomes look at leads of weeks ago."""

SCHEDULE: dict[Grain, tuple[str, ...]] = {
    Grain.HOUR: ("traffic", "features"),
    Grain.DAY: ("drift", "outcomes"),
    Grain.WEEK: ("drift", "outcomes"),
}
"""Monitors by the grain of the windows they judge (the specification's hourly, daily, weekly)."""


def judged_mark(monitor: str, model: str, grain: Grain) -> str:
    """Name of the watermark that holds the end of the newest window a monitor judged."""
    return f"judged:{monitor}:{grain}:{model}"


def judged_until(state: StateStore, model: str, grain: Grain) -> datetime | None:
    """End of the newest window that every monitor of the grain is done with; None while one of them is not.

    The monitors judge one after the other, and what is published is published for good: a day whose drift is known
    waits until its outcomes are. A monitor that finds nothing to measure is done as well.
    """
    found = [state.watermark(judged_mark(monitor, model, grain)) for monitor in SCHEDULE[grain]]
    ends = [datetime.fromisoformat(text) for text in found if text is not None]
    return min(ends) if len(ends) == len(found) else None
