"""What makes thirty simulated days quick: nobody else writes, so answers stay true until the replay itself writes.

Each class stands in for a port and hands everything on; it only remembers. The history is imported before time begins
to pass, so the tables have one version throughout; the state database changes through this process alone.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tiltmeter.domain.message import DeliveryStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from tiltmeter.domain.alert import Alert, AlertEvent, Incident, Silence
    from tiltmeter.domain.message import Delivery, Message
    from tiltmeter.domain.metric import Metric
    from tiltmeter.domain.run import Run
    from tiltmeter.ports import ChannelState, Lease, MetricQuery


@dataclass(slots=True, eq=False)
class StillLog:
    """Tables that get no new version while time is simulated.

    Args:
        inner: a stored log.
    """

    inner: Any
    _versions: dict[str, int | None] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stored log has
        return getattr(self.inner, name)

    def version(self, name: str) -> int | None:
        """Of a table, asked once."""
        if name not in self._versions:
            self._versions[name] = self.inner.version(name)
        return self._versions[name]


@dataclass(slots=True, eq=False)
class StillStates:
    """Stored profiles whose extent is asked once after each append.

    Args:
        inner: stored profiles.
    """

    inner: Any
    _kept: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stored profiles have
        return getattr(self.inner, name)

    def append(self, states: Any, *, source_version: int | None) -> None:  # noqa: ANN401 - as the port
        """As the port."""
        self.inner.append(states, source_version=source_version)
        self._kept.clear()

    def watermark(self, model: str, bins_id: str) -> int | None:
        """As the port."""
        found: int | None = self._once("watermark", model, bins_id)
        return found

    def span(self, model: str, bins_id: str) -> tuple[datetime, datetime] | None:
        """As the port."""
        found: tuple[datetime, datetime] | None = self._once("span", model, bins_id)
        return found

    def subjects(self, model: str, bins_id: str) -> tuple[list[str], list[tuple[str, str]]]:
        """As the port."""
        found: tuple[list[str], list[tuple[str, str]]] = self._once("subjects", model, bins_id)
        return found

    def _once(self, name: str, model: str, bins_id: str) -> Any:  # noqa: ANN401 - of three methods
        key = (name, model, bins_id)
        if key not in self._kept:
            self._kept[key] = getattr(self.inner, name)(model, bins_id)
        return self._kept[key]


@dataclass(slots=True, eq=False)
class RememberingState:
    """A state store that reads again only after a write, and opens a transaction only for a write.

    Args:
        inner: the state store.
    """

    inner: Any
    _kept: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    _has_mail: bool = True
    _stack: ExitStack | None = None
    _is_begun: bool = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the state store has
        return getattr(self.inner, name)

    # ---- reading

    def alerts(self, model: str | None = None, *, open_only: bool = True) -> dict[str, Alert]:
        """As the port."""
        found: dict[str, Alert] = self._once(
            ("alerts", model, open_only), lambda: self.inner.alerts(model, open_only=open_only)
        )
        return dict(found)

    def incidents(self, model: str | None = None, *, open_only: bool = True, limit: int = 1000) -> list[Incident]:
        """As the port."""
        found: list[Incident] = self._once(
            ("incidents", model, open_only, limit),
            lambda: self.inner.incidents(model, open_only=open_only, limit=limit),
        )
        return list(found)

    def incident(self, incident_id: str) -> Incident | None:
        """As the port."""
        found: Incident | None = self._once(("incident", incident_id), lambda: self.inner.incident(incident_id))
        return found

    def silences(self, now: datetime) -> list[Silence]:
        """As the port; people silence nothing while time is simulated."""
        found: list[Silence] = self._once(("silences",), lambda: self.inner.silences(now))
        return list(found)

    def metrics(self, query: MetricQuery) -> list[Metric]:
        """As the port; the newest number is the newest until the next run."""
        if not query.newest_only:
            found: list[Metric] = self.inner.metrics(query)
            return found
        kept: list[Metric] = self._once(("metrics", replace(query, until=None)), lambda: self.inner.metrics(query))
        return list(kept)

    def channel_states(self) -> list[ChannelState]:
        """As the port."""
        found: list[ChannelState] = self._once(("channels",), self.inner.channel_states)
        return list(found)

    # ---- writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """As the port; begun by the first write inside of it."""
        if self._stack is not None:
            yield
            return
        try:
            with ExitStack() as stack:
                self._stack = stack
                yield
        finally:
            self._stack, self._is_begun = None, False

    def commit(self, run: Run, *, lease: Lease | None = None) -> bool:
        """As the port."""
        self._wrote(mail=bool(run.messages))
        done: bool = self.inner.commit(run, lease=lease)
        return done

    def save_incident(self, incident: Incident, messages: Sequence[Message], events: Sequence[AlertEvent] = ()) -> None:
        """As the port."""
        self._wrote(mail=bool(messages))
        self.inner.save_incident(incident, messages, events)

    def enqueue(self, messages: Sequence[Message]) -> None:
        """As the port."""
        if messages:
            self._wrote(mail=True)
            self.inner.enqueue(messages)

    def claim(self, now: datetime, **options: Any) -> Delivery | None:  # noqa: ANN401 - as the port
        """As the port; nothing is due while nothing was put in."""
        if not self._has_mail:
            return None
        self._wrote(mail=True)
        found: Delivery | None = self.inner.claim(now, **options)
        return found

    def settle(self, delivery: Delivery, status: DeliveryStatus, **options: Any) -> bool:  # noqa: ANN401 - as the port
        """As the port."""
        self._wrote(mail=True)
        done: bool = self.inner.settle(delivery, status, **options)
        return done

    def mail_is_out(self) -> None:
        """Everything was sent: there is nothing to claim until something is put in."""
        self._has_mail = bool(self.inner.deliveries(status=DeliveryStatus.QUEUED))

    def _wrote(self, *, mail: bool) -> None:
        self._kept.clear()
        self._has_mail = self._has_mail or mail
        if self._stack is not None and not self._is_begun:
            self._is_begun = True
            self._stack.enter_context(self.inner.transaction())

    def _once(self, key: tuple[Any, ...], ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - of several methods
        if self._is_begun:
            return ask()
        if key not in self._kept:
            self._kept[key] = ask()
        return self._kept[key]

    @property
    def has_mail(self) -> bool:
        """Whether something may be due."""
        return self._has_mail
