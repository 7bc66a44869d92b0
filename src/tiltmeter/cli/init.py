"""`tiltmeter init`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiltmeter.config.load import FILE_NAME
from tiltmeter.config.template import HOME, Found, configuration_text
from tiltmeter.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiltmeter.ports import Rows

_ROLES = {
    "time": r"^(scored_?at|request_?time|prediction_?time|time|timestamp|ts|created_?at|event_?time|date)$",
    "entity_id": r"^(entity_?id|lead_?id|customer_?id|contact_?id|user_?id|id)$",
    "prediction": r"^(prediction|score|probability|proba|p|y_pred|predicted)$",
    "model_version": r"^(model_?version|version)$",
    "label": r"^(label|converted|outcome|target|y|y_true)$",
}
"""What columns of that role are usually called, the surest name first."""


def init(
    data: Annotated[
        str | None, typer.Option("--from", help="Data set to infer from: file, folder or Delta table.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    out: Annotated[Path, typer.Option("--out", help="File to write.")] = Path(FILE_NAME),
    model: Annotated[str, typer.Option(help="Name of the model.")] = "lead-scoring",
    timezone: Annotated[str, typer.Option(help="Business time zone.")] = "UTC",
) -> None:
    """Write a commented configuration; with data, columns and kinds are inferred and shown first.

    Example:
        tiltmeter init --from ./scores --yes
    """
    found = _inferred(data, out) if data is not None else None
    if found is not None:
        _show(found)
    text = configuration_text(model=model, timezone=timezone, found=found)
    if out.exists():
        raise UsageError(f"{out} is there already", hint="name another file with --out, or remove it first")
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Write {out}?", default=True):
        raise typer.Exit(0)
    out.write_text(text, encoding="utf-8")
    print(f"wrote {out}; next: tiltmeter check, then tiltmeter serve --dashboard")


def _inferred(data: str, out: Path) -> Found:
    from tiltmeter.domain.feature import ColumnRoles
    from tiltmeter.engines.local import LocalEngine, open_rows

    rows = open_rows(data)
    columns = _roles(rows)
    apart = tuple(columns.values())
    bins = LocalEngine().fit(rows, ColumnRoles(ignore=apart))
    kinds = {name: str(feature.kind) for name, feature in bins.features.items()}
    return Found(_from_home(data, out), columns, kinds)


def _from_home(data: str, out: Path) -> str:
    """A local path as the configuration means it: relative to `home`, which lies beside the file."""
    path = Path(data.partition("@")[0] if not Path(data).exists() else data)  # a table is followed, not one version
    if "://" in data or path.is_absolute() or not path.exists():
        return data
    return Path(os.path.relpath(path.absolute(), (out.parent / HOME).absolute())).as_posix()


def _roles(rows: Rows) -> dict[str, str]:
    """Role -> column, by name; time falls back to the first timestamp column."""
    names: list[str] = list(rows.schema.names)
    roles: dict[str, str] = {}
    for role, pattern in _ROLES.items():
        column = _first(names, pattern, taken=roles.values())
        if column is not None:
            roles[role] = column
    if "time" not in roles:
        stamped = [field.name for field in rows.schema if str(field.type).startswith(("timestamp", "date"))]
        if stamped:
            roles["time"] = stamped[0]
    if "time" not in roles:
        raise UsageError(
            f"{rows.name} has no column that looks like a time",
            hint=f"rename one to scored_at; columns: {', '.join(names[:20])}",
        )
    return roles


def _first(names: list[str], pattern: str, *, taken: Iterable[str]) -> str | None:
    used = set(taken)
    for choice in pattern.strip("^$()").split("|"):
        for name in names:
            if name not in used and re.fullmatch(choice, name, re.IGNORECASE):
                return name
    return None


def _show(found: Found) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=None)
    table.add_column("column")
    table.add_column("is taken as")
    for role, column in found.columns.items():
        table.add_row(column.replace("[", "\\["), f"[bold]{role}[/]")
    for column, kind in found.kinds.items():
        table.add_row(column.replace("[", "\\["), f"feature, {kind}")
    Console(stderr=True).print(table)
