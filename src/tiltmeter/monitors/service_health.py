"""The monitor of the monitor: lag of windows, spool and outbox, and the age of the newest row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Metric, Status, Subject

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.domain.window import Window


@dataclass(frozen=True, slots=True)
class Health:
    """What the running service knows of itself. Ages in seconds, None where there is nothing to be late.

    Args:
        window_lag: age of the oldest due window that is not judged.
        spool_age: age of the oldest record that is not in the table.
        outbox_age: age of the oldest message that is not sent.
        dropped_records: records that spools refused, ever.
    """

    window_lag: float = 0.0
    spool_age: float = 0.0
    outbox_age: float = 0.0
    dropped_records: int = 0


def health_metrics(health: Health, *, model: str, window: Window) -> list[Metric]:
    """`monitor.*` of one moment."""
    subject = Subject(model)
    values = {
        "window_lag": health.window_lag,
        "spool_age": health.spool_age,
        "outbox_age": health.outbox_age,
        "dropped_records": float(health.dropped_records),
    }
    return [Metric(f"monitor.{name}", subject, window, value, n_current=1) for name, value in values.items()]


def freshness_metric(newest: datetime | None, *, model: str, window: Window) -> Metric:
    """Age of the newest prediction at the end of the window.

    Args:
        newest: time of the newest row, None before the first: a model that never scored is not late.
        model: model name.
        window: its end is "now".
    """
    subject = Subject(model)
    if newest is None:
        return Metric(
            "features.freshness", subject, window, None, Status.TOO_LITTLE_HISTORY, "no rows yet", n_current=0
        )
    age = max(0.0, (window.end - newest).total_seconds())
    return Metric("features.freshness", subject, window, age, n_current=1)
