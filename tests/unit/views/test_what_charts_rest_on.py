"""Every chart says in words what it rests on: window, n, baseline, thresholds; and a job that did not run is seen."""

import html
import json

import pandas as pd
import pytest

import small_home
from page_reading import words
from tiltmeter.config.load import load_settings
from tiltmeter.views.dashboard import charts
from tiltmeter.wiring import build_world

pytestmark = pytest.mark.slow  # builds homes


def alternatives(shown):
    found = []

    def walk(block):
        for child in getattr(block, "children", {}).values():
            if child.type == "vega_lite_chart":
                found.append(child.proto.alt)
            walk(child)

    walk(shown.main)
    return found


def said(shown):
    return html.unescape(words(shown)).replace("\u2060", "")


SPAN = "07 Feb 00:00 to 09 Mar 00:00 UTC"
NUMBERS = {
    "overview": [
        f"{SPAN} · n = 4,320 requests · P95: info > 200 ms, warning > 500 ms",
        f"{SPAN} · n = 4,320 requests · failed: critical > 1.0 %",
        f"{SPAN} · newest day n = 960 · baseline training (",
        "), n = 2,000 · watch > 0.1, warning > 0.25, critical > 0.5",
    ],
    "feature": [
        "shown: n = 960, 08 Mar 00:00 to 09 Mar 00:00 UTC",
        f"{SPAN} · newest day n = 960 · baseline training (",
        "newest hour n = 200",
    ],
    "service": [
        f"{SPAN} · n = 4,320 requests · P95: info > 200 ms, warning > 500 ms",
        f"{SPAN} · n = 4,320 requests · no rule judges it",
        "n = 8,640 requests, all versions, to 09 Mar 00:00 UTC",
        f"n = 5 runs, {SPAN} · dashed: usual, the median of up to 10 good runs before the newest: nightly 9",
    ],
    "incidents": [f"n = 1, {SPAN}"],
    "compare": ["A n = "],
}


@pytest.mark.parametrize("name", list(NUMBERS))
def test_charts_say_window_n_baseline_and_thresholds(page, small, name):
    shown = page(name, small)
    told = said(shown)
    assert [part for part in NUMBERS[name] if part not in told] == []
    texts = alternatives(shown)
    assert texts
    assert all(len(text) > 20 for text in texts), texts


def test_the_chart_of_an_incident_says_what_it_rests_on(page, small):
    world = build_world(load_settings(small, environ={}), with_channels=False)
    (found,) = [i for i in world.state.incidents(open_only=True) if i.severity.word == "critical"]
    world.state.close()
    shown = page("incident", small, id=found.id)
    told = said(shown)
    assert "baseline training (" in told
    assert "warning 0.25, critical 0.5" in told
    assert "newest hour n = " in told or "newest day n = " in told
    assert "warning 0.25, critical 0.5" in alternatives(shown)[0]


def test_a_night_without_a_run_is_an_absent_square(page, tmp_path):
    shown = page("overview", small_home.build(tmp_path / "home", missed_nights=(1,)))
    (strip,) = [caption.value for caption in shown.caption if "nightly" in caption.value]
    assert strip.startswith("nightly: 3 done, 1 failed, 1 absent;")


def test_a_line_without_one_value_still_draws_its_limits():
    table = pd.DataFrame(
        {
            "time": pd.to_datetime(["2026-03-08", "2026-03-09"], utc=True), "value": [None, None], "rows": [12, 12],
            "status": ["too_few_rows"] * 2,
        }
    ).astype({"value": float})  # fmt: skip
    drawn = charts.metric_line(table, title="PSI", limits={"warning": 0.25, "critical": 0.5}, form=".2~f")
    assert "warning 0.25" in json.dumps(drawn.to_dict())
