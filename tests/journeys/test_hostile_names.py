"""Hostile names through a real browser, one of each family: every page and report shows letters and does nothing."""

from urllib.parse import urlencode

import pytest

import hostile_home
import hostile_reports
from browsing import PATIENCE_MS, Visit, served_dashboard
from hostile_words import SHORT
from tiltmeter.views.dashboard.screens import PAGES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    return hostile_home.build(tmp_path_factory.mktemp("hostile") / "home", SHORT)


@pytest.fixture(scope="module")
def address(configuration, tmp_path_factory):
    with served_dashboard(configuration, tmp_path_factory.mktemp("logs")) as found:
        yield found


@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_reads_a_name_as_anything_but_letters(browser, address, width):
    visit = Visit(browser, width=width, ours=address)
    segment = hostile_home.segment(SHORT, 1)
    for name, page in PAGES.items():
        query = {"id": hostile_home.incident_id(5)} if name == "incident" else {"f": SHORT[4], "segment": segment}
        visit.goto(f"{address}/{page.path}?{urlencode(query)}")
        assert visit.damage() == [], name
        if name == "outcomes":
            assert visit.page.get_by_text("Newest matured cohort").count(), "the page of outcomes shows none"
    visit.close()


def test_rows_on_a_click_are_letters_too(browser, address):
    visit = Visit(browser, ours=address)
    visit.goto(f"{address}/feature?{urlencode({'f': SHORT[0]})}")
    visit.page.get_by_role("button", name="Show 20 rows of this window").click()
    visit.page.get_by_text("20 rows, as stored").wait_for(timeout=PATIENCE_MS)
    assert visit.damage() == []
    visit.close()


def test_reports_show_letters_without_script_and_links(browser, configuration, tmp_path):
    visit = Visit(browser, width=390, ours="file:")
    for kind, report in hostile_reports.written(configuration, SHORT, tmp_path).items():
        assert "evil.example" in report.read_text(encoding="utf-8"), "the names do not even occur"
        visit.page.goto(report.as_uri())
        assert visit.damage() == [], kind
    visit.close()
