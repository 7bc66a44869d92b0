"""False alarms and power of the drift statistics, by simulation on the real path: fit, profile, compare.

    python benchmarks/calibration.py [--comparisons 2000] [--most 20000] [--only KIND]… [--json]

Without drift, a p-value must lie under .01 in 0.5 to 1.5 % of the windows (KS: at most 1.5 %; its p-value is an upper
limit on discrete columns). 2,000 draws around 1 % have a standard error of 0.22 points, so a column that comes within
three standard errors of a limit is drawn on, up to `--most`. With drift of a known size, the window must be called.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tiltmeter.api.judging import judge
from tiltmeter.config.rules import load_rules
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.feature import ColumnRoles, FeatureKind
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.engines.local import LocalEngine, open_rows
from tiltmeter.statistics.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiltmeter.domain.comparison import FeatureComparison

Draw = Callable[[np.random.Generator, int], np.ndarray]

_RULES = load_rules(None).rules
_WINDOW = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC), Grain.DAY)

_ALLOWED = (0.005, 0.015)
"""Shares of p < .01 that count as calibrated."""

_CERTAIN = 3.0
"""Standard errors from a limit at which a share is settled."""

_POWER = 0.95
"""Share of windows that must be called where something moved."""

_BY_P_VALUE = ("normal + 0.5 standard deviations",)
_BY_SEVERITY = ("log-normal × 100", "+10 points missing")
"""What must be called by which. {50, 30, 20} → {30, 30, 40} has a PSI of 0.241: below 0.25 by definition."""

_COLUMNS = 100
"""Columns compared at once: one fit and two passes for so many comparisons."""

_LEVELS = np.array([f"level-{i:04d}" for i in range(2000)])
_ZIPF = (1.0 / np.arange(1, 2001)) / (1.0 / np.arange(1, 2001)).sum()


def _missing(values: np.ndarray, generator: np.random.Generator, share: float) -> np.ndarray:
    return np.where(generator.random(values.size) < share, np.nan, values)


KINDS: dict[str, Draw] = {
    "normal": lambda g, rows: g.normal(size=rows),
    "log-normal": lambda g, rows: g.lognormal(0, 2, rows),
    "70 % zeros, else log-normal": lambda g, rows: np.where(g.random(rows) < 0.7, 0.0, g.lognormal(size=rows)),
    "Poisson(3)": lambda g, rows: g.poisson(3, rows).astype(float),
    "normal, 20 % missing": lambda g, rows: _missing(g.normal(size=rows), g, 0.2),
    "boolean, 10 % true": lambda g, rows: g.random(rows) < 0.1,
    "3 levels": lambda g, rows: g.choice(_LEVELS[:3], rows, p=[0.5, 0.3, 0.2]),
    "20 levels": lambda g, rows: g.choice(_LEVELS[:20], rows, p=_ZIPF[:20] / _ZIPF[:20].sum()),
    "2,000 Zipf levels": lambda g, rows: g.choice(_LEVELS, rows, p=_ZIPF),
}
"""Columns without drift."""

Change = tuple[Draw, Draw]

CHANGES: dict[str, Change] = {
    "normal + 0.5 standard deviations": (KINDS["normal"], lambda g, rows: g.normal(0.5, 1.0, rows)),
    "log-normal × 100": (KINDS["log-normal"], lambda g, rows: 100.0 * g.lognormal(0, 2, rows)),
    "{50, 30, 20} → {30, 30, 40}": (KINDS["3 levels"], lambda g, rows: g.choice(_LEVELS[:3], rows, p=[0.3, 0.3, 0.4])),
    "+10 points missing": (KINDS["normal"], lambda g, rows: _missing(g.normal(size=rows), g, 0.1)),
    "one 1e12 among the rows": (
        KINDS["log-normal"],
        lambda g, rows: np.concatenate([g.lognormal(0, 2, rows - 1), [1e12]]),
    ),
}
"""Column before and after."""


@dataclass(frozen=True)
class Calibration:
    """Shares of windows without drift that a test calls at .01; None where the kind has no such test."""

    kind: str
    n: int
    m: int
    comparisons: int
    psi: float | None
    chi2: float | None
    ks: float | None
    warnings: int
    mean_psi: float | None

    @property
    def standard_error(self) -> float:
        """Of a share of 1 %."""
        return math.sqrt(0.01 * 0.99 / self.comparisons)

    @property
    def is_calibrated(self) -> bool:
        """Whether all shares lie within the limits; KS may lie below."""
        low, high = _ALLOWED
        both = [share for share in (self.psi, self.chi2) if share is not None]
        return all(low <= share <= high for share in both) and (self.ks is None or self.ks <= high)

    @property
    def is_settled(self) -> bool:
        """Whether no share lies so near to a limit that more draws could put it on the other side."""
        low, high = _ALLOWED
        gaps = [abs(share - limit) for share in (self.psi, self.chi2) if share is not None for limit in (low, high)]
        gaps += [abs(self.ks - high)] if self.ks is not None else []
        return min(gaps) > _CERTAIN * self.standard_error


@dataclass(frozen=True)
class Power:
    """Shares of windows with drift that are called."""

    change: str
    n: int
    m: int
    comparisons: int
    by_p_value: float
    by_severity: float
    median_psi: float

    @property
    def is_enough(self) -> bool:
        """Whether it is called as often as promised, and a lone huge value by nobody."""
        if self.change in _BY_P_VALUE:
            return self.by_p_value >= _POWER
        if self.change in _BY_SEVERITY:
            return self.by_severity >= _POWER
        return self.change != "one 1e12 among the rows" or self.median_psi < 0.05


def _compared(before: Draw, after: Draw, *, m: int, n: int, times: int, seed: int) -> Iterator[FeatureComparison]:
    engine = LocalEngine()
    generator = np.random.default_rng(seed)
    for start in range(0, times, _COLUMNS):
        names = [f"f{i}" for i in range(min(_COLUMNS, times - start))]
        sides = [
            pa.table({name: pa.array(draw(generator, rows), from_pandas=True) for name in names})
            for draw, rows in ((before, m), (after, n))
        ]
        roles = ColumnRoles(kinds=_kinds(sides[0]))
        bins = engine.fit(open_rows(sides[0]), roles)
        reference = Reference("calibration", "calibration", bins, engine.profile(open_rows(sides[0]), bins))
        found = compare(reference, engine.profile(open_rows(sides[1]), bins))
        yield from judge(found, _RULES, window=_WINDOW).comparison.features.values()


def _kinds(table: pa.Table) -> dict[str, FeatureKind]:
    # 2,000 Zipf levels would pass for identifiers where few rows repeat one.
    return {field.name: FeatureKind.CATEGORICAL for field in table.schema if pa.types.is_string(field.type)}


def _share_below(p_values: list[float | None], limit: float = 0.01) -> float | None:
    known = [p for p in p_values if p is not None]
    return sum(p < limit for p in known) / len(known) if known else None


def is_called(feature: FeatureComparison) -> bool:
    """Whether the default rules put the feature at warning or above."""
    return feature.severity >= Severity.WARNING


def calibrate(kind: str, *, n: int, m: int, times: int, seed: int) -> Calibration:
    """Compare so many pairs of windows of one distribution."""
    return _calibration(kind, n, m, list(_compared(KINDS[kind], KINDS[kind], m=m, n=n, times=times, seed=seed)))


def settle(kind: str, *, n: int, m: int, times: int, most: int, seed: int) -> Calibration:
    """As `calibrate`, drawn on until every share is certain to lie on its side of the limits, or `most` is reached."""
    found: list[FeatureComparison] = []
    step = times
    while True:
        found += _compared(KINDS[kind], KINDS[kind], m=m, n=n, times=step, seed=seed + 1_000_003 * len(found))
        row = _calibration(kind, n, m, found)
        if len(found) >= most or row.is_settled:
            return row
        step = min(3 * times, most - len(found))


def _calibration(kind: str, n: int, m: int, found: list[FeatureComparison]) -> Calibration:
    known = [feature.psi for feature in found if feature.psi is not None]
    return Calibration(
        kind=kind,
        n=n,
        m=m,
        comparisons=len(found),
        psi=_share_below([feature.psi_p_value for feature in found]),
        chi2=_share_below([feature.chi2_p_value for feature in found]),
        ks=_share_below([feature.ks_p_value for feature in found]),
        warnings=sum(is_called(feature) for feature in found),
        mean_psi=float(np.mean(known)) if known else None,
    )


def power(change: str, *, n: int, m: int, times: int, seed: int) -> Power:
    """Compare so many pairs of windows that differ by a known change."""
    found = list(_compared(*CHANGES[change], m=m, n=n, times=times, seed=seed))
    return Power(
        change=change,
        n=n,
        m=m,
        comparisons=len(found),
        by_p_value=_share_below([feature.psi_p_value for feature in found]) or 0.0,
        by_severity=sum(is_called(feature) for feature in found) / len(found),
        median_psi=float(np.median([feature.psi for feature in found])),
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"


def print_null(rows: list[Calibration]) -> None:
    """The table of columns without drift."""
    print("| column | n | m | windows | PSI | chi-square | KS | ± | warnings | mean PSI |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        shares = " | ".join(_percent(share) for share in (row.psi, row.chi2, row.ks, row.standard_error))
        mean = "–" if row.mean_psi is None else f"{row.mean_psi:.4f}"
        print(f"| {row.kind} | {row.n:,} | {row.m:,} | {row.comparisons:,} | {shares} | {row.warnings} | {mean} |")


def print_power(rows: list[Power]) -> None:
    """The table of columns with drift."""
    print("| change | n | m | windows | p < .01 | warning | median PSI |\n|---|--:|--:|--:|--:|--:|--:|")
    for line in rows:
        shares = f"{_percent(line.by_p_value)} | {_percent(line.by_severity)}"
        print(f"| {line.change} | {line.n:,} | {line.m:,} | {line.comparisons:,} | {shares} | {line.median_psi:.4f} |")


def main(arguments: list[str]) -> int:
    """Run and print two tables; 1 where a limit is missed."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--comparisons", type=int, default=2000)
    options.add_argument("--most", type=int, default=20_000)
    options.add_argument("--only", action="append", choices=[*KINDS, *CHANGES])
    options.add_argument("--seed", type=int, default=20261123)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args(arguments)
    started = time.monotonic()
    asked = chosen.only or [*KINDS, *CHANGES]
    null = [
        settle(kind, n=n, m=m, times=chosen.comparisons, most=chosen.most, seed=chosen.seed + number)
        for number, kind in enumerate(KINDS)
        if kind in asked
        for n, m in ((1000, 5000), (200, 5000))
    ]
    times = max(200, chosen.comparisons // 2)
    called = [power(change, n=1000, m=5000, times=times, seed=chosen.seed) for change in CHANGES if change in asked]
    kept = all(row.is_calibrated for row in null) and all(row.is_enough for row in called)
    if chosen.json:
        print(json.dumps({"null": [asdict(row) for row in null], "power": [asdict(row) for row in called]}, indent=2))
    else:
        print("Without drift: share of windows with p < .01, and its standard error, in %\n")
        print_null(null)
        print("\nWith drift: windows called, in %\n")
        print_power(called)
        print(f"\nlimits: {'kept' if kept else 'MISSED'} ({time.monotonic() - started:.0f} s)")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
