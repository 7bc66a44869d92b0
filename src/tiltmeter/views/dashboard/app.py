"""Entry of the dashboard: `streamlit run` executes this file; it only lists the pages."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tiltmeter.views.dashboard.frame import PAGES_FOLDER
from tiltmeter.views.dashboard.screens import PAGES

# A picture of our own: an icon font would be fetched from another host.
st.set_page_config(page_title="Tiltmeter", layout="wide", page_icon=str(Path(__file__).parent / "icon.svg"))
st.navigation(
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
).run()
