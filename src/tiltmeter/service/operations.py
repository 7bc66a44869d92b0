"""What the HTTP API does for its callers, on a running service."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.serving import known_capacity, live_freshness, live_health, live_jobs, live_traffic
from tiltmeter.ports import MetricQuery
from tiltmeter.service.exposition import baselines, build_info, current_metrics, family, gauges, job_runs, sample
from tiltmeter.service.job_counts import JobRecords
from tiltmeter.service.people import acknowledge, end_silence, start_silence
from tiltmeter.service.seen_rows import SeenRows
from tiltmeter.service.series_choice import chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from tiltmeter.domain.alert import Incident, Silence
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.outcome import Outcome
    from tiltmeter.ingest.shipper import Shipper
    from tiltmeter.monitors.service_health import Health
    from tiltmeter.ports import World

log = structlog.get_logger()

LIVE_SPAN = timedelta(minutes=5)
"""Span of the live numbers of a scrape: that of the default live rules."""

JOBS_HORIZON = timedelta(days=30)
"""Jobs whose newest run is older are not exported."""


@dataclass(slots=True, eq=False)
class RunningOperations:
    """Operations of this process.

    Args:
        world: state and models.
        shipper: live numbers; None where another host ships.
        outcomes: writes outcomes into the spool.
        not_ready: what is not ready, by part.
        health: the monitor's own numbers; None where another process judges.
        sent: tries to send since the start, by channel and result.
        seen: spans of the profiled hours, made from the world.
        jobs: records of jobs since the start, made from the world.
    """

    world: World
    shipper: Shipper | None
    outcomes: Callable[[list[Outcome]], object]
    not_ready: Callable[[], dict[str, str]]
    health: Callable[[], Health] | None = None
    sent: Callable[[], Mapping[tuple[str, str], int]] = dict
    seen: SeenRows = field(init=False)
    jobs: JobRecords = field(init=False)
    _left_out: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Make what depends on the world."""
        self.seen = SeenRows(self.world)
        self.jobs = JobRecords(self.world.clock.now())

    def acknowledge(self, incident_id: str, *, by: str, note: str) -> Incident:
        """As the protocol."""
        return acknowledge(self.world, incident_id, by=by, note=note)

    def silence(self, matchers: dict[str, str], *, until: datetime, by: str, reason: str) -> Silence:
        """As the protocol."""
        return start_silence(self.world, matchers, until=until, by=by, reason=reason)

    def unsilence(self, silence_id: str, *, by: str) -> bool:
        """As the protocol."""
        return end_silence(self.world, silence_id, by=by)

    def record_outcomes(self, outcomes: list[Outcome]) -> int:
        """As the protocol."""
        self.outcomes(outcomes)
        return len(outcomes)

    def live(self) -> dict[str, Any]:
        """As the protocol."""
        if self.shipper is None:
            return {"schema": "tiltmeter.live/1", "models": {}, "states": []}
        return self.shipper.live_snapshot()

    def prometheus(self) -> str:
        """As the protocol: live traffic of this host, newest stored numbers, jobs, alerts and messages."""
        lines = build_info()
        # A gauge keeps its last sample: what was measured now stands before what is kept of the hour.
        stored = self.world.state.metrics(MetricQuery(newest_only=True))
        lines += self._judged([*self._live_metrics(), *stored])
        lines += baselines(self.world.state.baselines(), self.world.models)
        runs = self.world.log.batch_runs(self.world.clock.now() - JOBS_HORIZON)
        self.jobs.add(runs)
        lines += [*job_runs(runs), *self.jobs.lines()]
        lines += self._alerts()
        lines += self._messages()
        text = "\n".join(lines) + "\n"
        return self.shipper.prometheus() + text if self.shipper is not None else text

    def _judged(self, metrics: list[Metric]) -> list[str]:
        choice = chosen(current_metrics(metrics, self.world.models), self.world.rules)
        if choice.features != self._left_out:
            self._left_out = dict(choice.features)
            if any(choice.features.values()):
                log.warning(
                    "features_left_out_of_scrape", features={m: n for m, n in choice.features.items() if n},
                    series=choice.left_out, kept=len(choice.kept),
                )  # fmt: skip
        return gauges(choice, self.world.models)

    def _live_metrics(self) -> list[Metric]:
        """Traffic of the last five minutes, jobs, freshness, health: the database keeps live numbers by the hour."""
        now = self.world.clock.now()
        span = Window(now - LIVE_SPAN, now, Grain.LIVE)
        found: list[Metric] = []
        for model in list(self.world.models.values()):
            if model.source is None:
                capacity = known_capacity(self.world, model, now)
                found += live_traffic(model, span, self.world, capacity=capacity)
            found += live_jobs(model, span, self.world, watched_since=self.seen.first(model, now))
            found.append(live_freshness(model, span, newest=self.seen.newest(model, now)))
            if self.health is not None:
                found += live_health(model, span, self.health())
        return found

    def readiness(self) -> dict[str, str]:
        """As the protocol."""
        return self.not_ready()

    def _alerts(self) -> list[str]:
        incidents = self.world.state.incidents()
        opened = [
            sample("alerts_open", {"severity": s.word}, float(sum(i.severity is s for i in incidents)))
            for s in (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
        ]
        return family("alerts_open", "gauge", "Open incidents by severity.", opened)

    def _messages(self) -> list[str]:
        now = self.world.clock.now()
        states = self.world.state.channel_states()
        waiting = [
            sample(
                "outbox_oldest_seconds", {"channel": c.name},
                max(0.0, (now - c.oldest_at).total_seconds()) if c.oldest_at else 0.0,
            )
            for c in states
        ]  # fmt: skip
        queued = [sample("notifications_queued", {"channel": c.name}, float(c.queued)) for c in states]
        tried = [
            sample("notifications_total", {"channel": channel, "result": result}, float(number))
            for (channel, result), number in sorted(self.sent().items())
        ]
        dead = [sample("notifications_dead", {"channel": c.name}, float(c.dead)) for c in states]
        return [
            *family("outbox_oldest_seconds", "gauge", "Age of the oldest message that is not sent.", waiting),
            *family("notifications_queued", "gauge", "Messages that wait to be sent.", queued),
            *family("notifications_total", "counter", "Tries to send a message, by what became of it.", tried),
            *family("notifications_dead", "gauge", "Messages that could not be delivered.", dead),
        ]
