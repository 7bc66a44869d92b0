"""The reference page of the drift statistics, written from their declarations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tiltmeter.domain.feature import FeatureKind
from tiltmeter.statistics.comparison import registered

if TYPE_CHECKING:
    from tiltmeter.domain.statistic import DriftStatistic

_HEAD = """# Drift statistics

This page is written from the declarations in `src/tiltmeter/statistics/drift/`; `tiltmeter statistics` prints the same.

c and r are the shares of the window and of the reference in the B comparison cells, n and m their rows (distinct
entities where rows carry an entity id; a row without one counts by itself). Bins and levels are frozen with the
baseline. A cell is kept if the baseline has it, if it would hold five rows on the smaller side, and, for levels, if
it is among the 100 largest; everything else, levels never seen before included, is one cell `(other)`, and missing
values are a cell of their own. If any cell is empty on either side, half a row is added to all cells of both sides;
otherwise nothing is added.
"""


def reference_page() -> str:
    """Markdown with one section per registered statistic."""
    return "\n".join([_HEAD, *(_section(statistic) for statistic in registered())])


def _section(statistic: DriftStatistic) -> str:
    kinds = ", ".join(kind.value for kind in FeatureKind if kind in statistic.kinds)
    parts = ", ".join(f"`{name}`" for name in statistic.parts) or "none"
    return f"""## {statistic.title} (`{statistic.name}`)

| | |
|---|---|
| definition | {statistic.definition.replace("|", chr(92) + "|")} |
| range | {_bound(statistic.bounds[0])} to {_bound(statistic.bounds[1])} |
| unit | {statistic.unit.value} |
| kinds | {kinds} |
| further numbers | {parts} |
| in rules | `drift.{statistic.name}` |
| source | {statistic.source} |

{statistic.reading}
"""


def _bound(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:g}"
