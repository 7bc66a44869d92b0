"""A process that is told to stop stops, however often and from however many sides it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from tiltmeter.service.signals import answering, stopping

STUBBORN = """
import threading
from tiltmeter.service.signals import stopping
stop = threading.Event()
with stopping(stop):
    print("ready", flush=True)
    while not stop.wait(0.0001):  # always in the middle of the Event
        pass
print("stopped", flush=True)
"""


def test_many_signals_at_once_stop_a_process_that_looks_at_its_event_all_the_time():
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout.readline() == "ready\n"
            for _ in range(200):
                child.send_signal(signal.SIGTERM)
                child.send_signal(signal.SIGINT)
            assert child.wait(timeout=30) in (0, -signal.SIGTERM, -signal.SIGINT)  # late ones meet the usual meaning
        finally:
            child.kill()
            child.stdout.close()


def test_each_signal_has_its_own_answer_and_old_meanings_come_back():
    before = signal.getsignal(signal.SIGHUP)
    heard = threading.Event()
    with answering({signal.SIGHUP: heard.set}):
        os.kill(os.getpid(), signal.SIGHUP)
        assert heard.wait(10)
    assert signal.getsignal(signal.SIGHUP) is before


def test_one_signal_sets_the_event():
    stop = threading.Event()
    with stopping(stop):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(10)
