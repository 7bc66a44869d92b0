"""Windows in which no rule speaks are not described, and nothing of a backtest changes by it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from lead_frames import leads
from tiltmeter import Baseline
from tiltmeter.api.backtest import replays
from tiltmeter.api.screening import Screens
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.rule import Absence, Limit, Rule
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window

START = datetime(2026, 9, 1, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Berlin")
EVERY_WINDOW = Rule("mean", "features.mean", {Severity.INFO: Limit(above=1e9)}, by=("feature",))
"""A rule on a metric that columns do not hold: with it every window is described in full."""


def rule(metric, *, gate=None, feature=True, **limits):
    levels = {Severity.WARNING: Limit(**limits)}
    return Rule(metric, metric, levels, by=("feature",) if feature else (), p_below=gate, min_rows=50)


LOUD = (
    replace(rule("drift.psi", above=0.02, clear_below=0.01), act_on="lower_bound", q_below=0.2),
    rule("drift.kl", above=0.01),
    rule("drift.js_distance", above=0.1),
    rule("drift.ks", gate=0.01, above=0.05),
    rule("drift.chi2", gate=0.05, above=0.0),
    rule("drift.test_q_value", below=0.01),
    rule("features.missing_change", gate=0.01, above=0.02),
    rule("features.out_of_range_share", above=0.0),
    rule("features.new_level_share", above=0.001),
    rule("features.new_level_excess", gate=0.01, above=0.001),
    rule("drift.score_psi", feature=False, above=0.05),
    rule("drift.weighted_psi", feature=False, above=0.05),
    rule("features.schema_changes", feature=False, above=0),
    rule("features.new_columns", feature=False, above=0),
    rule("features.rows", feature=False, below=100),
    rule("outcomes.conversion_rate", feature=False, below=0.08),
)


def odd_leads(hour):
    """Leads of one hour: many quiet ones, and each kind of change now and then."""
    rows = (600, 300, 150, 20)[hour % 4] if hour % 3 else 600
    moved = hour % 16 in (4, 5, 6)
    table = leads(rows, seed=hour, age=55.0 if moved else 40.0, missing=0.3 if hour % 16 == 9 else 0.0)
    table = table.drop_columns(["seen_at"])
    if hour % 16 == 10:
        table = table.drop_columns(["age"])
    if hour % 16 == 11:
        table = table.append_column("came", pa.array(np.arange(rows)))
    if hour % 16 == 12:
        table = table.set_column(table.schema.get_field_index("source"), "source", pa.array(["partner"] * rows))
    return table


def history(baseline):
    for hour in range(64):
        window = Window(START + timedelta(hours=hour), START + timedelta(hours=hour + 1), Grain.HOUR)
        yield window, None if hour % 16 == 14 else baseline.profile(odd_leads(hour))


@pytest.mark.parametrize("roles", [{}, {"score": "score", "label": "bought"}])
@pytest.mark.parametrize("model", ["", "leads"])
def test_a_backtest_is_the_same_with_and_without_a_look_at_columns_first(roles, model):
    baseline = Baseline.fit(leads(2_000, seed=1_000).drop_columns(["seen_at"]), **roles)
    default = load_rules(None)
    loud = replace(default, rules=LOUD)
    whole = replace(default, rules=(EVERY_WINDOW,))
    arguments = {"zone": ZONE, "weights": {"age": 3.0}, "model": model}
    described = replays(baseline.reference, history(baseline), [default, loud, whole], **arguments)
    for rules, expected in ((default, described[0]), (loud, described[1])):
        found = replays(baseline.reference, history(baseline), [rules], **arguments)[0]
        assert found.windows == expected.windows
        assert found.episodes == expected.episodes
        assert found.messages == expected.messages
        assert found.to_dict() == expected.to_dict()
    assert len(described[1].episodes) > 20


def test_quiet_windows_are_not_described():
    baseline = Baseline.fit(leads(2_000, seed=1_000).drop_columns(["seen_at"]), score="score")
    quiet = [
        (Window(START, START + timedelta(hours=1), Grain.HOUR), baseline.profile(odd_leads(hour))) for hour in (0, 4)
    ]
    screens = Screens(baseline.reference, [rule("drift.psi", above=0.25)], None)
    first, second = (seen for screen in screens.over(quiet) for seen in (screen.seen(0, set()), screen.seen(1, set())))
    assert first.comparison is None
    assert second.features == {"age", "score"}
    assert second.comparison.features["age"].cells
    assert second.comparison.features["source"].cells == ()


@pytest.mark.parametrize(
    "asked", [EVERY_WINDOW, replace(LOUD[1], no_data=Absence.ALERT), replace(LOUD[1], on_error=Absence.ALERT)]
)
def test_rules_that_columns_cannot_answer_describe_every_window(asked):
    assert not Screens(None, [*LOUD, asked], None).is_complete
    assert Screens(None, LOUD, None).is_complete
