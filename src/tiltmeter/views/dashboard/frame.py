"""What every page shares: the world it reads, its header with selectors in the URL, and plain words for severities."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from tiltmeter.config.load import load_settings
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.views.dashboard.queries import SPANS, Scope, newest_moment
from tiltmeter.wiring import build_world

if TYPE_CHECKING:
    from tiltmeter.domain.model import Model
    from tiltmeter.ports import World

ICONS = {Severity.NONE: "○", Severity.INFO: "ⓘ", Severity.WARNING: "▲", Severity.CRITICAL: "■"}
COLOURS = {Severity.NONE: "gray", Severity.INFO: "blue", Severity.WARNING: "orange", Severity.CRITICAL: "red"}


@st.cache_resource(show_spinner="Opening the installation …")  # type: ignore[untyped-decorator]
def world() -> World:
    """The installation that this dashboard shows, opened once a process, without channels and their secrets."""
    given = os.environ.get("TILTMETER_CONFIG")
    return build_world(load_settings(Path(given) if given else None), with_channels=False)


def plain(text: str) -> str:
    """Hostile text for places that read Markdown: every character that means something there is escaped."""
    escaped = "".join("\\" + c if c in "\\`*_{}[]()<>#+-.!|$~:" else c for c in text)
    return escaped.replace("\n", " ")


def severity_badge(severity: Severity, word: str = "") -> str:
    """Icon, colour and word in Streamlit's Markdown."""
    said = word or ("ok" if severity is Severity.NONE else severity.word)
    return f":{COLOURS[severity]}[{ICONS[severity]} {said}]"


def header(title: str, question: str) -> Scope | None:
    """Title, the question the page answers, and the selectors; None (with an explanation) where there is no model."""
    here = world()
    st.subheader(title, anchor=False)
    st.caption(question)
    if not here.models:
        st.info("No model is configured yet. `tiltmeter init` writes a configuration, or start capturing requests.")
        return None
    names = list(here.models)
    columns = st.columns([2, 1.4, 1.2, 3])
    asked = st.query_params.get("model", names[0])
    model_name = columns[0].selectbox("Model", names, index=names.index(asked) if asked in names else 0)
    model = here.models[model_name]
    spans = list(SPANS)
    asked_span = st.query_params.get("span", "30 d")
    span = columns[2].selectbox("Time", spans, index=spans.index(asked_span) if asked_span in spans else 2)
    version = _version(here, model, columns[1])
    end = newest_moment(here, model)
    st.query_params.update({"model": model_name, "span": span, **({"version": version} if version else {})})
    age = here.clock.now() - end
    stale = age > timedelta(hours=3)
    columns[3].markdown(f"\n\n{':orange[data as of' if stale else ':gray[data as of'} {end:%a %d %b %Y %H:%M} UTC]")
    return Scope(model, version, end - SPANS[span], end)


def _version(here: World, model: Model, place: st.delta_generator.DeltaGenerator) -> str:
    reference = here.baselines.judging(
        model, Window(here.clock.now() - timedelta(hours=1), here.clock.now(), Grain.LIVE)
    )
    versions = here.states.subjects(model.name, reference.bins.bins_id)[0] if reference else []
    choices = ["all", *versions]
    asked = st.query_params.get("version", "all")
    chosen = place.selectbox("Version", choices, index=choices.index(asked) if asked in choices else 0)
    return "" if chosen == "all" else str(chosen)


def learning_note(here: World, model: Model) -> None:
    """How far a baseline is that is still learnt."""
    seen, needed = here.baselines.progress(model)
    st.info(f"Learning a baseline: {seen:,} of {needed:,} rows, and a first full week. Until then nothing is judged.")
    st.progress(min(1.0, seen / needed))
