"""The engine of one machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.domain.profile import LevelBins, TextBins
from tiltmeter.domain.window import Grain
from tiltmeter.engines.local.untyped import as_text
from tiltmeter.profiling.fit import fit_bins
from tiltmeter.profiling.hours import profile_hours
from tiltmeter.profiling.kernel import profile_rows
from tiltmeter.profiling.score_sums import score_sums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.feature import ColumnRoles
    from tiltmeter.domain.profile import Bins, Profile
    from tiltmeter.ports import Rows, StateKey
    from tiltmeter.statistics.root_cause import SegmentSums
    from tiltmeter.statistics.segmenting import Segmentation


class LocalEngine:
    """Runs the kernel in this process."""

    name = "local"

    def fit(self, rows: Rows, roles: ColumnRoles, *, level_cap: int = 10_000) -> Bins:
        """Freeze kinds, edges, levels and scales.

        Raises:
            EmptyWindow: there are no rows.
            UsageError: a named column does not exist.
        """
        words = [name for name, kind in roles.kinds.items() if not kind.is_binned]
        typed = as_text(rows, words)
        bins = fit_bins(typed, roles, level_cap=level_cap)
        # Each file of a folder guesses by itself: 07001 is a number in one that shows no word beside it. Levels are
        # counted as they are spelt, so they are frozen as they are spelt.
        spelt = as_text(typed, _text_features(bins))
        return bins if spelt is typed else fit_bins(spelt, roles, level_cap=level_cap)

    def profile(self, rows: Rows, bins: Bins) -> Profile:
        """All rows as one profile."""
        return profile_rows(as_text(rows, _text_features(bins)), bins)

    def score_sums(
        self, rows: Rows, bins: Bins, segmentations: Mapping[str, Segmentation]
    ) -> Mapping[str, SegmentSums]:
        """Rows with a score, and their scores less the baseline's median score, by segment of each feature."""
        return score_sums(as_text(rows, _text_features(bins)), bins, segmentations)

    def profile_hours(
        self,
        rows: Rows,
        bins: Bins,
        *,
        model: str,
        time: str,
        version: str | None,
        segments: Sequence[str],
        zone: ZoneInfo,
        grain: Grain = Grain.HOUR,
    ) -> Mapping[StateKey, Profile]:
        """One additive profile per clock hour, version and segment value; in addition the total ("")."""
        typed = as_text(rows, _text_features(bins))
        return profile_hours(
            typed, bins, model=model, time=time, version=version, segments=segments, zone=zone, grain=grain
        )


def _text_features(bins: Bins) -> list[str]:
    # A file without types (CSV) has its categories read as the text they are: "07" is no 7. Those of files that
    # disagree are held against no type ("any"), and are text all the same.
    return [
        name
        for name, feature in bins.features.items()
        if isinstance(feature.cells, TextBins)
        or (isinstance(feature.cells, LevelBins) and feature.cells.source in ("text", "any"))
    ]
