"""A worker that is killed: puts numbered records and notes in a file of its own which of them were acknowledged."""

import os
import sys
import time

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.spool import SpoolWriter


def main(spool, acknowledged, durability, records):
    writer = SpoolWriter(
        spool,
        durability=durability,
        budget=Budget(max_bytes=10**12, min_free=0.0),
        host="h",
        seal_bytes=2000,
        seal_seconds=0.005,
    )
    notes = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in range(int(records)):
        payload = b"%06d:" % number + b"x" * 120
        position = writer.put(payload)
        writer.block_until_durable(position, seconds=30)
        os.write(notes, payload[:7])
        time.sleep(0.0005)
    writer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
