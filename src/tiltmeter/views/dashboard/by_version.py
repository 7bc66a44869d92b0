"""Numbers of one model version: stored apart where several scored, and those of all rows where it scored alone."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiltmeter.domain.window import Grain, Window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiltmeter.domain.metric import Metric
    from tiltmeter.ports import MetricQuery, World
    from tiltmeter.views.dashboard.queries import Scope


@dataclass(frozen=True, slots=True)
class Presence:
    """Which versions may have scored in which hour.

    Args:
        hours: UTC starts, ascending.
        versions: of each of them.
    """

    hours: Sequence[datetime]
    versions: Sequence[frozenset[str]]

    @classmethod
    def of(cls, found: Mapping[datetime, frozenset[str]]) -> Presence:
        """Of versions by hour."""
        hours = sorted(found)
        return cls(hours, [found[hour] for hour in hours])

    def has_alone(self, version: str, window: Window) -> bool:
        """Whether every row of the window is of this version."""
        first, last = bisect_left(self.hours, window.start), bisect_left(self.hours, window.end)
        return first < last and all(one == {version} for one in self.versions[first:last])


def of_version(world: World, scope: Scope, query: MetricQuery) -> list[Metric]:
    """What the query finds; where one version is asked for, days on which it scored alone are among it.

    The monitors keep a version apart only where several scored: alone, it would say everything twice.

    Args:
        world: what is read.
        scope: whose version it is.
        query: of that version, not of the newest numbers only.
    """
    own = world.state.metrics(query)
    if not scope.version:
        return own
    whole = world.state.metrics(replace(query, version=""))
    bins = world.baselines.bins(scope.model, scope.end) if whole else None
    if bins is None:
        return own
    reach = Window(min(m.window.start for m in whole), max(m.window.end for m in whole), Grain.LIVE)
    presence = Presence.of(world.states.versions(scope.model.name, bins.bins_id, reach))
    told = {metric.window.end for metric in own}
    alone = [
        replace(metric, subject=replace(metric.subject, model_version=scope.version))
        for metric in whole
        if metric.window.end not in told and presence.has_alone(scope.version, metric.window)
    ]
    return sorted([*own, *alone], key=lambda metric: metric.window.start)
