"""How commands print: facts as JSON or tables on standard output, remarks on standard error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.table import Table

_PIPED_WIDTH = 140
"""Columns of a table that goes into a file or a pipe, where no terminal says how wide it is."""


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document. ASCII alone, so that no terminal or pipe can spoil a name."""
    import msgspec

    print(msgspec.json.format(_encoded(document), indent=2).decode("ascii"))


def _encoded(document: Mapping[str, Any]) -> bytes:
    import msgspec

    try:
        text = msgspec.json.encode(document)  # a tenth of the standard library's time
    except UnicodeEncodeError:  # half a surrogate pair in a name
        text = b""
    if text and text.isascii():
        return text
    return json.dumps(document, allow_nan=False).encode("ascii")


def remark(line: str) -> None:
    """Tell something on standard error."""
    print("".join(character if character.isprintable() else " " for character in line), file=sys.stderr)


def console() -> Console:
    """Where tables go. Colours only on a terminal, and none where `NO_COLOR` is set."""
    from rich.console import Console

    return Console(
        width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, markup=False, emoji=False, soft_wrap=False
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()) -> Table:
    """A plain table. Cells are shown as they are: names are hostile text and no markup.

    Args:
        columns: titles.
        rows: cells; one that holds nothing but a severity's word is coloured.
        numbers: titles of the columns that stand at the right.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for title in columns:
        made.add_column(title, justify="right" if title in numbers else "left", overflow="ellipsis")
    for row in rows:
        made.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return made


STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan", "none": "dim"}
"""Style of a cell that holds nothing but a severity's word."""


def checked_output(path: Path | None) -> None:
    """See that a file can be written before any work is done.

    Raises:
        UsageError: its folder does not exist, or it is a folder.
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError("this is a folder", at=str(path), hint="name a file in it")
    if not path.parent.is_dir():
        raise UsageError("the folder does not exist", at=str(path.parent), hint="make it first")


def split_names(given: Sequence[str], known: Sequence[str]) -> list[str]:
    """Column names of an option that takes `a,b` and may be repeated; a name that holds a comma may stand alone."""
    names = set(known)
    found: list[str] = []
    for text in given:
        parts = [text] if text in names else [part.strip() for part in text.split(",")]
        found.extend(part for part in parts if part)
    return list(dict.fromkeys(found))


def split_pairs(given: Sequence[str], *, option: str, example: str) -> list[tuple[str, str]]:
    """What stands before and behind the equals sign of `name=value` options; the name may hold one too.

    Args:
        given: what the user wrote.
        option: name of the option.
        example: of one, for the hint.

    Raises:
        UsageError: an option has another form.
    """
    found = []
    for text in given:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            form = f'--{option} "{text}" is not of the form column={"kind" if option == "kind" else "value"}'
            raise UsageError(form, hint=f"for example {example}")
        found.append((name, value.strip()))
    return found


def read_weights(path: Path | None) -> dict[str, float]:
    """Weights of features from a YAML or JSON file `{feature: number}`.

    Raises:
        ConfigError: the file is not there, or holds something else.
    """
    if path is None:
        return {}
    from tiltmeter.config.yaml_source import read_yaml

    if not path.is_file():
        raise UsageError("there is no such file", at=str(path), hint="--weights takes a YAML or JSON file")
    data = read_yaml(path).data
    if not isinstance(data, dict) or any(isinstance(v, bool) or not isinstance(v, int | float) for v in data.values()):
        raise UsageError("the file holds no weights", at=str(path), hint="write {feature: number}")
    try:
        return {str(name): float(weight) for name, weight in data.items()}
    except OverflowError as error:
        raise UsageError(
            "a weight is beyond any number", at=str(path), hint="a weight is a number from 0 up"
        ) from error
