"""Pages by name: a page is one file and one line here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DashboardPage:
    """One page.

    Args:
        file: beside this one.
        title: in the navigation.
        path: in the address; empty for the first page.
        is_listed: whether the navigation shows it.
    """

    file: str
    title: str
    path: str
    is_listed: bool = True


PAGES = {
    "overview": DashboardPage("overview.py", "Overview", ""),
    "feature": DashboardPage("feature.py", "Feature", "feature"),
    "service": DashboardPage("service.py", "Service", "service"),
    "outcomes": DashboardPage("outcomes.py", "Outcomes", "outcomes"),
    "incidents": DashboardPage("incidents.py", "Incidents", "incidents"),
    "incident": DashboardPage("incident.py", "Incident", "incident", is_listed=False),
    "ack": DashboardPage("ack.py", "Acknowledge", "ack", is_listed=False),
    "compare": DashboardPage("compare.py", "Compare", "compare"),
}
"""By name, in the order of the navigation."""
