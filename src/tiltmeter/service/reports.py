"""Daily and weekly reports: written to `home/reports` once their windows were judged, sent to whom it was said."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import structlog

from tiltmeter.api.files import write_text
from tiltmeter.api.period import newest_complete, period_of
from tiltmeter.api.period_story import period_sentence, period_title
from tiltmeter.api.summary import effect, moved, number
from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.domain.message import Content, Message, MessageKind, Row
from tiltmeter.domain.window import Grain
from tiltmeter.monitors.registered import judged_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from threading import Event

    from tiltmeter.api.period import Period
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import World

EVERY = timedelta(minutes=1)
KINDS = {"daily": Grain.DAY, "weekly": Grain.WEEK}
_ROWS = 5
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")

log = structlog.get_logger()


def report_name(model: str, window: Window, world: World) -> str:
    """`2026-W47.html`, or `2026-11-23.html` for a day; with the model's name where there are several."""
    local = window.start.astimezone(world.zone)
    year, week, _ = local.isocalendar()
    when = f"{year}-W{week:02d}" if window.grain is Grain.WEEK else f"{local:%Y-%m-%d}"
    if len(world.models) <= 1:
        return f"{when}.html"
    # A model's name is hostile text: what a file name cannot hold goes, a hash keeps two names apart.
    token = blake2b(model.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{when}-{_UNSAFE.sub('-', model)[:60].strip('-')}-{token}.html"


def report_messages(found: Period, page: str, channels: Sequence[str], world: World) -> list[Message]:
    """The report as one message a channel; asking twice for the same period makes the same messages."""
    stirred = moved(found.against_baseline.comparison) if found.against_baseline is not None else []
    rows = tuple(Row(one.name, one.severity, "PSI", number(one.psi), effect(one)) for one in stirred[:_ROWS])
    base = world.public_url.rstrip("/")
    links = {"Dashboard": f"{base}/?{urlencode({'model': found.model.name})}"} if base else {}
    content = Content(
        period_title(found),
        effect=f"{period_sentence(found)}.",
        rows=rows,
        more=len(stirred) - len(rows),
        links=links,
        footer="The whole report is attached to the mail and lies in the reports folder.",
        page=page,
    )
    key = f"{found.model.name}|{found.window.grain}|{found.window.start.isoformat()}"
    return [
        Message(
            f"report {blake2b(f'{key}|{channel}'.encode('utf-8', 'replace'), digest_size=12).hexdigest()}",
            channel, "", found.model.name, MessageKind.REPORT, found.severity, content, 1, world.clock.now(),
        )
        for channel in channels
    ]  # fmt: skip


@dataclass(slots=True, eq=False)
class Reports:
    """Writes what is due.

    Args:
        world: log, states, metrics; its outbox takes the messages.
        folder: of the reports.
        receivers: channels by kind, `daily` and `weekly`.
    """

    world: World
    folder: Path
    receivers: Mapping[str, Sequence[str]]
    _written: set[str] = field(default_factory=set)

    def turn(self, now: datetime) -> list[Path]:
        """Write every report whose window was judged and which does not exist yet; the files written."""
        written = []
        for kind, grain in KINDS.items():
            window = newest_complete(now, grain, self.world.zone)
            for model in list(self.world.models.values()):
                path = self.folder / report_name(model.name, window, self.world)
                if path.name in self._written or not self._was_judged(model, window):
                    continue
                if not path.exists():
                    self._write(model, window, path, self.receivers.get(kind, ()))
                    written.append(path)
                self._written.add(path.name)
        return written

    def _was_judged(self, model: Model, window: Window) -> bool:
        until = judged_until(self.world.state, model.name, window.grain)
        return until is not None and until >= window.end

    def _write(self, model: Model, window: Window, path: Path, channels: Sequence[str]) -> None:
        found = period_of(self.world, model, window)
        page = found.to_html()
        # Messages first: a crash between the two sends nothing twice, for their ids are those of the period.
        if channels:
            self.world.state.enqueue(report_messages(found, page, channels, self.world))
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(path, page)
        log.info("report_written", model=model.name, path=path.name)

    def run(self, stop: Event) -> None:
        """Look every minute until told to stop."""
        while not stop.wait(EVERY.total_seconds()):
            try:
                self.turn(self.world.clock.now())
            except TiltmeterError as error:
                log.warning("report_failed", error=str(error))
