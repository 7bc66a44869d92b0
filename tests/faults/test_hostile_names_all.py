"""All two hundred hostile names, each on the page of its feature and of its incident, and all of them on every page."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

import hostile_home
from browsing import Visit, opened_browser, served_dashboard
from hostile_words import NAMES
from tiltmeter.views.dashboard.screens import PAGES

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3_000)]


def test_two_hundred_names_run_no_script_make_no_link_and_break_no_layout(tmp_path):
    assert len(NAMES) == 200
    configuration = hostile_home.build(tmp_path / "home", NAMES)
    damage = {}
    with opened_browser() as browser, served_dashboard(configuration, tmp_path) as address:
        for width in (1440, 390):
            visit = Visit(browser, width=width, ours=address)
            for name, page in PAGES.items():
                visit.goto(f"{address}/{page.path}")
                damage[name, width] = visit.damage()
            visit.close()
        visit = Visit(browser, width=390, ours=address)
        for place, name in enumerate(NAMES):
            feature = f"{name}#{place}" if place % 2 else name
            visit.goto(f"{address}/feature?{urlencode({'f': feature})}")
            damage["feature", place] = visit.damage()
            visit.goto(f"{address}/incident?id={hostile_home.incident_id(place)}")
            damage["incident", place] = visit.damage()
        visit.close()
    assert {where: found for where, found in damage.items() if found} == {}
