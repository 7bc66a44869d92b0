"""Entry of the dashboard: `streamlit run` executes this file; it only lists the pages."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from tiltmeter.views.dashboard.pages import PAGES

st.set_page_config(page_title="Tiltmeter", layout="wide", page_icon="📐")
_FOLDER = Path(__file__).parent / "pages"
st.navigation(
    [
        st.Page(_FOLDER / file, title=title, url_path=path or None, default=not path)
        for file, title, path in PAGES.values()
    ],
    position="top",
).run()
