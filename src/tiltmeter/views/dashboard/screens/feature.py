"""Feature: how did this one change?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.alerting.limits import PSI, limit_words, named, worth_a_look
from tiltmeter.domain.metric import Status
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.drawing.style import NOT_JUDGED
from tiltmeter.views.dashboard import basis, charts, comparing, pictures, queries
from tiltmeter.views.dashboard.distributions import LOGARITHMIC, distribution, sides
from tiltmeter.views.dashboard.frame import (
    COLOURS,
    ICONS,
    PAGES_FOLDER,
    badge,
    choice,
    header,
    learning_note,
    leave_others,
    plain,
)
from tiltmeter.views.dashboard.installed import world
from tiltmeter.views.dashboard.rows import sample_button
from tiltmeter.views.dashboard.spans import span_words

if TYPE_CHECKING:
    import pandas as pd

    from tiltmeter.domain.comparison import Comparison, FeatureComparison

WHOLE = "whole span"
NEWEST = "newest 24 hours"
ANY_VALUE = "any value"
_A_DAY = timedelta(hours=25)
"""A day of local time, that on which clocks are set back among them."""

NUMERIC_PANELS = (
    ("Missing", "features.missing_share", ".1%"),
    ("Mean", "features.mean", ""),
    ("Outliers (IQR)", "features.outlier_share_iqr", ".1%"),
    ("Median", "features.q50", ""),
    ("Out of the baseline's range", "features.out_of_range_share", ".1%"),
    ("Distinct values", "features.distinct", ""),
)
SCORE_PANELS = (
    ("Mean", "features.mean", ""),
    ("Standard deviation", "features.std", ""),
    ("Median", "features.q50", ""),
)
LEVEL_PANELS = (
    ("Missing", "features.missing_share", ".1%"),
    ("Rows in new levels", "features.new_level_share", ".1%"),
    ("Distinct values", "features.distinct", ""),
)


def _page() -> None:
    scope = header("Feature", "How did this one change, since when, how much?")
    if scope is None:
        return
    here = world()
    names = queries.features_of(here, scope)
    if not names:
        learning_note(here, scope.model)
        return
    heat = queries.drift_heatmap(here, scope)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        feature = choice("Feature (most moved first)", "f", names, width=330)
        leave_others(feature, "day", "value")
        day = _day(scope, heat[heat["feature"] == feature], is_alerting=queries.is_alerting(here, scope, feature))
    window = _window(scope, heat[heat["feature"] == feature], day)
    compared = comparing.against_baseline(here, scope, window.start, window.end)
    found = comparing.feature_of(compared, feature)
    if compared is not None and found is not None:
        _first_view(scope, compared, found, feature, _when(window, day))
    # A category has no quantiles: its segments stand where a number's values do.
    has_values = found is not None and len(comparing.quantiles(found)) > 0
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _distribution(scope, feature, window, day)
        if found is not None and _moved(scope, found, feature):
            _parts(found, feature)
            if has_values:
                _segments(scope, window, feature)
        elif found is not None:
            _beside(found)
    with right:
        _drift(scope, feature)
        if found is not None and _moved(scope, found, feature) and has_values:
            _beside(found)
        elif found is not None:
            _segments(scope, window, feature)
    _history(scope, feature)
    _rows(scope, window, feature, found)
    st.page_link(
        PAGES_FOLDER / "compare.py", label="Compare any two windows of this feature →",
        query_params={"model": scope.model.name, "f": feature},
    )  # fmt: skip


def _day(scope: queries.Scope, mine: pd.DataFrame, *, is_alerting: bool) -> str:
    """The day that moved most; while an alert of the feature is open, what it looks like now."""
    if not len(mine):
        return WHOLE
    days = mine.sort_values("end", ascending=False)
    judged = mine[mine["step"] != NOT_JUDGED]
    moved = judged[judged["psi"] > worth_a_look(_limits(scope, str(mine["feature"].iloc[0])))]
    worst = (moved.sort_values("psi", ascending=False) if len(moved) else days)["day"].iloc[0]
    # Days of few rows are judged on a longer span, which the newest 24 hours could not be judged on.
    is_short = days["end"].iloc[0] - days["start"].iloc[0] <= _A_DAY
    default = NEWEST if is_alerting and is_short else str(days["day"].iloc[0]) if is_alerting else str(worst)
    return choice(
        "Shown against the baseline", "day", [NEWEST, *days["day"], WHOLE], default=default, width=200,
        of=str(mine["feature"].iloc[0]),
    )  # fmt: skip


def _window(scope: queries.Scope, mine: pd.DataFrame, day: str) -> Window:
    """The span behind a day: the one that was judged, up to a week where the day alone held too few rows."""
    if day == NEWEST:
        return Window(scope.end - timedelta(days=1), scope.end, Grain.DAY)
    if day == WHOLE or not len(mine):
        return scope.window
    row = mine[mine["day"] == day].iloc[0]
    return Window(row["start"].to_pydatetime(), row["end"].to_pydatetime(), Grain.DAY)


def _when(window: Window, day: str) -> str:
    if day in (WHOLE, NEWEST):
        return f"over the {day}"
    longer = window.end - window.start
    return f"on {day}" if longer <= _A_DAY else f"in the {span_words(longer)} to the end of {day}"


def _limits(scope: queries.Scope, feature: str) -> dict[Severity, float]:
    return queries.limits_for(world(), scope, PSI, feature=feature)


def _first_view(scope: queries.Scope, compared: Comparison, found: FeatureComparison, feature: str, when: str) -> None:
    words = comparing.said(found) or "nothing about it moved that is worth saying"
    few = found.status is Status.TOO_FEW_ROWS
    title = "" if found.severity else "not judged" if few else "" if _limits(scope, feature) else "no rule judges it"
    with st.container(key=f"verdict-{found.severity.word}"):
        st.markdown(f"{badge(found.severity, title)} · **{plain(feature)}** {plain(when)}: {plain(words)}")
    grid = st.grid(6, min_column_width=150)
    for fact in comparing.facts(found, comparing.severities(world(), scope, compared, found), compared):
        icon = f"{ICONS[fact.severity]} " if fact.severity > Severity.NONE else ""
        grid.metric(
            fact.title, fact.value, delta=icon + fact.note, delta_color=COLOURS[fact.severity], delta_arrow="off",
            border=True, height="stretch",
        )  # fmt: skip


def _distribution(scope: queries.Scope, feature: str, window: Window, day: str) -> None:
    st.markdown(f"**Baseline (grey) and {f'the {day}' if day in (WHOLE, NEWEST) else plain(day)} (blue)**")
    found = sides(world(), scope, window)
    name = (
        found[0].bins.score if found and feature == queries.SCORE and feature not in found[0].bins.features else feature
    )
    before = found[0].profile.features.get(name) if found else None
    if found is None and world().baselines.bins(scope.model, scope.end) is not None:
        st.info("The baseline holds no rows for this window: nothing is stored of the time that it is made of.")
        return
    if found is None or before is None:
        learning_note(world(), scope.model)
        return
    reference, current = found
    now = current.features.get(name) if current else None
    table = distribution(reference, name, before, now)
    said = f"baseline n = {before.rows:,}, shown n = {now.rows if now else 0:,}, {basis.window_words(window)}"
    if not len(table):
        st.info("Free text and identifiers have no distribution; missing and distinct values are watched.")
    elif table["right"].any() or table["left"].any():
        st.altair_chart(
            pictures.overlay(table, title=feature), width="stretch", alt=f"Distribution of {feature}: {said}"
        )
    else:
        st.altair_chart(pictures.paired_bars(table), width="stretch", alt=f"Levels of {feature}: {said}")
    rows_now = f"{now.rows:,}" if now else "0, no stored profile of this span"
    scale = " · the scale is logarithmic" if table.attrs.get(LOGARITHMIC) else ""
    baseline = basis.baseline_words(world(), scope, window.start, window.end)
    st.caption(f"{baseline} · shown: n = {rows_now}, {basis.window_words(window)}{scale}")


def _drift(scope: queries.Scope, feature: str) -> None:
    st.markdown("**PSI by day**")
    table = queries.series(world(), scope, "drift.psi", grain=Grain.DAY, feature=feature)
    if not len(table.dropna(subset=["value"])):
        st.info("No day was judged in this span.")
        return
    marks = queries.marks(world(), scope, feature=feature)
    limits = _limits(scope, feature)
    chart = charts.metric_line(table, title="PSI", limits=named(limits), marks=marks, form=".2~f", height=250)
    baseline = basis.newest_baseline_words(world(), scope, table)
    said = f"{basis.newest_words(table, 'day')} · {baseline} · {limit_words(limits)}"
    st.altair_chart(chart, width="stretch", alt=f"PSI by day of {feature}: {limit_words(limits)}")
    st.caption(f"{basis.window_words(scope.window)} · {said}")
    fired = int((marks["severity"] != charts.VERSION).sum())
    st.caption(f"dotted red: an alert fired ({fired})" if fired else "no alert of this feature in the span")


def _moved(scope: queries.Scope, found: FeatureComparison, feature: str) -> bool:
    return found.psi is not None and found.psi > worth_a_look(_limits(scope, feature))


def _parts(found: FeatureComparison, feature: str) -> None:
    parts = comparing.psi_parts(found)
    st.markdown("**Which values make up the PSI**")
    st.altair_chart(pictures.psi_parts(parts), width="stretch", alt=f"Parts of the PSI of {feature} by value")


def _beside(found: FeatureComparison) -> None:
    table = comparing.quantiles(found)
    if len(table):
        st.markdown("**Values beside the baseline**")
        st.dataframe(table, hide_index=True, width="stretch", placeholder="–", alt="Quantiles, baseline and now")
        if "Before" in table:
            st.caption("before: as long a span, right before the one that is shown")


def _segments(scope: queries.Scope, window: Window, feature: str) -> None:
    segments = comparing.by_segment(world(), scope, window.end, feature)
    if not len(segments):
        return
    st.markdown("**Which segments moved**")
    top = max(0.5, float(segments["psi"].fillna(0.0).max()))
    st.dataframe(
        segments, hide_index=True, width="stretch", placeholder="–", alt="PSI by segment",
        column_config={
            "segment": "Segment",
            "psi": st.column_config.ProgressColumn("PSI", format="%.3f", min_value=0.0, max_value=top),
            "before": st.column_config.NumberColumn("A week earlier", format="%.3f"),
            "rows": st.column_config.NumberColumn("n", format="localized"),
        },
    )  # fmt: skip
    st.caption(
        "Against the baseline of all rows, from which a segment may differ by its nature: compare the two columns."
    )


def _history(scope: queries.Scope, feature: str) -> None:
    here = world()
    # An hour is judged for all versions and segments together; a day for each.
    is_whole = scope == queries.whole(scope)
    grain, word = (Grain.HOUR, "hour") if is_whole else (Grain.DAY, "day")
    panels: tuple[tuple[str, str, str], ...]
    if feature == queries.SCORE:
        panels = SCORE_PANELS
    elif len(queries.series(here, scope, "features.mean", grain=grain, feature=feature)) > 0:
        panels = NUMERIC_PANELS
    else:
        panels = LEVEL_PANELS
    marks = queries.marks(here, replace(scope, version=""), feature=feature)
    for start in range(0, len(panels), 3):
        for column, (title, metric, form) in zip(st.columns(3, gap="medium"), panels[start : start + 3], strict=False):
            table = queries.series(here, scope, metric, grain=grain, feature=feature)
            with column:
                st.markdown(f"**{title} by {word}**")
                if len(table.dropna(subset=["value"])):
                    limits = queries.limits_for(here, scope, metric, feature=feature)
                    chart = charts.metric_line(
                        table, title="", form=form, height=150, marks=marks, limits=named(limits),
                        write=basis.write_of(metric),
                    )  # fmt: skip
                    ruled = f", {limit_words(limits, write=basis.write_of(metric))}" if limits else ""
                    said = basis.newest_words(table, word) + ruled
                    st.altair_chart(chart, width="stretch", alt=f"{title} of {feature} by {word}: {said}")
                    st.caption(said)
                else:
                    st.caption("No such numbers were kept in this span.")


def _rows(scope: queries.Scope, window: Window, feature: str, found: FeatureComparison | None) -> None:
    filters: dict[str, object] = {}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if found is not None and found.kind.has_levels and feature != queries.SCORE:
            new = list(found.new_levels.names) if found.new_levels else []
            top = [level.level for level in found.current.top or ()] if found.current else []
            levels = [ANY_VALUE, *dict.fromkeys([*new, *top])]
            value = choice("Rows with", "value", levels, width=240, of=feature)
            filters = {} if value == ANY_VALUE else {feature: value}
        sample_button(scope, window, filters, label="Show 20 rows of this window", key="rows")


_page()
