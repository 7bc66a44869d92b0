"""A comparison as a table, a row a feature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from tiltmeter.domain.comparison import Comparison, FeatureComparison, SidePair, SideStatistics

_TEXT = pa.string()
_REAL = pa.float64()
_WHOLE = pa.int64()

_OWN = {
    "psi": _REAL, "psi_p_value": _REAL, "psi_q_value": _REAL, "psi_lower": _REAL, "psi_noise_floor": _REAL,
    "psi_bins": _WHOLE, "kl": _REAL, "js_distance": _REAL, "ks": _REAL, "ks_upper": _REAL, "ks_p_value": _REAL,
    "chi2": _REAL, "chi2_p_value": _REAL, "chi2_df": _WHOLE, "cramers_v": _REAL, "test_q_value": _REAL,
    "minimum_detectable": _REAL, "out_of_range": _REAL, "missing_change": _REAL, "new_level_excess": _REAL,
}  # fmt: skip
_SIDE = {
    "count": _WHOLE, "missing": _WHOLE, "missing_share": _REAL, "mean": _REAL, "std": _REAL, "min": _REAL,
    "max": _REAL, "median": _REAL, "q01": _REAL, "q05": _REAL, "q25": _REAL, "q75": _REAL, "q95": _REAL,
    "q99": _REAL, "zero_share": _REAL, "distinct": _WHOLE,
}  # fmt: skip


def comparison_table(comparison: Comparison) -> pa.Table:
    """One row a feature, the score last; numbers of the sides as `reference_mean`, `current_mean` and so on."""
    features = [*comparison.features.values(), *([comparison.score] if comparison.score is not None else [])]
    extras = sorted({name for feature in features for name in feature.extra})
    rows = [_row(feature, extras) for feature in features]
    schema = pa.schema([*_schema(), *((name, _REAL) for name in extras)])
    return pa.table({name: [row[name] for row in rows] for name in schema.names}, schema=schema)


def _schema() -> list[tuple[str, Any]]:
    own = [("feature", _TEXT), ("kind", _TEXT), ("status", _TEXT), ("severity", _TEXT), *_OWN.items()]
    pairs = [(f"outliers_{name}_{side}", _REAL) for name in ("iqr", "z") for side in ("reference", "current")]
    sides = [(f"{side}_{name}", kind) for side in ("reference", "current") for name, kind in _SIDE.items()]
    return [*own, *pairs, *sides]


def _row(feature: FeatureComparison, extras: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "feature": feature.name.encode("utf-8", "replace").decode(),
        "kind": feature.kind.value,
        "status": feature.status.value,
        "severity": feature.severity.word,
    }
    row.update({name: getattr(feature, name) for name in _OWN})
    row.update({name: feature.extra.get(name) for name in extras})
    for name, pair in (("iqr", feature.outliers_iqr), ("z", feature.outliers_z)):
        row.update(_pair(name, pair))
    for side, statistics in (("reference", feature.reference), ("current", feature.current)):
        row.update(_side(side, statistics))
    return row


def _pair(name: str, pair: SidePair | None) -> dict[str, float | None]:
    return {
        f"outliers_{name}_reference": None if pair is None else pair.reference,
        f"outliers_{name}_current": None if pair is None else pair.current,
    }


def _side(side: str, statistics: SideStatistics | None) -> dict[str, Any]:
    return {f"{side}_{name}": None if statistics is None else getattr(statistics, name) for name in _SIDE}
