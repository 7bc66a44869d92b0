"""The result of judging one window: everything that is committed in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tiltmeter.domain.alert import Alert, AlertEvent, Incident
    from tiltmeter.domain.message import Message
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.window import Window


@dataclass(frozen=True, slots=True)
class Run:
    """One window judged by one monitor for one model.

    Args:
        monitor: name of the monitor.
        model: model name; empty for the monitor of the service itself.
        window: what was judged. (monitor, model, window) is the key: a second run with the same input changes nothing.
        evaluated_at: wall-clock time.
        source_version: version of the source table that the numbers come from; None for live windows.
        metrics: all numbers measured.
        alerts: alerts whose state changed.
        events: their transitions.
        incidents: incidents opened or changed.
        messages: what the outbox has to deliver.
    """

    monitor: str
    model: str
    window: Window
    evaluated_at: datetime
    source_version: int | None = None
    metrics: tuple[Metric, ...] = ()
    alerts: tuple[Alert, ...] = ()
    events: tuple[AlertEvent, ...] = ()
    incidents: tuple[Incident, ...] = ()
    messages: tuple[Message, ...] = ()
