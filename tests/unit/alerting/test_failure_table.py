"""The table of fifty faults in docs/alerting.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
TABLE = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)
DOES_NOT_APPLY = {43}


def _test_functions() -> set[str]:
    files = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("src/tiltmeter/testing/*_contract.py")]
    return {
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_each_of_the_fifty_faults_names_tests_that_exist():
    page = (ROOT / "docs/alerting.md").read_text(encoding="utf-8")
    rows = {int(number): re.findall(r"`(test_\w+)`", names) for number, names in TABLE.findall(page)}
    assert sorted(rows) == list(range(1, 51))
    assert {number for number, names in rows.items() if not names} == DOES_NOT_APPLY
    known = _test_functions()
    assert [name for names in rows.values() for name in names if name not in known] == []
