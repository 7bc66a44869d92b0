"""What the commands of an installation share: finding its configuration and printing facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Configuration file [default: $TILTMETER_CONFIG or ./tiltmeter.yaml]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:  # noqa: ANN401 - anything JSON can hold
    """Facts for programs: one JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
