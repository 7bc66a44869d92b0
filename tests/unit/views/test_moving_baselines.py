"""Baselines that move are described by the window that they judged; a comparison of two windows needs none."""

import html
import re
from datetime import timedelta

import pytest

import small_home
from page_reading import words

pytestmark = pytest.mark.slow  # builds homes

DAILY = 240
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def rolling(tmp_path_factory):
    """Cells of a first week, then 38 days that are judged by the 28 days before each."""
    return small_home.build(
        tmp_path_factory.mktemp("rolling") / "home", days=38, hourly=DAILY // 24, baselines="{last: {rolling: 28d}}"
    )


def said(shown):
    return html.unescape(words(shown)).replace("\u2060", "")


def alternatives(shown, begin):
    found = []

    def walk(block):
        for child in getattr(block, "children", {}).values():
            if child.type == "vega_lite_chart" and child.proto.alt.startswith(begin):
                found.append(child.proto.alt)
            walk(child)

    walk(shown.main)
    return found


def test_the_heatmap_names_the_baseline_of_its_newest_day(page, rolling):
    shown = page("overview", rolling, span="30 d")
    (told,) = [caption.value for caption in shown.caption if "moved most" in caption.value]
    assert "newest day n = 240 " in told.replace("\u2060", "")
    assert f"n = {28 * DAILY:,} · " in told.replace("\u2060", "")


def test_caption_and_description_of_a_feature_name_one_baseline(page, rolling):
    for day, n in (("2026-03-08", 28), ("2026-02-20", 21)):  # of the second, the history holds 21 days before it
        shown = page("feature", rolling, span="30 d", f="source", day=day)
        told = said(shown)
        assert f"n = {n * DAILY:,} · shown: n = 240" in told
        (alt,) = alternatives(shown, "Levels of source")
        assert f"baseline n = {n * DAILY:,}, shown n = 240" in alt
        # The line of days ends with the newest one, whichever day is shown beside it.
        assert re.search(rf"newest day n = 240 · baseline last \([0-9a-f]{{8}}\), n = {28 * DAILY:,} · warning", told)


def test_a_window_without_any_baseline_says_so_and_not_that_it_learns(page, rolling):
    first = (small_home.END - 38 * DAY).date().isoformat()
    shown = page("compare", rolling, a=f"{first}..{first}", b="2026-03-08..2026-03-08")
    told = said(shown)
    assert "Learning a baseline" not in told
    assert "A: n = 240 · B: n = 240" in told


@pytest.mark.parametrize("baseline", ["previous: true", "seasonal: 4w", "champion: true"])
def test_other_moving_baselines_are_those_of_the_day(page, tmp_path, baseline):
    path = small_home.build(tmp_path / "home", days=10, hourly=DAILY // 24, baselines=f"{{last: {{{baseline}}}}}")
    told = said(page("overview", path, span="30 d"))
    assert "no baseline yet" not in told
    assert "), n = 240 · " in told or "champion" in baseline
    assert "Learning a baseline" not in said(page("compare", path))
