"""What a rules file says, and what is said about a wrong one."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files

import pytest

from tiltmeter.config.rules import check_rules, load_rules, parse_rules
from tiltmeter.config.yaml_source import COMPILED, parse_yaml, read_yaml
from tiltmeter.domain.errors import ConfigError
from tiltmeter.domain.rule import Absence, Hold
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain


def problems(text: str, **named) -> list[str]:
    return [str(problem) for problem in check_rules(parse_yaml(text, name="f.yaml"), **named)[1]]


def one_rule(text: str) -> str:
    return f"rules:\n  - {text}\n"


def psi(rest: str) -> str:
    return one_rule(f"{{id: a, metric: drift.psi, {rest}}}")


def test_the_packaged_rules_are_those_of_the_specification():
    rules = {rule.id: rule for rule in load_rules(None).rules}
    psi = rules["feature_psi"]
    assert psi.levels[Severity.WARNING].above == 0.25
    assert psi.levels[Severity.CRITICAL].above == 0.5
    assert (psi.min_rows, psi.q_below, psi.every) == (200, 0.01, Grain.DAY)
    assert rules["latency_p95"].levels[Severity.WARNING].above == 500
    assert rules["latency_p95"].hold == Hold(windows=None, time=timedelta(minutes=1))
    assert rules["error_rate"].levels[Severity.CRITICAL].above == 0.01
    assert rules["freshness"].levels[Severity.WARNING].above == 6 * 3600
    assert rules["freshness"].no_data is Absence.ALERT
    assert rules["latency_p95"].up_to == timedelta(hours=1)


def test_every_packaged_rule_has_its_line():
    assert all(rule.at.startswith("default_rules.yaml:") for rule in load_rules(None).rules)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (psi("levels: {info: {above: 1}}").replace(".psi", ".psy"),
         'f.yaml:2: there is no metric "drift.psy"; did you mean "drift.psi"?'),
        (psi("level: {info: {above: 1}}"),
         'f.yaml:2: unknown key "rules[0].level"; did you mean "levels"?'),
        (psi("levels: {warning: {above: 0.5}, critical: {above: 0.5}}"),
         "f.yaml:2: rules[0].levels.critical.above is 0.5, not above warning 0.5"),
        (psi("levels: {warning: {below: 1}, critical: {below: 2}}"),
         "f.yaml:2: rules[0].levels.critical.below is 2, not below warning 1"),
        (psi("levels: {info: {above: 1, clear_below: 1}}"), "clear_below is 1, not below 1"),
        (psi("levels: {info: {above: 1, below: 2}}"),
         "needs exactly one of above and below"),
        (psi("levels: {info: {above: yes}}"), 'is "yes"'),
        (psi("levels: {info: {above: .nan}}"), 'is ".nan"'),
        (psi("q_below: 1.5, levels: {info: {above: 1}}"),
         "a probability lies in (0, 1]"),
        (psi("every: fortnight, levels: {info: {above: 1}}"), 'every is "fortnight"'),
        (psi("for: 0, levels: {info: {above: 1}}"), "write a whole number from 1 on"),
        (psi("mute: [nights], levels: {info: {above: 1}}"),
         'there is no mute timing "nights"'),
        (psi("levels: {info: {above: 1}}").replace("id: a, ", ""), 'rules[0] has no "id"'),
        ("routes: [{severity: warning, to: [a], escalation: critical}]", "exactly one of them"),
        ("routes: [{severity: warning, escalation: nobody}]", 'there is no escalation "nobody"'),
        ("routes: [{severity: info, to: [a]}, {severity: info, to: [b]}]", "would never be used"),
        ("escalation: {critical: {steps: [{after: 5m, to: [a]}]}}", "must be after 0m"),
        ("escalation: {critical: {steps: [{after: 0m, to: [a]}, {after: 0m, to: [b]}]}}", "one after the other"),
        (psi("by: [featur], levels: {info: {above: 1}}"), 'no alert has the label "featur"; did you mean "feature"?'),
        (psi("annotations: {a: '{featre} moved'}, levels: {info: {above: 1}}"),
         'there is no placeholder "{featre}"; did you mean "{feature}"?'),
        (psi("runbook: wiki/drift, levels: {info: {above: 1}}"), 'the runbook "wiki/drift" is no address; write https://'),
        ("rules: 5", "rules must be a list, not 5"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(text, said):
    found = problems(text)
    assert any(said in problem for problem in found), found
    assert all(problem.startswith("f.yaml:") for problem in found)


def test_every_mistake_is_found_at_once():
    text = (
        "rules:\n  - {id: a, metric: x, levels: {info: {above: 1}}}\n  - {id: b, metric: y, levels: {info: {above: 1}}}"
    )
    assert [problem[:9] for problem in problems(text)] == ["f.yaml:2:", "f.yaml:3:"]


def test_an_unknown_channel_and_model_are_named():
    text = (
        one_rule("{id: a, metric: drift.psi, models: [lead-scorin], levels: {info: {above: 1}}}")
        + "routes: [{severity: info, to: [slak]}]"
    )
    found = problems(text, channels={"slack": {"kind": "slack"}}, models=["lead-scoring"])
    assert 'there is no model "lead-scorin"; did you mean "lead-scoring"?' in found[0]
    assert 'there is no channel "slak"; did you mean "slack"?' in found[1]


def test_sections_left_out_come_from_the_packaged_file():
    found = parse_rules(
        parse_yaml(one_rule("{id: feature_psi, metric: drift.psi, levels: {info: {above: 1}}}"), name="f")
    )
    assert len(found.rules) == 1
    assert found.inhibitions == ()  # its source, job_late, is no rule of this file
    assert {route.severity for route in found.routes} == {Severity.INFO, Severity.WARNING, Severity.CRITICAL}


def test_default_routes_go_to_the_channels_that_exist():
    channels = {"chat": {"kind": "slack"}, "hook": {"kind": "webhook"}, "pager": {"kind": "pagerduty"}}
    found = parse_rules(parse_yaml("{}", name="f"), channels=channels)
    by_severity = {route.severity: route for route in found.routes}
    assert by_severity[Severity.WARNING].to == ("dashboard", "chat", "hook")
    assert found.escalations["critical"].steps[0].to == ("dashboard", "chat", "hook", "pager")


def test_without_channels_only_the_dashboard_hears():
    found = parse_rules(parse_yaml("{}", name="f"), channels={})
    assert {name for route in found.routes for name in route.to} == {"dashboard"}


def test_units_of_limits_follow_the_metric():
    text = (
        "rules:\n"
        "  - {id: a, metric: serving.latency_ms.p95, levels: {info: {above: 1.5s}}}\n"
        "  - {id: b, metric: serving.error_rate, levels: {info: {above: 1%}}}\n"
        "  - {id: c, metric: batch.overdue, levels: {info: {above: 1h30m}}}\n"
    )
    limits = [rule.levels[Severity.INFO].above for rule in parse_rules(parse_yaml(text, name="f")).rules]
    assert limits == [1500.0, 0.01, 5400.0]


def test_the_revision_depends_on_what_is_said_and_not_on_where():
    text = one_rule("{id: a, metric: drift.psi, levels: {info: {above: 1}}}")
    same = parse_rules(parse_yaml("\n\n# a remark\n" + text, name="other.yaml"))
    assert parse_rules(parse_yaml(text, name="f")).revision == same.revision
    assert parse_rules(parse_yaml(text.replace("1}", "2}"), name="f")).revision != same.revision


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", 'f:2: the key "a" stands twice; first in line 1'),
        ("a: !!python/object/apply:os.system [ls]\n", "f:1: the tag"),
        ("[" * 10_000, "f:1: nested deeper"),
        ("a: &a [*a]\n", "expand to too much"),
        ("a: [1\n", "f:2: this is no YAML"),
        ("- 1\n", "f:1: the file must hold keys"),
        ("a: 1\n---\nb: 2\n", "f:2: this is no YAML"),
        ("? [1]\n: 2\n", "f:1: a key must be a word"),
    ],
)
def test_harmful_or_broken_yaml_is_refused(text, said):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, name="f")
    assert said in str(caught.value)


def test_a_bomb_of_aliases_is_refused():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
    with pytest.raises(ConfigError, match="expand to too much"):
        parse_yaml(bomb, name="f")


def test_scalars_stay_what_a_person_wrote():
    text = "{a: no, b: 08:00, c: 2026-01-01, d: 0o17, e: '1', f: 1e3, g: ~, h: true, no: 1}"
    assert parse_yaml(text, name="f").data == {
        "a": "no", "b": "08:00", "c": "2026-01-01", "d": "0o17", "e": "1", "f": 1000.0, "g": None, "h": True, "no": 1,
    }  # fmt: skip


def test_both_parsers_read_the_packaged_rules_alike():
    text = files("tiltmeter.config").joinpath("default_rules.yaml").read_text(encoding="utf-8")
    assert parse_yaml(text, name="f", parser=COMPILED) == parse_yaml(text, name="f")


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xfc\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
