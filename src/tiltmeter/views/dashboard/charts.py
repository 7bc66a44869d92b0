"""Charts of the pages: baseline filled grey, current a blue step line, severity in colour and word, times in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BLUE, GREY, ORANGE = "#0072B2", "#9AA3AE", "#E69F00"
"""Okabe-Ito: told apart with any kind of colour vision."""

SEVERITY_COLOURS = {"none": "#64748b", "info": "#56B4E9", "warning": "#f59e0b", "critical": "#b91c1c"}
_INK = {"warning": "#d97706", "critical": "#dc2626", "info": "#0284c7"}
"""Colours of thin lines and small text, readable on light and dark ground."""

STEP_COLOURS = {
    "ok": "rgba(120, 140, 165, 0.22)",
    "watch": "#fde3a7",
    "warning": "#f59e0b",
    "critical": "#b91c1c",
    "not judged": "rgba(120, 140, 165, 0.06)",
}
_CLOCK, _DAY = "%H:%M", "%d %b"
_POINTS = 62
"""Up to this many values a line shows its points."""

_WORDS_TIME = "%a %d %b %H:%M UTC"


def _stamped(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(when=table["time"].dt.strftime(_WORDS_TIME))


def _time(table: pd.DataFrame, *, ticks: int = 6) -> alt.X:
    is_short = len(table) > 0 and table["time"].max() - table["time"].min() <= pd.Timedelta(hours=49)
    axis = alt.Axis(title=None, labelAngle=0, tickCount=ticks, format=_CLOCK if is_short else _DAY, grid=False)
    return alt.X("time:T", scale=alt.Scale(type="utc"), axis=axis)


def heatmap(table: pd.DataFrame, *, limit: int = 15) -> alt.LayerChart:
    """PSI by feature and day in steps; worst feature on top. A click selects the feature as `picked`."""
    shown = table[table["order"] < limit]
    features = shown.sort_values("order")["feature"].drop_duplicates().tolist()
    picked = alt.selection_point(name="picked", fields=["feature"], on="click")
    x = alt.X(
        "day:O",
        title=None,
        scale=alt.Scale(paddingInner=0.08),
        axis=alt.Axis(
            labelAngle=0, labelOverlap="greedy", labelExpr="utcFormat(utcParse(datum.label, '%Y-%m-%d'), '%d %b')"
        ),
    )
    y = alt.Y(
        "feature:N",
        sort=features,
        title=None,
        scale=alt.Scale(paddingInner=0.12),
        axis=alt.Axis(labelOverlap=False, labelLimit=150),
    )
    cells = (
        alt.Chart(shown)
        .mark_rect(cursor="pointer", cornerRadius=2)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "step:N",
                scale=alt.Scale(domain=list(STEP_COLOURS), range=list(STEP_COLOURS.values())),
                legend=alt.Legend(title=None, orient="top", symbolType="square", columns=3),
            ),
            tooltip=[
                alt.Tooltip("feature:N"),
                alt.Tooltip("day:O"),
                alt.Tooltip("psi:Q", format=".3f", title="PSI"),
                alt.Tooltip("step:N", title="reads as"),
                alt.Tooltip("rows:Q", format=",", title="n"),
            ],
        )
        .add_params(picked)
    )
    dashes = alt.Chart(shown[shown["step"] == "not judged"]).mark_text(text="–", color=GREY).encode(x="day:O", y=y)
    return alt.layer(cells, dashes).properties(height=max(60, 20 * len(features) + 60))


def latency(
    table: pd.DataFrame, *, target_ms: float, limit_ms: float = 500, marks: pd.DataFrame | None = None
) -> alt.LayerChart:
    """P50, P95 and P99 with the target, the alert threshold and the moments at which alerts fired."""
    names = {"p50": "P50", "p95": "P95", "p99": "P99"}
    long = table.rename(columns=names).melt("time", list(names.values()), "percentile", "ms").dropna()
    lines = (
        alt.Chart(_stamped(long))
        .mark_line(interpolate="step-after", strokeWidth=1.6)
        .encode(
            x=_time(table),
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
    limits = {"target": target_ms, "warning": limit_ms}
    return alt.layer(lines, *_limits(limits, form="{:g} ms"), *_marks(marks)).properties(height=210)


def throughput(table: pd.DataFrame, *, marks: pd.DataFrame | None = None) -> alt.LayerChart:
    """Requests per second, with the failed part as a filled area on the same scale."""
    failed = _stamped(table.assign(failed=table["rate"] * table["errors"].fillna(0.0)))
    tooltip = [
        "when:N",
        alt.Tooltip("rate:Q", format=",.2f", title="requests / s"),
        alt.Tooltip("errors:Q", format=".2%", title="failed"),
    ]
    named = [("rate", "requests", BLUE), ("failed", "failed", SEVERITY_COLOURS["critical"])]
    scale = alt.Scale(domain=[name for _, name, _ in named], range=[colour for *_, colour in named])
    colour = alt.Color("series:N", scale=scale, legend=alt.Legend(orient="top", title=None, symbolType="square"))
    x = _time(table)
    rate = (
        alt.Chart(failed.assign(series="requests"))
        .mark_line(interpolate="step-after", strokeWidth=1.6)
        .encode(x=x, y=alt.Y("rate:Q", title="requests / s"), color=colour, tooltip=tooltip)
    )
    errors = (
        alt.Chart(failed.assign(series="failed"))
        .mark_area(interpolate="step-after", opacity=0.85)
        .encode(x=x, y=alt.Y("failed:Q"), color=colour, tooltip=tooltip)
    )
    return alt.layer(rate, errors, *_marks(marks)).properties(height=210)


def metric_line(
    table: pd.DataFrame,
    *,
    title: str,
    limits: Mapping[str, float] | None = None,
    form: str = "",
    marks: pd.DataFrame | None = None,
    height: int = 180,
    band: bool = False,
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
    """
    form = form or _number_form(float(table["value"].abs().max()))
    stamped = _stamped(table)
    is_sparse = len(table) <= _POINTS
    x = _time(table)
    layers: list[Any] = []
    if band and table["lower"].notna().any():
        layers.append(
            alt.Chart(stamped)
            .mark_area(color=BLUE, opacity=0.15)
            .encode(x=x, y=alt.Y("lower:Q", title=title), y2="upper:Q")
        )
    points = alt.OverlayMarkDef(size=22, color=BLUE, filled=True) if is_sparse else False
    layers.append(
        alt.Chart(stamped)
        .mark_line(color=BLUE, strokeWidth=1.8 if is_sparse else 1.2, point=points)
        .encode(
            x=x,
            y=alt.Y(
                "value:Q",
                title=title,
                axis=alt.Axis(format=form, tickCount=5),
                scale=_value_scale(table, form, has_limits=bool(limits)),
            ),
            tooltip=[
                "when:N",
                alt.Tooltip("value:Q", format=form, title=title),
                alt.Tooltip("rows:Q", format=",", title="n"),
                alt.Tooltip("status:N", title="status"),
            ],
        )
    )
    return alt.layer(*layers, *_limits(limits or {}), *_marks(marks)).properties(height=height)


def _value_scale(table: pd.DataFrame, form: str, *, has_limits: bool) -> alt.Scale:
    if form.endswith("%"):
        # A share that is 0 throughout is a line on the ground, not a line in the middle of nowhere.
        return alt.Scale(domainMin=0, domainMax=max(0.02, 1.1 * float(table["value"].max())))
    return alt.Scale(zero=has_limits)


def _number_form(greatest: float) -> str:
    """Plain numbers as long as they are short; 25M beyond, and never "200m" for 0.2."""
    return "~s" if abs(greatest) >= 10_000 else ",.4~g"


def overlay(table: pd.DataFrame, *, title: str) -> alt.LayerChart:
    """A numeric distribution: baseline filled grey, current as a blue step line."""
    x = alt.X(
        "left:Q",
        title=title,
        axis=alt.Axis(format=_number_form(table["right"].max()), grid=False, tickCount=8),
        scale=alt.Scale(nice=False),
    )
    tooltip = [
        alt.Tooltip("cell:N", title="values"),
        alt.Tooltip("baseline:Q", format=".1%"),
        alt.Tooltip("current:Q", format=".1%"),
    ]
    y = alt.Y("baseline:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=5))
    base = (
        alt.Chart(table)
        .mark_rect(color=GREY, opacity=0.65)
        .encode(x=x, x2="right:Q", y=y, y2=alt.datum(0), tooltip=tooltip)
    )
    last = table.tail(1).assign(left=table["right"].tail(1))
    now = (
        alt.Chart(pd.concat([table, last]))
        .mark_line(interpolate="step-after", color=BLUE, strokeWidth=2)
        .encode(x=x, y="current:Q", tooltip=tooltip)
    )
    return alt.layer(base, now).properties(height=250)


def paired_bars(table: pd.DataFrame, *, sides: tuple[str, str] = ("baseline", "current")) -> alt.LayerChart:
    """Levels side by side: baseline a broad grey bar, current a slim blue one in it; new levels and missing apart."""
    y = alt.Y(
        "cell:N",
        sort=table["cell"].tolist(),
        title=None,
        axis=alt.Axis(labelOverlap=False, labelLimit=170, ticks=False),
    )
    tooltip = [
        alt.Tooltip("cell:N", title="level"),
        alt.Tooltip("baseline:Q", format=".2%", title=sides[0]),
        alt.Tooltip("current:Q", format=".2%", title=sides[1]),
    ]
    colour = alt.Color(
        "side:N",
        scale=alt.Scale(domain=list(sides), range=[GREY, BLUE]),
        legend=alt.Legend(orient="top", title=None, symbolType="square"),
    )
    layers = [
        alt.Chart(table.assign(side=name))
        .mark_bar(height={"band": band})
        .encode(
            y=y,
            x=alt.X(f"{column}:Q", title="share of rows", axis=alt.Axis(format="%", tickCount=5)),
            color=colour,
            tooltip=tooltip,
        )
        for column, name, band in (("baseline", sides[0], 0.8), ("current", sides[1], 0.35))
    ]
    return alt.layer(*layers).properties(height=max(200, 28 * len(table) + 100))


def _limits(limits: Mapping[str, float], form: str = "{:g}") -> list[alt.Chart]:
    layers: list[alt.Chart] = []
    for place, (word, value) in enumerate(limits.items()):
        ink = _INK.get(word, "#64748b")
        data = pd.DataFrame({"value": [value], "label": [f"{word} {form.format(value)}"]})
        rule = alt.Chart(data).mark_rule(color=ink, strokeDash=[5, 4]).encode(y="value:Q")
        text = (
            alt.Chart(data)
            .mark_text(align="left", baseline="bottom", dx=4 + 90 * place, dy=-2, color=ink, fontSize=11)
            .encode(y="value:Q", x=alt.value(0), text="label:N")
        )
        layers.extend([rule, text])
    return layers


def _marks(marks: pd.DataFrame | None) -> list[alt.Chart]:
    if marks is None or not len(marks):
        return []
    rule = (
        alt.Chart(_stamped(marks))
        .mark_rule(strokeDash=[2, 3], strokeWidth=1.5)
        .encode(
            x="time:T",
            color=alt.value("#dc2626"),
            tooltip=[alt.Tooltip("words:N", title="alert fired"), "severity:N", "when:N"],
        )
    )
    return [rule]


def severity_scale(words: Sequence[str]) -> alt.Scale:
    """Colours of severities, in the order of the words."""
    return alt.Scale(domain=list(words), range=[SEVERITY_COLOURS[word] for word in words])


def latency_heat(table: pd.DataFrame, bands: Sequence[str]) -> alt.Chart:
    """Requests by half hour and latency class, slow ones on top, darker for more."""
    return (
        alt.Chart(_stamped(table))
        .mark_rect()
        .encode(
            x=_time(table),
            x2="until:T",
            y=alt.Y("band:N", sort=list(reversed(bands)), title=None, axis=alt.Axis(labelOverlap=False)),
            color=alt.Color(
                "requests:Q",
                scale=alt.Scale(type="log", range=["#cfe3f1", "#0072B2", "#003b5c"]),
                legend=None,
            ),
            tooltip=["when:N", alt.Tooltip("band:N", title="latency"), alt.Tooltip("requests:Q", format=",")],
        )
        .properties(height=210)
    )


def funnel(table: pd.DataFrame) -> alt.LayerChart:
    """Steps as bars with their counts written at the end: columns `step`, `count`, `words`."""
    y = alt.Y("step:N", sort=table["step"].tolist(), title=None, axis=alt.Axis(labelLimit=170, ticks=False))
    x = alt.X("count:Q", title=None, axis=None, scale=alt.Scale(domainMax=1.35 * max(1.0, float(table["count"].max()))))
    bars = alt.Chart(table).mark_bar(color=BLUE, height={"band": 0.6}).encode(y=y, x=x, tooltip=["step:N", "words:N"])
    words = (
        alt.Chart(table)
        .mark_text(align="left", dx=6, color="#7b8794", fontSize=12)
        .encode(y=y, x="count:Q", text="words:N")
    )
    return alt.layer(bars, words).properties(height=230)


def incident_times(table: pd.DataFrame) -> alt.Chart:
    """One bar an incident from opening to recovery, coloured by the worst it reached."""
    words = ["info", "warning", "critical"]
    return (
        alt.Chart(_stamped(table))
        .mark_bar(cornerRadius=3, height={"band": 0.7})
        .encode(
            x=_time(table),
            x2="until:T",
            y=alt.Y("row:N", sort=None, title=None, axis=alt.Axis(labelLimit=230, labelOverlap=False, ticks=False)),
            color=alt.Color(
                "severity:N",
                scale=severity_scale(words),
                legend=alt.Legend(orient="top", title=None, symbolType="square"),
            ),
            tooltip=[
                alt.Tooltip("title:N"), "severity:N", "state:N", alt.Tooltip("when:N", title="opened"),
                alt.Tooltip("lasted:N"),
            ],
        )
        .properties(height=max(140, 26 * len(table) + 80))
    )  # fmt: skip
