"""Rules that are judged now rather than by the calendar: traffic, jobs, freshness and the monitor itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.serving import (
    known_capacity,
    live_freshness,
    live_health,
    live_jobs,
    live_traffic,
    live_usual_traffic,
)
from tiltmeter.pipeline import Judged, conclude

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.rule import Rule
    from tiltmeter.domain.run import Run
    from tiltmeter.monitors.service_health import Health
    from tiltmeter.monitors.traffic import Capacity
    from tiltmeter.ports import Lease, World
    from tiltmeter.service.seen_rows import SeenRows

LIVE = "live"
"""Name of the runs that judge live rules of all monitors together: one incident may join their signals."""

LONGEST_SINCE = timedelta(days=7)
"""After a long stop a rule without a span looks back a week at most."""

REMEMBERED_EVERY = timedelta(minutes=1)


@dataclass(slots=True, eq=False)
class LiveRules:
    """Judges the live rules of a model, each at its own pace.

    Args:
        world: what is judged.
        seen: which hours hold rows.
        health: what the service knows of itself.
    """

    world: World
    seen: SeenRows
    health: Callable[[], Health]
    _looked_at: dict[tuple[str, str], datetime] = field(default_factory=dict)
    _remembered: dict[str, datetime] = field(default_factory=dict)
    _capacities: dict[str, tuple[datetime, Capacity]] = field(default_factory=dict)

    def forget(self) -> None:
        """Another process may have been at work: its last look counts."""
        self._looked_at.clear()
        self._remembered.clear()

    def judge(self, model: Model, now: datetime, lease: Lease | None) -> Run | None:
        """Everything that is due now as one run; None where nothing is worth keeping."""
        due: dict[tuple[timedelta, str], list[Rule]] = {}
        for rule in self.world.rules.rules:
            if isinstance(rule.every, timedelta) and self._is_turn(model, rule, rule.every, now):
                span = self._span_of(model, rule, rule.every, now)
                due.setdefault((span, CATALOGUE[rule.metric].monitor), []).append(rule)
        if not due:
            return None
        judged = [
            Judged(self._measure(model, Window(now - span, now, Grain.LIVE), monitor, rules), rules)
            for (span, monitor), rules in due.items()
        ]
        window = Window(now - max(span for span, _ in due), now, Grain.LIVE)
        run = conclude(LIVE, model, window, judged, self.world, lease=lease, is_live=True)
        # Only now: a turn that failed is made up for by the next, which looks back to the last one that did not.
        self._looked_at.update({(model.name, rule.id): now for rules in due.values() for rule in rules})
        self._remember(model, now)
        return run

    def _is_turn(self, model: Model, rule: Rule, every: timedelta, now: datetime) -> bool:
        last = self._looked_at.get((model.name, rule.id))
        # A clock that jumped back must not stop the rule until it has caught up.
        return last is None or not timedelta(0) <= now - last < every

    def _span_of(self, model: Model, rule: Rule, every: timedelta, now: datetime) -> timedelta:
        """The span judged: the rule's own, stretched up to its limit where requests are few.

        A rule without a span of its own judges what came since it was last looked at, so that nothing falls between.
        """
        if rule.over is None:
            last = self._looked_at.get((model.name, rule.id)) or self._last_look(model)
            since = now - last if last is not None and last < now else every
            return min(max(every, since), LONGEST_SINCE)
        span = rule.over
        if CATALOGUE[rule.metric].monitor != "traffic" or not rule.min_rows:
            return span
        longest = rule.up_to or timedelta(hours=1)
        while span < longest:
            states = self.world.log.traffic(model.name, Window(now - span, now, Grain.LIVE))
            if sum(state.requests for state in states) >= rule.min_rows:
                break
            span = min(span * 2, longest)
        return span

    def _last_look(self, model: Model) -> datetime | None:
        """When an earlier process, or another one, last looked."""
        text = self.world.state.watermark(_key(model))
        return datetime.fromisoformat(text) if text else None

    def _remember(self, model: Model, now: datetime) -> None:
        before = self._remembered.get(model.name)
        if before is None or not timedelta(0) <= now - before < REMEMBERED_EVERY:
            self.world.state.set_watermark(_key(model), now.isoformat())
            self._remembered[model.name] = now

    def _measure(self, model: Model, window: Window, monitor: str, rules: list[Rule]) -> list[Metric]:
        wanted = {rule.metric for rule in rules}
        if monitor == "traffic":
            usual = {"serving.share_of_usual_traffic"}
            metrics = (
                live_traffic(model, window, self.world, capacity=self._capacity(model, window.end))
                if wanted - usual
                else []
            )
            return [*metrics, live_usual_traffic(model, window, self.world)] if wanted & usual else metrics
        if monitor == "jobs":
            since = self.seen.first(model, window.end)
            return live_jobs(model, window, self.world, watched_since=since)
        if monitor == "self":
            return live_health(model, window, self.health())
        if "features.freshness" in wanted:
            return [live_freshness(model, window, newest=self.seen.newest(model, window.end))]
        return []

    def _capacity(self, model: Model, now: datetime) -> Capacity:
        """Capacity by the judged hours; asked once an hour."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        kept = self._capacities.get(model.name)
        if kept is None or kept[0] != hour:
            kept = self._capacities[model.name] = (hour, known_capacity(self.world, model, now))
        return kept[1]


def _key(model: Model) -> str:
    return f"live:{model.name}"
