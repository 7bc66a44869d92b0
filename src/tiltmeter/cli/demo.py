"""`tiltmeter demo`."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from tiltmeter.cli.installation import print_json
from tiltmeter.demo.installation import Receivers, clear_folder, free_ports
from tiltmeter.demo.live import serving, until_told_to_stop
from tiltmeter.demo.play import play

if TYPE_CHECKING:
    from tiltmeter.demo.live import Addresses
    from tiltmeter.demo.prometheus import Scraped
    from tiltmeter.demo.report import Report


def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the demo; built anew.")] = Path("tiltmeter-demo"),
    days: Annotated[int, typer.Option(help="Days of history, 8 to 120.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another company with other incidents.")] = 1,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Stop after the history.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print planted incidents and alerts as JSON.")] = False,
) -> None:
    """Build a whole world on this machine: a trained model, thirty days of requests, incidents, alerts, a dashboard.

    Ctrl-C ends everything that it started.

    Example:
        tiltmeter demo
        tiltmeter demo --no-serve --json --seed 7
    """
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        _demo(folder.resolve(), days=days, seed=seed, no_serve=no_serve, as_json=as_json)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)


def _demo(folder: Path, *, days: int, seed: int, no_serve: bool, as_json: bool) -> None:
    progress = _Progress()
    clear_folder(folder)
    ports = free_ports()
    with ExitStack() as stack:
        receivers = stack.enter_context(Receivers(folder / "inbox"))
        played = play(
            folder, seed=seed, days=days, now=datetime.now(UTC), receivers=receivers, ports=ports, tell=progress
        )
        progress.end()
        if as_json:
            print_json(played.report.to_dict())
        else:
            print("\n".join(_found(played.report, folder)), flush=True)
        if no_serve:
            return
        addresses = stack.enter_context(serving(played, folder, ports))
        out = sys.stderr if as_json else sys.stdout
        print("\n".join(_opened(addresses, folder)), file=out, flush=True)
        until_told_to_stop()
    print("stopped", file=sys.stderr)


def _found(report: Report, folder: Path) -> list[str]:
    summary = report.summary
    rows = report.rows
    return [
        (
            f"{report.days} days, {rows['predictions']:,} predictions, {rows['outcomes']:,} outcomes in "
            f"{report.seconds:.0f} s (seed {report.seed})"
        ),
        *report.lines(),
        f"{summary.matched} of {summary.planted} planted incidents found, {summary.unexplained} alerts unexplained",
        f"messages   {folder / 'inbox'}",
    ]


def _opened(addresses: Addresses, folder: Path) -> list[str]:
    return [
        f"dashboard  {addresses.dashboard}",
        f"service    {addresses.service}  (/healthz, /metrics, /docs)",
        f"app        {addresses.app}/docs  (POST /score)",
        *_scraped(addresses.scraped),
        f"config     {folder / 'tiltmeter.yaml'}",
        (
            "Open the dashboard: the incidents above stand on the time line, and live requests arrive every second. "
            "Ctrl-C ends everything."
        ),
    ]


def _scraped(found: Scraped | None) -> list[str]:
    if found is None:
        return ["prometheus not found on this machine, so the numbers for Grafana are not collected"]
    return [f"prometheus {found.graph}", f"grafana    {found.grafana}  (dashboards and provisioning, if you have one)"]


class _Progress:
    """One line that is written over, on a terminal only."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()

    def __call__(self, what: str, share: float) -> None:
        if self._is_shown:
            print(f"\r\x1b[K{what} … {share:4.0%}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line clean."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
