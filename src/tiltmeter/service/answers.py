"""Domain values as JSON for the HTTP API."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltmeter.api.as_json import side_json
from tiltmeter.domain.profile import LevelBins, LevelProfile, NumericBins, NumericProfile
from tiltmeter.statistics.features import fits
from tiltmeter.statistics.sides import side_statistics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiltmeter.domain.alert import Alert, AlertEvent, Incident
    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.message import Delivery
    from tiltmeter.domain.metric import Metric, Subject
    from tiltmeter.domain.profile import FeatureBins, FeatureProfile, Profile
    from tiltmeter.domain.window import Window
    from tiltmeter.monitors.recomputing import Recomputed


def _when(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def window_json(window: Window) -> dict[str, str]:
    """Start, end and grain."""
    return {"start": window.start.isoformat(), "end": window.end.isoformat(), "grain": str(window.grain)}


def subject_json(subject: Subject) -> dict[str, str]:
    """Every part, empty ones included, so that readers find the same keys always."""
    return {
        "model": subject.model,
        "model_version": subject.model_version,
        "feature": subject.feature,
        "segment_key": subject.segment_key,
        "segment_value": subject.segment_value,
    }


def metric_json(metric: Metric) -> dict[str, Any]:
    """One number with everything that belongs to it."""
    return {
        "metric": metric.name,
        **subject_json(metric.subject),
        "window": window_json(metric.window),
        "value": metric.value,
        "status": str(metric.status),
        "why": metric.why_missing,
        "lower": metric.lower,
        "upper": metric.upper,
        "p_value": metric.p_value,
        "q_value": metric.q_value,
        "n_reference": metric.n_reference,
        "n_current": metric.n_current,
        "baseline_id": metric.baseline_id,
        "bins_id": metric.bins_id,
        "source_version": metric.source_version,
        "details": dict(metric.details),
    }


def alert_json(alert: Alert) -> dict[str, Any]:
    """One alert."""
    return {
        "id": alert.id,
        "incident": alert.incident,
        "rule": alert.rule,
        **subject_json(alert.subject),
        "state": str(alert.state),
        "severity": alert.severity.word,
        "since": _when(alert.since),
        "fired_at": _when(alert.fired_at),
        "resolved_at": _when(alert.resolved_at),
        "value": alert.value,
        "peak": alert.peak,
        "stale": alert.stale,
    }


def incident_json(incident: Incident) -> dict[str, Any]:
    """One incident, without the threads of its channels."""
    return {
        "id": incident.id,
        "model": incident.model,
        "state": str(incident.state),
        "severity": incident.severity.word,
        "peak": incident.peak.word,
        "title": incident.title,
        "cause": incident.cause,
        "opened_at": _when(incident.opened_at),
        "updated_at": _when(incident.updated_at),
        "resolved_at": _when(incident.resolved_at),
        "acknowledged_by": incident.acknowledged_by,
        "acknowledged_at": _when(incident.acknowledged_at),
        "note": incident.note,
        "next_step_at": _when(incident.next_step_at),
        "alerts": list(incident.alerts),
    }


def event_json(event: AlertEvent) -> dict[str, Any]:
    """One transition."""
    return {
        "kind": event.kind,
        "fingerprint": event.fingerprint,
        "seq": event.seq,
        "window_end": event.window_end.isoformat(),
        "evaluated_at": event.evaluated_at.isoformat(),
        "severity": event.severity.word,
        "value": event.value,
        "detail": dict(event.detail),
    }


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """One message as the outbox keeps it, without its text."""
    return {
        "delivery_id": delivery.message.delivery_id,
        "channel": delivery.message.channel,
        "kind": str(delivery.message.kind),
        "severity": delivery.message.severity.word,
        "status": str(delivery.status),
        "attempts": delivery.attempts,
        "due_at": delivery.due_at.isoformat(),
        "sent_at": _when(delivery.sent_at),
        "error": delivery.last_error,
    }


def recomputed_json(alert: Alert, found: Sequence[Recomputed]) -> dict[str, Any]:
    """The number behind an alert, computed once more by every way that is still open."""
    metric = alert.metric
    return {
        "alert": alert.id,
        "number": metric_json(metric) if metric is not None else None,
        "again": [
            {"from": one.source, "value": one.metric.value if one.metric else None, "same": one.is_same, "why": one.why}
            for one in found
        ],
    }


def profile_json(feature: str, reference: Reference, spans: Mapping[str, Profile | None]) -> dict[str, Any]:
    """Rows per bin or level of one feature in a span, beside the baseline's, and the statistics of every side.

    Numbers have the decile bins `(from, to]`, open at both ends; categories the baseline's levels and those new to it;
    text has neither.

    Args:
        feature: one of the baseline's.
        reference: the baseline.
        spans: `current`, and `previous`, as long a span right before it; None without rows.
    """
    bins = reference.bins.features[feature]
    found = {name: None if span is None else span.features.get(feature) for name, span in spans.items()}
    window, baseline = found["current"], reference.profile.features.get(feature)
    sides = {"baseline": baseline, "current": window}
    said: dict[str, Any] = {
        "feature": feature,
        "kind": str(bins.kind),
        "bins_id": reference.bins.bins_id,
        "baseline": reference.name,
        "rows": window.rows if window is not None else 0,
        "missing": window.missing if window is not None else 0,
        "baseline_rows": baseline.rows if baseline is not None else 0,
        "baseline_missing": baseline.missing if baseline is not None else 0,
        "cells": [],
        "statistics": {
            name: None if side is None else _statistics(bins, side, reference=name == "baseline")
            for name, side in {"baseline": baseline, **found}.items()
        },
    }
    if isinstance(bins.cells, NumericBins):
        counts = {name: decile_counts(bins.cells, side) for name, side in sides.items()}
        edges = [None, *(float(edge) for edge in bins.cells.edges[bins.cells.deciles]), None]
        said["cells"] = [
            {"from": low, "to": high, **{name: counts[name][place] for name in counts}}
            for place, (low, high) in enumerate(pairwise(edges))
        ]
    elif isinstance(bins.cells, LevelBins):
        said["cells"] = [
            {"level": level, **{name: _level_rows(side, place) for name, side in sides.items()}}
            for place, level in enumerate(bins.cells.levels[:MOST_LEVELS])
        ]
        new = window.new if isinstance(window, LevelProfile) else {}
        said["cells"] += [{"level": name, "baseline": 0, "current": rows} for name, rows in _most(new)]
    return said


def _statistics(bins: FeatureBins, side: FeatureProfile, *, reference: bool) -> dict[str, Any] | None:
    """Statistics of one side; None where the column held another type."""
    return side_json(side_statistics(bins, side, reference=reference), bins.kind) if fits(bins, side) else None


MOST_LEVELS = 200
"""Levels of one answer, and as many new ones."""


def decile_counts(bins: NumericBins, side: object) -> list[int]:
    """Rows per decile bin; zeros where the side has no rows."""
    if not isinstance(side, NumericProfile):
        return [0] * (bins.deciles.size + 1)
    parts = np.split(side.counts, bins.deciles + 1)
    return [int(part.sum()) for part in parts]


def _level_rows(side: object, place: int) -> int:
    return int(side.counts[place]) if isinstance(side, LevelProfile) else 0


def _most(new: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(new.items(), key=lambda item: (-item[1], item[0]))[:MOST_LEVELS]
