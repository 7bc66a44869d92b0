"""Every seam of the product on one page: what the inside asks of the outside. The docstrings are the contracts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta
    from zoneinfo import ZoneInfo

    from tiltmeter.domain.alert import Alert, AlertEvent, Incident, Silence
    from tiltmeter.domain.baseline import BaselineRecord, Reference
    from tiltmeter.domain.cohort import Cohort
    from tiltmeter.domain.feature import ColumnRoles
    from tiltmeter.domain.message import Delivery, DeliveryStatus, Message, Receipt
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.model import Model
    from tiltmeter.domain.profile import Bins, Profile
    from tiltmeter.domain.rule import RuleSet
    from tiltmeter.domain.run import Run
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.domain.window import Grain, Window
    from tiltmeter.statistics.root_cause import SegmentSums
    from tiltmeter.statistics.segmenting import Segmentation


class Clock(Protocol):
    """Time comes in here and nowhere else."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump; only differences mean anything."""
        ...


class Rows(Protocol):
    """Rows of a data set of any size, as Arrow record batches."""

    @property
    def name(self) -> str:
        """What people call it: a path, a table, "data frame"."""
        ...

    @property
    def version(self) -> int | None:
        """Version of the table that is pinned, None for data without versions."""
        ...

    @property
    def schema(self) -> Any:  # noqa: ANN401 - a pyarrow.Schema; ports import no pyarrow
        """Arrow schema."""
        ...

    def count(self) -> int | None:
        """Number of rows when it is known without reading them (progress bars, sampling rule)."""
        ...

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Arrow record batches, dictionaries kept, in the row order of the version. May be called again."""
        ...


@dataclass(frozen=True, slots=True)
class StateKey:
    """What a stored profile is about. An hour is a clock hour of the business time zone, keyed by its UTC start."""

    window_start: datetime
    grain: Grain
    model_name: str
    model_version: str = ""
    segment_key: str = ""
    segment_value: str = ""
    bins_id: str = ""


class Engine(Protocol):
    """Runs the profiling kernel over rows. Every engine gives the same integers, given the same bins."""

    name: str

    def fit(self, rows: Rows, roles: ColumnRoles, *, level_cap: int = 10_000) -> Bins:
        """Freeze kinds, edges, levels and scales.

        Raises:
            EmptyWindow: there are no rows.
        """
        ...

    def profile(self, rows: Rows, bins: Bins) -> Profile:
        """All rows as one profile."""
        ...

    def score_sums(
        self, rows: Rows, bins: Bins, segmentations: Mapping[str, Segmentation]
    ) -> Mapping[str, SegmentSums]:
        """Rows with a score, and their scores less the baseline's median score, by segment of each feature.

        Args:
            rows: predictions.
            bins: frozen cells, with a numeric score.
            segmentations: by feature.

        Returns:
            By feature, exact in any order of the rows. A feature that the rows lack or hold in another type, and
            every feature of rows without such a score, is not among them.
        """
        ...

    def profile_hours(
        self,
        rows: Rows,
        bins: Bins,
        *,
        model: str,
        time: str,
        version: str | None,
        segments: Sequence[str],
        zone: ZoneInfo,
        grain: Grain = ...,
    ) -> Mapping[StateKey, Profile]:
        """One additive profile per clock hour, version, and segment value; in addition all versions and segments ("").

        Args:
            rows: predictions.
            bins: frozen cells.
            model: model name for the keys.
            time: timestamp column.
            version: column of the model version, None where there is none.
            segments: columns whose values get profiles of their own.
            zone: cuts the hours.
            grain: longer windows instead of hours, for a history that is judged once and kept nowhere.
        """
        ...


class ProfileStates(Protocol):
    """Stored profiles. Append-only; partials of one key are summed within the newest generation."""

    def append(self, states: Mapping[StateKey, Profile], *, source_version: int | None) -> None:
        """Keep partials; appending the same source version of a model twice changes nothing."""
        ...

    def replace(
        self,
        states: Mapping[StateKey, Profile],
        hours: Iterable[datetime],
        *,
        model: str,
        bins_id: str,
        source_version: int | None = None,
    ) -> None:
        """Write hours anew after rows were erased, repaired or changed: their older states count no longer.

        Args:
            states: what the hours hold now.
            hours: UTC starts of all hours that are replaced, those without any row left included.
            model: whose hours.
            bins_id: cells of the profiles.
            source_version: becomes the watermark.
        """
        ...

    def watermark(self, model: str, bins_id: str) -> int | None:
        """Source version up to which rows were profiled, None before the first."""
        ...

    def hours(
        self, model: str, bins_id: str, window: Window, *, version: str = "", segment: tuple[str, str] = ("", "")
    ) -> Mapping[datetime, Profile]:
        """Profiles of the hours within the window that have rows, by UTC start."""
        ...

    def total(
        self,
        model: str,
        bins_id: str,
        window: Window,
        *,
        version: str = "",
        segment: tuple[str, str] = ("", ""),
        as_of: int | None = None,
    ) -> Profile | None:
        """Sum over the window, None where no row lies in it; as it was at a source version where one is given."""
        ...

    def span(self, model: str, bins_id: str, *, within: Window | None = None) -> tuple[datetime, datetime] | None:
        """First hour and end of the last hour with rows; of the days that lie within a window where one is given."""
        ...

    def subjects(self, model: str, bins_id: str) -> tuple[list[str], list[tuple[str, str]]]:
        """Model versions and segments (key, value) that have states, sorted."""
        ...

    def versions(self, model: str, bins_id: str, window: Window) -> Mapping[datetime, frozenset[str]]:
        """Model versions that may have rows in an hour of the window, by its UTC start; those that have are among them.

        Told by what the table knows of its files, without reading a profile: between the first and the last hour that
        a version has in a file it may be named where it has none.
        """
        ...


class StoredLog(Protocol):
    """The Delta tables of predictions, outcomes, batch runs and traffic, or a table that is read in place."""

    def version(self, name: str) -> int | None:
        """Newest version of a table (`traffic`, `batch_runs`, …), None while it does not exist; cheap."""
        ...

    def new_rows(self, model: Model, since: int | None, begin: datetime | None = None) -> Rows:
        """Rows with a prediction of versions later than `since` (all for None); `.version` is the newest version.

        Args:
            model: whose rows.
            since: version that was read before.
            begin: rows of a table that is read in place that are older than this are not wanted.

        Raises:
            RowsRewritten: a table that is read in place changed rows it had before.
        """
        ...

    def rows(self, model: Model, window: Window) -> Rows:
        """Rows with a prediction in the window."""
        ...

    def rows_at(self, model: Model, window: Window, version: int) -> Rows | None:
        """Rows with a prediction in the window as the table was at a version; None where it is no longer kept."""
        ...

    def sample(
        self, model: str, window: Window, filters: Mapping[str, object], limit: int = 20
    ) -> list[dict[str, Any]]:
        """At most `limit` rows for a person to look at, privacy rules applied."""
        ...

    def outcomes(self, model: str, until: datetime) -> Any:  # noqa: ANN401 - a pyarrow.Table
        """Newest row per outcome id known until then, as an Arrow table."""
        ...

    def batch_runs(self, since: datetime) -> list[dict[str, Any]]:
        """Newest row per (workspace, run_id, attempt, task_key) that started since then; tasks beside their run."""
        ...

    def traffic(self, model: str, window: Window) -> list[TrafficState]:
        """Ten-second states of the window."""
        ...


class PredictionLog(StoredLog, Protocol):
    """The log as monitors see it: rows carry reserved names for time, version, entity and score."""

    def cohort(self, model: Model, window: Window, until: datetime) -> Cohort:
        """Leads scored in the window (their last prediction) with what is known of them until then."""
        ...

    def first_row(self, model: Model) -> datetime | None:
        """Time of a model's first row, None without rows."""
        ...


class Baselines(Protocol):
    """Reference sides by model and window."""

    def bins(self, model: Model, now: datetime) -> Bins | None:
        """The frozen cells of a model, made on first use; None while the baseline is still learnt."""
        ...

    def judging(self, model: Model, window: Window, *, as_of: int | None = None) -> Reference | None:
        """The first configured baseline; None while it is still learnt.

        Args:
            model: whose.
            window: the span that is compared: baselines that move end where it starts.
            as_of: source version whose rows count, for baselines that are sums of stored profiles.
        """
        ...

    def beside(self, model: Model, window: Window) -> list[Reference]:
        """The further baselines, which are shown and never judge."""
        ...

    def stored(self, bins_id: str) -> Reference | None:
        """A baseline that judged once, by the hash of its cells; None where its file is gone."""
        ...

    def progress(self, model: Model) -> tuple[int, int]:
        """Rows seen and rows needed while learning."""
        ...


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """Which stored metrics to read; None means any."""

    model: str | None = None
    metric: str | None = None
    prefix: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    grain: Grain | None = None
    version: str | None = None
    feature: str | None = None
    segment: tuple[str, str] | None = None
    newest_only: bool = False


class MetricStore(Protocol):
    """Numbers by window and subject. A window judged again replaces its numbers."""

    def metrics(self, query: MetricQuery) -> list[Metric]:
        """Matching metrics, ordered by window start, metric and subject."""
        ...

    def count(self, query: MetricQuery) -> int:
        """How many metrics match, without reading them."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """A right that ends by itself. `fencing` grows with every holder, so that a paused holder cannot commit."""

    name: str
    holder: str
    fencing: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How a channel stands: pause, last success and failure, and what waits for it."""

    name: str
    paused_until: datetime | None = None
    reason: str = ""
    queued: int = 0
    dead: int = 0
    oldest_at: datetime | None = None
    last_sent_at: datetime | None = None


class StateStore(MetricStore, Protocol):
    """What must change together: metrics, alerts, events, outbox, leases, watermarks."""

    def commit(self, run: Run, *, lease: Lease | None = None) -> bool:
        """Write everything of the run in one transaction.

        Returns:
            False when this (monitor, model, window) was already committed with the same source version.

        Raises:
            StoreError: the database is locked or gone (retryable), or the lease was lost.
        """
        ...

    def alerts(self, model: str | None = None, *, open_only: bool = True) -> dict[str, Alert]:
        """Alerts by fingerprint; open means pending or firing, or resolved within the reopen time."""
        ...

    def incidents(self, model: str | None = None, *, open_only: bool = True, limit: int = 1000) -> list[Incident]:
        """Incidents, newest first."""
        ...

    def incident(self, incident_id: str) -> Incident | None:
        """One incident."""
        ...

    def events(
        self, *, incident: str | None = None, fingerprint: str | None = None, kinds: Sequence[str] | None = None
    ) -> list[AlertEvent]:
        """Transitions in order."""
        ...

    def record(self, events: Sequence[AlertEvent]) -> None:
        """Append events that belong to no run: what people changed about silences and rules."""
        ...

    def save_incident(self, incident: Incident, messages: Sequence[Message], events: Sequence[AlertEvent] = ()) -> None:
        """Write an incident changed by a person or by time (acknowledge, escalation step) and its messages at once."""
        ...

    def deliveries(self, *, incident: str | None = None, status: DeliveryStatus | None = None) -> list[Delivery]:
        """Outbox rows in order."""
        ...

    def claim(self, now: datetime, *, holder: str, channels: Sequence[str], lease: timedelta) -> Delivery | None:
        """The next due message: lowest open sequence of its incident and channel; marks it as being sent."""
        ...

    def settle(
        self,
        delivery: Delivery,
        status: DeliveryStatus,
        *,
        holder: str,
        now: datetime,
        due_at: datetime | None = None,
        receipt: Receipt | None = None,
        error: str = "",
        reconcile: bool = False,
    ) -> bool:
        """Record what became of a claimed message; False when the claim had expired and was taken by somebody else.

        Args:
            delivery: as claimed.
            status: SENT, DEAD, DROPPED, or QUEUED for another try at `due_at`.
            holder: who claimed it.
            now: aware UTC.
            due_at: when to try again.
            receipt: what the channel gave back; its thread is kept for later messages of the incident.
            error: what went wrong, secrets redacted.
            reconcile: the try may have arrived, so the next one has to look first.
        """
        ...

    def enqueue(self, messages: Sequence[Message]) -> None:
        """Put messages into the outbox outside of a run (tests, meta messages); known delivery ids are left alone."""
        ...

    def forget_sent(self, channel: str, before: datetime) -> int:
        """Delete sent messages of a channel that were queued before; only the heartbeat forgets."""
        ...

    def queued_since(self, since: datetime) -> Mapping[str, int]:
        """How many messages were queued by channel since then, whatever became of them."""
        ...

    def pause_channel(self, channel: str, until: datetime, reason: str) -> None:
        """No message of the channel is claimed before `until`; a later end already stored is kept."""
        ...

    def channel_states(self) -> list[ChannelState]:
        """Pauses, circuits and queue ages by channel, in order of name."""
        ...

    def beat(self, component: str, at: datetime, window: str = "") -> None:
        """Keep when a component last proved that it works."""
        ...

    def heartbeats(self) -> dict[str, datetime]:
        """Last proof of life by component."""
        ...

    def silences(self, now: datetime) -> list[Silence]:
        """Silences that are not over."""
        ...

    def save_silence(self, silence: Silence) -> None:
        """Add or replace."""
        ...

    def save_baseline(self, record: BaselineRecord) -> None:
        """Keep what a model is judged by; one of the same model and name is replaced."""
        ...

    def baselines(self, model: str | None = None) -> list[BaselineRecord]:
        """What models are judged by, by model and name."""
        ...

    def watermark(self, name: str) -> str | None:
        """A kept position, such as the end of the last judged window of a monitor."""
        ...

    def set_watermark(self, name: str, value: str) -> None:
        """Keep a position."""
        ...

    def take_lease(self, name: str, holder: str, *, now: datetime, ttl: timedelta) -> Lease | None:
        """Take or renew; None while another holder's lease has not expired."""
        ...

    def is_leased(self, name: str, *, now: datetime) -> bool:
        """Whether somebody holds a lease of this name."""
        ...

    def release_lease(self, lease: Lease) -> None:
        """Give it back early."""
        ...

    def release_held(self, holder: str, *, at: datetime) -> int:
        """End what a process that is known to be dead still holds: leases now, claims at that moment; how many."""
        ...

    def transaction(self) -> AbstractContextManager[Any]:
        """Several writes as one."""
        ...


class Channel(Protocol):
    """Delivers messages to people. One file each in `channels/`."""

    name: str
    kind: str

    def send(self, message: Message) -> Receipt:
        """Deliver; the same delivery id twice must not reach people twice where the receiver allows it.

        Raises:
            DeliveryError: refused (not retryable), unreachable or rate limited (retryable), or unknown.
        """
        ...


@dataclass(frozen=True, slots=True)
class World:
    """Everything the pipeline touches, put together in `wiring`."""

    clock: Clock
    zone: ZoneInfo
    engine: Engine
    log: PredictionLog
    states: ProfileStates
    baselines: Baselines
    state: StateStore
    models: Mapping[str, Model]
    rules: RuleSet
    channels: Mapping[str, Channel] = field(default_factory=dict)
    public_url: str = ""
