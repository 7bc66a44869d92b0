"""The numbers of a day or week as MLflow shows them: metrics grouped by the part before the slash, and one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.api.period import ServiceStep
    from tiltmeter.domain.comparison import Comparison
    from tiltmeter.domain.metric import Metric

_STATISTICS = {
    "drift_psi": "psi", "drift_kl": "kl", "drift_js": "js_distance", "drift_ks": "ks", "drift_chi2": "chi2",
}  # fmt: skip
_SIDE = {
    "stat_mean": "mean", "stat_std": "std", "stat_missing": "missing_share", "stat_distinct": "distinct",
    "stat_median": "median", "stat_zero": "zero_share",
}  # fmt: skip


def overview(
    comparison: Comparison | None, service: ServiceStep | None, outcomes: Mapping[str, Metric], incidents: int | None
) -> dict[str, float | None]:
    """The numbers that stand first: MLflow groups by the part before the slash, in order of the alphabet.

    Args:
        comparison: of a version or of everything; None where nothing was scored.
        service: requests; None where no request log is connected.
        outcomes: newest number by metric.
        incidents: open at some time; None where nothing was served that they could be about.
    """
    numbers: dict[str, float | None] = {"open_incidents": None if incidents is None else float(incidents)}
    if comparison is not None:
        overall = comparison.overall
        numbers |= {
            "rows": float(comparison.rows_current),
            "overall_psi": overall.psi if overall.score_psi is None else overall.score_psi,
            "weighted_psi": overall.psi,
            "features_drifted": float(len(comparison.drifted)),
        }
    if service is not None:
        numbers |= {
            "latency_p95_ms": service.p95_ms,
            "error_rate": service.error_rate,
            "requests": float(service.requests),
        }
    found = {f"1_outcomes/{name.removeprefix('outcomes.')}": metric.value for name, metric in outcomes.items()}
    return {f"0_overview/{name}": value for name, value in numbers.items()} | found


def feature_numbers(comparison: Comparison) -> dict[str, float | None]:
    """Drift and statistics of every feature, `group/feature`."""
    numbers: dict[str, float | None] = {}
    for name, feature in comparison.features.items():
        for group, field_name in _STATISTICS.items():
            numbers[f"{group}/{name}"] = getattr(feature, field_name)
        for group, field_name in _SIDE.items():
            numbers[f"{group}/{name}"] = getattr(feature.current, field_name) if feature.current is not None else None
        pair = feature.outliers_iqr
        numbers[f"stat_outliers/{name}"] = pair.current if pair is not None else None
    return numbers


def _short(value: float | None) -> float | None:
    """Five significant digits: a table for people, whose columns MLflow cuts; the metrics have every digit."""
    return None if value is None else float(f"{value:.5g}")


_COLUMNS = ("psi", "psi_q_value", "kl", "js_distance", "ks", "chi2", "missing_change", "out_of_range")


def feature_table(comparison: Comparison) -> dict[str, Any]:
    """Features as MLflow's table view reads them: the most moved first."""
    order = sorted(comparison.features.values(), key=lambda f: (-f.severity, -(f.psi or 0.0), f.name))
    rows = [
        [
            one.name, str(one.kind), one.severity.word, str(one.status),
            *(_short(getattr(one, name)) for name in _COLUMNS),
            *(_short(getattr(side, "mean", None)) for side in (one.reference, one.current)),
            *(_short(getattr(side, "missing_share", None)) for side in (one.reference, one.current)),
        ]
        for one in order
    ]  # fmt: skip
    means = ["mean_reference", "mean_current", "missing_reference", "missing_current"]
    return {"columns": ["feature", "kind", "severity", "status", *_COLUMNS, *means], "data": rows}
