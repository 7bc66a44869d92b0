"""What is kept of a replayed history: each window, and each alert that would have fired."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.domain.comparison import Comparison, Overall
    from tiltmeter.domain.severity import Severity
    from tiltmeter.domain.window import Window


@dataclass(frozen=True, slots=True)
class WindowFeature:
    """One feature in one window: what a timeline shows."""

    psi: float | None
    severity: Severity
    status: Status
    psi_q_value: float | None
    missing_share: float | None


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """One window of a history.

    Args:
        window: the span.
        rows: rows of the window.
        status: ok, no_data or too_few_rows.
        features: by name; empty without rows.
        overall: None without rows.
        conversion_rate: None without a label or rows.
    """

    window: Window
    rows: int
    status: Status
    features: Mapping[str, WindowFeature] = field(default_factory=dict)
    overall: Overall | None = None
    conversion_rate: float | None = None

    @classmethod
    def of(cls, window: Window, comparison: Comparison | None) -> JudgedWindow:
        """What is kept of a comparison: a year of hours fits into memory."""
        if comparison is None:
            return cls(window, 0, Status.NO_DATA)
        few = any(feature.status is Status.TOO_FEW_ROWS for feature in comparison.features.values())
        features = {
            name: WindowFeature(
                one.psi, one.severity, one.status, one.psi_q_value, one.current.missing_share if one.current else None
            )
            for name, one in comparison.features.items()
        }
        return cls(
            window,
            comparison.rows_current,
            Status.TOO_FEW_ROWS if few else Status.OK,
            features,
            comparison.overall,
            comparison.conversion_current,
        )


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert that would have fired.

    Args:
        rule: id of the rule.
        severity: the worst it reached.
        feature: what it speaks about; empty for the whole.
        since: start of the first window in breach.
        until: end of the window that resolved it; None while it is still open at the end.
        windows: windows in breach.
        peak: worst value.
        effect: what had changed when it fired, in words; may be empty.
        incident: id of the incident it belongs to.
    """

    rule: str
    severity: Severity
    feature: str
    since: datetime
    until: datetime | None
    windows: int
    peak: float | None
    effect: str
    incident: str
