"""Charts of the pages: baseline filled grey, current a blue step line, severity in colour and word, times in UTC."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from tiltmeter.alerting.limits import Below
from tiltmeter.domain.metric import reason_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BLUE, GREY, ORANGE = "#0072B2", "#9AA3AE", "#E69F00"
"""Okabe-Ito: told apart with any kind of colour vision."""

QUIET = "#64748b"
"""Words on a chart that are not its point; the pages lighten them on dark ground."""

SEVERITY_COLOURS = {"none": "#64748b", "info": "#56B4E9", "warning": "#f59e0b", "critical": "#b91c1c"}
_INK = {"warning": "#d97706", "critical": "#dc2626", "info": "#0284c7"}
"""Colours of thin lines and small text, readable on light and dark ground."""

_CLOCK, _DAY = "%H:%M", "%d %b"
VERSION = "version"
"""Stands in the place of a severity where a mark tells of a model version."""

_NARROW_LIMIT = alt.ExprRef("containerSize()[0] < 600 ? 110 : 260")
"""Pixels of a label: a phone has less than half of what a desk has."""

_POINTS = 62
"""Up to this many values a line shows its points."""

_FEW = 3
"""Up to this many steps even a stepped line shows its points: one hour alone would be no line at all."""

_WORDS_TIME = "%a %d %b %H:%M UTC"


def stamped(table: pd.DataFrame) -> pd.DataFrame:
    """With `when`: the time in words for the tooltip."""
    return table.assign(when=table["time"].dt.strftime(_WORDS_TIME))


def time_axis(table: pd.DataFrame, *, ticks: int = 6) -> alt.X:
    """UTC along the bottom: clock times on short spans, days on long ones."""
    length = table["time"].max() - table["time"].min() if len(table) else pd.Timedelta(days=30)
    is_short = length <= pd.Timedelta(hours=49)
    # Named by their day, two ticks of one day would bear the same name.
    count = "day" if not is_short and length <= pd.Timedelta(days=ticks) else ticks
    axis = alt.Axis(title=None, labelAngle=0, tickCount=count, format=_CLOCK if is_short else _DAY, grid=False)
    return alt.X("time:T", scale=alt.Scale(type="utc"), axis=axis)


def latency(
    table: pd.DataFrame, *, target_ms: float, limits: Mapping[str, float], marks: pd.DataFrame | None = None
) -> alt.LayerChart:
    """P50, P95 and P99 with the target, the thresholds of P95 and the moments at which alerts fired.

    Args:
        table: as `service_series` gives it.
        target_ms: latency that was promised.
        limits: word -> threshold of P95; one that lies on the target is drawn once, as the target.
        marks: columns `time`, `words`, `severity`.
    """
    names = {"p50": "P50", "p95": "P95", "p99": "P99"}
    long = table.rename(columns=names).melt("time", list(names.values()), "percentile", "ms").dropna()
    lines = (
        alt.Chart(stamped(long))
        .mark_line(interpolate="step-after", strokeWidth=1.6, point=len(table) <= _FEW)
        .encode(
            x=time_axis(table),
            y=alt.Y(
                "ms:Q",
                title="milliseconds",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(values=[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000], format="d"),
            ),
            color=alt.Color(
                "percentile:N",
                scale=alt.Scale(domain=list(names.values()), range=[GREY, BLUE, ORANGE]),
                legend=alt.Legend(orient="top", title=None),
            ),
            tooltip=["when:N", "percentile:N", alt.Tooltip("ms:Q", format=",.0f")],
        )
    )
    named = {"target": target_ms, **{word: limit for word, limit in limits.items() if limit != target_ms}}
    named = dict(sorted(named.items(), key=lambda item: item[1]))
    shown = [ms for ms in [long["ms"].min(), long["ms"].max(), *named.values()] if ms > 0]
    decades = math.log10(max(shown) / min(shown)) or 1.0
    drawn = _limits(named, gap=lambda a, b: 190 * abs(math.log10(b / a)) / decades, write="{:g} ms".format)
    return finished([lines, *drawn, *_marks(marks)], height=190)


def throughput(table: pd.DataFrame, *, marks: pd.DataFrame | None = None) -> alt.LayerChart:
    """Requests per second, with the failed part as a filled area on the same scale."""
    failed = stamped(table.assign(failed=table["rate"] * table["errors"].fillna(0.0)))
    tooltip = [
        "when:N",
        alt.Tooltip("rate:Q", format=",.2f", title="requests / s"),
        alt.Tooltip("errors:Q", format=".2%", title="failed"),
    ]
    named = [("rate", "requests", BLUE), ("failed", "failed", SEVERITY_COLOURS["critical"])]
    scale = alt.Scale(domain=[name for _, name, _ in named], range=[colour for *_, colour in named])
    colour = alt.Color("series:N", scale=scale, legend=alt.Legend(orient="top", title=None, symbolType="square"))
    x = time_axis(table)
    rate = (
        alt.Chart(failed.assign(series="requests"))
        .mark_line(interpolate="step-after", strokeWidth=1.6, point=len(table) <= _FEW)
        .encode(x=x, y=alt.Y("rate:Q", title="requests / s"), color=colour, tooltip=tooltip)
    )
    errors = (
        alt.Chart(failed.assign(series="failed"))
        .mark_area(interpolate="step-after", opacity=0.85)
        .encode(x=x, y=alt.Y("failed:Q"), color=colour, tooltip=tooltip)
    )
    return finished([rate, errors, *_marks(marks)], height=190)


def metric_line(
    table: pd.DataFrame,
    *,
    title: str,
    limits: Mapping[str, float] | None = None,
    form: str = "",
    marks: pd.DataFrame | None = None,
    height: int = 180,
    band: bool = False,
    from_zero: bool = False,
    write: Callable[[float], str] = "{:g}".format,
    maturing_until: pd.Timestamp | None = None,
) -> alt.LayerChart:
    """One number over time with thresholds, its interval and the moments at which alerts fired.

    Args:
        table: columns `time`, `value`, `rows`, `status`; `lower` and `upper` for a band.
        title: of the value axis.
        limits: word -> value, drawn as dashed lines.
        form: d3 format of the values; empty for one that suits their size.
        marks: columns `time`, `words`, `severity`.
        height: in pixels.
        band: whether the interval is drawn.
        from_zero: whether the axis begins at zero, so that a small change looks small.
        write: a limit in words, with its unit.
        maturing_until: the stretch from the last value to here is shown as not known yet.
    """
    limits = dict(sorted((limits or {}).items(), key=lambda item: item[1]))
    has_band = band and bool(table["lower"].notna().any())
    tallest = max([float(table["value"].max()), *([float(table["upper"].max())] if has_band else []), *limits.values()])
    form = form or number_form(float(table["value"].abs().max()))
    named = stamped(table.assign(status=table["status"].map(reason_in_words)))
    is_sparse = len(table) <= _POINTS
    x = time_axis(table)
    layers: list[Any] = []
    if has_band:
        layers.append(
            alt.Chart(named)
            .mark_area(color=BLUE, opacity=0.15)
            .encode(x=x, y=alt.Y("lower:Q", title=title), y2="upper:Q")
        )
    points = alt.OverlayMarkDef(size=22, color=BLUE, filled=True) if is_sparse else False
    layers.append(
        alt.Chart(named)
        .mark_line(color=BLUE, strokeWidth=1.8 if is_sparse else 1.2, point=points)
        .encode(
            x=x,
            y=alt.Y(
                "value:Q",
                title=title,
                axis=_value_axis(table, form),
                scale=_value_scale(tallest, form, from_zero=from_zero or bool(limits)),
            ),
            tooltip=[
                "when:N",
                alt.Tooltip("value:Q", format=form, title=title),
                alt.Tooltip("rows:Q", format=",", title="n"),
                alt.Tooltip("status:N", title="status"),
            ],
        )
    )
    drawn = _limits(
        limits, gap=lambda a, b: height * abs(b - a) / (tallest or 1.0), write=write,
        at_left=_ends_in_breach(table["value"], limits),
    )  # fmt: skip
    waiting = [] if maturing_until is None else _maturing(table, maturing_until, y=0.77 * height)
    return finished([*waiting, *layers, *drawn, *_marks(marks)], height=height)


def _maturing(table: pd.DataFrame, until: pd.Timestamp, *, y: float) -> list[alt.Chart]:
    """A pale stretch with a word in it: without it, a line that ends two weeks ago looks like a fault."""
    start = table["time"].max()
    if until - start < pd.Timedelta(days=1):
        return []
    data = pd.DataFrame(
        {"time": [start], "until": [until], "half": [start + (until - start) / 2], "word": ["maturing"]}
    )
    axis = time_axis(pd.DataFrame({"time": [table["time"].min(), until]}), ticks=4)
    return [
        alt.Chart(data).mark_rect(color=GREY, opacity=0.14).encode(x=axis, x2="until:T"),
        alt.Chart(data).mark_text(color=QUIET, fontSize=11).encode(x="half:T", y=alt.value(y), text="word:N"),
    ]


def _value_axis(table: pd.DataFrame, form: str) -> alt.Axis:
    known = table["value"].dropna()
    # Counts have no halves; and nothing is "0M".
    is_whole = len(known) > 0 and not form.endswith("%") and bool((known % 1 == 0).all())
    words = "datum.value === 0 ? '0' : datum.label" if form.endswith("s") else alt.Undefined
    return alt.Axis(format=form, tickCount=5, tickMinStep=1 if is_whole else alt.Undefined, labelExpr=words)


def _value_scale(tallest: float, form: str, *, from_zero: bool) -> alt.Scale:
    if form.endswith("%"):
        # A share that is 0 throughout is a line on the ground, not a line in the middle of nowhere; none is over 1.
        top = max(0.02, 1.1 * tallest)
        return alt.Scale(domainMin=0, domainMax=min(1.0, top) if tallest <= 1.0 else top)
    return alt.Scale(zero=from_zero)


FINE_PERCENT = "%.3f%%"
"""Form of a column that holds hundredths: ten failures among 200,000 requests are few, and not 0 %."""


def number_form(greatest: float) -> str:
    """Plain numbers as long as they are short; 25M beyond, and never "200m" for 0.2."""
    return "~s" if abs(greatest) >= 10_000 else ",.4~g"


def finished(layers: Sequence[Any], *, height: int) -> alt.LayerChart:
    """The layers as one chart, without the empty margins that legends and titles would keep."""
    return (
        alt.layer(*layers)
        .properties(height=height, padding={"left": 2, "right": 4, "top": 4, "bottom": 2})
        .configure_legend(padding=0, offset=6, labelPadding=4, columnPadding=12)
        .configure_axis(titlePadding=8, labelPadding=6)
    )


_LABEL_HEIGHT = 15
"""Pixels that the label of a limit needs."""


def _ends_in_breach(values: pd.Series, limits: Mapping[str, float]) -> bool:
    """Whether the line lies beyond its limits at the right end and not at the left one, as in an open incident."""
    known = values.dropna()
    fifth = max(1, len(known) // 5)
    first, last = known.head(fifth), known.tail(fifth)
    lower = [limit for limit in limits.values() if isinstance(limit, Below)]
    upper = [limit for limit in limits.values() if not isinstance(limit, Below)]
    is_over = bool(upper) and float(last.max()) >= min(upper) > float(first.max())
    is_under = bool(lower) and float(last.min()) <= max(lower) < float(first.min())
    return is_over or is_under


def _limits(
    limits: Mapping[str, float],
    *,
    gap: Callable[[float, float], float],
    write: Callable[[float], str],
    at_left: bool = False,
) -> list[alt.Chart]:
    """Thresholds as dashed lines with their names at the end where the line does not cross them.

    Args:
        limits: word -> value, ascending.
        gap: pixels between two values.
        write: the value in the name, with its unit.
        at_left: whether the names stand at the left end.
    """
    layers: list[alt.Chart] = []
    align, side = ("left", 1) if at_left else ("right", -1)
    place, below = 0, 0.0
    values = list(limits.values())
    for word, value in limits.items():
        # Side by side above the upper of them, so that two limits that lie close do not write over each other.
        place = place + 1 if layers and gap(below, value) < _LABEL_HEIGHT else 0
        below = value
        # Without any value there is no gap either; a limit stands at least at itself.
        over = [value, *(other for other in values if other >= value and gap(value, other) < _LABEL_HEIGHT)]
        ink = _INK.get(word, QUIET)
        data = pd.DataFrame({"value": [value], "over": [max(over)], "label": [f"{word} {write(value)}"]})
        rule = alt.Chart(data).mark_rule(color=ink, strokeDash=[5, 4]).encode(y="value:Q")
        text = (
            alt.Chart(data)
            .mark_text(align=align, baseline="bottom", dx=side * (4 + 84 * place), dy=-2, color=ink, fontSize=11)
            .encode(y="over:Q", x=alt.value(0 if at_left else "width"), text="label:N")
        )
        layers.extend([rule, text])
    return layers


def _marks(marks: pd.DataFrame | None) -> list[alt.Chart]:
    """Moments: alerts that fired as dotted red lines, model versions as grey ones with their name."""
    if marks is None or not len(marks):
        return []
    layers = []
    fired, versions = marks[marks["severity"] != VERSION], marks[marks["severity"] == VERSION]
    if len(fired):
        tooltip = [alt.Tooltip("words:N", title="alert"), "severity:N", "when:N"]
        layers.append(
            alt.Chart(stamped(fired))
            .mark_rule(strokeDash=[2, 3], strokeWidth=1.5)
            .encode(x="time:T", color=alt.value("#dc2626"), tooltip=tooltip)
        )
    if len(versions):
        data = stamped(versions)
        tooltip = [alt.Tooltip("words:N", title="model version"), "when:N"]
        layers.append(
            alt.Chart(data).mark_rule(strokeWidth=1).encode(x="time:T", color=alt.value(GREY), tooltip=tooltip)
        )
        layers.append(
            alt.Chart(data)
            .mark_text(align="center", baseline="bottom", fontSize=10, limit=90)
            .encode(x="time:T", y=alt.value(-2), text="words:N", color=alt.value(GREY))
        )
    return layers


def severity_scale(words: Sequence[str]) -> alt.Scale:
    """Colours of severities, in the order of the words."""
    return alt.Scale(domain=list(words), range=[SEVERITY_COLOURS[word] for word in words])


def incident_times(table: pd.DataFrame) -> alt.LayerChart:
    """One bar an incident from opening to recovery, coloured by the worst it reached.

    Args:
        table: as `incident_table` gives it; `opened` may lie before the bar, which is cut to the shown span.
    """
    table = table.assign(since=table["opened"].dt.strftime(_WORDS_TIME))
    words = ["info", "warning", "critical"]
    ends = pd.DataFrame({"time": [table["time"].min(), table["until"].max()]})
    bars = (
        alt.Chart(stamped(table))
        .mark_bar(cornerRadius=3, height={"band": 0.7})
        .encode(
            x=time_axis(ends),
            x2="until:T",
            y=alt.Y(
                "row:N",
                sort=None,
                title=None,
                axis=alt.Axis(labelLimit=_NARROW_LIMIT, labelOverlap=False, ticks=False),
            ),
            color=alt.Color(
                "severity:N",
                scale=severity_scale(words),
                legend=alt.Legend(orient="top", title=None, symbolType="square"),
            ),
            tooltip=[
                alt.Tooltip("title:N"), "severity:N", "state:N", alt.Tooltip("since:N", title="opened"),
                alt.Tooltip("lasted:N"),
            ],
        )
    )  # fmt: skip
    # An incident of minutes is less than a pixel in a month: a dot at its start is seen at any scale.
    starts = (
        alt.Chart(stamped(table))
        .mark_point(filled=True, size=38, opacity=1)
        .encode(x="time:T", y=alt.Y("row:N", sort=None), color=alt.Color("severity:N", scale=severity_scale(words)))
    )
    return finished([bars, starts], height=max(120, 24 * len(table) + 60))
