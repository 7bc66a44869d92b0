"""The number behind an alert once more: from what was stored when it was judged, and from the rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiltmeter.domain.window import Grain
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.cohorts import OUTCOMES
from tiltmeter.monitors.drift import STEPS, Provenance, drift_metrics
from tiltmeter.monitors.jobs import JOB
from tiltmeter.monitors.serving import known_capacity, live_jobs, live_traffic, live_usual_traffic
from tiltmeter.statistics.comparison import compare
from tiltmeter.statistics.steps import with_steps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import Profile
    from tiltmeter.ports import World

_NUMBERS = ("value", "lower", "upper", "p_value", "q_value", "n_reference", "n_current")


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A number computed once more.

    Args:
        source: "stored states", "rows", "traffic table", …
        metric: as it comes out now; None where it cannot be computed.
        is_same: whether every field is the same to the last bit; None where there is nothing to compare.
        why: what stands in the way, or why it may differ.
    """

    source: str
    metric: Metric | None
    is_same: bool | None
    why: str = ""


def recompute(metric: Metric, model: Model, world: World) -> list[Recomputed]:
    """Compute a stored number again, by every way that is still open."""
    monitor = CATALOGUE[metric.name].monitor if metric.name in CATALOGUE else ""
    if monitor in ("drift", "features") and metric.bins_id:
        return [_of_states(metric, model, world), _of_rows(metric, model, world)]
    if monitor == "traffic":
        return [_again(metric, "traffic table", _traffic(metric, model, world), "requests came in later")]
    if monitor == "jobs":
        since = metric.window.start if metric.subject.segment_key == JOB else None
        found = live_jobs(model, metric.window, world, watched_since=since)
        return [_again(metric, "batch_runs table", found, "runs were reported later")]
    if monitor == "outcomes":
        window = metric.window
        whole = type(window)(window.start, window.end + model.outcomes.mature_after, Grain.DAY)
        found = OUTCOMES.measure(model, whole, world)
        return [_again(metric, "predictions and outcomes tables", found, "outcomes were corrected later")]
    why = "it was a reading of the running service, which keeps no rows to read again"
    return [Recomputed("nowhere", None, None, why)]


def _traffic(metric: Metric, model: Model, world: World) -> list[Metric]:
    if metric.name == "serving.share_of_usual_traffic":
        return [live_usual_traffic(model, metric.window, world)]
    return live_traffic(model, metric.window, world, capacity=known_capacity(world, model, metric.window.end))


def _of_states(metric: Metric, model: Model, world: World) -> Recomputed:
    source = "stored states"
    subject, as_of = metric.subject, metric.source_version
    current = world.states.total(
        model.name, metric.bins_id, metric.window, version=subject.model_version,
        segment=(subject.segment_key, subject.segment_value), as_of=as_of,
    )  # fmt: skip
    if current is None:
        return Recomputed(source, None, None, "the stored states of the span are gone")
    found = _compared(metric, model, world, current, as_of)
    if found is None:
        return Recomputed(source, None, None, f"the baseline {metric.bins_id} is no longer kept")
    return _again(
        metric, source, found, "rows of the span were erased or rewritten since, or the baseline was replaced"
    )


def _of_rows(metric: Metric, model: Model, world: World) -> Recomputed:
    source = "rows"
    if metric.source_version is None:
        return Recomputed(source, None, None, "the version of the table was not kept with the number")
    rows = world.log.rows_at(model, metric.window, metric.source_version)
    if rows is None:
        why = f"version {metric.source_version} of the table is no longer kept (store.keep_versions)"
        return Recomputed(source, None, None, why)
    reference = world.baselines.stored(metric.bins_id)
    if reference is None:
        return Recomputed(source, None, None, f"the baseline {metric.bins_id} is no longer kept")
    profiles = world.engine.profile_hours(
        rows, reference.bins, model=model.name, time="__time", version="__version", segments=model.segments,
        zone=world.zone,
    )  # fmt: skip
    subject = metric.subject
    wanted = subject.model_version, subject.segment_key, subject.segment_value
    current: Profile | None = None
    for key, profile in profiles.items():
        if (key.model_version, key.segment_key, key.segment_value) == wanted:
            current = profile if current is None else current + profile
    if current is None:
        return Recomputed(source, None, None, "no row lies in the span any more")
    found = _compared(metric, model, world, current, metric.source_version)
    return _again(metric, source, found or [], "rows were erased since, or the baseline was replaced")


def _compared(metric: Metric, model: Model, world: World, current: Profile, as_of: int | None) -> list[Metric] | None:
    """Every number of the comparison: q-values need the whole family."""
    reference = world.baselines.judging(model, metric.window, as_of=as_of)
    if reference is None or reference.bins.bins_id != metric.bins_id:
        reference = world.baselines.stored(metric.bins_id)
    if reference is None:
        return None
    comparison = compare(reference, current, weights=model.weights, now=metric.window.end)
    provenance = Provenance(reference.baseline_id, reference.bins.bins_id, metric.source_version)
    subject = replace(metric.subject, feature="")
    if metric.name in STEPS:
        previous = world.states.total(
            model.name, metric.bins_id, metric.window.previous, version=subject.model_version,
            segment=(subject.segment_key, subject.segment_value), as_of=as_of,
        )  # fmt: skip
        comparison = with_steps(comparison, reference.bins, previous)
    return drift_metrics(comparison, subject=subject, window=metric.window, provenance=provenance)


def _again(metric: Metric, source: str, found: Iterable[Metric], why_else: str) -> Recomputed:
    same = next((m for m in found if m.name == metric.name and m.subject == metric.subject), None)
    if same is None:
        return Recomputed(source, None, None, "the span no longer gives this number")
    is_same = all(getattr(same, name) == getattr(metric, name) for name in _NUMBERS)
    return Recomputed(source, same, is_same, "" if is_same else why_else)
