"""A damaged spool: every undamaged record is recovered, what is lost is counted exactly, every start succeeds."""

from random import Random

import pytest

from tiltmeter.capture.budget import Budget
from tiltmeter.capture.segment import HEADER_BYTES, decode_header, scan_frames
from tiltmeter.capture.spool import SpoolWriter, read_segment, sealed_segments, take_over_abandoned

ROOMY = Budget(max_bytes=10**12, min_free=0.0)
RECORDS = 60


def flip_a_bit(data, at, random):
    data[at] ^= 1 << random.randrange(8)


def zero_4_kib(data, at, random):
    end = min(at + 4096, len(data))
    data[at:end] = bytes(end - at)


def cut_off(data, at, random):
    del data[at:]


def garbage_tail(data, at, random):
    data[at:] = random.randbytes(random.randint(1, 3000))


DAMAGES = (flip_a_bit, zero_4_kib, cut_off, garbage_tail)


def make_spool(folder):
    """Two sealed segments and an open one, and what each frame of the first covers."""
    random = Random(5)
    writer = SpoolWriter(folder, budget=ROOMY, host="h", threaded=False, seal_bytes=1)
    for part in range(2):
        for number in range(RECORDS):
            writer.put(f"{part}-{number}:".encode() + random.randbytes(random.randint(1, 900)))
        writer.tend()
    writer.put(b"last")
    writer._files.close(writer._slot.lock)  # its process died
    first = sealed_segments(folder)[0].path
    data = first.read_bytes()
    header = decode_header(data)
    spans, position = [], HEADER_BYTES
    for index, payload in scan_frames(data, header.identity, header.number).frames:
        spans.append((index, position, position + 20 + len(payload), payload))
        position = spans[-1][2]
    assert len(spans) == RECORDS
    return first, data, spans


def hit(before, after, spans):
    """Indexes of the frames whose bytes are no longer what they were."""
    return {index for index, start, end, _ in spans if after[start:end] != before[start:end]}


def damage_places(folder, count, seed):
    first, data, spans = make_spool(folder)
    random = Random(seed)
    for _ in range(count):
        damaged = bytearray(data)
        random.choice(DAMAGES)(damaged, random.randrange(len(data)), random)
        first.write_bytes(damaged)
        lost = hit(data, bytes(damaged), spans)
        contents = read_segment(first)
        assert contents.records == [(index, payload) for index, _, _, payload in spans if index not in lost]
        assert contents.lost_records == len(lost)
        assert contents.lost_exact
        assert contents.damaged or not lost
        writer = SpoolWriter(folder, budget=ROOMY, host="h", threaded=False)
        assert writer.start()
        writer.close()
        # The segments beside it are whole.
        others = [segment.path for segment in sealed_segments(folder) if segment.path != first]
        assert sum(len(read_segment(path).records) for path in others) == RECORDS + 1


def test_100_damaged_places_cost_only_what_they_hit(tmp_path):
    damage_places(tmp_path, 100, seed=1)


@pytest.mark.faults
def test_1_000_damaged_places_cost_only_what_they_hit(tmp_path):
    damage_places(tmp_path, 1000, seed=2)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_in_the_segment_of_a_dead_worker_does_not_stop_the_next_start(tmp_path, damage):
    random = Random(3)
    for attempt in range(15):
        folder = tmp_path / str(attempt)
        writer = SpoolWriter(folder, budget=ROOMY, host="h", threaded=False)
        for number in range(RECORDS):
            writer.put(b"%d" % number + random.randbytes(200))
        (left,) = (folder / "h/slot-0001").glob("*.open")
        data = bytearray(left.read_bytes())
        damage(data, random.randrange(len(data)), random)
        left.write_bytes(data)
        writer._files.close(writer._slot.lock)
        if attempt % 2:
            take_over_abandoned(folder)
        following = SpoolWriter(folder, budget=ROOMY, host="h", threaded=False)
        following.put(b"next")
        following.close()
        payloads = [payload for s in sealed_segments(folder) for _, payload in read_segment(s.path).records]
        assert payloads[-1] == b"next"
        assert len(payloads) <= RECORDS + 1


@pytest.mark.parametrize("content", [b"", b"x", bytes(52), b"TILTSEG1" + bytes(100)])
def test_a_damaged_id_file_does_not_stop_a_start(tmp_path, content):
    writer = SpoolWriter(tmp_path, budget=ROOMY, host="h", threaded=False)
    writer.put(b"before")
    writer._files.close(writer._slot.lock)
    (tmp_path / "h/slot-0001/id").write_bytes(content)
    following = SpoolWriter(tmp_path, budget=ROOMY, host="h", threaded=False)
    following.put(b"after")
    following.close()
    payloads = [payload for s in sealed_segments(tmp_path) for _, payload in read_segment(s.path).records]
    assert payloads == [b"before", b"after"]
