"""Writes the pages and files that are generated from declarations; `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REPOSITORY = Path(__file__).parents[1]


def generated() -> Mapping[str, Callable[[], str]]:
    """What writes each generated file, by its path in the repository."""
    from tiltmeter.cli.reference_page import reference_page as commands
    from tiltmeter.config.reference_page import reference_page as settings
    from tiltmeter.config.rules import load_rules
    from tiltmeter.monitors.reference_page import reference_page as monitors
    from tiltmeter.statistics.reference_page import reference_page as statistics
    from tiltmeter.views.grafana.provisioning import provisioning_files
    from tiltmeter.views.prometheus import alert_rules_yaml

    rules = load_rules(None)
    grafana = provisioning_files(rules)
    return {
        "docs/statistics.md": statistics,
        "docs/monitors.md": monitors,
        "docs/configuration.md": settings,
        "docs/commands.md": commands,
        "deploy/prometheus/rules.yml": lambda: alert_rules_yaml(rules),
        **{f"deploy/grafana/{name}": (lambda text=text: text) for name, text in grafana.items()},
    }


def main() -> None:
    """Write every file and say which."""
    for name, write in generated().items():
        path = REPOSITORY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(write(), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
