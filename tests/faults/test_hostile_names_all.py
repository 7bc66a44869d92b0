"""All two hundred hostile names: together on every page and in every report, each on pages of its own."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

import hostile_home
import hostile_reports
from browsing import Visit, served_dashboard
from hostile_words import NAMES
from tiltmeter.views.dashboard.screens import PAGES

pytestmark = [pytest.mark.faults, pytest.mark.timeout(7_200)]

WIDTHS = (1440, 390)


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    assert len(NAMES) == 200
    return hostile_home.build(tmp_path_factory.mktemp("hostile") / "home", NAMES)


@pytest.fixture(scope="module")
def address(configuration, tmp_path_factory):
    with served_dashboard(configuration, tmp_path_factory.mktemp("logs")) as found:
        yield found


@pytest.mark.parametrize("width", WIDTHS)
def test_two_hundred_names_at_once_on_every_page(browser, address, width):
    """All leads and each segment: names of segments, versions, routes, jobs, people stand on the pages as well."""
    damage = {}
    visit = Visit(browser, width=width, ours=address)
    for name, page in PAGES.items():
        for place in (None, *range(hostile_home.SEGMENTS)):
            query = {} if place is None else {"segment": hostile_home.segment(NAMES, place)}
            visit.goto(f"{address}/{page.path}?{urlencode(query)}")
            damage[name, place] = visit.damage()
            if name == "outcomes":
                assert visit.page.get_by_text("Newest matured cohort").count(), f"no outcomes of {place}"
    visit.close()
    assert only_damaged(damage) == {}


def test_two_hundred_names_each_on_the_page_of_its_feature_and_of_its_incident(browser, address):
    visit = Visit(browser, width=390, ours=address)
    for place, name in enumerate(NAMES):
        feature = f"{name}#{place}" if place % 2 else name
        visit.goto(f"{address}/feature?{urlencode({'f': feature})}")
        assert visit.damage() == [], ("feature", name)
        visit.goto(f"{address}/incident?id={hostile_home.incident_id(place)}")
        assert visit.damage() == [], ("incident", name)
    visit.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_two_hundred_names_in_every_report(browser, configuration, tmp_path, width):
    damage = {}
    visit = Visit(browser, width=width, ours="file:")
    for kind, report in hostile_reports.written(configuration, NAMES, tmp_path).items():
        visit.page.goto(report.as_uri())
        damage[kind] = visit.damage()
    visit.close()
    assert only_damaged(damage) == {}


def only_damaged(damage):
    return {where: found for where, found in damage.items() if found}
