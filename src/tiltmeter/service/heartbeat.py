"""Proof of life: a synthetic alert that goes the whole way, rules, outbox and sender, once a minute.

A living process proves little: the rules may fail, the outbox may be stuck. The beat is written by the channel that the
synthetic message arrives at, so it stops when any part of the way stops. `tiltmeter watchdog` watches it from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event

from tiltmeter.alerting.advance import advance
from tiltmeter.alerting.rules import verdicts
from tiltmeter.alerting.situation import Situation
from tiltmeter.domain.errors import StoreError
from tiltmeter.domain.message import Message, Receipt
from tiltmeter.domain.metric import Metric, Subject
from tiltmeter.domain.rule import Limit, Route, Rule, RuleSet
from tiltmeter.domain.severity import Severity
from tiltmeter.domain.window import Grain, Window
from tiltmeter.ports import Clock, StateStore
from tiltmeter.service.watchdog import COMPONENT

CHANNEL = "heartbeat"
_RULE = Rule("always_firing", "monitor.heartbeat", {Severity.INFO: Limit(above=0.0)}, min_rows=0)
_RULES = RuleSet((_RULE,), routes=(Route(Severity.INFO, to=(CHANNEL,)),), revision="heartbeat")
_KEEP = timedelta(hours=1)


def synthetic_messages(now: datetime) -> list[Message]:
    """What the rules say about a number that is always too high: one message to the heartbeat's channel."""
    window = Window(now - timedelta(minutes=1), now, Grain.LIVE)
    metric = Metric(_RULE.metric, Subject("tiltmeter"), window, 1.0, computed_at=now)
    found = advance(Situation(rules=_RULES), verdicts([metric], _RULES.rules), window=window, now=now)
    return [
        # Without an incident, and with an id of its own: every minute is a message of its own.
        replace(message, incident="", delivery_id=f"heartbeat {now.isoformat()}", created_at=now)
        for message in found.messages
        if message.channel == CHANNEL
    ]


class HeartbeatChannel:
    """Where the synthetic message arrives; add it to the sender's channels under `CHANNEL`.

    Args:
        state: keeps the beat.
    """

    kind = "null"
    name = CHANNEL

    def __init__(self, state: StateStore) -> None:
        self._state = state

    def send(self, message: Message) -> Receipt:
        """Write the beat with the time at which its message was judged."""
        self._state.beat(COMPONENT, message.created_at)
        self._state.forget_sent(CHANNEL, message.created_at - _KEEP)
        return Receipt(reference=message.delivery_id)


class Heartbeat:
    """Starts a synthetic alert whenever one is due; called by the scheduler's loop.

    Args:
        state: its outbox takes the message.
        clock: time.
        every: pause between two.
    """

    def __init__(self, state: StateStore, clock: Clock, *, every: timedelta = timedelta(seconds=60)) -> None:
        self._state = state
        self._clock = clock
        self._every = every.total_seconds()
        self._last: float | None = None

    def tick(self) -> bool:
        """Queue a synthetic message when one is due; whether it was.

        Raises:
            StoreError: the state database failed; the next call tries again.
        """
        moment = self._clock.monotonic()
        if self._last is not None and moment - self._last < self._every:
            return False
        self._state.enqueue(synthetic_messages(self._clock.now()))
        self._last = moment
        return True

    def run(self, stop: Event, tell: Callable[[str], None]) -> None:
        """Keep the heart beating until told to stop; a failing database is told and tried again."""
        while not stop.is_set():
            try:
                self.tick()
            except StoreError as error:
                tell(str(error))
            stop.wait(min(self._every, 1.0))
