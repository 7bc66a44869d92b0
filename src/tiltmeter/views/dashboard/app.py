"""Entry of the dashboard: `streamlit run` executes this file; it lists the pages and says what went wrong in one."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.views.dashboard.frame import PAGES_FOLDER, failure
from tiltmeter.views.dashboard.screens import PAGES

pages = {
    name: st.Page(
        PAGES_FOLDER / page.file,
        title=page.title,
        # The first page lies at the root, yet it keeps a name of its own from others.
        url_path=page.path or "home",
        default=not page.path,
        visibility="visible" if page.is_listed else "hidden",
    )
    for name, page in PAGES.items()
}


def _first() -> None:
    """The first page lies at the root; whoever writes its name is led there."""
    st.switch_page(pages["overview"], query_params=dict(st.query_params))


named = st.Page(_first, title="Overview", url_path="overview", visibility="hidden")
chosen = st.navigation([*pages.values(), named], position="top")
# A picture of our own: an icon font would be fetched from another host.
st.set_page_config(
    page_title=f"{chosen.title} · Tiltmeter", layout="wide", page_icon=str(Path(__file__).parent / "icon.svg")
)
try:
    chosen.run()
except TiltmeterError as error:
    failure(error)
