"""Signals of the operating system, answered by a thread.

A handler of Python runs in the middle of whatever the main thread does. Were it to set an Event, a second signal could
find the first one inside the Event's own lock, and the process would wait for itself for ever: `kill` twice, or a
supervisor and a terminal at once, is enough. Here handlers do nothing; the interpreter writes the number into a socket,
and a thread reads it.
"""

from __future__ import annotations

import signal
import socket
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@contextmanager
def answering(answers: Mapping[int, Callable[[], object]]) -> Iterator[None]:
    """Call `answers[number]` in a thread for every such signal; afterwards signals mean what they meant before.

    Must be entered in the main thread, as everything about signals.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    woken_before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _nothing) for number in answers}
    reader = Thread(target=_read, args=(ours, answers), name="signals", daemon=True)
    reader.start()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken_before)
        theirs.shutdown(socket.SHUT_WR)  # what is in the socket is still read
        reader.join()
        ours.close()
        theirs.close()


@contextmanager
def stopping(stop: Event) -> Iterator[None]:
    """Set the event at SIGINT and SIGTERM."""
    with answering({signal.SIGINT: stop.set, signal.SIGTERM: stop.set}):
        yield


def _nothing(number: int, frame: object) -> None:
    del number, frame


def _read(source: socket.socket, answers: Mapping[int, Callable[[], object]]) -> None:
    while numbers := source.recv(256):
        for number in numbers:
            if number in answers:
                answers[number]()
