"""Errors by route and exception: from a request that failed in a real application to its line on the Service page."""

import asyncio
import html
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI, HTTPException

from tables import FakeClock
from tiltmeter.api.period import period_of
from tiltmeter.capture.budget import Budget
from tiltmeter.capture.fastapi import Capture
from tiltmeter.capture.spool import SpoolWriter
from tiltmeter.config.load import load_settings
from tiltmeter.domain.window import Grain, window_at
from tiltmeter.ingest.shipper import Shipper
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.pipeline import judge
from tiltmeter.wiring import build_world, stored_log

pytestmark = pytest.mark.slow

HOSTILE = "<script>hit=1</script>[x](https://evil.example)**:red[y]**"
Hostile = type(HOSTILE, (RuntimeError,), {})


def service(spool):
    app = FastAPI()

    @app.post("/score")
    def score(case: str):
        if case == "hostile":
            raise Hostile
        if case == "key":
            raise KeyError("a customer's name")
        if case == "busy":
            raise HTTPException(503)
        return {"score": 0.4}

    writer = SpoolWriter(spool, budget=Budget(max_bytes=10**12, min_free=0.0), threaded=False)
    return app, Capture(app, model="lead-scoring", model_version="14", writer=writer)


def ask(app, cases):
    async def all_of_them():
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            for case in cases:
                await client.post("/score", params={"case": case})

    asyncio.run(all_of_them())


def home(folder, cases):
    """A home whose only hour holds these requests, judged; the path of its configuration."""
    folder.mkdir()
    path = folder / "tiltmeter.yaml"
    path.write_text("version: 1\nhome: .\ntimezone: UTC\nmodels: {lead-scoring: {}}\nchannels: {}\n", encoding="utf-8")
    app, captured = service(folder / "spool")
    began = datetime.now(UTC)
    ask(app, cases)
    captured.close()
    configuration = load_settings(path, environ={})
    hour = window_at(began, Grain.HOUR, configuration.zone)
    clock = FakeClock(hour.end + timedelta(hours=1))  # whatever ran past the full hour lies in the next one
    log = stored_log(configuration, clock, configuration.models)
    Shipper(folder / "spool", log, configuration.models, clock).ship_once(flush=True)
    world = build_world(configuration, clock=clock, with_channels=False, stored=log)
    for window in (hour, window_at(hour.end, Grain.HOUR, configuration.zone)):
        judge(MONITORS.load("traffic"), world.models["lead-scoring"], window, world)
    world.state.close()
    return path


@pytest.fixture(scope="module")
def failing(tmp_path_factory):
    cases = ["hostile"] * 4 + ["key"] * 3 + ["busy"] * 2 + [""] * 11
    return home(tmp_path_factory.mktemp("failing") / "home", cases)


def table_of(shown):
    return next(frame.value for frame in shown.dataframe if "exception" in frame.value)


@pytest.mark.parametrize("span", ["24 h", "30 d"])  # ten-second states, and judged hours
def test_every_exception_of_the_application_has_its_line(page, failing, span):
    table = table_of(page("service", failing, span=span))
    assert list(zip(table["answer"], table["exception"], table["route"], table["requests"], strict=True)) == [
        ("500 Internal Server Error", HOSTILE, "POST /score", 4),
        ("500 Internal Server Error", "KeyError", "POST /score", 3),
        ("503 Service Unavailable", "HTTPException", "POST /score", 2),
    ]
    assert table["share"].tolist() == pytest.approx([20.0, 15.0, 10.0])  # percent
    assert [sum(line) for line in table["trend"]] == [4, 3, 2]


def test_the_chosen_error_stands_in_the_address_and_its_requests_are_read_on_a_click(page, failing):
    shown = page("service", failing, span="24 h", error="500 KeyError · POST /score")
    assert shown.query_params["error"] == "500 KeyError · POST /score"
    assert table_of(shown)["requests"].tolist() == [3]
    before = len(shown.dataframe)
    shown.button(key="failed").click().run()
    assert len(shown.dataframe) == before + 1
    rows = shown.dataframe[-1].value
    assert rows["error_type"].tolist() == ["KeyError"] * 3
    assert "customer" not in rows.to_csv()  # the class of an exception is kept, its text is not


def test_refused_requests_are_told_from_failed_ones(page, failing):
    shown = page("service", failing, span="24 h", answers="refused (4xx)")
    assert not any("exception" in frame.value for frame in shown.dataframe)
    assert "No such errors in this span." in [caption.value for caption in shown.caption]
    assert shown.query_params["answers"] == "refused (4xx)"


def test_no_error_is_said_in_a_sentence(page, tmp_path):
    shown = page("service", home(tmp_path / "home", [""] * 5), span="24 h")
    said = [html.unescape(caption.value) for caption in shown.caption]
    assert "○ No errors in this span: 5 requests, none was answered with 4xx or 5xx." in said


def test_errors_of_which_only_the_number_is_known_are_not_hidden(page, small):
    said = [caption.value for caption in page("service", small, span="24 h").caption]
    assert any(caption.startswith("180 further errors were counted without their kind") for caption in said)


def test_the_report_of_a_day_counts_errors_by_route_and_exception(failing):
    configuration = load_settings(failing, environ={})
    day = window_at(datetime.fromtimestamp(failing.stat().st_mtime, UTC), Grain.DAY, configuration.zone)
    world = build_world(configuration, clock=FakeClock(day.end), with_channels=False)
    found = period_of(world, world.models["lead-scoring"], day)
    world.state.close()
    assert {(kind.exception, requests) for _, kind, requests in found.errors} == {
        (HOSTILE, 4), ("KeyError", 3), ("HTTPException", 2),
    }  # fmt: skip
    page = found.to_html()
    assert "500 Internal Server Error" in page
    assert "<script>" not in page
