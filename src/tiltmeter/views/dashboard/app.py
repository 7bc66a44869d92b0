"""Entry of the dashboard: `streamlit run` executes this file; it lists the pages and says what went wrong in one."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.views.dashboard.frame import PAGES_FOLDER, failure
from tiltmeter.views.dashboard.screens import PAGES

chosen = st.navigation(
    [
        st.Page(
            PAGES_FOLDER / page.file,
            title=page.title,
            url_path=page.path or None,
            default=not page.path,
            visibility="visible" if page.is_listed else "hidden",
        )
        for page in PAGES.values()
    ],
    position="top",
)
# A picture of our own: an icon font would be fetched from another host.
st.set_page_config(
    page_title=f"{chosen.title} · Tiltmeter", layout="wide", page_icon=str(Path(__file__).parent / "icon.svg")
)
try:
    chosen.run()
except TiltmeterError as error:
    failure(error)
