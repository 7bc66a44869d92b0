"""One HTTP request through every place: the example that the documentation quotes."""

import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHANGES = re.compile(r"\d\d:\d\d(:\d\d)?|in \d+ ten-second states?|\d+ s$|(alr|inc|dlv)_\w+")


def _lines(text):
    """Lines by their place, without what depends on the moment."""
    found = (line.split(None, 1) for line in text.strip().splitlines() if len(line.split(None, 1)) == 2)
    return {place: CHANGES.sub("…", what.strip()) for place, what in found}


@pytest.fixture(scope="module")
def told():
    # The requests of the example lie in one hour unless the hour ends while they are sent.
    now = datetime.now(UTC)
    ends = (now + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    if ends - now < timedelta(minutes=2):
        time.sleep((ends - now).total_seconds())
    ran = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "trace" / "trace.py")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    return _lines(ran.stdout)


def test_a_request_is_found_in_row_traffic_state_metric_alert_and_message(told):
    assert list(told)[:7] == ["request", "row", "traffic", "state", "metric", "alert", "message"]
    assert "f_lead_source partner-x" in told["row"]
    assert told["traffic"].startswith("300 requests of POST /score, 2xx")
    assert "300 rows, lead_source new levels {'partner-x': 60}" in told["state"]
    assert "features.new_level_excess of lead_source: 0.200" in told["metric"]
    assert "rule new_levels, warning, firing, incident …" in told["alert"]
    assert told["message"].endswith("WARNING lead-scoring: lead_source: new levels hold 20 % (partner-x)")


def test_the_documentation_shows_what_the_example_prints(told):
    page = (ROOT / "docs" / "trace.md").read_text(encoding="utf-8")
    shown = _lines(page.split("A run prints:\n\n```\n")[1].split("```")[0])
    assert {place: told[place] for place in shown} == shown
