"""The dashboard in a real browser: every page draws itself, asks nobody else, and runs nothing that a name contains."""

import pytest

import small_home
from browsing import PATIENCE_MS, Visit, served_dashboard
from tiltmeter.views.dashboard.screens import PAGES

pytestmark = pytest.mark.slow

CHARTS = {"overview": 3, "feature": 5, "service": 6, "incidents": 1, "compare": 1}
"""Charts a page draws on the small home; pages that are not named draw at least none that fails."""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboard")
    with served_dashboard(small_home.build(folder / "home"), folder) as found:
        yield found


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", list(PAGES))
def test_every_page_draws_itself_and_asks_nobody_else(browser, address, name, width):
    visit = Visit(browser, width=width, ours=address)
    visit.goto(f"{address}/{PAGES[name].path}")
    charts = visit.page.locator("[data-testid=stVegaLiteChart] svg.marks, [data-testid=stVegaLiteChart] canvas")
    if CHARTS.get(name):
        charts.nth(CHARTS[name] - 1).wait_for(timeout=PATIENCE_MS)
    assert charts.count() >= CHARTS.get(name, 0)
    assert visit.damage() == []
    visit.close()


def test_a_click_on_the_heatmap_opens_the_feature(browser, address):
    visit = Visit(browser, ours=address)
    visit.goto(address)
    cell = visit.page.locator("[data-testid=stVegaLiteChart] svg .mark-rect path").first
    cell.wait_for(timeout=PATIENCE_MS)
    cell.click()
    visit.page.wait_for_url("**/feature?*", timeout=PATIENCE_MS)
    visit.page.get_by_text("How did this one change").wait_for(timeout=PATIENCE_MS)
    visit.close()


def test_the_name_of_the_first_page_leads_to_it_with_its_filters(browser, address):
    visit = Visit(browser, ours=address)
    visit.goto(f"{address}/overview?span=7%20d")
    visit.page.get_by_text("Is the model healthy now?").wait_for(timeout=PATIENCE_MS)
    visit.page.wait_for_url(lambda url: "/overview" not in url and "span=7" in url, timeout=PATIENCE_MS)
    assert visit.page.get_by_text("Page not found").count() == 0
    visit.close()
