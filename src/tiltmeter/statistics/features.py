"""One feature of a window against its reference."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltmeter.domain.comparison import Cell, FeatureComparison, SidePair
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.metric import Status
from tiltmeter.domain.profile import LevelBins, LevelProfile, NumericBins, NumericProfile, TextProfile
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.statistic import Block, Cells
from tiltmeter.statistics.cells import cell_names, level_cells, numeric_cells
from tiltmeter.statistics.edges import fine_bins, rows_below
from tiltmeter.statistics.hints import apart, nothing_in_common, stand_in_level, stand_in_number
from tiltmeter.statistics.intervals import rise_p_value
from tiltmeter.statistics.levels import lost_levels, new_levels
from tiltmeter.statistics.outliers import rows_beyond
from tiltmeter.statistics.ranges import out_of_range
from tiltmeter.statistics.reasons import reasons
from tiltmeter.statistics.sides import described_side
from tiltmeter.statistics.tested import MIN_ROWS, Tested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.comparison import SideStatistics
    from tiltmeter.domain.profile import FeatureBins, FeatureProfile, Profile
    from tiltmeter.domain.statistic import DriftStatistic, Measured
    from tiltmeter.statistics.cells import ComparisonCells
    from tiltmeter.statistics.edges import FineBins

_FIELDS = frozenset(entry.name for entry in fields(FeatureComparison))
_NO_COUNTS = np.empty(0, dtype=np.int64)
_NO_EDGES = np.empty(0)
_NO_FLAGS = np.empty(0, dtype=bool)


@dataclass(slots=True)
class FeatureNumbers:
    """What was measured of a feature so far: the rest needs all features of the run.

    Args:
        fields: fields of `FeatureComparison` by name.
        extra: values of statistics that have no field there.
        why: reasons of what is None.
        is_explained: whether every None gets a reason in the end.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, float | None] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    is_explained: bool = True

    def keep(self, name: str, value: float | None, why: str = "") -> None:
        """File a number under its field, or under `extra` where `FeatureComparison` has no field of that name."""
        if name in _FIELDS:
            self.fields[name] = value
        else:
            self.extra[name] = value
        if value is None and why:
            self.why[name] = why

    @property
    def psi_p_value(self) -> float | None:
        """Of the family of PSI."""
        value: float | None = self.fields.get("psi_p_value")
        return value

    @property
    def test_p_value(self) -> float | None:
        """Of the family of tests: KS for numbers and dates, chi-square for levels."""
        kind: FeatureKind = self.fields["kind"]
        value: float | None = self.fields.get("ks_p_value" if kind.is_binned else "chi2_p_value")
        return value

    def completed(self, **across: float | None) -> FeatureComparison:
        """With the numbers that took all features together."""
        self.fields.update(across)
        why = reasons(self.fields["kind"], self.fields, self.why) if self.is_explained else self.why
        return FeatureComparison(**self.fields, extra=self.extra, why=why)


def fits(bins: FeatureBins, profile: FeatureProfile) -> bool:
    """Whether the profile was counted in cells of this sort."""
    cells = bins.cells
    if isinstance(cells, NumericBins):
        return isinstance(profile, NumericProfile)
    if isinstance(cells, LevelBins):
        return isinstance(profile, LevelProfile)
    return isinstance(profile, TextProfile)


def absence(bins: FeatureBins, reference: FeatureProfile | None, current: Profile) -> Status | None:
    """Why a feature cannot be compared: gone, retyped, or new; None where it can."""
    after = current.features.get(bins.name)
    if bins.name in current.retyped:
        return Status.TYPE_CHANGED
    if after is None:
        return Status.MISSING_COLUMN
    if reference is None:
        return Status.NEW_COLUMN
    return None if fits(bins, reference) and fits(bins, after) else Status.TYPE_CHANGED


@dataclass(frozen=True, slots=True, eq=False)
class DescribedFeature:
    """A feature on both sides, all but its drift statistics.

    Args:
        numbers: what is known so far.
        cells: what drift statistics see; None for text, which has none.
        only_other: whether every level was too rare to keep a cell.
    """

    numbers: FeatureNumbers
    cells: Cells | None = None
    only_other: bool = False


def describe_feature(
    bins: FeatureBins, reference: FeatureProfile, current: FeatureProfile, tested: Tested
) -> DescribedFeature:
    """Every number of one feature but its drift statistics and those that need the other features too.

    Args:
        bins: the feature's frozen cells.
        reference: the reference rows in them.
        current: the window's rows in them.
        tested: rows as tests count them.
    """
    numbers = FeatureNumbers()
    change, p_value = _missing(reference, current, tested)
    match bins.cells, reference, current:
        case NumericBins() as cells, NumericProfile() as before, NumericProfile() as after:
            sides, described = _numeric(bins, cells, (before, after), tested, numbers)
        case LevelBins() as cells, LevelProfile() as before, LevelProfile() as after:
            sides, described = _levels(bins, cells, (before, after), tested, numbers)
        case _:
            sides, described = _sides(bins, (reference, current), tested, numbers), DescribedFeature(numbers)
    numbers.fields.update(
        name=bins.name,
        kind=bins.kind,
        status=status_of(reference, current, tested),
        severity=Severity.NONE,
        reference=sides[0],
        current=sides[1],
        missing_change=change,
        missing_p_value=p_value,
    )
    return described


def measure_drift(features: Sequence[DescribedFeature], statistics: Sequence[DriftStatistic]) -> None:
    """Add the drift statistics to features of one kind; a new statistic needs no line here.

    Args:
        features: all of one kind, all with cells.
        statistics: those that do not apply to the kind are passed over.
    """
    block = Block(tuple(feature.cells for feature in features if feature.cells is not None))
    for statistic in statistics:
        if block.cells[0].kind in statistic.kinds:
            for feature, measured in zip(features, statistic.measure(block), strict=True):
                _keep(feature, statistic, measured)


def _keep(feature: DescribedFeature, statistic: DriftStatistic, measured: Measured) -> None:
    # A single cell of everything rare says nothing; statistics of the order (KS) read the fine bins instead.
    lost = feature.only_other and not statistic.order_matters and measured.value is not None
    why = "levels_too_rare" if lost else measured.why
    feature.numbers.keep(statistic.name, None if lost else measured.value, why)
    for name in statistic.parts:
        feature.numbers.keep(name, None if lost and name != "psi_bins" else measured.parts.get(name), why)


def absent_feature(
    name: str,
    kind: FeatureKind,
    status: Status,
    *,
    bins: FeatureBins | None = None,
    reference: FeatureProfile | None = None,
    current: FeatureProfile | None = None,
    found: str = "",
) -> FeatureNumbers:
    """A feature that cannot be compared: gone, retyped, or new. What is known of one side is kept.

    Args:
        name: of the column.
        kind: as the bins know it.
        status: missing_column, type_changed or new_column.
        bins: the frozen cells, where there are any.
        reference: the reference side, where it has the column.
        current: the window's side, where it has the column.
        found: what a retyped column holds now.
    """
    before = described_side(bins, reference, reference=True)[0] if bins and reference else None
    after = described_side(bins, current)[0] if bins and current else None
    hints = (f"`{name}` was {kind.value} and holds {found} now",) if found else ()
    fields = {"name": name, "kind": kind, "status": status, "severity": Severity.NONE, "hints": hints}
    why = dict.fromkeys(reasons(kind, {}, {}), status.value)
    return FeatureNumbers({**fields, "reference": before, "current": after}, {}, why)


def _sides(
    bins: FeatureBins,
    profiles: tuple[FeatureProfile, FeatureProfile],
    tested: Tested,
    numbers: FeatureNumbers,
    fine: FineBins | None = None,
) -> tuple[SideStatistics, SideStatistics]:
    before, why_before = tested.known.get(bins.name) or described_side(
        bins, profiles[0], reference=True, now=tested.now, fine=fine, row=0
    )
    if bins.kind is not FeatureKind.DATETIME:  # whose freshness grows with the window's end
        tested.known[bins.name] = before, why_before
    after, why_after = described_side(bins, profiles[1], now=tested.now, fine=fine, row=1)
    numbers.why.update({f"reference.{name}": reason for name, reason in why_before.items()})
    numbers.why.update({f"current.{name}": reason for name, reason in why_after.items()})
    return before, after


def _numeric(
    bins: FeatureBins,
    cells: NumericBins,
    profiles: tuple[NumericProfile, NumericProfile],
    tested: Tested,
    numbers: FeatureNumbers,
) -> tuple[tuple[SideStatistics, SideStatistics], DescribedFeature]:
    below = rows_below(profiles)
    fine = fine_bins(cells, profiles, below)
    sides = _sides(bins, profiles, tested, numbers, fine)
    pooled = numeric_cells(cells, profiles, (tested.m, tested.n), below)
    minima = [profile.minimum for profile in profiles if profile.minimum is not None]
    maxima = [profile.maximum for profile in profiles if profile.maximum is not None]
    seen = Cells(
        reference=pooled.reference,
        current=pooled.current,
        reference_below=fine.below[0],
        current_below=fine.below[1],
        fine_edges=fine.edges,
        single_valued=fine.single_valued(),
        n=tested.n,
        m=tested.m,
        kind=bins.kind,
        std_reference=sides[0].std,
        minimum=min(minima, default=None),
        maximum=max(maxima, default=None),
    )
    _fences(cells, below, (profiles[0].rows, profiles[1].rows), tested, numbers)
    names = cell_names(cells, pooled, dates=bins.kind.value == "datetime")
    numbers.fields["cells"] = _pictured(names, pooled)
    numbers.fields["hints"] = stand_in_number(bins.name, fine, sides) + apart(*sides)
    return sides, DescribedFeature(numbers, seen, pooled.only_other)


def _fences(
    cells: NumericBins, below: np.ndarray, rows: tuple[int, int], tested: Tested, numbers: FeatureNumbers
) -> None:
    for name, fence, why in (("outliers_iqr", cells.iqr, "iqr_zero"), ("outliers_z", cells.z, "std_zero")):
        if fence is None:
            numbers.why[name] = why if cells.range else "no_values_in_baseline"
        else:
            shares = [rows_beyond(side, fence) / of if of else None for side, of in zip(below, rows, strict=True)]
            numbers.fields[name] = SidePair(*shares)
    found = None
    if cells.range:
        found = out_of_range((rows_beyond(below[0], cells.range), rows_beyond(below[1], cells.range)), rows, tested)
    if found is None:
        reason = "no_rows" if cells.range else "no_values_in_baseline"
        numbers.why.update(out_of_range=reason, out_of_range_p_value=reason)
    else:
        numbers.fields["out_of_range"], numbers.fields["out_of_range_p_value"] = found


def _levels(
    bins: FeatureBins,
    cells: LevelBins,
    profiles: tuple[LevelProfile, LevelProfile],
    tested: Tested,
    numbers: FeatureNumbers,
) -> tuple[tuple[SideStatistics, SideStatistics], DescribedFeature]:
    sides = _sides(bins, profiles, tested, numbers)
    pooled = level_cells(profiles, (tested.m, tested.n))
    seen = Cells(
        reference=pooled.reference,
        current=pooled.current,
        reference_below=_NO_COUNTS,
        current_below=_NO_COUNTS,
        fine_edges=_NO_EDGES,
        single_valued=_NO_FLAGS,
        n=tested.n,
        m=tested.m,
        kind=bins.kind,
    )
    new = new_levels(cells, profiles[0], profiles[1], n=tested.n, m=tested.m)
    if new is not None:
        numbers.fields.update(new_levels=new.change, new_level_excess=new.excess, new_level_p_value=new.p_value)
    numbers.fields["lost_levels"] = lost_levels(cells, profiles[0], profiles[1])
    numbers.fields["cells"] = _pictured(cell_names(cells, pooled), pooled)
    numbers.fields["hints"] = stand_in_level(bins.name, cells, profiles) + nothing_in_common(*profiles)
    return sides, DescribedFeature(numbers, seen, pooled.only_other)


def _missing(reference: FeatureProfile, current: FeatureProfile, tested: Tested) -> tuple[float | None, float | None]:
    if reference.rows < 1 or current.rows < 1:
        return None, None
    before, after = reference.missing / reference.rows, current.missing / current.rows
    # Shares of rows, weighed as so many independent rows as there are entities.
    return after - before, rise_p_value(before * tested.m, tested.m, after * tested.n, tested.n)


def _pictured(names: list[str], cells: ComparisonCells) -> tuple[Cell, ...]:
    return tuple(map(Cell, names, cells.reference.tolist(), cells.current.tolist()))


def status_of(reference: FeatureProfile, current: FeatureProfile, tested: Tested) -> Status:
    """What the numbers of a feature with rows on both sides of its bins mean."""
    if current.rows < 1 or reference.rows < 1:
        return Status.EMPTY
    if min(tested.n, tested.m) < MIN_ROWS:
        return Status.TOO_FEW_ROWS
    if current.missing == current.rows:
        return Status.ALL_MISSING
    if reference.missing or current.missing:
        return Status.OK
    return Status.CONSTANT if _one_value(reference, current) else Status.OK


def _one_value(reference: FeatureProfile, current: FeatureProfile) -> bool:
    """Whether both sides hold the same single value."""
    if isinstance(reference, NumericProfile) and isinstance(current, NumericProfile):
        least = reference.minimum
        if least is None or not least == reference.maximum == current.minimum == current.maximum:
            return False
        return not any(side.negative_infinite or side.positive_infinite for side in (reference, current))
    if isinstance(reference, LevelProfile) and isinstance(current, LevelProfile):
        positions = np.flatnonzero(reference.counts)
        alone = positions.size == 1 and reference.new_rows == 0 and current.new_rows == 0
        return alone and int(current.counts[positions[0]]) == current.rows
    return False
