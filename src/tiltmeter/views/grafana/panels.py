"""Panels and boards as Grafana's classic dashboard JSON (schema 41), from typed declarations."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA_VERSION = 41
"""The last classic schema; newer Grafana versions migrate it when they load the file."""

GRID_COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

CALM, WATCH, CRITICAL = "#64748b", "#f59e0b", "#b91c1c"
"""Severity colours of every view; never the only sign: each panel's threshold also stands in its description."""

_PALETTE = "palette-classic-by-name"


class Display(StrEnum):
    """How a panel shows its series."""

    LINES = "timeseries"
    NUMBER = "stat"
    BARS = "bargauge"
    HEATMAP = "heatmap"


class PanelUnit(StrEnum):
    """Grafana's names of the units that the catalogue uses."""

    NONE = "none"
    SHARE = "percentunit"
    COUNT = "short"
    SECONDS = "s"
    PER_SECOND = "reqps"
    BYTES = "bytes"
    BYTES_PER_SECOND = "Bps"
    PER_SECOND_PACKETS = "pps"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression.

    Args:
        expression: may use `$__rate_interval`, `$__range` and the board's variables.
        legend: template such as `{{route}}`.
        is_newest: only the newest value is wanted, not the time line.
    """

    expression: str
    legend: str
    is_newest: bool = False


@dataclass(frozen=True, slots=True)
class Threshold:
    """From this value on the panel takes the colour."""

    value: float
    colour: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture that answers one question.

    Args:
        title: two to four words.
        description: what it means and when it is bad; shown at the panel's corner.
        queries: what is drawn.
        unit: of every value.
        width: grid columns, of 24.
        height: grid rows of 30 pixels.
        display: kind of picture.
        thresholds: ascending.
        high: upper end of the axis, None to fit the values.
        empty: text instead of a picture while there is no series.
        decimals: digits behind the point, None to let Grafana choose.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: PanelUnit
    width: int = 12
    height: int = 8
    display: Display = Display.LINES
    thresholds: tuple[Threshold, ...] = ()
    high: float | None = None
    empty: str = "no traffic"
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A headline and its panels, placed from left to right."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A selector on top of a board.

    Args:
        name: as expressions write it, without `$`.
        label: as people read it.
        values: PromQL of the choices, `label_values(metric, label)`.
        everything: regular expression that stands for "All".
    """

    name: str
    label: str
    values: str
    everything: str = ".*"


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Args:
        uid: identity that links and provisioning keep.
        title: name in the list.
        question: what it answers, in one sentence.
        rows: from top to bottom.
        variables: selectors, in order.
        span: time range when it is opened, such as `now-6h`.
    """

    uid: str
    title: str
    question: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()
    span: str = "now-6h"
    tags: tuple[str, ...] = field(default=("tiltmeter",))


def board_json(board: Board) -> dict[str, Any]:
    """The board as Grafana reads it; equal boards give equal JSON."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.question,
        "tags": list(board.tags),
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one cross-hair over all panels
        "refresh": "30s",
        "time": {"from": board.span, "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource_variable(), *(_variable_json(v) for v in board.variables)]},
        "annotations": {"list": []},
        "links": [
            {"type": "dashboards", "title": "Tiltmeter", "tags": ["tiltmeter"], "asDropdown": False, "keepTime": True,
             "includeVars": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}
        ],
        "panels": list(_placed(board.rows)),
    }  # fmt: skip


def _datasource_variable() -> dict[str, Any]:
    return {
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1,
        "current": {}, "hide": 0, "includeAll": False, "multi": False, "options": [], "regex": "", "skipUrlSync": False,
    }  # fmt: skip


def _variable_json(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name, "label": variable.label, "type": "query", "datasource": DATASOURCE,
        "definition": variable.values, "query": {"query": variable.values, "refId": f"{variable.name}-values"},
        "refresh": 2, "sort": 1, "includeAll": True, "allValue": variable.everything, "multi": True, "hide": 0,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [], "regex": "",
        "skipUrlSync": False,
    }  # fmt: skip


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number = top = 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": top, "w": GRID_COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        top += 1
        left = line_height = 0
        for panel in row.panels:
            if left + panel.width > GRID_COLUMNS:
                left, top, line_height = 0, top + line_height, 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel_json(panel)}
            left += panel.width
            line_height = max(line_height, panel.height)
        top += line_height


def _panel_json(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.display.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": [_target_json(query, place, panel.display) for place, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.display],
    }


def _target_json(query: Query, place: int, display: Display) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + place),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expression,
        "legendFormat": query.legend,
        "instant": query.is_newest,
        "range": not query.is_newest,
        "format": "heatmap" if display is Display.HEATMAP else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": CALM, "value": None}]
    steps += [{"color": threshold.colour, "value": threshold.value} for threshold in panel.thresholds]
    defaults: dict[str, Any] = {
        "unit": panel.unit.value,
        "noValue": panel.empty,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": _PALETTE if panel.display is Display.LINES else "thresholds"},
        # Not a number means that nothing was there to measure.
        "mappings": [{"type": "special", "options": {"match": "null+nan", "result": {"text": panel.empty}}}],
    }
    if panel.high is not None:
        defaults["max"] = panel.high
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.display is Display.LINES:
        defaults["custom"] = {
            "drawStyle": "line", "lineWidth": 2, "fillOpacity": 8, "showPoints": "never", "spanNulls": False,
            "lineInterpolation": "linear", "thresholdsStyle": {"mode": "dashed" if panel.thresholds else "off"},
        }  # fmt: skip
    return defaults


_CALCULATION = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[Display, dict[str, Any]] = {
    Display.LINES: {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Display.NUMBER: {
        "reduceOptions": _CALCULATION, "colorMode": "value", "graphMode": "area", "textMode": "auto",
        "justifyMode": "auto", "orientation": "auto", "wideLayout": True,
    },
    Display.BARS: {
        "reduceOptions": _CALCULATION, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True,
        "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
        "valueMode": "color", "namePlacement": "left", "sizing": "auto", "minVizWidth": 8, "minVizHeight": 16,
        "maxVizHeight": 300,
    },
    Display.HEATMAP: {
        "calculate": False, "cellGap": 1, "legend": {"show": True}, "showValue": "never",
        "color": {"mode": "scheme", "scheme": "Blues", "steps": 32, "exponent": 0.5, "reverse": False,
                  "fill": "dark-blue", "scale": "exponential"},
        "rowsFrame": {"layout": "auto"}, "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"}, "filterValues": {"le": 1e-9},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
    },
}  # fmt: skip
