"""The monitors that hold a window's profile against its baseline: `features` every hour, `drift` every day and week."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Subject
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.drift import STEPS, Provenance, drift_metrics
from tiltmeter.statistics.comparison import compare
from tiltmeter.statistics.steps import with_steps
from tiltmeter.statistics.tested import rows_tested

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import Profile
    from tiltmeter.ports import World

LONGEST_SPAN = {Grain.HOUR: timedelta(hours=24), Grain.DAY: timedelta(days=7)}
"""How far a check may reach back for enough rows (decisions.md, "short windows")."""

_HOURLY_DRIFT = ("drift.psi", "drift.ks", "drift.chi2", "drift.score_psi", "drift.overall_psi")
"""What an hour keeps of drift: the distribution checks; the rest is a day's business."""


@dataclass(frozen=True, slots=True)
class Part:
    """One slice of a model's rows: a version, a segment, or everything."""

    version: str = ""
    segment: tuple[str, str] = ("", "")

    def subject(self, model: Model) -> Subject:
        """The subject of the slice's metrics."""
        return Subject(model.name, self.version, "", *self.segment)


def judged_span(
    world: World, model: Model, bins_id: str, window: Window, *, min_rows: int, part: Part = Part()
) -> tuple[Window, Profile] | None:
    """The shortest trailing span of whole hours that holds enough rows, or the longest one allowed; None without rows.

    Rows are counted as tests count them: 300 rows of 60 leads are 60.

    Args:
        world: where the stored profiles are.
        model: whose rows.
        bins_id: cells of the profiles.
        window: the schedule's window; the span ends with it.
        min_rows: rows that are enough.
        part: slice of the rows.
    """
    total = world.states.total(model.name, bins_id, window, version=part.version, segment=part.segment)
    if total is not None and rows_tested(total) >= min_rows:
        return window, total
    longest = LONGEST_SPAN.get(window.grain, window.length)
    if longest <= window.length:
        return (window, total) if total is not None else None
    reach = window.trailing(longest)
    hours = world.states.hours(model.name, bins_id, reach, version=part.version, segment=part.segment)
    start, summed = window.start, total
    for hour in sorted((h for h in hours if h < window.start), reverse=True):
        start, summed = hour, hours[hour] if summed is None else summed + hours[hour]
        if rows_tested(summed) >= min_rows:
            break
    return None if summed is None else (Window(start, window.end, window.grain), summed)


@dataclass(frozen=True, slots=True)
class ComparingMonitor:
    """Compares profiles with the judging baseline.

    Args:
        name: `features` or `drift`.
        is_complete: every drift metric, and versions and segments apart; else the hourly selection of all rows.
    """

    name: str
    is_complete: bool

    def measure(self, model: Model, window: Window, world: World) -> list[Metric]:
        """All metrics of the window; empty while the baseline is learnt and where no row lies in reach."""
        bins = world.baselines.bins(model, window.end)
        if bins is None:
            return []
        metrics: list[Metric] = []
        for part in self._parts(model, window, world, bins.bins_id):
            metrics.extend(self._measure_part(model, window, world, bins.bins_id, part))
        return metrics

    def _parts(self, model: Model, window: Window, world: World, bins_id: str) -> Iterator[Part]:
        yield Part()
        if not self.is_complete:
            return
        name = model.name
        versions, segments = world.states.subjects(name, bins_id)
        # A version that scored alone is all rows: judged apart, everything about it would be said twice.
        present = [v for v in versions if world.states.total(name, bins_id, window, version=v) is not None]
        if len(present) > 1:
            yield from (Part(version=version) for version in present)
        yield from (Part(segment=segment) for segment in segments)

    def _measure_part(self, model: Model, window: Window, world: World, bins_id: str, part: Part) -> list[Metric]:
        min_rows = max((rule.min_rows for rule in world.rules.rules if rule.metric == "drift.psi"), default=200)
        found = judged_span(world, model, bins_id, window, min_rows=min_rows, part=part)
        if found is None:
            return []
        span, current = found
        # Baselines that move are taken at the span: what is compared never lies on both sides.
        reference = world.baselines.judging(model, span)
        if reference is None:
            return []
        comparison = compare(reference, current, weights=model.weights, now=window.end)
        if self._keeps_steps(world):
            previous = world.states.total(
                model.name, bins_id, span.previous, version=part.version, segment=part.segment
            )
            comparison = with_steps(comparison, reference.bins, previous)
        provenance = Provenance(reference.baseline_id, bins_id, world.states.watermark(model.name, bins_id))
        metrics = drift_metrics(comparison, subject=part.subject(model), window=span, provenance=provenance)
        if self.is_complete:
            beside = _beside(model, span, world, current) if part == Part() else []
            return [*metrics, *beside]
        return [m for m in metrics if m.name.startswith("features.") or m.name in _HOURLY_DRIFT]

    def _keeps_steps(self, world: World) -> bool:
        # An hour differs from the hour before by the time of day: its steps are kept where a rule asks for them.
        return self.is_complete or any(rule.metric in STEPS for rule in world.rules.rules)


FEATURES = ComparingMonitor("features", is_complete=False)
DRIFT = ComparingMonitor("drift", is_complete=True)

BASELINE = "baseline"
"""Segment key of numbers against a further baseline; no rule judges them."""


def _beside(model: Model, span: Window, world: World, current: Profile) -> list[Metric]:
    """PSI of every feature against the further baselines: shown, never judged; no row is read for it."""
    metrics: list[Metric] = []
    for reference in world.baselines.beside(model, span):
        comparison = compare(reference, current, weights=model.weights, now=span.end)
        bins_id = reference.bins.bins_id
        provenance = Provenance(reference.baseline_id, bins_id, world.states.watermark(model.name, bins_id))
        subject = Subject(model.name, segment_key=BASELINE, segment_value=reference.name)
        measured = drift_metrics(comparison, subject=subject, window=span, provenance=provenance)
        metrics.extend(
            replace(m, details={"baseline": reference.name})
            for m in measured
            if m.name in {"drift.psi", "drift.overall_psi"}
        )
    return metrics
