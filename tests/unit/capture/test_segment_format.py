"""Frames survive what happens around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiltmeter.capture.segment import (
    HEADER_BYTES,
    SegmentHeader,
    SlotIdentity,
    decode_header,
    encode_closing,
    encode_frame,
    frame_seed,
    scan_frames,
)

IDENTITY = SlotIdentity(bytes(range(16)), b"\x9d\x11markmk")
SEED = frame_seed(IDENTITY, 7)


def segment_of(payloads, *, number=7):
    seed = frame_seed(IDENTITY, number)
    frames = [encode_frame(p, i, IDENTITY.mark, seed) for i, p in enumerate(payloads)]
    return SegmentHeader(IDENTITY, number).encode() + b"".join(frames), frames


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=20))
def test_what_was_written_is_read(payloads):
    data, _ = segment_of(payloads)
    scan = scan_frames(data, IDENTITY, 7)
    assert [payload for _, payload in scan.frames] == payloads
    assert [index for index, _ in scan.frames] == list(range(len(payloads)))
    assert scan.lost_bytes == 0
    assert scan.good_bytes == len(data)


@given(
    st.lists(st.binary(min_size=1, max_size=100), min_size=3, max_size=10),
    st.data(),
)
def test_damage_costs_only_the_frames_it_hits(payloads, data):
    whole, frames = segment_of(payloads)
    start = data.draw(st.integers(HEADER_BYTES, len(whole) - 1))
    end = data.draw(st.integers(start + 1, len(whole)))
    damaged = whole[:start] + bytes(b ^ 0x5A for b in whole[start:end]) + whole[end:]
    intact, position = [], HEADER_BYTES
    for index, frame in enumerate(frames):
        if position + len(frame) <= start or position >= end:
            intact.append(index)
        position += len(frame)
    scan = scan_frames(damaged, IDENTITY, 7)
    assert [index for index, _ in scan.frames] == intact
    assert scan.lost_bytes == len(whole) - HEADER_BYTES - sum(len(frames[i]) for i in intact)


def test_a_lost_header_costs_no_record():
    data, _ = segment_of([b"a", b"b"])
    damaged = b"\0" * HEADER_BYTES + data[HEADER_BYTES:]
    assert decode_header(damaged) is None
    assert [payload for _, payload in scan_frames(damaged, IDENTITY, 7).frames] == [b"a", b"b"]


def test_a_client_cannot_forge_a_frame_inside_a_body():
    other = SlotIdentity(IDENTITY.slot, b"guessed!")
    forged = encode_frame(b"forged", 1, mark=other.mark, seed=SEED)
    data, _ = segment_of([b"x" * 10 + forged + b"y" * 10, b"next"])
    torn = data[: HEADER_BYTES + 2] + b"\xff" * 6 + data[HEADER_BYTES + 8 :]  # the mark of the first frame is gone
    assert [payload for _, payload in scan_frames(torn, IDENTITY, 7).frames] == [b"next"]


def test_a_block_of_an_older_segment_is_not_taken_for_a_record():
    data, _ = segment_of([b"new"])
    _, old = segment_of([b"old", b"older"], number=6)
    scan = scan_frames(data + old[1], IDENTITY, 7)
    assert [payload for _, payload in scan.frames] == [b"new"]
    assert scan.tail_bytes == len(old[1])


def test_a_closing_frame_is_a_count_and_no_record():
    data, _ = segment_of([b"a"])
    data += encode_closing(6, 41, mark=IDENTITY.mark, seed=SEED)
    scan = scan_frames(data, IDENTITY, 7)
    assert scan.closed == {6: 41}
    assert len(scan.frames) == 1


@pytest.mark.parametrize("cut", [0, 1, HEADER_BYTES - 1])
def test_a_torn_header_is_none(cut):
    data, _ = segment_of([])
    assert decode_header(data[:cut]) is None
