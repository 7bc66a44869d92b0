"""What came after the newest judged hour: a burst of errors is on the page while it happens, in any span."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from page_reading import charts, words
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.traffic import latency_bin
from tiltmeter.domain.window import Grain, windows_between
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.pipeline import judge
from tiltmeter.store.schema import TRAFFIC
from tiltmeter.wiring import build_world, stored_log

BURST = timedelta(minutes=20)
CONFIGURATION = """
version: 1
home: .
timezone: UTC
models: {lead-scoring: {routes: {"POST /score": {features: "$"}}, jobs: {nightly: {expect_every: 24h}}}}
channels: {}
"""


@pytest.fixture(scope="module")
def bursting(tmp_path_factory):
    """Configuration and newest judged hour: quiet until then, and 5xx from 10 to 30 minutes after it."""
    folder = tmp_path_factory.mktemp("bursting")
    # Between 30 and 90 minutes ago: the burst lies in the past, and its hour is not judged.
    judged = (datetime.now(UTC) - timedelta(minutes=30)).replace(minute=0, second=0, microsecond=0)
    path = folder / "tiltmeter.yaml"
    path.write_text(CONFIGURATION, encoding="utf-8")
    configuration = load_settings(path, environ={})
    clock = FakeClock(judged)
    log = stored_log(configuration, clock, configuration.models)
    began = judged + timedelta(minutes=10)
    steps = [
        *((judged - timedelta(hours=3) + timedelta(minutes=5 * n), False) for n in range(36)),
        *((began + timedelta(seconds=10 * n), True) for n in range(BURST // timedelta(seconds=10))),
    ]
    log.append("traffic", pa.Table.from_pylist([step(*one) for one in steps], schema=TRAFFIC.columns))
    world = build_world(configuration, clock=clock, with_channels=False, stored=log)
    for window in windows_between(judged - timedelta(hours=3), judged, Grain.HOUR, world.zone):
        judge(MONITORS.load("traffic"), world.models["lead-scoring"], window, world)
    world.state.close()
    return path, judged


def step(at, is_bad):
    kinds = {"error_statuses": [500], "error_exceptions": ["KeyError"], "error_counts": [7]} if is_bad else {}
    return {
        "window_date": at.date(), "window_start": at, "host": "h", "model_name": "lead-scoring",
        "model_version": "14", "http_route": "POST /score", "code_class": "5xx" if is_bad else "2xx",
        "requests": 7, "errors": 7 if is_bad else 0, "latency_bins": [latency_bin(20.0)], "latency_counts": [7],
    } | kinds  # fmt: skip


@pytest.mark.parametrize("span", ["24 h", "30 d"])
def test_a_burst_of_errors_is_in_the_table_and_in_the_charts(page, bursting, span):
    path, _ = bursting
    shown = page("service", path, span=span)
    assert "No errors in this span" not in words(shown)
    table = next(frame.value for frame in shown.dataframe if "exception" in frame.value)
    assert table[["route", "exception", "requests"]].to_numpy().tolist() == [["POST /score", "KeyError", 7 * 120]]
    assert "counted without their kind" not in words(shown)
    assert f"n = {7 * (36 + 120):,} requests" in words(shown)
    failed = [row for _, tables in charts(shown) for rows in tables for row in rows if row.get("failed")]
    assert max(row["failed"] for row in failed) == pytest.approx(0.7)  # 7 requests in ten seconds, all of them failed


def test_the_overview_of_a_long_span_tells_of_the_judged_hour(page, bursting):
    path, judged = bursting
    card = next(m for m in page("overview", path, span="30 d").metric if m.label == "Throughput")
    assert card.delta == f"○ n = {7 * 12}, hour to {judged:%H:%M}"
