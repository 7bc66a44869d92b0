"""What moved the mean score: one more pass over both sides, made when there is a shift to explain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.window import Window
from tiltmeter.statistics.comparison import compare
from tiltmeter.statistics.root_cause import NOT_READ, decompose, ranked
from tiltmeter.statistics.segmenting import segmentation_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.alert import Alert
    from tiltmeter.domain.comparison import Comparison
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.score_shift import FeaturePart, ScoreShift
    from tiltmeter.ports import Engine, Rows, World
    from tiltmeter.statistics.segmenting import Segmentation

MOST_FEATURES = 100
"""Features that a shift is split by, those with the largest PSI: a mix that did not change explains nothing."""


def with_causes(
    comparison: Comparison, reference: Reference, current: Profile, rows: tuple[Rows, Rows], engine: Engine
) -> Comparison:
    """The comparison with the shift of its mean score split along every feature; as it is where the mean did not move.

    Args:
        comparison: of both sides.
        reference: frozen bins and the reference rows in them.
        current: the current rows in the same bins.
        rows: both sides, reference first; read once more, the compared features and the score alone.
        engine: that reads them.
    """
    shift = comparison.score_shift
    if shift is None or shift.why != NOT_READ:
        return comparison
    segmentations = _segmentations(comparison, reference, current)
    found = _parts(reference, rows, segmentations, engine) if segmentations else ()
    explained = replace(shift, features=found, why="" if found else "no_features")
    return replace(comparison, score_shift=explained)


@dataclass(frozen=True, slots=True)
class WindowShift:
    """The change of a model's mean score from one window to another."""

    before: Window
    now: Window
    shift: ScoreShift


def shift_behind(alert: Alert, world: World) -> WindowShift | None:
    """What moved the score that an alert speaks of: a window in breach against the last one before the breach began.

    Args:
        alert: any alert.
        world: its log is read: the rows of both windows, twice.

    Returns:
        None where the alert speaks of something else, of a part of the rows, or of a model without a score.
    """
    metric, model = alert.metric, world.models.get(alert.subject.model)
    is_whole = not (alert.subject.model_version or alert.subject.feature or alert.subject.segment_key)
    if metric is None or model is None or metric.name not in _OF_THE_SCORE or not is_whole:
        return None
    before, now = windows_of(alert, metric.window)
    bins = world.baselines.bins(model, now.end)
    if bins is None or not bins.score:
        return None
    rows = (world.log.rows(model, before), world.log.rows(model, now))
    profiles = [world.engine.profile(side, bins) for side in rows]
    reference = Reference("before", "", bins, profiles[0])
    found = with_causes(compare(reference, profiles[1]), reference, profiles[1], rows, world.engine).score_shift
    return None if found is None else WindowShift(before, now, found)


def windows_of(alert: Alert, judged: Window) -> tuple[Window, Window]:
    """The last window before the breach began, and one in breach: the newest, or the first of an alert that is over.

    Args:
        alert: fired at some time.
        judged: window of its newest number.
    """
    # `since` is the end of the first window in breach.
    first = judged if alert.since is None else Window(alert.since - judged.length, alert.since, judged.grain)
    first = min(first, judged)
    return first.previous, judged if alert.state is AlertState.FIRING else first


_OF_THE_SCORE = ("drift.score_psi", "drift.overall_psi")


def _segmentations(comparison: Comparison, reference: Reference, current: Profile) -> dict[str, Segmentation]:
    measured = [feature for feature in comparison.features.values() if feature.psi is not None]
    found = {}
    for feature in sorted(measured, key=lambda one: (-(one.psi or 0.0), one.name))[:MOST_FEATURES]:
        profiles = (reference.profile.features[feature.name], current.features[feature.name])
        segmentation = segmentation_of(reference.bins.features[feature.name], profiles)
        if segmentation is not None:
            found[feature.name] = segmentation
    return found


def _parts(
    reference: Reference, rows: tuple[Rows, Rows], segmentations: Mapping[str, Segmentation], engine: Engine
) -> tuple[FeaturePart, ...]:
    bins = reference.bins
    before, after = (engine.score_sums(side, bins, segmentations) for side in rows)
    center = getattr(bins.features[bins.score].cells, "center", 0.0)
    parts = [
        decompose(name, one.names, before[name], after[name], center=center)
        for name, one in segmentations.items()
        if name in before and name in after
    ]
    return ranked([part for part in parts if part is not None])
