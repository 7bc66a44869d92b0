"""Compare: any two windows, ranked by difference."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.window import Grain, Window
from tiltmeter.drawing.style import STEPS as PSI_STEPS
from tiltmeter.statistics.comparison import compare
from tiltmeter.views.dashboard import charts, queries
from tiltmeter.views.dashboard.distributions import distribution, sides
from tiltmeter.views.dashboard.frame import choice, header, learning_note, world
from tiltmeter.views.dashboard.queries import STEP_NAMES

if TYPE_CHECKING:
    from tiltmeter.domain.comparison import Comparison

MIN_ROWS = 200


def _page() -> None:
    scope = header("Compare", "What differs between two windows?")
    if scope is None:
        return
    last = (scope.end - timedelta(seconds=1)).date()
    half = timedelta(days=_known_days(scope, last) // 2 - 1)
    first = last - half
    with st.container(horizontal=True, gap="small"):
        before = _days("Window A (grey)", "a", (first - timedelta(days=1) - half, first - timedelta(days=1)))
        after = _days("Window B (blue)", "b", (first, last))
    if before is None or after is None:
        st.info("Choose a first and a last day for both windows.")
        return
    left, right = sides(world(), scope, before), sides(world(), scope, after)
    if left is None or right is None:
        learning_note(world(), scope.model)
        return
    reference, profile = left
    if profile is None or right[1] is None:
        missing = "A" if profile is None else "B"
        st.info(f"Window {missing} holds no rows. Stored profiles reach {_reach(scope, reference.bins.bins_id)}.")
        return
    against = Reference("window A", "window-a", reference.bins, profile)
    found = compare(against, right[1], weights=scope.model.weights, now=after.end)
    _ranked(found)
    _one(against, found, right[1].features)


def _known_days(scope: queries.Scope, last: date) -> int:
    """Days with stored profiles, from two days to two weeks."""
    reference = world().baselines.judging(scope.model, scope.window)
    span = world().states.span(scope.model.name, reference.bins.bins_id) if reference else None
    return 14 if span is None else min(14, max(2, (last - span[0].date()).days + 1))


def _days(label: str, key: str, default: tuple[date, date]) -> Window | None:
    asked = st.query_params.get(key, "")
    try:
        first, _, last = asked.partition("..")
        given = (date.fromisoformat(first), date.fromisoformat(last))
    except ValueError:
        given = default
    chosen = st.date_input(label, min(given) if given[0] > given[1] else given, key=f"days-{key}", width=260)
    if not isinstance(chosen, tuple) or len(chosen) != 2:
        return None
    st.query_params[key] = f"{chosen[0].isoformat()}..{chosen[1].isoformat()}"
    start = datetime.combine(chosen[0], time(), UTC)
    return Window(start, datetime.combine(chosen[1] + timedelta(days=1), time(), UTC), Grain.LIVE)


def _reach(scope: queries.Scope, bins_id: str) -> str:
    span = world().states.span(scope.model.name, bins_id)
    return "nowhere yet" if span is None else f"from {span[0]:%d %b %Y} to {span[1]:%d %b %Y}"


def _ranked(found: Comparison) -> None:
    is_small = min(found.rows_reference, found.rows_current) < MIN_ROWS
    judged = ", not judged" if is_small else ""
    st.caption(f"A: n = {found.rows_reference:,} · B: n = {found.rows_current:,}{judged} · ranked by PSI")
    features = sorted(found.features.values(), key=lambda f: (-(f.psi or 0.0), f.name))
    if found.score is not None:
        features = [found.score, *features]
    rows = [
        {
            "feature": queries.SCORE if f is found.score else f.name,
            "reads": "not judged" if is_small or f.psi is None else STEP_NAMES[sum(f.psi > s for s in PSI_STEPS)],
            "psi": f.psi,
            "mean_a": f.reference.mean if f.reference else None,
            "mean_b": f.current.mean if f.current else None,
            "missing_a": f.reference.missing_share if f.reference else None,
            "missing_b": f.current.missing_share if f.current else None,
            "new": ", ".join(f.new_levels.names[:3]) if f.new_levels and f.new_levels.names else "",
        }
        for f in features
    ]
    top = max((row["psi"] or 0.0 for row in rows), default=1.0)
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, width="stretch", height=360,
        column_config={
            "feature": "Feature",
            "reads": "Reads as",
            "psi": st.column_config.ProgressColumn("PSI", format="%.3f", min_value=0.0, max_value=max(0.5, top)),
            "mean_a": st.column_config.NumberColumn("Mean A", format="%.4g"),
            "mean_b": st.column_config.NumberColumn("Mean B", format="%.4g"),
            "missing_a": st.column_config.NumberColumn("Missing A", format="percent"),
            "missing_b": st.column_config.NumberColumn("Missing B", format="percent"),
            "new": "New levels in B",
        },
    )  # fmt: skip


def _one(against: Reference, found: Comparison, current: object) -> None:
    names = [f.name for f in sorted(found.features.values(), key=lambda f: (-(f.psi or 0.0), f.name))]
    if not names or not isinstance(current, dict):
        return
    feature = choice("Feature (most different first)", "f", names, width=330)
    before = against.profile.features.get(feature)
    table = distribution(against, feature, before, current.get(feature)) if before is not None else None
    if table is None or not len(table):
        st.info("Free text and identifiers have no distribution; missing and distinct values are compared above.")
    elif table["right"].any() or table["left"].any():
        st.altair_chart(charts.overlay(table, title=feature), width="stretch", alt=f"{feature} in both windows")
    else:
        st.altair_chart(
            charts.paired_bars(table, sides=("A", "B")), width="stretch", alt=f"Levels of {feature} in both windows"
        )


_page()
