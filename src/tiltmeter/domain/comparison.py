"""The outcome of holding a window against its reference: every number of `compare --json`, as typed values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Status
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.feature import FeatureKind
    from tiltmeter.domain.score_shift import ScoreShift


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a category and its rows."""

    level: str
    count: int


@dataclass(frozen=True, slots=True)
class SideStatistics:
    """Feature statistics of one side. None where the kind has no such number or it cannot be computed.

    Quantiles are upper edges of fine bins, clipped to [min, max]. Shares are of all rows, missing included, except
    `zero_share`, which is of the non-missing.
    """

    count: int
    missing: int
    missing_share: float | None
    infinite: int | None = None
    extreme: int | None = None
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    median: float | None = None
    q01: float | None = None
    q05: float | None = None
    q25: float | None = None
    q75: float | None = None
    q95: float | None = None
    q99: float | None = None
    zero_share: float | None = None
    distinct: int | None = None
    distinct_error: float | None = None
    top: tuple[Level, ...] | None = None
    length_mean: float | None = None
    freshness_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LevelChange:
    """Levels that came or went: how many, the rows they hold, their share, and at most 20 names."""

    count: int
    rows: int
    share: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SidePair:
    """One number on each side."""

    reference: float | None
    current: float | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One comparison cell for a picture: its name and the rows on each side."""

    name: str
    reference: int
    current: int


@dataclass(frozen=True, slots=True)
class Step:
    """A feature against the window before: as long a span, right before the one that is judged.

    Args:
        previous: its statistics then.
        rows_tested: rows then as tests count them.
        mean: change of the mean in standard deviations of the reference; None where either is unknown, and of dates.
        mean_p_value: two-sided.
        missing: change of the missing share, in [-1, 1].
        missing_p_value: two-sided.
    """

    previous: SideStatistics
    rows_tested: int
    mean: float | None
    mean_p_value: float | None
    missing: float | None
    missing_p_value: float | None


@dataclass(frozen=True, slots=True)
class FeatureComparison:
    """Everything measured about one feature. `why` holds a reason for every None that has one."""

    name: str
    kind: FeatureKind
    status: Status
    severity: Severity
    reference: SideStatistics | None
    current: SideStatistics | None
    psi: float | None = None
    psi_p_value: float | None = None
    psi_q_value: float | None = None
    psi_lower: float | None = None
    psi_noise_floor: float | None = None
    psi_bins: int | None = None
    kl: float | None = None
    js_distance: float | None = None
    ks: float | None = None
    ks_upper: float | None = None
    ks_p_value: float | None = None
    chi2: float | None = None
    chi2_p_value: float | None = None
    chi2_df: int | None = None
    cramers_v: float | None = None
    test_q_value: float | None = None
    minimum_detectable: float | None = None
    out_of_range: float | None = None
    out_of_range_p_value: float | None = None
    missing_change: float | None = None
    missing_p_value: float | None = None
    new_level_excess: float | None = None
    new_level_p_value: float | None = None
    outliers_iqr: SidePair | None = None
    outliers_z: SidePair | None = None
    new_levels: LevelChange | None = None
    lost_levels: LevelChange | None = None
    extra: Mapping[str, float | None] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = ()
    cells: tuple[Cell, ...] = ()
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class Overall:
    """The comparison in five numbers. `severity` is that of the overall rule."""

    psi: float | None
    score_psi: float | None
    features: int
    features_warning: int
    features_critical: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class Comparison:
    """A window held against its reference.

    Args:
        rows_reference: rows of the reference side.
        rows_current: rows of the window.
        features: by name, score and label left out.
        score: the score's own comparison, None without a score.
        overall: the summary.
        n_reference: distinct entities where they are fewer than the rows, else the rows.
        n_current: the same of the window.
        schema_changes: features gone or retyped, the score among them.
        new_columns: columns that the bins do not know.
        conversion_reference: share of converted rows, None without a label.
        conversion_current: the same of the window.
        score_shift: the change of the mean score and what it came from, None without a score.
    """

    rows_reference: int
    rows_current: int
    features: Mapping[str, FeatureComparison]
    score: FeatureComparison | None
    overall: Overall
    n_reference: int
    n_current: int
    schema_changes: int = 0
    new_columns: tuple[str, ...] = ()
    conversion_reference: float | None = None
    conversion_current: float | None = None
    score_shift: ScoreShift | None = None

    @property
    def drifted(self) -> list[str]:
        """Names of the features at warning or above, worst first."""
        found = [f for f in self.features.values() if f.severity >= Severity.WARNING]
        return [f.name for f in sorted(found, key=lambda f: (-f.severity, -(f.psi or 0.0), f.name))]


__all__ = [
    "Cell",
    "Comparison",
    "FeatureComparison",
    "Level",
    "LevelChange",
    "Overall",
    "SidePair",
    "SideStatistics",
    "Status",
    "Step",
]
