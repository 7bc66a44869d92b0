"""The words of a storm: one digest for many incidents, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.alerting.facts import MOST_ROWS
from tiltmeter.alerting.phrases import clock_time, length_of, local_time, name_of
from tiltmeter.alerting.situation import STORM_SPAN
from tiltmeter.domain.message import Content, Row
from tiltmeter.domain.severity import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tiltmeter.alerting.situation import Situation
    from tiltmeter.domain.alert import Incident


def storm_digest(digest: Incident, held: Sequence[Incident], situation: Situation, *, now: datetime) -> Content:
    """One message for many incidents."""
    worst = sorted(held, key=lambda incident: (-incident.severity, incident.opened_at, incident.id))
    rows = [
        Row(name_of(i.model), i.severity, name_of(i.title) or i.id, "", "", _incident_link(situation, i))
        for i in worst[:MOST_ROWS]
    ]
    critical = sum(1 for incident in held if incident.severity is Severity.CRITICAL)
    plural = "s" if len(held) != 1 else ""
    base = situation.public_url.rstrip("/")
    return Content(
        title=f"{len(held)} incident{plural} held back, {critical} critical",
        effect="Too many incidents at once: this digest speaks for them until fewer come in. All are on the dashboard.",
        facts={
            "Since": local_time(digest.opened_at, situation.zone, with_year=True),
            "Next": f"another digest at {clock_time(now + STORM_SPAN, situation.zone)} while it lasts",
        },
        rows=tuple(rows),
        more=max(0, len(held) - MOST_ROWS),
        actions=("Look for the one cause that they share before looking at each",),
        links={"Incidents": f"{base}/incidents", "Dashboard": f"{base}/"} if base else {},
        footer=digest.id,
    )


def storm_over(digest: Incident, *, now: datetime) -> Content:
    """The end of a storm."""
    return Content(
        title="incidents are told one by one again",
        effect=f"The storm is over after {length_of(now - digest.opened_at)}.",
        footer=digest.id,
    )


def _incident_link(situation: Situation, incident: Incident) -> str:
    base = situation.public_url.rstrip("/")
    return f"{base}/incident?id={incident.id}" if base else ""
