"""Rules as data: when a metric becomes an alert, who hears of it, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from tiltmeter.domain.window import Grain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.severity import Severity


RULES_IN_FORCE = "rules"
"""Position under which the service keeps the rules that judge now."""


class Absence(StrEnum):
    """What to do when a rule has no number: keep the state (shown as stale), alert, or take it as fine."""

    KEEP = "keep"
    ALERT = "alert"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Limit:
    """One level of a rule. Strict: a value equal to the limit is no breach.

    Args:
        above: breach when value > above.
        below: breach when value < below.
        clear_below: with `above`: over only when value < clear_below (default: above, then value <= above clears).
        clear_above: with `below`: over only when value > clear_above.
    """

    above: float | None = None
    below: float | None = None
    clear_below: float | None = None
    clear_above: float | None = None

    def is_breached(self, value: float) -> bool:
        """Whether the value is beyond the limit."""
        if self.above is not None:
            return value > self.above
        return self.below is not None and value < self.below

    def is_clear(self, value: float) -> bool:
        """Whether the value is back on the safe side, hysteresis included."""
        if self.above is not None:
            return value < self.clear_below if self.clear_below is not None else value <= self.above
        if self.below is not None:
            return value > self.clear_above if self.clear_above is not None else value >= self.below
        return True


@dataclass(frozen=True, slots=True)
class Hold:
    """How long a breach must last: a number of windows or a stretch of time; exactly one is set."""

    windows: int | None = 1
    time: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with levels: one alert per model, version and `by` labels, which changes severity.

    Args:
        id: name, part of every alert's fingerprint.
        metric: catalogue name.
        levels: severity -> limit.
        by: labels that make alerts of their own (`feature`, `job`, `http_route`, a segment column).
        every: how often it is judged: a calendar grain, or a stretch of time for live rules.
        over: span judged; None means `every`.
        up_to: longest span to which a live rule with too few rows may stretch.
        hold: how long a breach must last (`for`).
        resolve_after: clear windows until it is resolved.
        keep_firing: time a breach is kept after it ended.
        min_rows: rows below which a window is neither an alert nor a recovery.
        q_below: gate on the q-value that belongs to the metric.
        p_below: gate on the p-value that belongs to the metric.
        act_on: `value` or `lower_bound`.
        no_data: what absence means.
        on_error: what a failed computation means.
        models: models it is limited to; empty means all.
        mute: names of mute timings.
        runbook: address of what to do.
        annotations: free text shown in messages.
        at: where it was defined, `file:line`.
    """

    id: str
    metric: str
    levels: Mapping[Severity, Limit]
    by: tuple[str, ...] = ()
    every: Grain | timedelta = Grain.DAY
    over: timedelta | None = None
    up_to: timedelta | None = None
    hold: Hold = Hold()
    resolve_after: int = 2
    keep_firing: timedelta = timedelta(0)
    min_rows: int = 200
    q_below: float | None = None
    p_below: float | None = None
    act_on: str = "value"
    no_data: Absence = Absence.KEEP
    on_error: Absence = Absence.KEEP
    models: tuple[str, ...] = ()
    mute: tuple[str, ...] = ()
    runbook: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    at: str = ""


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While an alert of the source rule fires, alerts of the target rules with the same labels are not sent."""

    source_rule: str
    target_rules: tuple[str, ...]
    equal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MuteTiming:
    """Local times in which a rule sends nothing.

    Args:
        name: as rules refer to it.
        days: lower-case three-letter names; empty means every day.
        outside: "HH:MM-HH:MM": muted outside of these local times.
        inside: "HH:MM-HH:MM": muted inside of these local times.
        timezone: of the times; empty means the configured one.
    """

    name: str
    days: tuple[str, ...] = ()
    outside: str = ""
    inside: str = ""
    timezone: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Where alerts of one severity go: channels or an escalation, never both."""

    severity: Severity
    to: tuple[str, ...] = ()
    escalation: str = ""
    repeat: timedelta | None = None


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """After so much time without acknowledgement, these channels hear of it."""

    after: timedelta
    to: tuple[str, ...]
    broadcast: bool = False


@dataclass(frozen=True, slots=True)
class Escalation:
    """A named ladder of steps."""

    name: str
    steps: tuple[EscalationStep, ...]
    ack_expires: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Everything between a metric and a channel, as read from one file. `revision` is the hash of its content."""

    rules: tuple[Rule, ...]
    inhibitions: tuple[Inhibition, ...] = ()
    mute_timings: Mapping[str, MuteTiming] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    escalations: Mapping[str, Escalation] = field(default_factory=dict)
    revision: str = ""
