"""The page of statistics is what the declarations say."""

from __future__ import annotations

from pathlib import Path

from tiltmeter.statistics.reference_page import reference_page

_PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"


def test_reference_page_is_current():
    # Write it again with: python -c "from tiltmeter.statistics.reference_page import reference_page as p; print(p())"
    assert _PAGE.read_text(encoding="utf-8") == reference_page()
