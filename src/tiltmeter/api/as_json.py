"""A comparison as the plain values of `compare --json`, field by field in the order of the interface."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.feature import FeatureKind

if TYPE_CHECKING:
    from tiltmeter.api.judged_windows import Episode, JudgedWindow
    from tiltmeter.domain.comparison import (
        Comparison,
        FeatureComparison,
        LevelChange,
        Overall,
        SidePair,
        SideStatistics,
    )
    from tiltmeter.domain.score_shift import FeaturePart, ScoreShift, SegmentPart

SCHEMA = "tiltmeter.compare/1"

DEFINITION = {
    "bins": (
        "frozen with the reference: decile cells of at least 2.5 % of its rows, every value that holds more than a "
        "tenth of them alone in a cell; missing a cell of its own; rare and never seen values together in (other)"
    ),
    "empty_cells": "half a row is added to every cell of both sides as soon as one cell is empty, else nothing",
    "version": "1",
}
"""What the numbers mean, in words; the version changes with their meaning."""

_NUMBERS = (
    "psi", "psi_p_value", "psi_q_value", "psi_lower", "psi_noise_floor", "psi_bins", "kl", "js_distance", "ks",
    "ks_upper", "ks_p_value", "chi2", "chi2_p_value", "chi2_df", "cramers_v", "minimum_detectable", "out_of_range",
)  # fmt: skip
MOST_SEGMENTS = 20
"""Segments of a feature that are named, those with the largest parts."""
_PAIRS = ("outliers_iqr", "outliers_z")
_CHANGES = ("new_levels", "lost_levels")
_FURTHER = ("test_q_value", "missing_change", "missing_p_value", "out_of_range_p_value", "new_level_excess")
_OF_TEXT = ("length_mean",)
_OF_DATETIME = ("freshness_seconds",)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The whole document; only None, bool, int, finite float, str, list and dict occur in it."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "rows": {"reference": comparison.rows_reference, "current": comparison.rows_current},
        "features": {name: feature_json(feature) for name, feature in comparison.features.items()},
        "overall": overall_json(comparison.overall),
        "definition": dict(DEFINITION),
        "score": feature_json(comparison.score) if comparison.score is not None else None,
        "rows_tested": {"reference": comparison.n_reference, "current": comparison.n_current},
        "score_shift": shift_json(comparison.score_shift),
    }
    if comparison.conversion_reference is not None or comparison.conversion_current is not None:
        document["conversion_rate"] = {
            "reference": comparison.conversion_reference,
            "current": comparison.conversion_current,
        }
    return document


def shift_json(shift: ScoreShift | None) -> dict[str, Any] | None:
    """The change of the mean score and the part of it that each feature's mix explains, largest first."""
    if shift is None:
        return None
    numbers = {name: getattr(shift, name) for name in ("reference", "current", "shift", "standard_error")}
    found: dict[str, Any] = {**numbers, "features": None, "why": {}}
    if shift.why:
        found["why"] = {name: shift.why for name, value in found.items() if value is None}
    else:
        found["features"] = [_part_json(part, shift) for part in shift.features]
        found["why"] = {name: "one_value" for name, value in numbers.items() if value is None}
    return found


def _part_json(part: FeaturePart, shift: ScoreShift) -> dict[str, Any]:
    return {
        "feature": part.feature,
        "mix": part.mix,
        "within": part.within,
        "explained": part.mix / shift.shift if shift.shift else None,
        "segments": [_segment_json(segment) for segment in part.segments[:MOST_SEGMENTS]],
    }


def _segment_json(segment: SegmentPart) -> dict[str, Any]:
    sides = {"reference": segment.reference, "current": segment.current}
    return {
        "segment": segment.segment,
        **{name: {side: getattr(one, name) for side, one in sides.items()} for name in ("rows", "share", "mean")},
        "mix": segment.mix,
        "within": segment.within,
    }


def feature_json(feature: FeatureComparison) -> dict[str, Any]:
    """One feature."""
    found: dict[str, Any] = {
        "kind": feature.kind.value,
        "status": feature.status.value,
        "severity": feature.severity.word,
        **{name: getattr(feature, name) for name in _NUMBERS},
        "why": {},
        **{name: pair_json(getattr(feature, name)) for name in _PAIRS},
        "reference": side_json(feature.reference, feature.kind),
        "current": side_json(feature.current, feature.kind),
        **{name: change_json(getattr(feature, name)) for name in _CHANGES},
        **{name: getattr(feature, name) for name in _FURTHER},
        **dict(feature.extra),
        "hints": list(feature.hints),
    }
    found["why"] = _why(feature, found)
    return found


def _why(feature: FeatureComparison, found: dict[str, Any]) -> dict[str, str]:
    """A reason for every null, and for the numbers of one side that could not be computed."""
    why = {
        name: feature.why.get(name, feature.status.value)
        for name, value in found.items()
        if value is None and name not in {"reference", "current"}
    }
    for side in ("reference", "current"):
        if found[side] is None:
            why[side] = feature.status.value
    return {**why, **{name: reason for name, reason in feature.why.items() if "." in name}}


def side_json(side: SideStatistics | None, kind: FeatureKind) -> dict[str, Any] | None:
    """Feature statistics of one side; length and freshness only where the kind has them."""
    if side is None:
        return None
    left_out = set(_OF_TEXT if kind is not FeatureKind.TEXT else ())
    left_out |= set(_OF_DATETIME if kind is not FeatureKind.DATETIME else ())
    found = {entry.name: getattr(side, entry.name) for entry in fields(side) if entry.name not in left_out}
    if side.top is not None:
        found["top"] = [{"level": level.level, "count": level.count} for level in side.top]
    return found


def pair_json(pair: SidePair | None) -> dict[str, Any] | None:
    """One number on each side."""
    return None if pair is None else {"reference": pair.reference, "current": pair.current}


def change_json(change: LevelChange | None) -> dict[str, Any] | None:
    """Levels that came or went."""
    if change is None:
        return None
    return {"count": change.count, "rows": change.rows, "share": change.share, "names": list(change.names)}


def overall_json(overall: Overall) -> dict[str, Any]:
    """The comparison in six numbers."""
    return {
        "psi": overall.psi,
        "score_psi": overall.score_psi,
        "features": overall.features,
        "features_warning": overall.features_warning,
        "features_critical": overall.features_critical,
        "severity": overall.severity.word,
    }


def judged_window_json(judged: JudgedWindow) -> dict[str, Any]:
    """One window of a history."""
    rate = judged.conversion_rate
    return {
        "start": judged.window.start.isoformat(),
        "end": judged.window.end.isoformat(),
        "rows": judged.rows,
        "status": judged.status.value,
        "features": {
            name: {
                "psi": feature.psi,
                "severity": feature.severity.word,
                "status": feature.status.value,
                "psi_q_value": feature.psi_q_value,
                "missing_share": feature.missing_share,
            }
            for name, feature in judged.features.items()
        },
        "overall": overall_json(judged.overall) if judged.overall is not None else None,
        "outcomes": {} if rate is None else {"conversion_rate": rate},
    }


def episode_json(episode: Episode) -> dict[str, Any]:
    """One alert that a history would have raised."""
    return {
        "rule": episode.rule,
        "severity": episode.severity.word,
        "feature": episode.feature or None,
        "since": episode.since.isoformat(),
        "until": episode.until.isoformat() if episode.until is not None else None,
        "windows": episode.windows,
        "peak": episode.peak,
        "effect": episode.effect,
        "incident": episode.incident or None,
    }
