"""Column options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.cli.output import split_names, split_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiltmeter.domain.feature import ColumnRoles

Features = Annotated[
    list[str] | None,
    typer.Option("--features", metavar="A,B", help="Columns to compare; all without another part by default."),
]
Ignore = Annotated[list[str] | None, typer.Option("--ignore", metavar="A,B", help="Columns to leave out.")]
Kind = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="F=KIND",
        help="Insist on a kind: numeric, categorical, boolean, datetime or text. May be repeated.",
    ),
]
Missing = Annotated[
    list[str] | None,
    typer.Option("--missing", metavar="F=VALUE", help='A value that means "missing". May be repeated.'),
]
Score = Annotated[str | None, typer.Option("--score", metavar="C", help="Column of the model's output.")]
Label = Annotated[
    str | None, typer.Option("--label", metavar="C", help="Column of the outcome; true, 1, yes, y mean converted.")
]
Entity = Annotated[
    str | None,
    typer.Option("--entity", metavar="C", help="Column of the id whose rows belong together; tests count ids."),
]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", metavar="F", help="YAML or JSON file {feature: number} for the weighted PSI."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="F", help="Write one self-contained page.")]


class EngineName(StrEnum):
    """Engines a command offers."""

    LOCAL = "local"
    SPARK = "spark"


EngineOption = Annotated[EngineName, typer.Option("--engine", help="Where rows are counted; spark comes as a plug-in.")]


@dataclass(frozen=True, slots=True)
class Columns:
    """The column options of one call, as they were typed."""

    features: Sequence[str] | None
    ignore: Sequence[str] | None
    kinds: Sequence[str] | None
    missing: Sequence[str] | None
    score: str | None
    label: str | None
    entity: str | None

    def roles(self, known: Sequence[str], *, time: str | None = None) -> ColumnRoles:
        """Column roles, given the columns there are.

        Raises:
            UsageError: an option has no such form, or a kind does not exist.
        """
        from tiltmeter.api.columns import roles_of

        declared: dict[str, list[object]] = {}
        for name, value in split_pairs(self.missing or (), option="missing", example="pdays=999"):
            declared.setdefault(name, []).extend(_values(value))
        return roles_of(
            features=split_names(self.features, known) if self.features else None,
            ignore=split_names(self.ignore or (), known),
            kinds=dict(split_pairs(self.kinds or (), option="kind", example="zip_code=categorical")),
            missing_values=declared,
            score=self.score,
            label=self.label,
            entity=self.entity,
            time=time,
        )


def _values(text: str) -> list[object]:
    """A missing value as it may stand in the column: a number where it reads as one, and the text where it is another.

    A file without types has `00000` in it, which no number is written as.
    """
    from tiltmeter.profiling.names import name_of

    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return [number] if name_of(number, boolean=False) == text else [number, text]
    return [text]
