"""`tiltmeter grafana export`: dashboards and provisioning files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tiltmeter.cli.installation import ConfigOption, JsonOption, print_json

app = typer.Typer(help="Dashboards for Grafana, generated from the metric catalogue and the rules.")


@app.callback()
def main() -> None:
    """Keep `export` a word of its own, also while it is the only one."""


@app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go; made if needed.")],
    config: ConfigOption = None,
    prometheus_url: Annotated[str, typer.Option(help="Prometheus, as Grafana reaches it.")] = "http://127.0.0.1:9090",
    dashboards_folder: Annotated[
        str, typer.Option(help="Where Grafana will find the dashboards [default: DIR/dashboards].")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Write three dashboards and the provisioning files that make Grafana load them.

    Thresholds come from the rules of the configuration, or from the default rules without one.

    Example:
        tiltmeter grafana export ./grafana
        GF_PATHS_PROVISIONING=./grafana/provisioning grafana server
    """
    from tiltmeter.api.files import write_text
    from tiltmeter.config.load import load_settings
    from tiltmeter.views.grafana.provisioning import provisioning_files

    place = dashboards_folder or str((folder / "dashboards").resolve())
    files = provisioning_files(load_settings(config).rules, prometheus_url=prometheus_url, dashboards_folder=place)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    if as_json:
        print_json({"schema": "tiltmeter.grafana-export/1", "folder": str(folder), "files": sorted(files)})
        return
    for name in sorted(files):
        print(folder / name)
