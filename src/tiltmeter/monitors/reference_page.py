"""The page of monitors and metrics, written from the catalogue."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Unit
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.registered import SCHEDULE

if TYPE_CHECKING:
    from tiltmeter.domain.metric import MetricDeclaration

_HEAD = """# Monitors and metrics

This page is written from the declarations in `src/tiltmeter/monitors/catalogue.py`. Rules, the HTTP API, the dashboard,
Grafana and Prometheus use these names.

A number is kept with its window, its subject (model, version, feature, segment), the rows on both sides, p- and q-value
and interval where it has them, the baseline it was held against, and the version of the table it came from. Where there
is no number, `status` and `why` say why: *no data*, *too few rows* and *zero* are three things.
"""

_MONITORS = {
    "traffic": "Requests as the shipper counts them: every ten seconds for the live rules, every hour for pages and "
    "for capacity; by route and version where there are several.",
    "features": "Every hour, the profile of the hour against the baseline: statistics, missing values, new levels, "
    "out of range, schema. An hour with fewer than 200 rows (distinct leads where rows carry an id) is judged over the "
    "shortest trailing span of whole hours, up to 24, that has them.",
    "drift": "Every day and week: the drift of every feature and of the score, by version while several serve, by "
    "segment (against the baseline of all rows, from which a segment may differ by its nature: look at its change), "
    "and beside the first baseline against the further ones; means and missing values against the window before as "
    "well, as long a span right before the one that is judged (of hours, `features` measures these steps where a "
    "rule names them: an hour differs from the last one by the time of day). A day reaches back up to 7 days for "
    "200 rows.",
    "outcomes": "Every day: the week of leads that has just become mature (`outcomes.mature_after`), by version while "
    "several scored and by segment too. `outcomes.top_decile_lift` keeps leads, customers and mean score of every "
    "tenth of the cohort by rising score (equal scores stay together), from which pages and reports draw conversion by "
    "score. `outcomes.precision_at_k` and `outcomes.recall_at_k` speak of the highest of these tenths: n is its "
    "number of leads, and that of all customers.",
    "jobs": "Once a minute: batch jobs that are late, failed, slow or short of records.",
    "self": "Once a minute: the service about itself.",
}
_UNITS = {Unit.NONE: "", Unit.FEATURE: "the feature's own", Unit.PER_SECOND: "per second"}
_GRAINS = {"hour": "hours", "day": "days", "week": "weeks"}


def reference_page() -> str:
    """Markdown with one section per monitor and one row per metric."""
    by_monitor = groupby(sorted(CATALOGUE.values(), key=_order), key=lambda declared: declared.monitor)
    return "\n".join([_HEAD, *(_section(monitor, list(found)) for monitor, found in by_monitor)])


def _order(declared: MetricDeclaration) -> int:
    return list(_MONITORS).index(declared.monitor)


def _section(monitor: str, declared: list[MetricDeclaration]) -> str:
    grains = ", ".join(_GRAINS[str(grain)] for grain, names in SCHEDULE.items() if monitor in names)
    run = f"\n\n`tiltmeter run --monitor {monitor} --window START/END` judges one of its {grains}." if grains else ""
    rows = "\n".join(_row(one) for one in declared)
    return f"""## `{monitor}`

{_MONITORS[monitor]}{run}

| metric | unit | each feature | meaning |
|---|---|---|---|
{rows}
"""


def _row(declared: MetricDeclaration) -> str:
    unit = _UNITS.get(declared.unit, declared.unit.value.replace("_", " "))
    return f"| `{declared.name}` | {unit} | {'yes' if declared.per_feature else ''} | {declared.meaning} |"
