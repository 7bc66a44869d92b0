"""`tiltmeter compare`: drift and feature statistics of two data sets."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.cli.loading import loading
from tiltmeter.cli.options import (
    Columns,
    EngineName,
    EngineOption,
    Entity,
    Features,
    Html,
    Ignore,
    Json,
    Kind,
    Label,
    Missing,
    Score,
    Weights,
)
from tiltmeter.cli.output import checked_output, console, print_json, read_weights, remark, table
from tiltmeter.cli.progress import shown_progress

if TYPE_CHECKING:
    from pathlib import Path

    from tiltmeter.api.result import Result
    from tiltmeter.domain.comparison import Comparison, FeatureComparison


class FailOn(StrEnum):
    """Severities that `--fail-on` takes."""

    WARNING = "warning"
    CRITICAL = "critical"


def compare(  # noqa: PLR0917 - an option each
    reference: Annotated[str, typer.Argument(help="File, folder or Delta table (path or path@version).")],
    current: Annotated[str, typer.Argument(help="What is held against it.")],
    features: Features = None,
    ignore: Ignore = None,
    kind: Kind = None,
    missing: Missing = None,
    score: Score = None,
    label: Label = None,
    entity: Entity = None,
    weights: Weights = None,
    engine: EngineOption = EngineName.LOCAL,
    as_json: Json = False,
    html: Html = None,
    fail_on: Annotated[
        FailOn | None, typer.Option("--fail-on", help="Exit with 3 if a feature or the whole is at or above it.")
    ] = None,
) -> None:
    """Drift and feature statistics of two data sets.

    Reads CSV, Parquet, Arrow and JSON lines, a folder of them, or a Delta table. The first line is the answer; the
    table shows the ten features that moved most.

    Exit codes: 0 fine, 1 bad data, 2 wrong usage, 3 something at or above --fail-on.

    Example:
      tiltmeter compare september.csv october.csv
      tiltmeter compare leads.parquet scored@12 --score score --entity lead_id --html drift.html
      tiltmeter compare train.csv today.csv --ignore id,email --kind zip=categorical --fail-on critical
    """
    checked_output(html)
    weighted = read_weights(weights)
    with loading():
        from tiltmeter.api.baseline import Sides, compare_rows
        from tiltmeter.api.collecting import without_collection

    sides = Sides.of(reference, current)
    known = [*sides.reference.schema.names, *sides.current.schema.names]
    columns = Columns(features, ignore, kind, missing, score, label, entity)
    with without_collection(len(known)):
        with shown_progress():
            result = compare_rows(sides, columns.roles(known), weights=weighted, engine=engine.value)
        _told(result, as_json=as_json, html=html)
    if fail_on is not None and result.worst >= _severity(fail_on):
        raise typer.Exit(3)


def _told(result: Result, *, as_json: bool, html: Path | None) -> None:
    for line in result.notes:
        remark(line)
    if html is not None:
        result.to_html(html)
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)
    if html is not None:
        remark(f"written: {html}")


def _severity(fail_on: FailOn) -> int:
    from tiltmeter.domain.severity import Severity

    return Severity.of(fail_on.value)


def _print(result: Result) -> None:
    from tiltmeter.api.summary import FIRST_ROWS, first_rows, number, percent, sentence

    comparison = result.comparison
    out = console()
    out.print(sentence(comparison) + ".", style="bold", soft_wrap=True)
    rows = f"{comparison.rows_reference:,} rows against {comparison.rows_current:,}"
    overall = comparison.overall
    features = "1 feature" if overall.features == 1 else f"{overall.features:,} features"
    counted = f"{overall.features_critical} critical, {overall.features_warning} warning of {features}"
    out.print(f"{rows} · {counted} · overall PSI {number(overall.psi)}", style="dim", soft_wrap=True)
    if comparison.conversion_reference is not None or comparison.conversion_current is not None:
        before, after = percent(comparison.conversion_reference), percent(comparison.conversion_current)
        out.print(f"conversion {before} → {after}", style="dim")
    out.print()
    shown = list(first_rows(comparison))
    columns = ("feature", "severity", "what changed", "PSI", "q", "test", "missing")
    out.print(table(columns, [_cells(feature) for feature in shown], numbers=("PSI", "q", "missing")))
    hidden = len(comparison.features) - len(shown)
    if hidden > 0:
        out.print(f"\n{hidden} more features: --json or --html shows them (the first {FIRST_ROWS} stand here)")
    _print_shift(comparison)
    for feature in comparison.features.values():
        for hint in feature.hints:
            remark(f"hint: {hint}" if feature.name in hint else f"hint: {feature.name}: {hint}")


def _print_shift(comparison: Comparison) -> None:
    from tiltmeter.api.shift_words import NOT_ADDED, TITLES, first_parts, shift_row, shift_sentence

    shift = comparison.score_shift
    if shift is None or not shift.features:
        return
    out = console()
    out.print(f"\n{shift_sentence(shift)}.", style="bold", soft_wrap=True)
    out.print(NOT_ADDED, style="dim", soft_wrap=True)
    out.print()
    out.print(table(TITLES, [shift_row(part, shift) for part in first_parts(shift)], numbers=TITLES[1:4]))


def _cells(feature: FeatureComparison) -> list[str]:
    from tiltmeter.api.summary import effect, number, p_value, percent
    from tiltmeter.monitors.effects import shortened

    if feature.ks is not None:
        test = f"KS {number(feature.ks)}, p {_p(p_value(feature.ks_p_value))}"
    elif feature.cramers_v is not None:
        test = f"V {number(feature.cramers_v)}, p {_p(p_value(feature.chi2_p_value))}"
    else:
        test = "–"
    missing = percent(feature.current.missing_share) if feature.current is not None else "–"
    return [
        shortened(feature.name),
        feature.severity.word,
        effect(feature),
        number(feature.psi),
        p_value(feature.psi_q_value),
        test,
        missing,
    ]


def _p(text: str) -> str:
    return text if text.startswith("<") else f"= {text}"
