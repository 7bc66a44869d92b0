"""The life of one alert as one pure step: shared by live runs, backtest, `rules test` and judging a window again.

    inactive ─ breach ─▶ pending ─ breach lasts `for` ─▶ firing ─ clear for `resolve_after` ─▶ resolved
        ▲                   │ clear                        │ ▲ ▲                                  │
        └───────────────────┘             severity, stale ─┘ │ └── breach within 30 minutes ──────┘
                                                             └── too few rows, no data: frozen, never resolved

Silenced, muted and inhibited are no states: they are asked when a message would be sent. Every transition is an event
from which `replay` rebuilds the state; what lies between two transitions are counters.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from tiltmeter.alerting.identity import alert_id, fingerprint
from tiltmeter.domain.alert import Alert, AlertEvent, AlertState
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiltmeter.domain.alert import Verdict
    from tiltmeter.domain.rule import Rule
    from tiltmeter.domain.window import Window

REOPEN_WITHIN = timedelta(minutes=30)
"""A breach so soon after the recovery is the same episode: the thread goes on."""

HALF_LIFE = 6
"""Windows after which a transition counts half for flapping."""

FLAPPING_ABOVE = 4.0
CALM_BELOW = 2.0

LONGEST_GAP = 3
"""Windows that one evaluation may add to a running `for`: a clock that jumps a day must not fulfil it."""

_GRAIN_LENGTH = {
    Grain.HOUR: timedelta(hours=1),
    Grain.DAY: timedelta(days=1),
    Grain.WEEK: timedelta(weeks=1),
    Grain.MONTH: timedelta(days=30),
}

Detail = dict[str, str | float | int | None]


def step(
    alert: Alert | None, verdict: Verdict, rule: Rule, *, window: Window, now: datetime, late: bool = False
) -> tuple[Alert, list[AlertEvent]]:
    """The alert after one more window, and the transitions on the way.

    Args:
        alert: newest episode so far, None for a subject never seen in breach.
        verdict: what the rule says about the window.
        rule: the rule.
        window: what was judged; time in alerts is its end.
        now: wall clock, kept with the events.
        late: the window is judged (again) because of late rows: a breach is marked as found late, and a window that
            turned out fine is noted as a correction instead of a recovery.
    """
    life = _Life(alert or _new(verdict.subject, verdict.rule), rule, window, now, late=late)
    if alert is not None and alert.updated_at is not None and window.end <= alert.updated_at:
        if alert.state in (AlertState.FIRING, AlertState.PENDING) or not late:
            return life.judged_again(verdict)
    else:
        life.age()
    if not verdict.judged:
        life.freeze(verdict)
    elif verdict.severity > Severity.NONE:
        life.breach(verdict)
    else:
        life.calm(verdict)
    return life.alert, life.events


def close(alert: Alert, reason: str, *, at: datetime, now: datetime) -> tuple[Alert, list[AlertEvent]]:
    """End an alert that nothing will judge any more (rule deleted, feature removed): closed, not recovered."""
    closed = replace(alert, state=AlertState.CLOSED, resolved_at=at, updated_at=at, seq=alert.seq + 1, stale=False)
    return closed, [_event(closed, "alert_closed", at, now, {"reason": reason})]


def period(rule: Rule, window: Window) -> timedelta:
    """How long it is from one evaluation of the rule to the next: of the window's grain, or the rule's `every`."""
    if window.grain in _GRAIN_LENGTH:
        return _GRAIN_LENGTH[window.grain]
    return rule.every if isinstance(rule.every, timedelta) else window.length


def _new(subject: Subject, rule: str) -> Alert:
    identity = fingerprint(rule, subject)
    return Alert(alert_id(identity, 1), identity, rule, subject, episode=1)


class _Life:
    """One alert on its way through one window."""

    def __init__(self, alert: Alert, rule: Rule, window: Window, now: datetime, *, late: bool) -> None:
        self.alert = alert
        self.events: list[AlertEvent] = []
        self._rule, self._window, self._now, self._late = rule, window, now, late
        self._period = period(rule, window)
        self._elapsed = self._period

    def age(self) -> None:
        """Let the flapping count decay by the windows that passed."""
        before = self.alert.updated_at
        if before is None:
            return
        passed = self._window.end - before
        self._elapsed = min(passed, LONGEST_GAP * self._period)
        if self.alert.transitions:
            windows = max(1.0, passed / self._period)
            self.alert = replace(self.alert, transitions=self.alert.transitions * 0.5 ** (windows / HALF_LIFE))

    def judged_again(self, verdict: Verdict) -> tuple[Alert, list[AlertEvent]]:
        """An older window: never moves the state; late rows that clear a breach are noted."""
        alert = self.alert
        told = alert.state is AlertState.FIRING and alert.since is not None and alert.since <= self._window.end
        if self._late and told and verdict.judged and max(verdict.severity, verdict.clear_of) is Severity.NONE:
            self._transition("alert_corrected", value=_value(verdict))
        return self.alert, self.events

    def freeze(self, verdict: Verdict) -> None:
        """No number: timers stand still, a firing alert is marked stale once."""
        if self.alert.state is AlertState.FIRING and not self.alert.stale:
            self._change(stale=True)
            self._transition("alert_stale", why=verdict.why)
        self._change(updated_at=self._window.end)

    def breach(self, verdict: Verdict) -> None:
        """The value is beyond a limit."""
        state = self.alert.state
        if state is AlertState.FIRING:
            self._still_firing(verdict)
        elif state is AlertState.RESOLVED and self._within_reopen():
            self._reopen(verdict)
        else:
            self._pend(verdict)
        self._observe(verdict)
        self._flap()

    def calm(self, verdict: Verdict) -> None:
        """No limit is breached; inside the hysteresis a firing alert stays."""
        state = self.alert.state
        if state is AlertState.PENDING:
            self._change(state=AlertState.INACTIVE, severity=Severity.NONE, since=None, breaches=0, held=timedelta(0))
            self._transition("alert_cleared", value=_value(verdict))
        elif state is AlertState.FIRING:
            self._fresh()
            self._ease(verdict)
            self._observe(verdict)
            self._flap()
        self._change(updated_at=self._window.end)

    def _pend(self, verdict: Verdict) -> None:
        end, before = self._window.end, self.alert
        if before.state is not AlertState.PENDING:
            self._begin(end)
        else:
            self._change(breaches=self.alert.breaches + 1, held=self.alert.held + self._elapsed)
        self._change(severity=verdict.severity, breached_at=end)
        if self._hold_is_over():
            self._change(
                state=AlertState.FIRING, fired_at=end, late=self._late, clears=0, transitions=self.alert.transitions + 1
            )
            self._transition("alert_fired", value=_value(verdict), why=verdict.why)
        elif self.alert.breaches == 1 or before.severity is not self.alert.severity:
            self._transition("alert_pending", value=_value(verdict))

    def _begin(self, end: datetime) -> None:
        before = self.alert
        episode = before.episode + 1 if before.fired_at is not None else before.episode
        self.alert = replace(
            before,
            id=alert_id(before.fingerprint, episode),
            state=AlertState.PENDING,
            episode=episode,
            since=end,
            fired_at=None,
            resolved_at=None,
            value=None,
            peak=None,
            breaches=1,
            clears=0,
            reopened=0,
            stale=False,
            incident="",
            late=False,
            held=timedelta(0),
            flapping=False,
        )

    def _hold_is_over(self) -> bool:
        hold = self._rule.hold
        if hold.time is not None:
            return self.alert.held >= hold.time
        return self.alert.breaches >= (hold.windows or 1)

    def _within_reopen(self) -> bool:
        resolved = self.alert.resolved_at
        return resolved is not None and self._window.end - resolved <= REOPEN_WITHIN

    def _reopen(self, verdict: Verdict) -> None:
        self._change(
            state=AlertState.FIRING,
            severity=verdict.severity,
            resolved_at=None,
            reopened=self.alert.reopened + 1,
            breaches=self.alert.breaches + 1,
            clears=0,
            transitions=self.alert.transitions + 1,
            breached_at=self._window.end,
        )
        self._transition("alert_reopened", value=_value(verdict))

    def _still_firing(self, verdict: Verdict) -> None:
        self._fresh()
        if self.alert.flapping and self.alert.clears >= self._rule.resolve_after:
            self._change(transitions=self.alert.transitions + 1)
        self._change(breaches=self.alert.breaches + 1, breached_at=self._window.end)
        if verdict.severity > self.alert.severity:
            self._change(severity=verdict.severity, clears=0)
            self._transition("alert_escalated", value=_value(verdict))
        else:
            self._ease(verdict)

    def _ease(self, verdict: Verdict) -> None:
        """Count clear windows; after enough of them the level goes down, from the lowest one to resolved."""
        floor = max(verdict.severity, verdict.clear_of)
        if floor >= self.alert.severity:
            self._change(clears=0)
            return
        self._change(clears=self.alert.clears + 1)
        if self.alert.clears < self._rule.resolve_after or not self._kept_long_enough():
            return
        if floor > Severity.NONE:
            self._change(severity=floor, clears=0)
            self._transition("alert_eased", value=_value(verdict))
        elif self.alert.flapping:
            if self.alert.clears == self._rule.resolve_after:
                self._change(transitions=self.alert.transitions + 1)
        else:
            self._resolve(verdict)

    def _kept_long_enough(self) -> bool:
        last = self.alert.breached_at
        return last is None or self._window.end - last >= self._rule.keep_firing

    def _resolve(self, verdict: Verdict) -> None:
        self._change(
            state=AlertState.RESOLVED, resolved_at=self._window.end, transitions=self.alert.transitions + 1, stale=False
        )
        self._transition("alert_resolved", value=_value(verdict))

    def _flap(self) -> None:
        alert = self.alert
        if alert.state is not AlertState.FIRING:
            return
        if not alert.flapping and alert.transitions > FLAPPING_ABOVE:
            self._change(flapping=True)
            self._transition("alert_flapping", count=round(alert.transitions, 2))
        elif alert.flapping and alert.transitions < CALM_BELOW:
            self._change(flapping=False)
            self._transition("alert_calmed")
            if alert.clears >= self._rule.resolve_after:
                self._change(state=AlertState.RESOLVED, resolved_at=self._window.end)
                self._transition("alert_resolved")

    def _fresh(self) -> None:
        if self.alert.stale:
            self._change(stale=False)
            self._transition("alert_refreshed")

    def _observe(self, verdict: Verdict) -> None:
        value = _value(verdict)
        peak = self.alert.peak
        if value is not None and verdict.severity > Severity.NONE:
            looks_up = any(limit.above is not None for limit in self._rule.levels.values())
            peak = value if peak is None else max(peak, value) if looks_up else min(peak, value)
        self._change(value=value, peak=peak, metric=verdict.metric, updated_at=self._window.end)

    def _change(self, **fields: object) -> None:
        self.alert = replace(self.alert, **fields)  # type: ignore[arg-type]

    def _transition(self, kind: str, **detail: str | float | None) -> None:
        self.alert = replace(self.alert, seq=self.alert.seq + 1)
        said: Detail = {name: value for name, value in detail.items() if value not in (None, "")}
        self.events.append(_event(self.alert, kind, self._window.end, self._now, said))


def _value(verdict: Verdict) -> float | None:
    return verdict.metric.value if verdict.metric is not None else None


def _event(alert: Alert, kind: str, at: datetime, now: datetime, detail: Detail) -> AlertEvent:
    value = detail.pop("value", None)
    subject = alert.subject
    about: Detail = {
        "rule": alert.rule,
        "episode": alert.episode,
        "model": subject.model,
        "model_version": subject.model_version,
        "feature": subject.feature,
        "segment_key": subject.segment_key,
        "segment_value": subject.segment_value,
        "late": int(alert.late),
    }
    kept = {name: found for name, found in about.items() if found not in ("", 0)}
    return AlertEvent(
        alert.fingerprint, alert.seq, kind, at, now, alert.severity,
        float(value) if isinstance(value, int | float) else alert.value, alert.incident, {**kept, **detail},
    )  # fmt: skip


_STATES: Mapping[str, AlertState] = {
    "alert_pending": AlertState.PENDING,
    "alert_cleared": AlertState.INACTIVE,
    "alert_fired": AlertState.FIRING,
    "alert_reopened": AlertState.FIRING,
    "alert_resolved": AlertState.RESOLVED,
    "alert_closed": AlertState.CLOSED,
}


def replay(events: Sequence[AlertEvent]) -> Alert | None:
    """The state of one fingerprint after its events: everything but counters, values and the metric of the moment."""
    alert: Alert | None = None
    for event in events:
        alert = _replayed(alert, event)
    return alert


def _replayed(alert: Alert | None, event: AlertEvent) -> Alert:
    said = event.detail
    episode = int(said.get("episode") or 1)
    fields = ("model", "model_version", "feature", "segment_key", "segment_value")
    subject = Subject(*(str(said.get(name) or "") for name in fields))
    if alert is None or alert.episode != episode:
        identity = event.fingerprint
        alert = Alert(alert_id(identity, episode), identity, str(said["rule"]), subject, episode=episode)
    at, kind = event.window_end, event.kind
    state = _STATES.get(kind, alert.state)
    begins = kind in ("alert_pending", "alert_fired") and alert.state is not AlertState.PENDING
    cleared = kind == "alert_cleared"
    return replace(
        alert,
        state=state,
        severity=event.severity,
        since=None if cleared else at if begins else alert.since,
        fired_at=at if kind == "alert_fired" else None if begins else alert.fired_at,
        resolved_at=at if kind in ("alert_resolved", "alert_closed") else None if state in _LIVE else alert.resolved_at,
        reopened=alert.reopened + (kind == "alert_reopened"),
        stale=kind == "alert_stale" or (alert.stale and kind not in _FRESH),
        flapping=kind == "alert_flapping" or (alert.flapping and kind != "alert_calmed" and not begins),
        late=bool(said.get("late")),
        incident=event.incident or alert.incident,
        seq=event.seq,
    )


_LIVE = (AlertState.PENDING, AlertState.FIRING)
_FRESH = ("alert_refreshed", "alert_resolved", "alert_closed", "alert_pending", "alert_fired")
