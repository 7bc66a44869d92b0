"""Panels of catalogue metrics: name, unit and meaning from the declaration, thresholds from the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltmeter.domain.metric import Unit
from tiltmeter.domain.severity import Severity
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.views.grafana.panels import CALM, CRITICAL, WATCH, Panel, PanelUnit, Query, Threshold

if TYPE_CHECKING:
    from tiltmeter.domain.rule import RuleSet
    from tiltmeter.views.grafana.panels import Display

_UNITS = {
    Unit.NONE: PanelUnit.NONE,
    Unit.SHARE: PanelUnit.SHARE,
    Unit.COUNT: PanelUnit.COUNT,
    Unit.SECONDS: PanelUnit.SECONDS,
    Unit.MILLISECONDS: PanelUnit.SECONDS,  # exported in base units
    Unit.PER_SECOND: PanelUnit.PER_SECOND,
    Unit.NATS: PanelUnit.NONE,
    Unit.MONEY: PanelUnit.NONE,
    Unit.FEATURE: PanelUnit.NONE,
}
_OF_NO_VERSION = ("batch.", "monitor.", "features.freshness", "serving.capacity_rps")
"""Beginnings of metrics that are of a model whatever version answers."""
_COLOURS = {Severity.INFO: CALM, Severity.WARNING: WATCH, Severity.CRITICAL: CRITICAL}


def thresholds_of(metric: str, rules: RuleSet) -> tuple[Threshold, ...]:
    """Limits of every rule on the metric that alert above a value, in the unit that is exported, ascending."""
    scale = 0.001 if CATALOGUE[metric].unit is Unit.MILLISECONDS else 1.0
    found = {
        limit.above * scale: _COLOURS[severity]
        for rule in rules.rules
        if rule.metric == metric
        for severity, limit in sorted(rule.levels.items())
        if limit.above is not None and severity in _COLOURS
    }
    return tuple(Threshold(value, colour) for value, colour in sorted(found.items()))


def series_of(metric: str, *, window: str, more: str = "") -> str:
    """Selector of the exported series of a metric for the chosen model and, where it has one, version.

    Args:
        metric: catalogue name.
        window: `live`, `hour`, `day` or `week`.
        more: further matchers, such as `,feature="score"`.
    """
    exported = CATALOGUE[metric].exported
    version = "" if metric.startswith(_OF_NO_VERSION) else ',model_version=~"$version"'
    return f'{exported}{{model=~"$model"{version},window="{window}"{more}}}'


def metric_panel(
    metric: str,
    rules: RuleSet,
    *,
    window: str,
    display: Display,
    expression: str = "",
    legend: str = "{{model}} {{model_version}}",
    width: int = 12,
    height: int = 8,
    title: str = "",
    empty: str = "not judged yet",
) -> Panel:
    """A panel of one catalogue metric.

    Args:
        metric: catalogue name; must be exported.
        rules: where the threshold lines come from.
        window: which windows' numbers.
        display: kind of picture.
        expression: PromQL in which `{series}` stands for the metric's series; the series alone by default.
        legend: of a series.
        width: of 24 columns.
        height: in grid rows.
        title: instead of the catalogue's.
        empty: text while there is no series.
    """
    declared = CATALOGUE[metric]
    series = series_of(metric, window=window)
    limits = thresholds_of(metric, rules)
    alerts = "; ".join(f"{limit.value:g}" for limit in limits)
    return Panel(
        title or declared.title,
        f"{declared.meaning} Judged by {window}." + (f" Rules alert above {alerts}." if alerts else ""),
        (Query(expression.format(series=series) if expression else series, legend),),
        _UNITS[declared.unit],
        width=width,
        height=height,
        display=display,
        thresholds=limits,
        high=1.0 if declared.unit is Unit.SHARE and not limits and display is not display.BARS else None,
        empty=empty,
    )
