"""Baselines in use: frozen bins in a file each, reference profiles summed from stored states or kept with the bins."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from tiltmeter.alerting.deploys import first_hours
from tiltmeter.domain.baseline import BaselineRecord, Reference
from tiltmeter.domain.errors import ConfigError, StoreError
from tiltmeter.domain.window import Grain, Window, window_at
from tiltmeter.profiling.codec import decode_baseline, encode_baseline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.feature import ColumnRoles
    from tiltmeter.domain.model import BaselineSelector, Model
    from tiltmeter.domain.profile import Bins, Profile
    from tiltmeter.ports import Engine, ProfileStates, Rows, StateStore

T = TypeVar("T")

LEARNING_ROWS = 1000
"""Rows a learnt baseline needs, besides a full week (decisions.md, "learning a baseline")."""


_LOST_BASELINE = "restore it from a backup, or judge against another one: `tiltmeter baseline use FILE --model NAME`"

ASK_AGAIN = timedelta(minutes=1)
"""After a registry did not answer, the same error is given for this long without asking it."""


def registered_mark(address: str) -> str:
    """Name of the position that holds the version that an address of a registered model means."""
    return f"registered:{address}"


def _no_registry(address: str, *_: object) -> Any:  # noqa: ANN401 - it never returns
    raise ConfigError(f"the baseline {address} needs a model registry", hint="set mlflow.tracking_uri")


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Where rows for a baseline come from.

    Args:
        data: opens a configured data set of a model.
        log: rows of the log in a window, under reserved names.
        first_row: time of a model's first row in the log; None without rows.
        roles: column roles of such rows.
        monitored: cells of a baseline in the form in which rows of the log are counted in them.
        registered: which version of a registered model an address means now.
        trained: reference that such a version was trained on.
    """

    data: Callable[[str, Model], Rows]
    log: Callable[[Model, Window], Rows]
    first_row: Callable[[Model], datetime | None]
    roles: Callable[[Model, Rows], ColumnRoles]
    monitored: Callable[[Bins], Bins]
    registered: Callable[[str], str] = _no_registry
    trained: Callable[[str, str, Model], Reference] = _no_registry


@dataclass(slots=True, eq=False)
class StoredBaselines:
    """Reference sides by model and window.

    Args:
        folder: holds `<bins_id>.tmb`.
        engine: fits and profiles.
        states: stored profiles, summed for rolling, previous and seasonal baselines.
        state: keeps which bins a model uses, and since when.
        sources: where rows come from.
        zone: business time zone.
    """

    folder: Path
    engine: Engine
    states: ProfileStates
    state: StateStore
    sources: Sources
    zone: ZoneInfo
    _kept: dict[str, tuple[Bins, Profile]] = field(default_factory=dict)
    _in_use: dict[str, tuple[Bins, Profile]] = field(default_factory=dict)
    _refused: dict[str, tuple[datetime, StoreError]] = field(default_factory=dict)

    def bins(self, model: Model, now: datetime) -> Bins | None:
        """The frozen cells of a model: those of its judging baseline, made on first use; None while learning."""
        made = self._made(model, model.baselines[0], now)
        return made[0] if made else None

    def judging(self, model: Model, window: Window, *, as_of: int | None = None) -> Reference | None:
        """As the port."""
        return self._reference(model, model.baselines[0], window, as_of)

    def stored(self, bins_id: str) -> Reference | None:
        """As the port."""
        if bins_id not in self._kept and not (self.folder / f"{bins_id}.tmb").exists():
            return None
        bins, profile = self._loaded(bins_id)
        return Reference(bins_id, bins_id, bins, profile)

    def use(self, model: Model, bins: Bins, profile: Profile) -> None:
        """Judge a model by this baseline from now on, instead of what its first configured one had made."""
        selector = model.baselines[0]
        self._save(bins, profile)
        self.state.set_watermark(self._key(model, selector), bins.bins_id)
        self._remember(model, selector, bins, "chosen by hand")
        self._in_use.pop(self._key(model, selector), None)

    def used(self, model: Model) -> str | None:
        """Id of the bins that a model is judged by; None while nothing was made."""
        return self.state.watermark(self._key(model, model.baselines[0]))

    def beside(self, model: Model, window: Window) -> list[Reference]:
        """The further baselines that have rows for the window."""
        found = (self._reference(model, selector, window) for selector in model.baselines[1:])
        return [reference for reference in found if reference is not None]

    def progress(self, model: Model) -> tuple[int, int]:
        """Rows seen and rows needed while learning."""
        week = self._learning_week(model)
        if week is None:
            return 0, LEARNING_ROWS
        return self.sources.log(model, week).count() or 0, LEARNING_ROWS

    def _reference(
        self, model: Model, selector: BaselineSelector, window: Window, as_of: int | None = None
    ) -> Reference | None:
        made = self._made(model, model.baselines[0], window.end)
        if made is None:
            return None
        bins, first_profile = made
        profile: Profile | None
        if _moves(selector):
            profile = self._summed(model, selector, window, bins, as_of)
        elif selector == model.baselines[0]:
            profile = first_profile
        else:
            profile = self._profiled(model, selector, bins)
        if profile is None or not profile.rows:
            return None
        when = f"{window.start.isoformat()}/{window.end.isoformat()}" if _moves(selector) else ""
        return Reference(selector.name, self._baseline_id(bins, selector, when), bins, profile)

    def _summed(
        self, model: Model, selector: BaselineSelector, window: Window, bins: Bins, as_of: int | None
    ) -> Profile | None:
        """Reference profile from stored states, for the selectors that are sums of windows; None without rows."""
        spans: list[Window] = []
        version = ""
        if selector.champion:
            version = self._champion(model, window, bins)
            spans = [window] if version else []
        elif selector.rolling is not None:
            spans = [Window(window.start - selector.rolling, window.start, window.grain)]
        elif selector.previous:
            spans = [Window(window.start - window.length, window.start, window.grain)]
        elif selector.seasonal_weeks:
            spans = [_weeks_before(window, weeks, self.zone) for weeks in range(1, selector.seasonal_weeks + 1)]
        total: Profile | None = None
        for span in spans:
            part = self.states.total(model.name, bins.bins_id, span, version=version, as_of=as_of)
            if part is not None:
                total = part if total is None else total + part
        return total

    def _champion(self, model: Model, window: Window, bins: Bins) -> str:
        """The champion among the versions that serve: the registered one, else the one that served first."""
        versions, _ = self.states.subjects(model.name, bins.bins_id)
        serving = [v for v in versions if self.states.total(model.name, bins.bins_id, window, version=v) is not None]
        registered = self.state.watermark(champion_mark(model.name))
        if registered in serving:
            return registered or ""
        seen = first_hours(self.state, model.name)
        return min(serving, key=lambda version: (seen.get(version, "9"), version), default="")

    def _made(self, model: Model, selector: BaselineSelector, now: datetime) -> tuple[Bins, Profile] | None:
        if selector.mlflow:
            self._registered(selector.mlflow, now)
        key = self._key(model, selector)
        if (in_use := self._in_use.get(key)) is not None:
            return in_use
        bins_id = self.state.watermark(key)
        if bins_id is not None:
            found = self._in_use.setdefault(key, self._loaded(bins_id))
            self._remember(model, selector, found[0], _source(selector))
            return found
        if selector.mlflow:
            return self._trained(model, selector, now)
        rows = self._rows(model, selector, now)
        if rows is None:
            return None
        bins = self.engine.fit(rows, self.sources.roles(model, rows), level_cap=model.level_cap)
        profile = self.engine.profile(rows, bins)
        self._save(bins, profile)
        self.state.set_watermark(key, bins.bins_id)
        self._remember(model, selector, bins, _source(selector))
        return self._loaded(bins.bins_id)

    def _key(self, model: Model, selector: BaselineSelector) -> str:
        # The next version that an alias means is another baseline; the one before stays what it was.
        version = f":{self.state.watermark(registered_mark(selector.mlflow))}" if selector.mlflow else ""
        return f"baseline:{model.name}:{selector.name}:{self._place(selector)}{version}"

    def _registered(self, address: str, now: datetime) -> str:
        """The version an address means, as it was last seen; the registry is asked only where nobody ever did."""
        known = self.state.watermark(registered_mark(address))
        if known is None:
            known = self._asked(address, now, lambda: self.sources.registered(address))
            self.state.set_watermark(registered_mark(address), known)
        return known

    def _trained(self, model: Model, selector: BaselineSelector, now: datetime) -> tuple[Bins, Profile]:
        version = self._registered(selector.mlflow, now)
        key = f"{selector.mlflow}|{version}"
        reference = self._asked(key, now, lambda: self.sources.trained(selector.mlflow, version, model))
        self._save(reference.bins, reference.profile)
        self.state.set_watermark(self._key(model, selector), reference.bins.bins_id)
        self._remember(model, selector, reference.bins, _source(selector))
        return self._loaded(reference.bins.bins_id)

    def _remember(self, model: Model, selector: BaselineSelector, bins: Bins, source: str) -> None:
        """Tell the state database since when these bins judge: since their file was written."""
        if any(
            (known.name, known.bins_id) == (selector.name, bins.bins_id) for known in self.state.baselines(model.name)
        ):
            return
        frozen = datetime.fromtimestamp((self.folder / f"{bins.bins_id}.tmb").stat().st_mtime, UTC)
        version = self.state.watermark(registered_mark(selector.mlflow)) or "" if selector.mlflow else ""
        baseline_id = self._baseline_id(bins, selector)
        self.state.save_baseline(
            BaselineRecord(model.name, selector.name, baseline_id, bins.bins_id, frozen, source, version)
        )

    def _asked(self, what: str, now: datetime, ask: Callable[[], T]) -> T:
        """Ask the registry; while it is away not on every turn, for each try costs the other models seconds."""
        refused = self._refused.get(what)
        if refused is not None and timedelta(0) <= now - refused[0] < ASK_AGAIN:
            raise refused[1]
        try:
            return ask()
        except StoreError as error:
            self._refused[what] = now, error
            raise

    def _baseline_id(self, bins: Bins, selector: BaselineSelector, when: str = "") -> str:
        return _hash(f"{bins.bins_id}|{selector.name}|{self._place(selector)}|{when}")

    def _place(self, selector: BaselineSelector) -> str:
        """The selector in words that stay true when the whole home is moved."""
        home = f"{self.folder.parent}/"
        return _described(replace(selector, data=selector.data.removeprefix(home)))

    def _rows(self, model: Model, selector: BaselineSelector, now: datetime) -> Rows | None:
        if selector.data:
            return self.sources.data(selector.data, model)
        if selector.since is not None and selector.until is not None:
            if now < selector.until:
                return None
            return self.sources.log(model, Window(selector.since, selector.until, Grain.DAY))
        week = self._learning_week(model)
        if week is None or now < week.end:
            return None
        rows = self.sources.log(model, week)
        return rows if (rows.count() or 0) >= LEARNING_ROWS else None

    def _learning_week(self, model: Model) -> Window | None:
        """The first full week: seven whole days from the first midnight with rows before it."""
        first = self.sources.first_row(model)
        if first is None:
            return None
        start = window_at(first, Grain.DAY, self.zone).start
        if start < first.replace(minute=0, second=0, microsecond=0):
            start = window_at(first, Grain.DAY, self.zone).end
        return Window(start, start + timedelta(days=7), Grain.WEEK)

    def _profiled(self, model: Model, selector: BaselineSelector, bins: Bins) -> Profile | None:
        """A further fixed baseline, profiled once in the judging baseline's bins and kept beside them."""
        if not selector.data and selector.since is None:
            return None
        key = f"{bins.bins_id}-{_hash(selector.name + self._place(selector))}"
        if key not in self._kept:
            path = self.folder / f"{key}.tmb"
            if path.exists():
                self._kept[key] = _read(path)
            else:
                rows = self._rows(model, selector, datetime.max.replace(tzinfo=UTC))
                if rows is None:
                    return None
                self._kept[key] = bins, self.engine.profile(rows, bins)
                self._write(path, bins, self._kept[key][1])
        return self._kept[key][1]

    def _loaded(self, bins_id: str) -> tuple[Bins, Profile]:
        if bins_id not in self._kept:
            self._keep(*_read(self.folder / f"{bins_id}.tmb"))
        return self._kept[bins_id]

    def _save(self, bins: Bins, profile: Profile) -> None:
        self._write(self.folder / f"{bins.bins_id}.tmb", bins, profile)
        self._keep(bins, profile)

    def _keep(self, bins: Bins, profile: Profile) -> None:
        self._kept[bins.bins_id] = self.sources.monitored(bins), profile

    def _write(self, path: Path, bins: Bins, profile: Profile) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(encode_baseline(Reference(path.stem, bins.bins_id, bins, profile)))
        unfinished.replace(path)


def champion_mark(model: str) -> str:
    """Name of the position that holds the champion version, where a model registry tells it."""
    return f"champion:{model}"


def _moves(selector: BaselineSelector) -> bool:
    """Whether the reference side is a sum of stored profiles that moves with the window."""
    return bool(selector.rolling is not None or selector.previous or selector.seasonal_weeks or selector.champion)


def _weeks_before(window: Window, weeks: int, zone: ZoneInfo) -> Window:
    """The same hours on the local clock, weeks earlier: 09:00 is 09:00 on both sides of a clock change."""

    def earlier(moment: datetime) -> datetime:
        local = moment.astimezone(zone).replace(tzinfo=None) - timedelta(weeks=weeks)
        return local.replace(tzinfo=zone).astimezone(UTC)

    return replace(window, start=earlier(window.start), end=earlier(window.end))


def _read(path: Path) -> tuple[Bins, Profile]:
    try:
        kept = decode_baseline(path.read_bytes())
    except OSError as error:
        what = f"the baseline in use cannot be read ({error.strerror})"
        raise StoreError(what, at=str(path), hint=_LOST_BASELINE) from error
    except StoreError as error:
        raise StoreError(error.what, at=str(path), hint=_LOST_BASELINE) from error
    return kept.bins, kept.profile


def _source(selector: BaselineSelector) -> str:
    """Where the rows come from that froze the cells."""
    if selector.since is not None and selector.until is not None:
        return f"the log from {selector.since:%Y-%m-%d} until {selector.until:%Y-%m-%d}"
    return selector.data or selector.mlflow or "the first full week"


def _described(selector: BaselineSelector) -> str:
    return f"{selector.data}|{selector.since}|{selector.until}|{selector.mlflow}|{selector.first_week}"


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()
