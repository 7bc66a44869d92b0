"""Many windows against one reference, a NumPy call for all of them: the numbers that rules look at, no words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltmeter.domain.comparison import SideStatistics
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Status
from tiltmeter.domain.profile import LevelBins, LevelProfile, NumericBins, NumericProfile
from tiltmeter.domain.severity import Severity
from tiltmeter.statistics.comparison import MOST_PSI
from tiltmeter.statistics.drift import chi2, js, kl, ks, psi
from tiltmeter.statistics.features import FeatureNumbers, absence, status_of
from tiltmeter.statistics.intervals import at_least_p_values, rise_p_values
from tiltmeter.statistics.levels import expected_share
from tiltmeter.statistics.multiplicity import q_columns
from tiltmeter.statistics.outliers import rows_beyond
from tiltmeter.statistics.ranges import likely_share
from tiltmeter.statistics.series_cells import WindowRows, pooled, widest_gaps
from tiltmeter.statistics.tested import Tested, rows_tested

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tiltmeter.domain.baseline import Reference
    from tiltmeter.domain.profile import FeatureBins, FeatureProfile, Profile
    from tiltmeter.statistics.blocks import FilledCells

Columns = dict[str, np.ndarray]
"""Numbers by their field in a comparison, float64, shape (windows,); NaN where there is none."""

_OF_CELLS: Mapping[str, tuple[Callable[[FilledCells], Columns], frozenset[FeatureKind]]] = {
    "psi": (psi.in_columns, psi.PSI.kinds),
    "kl": (kl.in_columns, kl.KL.kinds),
    "js_distance": (js.in_columns, js.JS.kinds),
    "chi2": (chi2.in_columns, chi2.CHI2.kinds),
}

_LOST = frozenset({Status.MISSING_COLUMN, Status.TYPE_CHANGED})
ABSENT = _LOST | {Status.NEW_COLUMN}
"""What keeps a feature out of the columns."""

IN_COLUMNS = frozenset({*_OF_CELLS, "ks"})
"""Drift statistics that exist in this form."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSeries:
    """One feature in all windows.

    Args:
        bins: its frozen cells.
        statuses: per window.
        rows: rows of the feature per window, 0 where it cannot be compared.
        missing: missing rows likewise.
        columns: what was measured.
    """

    bins: FeatureBins
    statuses: Sequence[Status]
    rows: Sequence[int]
    missing: Sequence[int]
    columns: Columns

    def value(self, name: str, window: int) -> float | None:
        """One number of one window."""
        column = self.columns.get(name)
        found = math.nan if column is None else column.item(window)
        return None if math.isnan(found) else found

    def listed(self, name: str) -> list[float | None]:
        """One number of all windows."""
        column = self.columns.get(name)
        if column is None:
            return [None] * len(self.rows)
        return as_listed(column)


def as_listed(column: np.ndarray) -> list[float | None]:
    """A column as numbers, None for NaN."""
    found = column.astype(object)
    found[np.isnan(column)] = None
    listed: list[float | None] = found.tolist()
    return listed


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """All features in all windows.

    Args:
        features: by name, the score included.
        n: rows of each window as tests count them.
        m: rows of the reference likewise.
    """

    features: Mapping[str, FeatureSeries]
    n: np.ndarray
    m: int


def measured_series(reference: Reference, profiles: Sequence[Profile], statistics: Collection[str]) -> Series:
    """The numbers of several windows, each equal to what `compare` says of the window alone.

    Args:
        reference: frozen bins and the reference rows in them.
        profiles: windows with rows, counted in these bins.
        statistics: names of the drift statistics to compute; those not in `IN_COLUMNS` are passed over.
    """
    bins = reference.bins
    n, m = np.array([rows_tested(profile) for profile in profiles], dtype=np.int64), rows_tested(reference.profile)
    features = {
        name: _feature(feature, reference.profile.features.get(name), profiles, (n, m), statistics)
        for name, feature in bins.features.items()
        if not name or name not in (bins.label, bins.entity)
    }
    for p_value, q_value in (("psi_p_value", "psi_q_value"), ("test_p_value", "test_q_value")):
        tested = [one for one in features.values() if p_value in one.columns]
        if tested:
            found = q_columns(np.array([one.columns[p_value] for one in tested]))
            for one, column in zip(tested, found, strict=True):
                one.columns[q_value] = column
    return Series(features, n, m)


def weighted_psi_series(series: Series, weights: Mapping[str, float], score: str) -> np.ndarray:
    """The weighted PSI of each window, NaN where no feature has one: `weighted_psi` of all windows.

    Args:
        series: the windows.
        weights: importance by name; 1 where absent, 0 leaves a feature out.
        score: name of the score, which is left out, or "".
    """
    total, weight = np.zeros(series.n.size), np.zeros(series.n.size)
    for name, feature in series.features.items():
        if score and name == score:
            continue
        share = max(0.0, weights.get(name, 1.0))
        values = np.minimum(feature.columns.get("psi", np.full(series.n.size, np.nan)), MOST_PSI)
        values = np.where([status in _LOST for status in feature.statuses], MOST_PSI, values)
        known = ~np.isnan(values)
        total[known] += share * values[known]
        weight[known] += share
    found = np.full(series.n.size, np.nan)
    np.divide(total, weight, out=found, where=weight > 0.0)
    return found


def quiet_numbers(series: Series, window: int, loud: Collection[str]) -> dict[str, FeatureNumbers]:
    """What is known of the features that nobody asks about: their drift, rows and missing rows.

    Args:
        series: the windows.
        window: which one.
        loud: features to leave out, which are described in full.
    """
    return {name: _numbers(one, window) for name, one in series.features.items() if name not in loud}


def _numbers(feature: FeatureSeries, window: int) -> FeatureNumbers:
    kind, rows, missing = feature.bins.kind, feature.rows[window], feature.missing[window]
    own = "ks_p_value" if kind.is_binned else "chi2_p_value"
    fields: dict[str, Any] = {
        "name": feature.bins.name, "kind": kind, "status": feature.statuses[window], "severity": Severity.NONE,
        "reference": None, "current": SideStatistics(rows, missing, missing / rows if rows else None),
        "psi": feature.value("psi", window), "psi_p_value": feature.value("psi_p_value", window),
        own: feature.value("test_p_value", window),
    }  # fmt: skip
    return FeatureNumbers(fields, is_explained=False)


def _feature(
    bins: FeatureBins,
    reference: FeatureProfile | None,
    profiles: Sequence[Profile],
    tested: tuple[np.ndarray, int],
    statistics: Collection[str],
) -> FeatureSeries:
    absent = [absence(bins, reference, profile) for profile in profiles]
    here = [window for window, status in enumerate(absent) if status is None]
    windows = [profiles[window].features[bins.name] for window in here]
    statuses: list[Status] = [status or Status.OK for status in absent]
    rows, missing = [0] * len(profiles), [0] * len(profiles)
    if reference is None:
        return FeatureSeries(bins, statuses, rows, missing, {})
    counts, m = tested[0].tolist(), tested[1]
    for window, one in zip(here, windows, strict=True):
        rows[window], missing[window] = one.rows, one.missing
        statuses[window] = status_of(reference, one, Tested(m, counts[window]))
    held = [(window, one) for window, one in zip(here, windows, strict=True) if one.rows >= 1]
    found: Columns = {}
    if held and reference.rows >= 1:
        places = np.array([window for window, _ in held], dtype=np.intp)
        columns = _measured(bins, reference, [one for _, one in held], (tested[0][places], m), statistics)
        found = {name: _spread(column, places, len(profiles)) for name, column in columns.items()}
    return FeatureSeries(bins, statuses, rows, missing, found)


def _spread(column: np.ndarray, places: np.ndarray, windows: int) -> np.ndarray:
    if places.size == windows:
        return column
    whole = np.full(windows, np.nan)
    whole[places] = column
    return whole


def _measured(
    bins: FeatureBins,
    reference: FeatureProfile,
    windows: Sequence[FeatureProfile],
    tested: tuple[np.ndarray, int],
    statistics: Collection[str],
) -> Columns:
    rows = np.array([one.rows for one in windows], dtype=np.int64)
    missing = np.array([one.missing for one in windows], dtype=np.int64)
    sides = WindowRows(rows, missing, tested[0], reference.rows, reference.missing, tested[1])
    before, after = reference.missing / reference.rows, missing / rows
    m, n = sides.m, sides.n
    found: Columns = {
        "missing_change": after - before,
        "missing_p_value": rise_p_values(before * m, m, after * n, n),
    }
    cells = bins.cells
    if isinstance(cells, NumericBins) and isinstance(reference, NumericProfile):
        numbers = [one for one in windows if isinstance(one, NumericProfile)]
        found |= _numeric(bins, cells, (reference, numbers), sides, statistics)
    elif isinstance(cells, LevelBins) and isinstance(reference, LevelProfile):
        levels = [one for one in windows if isinstance(one, LevelProfile)]
        found |= _levels(bins, (reference, levels), sides, statistics)
    return found


def _numeric(
    bins: FeatureBins,
    cells: NumericBins,
    profiles: tuple[NumericProfile, Sequence[NumericProfile]],
    sides: WindowRows,
    statistics: Collection[str],
) -> Columns:
    reference, windows = profiles
    below = np.array([one.counts for one in windows]).astype(np.float64)
    np.add.accumulate(below, axis=1, out=below)
    ends = np.append(cells.deciles, cells.edges.size)
    reference_below = np.add.accumulate(reference.counts, dtype=np.int64)
    theirs = reference_below.take(ends)
    current, before = np.diff(below.take(ends, axis=1), axis=1, prepend=0), np.diff(theirs, prepend=0)
    found = _of_cells(bins, sides, current.astype(np.int64), before, statistics)
    if cells.range and bins.kind is not FeatureKind.DATETIME and sides.m >= 1:
        low, high = cells.range
        beyond = below[:, low] + below[:, -1] - below[:, high]
        likely = likely_share(rows_beyond(reference_below, cells.range), sides.reference_rows, sides.m)
        found["out_of_range"], found["out_of_range_p_value"] = _beyond_chance(beyond, sides, likely)
    if "ks" in statistics:
        gaps = widest_gaps(cells, reference, windows, below)
        found["ks"] = gaps.ks
        found["ks_p_value"] = found["test_p_value"] = np.full(sides.rows.size, np.nan)
        known = np.flatnonzero(~np.isnan(gaps.ks))
        if known.size:
            values = ks.effective(gaps.current[known], sides.rows[known], sides.n[known])
            against = ks.effective(np.array(float(gaps.reference)), np.array(sides.reference_rows), np.array(sides.m))
            found["ks_p_value"][known] = ks.p_values(gaps.ks[known], values, against)
    return found


def _levels(
    bins: FeatureBins,
    profiles: tuple[LevelProfile, Sequence[LevelProfile]],
    sides: WindowRows,
    statistics: Collection[str],
) -> Columns:
    reference, windows = profiles
    current = np.array([one.counts for one in windows])
    found = _of_cells(bins, sides, current, reference.counts, statistics)
    if "chi2_p_value" in found:
        found["test_p_value"] = found["chi2_p_value"]
    if sides.m >= 1:
        revived = current[:, reference.counts == 0].sum(axis=1)
        known = [sum(rows for level, rows in one.new.items() if level in reference.new) for one in windows]
        rows = revived + np.array([one.new_rows for one in windows]) - np.array(known)
        expected, likely = expected_share(reference, sides.m)
        found["new_level_share"], found["new_level_p_value"] = _beyond_chance(rows, sides, likely)
        found["new_level_excess"] = np.maximum(0.0, found["new_level_share"] - expected)
    return found


def _beyond_chance(rows: np.ndarray, sides: WindowRows, likely: float) -> tuple[np.ndarray, np.ndarray]:
    """Share of these rows in each window, and the chance of at least that many; NaN where nothing is tested."""
    share = rows / sides.rows
    seen = np.where(sides.n == sides.rows, rows, np.floor(share * sides.n))
    is_tested = sides.n >= 1
    return np.where(is_tested, share, np.nan), np.where(is_tested, at_least_p_values(seen, sides.n, likely), np.nan)


def _of_cells(
    bins: FeatureBins, sides: WindowRows, current: np.ndarray, reference: np.ndarray, statistics: Collection[str]
) -> Columns:
    cells = pooled(sides, current, reference, are_levels=bins.kind.has_levels)
    found: Columns = {}
    for name, (columns, kinds) in _OF_CELLS.items():
        if name in statistics and bins.kind in kinds:
            found |= columns(cells.filled)
    # A single cell of everything rare says nothing.
    lost = {name: np.where(cells.only_other, np.nan, column) for name, column in found.items() if name != "psi_bins"}
    return found | lost
