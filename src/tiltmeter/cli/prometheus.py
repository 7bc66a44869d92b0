"""`tiltmeter prometheus rules`: alert rules for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltmeter.cli.installation import ConfigOption

app = typer.Typer(help="What Prometheus needs to watch beside Tiltmeter.")


@app.callback()
def main() -> None:
    """Keep `rules` a word of its own, also while it is the only one."""


@app.command("rules")
def rules(
    config: ConfigOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of standard output.")] = None,
    job: Annotated[str, typer.Option(help="Prometheus' scrape job that reads Tiltmeter.")] = "tiltmeter",
) -> None:
    """Alert rules for Prometheus with the limits of the rules file: latency, errors, Tiltmeter itself.

    Example:
        tiltmeter prometheus rules --out tiltmeter-rules.yml
        promtool check rules tiltmeter-rules.yml
    """
    from tiltmeter.api.files import write_text
    from tiltmeter.config.load import load_settings
    from tiltmeter.views.prometheus import alert_rules_yaml

    text = alert_rules_yaml(load_settings(config).rules, job=job)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(out)
