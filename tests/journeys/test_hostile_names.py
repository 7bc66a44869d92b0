"""Hostile names through a real browser, one of each family: every page and report shows letters and does nothing."""

from urllib.parse import urlencode

import polars as pl
import pytest

import hostile_home
from browsing import PATIENCE_MS, Visit, opened_browser, served_dashboard
from hostile_words import SHORT
from tables import FakeClock
from tiltmeter import compare
from tiltmeter.api.period import period_of
from tiltmeter.config.load import load_settings
from tiltmeter.domain.window import Grain, Window
from tiltmeter.views.dashboard.screens import PAGES
from tiltmeter.wiring import build_world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    return hostile_home.build(tmp_path_factory.mktemp("hostile") / "home", SHORT)


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(configuration, tmp_path_factory):
    with served_dashboard(configuration, tmp_path_factory.mktemp("logs")) as found:
        yield found


@pytest.mark.parametrize("width", [1440, 390])
def test_no_page_reads_a_name_as_anything_but_letters(browser, address, width):
    visit = Visit(browser, width=width, ours=address)
    for name, page in PAGES.items():
        query = {"id": hostile_home.incident_id(5)} if name == "incident" else {"f": SHORT[4]}
        visit.goto(f"{address}/{page.path}?{urlencode(query)}")
        assert visit.damage() == [], name
    visit.close()


def test_rows_on_a_click_are_letters_too(browser, address):
    visit = Visit(browser, ours=address)
    visit.goto(f"{address}/feature?{urlencode({'f': SHORT[0]})}")
    visit.page.get_by_role("button", name="Show 20 rows of this window").click()
    visit.page.get_by_text("20 rows, as stored").wait_for(timeout=PATIENCE_MS)
    assert visit.damage() == []
    visit.close()


def test_reports_show_letters_without_script_and_links(browser, configuration, tmp_path):
    reports = written_reports(configuration, SHORT, tmp_path)
    visit = Visit(browser, width=390, ours="file:")
    for report in reports:
        assert "evil.example" in report.read_text(encoding="utf-8"), "the names do not even occur"
        visit.page.goto(report.as_uri())
        assert visit.damage() == [], report.name
    visit.close()


def written_reports(configuration, names, folder):
    """Both kinds of report over hostile names: of a comparison and of a day."""
    before = pl.DataFrame({name: [name, names[0]] * 150 for name in names})
    after = pl.DataFrame({name: [names[-1 - place], name] * 150 for place, name in enumerate(names)})
    comparison = folder / "comparison.html"
    compare(before, after).to_html(str(comparison))
    clock = FakeClock(hostile_home.END)
    world = build_world(load_settings(configuration, environ={}), clock=clock, with_channels=False)
    day = Window(hostile_home.END.replace(day=8), hostile_home.END, Grain.DAY)
    period = folder / "day.html"
    period.write_text(period_of(world, next(iter(world.models.values())), day).to_html(), encoding="utf-8")
    world.state.close()
    return comparison, period
