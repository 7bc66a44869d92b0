"""What the HTTP API does for its callers, on a running service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.message import DeliveryStatus
from tiltmeter.domain.severity import Severity
from tiltmeter.ports import MetricQuery
from tiltmeter.service.exposition import PREFIX, family, newest_metrics, sample
from tiltmeter.service.people import acknowledge, end_silence, start_silence

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from tiltmeter.domain.alert import Incident, Silence
    from tiltmeter.ingest.shipper import Shipper
    from tiltmeter.ports import World


@dataclass(frozen=True, slots=True, eq=False)
class RunningOperations:
    """Operations of this process.

    Args:
        world: state and models.
        shipper: live numbers; None where another host ships.
        outcomes: writes one outcome into the spool.
        not_ready: what is not ready, by part.
    """

    world: World
    shipper: Shipper | None
    outcomes: Callable[[dict[str, Any]], object]
    not_ready: Callable[[], dict[str, str]]

    def acknowledge(self, incident_id: str, *, by: str, note: str) -> Incident:
        """As the protocol."""
        return acknowledge(self.world, incident_id, by=by, note=note)

    def silence(self, matchers: dict[str, str], *, until: datetime, by: str, reason: str) -> Silence:
        """As the protocol."""
        return start_silence(self.world, matchers, until=until, by=by, reason=reason)

    def unsilence(self, silence_id: str, *, by: str) -> bool:
        """As the protocol."""
        return end_silence(self.world, silence_id, by=by)

    def record_outcomes(self, outcomes: list[dict[str, Any]]) -> int:
        """As the protocol."""
        for outcome in outcomes:
            self.outcomes(outcome)
        return len(outcomes)

    def live(self) -> dict[str, Any]:
        """As the protocol."""
        if self.shipper is None:
            return {"schema": "tiltmeter.live/1", "models": {}, "states": []}
        return self.shipper.live_snapshot()

    def prometheus(self) -> str:
        """As the protocol: live traffic of this host, newest stored numbers, alerts and messages."""
        lines = newest_metrics(self.world.state.metrics(MetricQuery(newest_only=True)))
        lines.extend(self._alerts())
        text = "\n".join(lines) + "\n"
        return self.shipper.prometheus() + text if self.shipper is not None else text

    def readiness(self) -> dict[str, str]:
        """As the protocol."""
        return self.not_ready()

    def _alerts(self) -> list[str]:
        incidents = self.world.state.incidents()
        opened = [
            sample(f"{PREFIX}alerts_open", {"severity": s.word}, float(sum(i.severity is s for i in incidents)))
            for s in (Severity.INFO, Severity.WARNING, Severity.CRITICAL)
        ]
        dead = len(self.world.state.deliveries(status=DeliveryStatus.DEAD))
        now = self.world.clock.now()
        queues = [
            sample(
                f"{PREFIX}outbox_oldest_seconds", {"channel": c.name},
                max(0.0, (now - c.oldest_at).total_seconds()) if c.oldest_at else 0.0,
            )
            for c in self.world.state.channel_states()
        ]  # fmt: skip
        return [
            *family(f"{PREFIX}alerts_open", "gauge", "Open incidents by severity.", opened),
            *family(
                f"{PREFIX}notifications_dead", "gauge", "Undelivered messages.", [f"{PREFIX}notifications_dead {dead}"]
            ),
            *family(f"{PREFIX}outbox_oldest_seconds", "gauge", "Age of the oldest message that is not sent.", queues),
        ]
