"""Compare: any two windows, ranked by difference."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from tiltmeter.alerting.limits import PSI, least_rows, psi_limits
from tiltmeter.api.summary import effect, sentence
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.metric import Status, Subject
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.views.dashboard import comparing, pictures, queries
from tiltmeter.views.dashboard.distributions import distribution
from tiltmeter.views.dashboard.frame import ICONS, badge, choice, header, learning_note, place, plain
from tiltmeter.views.dashboard.installed import world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiltmeter.domain.comparison import Comparison, FeatureComparison
    from tiltmeter.domain.profile import Bins, FeatureProfile, Profile

_MOST_UNSCROLLED = 12
_ROW_HEIGHT = 31
"""Pixels of a row and of the head at the base font size of 14."""


def _page() -> None:
    scope = header("Compare", "What differs between two windows?", selectors=("segment",))
    if scope is None:
        return
    reach = _reach(scope)
    if reach is None:
        learning_note(world(), scope.model)
        return
    last = reach[1]
    half = timedelta(days=min(14, max(2, (last - reach[0]).days + 1)) // 2 - 1)
    first = last - half
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        a, before = _side("A (grey)", "a", (first - timedelta(days=1) - half, first - timedelta(days=1)), scope, reach)
        b, after = _side("B (blue)", "b", (first, last), scope, reach)
    if before is None or after is None:
        st.info("Choose a first and a last day for both windows.")
        return
    bins = world().baselines.bins(scope.model, scope.end)
    if bins is None:
        learning_note(world(), scope.model)
        return
    left, right = _rows(a, before, bins), _rows(b, after, bins)
    if left is None or right is None:
        missing = "A" if left is None else "B"
        st.info(
            f"Window {missing} holds no rows. Stored profiles reach from {reach[0]:%d %b %Y} to {reach[1]:%d %b %Y}."
        )
        return
    against = Reference("window A", "window-a", bins, left)
    found = comparing.judged(world(), against, right, after, scope)
    _ranked(scope, found)
    _one(against, found, right.features)


def _rows(side: queries.Scope, window: Window, bins: Bins) -> Profile | None:
    """Rows of one side in the model's cells: any two windows can be compared, whatever the baseline holds."""
    return world().states.total(side.model.name, bins.bins_id, window, version=side.version, segment=side.segment)


def _reach(scope: queries.Scope) -> tuple[date, date] | None:
    """First and last day with stored profiles; None while the baseline is learnt."""
    bins = world().baselines.bins(scope.model, scope.end)
    span = world().states.span(scope.model.name, bins.bins_id) if bins else None
    return None if span is None else (span[0].date(), (span[1] - timedelta(seconds=1)).date())


def _side(
    label: str, key: str, default: tuple[date, date], scope: queries.Scope, reach: tuple[date, date]
) -> tuple[queries.Scope, Window | None]:
    """The selectors of one side: its days and, where there are several, its model version."""
    window = _days(f"Window {label}", key, default, reach)
    versions, _ = queries.subjects(world(), place(), scope.model, scope.end)
    if len(versions) < 2:
        return scope, window
    version = choice(f"Version {label[0]}", f"version_{key}", ["all", *versions], default="all", width=110)
    return replace(scope, version="" if version == "all" else version), window


def _days(label: str, key: str, default: tuple[date, date], reach: tuple[date, date]) -> Window | None:
    first, _, last = st.query_params.get(key, "").partition("..")
    try:
        given = (date.fromisoformat(first), date.fromisoformat(last))
    except ValueError:
        given = default
    # Days without profiles hold nothing; and a day far in the future would not even be a date tomorrow.
    within = sorted(min(max(day, reach[0]), reach[1]) for day in given)
    chosen = st.date_input(
        label, (within[0], within[1]), min_value=reach[0], max_value=reach[1], key=f"days-{key}", width=240
    )
    if not isinstance(chosen, tuple) or len(chosen) != 2:
        return None
    st.query_params[key] = f"{chosen[0].isoformat()}..{chosen[1].isoformat()}"
    start = datetime.combine(chosen[0], time(), UTC)
    return Window(start, datetime.combine(chosen[1] + timedelta(days=1), time(), UTC), Grain.LIVE)


def _ranked(scope: queries.Scope, found: Comparison) -> None:
    is_small = any(f.status is Status.TOO_FEW_ROWS for f in found.features.values())
    about = Subject(scope.model.name, feature="any")
    is_ruled = bool(psi_limits(world().rules.rules, about))
    worst = max((f.severity for f in [*found.features.values(), found.score] if f is not None), default=Severity.NONE)
    with st.container(key=f"verdict-{worst.word}"):
        title = worst.word if worst else "Not judged" if is_small else "Alike" if is_ruled else "No rule judges it"
        said = sentence(found) if is_ruled or worst else "the numbers stand below, without a verdict"
        st.markdown(f"{badge(worst, title)} · {plain(said)}")
    judged = f", fewer than {least_rows(world().rules.rules, PSI, about)} on one side: not judged" if is_small else ""
    st.caption(f"A: n = {found.rows_reference:,} · B: n = {found.rows_current:,}{judged} · most different first")
    features = _by_difference(found)
    rows = [
        {
            "feature": queries.SCORE if f is found.score else f.name,
            "reads": f"{ICONS[f.severity]} {'ok' if f.severity is Severity.NONE else f.severity.word}",
            "psi": f.psi,
            "effect": effect(f),
            "middle": _change(f),
            "missing": _missing(f),
        }
        for f in features
    ]
    top = max((row["psi"] or 0.0 for row in rows), default=1.0)
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, width="stretch", placeholder="–",
        height=4 + _ROW_HEIGHT * (1 + min(_MOST_UNSCROLLED, len(rows))),
        alt="Features by how much they differ between the two windows",
        column_config={
            "feature": "Feature",
            "reads": "Reads as",
            "psi": st.column_config.ProgressColumn("PSI", format="%.3f", min_value=0.0, max_value=max(0.5, top)),
            "effect": st.column_config.TextColumn("What changed from A to B", width="large"),
            "middle": "Mean A → B",
            "missing": "Missing A → B",
        },
    )  # fmt: skip


def _by_difference(found: Comparison) -> list[FeatureComparison]:
    features = [*found.features.values(), *([found.score] if found.score is not None else [])]
    return sorted(features, key=lambda f: (-f.severity, -(f.psi or 0.0), f.name))


def _change(feature: FeatureComparison) -> str | None:
    if feature.reference is None or feature.current is None or feature.reference.mean is None:
        return None
    return f"{comparing.short(feature.reference.mean)} → {comparing.short(feature.current.mean)}"


def _missing(feature: FeatureComparison) -> str | None:
    if feature.reference is None or feature.current is None:
        return None
    return f"{feature.reference.missing_share or 0:.1%} → {feature.current.missing_share or 0:.1%}"


def _one(against: Reference, found: Comparison, current: Mapping[str, FeatureProfile]) -> None:
    features = {queries.SCORE if f is found.score else f.name: f.name for f in _by_difference(found)}
    shown = choice("Feature (most different first)", "f", list(features), width=330)
    name = features[shown]
    before = against.profile.features.get(name)
    table = distribution(against, name, before, current.get(name)) if before is not None else None
    st.markdown(f"**A (grey) and B (blue): {plain(shown)}**")
    said = f"A n = {found.rows_reference:,}, B n = {found.rows_current:,}"
    st.caption(said)
    if table is None or not len(table):
        st.info("Free text and identifiers have no distribution; missing and distinct values are compared above.")
    elif table["right"].any() or table["left"].any():
        st.altair_chart(pictures.overlay(table, title=shown), width="stretch", alt=f"{shown} in both windows: {said}")
    else:
        chart = pictures.paired_bars(table, sides=("A", "B"))
        st.altair_chart(chart, width="stretch", alt=f"Levels of {shown} in both windows: {said}")


_page()
