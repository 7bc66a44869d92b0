"""Builders of domain values for state and delivery tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tiltmeter.domain.alert import Alert, AlertEvent, AlertState, Incident, IncidentState
from tiltmeter.domain.message import Content, Message, MessageKind
from tiltmeter.domain.metric import Metric, Status, Subject
from tiltmeter.domain.run import Run
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window

T0 = datetime(2026, 11, 23, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)


@dataclass
class FakeClock:
    moment: datetime = T0
    seconds: float = field(default=0.0)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, span: timedelta) -> datetime:
        self.moment += span
        self.seconds += span.total_seconds()
        return self.moment


def window(start: datetime = T0, grain: Grain = Grain.HOUR, length: timedelta = HOUR) -> Window:
    return Window(start, start + length, grain)


def metric(name="drift.psi", *, feature="company_size", value=0.31, at=None, **more) -> Metric:
    return Metric(name, Subject("lead-scoring", "14", feature), at or window(), value, **more)


def run(*, monitor="drift", at=None, version=7, **more) -> Run:
    return Run(monitor, "lead-scoring", at or window(), T0 + HOUR, source_version=version, **more)


def alert(fingerprint="f1", *, episode=1, state=AlertState.FIRING, **more) -> Alert:
    return Alert(
        f"alr_{fingerprint}{episode}",
        fingerprint,
        "feature_psi",
        Subject("lead-scoring", feature="company_size"),
        state=state,
        severity=Severity.WARNING,
        episode=episode,
        since=T0,
        updated_at=T0,
        metric=metric(details={"worst": ["a", "b"]}, status=Status.OK),
        **more,
    )


def event(fingerprint="f1", seq=1, kind="alert_fired", **more) -> AlertEvent:
    return AlertEvent(fingerprint, seq, kind, T0 + HOUR, T0 + HOUR, Severity.WARNING, 0.31, **more)


def incident(incident_id="inc_a", **more) -> Incident:
    given = {"severity": Severity.WARNING, "opened_at": T0, "updated_at": T0, "alerts": ("f1",)} | more
    return Incident(incident_id, "lead-scoring", given.pop("state", IncidentState.OPEN), **given)


def message(kind=MessageKind.FIRED, *, incident="inc_a", channel="slack", sequence=1, at=T0, **more) -> Message:
    given = {
        "severity": Severity.CRITICAL,
        "content": Content("30 features drifted", effect="scores 0.07 lower"),
    } | more
    delivery = given.pop("delivery_id", f"{incident}/{channel}/{kind}/{sequence}")
    return Message(
        delivery,
        channel,
        incident,
        "lead-scoring",
        kind,
        given.pop("severity"),
        given.pop("content"),
        sequence,
        at,
        **given,
    )
