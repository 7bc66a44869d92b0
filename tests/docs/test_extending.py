"""The example of docs/extending.md, put where the page says: the contract tests then test it too."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
_BY_HAND = {"test_statistic_has_values_from_outside", "test_statistic_and_its_parts_are_documented"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the product with the page's file and line."""
    source = tmp_path_factory.mktemp("extended") / "src"
    shutil.copytree(_ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__", "static"))
    place = re.search(r"`src/(tiltmeter/statistics/drift/\w+\.py)`", _PAGE)
    code = re.search(r"```python\n(.*?)```", _PAGE, re.DOTALL)
    (source / place.group(1)).write_text(code.group(1), encoding="utf-8")
    above, line = re.search(r"```diff\n (.*?)\n\+(.*?)\n```", _PAGE).groups()
    registry = source / "tiltmeter/statistics/drift/__init__.py"
    text = registry.read_text(encoding="utf-8")
    assert above in text
    registry.write_text(text.replace(above, f"{above}\n{line}"), encoding="utf-8")
    return source


def _run(source, *command):
    environment = {**os.environ, "PYTHONPATH": str(source), "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=200
    )


def test_one_file_and_one_line_get_all_contract_tests(extended):
    ran = _run(
        extended, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-rA",
        "tests/contracts/test_statistics.py", "-k", "hellinger",
    )  # fmt: skip
    passed = set(re.findall(r"PASSED \S+::(\w+)", ran.stdout))
    failed = set(re.findall(r"FAILED \S+::(\w+)", ran.stdout))
    assert failed == _BY_HAND, ran.stdout[-3_000:]
    assert len(passed) >= 10


def test_the_new_statistic_is_computed_listed_and_documented(extended):
    code = (
        "import tiltmeter, pyarrow as pa\n"
        "from tiltmeter.statistics.reference_page import reference_page\n"
        "before, after = pa.table({'plan': ['a', 'b'] * 200}), pa.table({'plan': ['a'] * 300 + ['b'] * 100})\n"
        "found = tiltmeter.compare(before, after)\n"
        "print(found['plan'].extra['hellinger'], found.to_dict()['features']['plan']['hellinger'])\n"
        "assert '(`hellinger`)' in reference_page()\n"
    )
    ran = _run(extended, "-c", code)
    assert ran.returncode == 0, ran.stderr
    # ½ Σ (√c − √r)² = 1 − Σ √(c·r), with shares ½, ½ and ¾, ¼.
    by_hand = math.sqrt(1.0 - math.sqrt(0.375) - math.sqrt(0.125))
    assert [float(word) for word in ran.stdout.split()] == [pytest.approx(by_hand, rel=1e-12)] * 2
