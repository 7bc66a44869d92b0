"""One feature as a card: name, severity, what changed, picture, the numbers of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.api.summary import effect, number, percent, value_text
from tiltmeter.domain.feature import FeatureKind
from tiltmeter.domain.profile import NumericBins, NumericProfile
from tiltmeter.drawing.histogram import histogram
from tiltmeter.drawing.markup import Markup, element
from tiltmeter.drawing.pictures import level_bars, overlay_histogram
from tiltmeter.monitors.effects import shortened
from tiltmeter.views.report.shell import badge

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiltmeter.api.result import Result
    from tiltmeter.domain.comparison import FeatureComparison, SideStatistics

_NAME = 19
"""Characters of a level beside its bar."""


def feature_card(result: Result, feature: FeatureComparison, place: str, *, title: str = "") -> Markup:
    """The card of one feature.

    Args:
        result: holds the profiles that the picture is drawn from.
        feature: what was measured.
        place: id that links lead to.
        title: instead of the feature's name.
    """
    measured = f"PSI {number(feature.psi)}" if feature.psi is not None else ""
    words = dict.fromkeys([effect(feature), measured])
    return element(
        "article",
        element("header", element("h3", title or shortened(feature.name) or "(no name)"), badge(feature.severity)),
        element("p", " · ".join(word for word in words if word) or feature.status.value.replace("_", " ")),
        picture_of(result, feature),
        _numbers(feature),
        class_="card",
        id=place,
    )


def picture_of(result: Result, feature: FeatureComparison) -> Markup | None:
    """Overlay histogram of numbers and times, paired bars of levels; None where there is nothing to draw."""
    label = f"{feature.name}: {effect(feature) or 'distribution before and now'}"
    if feature.kind.is_binned:
        bins = result.reference.bins.features.get(feature.name)
        before = result.reference.profile.features.get(feature.name)
        after = result.current.features.get(feature.name)
        if bins is None or not isinstance(bins.cells, NumericBins) or not isinstance(before, NumericProfile):
            return None
        if not isinstance(after, NumericProfile):
            return None
        kind = feature.kind
        bars = histogram(bins.cells, (before, after), may_be_logarithmic=kind is FeatureKind.NUMERIC)
        return None if bars is None else overlay_histogram(bars, label=label, write=lambda v: value_text(v, kind))
    if feature.cells:
        return level_bars(feature.cells, label=label, write=_level_name)
    return None


def _level_name(name: str) -> str:
    shown = shortened(name) or "(empty)"
    return shown if len(shown) <= _NAME else shown[: _NAME - 1] + "…"


def _numbers(feature: FeatureComparison) -> Markup | None:
    if feature.reference is None and feature.current is None:
        return None
    rows = [
        element(
            "tr",
            element("td", name),
            element("td", _written(feature.reference, write), class_="r"),
            element("td", _written(feature.current, write), class_="r"),
        )
        for name, write in _lines(feature)
    ]
    head = element("tr", element("th"), element("th", "reference", class_="r"), element("th", "now", class_="r"))
    return element("table", head, rows)


def _written(side: SideStatistics | None, write: Callable[[SideStatistics], str]) -> str:
    return "–" if side is None else write(side)


def _lines(feature: FeatureComparison) -> list[tuple[str, Callable[[SideStatistics], str]]]:
    kind = feature.kind
    lines: list[tuple[str, Callable[[SideStatistics], str]]] = []
    if kind.is_binned:
        lines.append(("median", lambda side: value_text(side.median, kind)))
    if kind is FeatureKind.DATETIME:  # two dates beside each other are wider than a card
        lines += [
            ("5 %", lambda side: value_text(side.q05, kind)),
            ("95 %", lambda side: value_text(side.q95, kind)),
        ]
    if kind is FeatureKind.NUMERIC:
        lines.append(("5 % – 95 %", lambda side: f"{value_text(side.q05, kind)} – {value_text(side.q95, kind)}"))
        lines.append(("mean ± std", lambda side: f"{value_text(side.mean, kind)} ± {value_text(side.std, kind)}"))
    if kind is FeatureKind.TEXT:
        lines.append(("mean length", lambda side: value_text(side.length_mean, kind)))
    lines.append(("missing", lambda side: percent(side.missing_share)))
    lines.append(("distinct", _distinct))
    return lines


def _distinct(side: SideStatistics) -> str:
    if side.distinct is None:
        return "–"
    error = f" ± {100 * side.distinct_error:.1f} %" if side.distinct_error else ""
    return f"{side.distinct:,}{error}"
