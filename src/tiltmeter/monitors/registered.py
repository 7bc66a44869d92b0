"""Which monitor judges windows of which grain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tiltmeter.domain.window import Grain
from tiltmeter.registry import Registry

if TYPE_CHECKING:
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import World


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
