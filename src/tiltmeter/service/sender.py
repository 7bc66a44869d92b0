"""The sender: takes messages out of the outbox and hands them to their channels, one worker thread a channel.

A worker claims a message for 60 s, sends it within 15 s and records what became of it. Whoever dies in between leaves
an expired claim: the next worker looks whether the message arrived before it sends it again.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from threading import Event, Lock, Thread

from tiltmeter.domain.alert import IncidentState
from tiltmeter.domain.errors import DeliveryError, StoreError
from tiltmeter.domain.message import Delivery, DeliveryStatus, Message
from tiltmeter.domain.severity import Severity
from tiltmeter.ports import Channel, Clock, StateStore
from tiltmeter.service.dead_letters import meta_messages, passed_on, stand_ins
from tiltmeter.service.pace import PACES, TokenBucket

_STRAYS_EVERY_S = 30.0

RESULTS = ("sent", "retried", "dead", "dropped")
"""What becomes of a try to send: it arrived, is put off, is given up, or was for a channel that keeps nothing."""

Report = Callable[[str, Mapping[str, object]], None]
"""Takes an event name and its fields, for the log."""


@dataclass(frozen=True, slots=True)
class SenderPolicy:
    """Times of the outbox.

    Args:
        lease: how long a claim lasts; longer than any send.
        first_retry: upper limit of the first pause; it doubles, and each pause is drawn between zero and the limit.
        longest_retry: where doubling ends.
        look_wait: least pause before looking whether a message arrived (a receiver may still be storing it).
        give_up: age at which a message that still cannot be sent is a dead letter; criticals never while firing.
        poll: pause of an idle worker.
        drain: how long a stop waits for messages that are due.
        settle_for: how long a result is offered to a database that is locked.
    """

    lease: timedelta = timedelta(seconds=60)
    first_retry: timedelta = timedelta(seconds=2)
    longest_retry: timedelta = timedelta(minutes=5)
    look_wait: timedelta = timedelta(seconds=5)
    give_up: timedelta = timedelta(hours=24)
    poll: timedelta = timedelta(milliseconds=500)
    drain: timedelta = timedelta(seconds=10)
    settle_for: timedelta = timedelta(seconds=40)


class Sender:
    """Delivers what the outbox holds.

    Args:
        state: where the outbox is.
        channels: by name; messages to other names become dead letters at once.
        clock: time.
        policy: pauses and limits.
        rng: draws the pauses.
        report: hears of every message that was sent, put off or given up.
        paced: keep to the receivers' rates (off where time is simulated).
        prepare: what a message gets just before it is sent and the outbox does not keep, such as a signed link.
        holder: name of this process in claims, never used twice; made up when not given.
    """

    def __init__(
        self,
        state: StateStore,
        channels: Mapping[str, Channel],
        clock: Clock,
        *,
        policy: SenderPolicy = SenderPolicy(),
        rng: Random | None = None,
        report: Report | None = None,
        paced: bool = True,
        prepare: Callable[[Message, Channel], Message] | None = None,
        holder: str = "",
    ) -> None:
        self.holder = holder or f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self.failures = 0
        self._state = state
        self._channels = dict(channels)
        self._clock = clock
        self._policy = policy
        self._rng = rng or Random()  # noqa: S311 - spreads retries, hides nothing
        self._prepare = prepare or (lambda message, _channel: message)
        self._report = report or (lambda _event, _fields: None)
        start = clock.monotonic()
        self._buckets = {
            name: TokenBucket(PACES.get(channel.kind) if paced else None, now=start)
            for name, channel in self._channels.items()
        }
        self._refusing: set[str] = set()
        self._guard = Lock()
        self._tries: Counter[tuple[str, str]] = Counter()
        self._counting = Lock()

    def results(self) -> dict[tuple[str, str], int]:
        """Tries to send since the start by channel and result, 0 included; without channels that reach nobody."""
        reaching = [name for name, channel in self._channels.items() if channel.kind != "null"]
        with self._counting:
            return {**{(name, result): 0 for name in reaching for result in RESULTS}, **self._tries}

    # -- one message ----------------------------------------------------------------------------------------------

    def deliver_one(self, channel: str, *, stop: Event | None = None) -> float | None:
        """Send the next due message of a channel.

        Args:
            channel: its name.
            stop: ends the wait for a locked database early.

        Returns:
            0 when a message was dealt with, seconds to wait for the receiver's rate, None when nothing is due.
        """
        wait = self._buckets[channel].wait(self._clock.monotonic())
        if wait > 0:
            return wait
        delivery = self._state.claim(
            self._clock.now(), holder=self.holder, channels=[channel], lease=self._policy.lease
        )
        if delivery is None:
            return None
        self._buckets[channel].spend()
        try:
            receipt = self._channels[channel].send(self._prepare(delivery.message, self._channels[channel]))
        except DeliveryError as error:
            self._failed(delivery, error, stop)
            return 0.0
        except Exception as error:  # noqa: BLE001 - one of the three catch-alls: a bug in a channel must not end the loop
            what = f"{type(error).__name__} in the channel"  # its text may hold anything, a secret included
            self._failed(delivery, DeliveryError(what, at=channel, unknown=True), stop)
            return 0.0
        status = DeliveryStatus.DROPPED if receipt.dropped else DeliveryStatus.SENT
        if self._settle(delivery, status, stop, receipt=receipt):
            self._count(channel, "dropped" if receipt.dropped else "sent")
            if self._channels[channel].kind != "null":  # nobody reads of the heartbeat once a minute
                self._say("message_sent", delivery, note=receipt.note)
            self._works(channel)
        return 0.0

    def _failed(self, delivery: Delivery, error: DeliveryError, stop: Event | None) -> None:
        self.failures += 1
        now = self._clock.now()
        if not error.retryable or self._too_old(delivery, now):
            if self._settle(delivery, DeliveryStatus.DEAD, stop, error=str(error), receipt=error.receipt):
                self._count(delivery.message.channel, "dead")
                self._say("message_dead", delivery, error=str(error))
                self._bury(delivery.message, error, now)
            return
        due = now + self._pause(delivery, error)
        if error.retry_after is not None:
            self._state.pause_channel(delivery.message.channel, due, error.what)
        self._settle(
            delivery,
            DeliveryStatus.QUEUED,
            stop,
            due_at=due,
            error=str(error),
            receipt=error.receipt,
            reconcile=error.unknown,
        )
        self._count(delivery.message.channel, "retried")
        self._say("message_retried", delivery, error=str(error), due_at=due.isoformat())

    def _count(self, channel: str, result: str) -> None:
        known = self._channels.get(channel)
        if known is None or known.kind != "null":
            with self._counting:
                self._tries[channel, result] += 1

    def _pause(self, delivery: Delivery, error: DeliveryError) -> timedelta:
        if error.retry_after is not None:
            return timedelta(seconds=error.retry_after)
        doubled = self._policy.first_retry * float(2 ** min(delivery.attempts - 1, 16))
        drawn = min(doubled, self._policy.longest_retry) * self._rng.random()
        return max(drawn, self._policy.look_wait) if error.unknown else drawn

    def _too_old(self, delivery: Delivery, now: datetime) -> bool:
        message = delivery.message
        if now - message.created_at < self._policy.give_up:
            return False
        if message.severity < Severity.CRITICAL or not message.incident:
            return True
        incident = self._state.incident(message.incident)
        return incident is None or incident.state is not IncidentState.OPEN

    def _settle(
        self,
        delivery: Delivery,
        status: DeliveryStatus,
        stop: Event | None,
        **more: object,
    ) -> bool:
        """Record the result, again and again while the database is locked: a lost result is a second message."""
        until = self._clock.monotonic() + self._policy.settle_for.total_seconds()
        while True:
            try:
                return self._state.settle(delivery, status, holder=self.holder, now=self._clock.now(), **more)  # type: ignore[arg-type]
            except StoreError as error:
                if stop is None or not error.retryable or self._clock.monotonic() > until:
                    raise
                self._report("store_failed", {"error": str(error)})
                # A stop that was asked for must not turn this into a busy loop.
                (Event() if stop.is_set() else stop).wait(self._policy.poll.total_seconds())

    # -- channels that refuse -------------------------------------------------------------------------------------

    def _bury(self, message: Message, error: DeliveryError, now: datetime) -> None:
        told = self._state.deliveries(incident=message.incident) if message.incident else []
        onward = passed_on(message, error.what, now=now, to=stand_ins(message.channel, self._channels), told=told)
        with self._guard:
            if not self._state.watermark(_circuit(message.channel)):
                # Once until it works again, not once a message.
                onward += meta_messages(message.channel, str(error), now=now, channels=self._channels)
                self._state.set_watermark(_circuit(message.channel), now.isoformat())
            self._refusing.add(message.channel)
        self._state.enqueue(onward)

    def _works(self, channel: str) -> None:
        with self._guard:
            if channel not in self._refusing:
                return
            self._refusing.discard(channel)
            if self._state.watermark(_circuit(channel)):
                self._state.set_watermark(_circuit(channel), "")
                self._state.enqueue(
                    meta_messages(channel, "", now=self._clock.now(), channels=self._channels, works_again=True)
                )

    def bury_strays(self) -> int:
        """Give up messages whose channel is no longer configured; how many."""
        strays = [s.name for s in self._state.channel_states() if s.queued and s.name not in self._channels]
        count = 0
        while strays:
            now = self._clock.now()
            delivery = self._state.claim(now, holder=self.holder, channels=strays, lease=self._policy.lease)
            if delivery is None:
                break
            error = DeliveryError(
                f'no channel "{delivery.message.channel}" is configured', at="tiltmeter.yaml", retryable=False
            )
            self._failed(delivery, error, None)
            count += 1
        return count

    # -- loops ----------------------------------------------------------------------------------------------------

    def drain_once(self, now: datetime | None = None) -> int:
        """Send everything that is due, channel by channel, without waiting; for simulated clocks and tests.

        Args:
            now: the moment the clock must show; only checked.

        Returns:
            How many messages were dealt with.
        """
        if now is not None and now > self._clock.now():
            raise ValueError(f"the clock shows {self._clock.now()}, not yet {now}")
        count = self.bury_strays()
        while dealt := sum(self._drain_channel(name) for name in sorted(self._channels)):
            count += dealt  # again: a dead letter of one channel is a message of another
        return count

    def _drain_channel(self, channel: str) -> int:
        count = 0
        while self.deliver_one(channel) == 0.0:
            count += 1
        return count

    def run(self, stop: Event) -> None:
        """Send until told to stop, then what is due for at most `drain`; what is left waits for the next start."""
        workers = [
            Thread(target=self._work, args=(name, stop), name=f"sender-{name}", daemon=True) for name in self._channels
        ]
        for worker in workers:
            worker.start()
        while not stop.wait(_STRAYS_EVERY_S):
            self._guarded("", self.bury_strays)
        until = self._clock.monotonic() + self._policy.drain.total_seconds()
        for worker in workers:
            worker.join(max(0.0, until - self._clock.monotonic()))

    def _work(self, channel: str, stop: Event) -> None:
        while self._guarded(channel, lambda: self._remember_circuit(channel)) is None and not stop.is_set():
            stop.wait(1.0)
        while not stop.is_set():
            wait = self._guarded(channel, lambda: self.deliver_one(channel, stop=stop))
            if wait != 0.0:
                stop.wait(self._policy.poll.total_seconds() if wait is None else wait)
        until = self._clock.monotonic() + self._policy.drain.total_seconds()
        pause = Event()  # `stop` is set: waiting for it would be no pause
        while self._clock.monotonic() < until:
            wait = self._guarded(channel, lambda: self.deliver_one(channel, stop=stop))
            if wait is None:
                return
            pause.wait(min(wait, max(0.0, until - self._clock.monotonic())))

    def _remember_circuit(self, channel: str) -> float:
        if self._state.watermark(_circuit(channel)):
            self._refusing.add(channel)
        return 0.0

    def _guarded(self, channel: str, call: Callable[[], float | None]) -> float | None:
        """What the call returns; None after an error, which is reported and counted."""
        try:
            return call()
        except StoreError as error:
            self._report("store_failed", {"channel": channel, "error": str(error)})
        except Exception as error:  # noqa: BLE001 - one of the three catch-alls: the loop of a channel never ends
            self._report("sender_failed", {"channel": channel, "error": type(error).__name__})
        self.failures += 1
        return None

    def _say(self, event: str, delivery: Delivery, **more: object) -> None:
        message = delivery.message
        fields = {
            "channel": message.channel,
            "incident": message.incident,
            "kind": message.kind.value,
            "delivery_id": message.delivery_id,
            "attempt": delivery.attempts,
        }
        self._report(event, {**fields, **{key: value for key, value in more.items() if value}})


def _circuit(channel: str) -> str:
    return f"circuit.{channel}"
