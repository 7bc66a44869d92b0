"""A version that was chosen: what was stored of it apart, and what was stored of all rows while it scored alone."""

import html
from datetime import timedelta

import pytest

import small_home
from page_reading import charts, words
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.traffic import TrafficState, latency_bin
from tiltmeter.domain.window import Grain, Window, windows_between
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.monitors.traffic import traffic_metrics
from tiltmeter.pipeline import judge
from tiltmeter.views.dashboard.by_version import Presence
from tiltmeter.views.dashboard.screens import PAGES
from tiltmeter.wiring import build_world

END = small_home.END


@pytest.fixture(scope="session")
def relay(tmp_path_factory):
    """Version 14 alone on four days; on the fifth version 15 scores every other lead and, from noon, answers too."""
    return small_home.build(tmp_path_factory.mktemp("relay") / "home", newer="15")


def days_of(shown, name="psi"):
    return {row["day"] for _, tables in charts(shown) for table in tables for row in table if name in row}


def card(shown, label):
    return next(m for m in shown.metric if m.label == label)


@pytest.mark.slow
@pytest.mark.parametrize(("version", "days"), [("14", 5), ("15", 1), ("all", 5)])
def test_days_on_which_a_version_scored_alone_are_its_days(page, relay, version, days):
    assert len(days_of(page("overview", relay, version=version))) == days
    assert "No day was judged in this span." not in words(page("feature", relay, f="source", version=version))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["14", "15"])
@pytest.mark.parametrize("name", [name for name in PAGES if name not in ("ack", "incident")])
def test_every_page_has_numbers_of_a_chosen_version(page, relay, name, version):
    said = words(page(name, relay, version=version))
    assert "No day was judged" not in said
    assert "answered nothing" not in said


@pytest.mark.slow
@pytest.mark.parametrize("span", ["24 h", "7 d"])
def test_the_service_of_a_version_is_its_own(page, relay, span):
    """14 answers all day and 15 from noon on, 30 requests each in five minutes."""
    answered = {
        version: sum(
            row["rows"]
            for spec, tables in charts(page("service", relay, version=version, span=span))
            if "share of requests" in str(spec)
            for table in tables
            for row in table
            if "status" in row
        )
        for version in ("14", "15")
    }
    hours = {"24 h": (24, 12), "7 d": (12, 12)}[span]  # hours are judged from noon on
    assert answered == {version: 12 * 30 * n for version, n in zip(("14", "15"), hours, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize(("version", "whose", "hours"), [("14", "version 14", 24), ("15", "version 15", 12)])
def test_the_latency_by_half_hour_says_whose_it_is(page, relay, version, whose, hours):
    answered = f"n = {12 * 30 * hours:,} requests, {whose}, to 09 Mar 00:00 UTC"
    assert answered in words(page("service", relay, version=version))


@pytest.mark.slow
def test_the_latency_by_half_hour_is_of_all_versions_where_the_chosen_one_answered_nothing(page, relay):
    morning = {"from": "2026-03-08T00:00", "to": "2026-03-08T06:00"}
    said = words(page("service", relay, version="15", span="custom", **morning))
    assert "Version 15 answered nothing in this span" in html.unescape(said)
    assert f"n = {12 * 30 * 6:,} requests, all versions, to 08 Mar 06:00 UTC" in said


@pytest.mark.slow
def test_what_is_not_kept_apart_says_so(page, relay):
    shown = page("overview", relay, version="14")
    assert "all versions" not in card(shown, "P95 latency").delta
    assert card(shown, "Conversion").value == "–"
    assert "**Routes** of all versions" in words(page("service", relay, version="14"))


@pytest.mark.slow
def test_a_service_with_one_route_has_a_table_of_routes(page, small):
    table = next(d.value for d in page("service", small).dataframe if "route" in d.value)
    assert table[["route", "requests"]].to_numpy().tolist() == [["POST /score", 12 * 12 * 30]]


@pytest.mark.slow
def test_an_outage_is_no_number_of_now(page, tmp_path):
    path = small_home.build(tmp_path / "home")
    world = build_world(
        load_settings(path, environ={}), clock=FakeClock(END + timedelta(hours=20)), with_channels=False
    )
    for window in windows_between(END, END + timedelta(hours=20), Grain.HOUR, world.zone):
        judge(MONITORS.load("traffic"), world.models["lead-scoring"], window, world)
    world.state.close()
    for span in ("24 h", "30 d"):
        shown = page("overview", path, span=span)
        for label, value in (("P95 latency", "–"), ("Throughput", "0 / s"), ("Error rate", "–")):
            assert (card(shown, label).value, card(shown, label).delta) == (
                value,
                "○ no traffic since Mon 09 Mar 00:00",
            )


def test_a_version_is_alone_only_while_no_other_may_have_scored():
    hours = {END + timedelta(hours=n): frozenset(v) for n, v in enumerate((["14"], ["14", "15"], ["15"]))}
    presence = Presence.of(hours)
    found = {
        (version, first, last): presence.has_alone(
            version, Window(END + timedelta(hours=first), END + timedelta(hours=last), Grain.LIVE)
        )
        for version in ("14", "15")
        for first, last in ((0, 1), (0, 2), (2, 3), (2, 9), (5, 9))
    }
    assert {key for key, is_alone in found.items() if is_alone} == {("14", 0, 1), ("15", 2, 3), ("15", 2, 9)}


def test_requests_without_a_version_are_not_taken_for_all_of_them():
    window = Window(END, END + timedelta(hours=1), Grain.HOUR)
    states = [
        TrafficState(END, "h", "churn", version, "POST /score", "2xx", requests, 0, {latency_bin(20.0): requests})
        for version, requests in (("", 5), ("14", 95))
    ]
    found = traffic_metrics(states, model="churn", window=window, latency_target=timedelta(milliseconds=200))
    counts = {m.subject.model_version: m.value for m in found if m.name == "serving.requests"}
    assert counts == {"": 100.0, "14": 95.0}
    assert len({(m.name, m.subject) for m in found}) == len(found)
