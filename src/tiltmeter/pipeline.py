"""The sentence in code.

A prediction is captured into the log; an engine makes a profile of each window; a monitor compares it with its baseline
and measures metrics; rules turn metrics into alerts; the outbox sends messages.

Two clocks, hence two functions. Nothing is sent here: a run's metrics, alerts, events and messages are committed in one
transaction, so a crash between any two lines repeats the window and changes nothing. Back-fill equals live because both
are `observe`, then `judge`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiltmeter.alerting.advance import Situation, advance
from tiltmeter.alerting.deploys import recent_deploys, remember_versions
from tiltmeter.alerting.rules import verdicts
from tiltmeter.domain.errors import RowsRewritten, StoreError
from tiltmeter.domain.run import Run
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.drift import drifted_features, drifted_metric

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from tiltmeter.domain.alert import Verdict
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import Bins, Profile
    from tiltmeter.domain.rule import Rule
    from tiltmeter.monitors.registered import Monitor
    from tiltmeter.ports import Lease, Rows, StateKey, World


_ANEW_TRIES = 10


@dataclass(frozen=True, slots=True)
class Observed:
    """What an observation changed: the source version it reached and the hours that got rows."""

    version: int | None
    hours: tuple[datetime, ...]


def observe(
    model: Model, world: World, *, announce: Callable[[Sequence[datetime]], None] = lambda _hours: None
) -> Observed:
    """Profile the rows that came since the last time; whenever the source has a new version.

    Args:
        model: whose rows.
        world: where they come from and where profiles are kept.
        announce: hears of the hours (UTC starts) before their profiles are kept, so that a crash in between forgets
            none of them.

    Returns:
        The hours that got rows. Nothing while the baseline is still learnt: the rows stay in the log until then.
    """
    bins = world.baselines.bins(model, world.clock.now())
    if bins is None:
        return Observed(None, ())
    seen = world.states.watermark(model.name, bins.bins_id)
    try:
        new = world.log.new_rows(model, seen)
    except RowsRewritten as rewritten:
        return _observe_again(model, world, bins, rewritten, announce)
    if new.version is None or new.version == seen:
        return Observed(new.version, ())
    profiles = _profiled(new, model, world, bins)
    hours = tuple(sorted({key.window_start for key in profiles}))
    announce(hours)
    world.states.append(profiles, source_version=new.version)
    remember_versions(world, model, profiles)
    return Observed(new.version, hours)


def _observe_again(
    model: Model, world: World, bins: Bins, rewritten: RowsRewritten, announce: Callable[[Sequence[datetime]], None]
) -> Observed:
    """Profile the hours that a source changed in place as they are now; their older states count no longer."""
    window, rows = _touched(model, world, bins, rewritten)
    if rows.version != rewritten.version:
        raise StoreError(f"version {rows.version} came while version {rewritten.version} was read", retryable=True)
    profiles = _profiled(rows, model, world, bins)
    hours = {key.window_start for key in profiles}
    if window is not None:
        hours.update(world.states.hours(model.name, bins.bins_id, window))
    announce(sorted(hours))
    world.states.replace(
        profiles, hours, model=model.name, bins_id=bins.bins_id, source_version=rewritten.version
    )  # fmt: skip
    remember_versions(world, model, profiles)
    return Observed(rewritten.version, tuple(sorted(hours)))


def observe_hours_anew(model: Model, world: World, hours: AbstractSet[datetime]) -> AbstractSet[datetime]:
    """Profile hours again whose rows were taken away, together with whatever is new since the last time.

    What is new has to come along: an hour profiled as its rows stand now holds new rows too, and they would be counted
    once more when their turn comes.

    Args:
        model: whose rows.
        world: as in `observe`.
        hours: UTC starts.

    Returns:
        The hours that were replaced; none while nothing has been profiled yet.

    Raises:
        StoreError: the table changed again and again meanwhile.
    """
    bins = world.baselines.bins(model, world.clock.now())
    seen = None if bins is None else world.states.watermark(model.name, bins.bins_id)
    if bins is None or seen is None:
        return frozenset()
    for _ in range(_ANEW_TRIES):
        new = world.log.new_rows(model, seen)
        wanted = hours | {key.window_start for key in _profiled(new, model, world, bins)}
        found: dict[StateKey, Profile] = {}
        for start in sorted(wanted):
            rows = world.log.rows(model, window_at(start, Grain.HOUR, world.zone))
            if rows.version != new.version:
                break  # a new version came: its rows have to be among them
            found.update(_profiled(rows, model, world, bins))
        else:
            world.states.replace(
                found, wanted, model=model.name, bins_id=bins.bins_id, source_version=new.version
            )  # fmt: skip
            return wanted
    raise StoreError("the table changes faster than its hours can be read", at=model.name, retryable=True)


def _touched(model: Model, world: World, bins: Bins, rewritten: RowsRewritten) -> tuple[Window | None, Rows]:
    """The hours to profile anew, with their rows; everything where the source does not tell what it changed."""
    if rewritten.span is None:
        stored = world.states.span(model.name, bins.bins_id)
        return Window(*stored, Grain.LIVE) if stored else None, world.log.new_rows(model, None)
    first, last = (window_at(end, Grain.HOUR, world.zone) for end in (rewritten.span.start, rewritten.span.end))
    window = Window(first.start, last.end, Grain.LIVE)
    return window, world.log.rows(model, window)


def _profiled(rows: Rows, model: Model, world: World, bins: Bins) -> Mapping[StateKey, Profile]:
    return world.engine.profile_hours(
        rows, bins, model=model.name, time="__time", version="__version", segments=model.segments, zone=world.zone
    )


@dataclass(frozen=True, slots=True)
class Lateness:
    """How a calendar window comes to be judged after its time.

    Args:
        is_late: it was judged before and is judged again because of late rows.
        is_catching_up: more missed windows follow: states move, people are told with the last one.
        late_windows: windows made up for before this one.
    """

    is_late: bool = False
    is_catching_up: bool = False
    late_windows: int = 0


def judge(
    monitor: Monitor, model: Model, window: Window, world: World, *, lease: Lease | None = None,
    lateness: Lateness = Lateness(),
) -> Run | None:  # fmt: skip
    """Judge one calendar window; when it is due, or reopened by late rows.

    Returns:
        The committed run; None when there was nothing to measure or this input was judged before.
    """
    metrics = monitor.measure(model, window, world)
    if not metrics:
        return None
    judged = Judged(metrics, rules_for(monitor.name, window, world))
    return conclude(monitor.name, model, window, [judged], world, lease=lease, lateness=lateness)


@dataclass(frozen=True, slots=True)
class Judged:
    """Numbers and the rules that apply to them now."""

    metrics: Sequence[Metric]
    rules: Sequence[Rule]


def conclude(
    monitor: str, model: Model, window: Window, judged: Sequence[Judged], world: World, *,
    lease: Lease | None = None, is_live: bool = False, lateness: Lateness = Lateness(),
) -> Run | None:  # fmt: skip
    """Metrics -> verdicts -> alerts -> messages, in one transaction.

    Args:
        monitor: whose run it is.
        model: judged model.
        window: judged window.
        judged: what was measured, with the rules to apply.
        world: everything else.
        lease: the right to judge; a holder that lost it cannot commit.
        is_live: live numbers are kept only when they change an alert.
        lateness: whether the window is judged after its time.
    """
    now = world.clock.now()
    found = [verdict for part in judged for verdict in verdicts(part.metrics, part.rules)]
    rules = [rule for part in judged for rule in part.rules]
    metrics = [metric for part in judged for metric in part.metrics]
    if is_live and not any(v.severity or v.clear_of for v in found) and not world.state.alerts(model.name):
        return None  # the usual turn: nothing is wrong, nothing was wrong
    # Reading alerts and writing what became of them is one transaction: an acknowledgement in between would be lost.
    with world.state.transaction():
        situation = replace(
            Situation.of(world, model, rules), changes=recent_deploys(world, model, window), is_late=lateness.is_late,
            is_catching_up=lateness.is_catching_up, late_windows=lateness.late_windows,
        )  # fmt: skip
        changed = advance(situation, found, window=window, now=now)
        if is_live and not (changed.alerts or changed.events or changed.messages or changed.incidents):
            return None
        version = next((m.source_version for m in metrics if m.source_version is not None), None)
        # A live turn in which an open alert only went on keeps the alert; its numbers are kept when something happens.
        kept = [] if is_live and not changed.events else [*metrics, *_drifted(metrics, found, window)]
        measured = tuple(replace(m, computed_at=now) for m in kept)
        run = Run(
            monitor, model.name, window, now, version, measured,
            changed.alerts, changed.events, changed.incidents, changed.messages,
        )  # fmt: skip
        return run if world.state.commit(run, lease=lease) else None


def rules_for(monitor: str, window: Window, world: World) -> list[Rule]:
    """Rules of the window's grain whose metric the monitor measures."""
    comparing = {"features", "drift"}
    covered = comparing if monitor in comparing else {monitor}
    grain = Grain.DAY if window.grain in (Grain.WEEK, Grain.MONTH) else window.grain
    if grain is not window.grain:
        return []  # weeks and months are for reports: their days were judged already
    return [r for r in world.rules.rules if r.every == grain and CATALOGUE[r.metric].monitor in covered]


def _drifted(metrics: Sequence[Metric], found: Sequence[Verdict], window: Window) -> list[Metric]:
    """How many features some rule puts at warning or above: known only after the verdicts."""
    whole = next((m for m in metrics if m.name == "drift.overall_psi" and not m.subject.segment_key), None)
    if whole is None or window.grain is Grain.LIVE:
        return []
    return [drifted_metric(drifted_features(found).values(), like=whole)]
