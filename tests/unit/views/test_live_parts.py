"""A screen on the wall, which nobody touches: the page goes on when something was judged or an incident changed."""

from datetime import UTC, datetime, timedelta

import pytest

import small_home
from browsing import Visit, opened_browser, served_dashboard
from tables import FakeClock
from tiltmeter.config.load import load_settings
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.registered import MONITORS
from tiltmeter.pipeline import judge
from tiltmeter.service.people import acknowledge
from tiltmeter.wiring import build_world

PATIENCE_MS = 120_000


@pytest.mark.slow
def test_a_page_that_nobody_touches_goes_on(tmp_path):
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    path = small_home.build(tmp_path / "home", end=midnight)
    world = build_world(load_settings(path, environ={}), clock=FakeClock(midnight), with_channels=False)
    with served_dashboard(path, tmp_path) as address, opened_browser() as browser:
        wall = Visit(browser, ours=address)
        try:
            wall.goto(address)
            seen = wall.page.locator("[data-testid=stMain]")
            seen.get_by_text(f"data as of {midnight:%a %d %b %Y} 00:00").wait_for(timeout=PATIENCE_MS)
            seen.get_by_text("nobody has it yet").wait_for(timeout=PATIENCE_MS)
            world.clock.at = midnight + timedelta(hours=1)
            hour = Window(midnight, midnight + timedelta(hours=1), Grain.HOUR)
            judge(MONITORS.load("traffic"), world.models["lead-scoring"], hour, world)
            seen.get_by_text(f"data as of {midnight:%a %d %b %Y} 01:00").wait_for(timeout=PATIENCE_MS)
            seen.get_by_text(f"no traffic since {midnight:%a %d %b} 00:00").first.wait_for(timeout=PATIENCE_MS)
            acknowledge(world, world.state.incidents()[0].id, by="Ada")
            seen.get_by_text("Ada takes care of it").wait_for(timeout=PATIENCE_MS)
        finally:
            wall.close()
            world.state.close()
