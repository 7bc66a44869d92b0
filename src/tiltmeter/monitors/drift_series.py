"""The metrics of many windows held against one reference, as series: `drift_metrics` for a whole history."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tiltmeter.domain.metric import MetricSeries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiltmeter.statistics.series import FeatureSeries, Series


class _Source(NamedTuple):
    """Where a metric's numbers are found in a feature's columns."""

    value: str
    p_value: str = ""
    q_value: str = ""
    lower: str = ""


_OF_FEATURES = {
    "drift.psi": _Source("psi", "psi_p_value", "psi_q_value", "psi_lower"),
    "drift.kl": _Source("kl", "psi_p_value", "psi_q_value"),
    "drift.js_distance": _Source("js_distance", "psi_p_value", "psi_q_value"),
    "drift.ks": _Source("ks", "ks_p_value"),
    "drift.chi2": _Source("chi2", "chi2_p_value"),
    "drift.test_q_value": _Source("test_q_value"),
    "features.missing_change": _Source("missing_change", "missing_p_value"),
    "features.out_of_range_share": _Source("out_of_range", "out_of_range_p_value"),
    "features.new_level_share": _Source("new_level_share"),
    "features.new_level_excess": _Source("new_level_excess", "new_level_p_value"),
}
_OF_WINDOWS = frozenset(
    {
        "drift.overall_psi", "drift.score_psi", "drift.weighted_psi", "features.schema_changes",
        "features.new_columns", "features.rows",
    }
)  # fmt: skip

IN_SERIES = frozenset(_OF_FEATURES) | _OF_WINDOWS
"""Metrics that exist in this form."""


def feature_series(series: Series, metric: str, score: str) -> Iterator[tuple[str, MetricSeries]]:
    """One metric of every feature but the score.

    Args:
        series: the windows.
        metric: name in the catalogue.
        score: name of the score among the features.
    """
    source = _OF_FEATURES.get(metric)
    if source is None:
        return
    for name, feature in series.features.items():
        if (not score or name != score) and source.value in feature.columns:
            yield name, _metric(series, feature, source)


def _metric(series: Series, feature: FeatureSeries, source: _Source) -> MetricSeries:
    columns = feature.columns
    values = columns.get(source.value, np.full(series.n.size, np.nan))
    lower, p_values, q_values = (columns.get(name) for name in (source.lower, source.p_value, source.q_value))
    return MetricSeries(values, series.n, series.m, lower, p_values, q_values)


def window_series(
    series: Series, metric: str, *, score: str, weighted_psi: np.ndarray, rows: np.ndarray
) -> MetricSeries:
    """One metric of the whole.

    Args:
        series: the windows.
        metric: name in the catalogue, one of `IN_SERIES`.
        score: name of the score among the features, or "".
        weighted_psi: per window; NaN for none.
        rows: of each window.
    """
    if metric in ("drift.overall_psi", "drift.score_psi") and score:
        return _metric(series, series.features[score], _OF_FEATURES["drift.psi"])
    found = {"drift.overall_psi": weighted_psi, "drift.weighted_psi": weighted_psi, "features.rows": rows}
    # Columns that came or went are looked at window by window.
    return MetricSeries(found.get(metric, np.full(rows.size, np.nan)).astype(np.float64), series.n, series.m)
