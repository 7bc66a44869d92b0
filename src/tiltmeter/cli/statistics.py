"""`tiltmeter statistics`: the catalogue of every statistic and metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tiltmeter.cli.options import Json
from tiltmeter.cli.output import console, print_json, table

if TYPE_CHECKING:
    from tiltmeter.domain.metric import MetricDeclaration
    from tiltmeter.domain.statistic import DriftStatistic

SCHEMA = "tiltmeter.statistics/1"


def statistics(as_json: Json = False) -> None:
    """Every drift statistic with its definition, range and source, and every metric that rules can name.

    Example:
      tiltmeter statistics
      tiltmeter statistics --json
    """
    from tiltmeter.monitors.catalogue import CATALOGUE
    from tiltmeter.statistics.drift import STATISTICS

    declared: list[DriftStatistic] = [STATISTICS.load(name) for name in STATISTICS.names()]
    metrics = list(CATALOGUE.values())
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "statistics": [statistic_json(one) for one in declared],
                "metrics": [metric_json(one) for one in metrics],
            }
        )
    else:
        _print(declared, metrics)


def statistic_json(declared: DriftStatistic) -> dict[str, Any]:
    """One declaration as plain values; an open end of the range is null."""
    low, high = declared.bounds
    return {
        "name": declared.name,
        "title": declared.title,
        "metric": f"drift.{declared.name}",
        "kinds": sorted(kind.value for kind in declared.kinds),
        "bounds": [low if math.isfinite(low) else None, high if math.isfinite(high) else None],
        "unit": declared.unit.value,
        "definition": declared.definition,
        "reading": declared.reading,
        "source": declared.source,
        "parts": list(declared.parts),
    }


def metric_json(declared: MetricDeclaration) -> dict[str, Any]:
    """One catalogue entry as plain values."""
    return {
        "name": declared.name,
        "title": declared.title,
        "unit": declared.unit.value,
        "meaning": declared.meaning,
        "monitor": declared.monitor,
        "per_feature": declared.per_feature,
        "prometheus": declared.exported or None,
    }


def _print(declared: list[DriftStatistic], metrics: list[MetricDeclaration]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    for one in declared:
        low, high = one.bounds
        ends = f"[{low:g}, {'∞' if math.isinf(high) else f'{high:g}'}{')' if math.isinf(high) else ']'}"
        out.print(Text.assemble((one.name, "bold"), f"  {one.title}, {ends}, {one.unit.value}"))
        kinds = ", ".join(sorted(kind.value for kind in one.kinds))
        for line in (one.definition, one.reading, f"kinds: {kinds}", f"source: {one.source}"):
            out.print(Padding(Text(line), (0, 0, 0, 2)))
        out.print()
    rows = [[one.name, one.unit.value, one.meaning] for one in metrics]
    out.print(table(("metric", "unit", "meaning"), rows))
