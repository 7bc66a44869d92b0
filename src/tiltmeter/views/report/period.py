"""The page of a day or week: the verdict, what changed, what moved, outcomes, service, quality, alerts, the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.alerting.hearing import heard_words
from tiltmeter.alerting.limits import OVERALL_PSI, P95, limit_words, limits_of, named, psi_limits
from tiltmeter.api.as_json import DEFINITION
from tiltmeter.api.period import OUTCOMES
from tiltmeter.api.period_story import not_judged, outcome_text, period_sentence, period_title, step_name
from tiltmeter.api.summary import effect, has_too_few_rows, moved, percent, ranked
from tiltmeter.domain.metric import Subject
from tiltmeter.domain.request import answer_name
from tiltmeter.domain.severity import Severity
from tiltmeter.drawing.markup import Markup, element, joined
from tiltmeter.drawing.style import NOT_JUDGED
from tiltmeter.drawing.timelines import heatmap, timeline
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.monitors.effects import shortened
from tiltmeter.views.report.cards import feature_card
from tiltmeter.views.report.outcomes import outcomes
from tiltmeter.views.report.rules import heatmap_key, rule_words
from tiltmeter.views.report.shell import BROAD, answer, badge, box, fitting, grid, legend, page, tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tiltmeter.api.period import Period
    from tiltmeter.api.result import Result
    from tiltmeter.domain.comparison import FeatureComparison, Overall

_MOST_ROWS = 30
_LEAST_PSI = 0.001
_MOST_INCIDENTS = 50
_MOST_ERRORS = 10
_FEWEST_GROUPS = 2


def period_page(found: Period) -> str:
    """One self-contained page."""
    names = [step_name(step, found.zone) for step in found.steps]
    return page(
        f"Tiltmeter: {period_title(found)}",
        element("h1", period_title(found)),
        answer(period_sentence(found), found.severity),
        tiles(_facts(found)),
        _changed(found),
        _drift(found, names),
        _moved(found),
        outcomes(found),
        _service(found, names),
        _quality(found),
        _jobs(found),
        _incidents(found),
        _method(found),
    )


def _facts(found: Period) -> list[tuple[str, str]]:
    facts = []
    result = found.against_baseline
    if result is not None:
        overall = result.overall
        facts += [
            (_moved_count(found, overall), "features moved"),
            (f"{result.comparison.rows_current:,}", "predictions"),
        ]
    loud = [incident for incident in found.incidents if incident.peak >= Severity.WARNING]
    told = sum(bool(found.told.get(incident.id)) for incident in loud)
    facts.append(
        (f"{told} of {len(loud)}" if loud else "0", "incidents that people were told of" if loud else "incidents")
    )
    rate = found.outcomes.get("outcomes.conversion_rate")
    if rate is not None:
        facts.append((percent(rate.value), "conversion of matured leads"))
    if found.service_total.p95_ms is not None:
        facts.append((f"{found.service_total.p95_ms:,.0f} ms", "P95 latency"))
    return facts


def _moved_count(found: Period, overall: Overall) -> str:
    count = overall.features_critical + overall.features_warning
    return f"{count} of {overall.features}" if count or found.is_judged else NOT_JUDGED


def _changed(found: Period) -> Markup:
    heading = element("h2", f"What changed since the {found.window.grain} before")
    lines: list[object] = []
    result = found.against_before
    if result is not None:
        stirred = moved(result.comparison)
        rows = _change_words(result.comparison.rows_reference, result.comparison.rows_current)
        lines.append(f"Predictions: {result.comparison.rows_current:,} ({rows}).")
        if stirred:
            named = "; ".join(f"{shortened(one.name)}: {effect(one)}" for one in stirred[:3])
            count = f"{len(stirred)} features" if len(stirred) > 1 else "One feature"
            lines.append(f"{count} moved between the two: {named}.")
        elif has_too_few_rows(result.comparison):
            lines.append(f"{not_judged(result.comparison)}.")
        elif _is_ruled(found):
            lines.append("No feature moved between the two.")
    now, then = found.service_total, found.service_before
    if now.requests and then.requests and now.p95_ms is not None and then.p95_ms is not None:
        lines.append(
            f"Requests: {now.requests:,} ({_change_words(then.requests, now.requests)}); P95 {then.p95_ms:,.0f} → "
            f"{now.p95_ms:,.0f} ms; errors {percent(then.error_rate)} → {percent(now.error_rate)}."
        )
    lines += [
        f"{CATALOGUE[name].title}: {outcome_text(found, name)}." for name in OUTCOMES[:1] if name in found.outcomes
    ]
    if not lines:
        lines.append(f"There is no {found.window.grain} before to compare with.")
    return joined([heading, element("ul", [element("li", line) for line in lines])])


def _change_words(before: int, now: int) -> str:
    if not before:
        return "none before"
    change = (now - before) / before
    return f"{change:+.0%} to the {before:,} before".replace("-", "−")


def _drift(found: Period, names: Sequence[str]) -> Markup | None:
    if not found.psi:
        return None
    order = sorted(found.psi, key=lambda name: (-max((v or 0.0 for v in found.psi[name]), default=0.0), name))
    limits = limits_of(found.rules, OVERALL_PSI, Subject(found.model.name))
    line = fitting(
        lambda width: timeline(
            found.overall_psi, names, label=f"Overall PSI by step, {limit_words(limits)}", width=width, height=150,
            limits=named(limits),
        )
    )  # fmt: skip
    rows = {name: list(zip(found.psi[name], found.psi_steps[name], strict=True)) for name in order[:_MOST_ROWS]}
    heat = fitting(
        lambda width: heatmap(
            rows, names, label="PSI by feature and step", write=shortened, width=width, explains=width == BROAD
        )
    )
    key = heatmap_key(psi_limits(found.rules, Subject(found.model.name, feature=order[0])))
    left = len(order) - len(rows)
    more = element("p", f"{left} further features stayed below these.", class_="faint") if left > 0 else None
    return joined(
        [
            element("h2", "Overall PSI"), element("p", _basis(found, limits), class_="faint"), line,
            element("h2", "PSI by feature"), key, heat, more,
        ]
    )  # fmt: skip


def _basis(found: Period, limits: Mapping[Severity, float]) -> str:
    result = found.against_baseline
    parts = [limit_words(limits)]
    if result is not None:
        parts = [f"n = {result.comparison.rows_current:,}", f"baseline {_baseline_words(result)}", *parts]
    return " · ".join(parts)


def _moved(found: Period) -> Markup | None:
    result = found.against_baseline
    if result is None:
        return None
    order = ranked(result.comparison)
    loud = [feature for feature in order if feature.severity >= Severity.WARNING]
    quiet = [feature for feature in order if feature.severity < Severity.WARNING]
    cards = [feature_card(result, feature, f"f{place}") for place, feature in enumerate(loud)]
    key = legend(
        f"baseline {result.reference.name}, {result.comparison.rows_reference:,} rows",
        f"this {found.window.grain}, {result.comparison.rows_current:,} rows",
    )
    shown = joined([key, element("div", cards, class_="cards")]) if cards else element("p", _nothing(found))
    folded = element(
        "details",
        element("summary", f"{len(quiet)} features that are quiet or were not judged"),
        grid(("feature", "PSI", "what changed"), [[shortened(f.name), _quiet_psi(f.psi), effect(f)] for f in quiet],
             numbers=("PSI",)),
    )  # fmt: skip
    return joined([element("h2", "What moved against the baseline"), shown, folded if quiet else None])


def _nothing(found: Period) -> str:
    if not _is_ruled(found):
        return "No rule judges the PSI of features."
    result = found.against_baseline
    few = result is not None and has_too_few_rows(result.comparison)
    return f"{not_judged(result.comparison)}." if few and result is not None else "No feature moved."


def _is_ruled(found: Period) -> bool:
    return bool(psi_limits(found.rules, Subject(found.model.name, feature="any")))


def _quiet_psi(psi: float | None) -> str:
    return "–" if psi is None else f"{psi:.3f}" if psi >= _LEAST_PSI else f"< {_LEAST_PSI:g}"


def _service(found: Period, names: Sequence[str]) -> Markup:
    heading = element("h2", "Service")
    if not found.service:
        return joined([heading, element("p", "No request log is connected, or there were no requests.")])
    target_ms = found.model.latency_target.total_seconds() * 1000
    ruled = named(limits_of(found.rules, P95, Subject(found.model.name)))
    limits = {"target": target_ms, **{word: limit for word, limit in ruled.items() if limit != target_ms}}
    dashed = ", ".join(f"{word} {limit:g} ms" for word, limit in limits.items())
    line = fitting(
        lambda width: timeline(
            [step.p95_ms for step in found.service], names, label=f"P95 latency by step, {dashed}", limits=limits,
            width=width,
            height=140, write="{:,.0f} ms".format,
        )
    )  # fmt: skip
    rows = [
        [name, f"{step.requests:,}", "–" if step.p95_ms is None else f"{step.p95_ms:,.0f} ms", percent(step.error_rate),
         percent(step.within_target)]
        for name, step in zip(names, found.service, strict=True)
    ]  # fmt: skip
    titles = ("", "requests", "P95", "errors", f"within {target_ms:g} ms")
    return joined(
        [
            heading,
            element("p", f"n = {found.service_total.requests:,} requests; dashed: {dashed}", class_="faint"), line,
            grid(titles, rows, numbers=titles[1:]),
            _errors(found),
        ]
    )  # fmt: skip


def _errors(found: Period) -> Markup:
    heading = element("h2", "Errors by route and exception")
    if not found.errors:
        unknown = "Failed requests were counted without their kind, which older hours do not know."
        said = unknown if found.service_total.error_rate else "No request was answered with 4xx or 5xx."
        return joined([heading, element("p", said)])
    rows = [
        [answer_name(kind.status), shortened(kind.exception) or "–", shortened(route), f"{requests:,}"]
        for route, kind, requests in found.errors[:_MOST_ERRORS]
    ]
    left = sum(requests for *_, requests in found.errors[_MOST_ERRORS:])
    more = element("p", f"{left:,} further errors of rarer kinds.", class_="faint") if left else None
    return joined([heading, grid(("answer", "exception", "route", "requests"), rows, numbers=("requests",)), more])


def _quality(found: Period) -> Markup | None:
    result = found.against_baseline
    if result is None:
        return None
    rows = [row for feature in ranked(result.comparison) for row in _quality_rows(feature)]
    if not rows:
        return joined(
            [element("h2", "Data quality"), element("p", "Nothing new is missing, out of range or a new level.")]
        )
    return joined([element("h2", "Data quality"), grid(("feature", "what", "before", "now"), rows[:_MOST_ROWS])])


def _quality_rows(feature: FeatureComparison) -> list[list[str]]:
    name, rows = shortened(feature.name), []
    before, now = feature.reference, feature.current
    if feature.missing_change and abs(feature.missing_change) > 0.005 and before is not None and now is not None:
        rows.append([name, "missing", percent(before.missing_share), percent(now.missing_share)])
    if feature.new_levels is not None and feature.new_levels.share > 0.001:
        levels = ", ".join(shortened(level) for level in feature.new_levels.names[:3])
        rows.append([name, "new levels", "–", f"{percent(feature.new_levels.share)}: {levels}"])
    if feature.out_of_range and feature.out_of_range > 0.001:
        rows.append([name, "outside the baseline's range", "–", percent(feature.out_of_range)])
    outliers = feature.outliers_iqr
    if outliers is not None and abs((outliers.current or 0.0) - (outliers.reference or 0.0)) > 0.02:
        rows.append([name, "outliers (IQR)", percent(outliers.reference), percent(outliers.current)])
    return rows


def _jobs(found: Period) -> Markup | None:
    if not found.jobs:
        return None
    rows = [
        [job.name, str(job.runs), str(job.failed), f"{job.records:,}", f"{job.last.astimezone(found.zone):%d %b %H:%M}"]
        for job in found.jobs
    ]
    titles = ("job", "runs", "failed", "records scored", "last start")
    return joined([element("h2", "Batch jobs"), grid(titles, rows, numbers=titles[1:])])


def _incidents(found: Period) -> Markup:
    heading = element("h2", "Alerts and who was told")
    loud = [incident for incident in found.incidents if incident.peak > Severity.NONE]
    if not loud:
        return joined([heading, element("p", "Nothing fired.")])
    rows = [
        [
            incident.title or incident.id,
            badge(incident.peak),
            element("span", f"{incident.opened_at.astimezone(found.zone):%d %b %H:%M}", class_="k"),
            _until(found, incident.resolved_at),
            incident.acknowledged_by or "–",
            heard_words(found.told.get(incident.id, ()), found.untold.get(incident.id, {})) or "dashboard",
        ]
        for incident in loud[:_MOST_INCIDENTS]
    ]
    left = len(loud) - len(rows)
    more = element("p", f"{left} more stand on the dashboard.", class_="faint") if left else None
    return joined([heading, grid(("what", "worst", "since", "until", "acknowledged", "told"), rows), more])


def _until(found: Period, moment: datetime | None) -> Markup:
    shown = "open" if moment is None else f"{moment.astimezone(found.zone):%d %b %H:%M}"
    return element("span", shown, class_="k")


def _method(found: Period) -> Markup:
    window, zone = found.window, found.zone
    start, end = (f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" for moment in (window.start, window.end))
    facts: list[tuple[str, object]] = [("Window", f"{start} to {end} {zone.key}")]
    result = found.against_baseline
    if result is not None:
        facts += [
            ("Baseline", _baseline_words(result)),
            ("PSI", "Σ (c − r) ln(c / r) over shares of cells, natural logarithm"),
            ("Cells", DEFINITION["bins"]),
            ("Rules", joined([element("div", rule_words(rule)) for rule in result.rules])),
        ]
    facts.append(("Outcomes", f"leads at least {found.model.outcomes.mature_after.days} days old"))
    return box("Method", facts)


def _baseline_words(result: Result) -> str:
    reference = result.reference
    rows = f"{reference.profile.rows:,} rows"
    return f"{reference.name} ({reference.baseline_id[:12]}), {rows}, bins {reference.bins.bins_id}"
