"""What makes thirty simulated days quick: nobody else writes, so answers stay true until the replay itself writes.

Each class stands in for a port and hands everything on; it only remembers. The history is imported before time begins
to pass, so the tables have one version throughout; the state database changes through this process alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.message import DeliveryStatus
from tiltmeter.domain.window import Grain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tiltmeter.demo.still_traffic import StillTraffic
    from tiltmeter.domain.alert import Alert, AlertEvent, Incident, Silence
    from tiltmeter.domain.message import Delivery, Message
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.profile import Profile
    from tiltmeter.domain.run import Run
    from tiltmeter.domain.traffic import TrafficState
    from tiltmeter.domain.window import Window
    from tiltmeter.ports import ChannelState, Lease, MetricQuery, StateKey


@dataclass(slots=True, eq=False)
class StillLog:
    """A log whose tables get no new version while time is simulated.

    Args:
        inner: as monitors see it.
        requests: of the whole history.
    """

    inner: Any
    requests: StillTraffic
    _runs: list[dict[str, Any]] | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the log has
        return getattr(self.inner, name)

    def traffic(self, model: str, window: Window) -> list[TrafficState]:
        """As the port."""
        return self.requests.states(model, window)

    def batch_runs(self, since: datetime) -> list[dict[str, Any]]:
        """As the port."""
        if self._runs is None:
            self._runs = self.inner.batch_runs(datetime.min.replace(tzinfo=UTC))
        return [run for run in self._runs if run["start_time"] >= since]


@dataclass(slots=True, eq=False)
class StillStates:
    """Stored profiles that are read once after each append; hours are then served from memory.

    Args:
        inner: stored profiles.
        period: hours that are asked for.
    """

    inner: Any
    period: Window
    _kept: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _appended: bool = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stored profiles have
        return getattr(self.inner, name)

    def append(self, states: Mapping[StateKey, Profile], *, source_version: int | None) -> None:
        """As the port; the first append is remembered as it is, later ones are read back."""
        self.inner.append(states, source_version=source_version)
        is_first = not self._appended
        self._appended = True
        self._kept.clear()
        if is_first:
            for key, profile in states.items():
                place = ("hours", key.model_name, key.bins_id, key.model_version, key.segment_key, key.segment_value)
                self._kept.setdefault(place, {})[key.window_start] = profile

    def watermark(self, model: str, bins_id: str) -> int | None:
        """As the port."""
        found: int | None = self._once("watermark", model, bins_id)
        return found

    def span(self, model: str, bins_id: str, *, within: Window | None = None) -> tuple[datetime, datetime] | None:
        """As the port."""
        hours = [hour for hour in self._hours(model, bins_id, "", ("", "")) if within is None or hour in within]
        return (min(hours), max(hours) + timedelta(hours=1)) if hours else None

    def subjects(self, model: str, bins_id: str) -> tuple[list[str], list[tuple[str, str]]]:
        """As the port."""
        found: tuple[list[str], list[tuple[str, str]]] = self._once("subjects", model, bins_id)
        return found

    def versions(self, model: str, bins_id: str, window: Window) -> Mapping[datetime, frozenset[str]]:
        """As the port."""
        found: Mapping[datetime, frozenset[str]] = self.inner.versions(model, bins_id, window)
        return found

    def hours(
        self, model: str, bins_id: str, window: Window, *, version: str = "", segment: tuple[str, str] = ("", "")
    ) -> dict[datetime, Profile]:
        """As the port."""
        kept = self._hours(model, bins_id, version, segment)
        return {start: profile for start, profile in kept.items() if start in window}

    def _hours(self, model: str, bins_id: str, version: str, segment: tuple[str, str]) -> dict[datetime, Profile]:
        key = ("hours", model, bins_id, version, *segment)
        if key not in self._kept:
            self._kept[key] = self.inner.hours(model, bins_id, self.period, version=version, segment=segment)
        found: dict[datetime, Profile] = self._kept[key]
        return found

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
        """As the port; the history has one version. A day is asked for again as the day before."""
        del as_of
        key = ("total", model, bins_id, version, *segment, window.start.isoformat(), window.end.isoformat())
        if key not in self._kept:
            total: Profile | None = None
            for profile in self.hours(model, bins_id, window, version=version, segment=segment).values():
                total = profile if total is None else total + profile
            self._kept[key] = total
        found: Profile | None = self._kept[key]
        return found

    def _once(self, name: str, model: str, bins_id: str) -> Any:  # noqa: ANN401 - of three methods
        key = (name, model, bins_id)
        if key not in self._kept:
            self._kept[key] = getattr(self.inner, name)(model, bins_id)
        return self._kept[key]


_ALERTS, _INCIDENTS, _NUMBERS, _CHANNELS = "alerts", "incidents", "numbers", "channels"


_GROWING = "serving.capacity_rps"
"""Asked for every hour over all hours before: kept here, else each day reads more than the day before."""


def _asked(metric: Metric, query: MetricQuery) -> bool:
    subject, start = metric.subject, metric.window.start
    return (
        (query.model is None or subject.model == query.model)
        and (query.version is None or subject.model_version == query.version)
        and (query.segment is None or (subject.segment_key, subject.segment_value) == query.segment)
        and (query.since is None or start >= query.since)
        and (query.until is None or start < query.until)
    )


@dataclass(slots=True, eq=False)
class RememberingState:
    """A state store that reads again only what was written since.

    Args:
        inner: the state store.
    """

    inner: Any
    _kept: dict[str, dict[tuple[Any, ...], Any]] = field(default_factory=dict)
    _marks: dict[str, str | None] = field(default_factory=dict)
    _growing: list[Metric] = field(default_factory=list)
    _has_mail: bool = True
    _lease: Lease | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the state store has
        return getattr(self.inner, name)

    @property
    def has_mail(self) -> bool:
        """Whether something may be due."""
        return self._has_mail

    def mail_is_out(self) -> None:
        """Everything that was due is sent: nothing more is claimed unless something waits or is put in."""
        self._has_mail = bool(self.inner.deliveries(status=DeliveryStatus.QUEUED))

    # ---- reading

    def alerts(self, model: str | None = None, *, open_only: bool = True) -> dict[str, Alert]:
        """As the port."""
        found: dict[str, Alert] = self._once(
            _ALERTS, (model, open_only), lambda: self.inner.alerts(model, open_only=open_only)
        )
        return dict(found)

    def incidents(self, model: str | None = None, *, open_only: bool = True, limit: int = 1000) -> list[Incident]:
        """As the port."""
        found: list[Incident] = self._once(
            _INCIDENTS,
            (model, open_only, limit),
            lambda: self.inner.incidents(model, open_only=open_only, limit=limit),
        )
        return list(found)

    def incident(self, incident_id: str) -> Incident | None:
        """As the port."""
        found: Incident | None = self._once(_INCIDENTS, (incident_id,), lambda: self.inner.incident(incident_id))
        return found

    def silences(self, now: datetime) -> list[Silence]:
        """As the port; people silence nothing while time is simulated."""
        found: list[Silence] = self._once("silences", (), lambda: self.inner.silences(now))
        return list(found)

    def metrics(self, query: MetricQuery) -> list[Metric]:
        """As the port; the newest number is the newest until the next run."""
        if query.metric == _GROWING and query.grain is Grain.HOUR and not query.newest_only:
            return [metric for metric in self._growing if _asked(metric, query)]
        if not query.newest_only:
            found: list[Metric] = self.inner.metrics(query)
            return found
        key = (replace(query, until=None),)
        kept: list[Metric] = self._once(_NUMBERS, key, lambda: self.inner.metrics(query))
        return list(kept)

    def channel_states(self) -> list[ChannelState]:
        """As the port."""
        found: list[ChannelState] = self._once(_CHANNELS, (), self.inner.channel_states)
        return list(found)

    def watermark(self, name: str) -> str | None:
        """As the port."""
        if name not in self._marks:
            self._marks[name] = self.inner.watermark(name)
        return self._marks[name]

    # ---- writing

    def set_watermark(self, name: str, value: str) -> None:
        """As the port."""
        self._marks[name] = value
        self.inner.set_watermark(name, value)

    def commit(self, run: Run, *, lease: Lease | None = None) -> bool:
        """As the port."""
        if run.alerts or run.events:
            self._forget(_ALERTS)
        if run.incidents or run.messages:
            self._forget(_INCIDENTS, _CHANNELS)
        self._forget(_NUMBERS)
        if run.window.grain is Grain.HOUR:
            self._growing.extend(metric for metric in run.metrics if metric.name == _GROWING)
        self._has_mail = self._has_mail or bool(run.messages)
        done: bool = self.inner.commit(run, lease=lease)
        return done

    def save_incident(self, incident: Incident, messages: Sequence[Message], events: Sequence[AlertEvent] = ()) -> None:
        """As the port."""
        self._forget(_ALERTS, _INCIDENTS, _CHANNELS)
        self._has_mail = self._has_mail or bool(messages)
        self.inner.save_incident(incident, messages, events)

    def enqueue(self, messages: Sequence[Message]) -> None:
        """As the port."""
        self._forget(_INCIDENTS, _CHANNELS)
        self._has_mail = self._has_mail or bool(messages)
        self.inner.enqueue(messages)

    def claim(self, now: datetime, **options: Any) -> Delivery | None:  # noqa: ANN401 - as the port
        """As the port."""
        self._forget(_CHANNELS)
        found: Delivery | None = self.inner.claim(now, **options)
        return found

    def settle(self, delivery: Delivery, status: DeliveryStatus, **options: Any) -> bool:  # noqa: ANN401 - as the port
        """As the port."""
        self._forget(_INCIDENTS, _CHANNELS)
        done: bool = self.inner.settle(delivery, status, **options)
        return done

    def take_lease(self, name: str, holder: str, *, now: datetime, ttl: timedelta) -> Lease | None:
        """As the port."""
        self._lease = self.inner.take_lease(name, holder, now=now, ttl=ttl)
        return self._lease

    def close(self) -> None:
        """Give the lease back, so that the real service can begin at once, and close the database."""
        if self._lease is not None:
            self.inner.release_lease(self._lease)
        self.inner.close()

    def _forget(self, *groups: str) -> None:
        for group in groups:
            self._kept.pop(group, None)

    def _once(self, group: str, key: tuple[Any, ...], ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - of several methods
        kept = self._kept.setdefault(group, {})
        if key not in kept:
            kept[key] = ask()
        return kept[key]
