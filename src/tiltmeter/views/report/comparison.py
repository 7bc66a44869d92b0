"""The page of a comparison: the sentence, ten rows, pictures of what moved, the rest folded away, the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.alerting.limits import psi_limits
from tiltmeter.api.as_json import DEFINITION
from tiltmeter.api.judging import COMPARISON
from tiltmeter.api.shift_words import NOT_ADDED, TITLES, first_parts, shift_row, shift_sentence
from tiltmeter.api.summary import effect, first_rows, number, p_value, percent, ranked, sentence
from tiltmeter.domain.metric import Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.drawing.markup import Markup, element, joined
from tiltmeter.drawing.pictures import psi_bar
from tiltmeter.monitors.effects import shortened
from tiltmeter.views.report.cards import feature_card
from tiltmeter.views.report.rules import rule_words
from tiltmeter.views.report.shell import answer, badge, box, fragment, grid, legend, page, tiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiltmeter.api.result import Result
    from tiltmeter.domain.comparison import Comparison, FeatureComparison

MOST_CARDS = 120
"""Features that get a picture; the further ones stand in the table alone."""

_TITLES = ("feature", "severity", "what changed", "PSI", "", "q", "test", "missing")


def comparison_page(result: Result) -> str:
    """One self-contained page."""
    comparison = result.comparison
    order = ranked(comparison)
    places = {feature.name: f"f{position}" for position, feature in enumerate(order)}
    before, after = _short_place(result.reference.name), _short_place(result.current_name)
    loud = [feature for feature in order if feature.severity >= Severity.WARNING]
    quiet = [feature for feature in order if feature.severity < Severity.WARNING]
    return page(
        f"Tiltmeter: {before} and {after}",
        element("h1", f"{before} → {after}"),
        answer(sentence(comparison), result.worst),
        tiles(_facts(result)),
        element("h2", "What moved most"),
        _table(result, first_rows(comparison), places),
        _shift(comparison, places),
        _pictures(result, loud[:MOST_CARDS], places),
        _folded(result, quiet, places, drawn=max(0, MOST_CARDS - len(loud))),
        _remarks(result),
        _method(result),
    )


def notebook_view(result: Result) -> str:
    """What a notebook shows: the sentence and ten rows."""
    comparison = result.comparison
    shown = first_rows(comparison)
    hidden = len(comparison.features) - len(shown)
    more = element("p", f"{hidden} more features: to_frame(), to_html()", class_="faint") if hidden > 0 else None
    return fragment(answer(sentence(comparison), result.worst), _table(result, shown, {}), more, _shift(comparison, {}))


def _short_place(name: str) -> str:
    """The last two parts of a path."""
    return "/".join(name.rstrip("/").split("/")[-2:])


def _facts(result: Result) -> list[tuple[str, str]]:
    comparison, overall = result.comparison, result.overall
    facts = [
        (f"{comparison.rows_reference:,}", "rows of the reference"),
        (f"{comparison.rows_current:,}", "rows held against it"),
        (f"{overall.features_critical} + {overall.features_warning}", f"critical + warning of {overall.features}"),
        (number(overall.psi), "weighted PSI of the features"),
    ]
    if comparison.score is not None:
        lost = {Status.MISSING_COLUMN: "gone", Status.TYPE_CHANGED: "retyped"}.get(comparison.score.status)
        said = (lost, "the score") if lost else (number(overall.score_psi), "PSI of the score")
        facts.append((said[0], f"{said[1]} ({overall.severity.word})"))
    if comparison.conversion_reference is not None or comparison.conversion_current is not None:
        before, after = percent(comparison.conversion_reference), percent(comparison.conversion_current)
        facts.append((f"{before} → {after}", "conversion"))
    return facts


def _table(result: Result, features: Sequence[FeatureComparison], places: Mapping[str, str]) -> Markup:
    limits = list(psi_limits(result.rules, Subject(COMPARISON, feature="any")).values())
    return grid(
        _TITLES,
        [_row(feature, places, limits) for feature in features],
        numbers=("PSI", "q", "missing"),
        full=("what changed", ""),
    )


def _row(feature: FeatureComparison, places: Mapping[str, str], limits: Sequence[float]) -> list[object]:
    name = shortened(feature.name) or "(no name)"
    place = places.get(feature.name)
    return [
        element("a", name, href=f"#{place}") if place else name,
        badge(feature.severity),
        effect(feature),
        number(feature.psi),
        psi_bar(feature.psi, feature.severity, limits=limits),
        p_value(feature.psi_q_value),
        element("span", test_words(feature), class_="k"),
        _missing(feature),
    ]


def test_words(feature: FeatureComparison) -> str:
    """The test of the feature's kind with its p-value."""
    if feature.ks is not None:
        return f"KS {number(feature.ks)}, p {_p(feature.ks_p_value)}"
    if feature.cramers_v is not None:
        return f"V {number(feature.cramers_v)}, p {_p(feature.chi2_p_value)}"
    return "–"


def _p(value: float | None) -> str:
    text = p_value(value)
    return text if text.startswith(("<", "–")) else f"= {text}"


def _missing(feature: FeatureComparison) -> str:
    before = feature.reference.missing_share if feature.reference is not None else None
    after = feature.current.missing_share if feature.current is not None else None
    return percent(after) if before == after else f"{percent(before)} → {percent(after)}"


def _shift(comparison: Comparison, places: Mapping[str, str]) -> Markup | None:
    """What moved the mean score; nothing where it did not move or cannot be told."""
    shift = comparison.score_shift
    if shift is None or not shift.features:
        return None
    rows: list[list[object]] = []
    for part in first_parts(shift):
        name, *cells = shift_row(part, shift)
        place = places.get(part.feature)
        rows.append([element("a", name, href=f"#{place}") if place else name, *cells])
    return element(
        "section",
        element("h2", "What moved the score"),
        element("p", f"{shift_sentence(shift)}. {NOT_ADDED}"),
        grid(TITLES, rows, numbers=TITLES[1:4], full=TITLES[4:]),
    )


def _pictures(result: Result, features: Sequence[FeatureComparison], places: Mapping[str, str]) -> Markup | None:
    score = result.comparison.score
    cards = [feature_card(result, feature, places[feature.name]) for feature in features]
    if score is not None:
        cards.insert(0, feature_card(result, score, "score", title=f"{shortened(score.name)} (score)"))
    if not cards:
        return None
    heading = "What moved, in pictures" if features else "The score"
    key = legend(
        f"reference, {result.comparison.rows_reference:,} rows", f"now, {result.comparison.rows_current:,} rows"
    )
    return joined([element("h2", heading), key, element("div", cards, class_="cards")])


def _folded(
    result: Result, features: Sequence[FeatureComparison], places: Mapping[str, str], *, drawn: int
) -> Markup | None:
    if not features:
        return None
    cards = [feature_card(result, feature, places[feature.name]) for feature in features[:drawn]]
    left = features[drawn:]
    return element(
        "details",
        element("summary", f"{len(features)} features that are quiet or were not judged"),
        element("div", cards, class_="cards"),
        _table(result, left, {}) if left else None,
    )


def _remarks(result: Result) -> Markup | None:
    hints = [
        hint if feature.name in hint else f"{shortened(feature.name)}: {hint}"
        for feature in result.comparison.features.values()
        for hint in feature.hints
    ]
    lines = [*hints, *result.notes]
    if not lines:
        return None
    return element("section", element("h2", "Worth knowing"), element("ul", [element("li", line) for line in lines]))


def _method(result: Result) -> Markup:
    comparison, bins = result.comparison, result.reference.bins
    tested = f"{comparison.n_reference:,} and {comparison.n_current:,}"
    judged = [rule_words(rule) for rule in result.rules if rule.metric in _JUDGING]
    return box(
        "Method",
        [
            ("Reference", f"{result.reference.name}, bins {bins.bins_id}, made from {bins.fit_rule}"),
            ("Current", result.current_name),
            ("Rows tested", f"{tested} (distinct ids where an id is known)"),
            ("PSI", "Σ (c − r) ln(c / r) over shares of cells, natural logarithm"),
            ("Cells", DEFINITION["bins"]),
            ("Empty cells", DEFINITION["empty_cells"]),
            ("p and q", "chi-square law of PSI without drift; q is Benjamini–Hochberg over all features"),
            ("Severity", joined([element("div", words) for words in judged])),
        ],
    )


_JUDGING = frozenset(
    {
        "drift.psi",
        "drift.overall_psi",
        "features.missing_change",
        "features.new_level_excess",
        "features.out_of_range_share",
        "features.schema_changes",
    }
)
