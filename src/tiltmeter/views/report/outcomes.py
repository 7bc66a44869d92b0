"""Outcomes of a day or week in its report: the funnel, the numbers, conversion by score, the best tenth by week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.api.period import OUTCOMES
from tiltmeter.api.period_story import outcome_text
from tiltmeter.api.summary import percent
from tiltmeter.drawing.markup import Markup, element, joined
from tiltmeter.drawing.timelines import Bar, week_bars
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.cohort_weeks import scored_words
from tiltmeter.monitors.deciles import LIFT, deciles_kept
from tiltmeter.views.report.shell import fitting, grid

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from tiltmeter.api.period import Period
    from tiltmeter.domain.metric import Metric
    from tiltmeter.monitors.cohort_weeks import CohortWeek

_FEWEST_GROUPS = 2


def outcomes(found: Period) -> Markup:
    """What became of the leads that are old enough."""
    heading = element("h2", "Outcomes of matured leads")
    if not found.outcomes:
        days = found.model.outcomes.mature_after.days
        return joined([heading, element("p", f"No cohort is mature yet: outcomes count {days} days after scoring.")])
    rows = []
    for name in OUTCOMES:
        metric = found.outcomes.get(name)
        if metric is not None:
            rows.append([CATALOGUE[name].title, outcome_text(found, name), f"{metric.n_current or 0:,}"])
    window = found.outcomes[next(iter(found.outcomes))].window
    cohort = f"Leads scored {scored_words(window, found.zone)}."
    numbers = grid(("", "now, and before", "leads"), rows, numbers=("leads",))
    return joined(
        [heading, _funnel(found), element("p", cohort, class_="faint"), numbers, _tenths(found), _weeks(found)]
    )


def _funnel(found: Period) -> Markup | None:
    rate = found.outcomes.get("outcomes.conversion_rate")
    if rate is None or rate.value is None or not rate.n_current:
        return None
    customers = round(rate.value * rate.n_current)
    low, high = rate.lower, rate.upper
    between = f", 95 % interval {percent(low)} to {percent(high)}" if low is not None and high is not None else ""
    kept = found.outcomes["outcomes.precision"].details if "outcomes.precision" in found.outcomes else {}
    called, hits = kept.get("predicted"), kept.get("hits")
    predicted = ""
    if isinstance(called, int) and isinstance(hits, int) and called:
        share = percent(called / rate.n_current)
        predicted = (
            f"{called:,} predicted to become customers ({share}), {hits:,} of them did ({percent(hits / called)}) → "
        )
    said = (
        f"{rate.n_current:,} leads scored → {predicted}{customers:,} customers in all ({percent(rate.value)}{between})."
    )
    return element("p", said)


def _tenths(found: Period) -> Markup | None:
    """Conversion by rising score, beside what the score promised."""
    metric = found.outcomes.get(LIFT)
    kept = deciles_kept(metric) if metric is not None else []
    if len(kept) < _FEWEST_GROUPS:
        return None
    rows = [
        (
            f"{place} (lowest)" if place == 1 else f"{place} (highest)" if place == len(kept) else str(place),
            f"{one.leads:,}", percent(one.promised), percent(one.conversion.value),
            f"{percent(one.conversion.lower)} to {percent(one.conversion.upper)}",
        )
        for place, one in enumerate(kept, start=1)
    ]  # fmt: skip
    names = ("tenth by score", "leads", "promised", "became customers", "95 % interval")
    return joined([element("h3", "Conversion by score", class_="part"), grid(names, rows, numbers=names[1:])])


def _weeks(found: Period) -> Markup | None:
    """Precision and recall at k by week of scoring; open weeks are hatched."""
    if not any(week.precision is not None for week in found.weeks):
        return None
    parts: list[Markup] = [element("h3", "The best tenth by score, week by week", class_="part")]
    said = (
        "k is the tenth of each week's leads with the highest scores; equal scores stay together. Lines are 95 % "
        f"intervals; hatched weeks are not {found.model.outcomes.mature_after.days} days old yet."
    )
    parts.append(element("p", said, class_="faint"))
    for title, metrics in (
        ("Precision at k: of them, the share that became customers", [week.precision for week in found.weeks]),
        ("Recall at k: of all customers, the share among them", [week.recall for week in found.weeks]),
    ):
        bars = [_week_bar(week, metric, found.zone) for week, metric in zip(found.weeks, metrics, strict=True)]
        parts.append(element("p", title))
        parts.append(fitting(lambda width, bars=bars, title=title: week_bars(bars, label=title, width=width)))  # type: ignore[misc]
    return joined(parts)


def _week_bar(week: CohortWeek, metric: Metric | None, zone: ZoneInfo) -> Bar:
    name = week.name(zone)
    if not week.is_mature:
        return Bar(name, None, words="not mature yet", is_open=True)
    if metric is None or metric.value is None:
        return Bar(name, None, words=metric.why_missing if metric is not None else "not measured")
    between = f", 95 % interval {percent(metric.lower)} to {percent(metric.upper)}" if metric.lower is not None else ""
    words = f"{percent(metric.value)} of n = {metric.n_current or 0:,}{between}"
    return Bar(name, metric.value, metric.lower, metric.upper, words, metric.n_current)
