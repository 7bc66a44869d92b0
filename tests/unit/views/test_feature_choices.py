"""Another feature opens with what is worth seeing of it, not with what was looked at of the last one."""

import pytest

import small_home
from page_reading import words

pytestmark = pytest.mark.slow  # builds homes

RULES = """
rules:
  - {id: feature_psi, metric: drift.psi, by: [feature], every: day, levels: {warning: {above: 0.25}}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A feature with an open alert, `source`, and one without, `company_size`."""
    return small_home.build(tmp_path_factory.mktemp("choices") / "home", rules=RULES)


def day_of(shown):
    return shown.query_params["day"]


def test_the_second_feature_opens_with_its_own_day(page, home):
    own = {name: day_of(page("feature", home, f=name)) for name in ("source", "company_size")}
    assert own["source"] == "newest 24 hours"
    assert own["company_size"] != own["source"]
    for first, second in (("company_size", "source"), ("source", "company_size")):
        shown = page("feature", home, f=first)
        assert day_of(shown) == own[first]
        shown.selectbox(key="choose-f").select(second).run()
        assert not shown.exception
        assert day_of(shown) == own[second]
        assert "not here" not in words(shown)


def test_a_day_that_was_chosen_is_kept_for_its_feature_alone(page, home):
    own = day_of(page("feature", home, f="company_size"))
    shown = page("feature", home, f="source", day="2026-03-05")
    shown.selectbox(key="choose-f").select("company_size").run()
    assert day_of(shown) == own
    shown.selectbox(key="choose-f").select("source").run()
    assert day_of(shown) == "2026-03-05"
    (days,) = [box for box in shown.selectbox if box.label == "Shown against the baseline"]
    days.select("whole span").run()
    shown.selectbox(key="choose-f").select("company_size").run()
    shown.selectbox(key="choose-f").select("source").run()
    assert day_of(shown) == "whole span"


def test_rows_with_a_level_of_one_feature_are_not_asked_of_another(page, home):
    shown = page("feature", home, f="source", value="partner-x")
    assert shown.query_params["value"] == "partner-x"
    shown.selectbox(key="choose-f").select("company_size").run()
    assert "not here" not in words(shown)
    assert "value" not in shown.query_params
    shown.selectbox(key="choose-f").select("source").run()
    assert shown.query_params["value"] == "partner-x"


def test_what_nobody_chose_is_found_anew_at_the_next_visit(page, home):
    shown = page("feature", home, f="source")
    assert "kept-day-source" not in shown.session_state
    (days,) = [box for box in shown.selectbox if box.label == "Shown against the baseline"]
    days.select("whole span").run()
    assert shown.session_state["kept-day-source"] == "whole span"
    assert "kept-day-company_size" not in shown.session_state
