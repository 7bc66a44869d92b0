"""Starts the dashboard's own process: loads what every page needs first, so that no visitor waits for it."""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

from streamlit.logger import get_logger
from streamlit.web.cli import main

APP = Path(__file__).parent / "app.py"
_NEEDED = (
    "tiltmeter.views.dashboard.cards",
    "tiltmeter.views.dashboard.comparing",
    "tiltmeter.views.dashboard.frame",
    "tiltmeter.views.dashboard.incident_story",
    "tiltmeter.views.dashboard.installed",
    "tiltmeter.views.dashboard.pictures",
    "tiltmeter.views.dashboard.rows",
    "tiltmeter.views.dashboard.verdict",
    "tiltmeter.engines.local",
)
"""What the pages import: a second and a half of processor time that the first visitor would pay otherwise."""


def launch(options: list[str]) -> None:
    """Run the pages until the process is told to stop.

    Args:
        options: of `streamlit run`.
    """
    # Cached functions say that no server runs yet, which is so.
    get_logger("streamlit.runtime.caching.cache_data_api").setLevel("ERROR")
    for module in _NEEDED:
        importlib.import_module(module)
    # Streamlit collects garbage after every run of a script, which would look at every object of these modules again:
    # a tenth of a second for a part of a page that is drawn in twenty milliseconds.
    gc.collect()
    gc.freeze()
    main(["run", str(APP), *options], prog_name="streamlit")


if __name__ == "__main__":
    launch(sys.argv[1:])
