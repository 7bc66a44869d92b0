"""What an incident page says first: the words of the messages, where the trouble shows, and the number over time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pandas as pd

from tiltmeter.alerting.limits import limits_of, named
from tiltmeter.alerting.phrases import measure_of
from tiltmeter.alerting.situation import Situation
from tiltmeter.alerting.wording import content_of, worst_first
from tiltmeter.domain.alert import AlertState
from tiltmeter.domain.message import MessageKind
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain
from tiltmeter.views.dashboard.frame import ICONS
from tiltmeter.views.dashboard.queries import Scope
from tiltmeter.views.dashboard.spans import span_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tiltmeter.domain.alert import Alert, Incident
    from tiltmeter.domain.message import Content
    from tiltmeter.ports import World

PARTS = ("Inputs", "Score", "Service", "Jobs", "Outcomes", "Monitoring")
_BEFORE, _AFTER = timedelta(days=3), timedelta(days=2)
_FAMILIES = {"service": "Service", "job": "Jobs", "outcomes": "Outcomes", "schema": "Inputs", "monitor": "Monitoring"}


def members_of(world: World, incident: Incident) -> list[Alert]:
    """Alerts of an incident, the worst first."""
    alerts = world.state.alerts(incident.model, open_only=False).values()
    return worst_first([alert for alert in alerts if alert.incident == incident.id])


def briefing(world: World, incident: Incident, members: Sequence[Alert]) -> Content:
    """What the messages say about an incident: effect, facts and what to do."""
    situation = Situation(rules=world.rules, model=incident.model, zone=world.zone, public_url=world.public_url)
    kind = MessageKind.FIRED if incident.resolved_at is None else MessageKind.RESOLVED
    return content_of(kind, incident, members, situation, now=world.clock.now())


def part_of(alert: Alert) -> str:
    """Where an alert's trouble shows: one of `PARTS`."""
    metric = alert.metric.name if alert.metric is not None else ""
    if metric in ("drift.overall_psi", "drift.score_psi") or alert.subject.feature == "score":
        return "Score"
    return _FAMILIES.get(measure_of(alert, metric).family, "Inputs")


def shown_in(members: Sequence[Alert]) -> dict[str, Severity]:
    """The worst that each part of the system reached in an incident."""
    worst = dict.fromkeys(PARTS, Severity.NONE)
    for alert in members:
        part = part_of(alert)
        worst[part] = max(worst[part], alert.severity)
    return worst


def model_or_world(shown: dict[str, Severity]) -> str:
    """Did the model or the world change? One sentence, empty where the parts say nothing about it."""
    inputs, score = shown["Inputs"] >= Severity.WARNING, shown["Score"] >= Severity.WARNING
    if score and not inputs:
        return "The score moved while no input did: look at the model first (its version, its features' code)."
    if score and inputs:
        return "Inputs moved and the score with them: the data changed, and the model follows it."
    if inputs:
        return "Inputs moved, the score did not: the data changed, and so far the model shrugs it off."
    if shown["Service"] >= Severity.WARNING:
        return "Neither inputs nor scores moved: it is the service, not the model."
    return ""


@dataclass(frozen=True, slots=True)
class Story:
    """The number behind the worst alert, as a chart needs it.

    Args:
        title: in words.
        metric: name in the catalogue.
        feature: that it is about, empty for none.
        grain: of the stored numbers.
        scope: days before and after.
        limits: word -> threshold of its rule.
    """

    title: str
    metric: str
    feature: str
    grain: Grain
    scope: Scope
    limits: dict[str, float]


def story_of(world: World, place: str, incident: Incident, members: Sequence[Alert]) -> Story | None:
    """What to draw for an incident; None where its worst alert has no number over time (jobs, the monitor itself)."""
    firing = [alert for alert in members if alert.state is AlertState.FIRING]
    worst = next(iter(firing or members), None)
    model = world.models.get(incident.model)
    if worst is None or worst.metric is None or model is None:
        return None
    metric, subject = worst.metric, worst.subject
    if not metric.name.startswith(("drift.", "features.", "serving.", "outcomes.")) or subject.segment_key:
        return None
    grain = Grain.HOUR if metric.window.grain is Grain.LIVE else metric.window.grain
    end = min(world.clock.now(), (incident.resolved_at or world.clock.now()) + _AFTER)
    if grain is Grain.HOUR:
        start = incident.opened_at - timedelta(hours=24)
        end = min(end, (incident.resolved_at or end) + timedelta(hours=24))
    else:
        start = incident.opened_at - _BEFORE * 2
    rules = [rule for rule in world.rules.rules if rule.id == worst.rule]
    name = "the score" if part_of(worst) == "Score" else subject.feature
    label = measure_of(worst, metric.name).label
    return Story(
        f"{label} of {name}" if name else label, metric.name, subject.feature, grain,
        Scope(place, model, subject.model_version, ("", ""), start, end), named(limits_of(rules, metric.name, subject)),
    )  # fmt: skip


_ROW_LETTERS = 60


def incident_table(found: Sequence[Incident], scope: Scope, *, now: datetime) -> pd.DataFrame:
    """One row an incident: what, how bad, since when, how long, who has it.

    `time` and `until` are the ends of its bar, cut to the shown span; `opened` and `lasted` are told whole.

    Args:
        found: in the order to show.
        scope: the shown span.
        now: aware UTC; an open incident lasts until then, however old the newest data are.
    """
    ends = [i.resolved_at or max(now, i.opened_at) for i in found]
    ends_shown = [max(scope.end, i.opened_at) for i in found]
    bars = [min(i.resolved_at or last, last) for i, last in zip(found, ends_shown, strict=True)]
    table = pd.DataFrame(
        {
            "id": [i.id for i in found],
            "title": [i.title for i in found],
            "row": [_row(f"{n}. {i.title}") for n, i in enumerate(found, start=1)],
            "severity": [max(i.peak, i.severity, Severity.INFO).word for i in found],
            "state": [str(i.state) for i in found],
            "opened": pd.to_datetime([i.opened_at for i in found], utc=True),
            "time": pd.to_datetime([max(i.opened_at, scope.start) for i in found], utc=True),
            "until": pd.to_datetime(bars, utc=True),
            "lasted": [span_words(end - i.opened_at) for i, end in zip(found, ends, strict=True)],
            "alerts": [len(i.alerts) for i in found],
            "by": [i.acknowledged_by or "–" for i in found],
        }
    )
    return table.assign(severity_shown=[f"{ICONS[Severity.of(word)]} {word}" for word in table["severity"]])


def _row(name: str) -> str:
    return name if len(name) <= _ROW_LETTERS else f"{name[: _ROW_LETTERS - 1]}…"
