"""Small valid values of the domain, for contracts and tests; every part can be replaced by keyword."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tiltmeter.domain.alert import Alert, AlertEvent, AlertState, Incident, IncidentState
from tiltmeter.domain.message import Content, Message, MessageKind, Row
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.run import Run
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window

T0 = datetime(2026, 11, 23, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODEL = "lead-scoring"


@dataclass
class SteppedClock:
    """A clock that moves when it is told to."""

    moment: datetime = T0
    seconds: float = 0.0

    def now(self) -> datetime:
        """Aware UTC."""
        return self.moment

    def monotonic(self) -> float:
        """Seconds since it was made."""
        return self.seconds

    def advance(self, span: timedelta) -> datetime:
        """Let time pass; the new time."""
        self.moment += span
        self.seconds += span.total_seconds()
        return self.moment


def sample_window(start: datetime = T0, grain: Grain = Grain.HOUR, length: timedelta = HOUR) -> Window:
    """06:00 to 07:00 unless said otherwise."""
    return Window(start, start + length, grain)


def sample_metric(
    name: str = "drift.psi",
    *,
    feature: str = "company_size",
    value: float | None = 0.31,
    at: Window | None = None,
    **more: Any,  # noqa: ANN401 - fields of Metric
) -> Metric:
    """PSI of one feature."""
    return Metric(name, Subject(MODEL, "14", feature), at or sample_window(), value, **more)


def sample_run(
    *,
    monitor: str = "drift",
    at: Window | None = None,
    version: int | None = 7,
    **more: Any,  # noqa: ANN401 - fields of Run
) -> Run:
    """A judged window."""
    return Run(monitor, MODEL, at or sample_window(), T0 + HOUR, source_version=version, **more)


def sample_alert(fingerprint: str = "f1", *, episode: int = 1, **more: Any) -> Alert:  # noqa: ANN401 - fields of Alert
    """A firing warning."""
    given: dict[str, Any] = {"state": AlertState.FIRING, "severity": Severity.WARNING, "since": T0, "updated_at": T0}
    given |= more
    given |= {"metric": sample_metric(details={"worst": ["a", "b"]})}
    subject = Subject(MODEL, feature="company_size")
    return Alert(f"alr_{fingerprint}{episode}", fingerprint, "feature_psi", subject, episode=episode, **given)


def sample_event(fingerprint: str = "f1", seq: int = 1, kind: str = "alert_fired", **more: Any) -> AlertEvent:  # noqa: ANN401 - fields of AlertEvent
    """A transition."""
    return AlertEvent(fingerprint, seq, kind, T0 + HOUR, T0 + HOUR, Severity.WARNING, 0.31, **more)


def sample_incident(incident_id: str = "inc_a", **more: Any) -> Incident:  # noqa: ANN401 - fields of Incident
    """An open warning."""
    given: dict[str, Any] = {"severity": Severity.WARNING, "opened_at": T0, "updated_at": T0, "alerts": ("alr_f11",)}
    given |= more
    return Incident(incident_id, MODEL, given.pop("state", IncidentState.OPEN), **given)


def sample_content(*, rows: int = 7) -> Content:
    """What a drift message says."""
    names = ("lead_source", "company_size", "region", "pages_viewed", "industry", "budget", "employees")
    return Content(
        "30 features drifted, worst lead_source PSI 0.61",
        effect="web-form leads 18 points up; scores 0.07 lower",
        facts={
            "What": "daily drift check: 2 critical (> 0.50), 28 warning (> 0.25)",
            "Since": "Mon 23 Nov 2026 06:00 CET (window 22 Nov, whole day)",
            "How bad": "overall PSI 0.38, was 0.07 the day before",
            "Who is hit": "segment partner carries 71 % of the shift",
            "Likely cause": "crm_sync deploy 22 Nov 03:10",
        },
        rows=tuple(
            Row(
                names[i % 7],
                Severity.CRITICAL if i < 2 else Severity.WARNING,
                "PSI",
                f"{0.61 - 0.05 * i:.2f}",
                "+18 pp",
            )
            for i in range(rows)
        ),
        more=23,
        actions=("check the crm_sync deploy", "open baseline against now for lead_source"),
        links={"Incident": "https://tiltmeter.example.com/incident?id=inc_a"},
        footer="inc_a · rule feature_psi@r3 · goes to level 2 at 06:15 CET if nobody acknowledges",
    )


def sample_message(
    kind: MessageKind = MessageKind.FIRED,
    *,
    incident: str = "inc_a",
    channel: str = "slack",
    sequence: int = 1,
    at: datetime = T0,
    **more: Any,  # noqa: ANN401 - fields of Message
) -> Message:
    """A critical one."""
    delivery_id = more.pop("delivery_id", f"{incident}/{channel}/{kind}/{sequence}")
    severity = more.pop("severity", Severity.CRITICAL)
    content = more.pop("content", None) or sample_content()
    return Message(delivery_id, channel, incident, MODEL, kind, severity, content, sequence, at, **more)
