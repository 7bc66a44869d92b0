"""Which segments the rows of a feature fall into when the shift of a mean is split along it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.profile import LevelBins, LevelProfile, NumericBins
from tiltmeter.statistics.cells import MISSING, OTHER
from tiltmeter.statistics.edges import range_names
from tiltmeter.statistics.root_cause import LEAST_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiltmeter.domain.profile import FeatureBins, FeatureProfile


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The segments of one feature, by position; the last one holds the rows without a value.

    Args:
        names: a number's decile bins, or a category's frozen levels, then its new levels that stand alone, then
            `(other)`; last `(missing)`.
        new: position by name of the levels that the baseline lacks; any further one belongs to `(other)`.
    """

    names: Sequence[str]
    new: Mapping[str, int] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Position of the rows without a value."""
        return len(self.names) - 1

    @property
    def other(self) -> int:
        """Position of the levels without a segment of their own; of categories only."""
        return len(self.names) - 2


def segmentation_of(bins: FeatureBins, profiles: Sequence[FeatureProfile]) -> Segmentation | None:
    """The segments of a feature; None for free text, identifiers and dates, which are others in every window.

    Args:
        bins: the feature's frozen cells.
        profiles: of both sides; their new levels with enough rows become segments.
    """
    cells = bins.cells
    if isinstance(cells, NumericBins):
        if bins.kind is FeatureKind.DATETIME:
            return None
        return Segmentation((*range_names(cells.edges[cells.deciles], range(cells.deciles.size + 1)), MISSING))
    if not isinstance(cells, LevelBins):
        return None
    came = {
        name
        for profile in profiles
        if isinstance(profile, LevelProfile)
        for name, rows in profile.new.items()
        if rows >= LEAST_ROWS
    }
    new = {name: position for position, name in enumerate(sorted(came), start=len(cells.levels))}
    return Segmentation((*cells.levels, *new, OTHER, MISSING), new)
