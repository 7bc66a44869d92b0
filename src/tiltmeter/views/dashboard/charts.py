"""Charts of the pages: baseline filled grey, current a blue step line, severity in colour and word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import altair as alt
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

BLUE, GREY, ORANGE, VERMILION = "#0072B2", "#9AA3AE", "#E69F00", "#D55E00"
"""Okabe-Ito: told apart with any kind of colour vision."""

STEP_COLOURS = {
    "ok": "#dbe4ee",
    "watch": "#fde3a7",
    "warning": "#f59e0b",
    "critical": "#b91c1c",
    "not judged": "#f1f1f1",
}
_TIME = alt.Axis(title=None, labelAngle=0, tickCount=6)


def heatmap(table: pd.DataFrame) -> alt.Chart:
    """PSI by feature and day in the specification's steps; worst feature on top."""
    features = table.sort_values("order")["feature"].drop_duplicates().tolist()
    return (
        alt.Chart(table)
        .mark_rect(stroke="white", strokeWidth=1)
        .encode(
            x=alt.X(
                "day:O",
                title=None,
                axis=alt.Axis(labelAngle=0, labelOverlap="greedy", labelExpr="slice(datum.label, 5)"),
            ),
            y=alt.Y("feature:N", sort=features, title=None, axis=alt.Axis(labelOverlap=False, labelLimit=160)),
            color=alt.Color(
                "step:N",
                scale=alt.Scale(domain=list(STEP_COLOURS), range=list(STEP_COLOURS.values())),
                legend=alt.Legend(
                    title="PSI: watch > 0.1, warning > 0.25, critical > 0.5", orient="top", titleLimit=400
                ),
            ),
            tooltip=[
                alt.Tooltip("feature:N"),
                alt.Tooltip("day:O"),
                alt.Tooltip("psi:Q", format=".3f", title="PSI"),
                alt.Tooltip("step:N", title="reads as"),
                alt.Tooltip("rows:Q", format=",", title="rows"),
            ],
        )
        .properties(height=alt.Step(20))
    )


def latency(table: pd.DataFrame, *, target_ms: float, limit_ms: float = 500) -> alt.LayerChart:
    """P50, P95 and P99 with the target and the alert threshold drawn in."""
    names = {"p50": "P50", "p95": "P95", "p99": "P99"}
    long = table.rename(columns=names).melt("time", list(names.values()), "percentile", "ms").dropna()
    lines = (
        alt.Chart(long)
        .mark_line(interpolate="step-after", strokeWidth=1.6)
        .encode(
            x=alt.X("time:T", axis=_TIME),
            y=alt.Y("ms:Q", title="milliseconds", scale=alt.Scale(type="symlog", constant=50)),
            color=alt.Color(
                "percentile:N",
                scale=alt.Scale(domain=list(names.values()), range=[GREY, BLUE, ORANGE]),
                legend=alt.Legend(orient="top", title=None),
            ),
            tooltip=["time:T", "percentile:N", alt.Tooltip("ms:Q", format=".0f")],
        )
    )
    return alt.layer(lines, *_rules({"target": target_ms, "warning": limit_ms})).properties(height=220)


def throughput(table: pd.DataFrame) -> alt.LayerChart:
    """Requests per second, with the failed part as a red area on the same scale."""
    failed = table.assign(failed=table["rate"] * table["errors"].fillna(0.0))
    encode_x = alt.X("time:T", axis=_TIME)
    rate = (
        alt.Chart(failed)
        .mark_line(interpolate="step-after", color=BLUE, strokeWidth=1.6)
        .encode(
            x=encode_x, y=alt.Y("rate:Q", title="requests / s"), tooltip=["time:T", alt.Tooltip("rate:Q", format=".2f")]
        )
    )
    errors = (
        alt.Chart(failed)
        .mark_area(interpolate="step-after", color="#b91c1c", opacity=0.8)
        .encode(
            x=encode_x,
            y=alt.Y("failed:Q"),
            tooltip=["time:T", alt.Tooltip("errors:Q", format=".2%", title="error rate")],
        )
    )
    return alt.layer(rate, errors).properties(height=220)


def metric_line(
    table: pd.DataFrame, *, title: str, thresholds: Mapping[str, float], marks: Sequence[datetime] = ()
) -> alt.LayerChart:
    """One number over time with thresholds and the moments at which alerts fired."""
    line = (
        alt.Chart(table)
        .mark_line(color=BLUE, strokeWidth=1.8, point=alt.OverlayMarkDef(size=18, color=BLUE))
        .encode(
            x=alt.X("time:T", axis=_TIME),
            y=alt.Y("value:Q", title=title),
            tooltip=["time:T", alt.Tooltip("value:Q", format=".4g", title=title), alt.Tooltip("rows:Q", format=",")],
        )
    )
    layers = [line, *_rules(thresholds)]
    if marks:
        fired = pd.DataFrame({"time": list(marks)})
        layers.append(alt.Chart(fired).mark_rule(color=VERMILION, strokeDash=[2, 3]).encode(x="time:T"))
    return alt.layer(*layers).properties(height=180)


def overlay(table: pd.DataFrame, *, title: str) -> alt.LayerChart:
    """A numeric distribution: baseline filled grey, current as a blue step line."""
    x = alt.X("left:Q", title=title, axis=alt.Axis(format="~s"))
    base = (
        alt.Chart(table)
        .mark_bar(color=GREY, opacity=0.75)
        .encode(
            x=x,
            x2="right:Q",
            y=alt.Y("baseline:Q", title="share of rows", axis=alt.Axis(format="%")),
            tooltip=["cell:N", alt.Tooltip("baseline:Q", format=".1%"), alt.Tooltip("current:Q", format=".1%")],
        )
    )
    now = (
        alt.Chart(table)
        .mark_line(interpolate="step-after", color=BLUE, strokeWidth=2)
        .encode(x=x, y="current:Q", tooltip=["cell:N", alt.Tooltip("current:Q", format=".1%")])
    )
    return alt.layer(base, now).properties(height=260)


def paired_bars(table: pd.DataFrame) -> alt.Chart:
    """Levels side by side: baseline grey, current blue; new levels and missing are cells of their own."""
    long = table.melt(["cell", "position"], ["baseline", "current"], "side", "share")
    return (
        alt.Chart(long)
        .mark_bar()
        .encode(
            y=alt.Y(
                "cell:N", sort=table["cell"].tolist(), title=None, axis=alt.Axis(labelOverlap=False, labelLimit=180)
            ),
            yOffset=alt.YOffset("side:N"),
            x=alt.X("share:Q", title="share of rows", axis=alt.Axis(format="%")),
            color=alt.Color(
                "side:N",
                scale=alt.Scale(domain=["baseline", "current"], range=[GREY, BLUE]),
                legend=alt.Legend(orient="top", title=None),
            ),
            tooltip=["cell:N", "side:N", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(height=alt.Step(10))
    )


def _rules(thresholds: Mapping[str, float]) -> list[alt.Chart]:
    colours = {"warning": STEP_COLOURS["warning"], "critical": STEP_COLOURS["critical"]}
    layers: list[alt.Chart] = []
    for word, value in thresholds.items():
        data = pd.DataFrame({"value": [value], "label": [f"{word} {value:g}"]})
        rule = alt.Chart(data).mark_rule(color=colours.get(word, "#64748b"), strokeDash=[5, 4]).encode(y="value:Q")
        text = (
            alt.Chart(data)
            .mark_text(align="left", dx=4, dy=-5, color=colours.get(word, "#64748b"), fontSize=11)
            .encode(y="value:Q", x=alt.value(0), text="label:N")
        )
        layers.extend([rule, text])
    return layers
