"""Senders in processes of their own, to be killed. Usage: delivery_worker.py STATE CHANNELS_JSON LEASE_SECONDS.

For every line on standard input a sender is forked off (starting Python anew would take longer than it lives); its
process id is printed, and then how it ended.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

from tiltmeter.channels import build_channels
from tiltmeter.service.sender import Sender, SenderPolicy
from tiltmeter.state.sql import SqlStateStore


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def main() -> None:
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            send(*sys.argv[1:])
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


def send(state_file: str, channels_file: str, lease: str) -> None:
    clock = RealClock()
    channels = build_channels(json.loads(Path(channels_file).read_text()), clock=clock)
    state = SqlStateStore(f"sqlite:{state_file}", clock)
    policy = SenderPolicy(
        lease=timedelta(seconds=float(lease)),
        first_retry=timedelta(seconds=0.05),
        look_wait=timedelta(seconds=0.1),
        poll=timedelta(seconds=0.02),
    )
    Sender(state, channels, clock, policy=policy, paced=False).run(Event())


if __name__ == "__main__":
    main()
