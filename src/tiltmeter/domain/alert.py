"""Alerts (one rule, one subject) and incidents (what people see, acknowledge and get delivered)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tiltmeter.domain.metric import Metric, Subject
    from tiltmeter.domain.rule import Escalation


class AlertState(StrEnum):
    """Where an alert stands. Silenced, muted and inhibited are views over the state, never states."""

    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says about one metric at one moment.

    Args:
        rule: rule id.
        subject: what the metric speaks about.
        severity: highest breached level, NONE when fine.
        metric: the number behind it; None when there was none.
        judged: False for no data, too few rows or an error: then neither an alert nor a recovery.
        clear_of: highest severity whose limit is not yet clear (hysteresis); NONE when all are clear.
        why: reason when not judged, or which gate held a breach back.
    """

    rule: str
    subject: Subject
    severity: Severity
    metric: Metric | None
    judged: bool = True
    clear_of: Severity = Severity.NONE
    why: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """State of one rule on one subject.

    Args:
        id: `alr_` + base32 of fingerprint and episode.
        fingerprint: hash of rule id and labels; never of value, severity, threshold or window.
        episode: raised at each new firing after a resolve.
        since: end of the window in which the breach began (window time, not evaluation time).
        fired_at: window time at which `for` was fulfilled.
        resolved_at: window time of the recovery.
        peak: worst value of the episode.
        breaches: consecutive windows in breach.
        clears: consecutive clear windows.
        stale: firing without fresh data.
        transitions: decayed count of firings and recoveries (flapping).
        incident: id of the incident it belongs to.
        late: found when its window was judged long after its end.
        held: how long the breach has lasted without its gaps (`for` in time).
        breached_at: end of the last window in breach.
        flapping: fires and recovers so often that it is no longer reported each time.
        seq: number of its last event.
    """

    id: str
    fingerprint: str
    rule: str
    subject: Subject
    state: AlertState = AlertState.INACTIVE
    severity: Severity = Severity.NONE
    episode: int = 0
    since: datetime | None = None
    fired_at: datetime | None = None
    resolved_at: datetime | None = None
    updated_at: datetime | None = None
    value: float | None = None
    peak: float | None = None
    breaches: int = 0
    clears: int = 0
    reopened: int = 0
    stale: bool = False
    transitions: float = 0.0
    incident: str = ""
    late: bool = False
    metric: Metric | None = None
    seq: int = 0
    held: timedelta = timedelta(0)
    breached_at: datetime | None = None
    flapping: bool = False


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One transition, appended for ever. Replaying the events gives the state.

    Args:
        kind: one of the event names of the interface (`alert_fired`, `alert_resolved`, …).
        window_end: window time.
        evaluated_at: wall-clock time.
    """

    fingerprint: str
    seq: int
    kind: str
    window_end: datetime
    evaluated_at: datetime
    severity: Severity
    value: float | None = None
    incident: str = ""
    detail: Mapping[str, str | float | int | None] = field(default_factory=dict)


class IncidentState(StrEnum):
    """An incident is open until every alert in it is over."""

    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Incident:
    """What people see: the alerts of one model that belong together.

    Args:
        id: `inc_` + base32; also PagerDuty's dedup key.
        severity: worst of its open alerts; once resolved, the worst it ever had is in `peak`.
        escalation: snapshot of the policy taken when it opened; later edits do not change it.
        step: how many escalation steps were done.
        next_step_at: when the next one is due; None without one or once acknowledged.
        acknowledged_by: who, empty while nobody did.
        threads: per channel what its later messages hang on (Slack ts and channel id, mail root id, frozen key).
        sequence: number of the last message per incident.
        cause: likely cause in words, empty when unknown.
        alerts: ids of its alerts, in the order they joined.
        told: severity that people were last told; NONE before the first message.
        told_alerts: ids of the alerts that people were told about.
        heard: channels that had a message, in order; later messages go to them.
        escalated_at: when the ladder was (re)started; steps count from here.
        ack_expires_at: when an acknowledgement ends by itself.
        acknowledged_untold: how bad it was when somebody took it before any channel was told; NONE otherwise.
        quiet: what keeps some of its alerts from being told (silence, mute timing, inhibition), in words.
        revision: raised by the store at every write; writing an older revision is refused, so that an acknowledgement
            and a window judged at the same moment cannot undo each other.
    """

    id: str
    model: str
    state: IncidentState
    severity: Severity
    opened_at: datetime
    updated_at: datetime
    peak: Severity = Severity.NONE
    resolved_at: datetime | None = None
    title: str = ""
    alerts: tuple[str, ...] = ()
    escalation: Escalation | None = None
    step: int = 0
    next_step_at: datetime | None = None
    repeat_at: datetime | None = None
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    note: str = ""
    threads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sequence: int = 0
    reopened: int = 0
    cause: str = ""
    storm: str = ""
    told: Severity = Severity.NONE
    told_alerts: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    escalated_at: datetime | None = None
    ack_expires_at: datetime | None = None
    acknowledged_untold: Severity = Severity.NONE
    quiet: str = ""
    revision: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Silence:
    """A promise of quiet with a reason and an end.

    Args:
        matchers: label -> value; every one must be equal. `rule` and `incident` are labels too.
    """

    id: str
    matchers: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    reason: str
