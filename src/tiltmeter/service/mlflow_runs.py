"""What was judged, in MLflow: a series run for each model version, a summary run for each day and week.

The experiment `<model>/monitoring` holds both. A thread of its own publishes what was judged meanwhile, so a server
that is away delays nothing: what it missed, up to `CATCH_UP` windows, is published when it is back. Of two processes
on one state database only the one with the lease publishes: the server would keep a point that comes twice.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import structlog

from tiltmeter.api.period import newest_complete, period_of
from tiltmeter.api.period_story import period_sentence
from tiltmeter.api.summary import sentence
from tiltmeter.domain.baseline import Reference
from tiltmeter.domain.errors import TiltmeterError
from tiltmeter.domain.window import Grain, windows_between
from tiltmeter.drawing.style import NOT_JUDGED, SEVERITY_MARKS
from tiltmeter.ingest.mlflow import RunData, model_name
from tiltmeter.monitors.effects import shortened
from tiltmeter.monitors.registered import judged_until
from tiltmeter.profiling.codec import encode_baseline
from tiltmeter.service.mlflow_numbers import feature_numbers, feature_table, overview
from tiltmeter.service.mlflow_troubles import EVERY, Troubles
from tiltmeter.service.mlflow_versions import VersionDay, version_days
from tiltmeter.store.baselines import champion_mark, registered_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from threading import Event

    from tiltmeter.api.period import Period
    from tiltmeter.api.result import Result
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.window import Window
    from tiltmeter.ingest.mlflow import Tracking
    from tiltmeter.ports import Lease, World

SERVER = "the server"
"""What a trouble is about that stops everything."""

LEASE = "mlflow"
LEASE_TIME = timedelta(minutes=35)
"""Outlives the longest wait; a service that stops gives it back, and its successor takes over what a dead one held."""

CATCH_UP = 35
"""Days that are made up for after the server was away."""

GRAINS = (Grain.DAY, Grain.WEEK)
_DAY_0 = date(1970, 1, 1).toordinal()
_MARKDOWN = re.compile(r"[^\w\s.,;:%()+-]|_")
_GUIDE = (
    "Made by Tiltmeter. **Day by day**: one run for each model version, a point a day; filter with "
    "`tags.tiltmeter.kind = 'series'`, open *Model metrics* and set the x-axis to *Time (wall)*. "
    "**Summaries**: one run for each day and week with its verdict, numbers, tables and report; filter with "
    "`tags.severity = 'critical'`."
)

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class MlflowRuns:
    """Publishes to one server.

    Args:
        world: metrics, states and incidents; only read, but for the marks of what was published.
        tracking: the server.
        holder: name of this process.
        troubles: what could not be done.
    """

    world: World
    tracking: Tracking
    holder: str = ""
    troubles: Troubles = field(default_factory=Troubles)
    _lease: Lease | None = None
    _published: dict[str, datetime] = field(default_factory=dict)
    _series: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)

    def turn(self, now: datetime) -> int:
        """Publish every judged day and week that is not there yet; the number of summary runs.

        Nothing where another process publishes. What fails about one model or address is kept in `troubles`, the others
        go on.

        Raises:
            TiltmeterError: the server or the state database does not answer.
        """
        if not self._holds_lease(now):
            return 0
        asked = self._follow_aliases(now)
        made = 0
        for model in list(self.world.models.values()):
            for grain in GRAINS:
                about = f"{model.name}, each {grain}"
                asked.append(about)
                if self.troubles.is_due(about, now):
                    made += self._tried(about, now, partial(self._catch_up, model, grain, now))
        self.troubles.over(SERVER)
        self.troubles.keep_only(*asked)
        self.troubles.keep(self.world.state)
        return made

    def run(self, stop: Event) -> None:
        """Look now and every minute until told to stop; less and less often while the server is away."""
        while not stop.is_set():
            wait, now = EVERY, self.world.clock.now()
            try:
                made = self.turn(now)
            except TiltmeterError as error:
                wait = self.troubles.met(SERVER, error, now)
                with suppress(TiltmeterError):  # it may be the state database that is away
                    self.troubles.keep(self.world.state)
            else:
                if made:
                    log.info("mlflow_published", runs=made)
            stop.wait(wait.total_seconds())
        if self._lease is not None:
            self.world.state.release_lease(self._lease)

    def _tried(self, about: str, now: datetime, work: Callable[[], int]) -> int:
        """Do it; a failure is kept and the rest goes on, unless nothing would come through.

        Raises:
            TiltmeterError: it failed and the server does not answer.
        """
        try:
            done = work()
        except TiltmeterError as error:
            if not self.tracking.answers():
                raise
            self.troubles.met(about, error, now)
            return 0
        self.troubles.over(about)
        return done

    def _catch_up(self, model: Model, grain: Grain, now: datetime) -> int:
        made = 0
        for window in self._due(model, grain, now):
            made += self._publish(model, window)
            self._mark(model, window)
        return made

    def _holds_lease(self, now: datetime) -> bool:
        taken = self.world.state.take_lease(LEASE, self.holder, now=now, ttl=LEASE_TIME)
        if taken is None or self._lease is None or taken.fencing != self._lease.fencing:
            self._published.clear()  # somebody else may have published in between
            self._series.clear()
        self._lease = taken
        return taken is not None

    # ---- what is due

    def _follow_aliases(self, now: datetime) -> list[str]:
        """Look which versions the addresses mean, one by one; what was asked for.

        Baselines read it from the state database, never from the server.
        """
        asked = sorted({b.mlflow for model in self.world.models.values() for b in model.baselines if b.mlflow})
        for address in asked:
            self._tried(address, now, partial(self._follow, address))
        for model in list(self.world.models.values()):
            about = f"champion of {model.name}"
            asked.append(about)
            self._tried(about, now, partial(self._follow_champion, model))
        return asked

    def _follow(self, address: str) -> int:
        return self._keep(registered_mark(address), self.tracking.registered(address).version)

    def _follow_champion(self, model: Model) -> int:
        names = {model_name(b.mlflow) for b in model.baselines if b.mlflow} or {model.name}
        champion = self.tracking.champion(min(names))
        return self._keep(champion_mark(model.name), champion) if champion is not None else 0

    def _keep(self, mark: str, version: str) -> int:
        if self.world.state.watermark(mark) == version:
            return 0
        self.world.state.set_watermark(mark, version)
        log.info("registered_version_found", of=mark, version=version)
        return 1

    def _due(self, model: Model, grain: Grain, now: datetime) -> Iterator[Window]:
        newest = newest_complete(now, grain, self.world.zone)
        judged = judged_until(self.world.state, model.name, grain)
        if judged is None:
            return
        horizon = newest.end - timedelta(days=CATCH_UP)
        after = max(self._until(_mark(model, grain)) or horizon, horizon)
        for window in windows_between(after, newest.end, grain, self.world.zone):
            if after <= window.start and window.end <= judged:
                yield window

    def _until(self, mark: str) -> datetime | None:
        if mark in self._published:
            return self._published[mark]
        text = self.world.state.watermark(mark)
        return datetime.fromisoformat(text) if text is not None else None

    def _mark(self, model: Model, window: Window) -> None:
        mark = _mark(model, window.grain)
        self.world.state.set_watermark(mark, window.end.isoformat())
        self._published[mark] = window.end

    # ---- runs

    def _publish(self, model: Model, window: Window) -> bool:
        found = period_of(self.world, model, window)
        result = found.against_baseline
        if result is None:
            return False
        if window.grain is Grain.DAY:
            for day in version_days(self.world, found, result):
                self.extend_series(model, window, day.version, _numbers(day), said=self._said(found, day))
                self._tag_version(model, window, day)
        return self._summarise(model, window, found, result)

    def _said(self, found: Period, day: VersionDay) -> str:
        """The day of a version in words."""
        when = _when(found.window, self.world)
        if day.is_alone:
            return f"{when}: {_verdict(found)}"
        parts = [sentence(day.comparison)] if day.comparison is not None else []
        if day.service is not None and day.service.p95_ms is not None:
            parts.append(f"{day.service.requests:,} requests, P95 {day.service.p95_ms:,.0f} ms")
        parts.append(f"{len(day.alerts) or 'no'} incident{'s' * (len(day.alerts) > 1)}")
        if not day.served:
            return f"{when}: it served nothing; outcomes of leads that it scored before"
        return f"{when}: {_marked(day)} · {_plain('; '.join(parts))}."

    def extend_series(
        self, model: Model, window: Window, version: str, numbers: Mapping[str, float | None], *, said: str = ""
    ) -> None:
        """Add a day to the series run of a version; a day that is there already changes nothing.

        Args:
            model: whose run.
            window: the day.
            version: of the model, empty where rows name none.
            numbers: value by metric name, as MLflow groups them.
            said: the day in a sentence; becomes the description of the run.

        Raises:
            StoreError: the server does not answer.
        """
        key = model.name, version
        run_id, until_ms = self._series.get(key) or self._find_series(model, window, version)
        self._series.pop(key, None)
        end_ms = _milliseconds(window.end)
        if until_ms < end_ms:  # MLflow would add the same points again
            step = self._step(window)
            tags = {"tiltmeter.until": str(end_ms), "mlflow.note.content": said}
            self.tracking.log(run_id, numbers, step=step, at_ms=end_ms, tags=tags)
        # Kept only after the server took it: where it did not, the next try asks what is there.
        self._series[key] = run_id, max(until_ms, end_ms)

    def _step(self, window: Window) -> int:
        """Days from 1970-01-01 to the first day of the window, as the calendar of the configured zone names it."""
        return window.start.astimezone(self.world.zone).date().toordinal() - _DAY_0

    def _find_series(self, model: Model, window: Window, version: str) -> tuple[str, int]:
        tags = {"tiltmeter.kind": "series", "tiltmeter.model": model.name, "tiltmeter.model_version": version or "none"}
        found = self.tracking.find_runs(_experiment(model), tags)
        if found:
            longest = max(found, key=_until_ms)
            for other in found:
                if other is not longest and not _until_ms(other):
                    self.tracking.delete_run(other.info.run_id)
            return longest.info.run_id, _until_ms(longest)
        self.tracking.describe(_experiment(model), _GUIDE)
        name = f"version {shortened(version)}, day by day" if version else "all rows, day by day"
        return self.tracking.start_run(_experiment(model), name, tags, _milliseconds(window.start)), 0

    def _summarise(self, model: Model, window: Window, found: Period, result: Result) -> bool:
        name = f"{window.grain} {_when(window, self.world)}"
        tags = {"tiltmeter.kind": "summary", "tiltmeter.model": model.name, "tiltmeter.window": name}
        before = self.tracking.find_runs(_experiment(model), tags)
        for run in before:
            if run.info.status != "FINISHED":
                self.tracking.delete_run(run.info.run_id)  # a crash left it half written
        if any(run.info.status == "FINISHED" for run in before):
            return False
        told = {
            "severity": found.severity.word, "tiltmeter.baseline": result.reference.name[:200],
            "mlflow.source.name": "tiltmeter", "mlflow.note.content": _verdict(found),
        }  # fmt: skip
        title = f"{_when(window, self.world)} {SEVERITY_MARKS[found.severity]} {found.verdict}"
        run_id = self.tracking.start_run(_experiment(model), title, tags, _milliseconds(window.start), tags=told)
        service = found.service_total if found.service else None
        numbers = {
            **overview(result.comparison, service, found.outcomes, len(found.incidents)),
            **feature_numbers(result.comparison),
        }
        step, end_ms = self._step(window), _milliseconds(window.end)
        shown = {"mlflow.loggedArtifacts": json.dumps([{"path": "features.json", "type": "table"}])}
        self.tracking.log(run_id, numbers, step=step, at_ms=end_ms, tags=shown)
        self.tracking.name_data(run_id, _data_of(model, window, result))
        window_state = Reference(name, "", result.reference.bins, result.current)
        self.tracking.upload(
            run_id,
            {
                "features.json": json.dumps(feature_table(result.comparison), allow_nan=False).encode(),
                "report.html": found.to_html().encode(),
                "states/window.tmb": encode_baseline(window_state),
                "states/baseline.tmb": encode_baseline(result.reference),
            },
        )
        self.tracking.end_run(run_id, end_ms)
        return True

    def _tag_version(self, model: Model, window: Window, day: VersionDay) -> None:
        if not day.version or not day.served:
            return
        features = day.comparison.features.values() if day.comparison is not None else ()
        worst = max((f.psi for f in features if f.psi is not None), default=None)
        tags = {
            "monitoring.status": day.severity.word if day.verdict != NOT_JUDGED else "not_judged",
            "monitoring.last_window": window.end.isoformat(),
            **({"monitoring.psi_max": f"{worst:.3f}"} if worst is not None else {}),
        }  # fmt: skip
        for name in {model_name(b.mlflow) for b in model.baselines if b.mlflow} or {model.name}:
            self.tracking.tag_version(name, day.version, tags)


def _mark(model: Model, grain: Grain) -> str:
    return f"mlflow:{grain}:{model.name}"


def _experiment(model: Model) -> str:
    return f"{model.name}/monitoring"


def _when(window: Window, world: World) -> str:
    local = window.start.astimezone(world.zone)
    return f"{local:%Y-%m-%d}" if window.grain is Grain.DAY else f"{local:%G-W%V}"


def _verdict(found: Period) -> str:
    """How bad, then what happened: MLflow reads Markdown, so names stand in it letter by letter."""
    return f"{_marked(found)} · {_plain(period_sentence(found))}."


def _marked(judged: Period | VersionDay) -> str:
    return f"{SEVERITY_MARKS[judged.severity]} **{judged.verdict}**"


def _numbers(day: VersionDay) -> dict[str, float | None]:
    own = feature_numbers(day.comparison) if day.comparison is not None else {}
    incidents = len(day.alerts) if day.served else None
    return {**overview(day.comparison, day.service, day.outcomes, incidents), **own}


def _plain(text: str) -> str:
    return _MARKDOWN.sub(lambda sign: f"&#{ord(sign[0])};", text)


def _data_of(model: Model, window: Window, result: Result) -> dict[str, RunData]:
    reference = result.reference
    scored = {"table": "predictions", "start": window.start.isoformat(), "end": window.end.isoformat()}
    rows = result.comparison.rows_current
    digest = blake2b(f"{window.start}{window.end}{rows}".encode(), digest_size=4).hexdigest()
    return {
        "scored": RunData(model.name, digest, rows, scored),
        "baseline": RunData(
            f"baseline {reference.name}"[:200], reference.baseline_id[:8] or reference.bins.bins_id[:8],
            reference.profile.rows, {"baseline": reference.name},
        ),
    }  # fmt: skip


def _until_ms(run: Any) -> int:  # noqa: ANN401 - an mlflow Run
    return int(run.data.tags.get("tiltmeter.until", "0"))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
