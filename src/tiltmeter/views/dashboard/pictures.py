"""Charts that are not a line over time: heatmaps, distributions, the funnel. Baseline filled grey, current blue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd

from tiltmeter.drawing.style import NOT_JUDGED, SIZE_WORDS
from tiltmeter.views.dashboard.charts import BLUE, GREY, QUIET, finished, number_form, stamped, time_axis
from tiltmeter.views.dashboard.distributions import LOGARITHMIC
from tiltmeter.views.dashboard.jobs import COLOURS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

STEP_COLOURS = {
    "ok": "rgba(120, 140, 165, 0.22)",
    "watch": "#fde3a7",
    "info": "#56B4E9",
    "warning": "#f59e0b",
    "critical": "#b91c1c",
    # Shades of one grey: sizes that no rule judges are no severities.
    **dict(zip(SIZE_WORDS, (f"rgba(100, 116, 139, {shade})" for shade in (0.14, 0.4, 0.65, 0.95)), strict=True)),
    NOT_JUDGED: "rgba(120, 140, 165, 0.06)",
}


def heatmap(table: pd.DataFrame, *, limit: int = 15) -> alt.LayerChart:
    """PSI by feature and day in steps; worst feature on top. A click selects the feature as `picked`."""
    shown = table[table["order"] < limit]
    features = shown.sort_values("order")["feature"].drop_duplicates().tolist()
    # What can be told apart here, mildest first: a rule of its own levels has a legend of its own.
    steps = [step for step in STEP_COLOURS if step in set(shown["step"])]
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
                scale=alt.Scale(domain=steps, range=[STEP_COLOURS[step] for step in steps]),
                # Five steps in the width that a phone leaves beside the names.
                legend=alt.Legend(
                    title=None,
                    orient="top",
                    symbolType="square",
                    columns=5,
                    columnPadding=3,
                    symbolSize=60,
                    # Without an edge the palest two are not seen at all.
                    symbolStrokeColor=GREY,
                    symbolStrokeWidth=0.7,
                    labelFontSize=11,
                ),
            ),
            tooltip=[
                alt.Tooltip("feature:N"),
                alt.Tooltip("day:O"),
                alt.Tooltip("psi:Q", format=".3f", title="PSI"),
                alt.Tooltip("step:N", title="reads as"),
                alt.Tooltip("rows:Q", format=",", title="n"),
                alt.Tooltip("span:N", title="judged on"),
            ],
        )
        .add_params(picked)
    )
    dashes = alt.Chart(shown[shown["step"] == NOT_JUDGED]).mark_text(text="–", color=GREY).encode(x="day:O", y=y)
    return finished([cells, dashes], height=max(60, 19 * len(features) + 50))


def overlay(table: pd.DataFrame, *, title: str) -> alt.LayerChart:
    """A numeric distribution: baseline filled grey, current as a blue step line."""
    x = alt.X(
        "left:Q",
        title=title,
        axis=alt.Axis(format=number_form(table["right"].max()), grid=False, tickCount=8),
        scale=alt.Scale(type="log" if table.attrs.get(LOGARITHMIC) else "linear", nice=False),
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
    return finished([base, now], height=250)


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
    return finished(layers, height=max(200, 26 * len(table) + 60))


def latency_heat(table: pd.DataFrame, bands: Sequence[str]) -> alt.Chart:
    """Requests by half hour and latency class, slow ones on top, stronger for more."""
    return (
        alt.Chart(stamped(table))
        .mark_rect()
        .encode(
            x=time_axis(table),
            x2="until:T",
            y=alt.Y("band:N", sort=list(reversed(bands)), title=None, axis=alt.Axis(labelOverlap=False)),
            color=alt.value(BLUE),
            # By opacity, so that few requests are faint on light and on dark ground alike.
            opacity=alt.Opacity("requests:Q", scale=alt.Scale(type="log", range=[0.15, 1.0]), legend=None),
            tooltip=["when:N", alt.Tooltip("band:N", title="latency"), alt.Tooltip("requests:Q", format=",")],
        )
        .properties(height=190, padding={"left": 2, "right": 4, "top": 4, "bottom": 2})
    )


def funnel(table: pd.DataFrame) -> alt.LayerChart:
    """Steps as shares of the leads: now a slim blue bar in the broad grey one of a week earlier, counts written behind.

    Args:
        table: columns `step`, `share`, `before` (None where there is no week before), `words`.
    """
    y = alt.Y("step:N", sort=table["step"].tolist(), title=None, axis=alt.Axis(labelLimit=170, ticks=False))
    longest = max(1.0, float(table["share"].max()))
    x = alt.X("share:Q", title=None, axis=None, scale=alt.Scale(domain=[0, 1.75 * longest]))
    tooltip = [
        "step:N", "words:N", alt.Tooltip("share:Q", format=".1%", title="of all leads"),
        alt.Tooltip("before:Q", format=".1%", title="a week earlier"),
    ]  # fmt: skip
    sides = ("a week earlier", "newest cohort")
    colour = alt.Color(
        "side:N",
        scale=alt.Scale(domain=list(sides), range=[GREY, BLUE]),
        legend=alt.Legend(orient="top", title=None, symbolType="square", symbolOpacity=1),
    )
    before = (
        alt.Chart(table.dropna(subset=["before"]).assign(side=sides[0]))
        .mark_bar(height={"band": 0.75}, opacity=0.65)
        .encode(y=y, x=alt.X("before:Q", axis=None), color=colour, tooltip=tooltip)
    )
    now = (
        alt.Chart(table.assign(side=sides[1]))
        .mark_bar(height={"band": 0.35})
        .encode(y=y, x=x, color=colour, tooltip=tooltip)
    )
    words = (
        alt.Chart(table.assign(end=table[["share", "before"]].astype(float).max(axis=1)))
        .mark_text(align="left", dx=6, color=QUIET, fontSize=12)
        .encode(y=y, x="end:Q", text="words:N")
    )
    return finished([before, now, words], height=230)


def deciles(table: pd.DataFrame) -> alt.LayerChart:
    """Conversion by rising score: what the score promised filled grey, what came true blue with its interval.

    Args:
        table: columns `tenth`, `leads`, `customers`, `promised`, `conversion`, `lower`, `upper`.
    """
    last = int(table["tenth"].max())
    x = alt.X(
        "tenth:O",
        title=f"tenth of the leads by score (1 lowest, {last} highest)",
        axis=alt.Axis(labelAngle=0, ticks=False),
        scale=alt.Scale(paddingInner=0.25),
    )
    sides = ("promised", "came true, 95 % interval")
    colour = alt.Color(
        "side:N",
        scale=alt.Scale(domain=list(sides), range=[GREY, BLUE]),
        legend=alt.Legend(orient="top", title=None, symbolType="square", symbolOpacity=1, labelLimit=260),
    )
    tooltip = [
        alt.Tooltip("tenth:O"), alt.Tooltip("leads:Q", format=",", title="n"),
        alt.Tooltip("customers:Q", format=","), alt.Tooltip("conversion:Q", format=".2%"),
        alt.Tooltip("lower:Q", format=".2%"), alt.Tooltip("upper:Q", format=".2%"),
        alt.Tooltip("promised:Q", format=".2%", title="promised"),
    ]  # fmt: skip
    promised = (
        alt.Chart(table.assign(side=sides[0]))
        .mark_bar(opacity=0.65)
        .encode(
            x=x,
            y=alt.Y("promised:Q", title="conversion", axis=alt.Axis(format="%", tickCount=5)),
            color=colour,
            tooltip=tooltip,
        )
    )
    true = alt.Chart(table.assign(side=sides[1])).encode(x=x, color=colour, tooltip=tooltip)
    interval = true.mark_rule(strokeWidth=2).encode(y="lower:Q", y2="upper:Q")
    points = true.mark_point(filled=True, size=55, opacity=1).encode(y="conversion:Q")
    return finished([promised, interval, points], height=230)


_WIDE_WEEKS = 8
"""Weeks beside each other whose words find room on a phone."""


def weeks(table: pd.DataFrame, *, title: str) -> alt.LayerChart:
    """A share by week of scoring with its interval; weeks that are not mature yet are hatched.

    Args:
        table: columns `week`, `value`, `lower`, `upper`, `n`, `words`, `open`; in order of time.
        title: of the value.
    """
    room = 1.2 if len(table) <= _WIDE_WEEKS else 1.5
    top = min(1.0, room * float(table["upper"].fillna(table["value"]).max()))
    x = alt.X("week:O", title=None, sort=None, axis=alt.Axis(labelAngle=0, labelOverlap="greedy", ticks=False),
              scale=alt.Scale(paddingInner=0.25))  # fmt: skip
    y = alt.Y("value:Q", title=None, axis=alt.Axis(format="%", tickCount=4), scale=alt.Scale(domain=[0, top]))
    tooltip = [
        alt.Tooltip("week:O", title="week from"), alt.Tooltip("value:Q", format=".1%", title=title),
        alt.Tooltip("lower:Q", format=".1%"), alt.Tooltip("upper:Q", format=".1%"), alt.Tooltip("words:N", title=" "),
    ]  # fmt: skip
    closed = alt.Chart(table[~table["open"]]).encode(x=x, tooltip=tooltip)
    layers: list[alt.Chart] = [
        closed.mark_bar(color=BLUE, opacity=0.75).encode(y=y),
        closed.mark_rule(color="#8b95a5", strokeWidth=2).encode(y="lower:Q", y2="upper:Q"),
        closed.mark_text(fontSize=11, color="#8b95a5", **_standing(len(table))).encode(y="upper:Q", text="words:N"),
    ]
    waiting = table[table["open"]].assign(floor=0.0, top=top)
    if len(waiting):
        box = alt.Chart(waiting).mark_bar(color=_hatched(), stroke="#8b95a5", strokeWidth=0.6, opacity=0.5)
        layers.append(box.encode(x=x, y="floor:Q", y2="top:Q", tooltip=["week:O", alt.Tooltip("words:N", title=" ")]))
    return finished(layers, height=190)


def _standing(weeks: int) -> dict[str, Any]:
    """Where the words above a bar stand: upright where bars are narrow."""
    if weeks <= _WIDE_WEEKS:
        return {"dy": -4, "baseline": "bottom"}
    return {"angle": 270, "align": "left", "baseline": "middle", "dx": 4}


def _hatched() -> dict[str, Any]:
    """Stripes: a gradient with hard steps, because the charts know no patterns."""
    stops = []
    for place in range(12):
        colour = "#8b95a5" if place % 2 else "rgba(0,0,0,0)"
        stops += [{"offset": place / 12, "color": colour}, {"offset": (place + 1) / 12, "color": colour}]
    return {"gradient": "linear", "x1": 0, "y1": 0, "x2": 1, "y2": 1, "stops": stops}


def psi_parts(table: pd.DataFrame) -> alt.LayerChart:
    """What each value adds to the PSI: columns `cell`, `part`, `direction` (more or fewer rows), `words`."""
    y = alt.Y(
        "cell:N",
        sort=table["cell"].tolist(),
        title=None,
        axis=alt.Axis(labelOverlap=False, labelLimit=190, ticks=False),
    )
    x = alt.X(
        "part:Q",
        title=None,
        axis=alt.Axis(format=".2~f", tickCount=5),
        scale=alt.Scale(domainMax=1.25 * float(table["part"].max())),
    )
    colour = alt.Color(
        "direction:N",
        scale=alt.Scale(domain=["more", "fewer"], range=[BLUE, GREY]),
        legend=alt.Legend(orient="top", title=None, symbolType="square", labelExpr="datum.label + ' rows than before'"),
    )
    tooltip = [
        alt.Tooltip("cell:N", title="values"),
        alt.Tooltip("part:Q", format=".3f", title="part of PSI"),
        "words:N",
    ]
    bars = alt.Chart(table).mark_bar(height={"band": 0.7}).encode(y=y, x=x, color=colour, tooltip=tooltip)
    words = (
        alt.Chart(table).mark_text(align="left", dx=6, color=QUIET, fontSize=11).encode(y=y, x="part:Q", text="words:N")
    )
    return finished([bars, words], height=22 * len(table) + 60)


def job_runs(table: pd.DataFrame, *, column: str, usual: Mapping[str, float]) -> alt.LayerChart:
    """One number of every run as a bar, coloured by its state, and what is usual of each job as a named line."""
    shown = stamped(table.assign(time=table["start"], amount=table[column].astype(float))).dropna(subset=["amount"])
    tallest = max([*shown["amount"], *usual.values()], default=0.0) or 1.0
    colours = {state: colour for state, colour in COLOURS.items() if state != "absent"}
    bars = (
        alt.Chart(shown)
        .mark_bar(size=7)
        .encode(
            x=time_axis(shown),
            y=alt.Y(
                "amount:Q",
                title=None,
                axis=alt.Axis(tickCount=4, format=",~r"),
                scale=alt.Scale(domainMax=1.3 * tallest),  # the name of the usual number stands above its line
            ),
            color=alt.Color(
                "state:N",
                scale=alt.Scale(domain=list(colours), range=list(colours.values())),
                legend=alt.Legend(orient="top", title=None, symbolType="square"),
            ),
            tooltip=["job:N", "when:N", "state:N", alt.Tooltip("amount:Q", format=",.4~g")],
        )
    )
    lines = pd.DataFrame({"job": list(usual), "amount": list(usual.values())}, columns=["job", "amount"])
    lines["words"] = [f"usual, {job}" for job in usual]
    base = alt.Chart(lines).encode(y="amount:Q")
    rule = base.mark_rule(color=BLUE, strokeDash=[5, 4]).encode(
        tooltip=["job:N", alt.Tooltip("amount:Q", format=",.4~g", title="usual")]
    )
    words = base.mark_text(align="left", baseline="bottom", dx=4, dy=-2, color=BLUE, fontSize=11, limit=260).encode(
        x=alt.value(0), text="words:N"
    )
    named = [words] if len(usual) > 1 else []  # over the bars; the words below the picture name the only one
    return finished([bars, rule, *named] if usual else [bars], height=130)
