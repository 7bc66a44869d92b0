"""The dashboard in this process, on a small home; and the words that a hostile sender would use."""

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import small_home
from tiltmeter.views.dashboard.frame import PAGES_FOLDER

APP = PAGES_FOLDER.parent / "app.py"


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Configuration of a home with a planted new level, read by every test and changed by none."""
    return small_home.build(tmp_path_factory.mktemp("small") / "home")


@pytest.fixture
def page(monkeypatch):
    """Run one page on a home: `page("overview", configuration, f="source")`."""
    st.cache_data.clear()
    st.cache_resource.clear()

    def run(name, configuration, *, address="127.0.0.1", **query):
        monkeypatch.setenv("TILTMETER_CONFIG", str(configuration))
        st.config.set_option("server.address", address)  # as `tiltmeter dashboard` does
        shown = AppTest.from_file(str(APP), default_timeout=60)
        if name != "overview":
            shown.switch_page(f"screens/{name}.py")
        for key, value in query.items():
            shown.query_params[key] = value
        shown.run()
        assert not shown.exception, shown.exception[0].message
        return shown

    return run
