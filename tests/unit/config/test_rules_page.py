"""The examples of the rules page are read and run by the product."""

from __future__ import annotations

import re
from pathlib import Path

from tiltmeter.config.rule_tests import run_rule_tests
from tiltmeter.config.rules import _RULE_KEYS as RULE_KEYS
from tiltmeter.config.rules import LEVELS, check_rules
from tiltmeter.config.yaml_source import parse_yaml

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_of_rules_and_routes_are_right():
    assert len(BLOCKS) == 4
    for block in BLOCKS[:3]:
        assert check_rules(parse_yaml(block, name="docs/rules.md"))[1] == []


def test_the_example_of_a_test_holds(tmp_path):
    file = tmp_path / "rules_test.yaml"
    file.write_text(BLOCKS[3], encoding="utf-8")
    assert run_rule_tests(file).failures == []


def test_every_key_of_a_rule_stands_on_the_page():
    assert [key for key in (*RULE_KEYS, *LEVELS) if not re.search(rf"\b{key}\b", PAGE)] == []
