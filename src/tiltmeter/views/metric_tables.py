"""Stored profiles as `profile_metrics` and `drift_metrics`: the tables of Databricks data profiling, and more columns.

Column names, structs and the words INPUT, BASELINE and CONSECUTIVE are theirs (documentation page "Monitor metric
tables"), so that queries and dashboards written for those tables read these. A whole table is `:table`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.window import Window, windows_between
from tiltmeter.statistics.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tiltmeter.domain.comparison import FeatureComparison, SideStatistics
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.window import Grain
    from tiltmeter.ports import World

TABLE = ":table"
"""Name of the row about all columns together."""

_STAMP = pa.timestamp("us", tz="UTC")
_WINDOW = pa.struct([("start", _STAMP), ("end", _STAMP)])
_TEST = pa.struct([("statistic", pa.float64()), ("pvalue", pa.float64())])
_NAMES = pa.list_(pa.string())
_SUBJECT: list[tuple[str, pa.DataType]] = [
    ("window", _WINDOW), ("granularity", pa.string()), ("monitor_version", pa.int64()), ("model_name", pa.string()),
    ("model_id", pa.string()), ("slice_key", pa.string()), ("slice_value", pa.string()), ("column_name", pa.string()),
    ("data_type", pa.string()),
]  # fmt: skip

PROFILE_METRICS = pa.schema(
    [
        *_SUBJECT, ("log_type", pa.string()), ("logging_table_commit_version", pa.int64()), ("count", pa.int64()),
        ("num_nulls", pa.int64()), ("avg", pa.float64()), ("quantiles", pa.list_(pa.float64())), ("min", pa.float64()),
        ("max", pa.float64()), ("stddev", pa.float64()), ("num_zeros", pa.int64()), ("num_nan", pa.int64()),
        ("avg_length", pa.float64()), ("non_null_columns", _NAMES),
        ("frequent_items", pa.list_(pa.struct([("item", pa.string()), ("count", pa.int64())]))),
        ("median", pa.float64()), ("distinct_count", pa.int64()), ("percent_nan", pa.float64()),
        ("percent_null", pa.float64()), ("percent_zeros", pa.float64()), ("percent_distinct", pa.float64()),
        ("baseline_id", pa.string()), ("bins_id", pa.string()),
    ]
)  # fmt: skip
DRIFT_METRICS = pa.schema(
    [
        *_SUBJECT, ("window_cmp", _WINDOW), ("drift_type", pa.string()), ("count_delta", pa.int64()),
        ("avg_delta", pa.float64()), ("percent_null_delta", pa.float64()), ("percent_zeros_delta", pa.float64()),
        ("percent_distinct_delta", pa.float64()),
        ("non_null_columns_delta", pa.struct([("added", pa.int64()), ("missing", pa.int64())])),
        ("js_distance", pa.float64()), ("ks_test", _TEST), ("wasserstein_distance", pa.float64()),
        ("population_stability_index", pa.float64()), ("chi_squared_test", _TEST), ("tv_distance", pa.float64()),
        ("l_infinity_distance", pa.float64()), ("kl_divergence", pa.float64()), ("psi_q_value", pa.float64()),
        ("baseline_id", pa.string()), ("bins_id", pa.string()),
    ]
)  # fmt: skip

_QUANTILES = ("min", "q01", "q05", "q25", "median", "q75", "q95", "q99", "max")
_GRANULARITY = {"hour": "1 hour", "day": "1 day", "week": "1 week", "month": "1 month"}


@dataclass(frozen=True, slots=True)
class MetricTables:
    """Both tables."""

    profile: pa.Table
    drift: pa.Table


@dataclass(frozen=True, slots=True)
class _Slice:
    """Rows of a model that are described apart."""

    version: str = ""
    key: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """A window's profile, with the rows about it made from its comparison with the baseline."""

    window: Window
    profile: Profile


def metric_tables(
    world: World, models: Sequence[Model], span: Window, grain: Grain, *, tick: Callable[[], None] = lambda: None
) -> MetricTables:
    """Every window of the span that has rows, by model, version and segment.

    Args:
        world: stored profiles and baselines; nothing is written.
        models: whose windows.
        span: windows that end after its start and begin before its end.
        grain: length of the windows.
        tick: called after every window.
    """
    profile: list[dict[str, Any]] = []
    drift: list[dict[str, Any]] = []
    windows = list(windows_between(span.start, span.end, grain, world.zone))
    for model in models:
        bins = world.baselines.bins(model, world.clock.now())
        before: dict[_Slice, _Kept] = {}
        for window in windows:
            if bins is not None:
                for part in _slices(world, model, bins.bins_id):
                    _add(world, model, window, part, before, profile, drift)
            tick()
    return MetricTables(
        pa.Table.from_pylist(profile, schema=PROFILE_METRICS), pa.Table.from_pylist(drift, schema=DRIFT_METRICS)
    )


def _slices(world: World, model: Model, bins_id: str) -> Iterator[_Slice]:
    versions, segments = world.states.subjects(model.name, bins_id)
    yield _Slice()
    yield from (_Slice(version=version) for version in versions)
    yield from (_Slice("", key, value) for key, value in segments)


def _add(
    world: World, model: Model, window: Window, part: _Slice, before: dict[_Slice, _Kept],
    profile: list[dict[str, Any]], drift: list[dict[str, Any]],
) -> None:  # fmt: skip
    reference = world.baselines.judging(model, window)
    if reference is None:
        return
    bins_id = reference.bins.bins_id
    segment = (part.key, part.value)
    current = world.states.total(model.name, bins_id, window, version=part.version, segment=segment)
    if current is None or not current.rows:
        return
    subject = {
        "window": {"start": window.start, "end": window.end}, "granularity": _GRANULARITY[str(window.grain)],
        "monitor_version": 0, "model_name": model.name, "model_id": part.version or None,
        "slice_key": part.key or None, "slice_value": part.value or None, "baseline_id": reference.baseline_id,
        "bins_id": bins_id,
    }  # fmt: skip
    version = world.states.watermark(model.name, bins_id)
    against: dict[str, tuple[Window | None, Reference]] = {"BASELINE": (None, reference)}
    if (kept := before.get(part)) is not None:
        against["CONSECUTIVE"] = (kept.window, Reference("previous", "", reference.bins, kept.profile))
    for kind, (compared, side) in against.items():
        comparison = compare(side, current, weights=model.weights, now=window.end)
        measured = dict(comparison.features)
        if comparison.score is not None:
            measured["prediction"] = comparison.score  # as Databricks calls it, whatever the table does
        if kind == "BASELINE":
            for log_type in ("INPUT", "BASELINE"):
                profile.extend(_profile_rows(subject, measured, log_type, version))
        drift.extend(_drift_rows(subject, measured, kind, compared))
    before[part] = _Kept(window, current)


def _profile_rows(
    subject: dict[str, Any], measured: dict[str, FeatureComparison], log_type: str,
    version: int | None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    shared = subject | {"log_type": log_type, "logging_table_commit_version": version}
    present = []
    rows = 0
    for name, feature in measured.items():
        side = feature.current if log_type == "INPUT" else feature.reference
        if side is None:
            continue
        rows = max(rows, side.count)
        if side.count > side.missing:
            present.append(name)
        yield shared | {"column_name": name, "data_type": str(feature.kind)} | _described(side)
    yield shared | {"column_name": TABLE, "count": rows, "non_null_columns": sorted(present)}


def _described(side: SideStatistics) -> dict[str, Any]:
    present = side.count - side.missing
    quantiles = [getattr(side, name) for name in _QUANTILES]
    return {
        "count": side.count, "num_nulls": side.missing, "avg": side.mean,
        "quantiles": None if None in quantiles else quantiles, "min": side.min, "max": side.max, "stddev": side.std,
        "num_zeros": None if side.zero_share is None else round(side.zero_share * present), "num_nan": side.infinite,
        "avg_length": side.length_mean,
        "frequent_items": None if side.top is None else [{"item": t.level, "count": t.count} for t in side.top],
        "median": side.median, "distinct_count": side.distinct,
        "percent_nan": _percent(side.infinite, side.count), "percent_null": _percent(side.missing, side.count),
        "percent_zeros": None if side.zero_share is None else 100.0 * side.zero_share,
        "percent_distinct": _percent(side.distinct, side.count),
    }  # fmt: skip


def _drift_rows(
    subject: dict[str, Any], measured: dict[str, FeatureComparison], kind: str,
    compared: Window | None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    shared = subject | {
        "drift_type": kind,
        "window_cmp": None if compared is None else {"start": compared.start, "end": compared.end},
    }
    gone = came = 0
    rows = [0, 0]
    for name, feature in measured.items():
        before, now = feature.reference, feature.current
        rows = [max(most, side.count if side else 0) for most, side in zip(rows, (before, now), strict=True)]
        had = before is not None and before.count > before.missing
        has = now is not None and now.count > now.missing
        gone, came = gone + (had and not has), came + (has and not had)
        yield shared | {"column_name": name, "data_type": str(feature.kind)} | _moved(feature)
    yield shared | {
        "column_name": TABLE, "count_delta": rows[1] - rows[0],
        "non_null_columns_delta": {"added": came, "missing": gone},
    }  # fmt: skip


def _moved(feature: FeatureComparison) -> dict[str, Any]:
    total_variation, largest = _cell_distances(feature)
    before = _described(feature.reference) if feature.reference is not None else {}
    now = _described(feature.current) if feature.current is not None else {}
    deltas = {f"{name}_delta": _difference(now.get(name), before.get(name)) for name in _DELTAS}
    return deltas | {
        "js_distance": feature.js_distance, "ks_test": _test(feature.ks, feature.ks_p_value),
        "wasserstein_distance": feature.extra.get("wasserstein"), "population_stability_index": feature.psi,
        "chi_squared_test": _test(feature.chi2, feature.chi2_p_value), "tv_distance": total_variation,
        "l_infinity_distance": largest, "kl_divergence": feature.kl, "psi_q_value": feature.psi_q_value,
    }  # fmt: skip


_DELTAS = ("count", "avg", "percent_null", "percent_zeros", "percent_distinct")


def _cell_distances(feature: FeatureComparison) -> tuple[float | None, float | None]:
    """Total variation and largest difference of the shares of the comparison cells."""
    reference, current = (sum(getattr(cell, side) for cell in feature.cells) for side in ("reference", "current"))
    if not reference or not current:
        return None, None
    gaps = [abs(cell.reference / reference - cell.current / current) for cell in feature.cells]
    return sum(gaps) / 2, max(gaps)


def _test(statistic: float | None, p_value: float | None) -> dict[str, float | None] | None:
    return None if statistic is None else {"statistic": statistic, "pvalue": p_value}


def _percent(part: int | None, count: int) -> float | None:
    return None if part is None or not count else 100.0 * part / count


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
