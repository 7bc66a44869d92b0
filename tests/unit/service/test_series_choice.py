"""With many features a scrape holds what boards and rules use, and of the features those that moved most."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tiltmeter.config.rules import load_rules
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.model import Model
from tiltmeter.domain.rule import RuleSet
from tiltmeter.domain.window import Grain, Window
from tiltmeter.monitors.catalogue import CATALOGUE
from tiltmeter.service.exposition import current_metrics, gauges
from tiltmeter.service.series_choice import MAX_SERIES, MOST_FEATURES, ON_BOARDS, TESTS, chosen
from tiltmeter.views.grafana.boards import all_boards
from tiltmeter.views.grafana.panels import board_json

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LENGTHS = {Grain.WEEK: timedelta(days=7), Grain.DAY: timedelta(days=1), Grain.HOUR: timedelta(hours=1)}
RULES = load_rules(None)
BOARDS = [json.dumps(board_json(board)) for board in all_boards(RULES)]


def judged(features, versions=("",), models=("m",)):
    """Everything that the monitors keep of these models, the oldest grain first, as the store gives it back.

    The first feature moved least and the last one most.
    """
    found = []
    for grain, length in LENGTHS.items():
        window = Window(NOW - length, NOW, grain)
        for declared in CATALOGUE.values():
            is_own = declared.monitor in {"drift", "features", "traffic", "outcomes"}
            if not declared.prometheus or not is_own or (declared.monitor == "outcomes" and grain is not Grain.DAY):
                continue
            at = Window(NOW - timedelta(days=37), NOW - timedelta(days=30), grain)
            names = ["score", *(f"f{place}" for place in range(features))] if declared.per_feature else [""]
            found += [
                Metric(
                    declared.name, Subject(model, version, name), at if declared.monitor == "outcomes" else window,
                    place / 1000, p_value=0.5 if declared.name in TESTS else None,
                )
                for model in models for version in versions for place, name in enumerate(names)
            ]  # fmt: skip
    live = Window(NOW - timedelta(minutes=5), NOW, Grain.LIVE)
    names = [d.name for d in CATALOGUE.values() if d.prometheus and not d.per_feature and d.monitor != "outcomes"]
    return [Metric(name, Subject(model), live, 1.0) for name in names for model in models] + found


def scraped(metrics, rules=RULES):
    models = {"m": Model("m")}
    return gauges(chosen(current_metrics(metrics, models), rules), models)


def selectors():
    """Metric, window and further matchers of every query that asks for what was judged about a model."""
    found = set()
    for board in BOARDS:
        for panel in json.loads(board)["panels"]:
            for target in panel.get("targets", ()):
                found |= set(re.findall(r'(tiltmeter_\w+)\{([^{}]*window="[^{}]*)\}', target["expr"]))
    return found


def has_series(lines, name, matchers, version):
    wanted = [f'model_version="{version}"', *re.findall(r'\w+="[^"]*"', matchers)]
    wanted = [one for one in wanted if not one.startswith(("job_name", "instance"))]
    return any(line.startswith(f"{name}{{") and all(one in line for one in wanted) for line in lines)


@pytest.mark.parametrize("features", [200, 1000])
@pytest.mark.parametrize("versions", [("",), ("", "13", "14", "15")])
def test_every_panel_about_a_model_keeps_its_series(features, versions):
    lines = scraped(judged(features, versions))
    asked = selectors()
    assert len(asked) >= 20
    for name, matchers in asked:
        for version in versions if 'window="live"' not in matchers else ("",):
            assert has_series(lines, name, matchers, version), (name, matchers, version)
    assert sum(line.startswith("tiltmeter_") for line in lines) <= MAX_SERIES + 100  # stamps beside them


def test_what_boards_draw_of_features_is_named_here():
    by_export = {d.exported: d for d in CATALOGUE.values() if d.prometheus}
    drawn = {
        (by_export[name].name, Grain(re.search(r'window="(\w+)"', matchers)[1]))
        for name, matchers in selectors()
        if name in by_export and by_export[name].per_feature and 'feature="score"' not in matchers
    }
    assert drawn == ON_BOARDS


def series_of(lines, name, window):
    return {
        re.search(r'feature="([^"]*)"', line)[1]
        for line in lines
        if line.startswith(f"{name}{{") and f'window="{window}"' in line
    }


def test_above_two_hundred_features_those_that_moved_most_are_exported_and_the_rest_is_counted():
    lines = scraped(judged(1000))
    kept = series_of(lines, "tiltmeter_feature_psi", "day")
    assert kept == {"score", *(f"f{place}" for place in range(1000 - MOST_FEATURES, 1000))}
    assert 'tiltmeter_model_features_left_out{model="m"} 800.0' in lines
    (left_out,) = [line for line in lines if line.startswith("tiltmeter_series_left_out")]
    assert float(left_out.split()[1]) > 0


def test_weeks_and_rare_statistics_leave_before_any_feature_does():
    few, many = scraped(judged(20)), scraped(judged(200))
    assert series_of(few, "tiltmeter_feature_psi", "week")
    assert 'tiltmeter_model_features_left_out{model="m"} 0.0' in few
    assert "tiltmeter_series_left_out 0.0" in few
    for name, window in (("tiltmeter_feature_psi", "week"), ("tiltmeter_feature_q25", "day")):
        assert series_of(few, name, window)
        assert not series_of(many, name, window) - {"score"}
    for name in ("tiltmeter_feature_psi", "tiltmeter_feature_kl_nats", "tiltmeter_feature_missing_ratio"):
        assert len(series_of(many, name, "hour")) == len(series_of(many, name, "day")) == 201
    assert len(series_of(many, "tiltmeter_feature_chi2_pvalue", "day")) == 201
    assert 'tiltmeter_model_features_left_out{model="m"} 0.0' in many


def test_a_number_that_a_rule_names_is_kept_like_that_of_a_board():
    rule = RULES.rules[0]
    assert (rule.metric, rule.every) == ("drift.psi", Grain.DAY)
    versions = tuple(str(place) for place in range(5))
    few = chosen(judged(200, versions), RuleSet(()))
    assert not [s for s in few.kept if (s.metric.name, s.metric.window.grain) == ("drift.kl", Grain.DAY)
                and s.metric.subject.feature != "score"]  # fmt: skip
    kept = chosen(judged(200, versions), RULES).kept
    assert {s.metric.subject.feature for s in kept if s.metric.name == "drift.kl"} >= {"f0", "f199"}


def test_models_share_the_room_evenly():
    choice = chosen(judged(200, ("", "1", "2"), models=("a", "b", "c", "d")), RULES)
    by_model = {
        model: {s.metric.subject.feature for s in choice.kept if s.metric.subject.model == model} for model in "abcd"
    }
    assert len({len(features) for features in by_model.values()}) == 1
    assert all("score" in features and "f199" in features for features in by_model.values())
    assert 0 < choice.features["a"] < 200
    assert len(choice.kept) <= MAX_SERIES


def test_a_hundred_thousand_features_stay_within_the_limit_and_are_counted():
    window = Window(NOW - timedelta(days=1), NOW, Grain.DAY)
    crowd = [Metric("drift.psi", Subject("m", "", f"f{place}"), window, 0.3) for place in range(100_000)]
    lines = scraped(crowd)
    assert sum(line.startswith("tiltmeter_feature_psi{") for line in lines) == MOST_FEATURES
    assert f"tiltmeter_series_left_out {float(100_000 - MOST_FEATURES)}" in lines
    assert f'tiltmeter_model_features_left_out{{model="m"}} {float(100_000 - MOST_FEATURES)}' in lines
