"""What every page shares: the world it reads, its header with selectors in the address, plain words, looks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import streamlit as st

from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.domain.severity import Severity
from tiltmeter.views.dashboard import ranges
from tiltmeter.views.dashboard.access import Visitor, admitted
from tiltmeter.views.dashboard.installed import installation, world
from tiltmeter.views.dashboard.queries import ALL, SPANS, Scope, newest_moment, reach, subjects

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tiltmeter.domain.model import Model
    from tiltmeter.ports import World

PAGES_FOLDER = Path(__file__).parent / "screens"
# Not "pages": Streamlit would serve a folder of that name by itself, without our navigation.

ICONS = {Severity.NONE: "○", Severity.INFO: "●", Severity.WARNING: "▲", Severity.CRITICAL: "■"}
COLOURS = {Severity.NONE: "gray", Severity.INFO: "blue", Severity.WARNING: "orange", Severity.CRITICAL: "red"}

_JOINER = "\u2060"
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_MOST_LETTERS = 200

_STYLE = """
<style>
.stMainBlockContainer {padding: 3.4rem 2rem 2rem 2rem; max-width: 1500px;}
[data-testid=stMetricValue] {font-size: 1.7rem;}
[class*=st-key-verdict] {border-radius: 0.4rem; padding: 0.55rem 0.9rem; border-left: 6px solid #64748b;
  background: rgba(100,116,139,.12); gap: 0.15rem;}
.st-key-verdict-info {border-left-color: #56B4E9 !important; background: rgba(86,180,233,.14) !important;}
.st-key-verdict-warning {border-left-color: #f59e0b !important; background: rgba(245,158,11,.16) !important;}
.st-key-verdict-critical {border-left-color: #b91c1c !important; background: rgba(185,28,28,.12) !important;}
[data-testid=stMain] [data-testid=stPageLink-NavLink] {padding-left: 0;}
[data-testid=stMarkdownContainer], [data-testid=stPageLink] {overflow-wrap: anywhere;}
[data-testid=stMain] [data-testid=stPageLink-NavLink] * {white-space: normal; overflow: visible;}
/* What a card says under its number is read whole, on two lines where one does not hold it. */
[data-testid=stMetricDelta], [data-testid=stMetricDelta] * {white-space: normal !important; overflow: visible;
  text-overflow: clip; line-height: 1.25; height: auto;}
/* On dark ground the current series is Okabe-Ito's sky blue: contrast 7.6, where their blue has 3.4. */
[data-testid=stVegaLiteChart] svg [fill="#0072B2" i] {fill: light-dark(#0072B2, #56B4E9);}
[data-testid=stVegaLiteChart] svg [stroke="#0072B2" i] {stroke: light-dark(#0072B2, #56B4E9);}
[data-testid=stVegaLiteChart] svg text[fill="#64748b" i] {fill: light-dark(#64748b, #94a3b8);}
[data-testid=stVegaLiteChart] svg text[fill="#dc2626" i] {fill: light-dark(#dc2626, #f87171);}
[data-testid=stVegaLiteChart] svg [stroke="#dc2626" i] {stroke: light-dark(#dc2626, #f87171);}
@media (max-width: 640px) {
  [data-testid=stElementToolbar] {display: none;}
  .stMainBlockContainer {padding: 3.8rem 0.8rem 2rem 0.8rem;}
  [data-testid=stMetricValue] {font-size: 1.35rem;}
}
</style>
"""


def plain(text: str) -> str:
    """Hostile text for places that read Markdown: shown letter by letter, whatever it holds.

    Entities keep Markdown, HTML, mathematics and directives from being seen. Bare addresses, mail addresses and emoji
    names are looked for once entities are resolved, so an invisible joiner stands in what would begin one. Characters
    that turn the direction of writing are left out: they would turn the words around them too. What is longer than a
    line or two is cut.
    """
    kept = "".join(c for c in text if c not in _TURNING)
    kept = kept if len(kept) <= _MOST_LETTERS else kept[: _MOST_LETTERS - 1] + "…"
    shown = "".join(c if c.isalnum() or c in " ,;" else f"{_JOINER if c in '.:@' else ''}&#{ord(c)};" for c in kept)
    return " ".join(shown.split())


def badge(severity: Severity, word: str = "") -> str:
    """Icon, colour and word in Streamlit's Markdown."""
    said = word or ("ok" if severity is Severity.NONE else severity.word)
    return f":{COLOURS[severity]}[{ICONS[severity]} **{said}**]"


def choice(
    label: str, key: str, options: Sequence[str], *, default: str | None = None, width: int = 180, of: str = ""
) -> str:
    """A selector whose value stands in the address as `key`; what a person chose is kept while pages change.

    Args:
        label: above the selector.
        key: name in the address.
        options: at least one.
        default: when the address names none of them; the first option without one.
        width: in pixels.
        of: what the choice is about, where that can change on the page: each is chosen and kept by itself.
    """
    widget, kept, unknown = f"choose-{key}{of and f'-{of}'}", f"kept-{key}{of and f'-{of}'}", ""
    usual = default if default in options else options[0]
    if st.session_state.get(widget) not in options:
        wanted = st.query_params.get(key, st.session_state.get(kept, usual))
        st.session_state[widget] = wanted if wanted in options else usual
        named = st.query_params.get(key, "")
        unknown = named if named not in options else ""
        if named in options and named != usual:
            st.session_state[kept] = named
    chosen = str(st.selectbox(label, options, key=widget, width=width, on_change=_keep, args=(widget, kept)))
    if unknown:
        # An old link must not show another thing unsaid.
        st.markdown(f":orange[▲ not here: {plain(unknown)}]", width="content")
    if st.query_params.get(key) != chosen:
        st.query_params[key] = chosen
    st.session_state[f"written-{key}"] = of, chosen
    return chosen


def _keep(widget: str, kept: str) -> None:
    """A person chose: what nobody chose is found anew at the next visit, when another may be worth seeing."""
    st.session_state[kept] = st.session_state[widget]


def leave_others(of: str, *keys: str) -> None:
    """Takes from the address what a selector wrote there about another thing; what a link asks for stays.

    Args:
        of: what is shown now.
        keys: names in the address, of selectors that are about it.
    """
    for key in keys:
        about, chosen = st.session_state.get(f"written-{key}", (of, ""))
        if about != of and st.query_params.get(key) == chosen:
            del st.query_params[key]


def looks() -> None:
    """Looks of the page."""
    st.html(_STYLE)


def entrance() -> Visitor:
    """Looks of the page, and who looks at it; without the right to read, the page ends here."""
    looks()
    return admitted(installation().configuration)


EVERY_SELECTOR = ("version", "segment", "span")


def header(title: str, question: str, *, selectors: Sequence[str] = EVERY_SELECTOR) -> Scope | None:
    """Title, the question the page answers, and the selectors; None (with an explanation) where there is no model.

    Args:
        title: of the page.
        question: that it answers.
        selectors: those that change something on this page, beside the model's.
    """
    entrance()
    here = world()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        with st.container(width=330, gap=None):
            st.subheader(title, anchor=False)
            st.caption(question)
        scope = _selectors(here, selectors) if here.models else None
    if scope is None:
        st.info(
            "No model is known yet. `tiltmeter init` writes a configuration; with captured requests the service "
            "finds the model by itself."
        )
    return scope


def _selectors(here: World, wanted: Sequence[str]) -> Scope:
    names = list(here.models)
    model = here.models[choice("Model", "model", names, width=200)]
    newest = newest_moment(here, model)
    end = newest or here.clock.now()
    versions, segments = subjects(here, place(), model, end)
    version, segment, span = "all", ALL, "30 d"
    if "version" in wanted and len(versions) > 1:
        version = choice("Version", "version", ["all", *versions], default="all", width=110)
    if "segment" in wanted and segments:
        named = {f"{key} = {value}": (key, value) for key, value in segments}
        segment = named.get(choice("Segment", "segment", ["all", *named], default="all", width=190), ALL)
    if "span" in wanted:
        if ranges.is_named() and "choose-span" not in st.session_state:
            st.query_params["span"] = ranges.CUSTOM
        span = choice("Time", "span", [*SPANS, ranges.CUSTOM], default="30 d", width=110)
    start, last = _span(span, end)
    st.markdown(_age(here, newest), width="content")
    ends_newest = newest is None or last >= newest
    return Scope(place(), model, "" if version == "all" else version, segment, start, last, ends_newest)


def _span(span: str, newest: datetime) -> tuple[datetime, datetime]:
    """Start and end of what is shown: up to the newest data, or the days that were chosen."""
    if span != ranges.CUSTOM:
        ranges.forget()
        return newest - SPANS[span], newest
    start, end, unknown = ranges.custom_span(newest)
    if unknown:
        st.markdown(f":orange[▲ not here: {plain(unknown)}]", width="content")
    return start, end


def _age(here: World, newest: datetime | None) -> str:
    if newest is None:
        return ":gray[no window was judged yet]"
    colour, note = ("orange", " (old)") if is_old(here, newest) else ("gray", "")
    return f":{colour}[data as of {newest:%a %d %b %Y %H:%M} UTC{note}]"


def is_old(here: World, newest: datetime) -> bool:
    """Whether the newest judged window is older than the schedule allows."""
    return here.clock.now() - newest > ranges.old_after(installation().configuration.settings.schedule.hourly)


def place() -> str:
    """Home of the installation: keeps kept answers of two of them apart."""
    return str(installation().configuration.home)


def failure(error: TiltmeterError) -> None:
    """What went wrong, where, and what to do, instead of a page that breaks off."""
    where = f" · {plain(error.at)}" if error.at else ""
    todo = f"  \n{plain(error.hint)}" if error.hint else ""
    st.error(f"**This page could not be read:** {plain(error.what)}{where}{todo}")
    st.caption("Nothing was changed. Reload the page to try again; `tiltmeter doctor` looks at every part.")


_Panel = TypeVar("_Panel", bound=Callable[..., None])


def live(draw: _Panel) -> _Panel:
    """Draws a part of a page anew every ten seconds, by itself; what goes wrong in it stays in it.

    Where the part shows a scope and something was judged, became old, or changed about an incident since the page was
    drawn, the whole page is drawn again, and every five minutes while it shows what is not judged yet: nothing beside
    the part stays behind on a screen that nobody touches.
    """

    @wraps(draw)
    def guarded(drawn: tuple[object, ...], *given: Any) -> None:  # noqa: ANN401 - handed on as it came
        try:
            if drawn != _stand(given):
                st.rerun()
            draw(*given)
        except TiltmeterError as error:
            failure(error)

    fragment = st.fragment(guarded, run_every="10s")

    @wraps(draw)
    def placed(*given: Any) -> None:  # noqa: ANN401 - handed on as it came
        fragment(_stand(given), *given)

    return cast("_Panel", placed)


def _stand(given: tuple[object, ...]) -> tuple[object, ...]:
    """What a page that shows a scope was drawn from; empty where there is none."""
    if not given or not isinstance(given[0], Scope):
        return ()
    here, model = world(), given[0].model
    newest = newest_moment(here, model)
    open_now = here.state.incidents(model.name, open_only=True)
    told = tuple((i.id, i.severity, i.title, i.acknowledged_by) for i in open_now)
    return newest, newest is not None and is_old(here, newest), told, _tick(here, given[0])


def _tick(here: World, scope: Scope) -> datetime:
    """Moves every five minutes where the page shows what is not judged yet."""
    until = reach(here, scope)
    return until if until == scope.end else until.replace(minute=until.minute // 5 * 5)


def learning_note(here: World, model: Model) -> None:
    """How far a baseline is that is still learnt."""
    seen, needed = here.baselines.progress(model)
    st.info(f"Learning a baseline: {seen:,} of {needed:,} rows, and a first full week. Until then nothing is judged.")
    st.progress(min(1.0, seen / max(needed, 1)))
